"""TLS on the same port as plain HTTP: a transport over a transport.

Apps written for AWS build `https://{domainName}/{stage}`, and `domainName` names our one port. So the first byte of a
connection decides: 0x16 begins a TLS handshake. The bytes are already read by then, which `loop.start_tls` cannot take
back; this wraps `ssl.SSLObject` instead.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from typing import Any

HANDSHAKE = 0x16  # the content type of a TLS record that begins a handshake
_READ = 64 * 1024


class TlsTransport(asyncio.Transport, asyncio.Protocol):
    """Decrypts what comes in for `protocol`, encrypts what it writes."""

    def __init__(self, raw: asyncio.Transport, protocol: asyncio.Protocol, context: ssl.SSLContext) -> None:
        super().__init__()
        self._raw = raw
        self._protocol: asyncio.Protocol = protocol
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._established = False

    # -- as the protocol of the raw transport -----------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Encrypted bytes came in."""
        self._incoming.write(data)
        try:
            if not self._established:
                self._tls.do_handshake()
                self._established = True
            self._drain()
        except ssl.SSLWantReadError:
            self._send()
        except ssl.SSLError:
            self._send()  # the alert
            self._raw.close()

    def _drain(self) -> None:
        while not self._raw.is_closing():
            chunk = self._tls.read(_READ)
            if not chunk:
                self._raw.close()
                return
            self._protocol.data_received(chunk)

    def eof_received(self) -> bool | None:
        """The client sends no more."""
        return self._protocol.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """The raw transport is gone."""
        self._protocol.connection_lost(exc)

    def pause_writing(self) -> None:
        """Too much waits."""
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        """Room again."""
        self._protocol.resume_writing()

    # -- as the transport of the inner protocol ---------------------------------------------------------------------

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Encrypt and send."""
        if self._raw.is_closing():
            return
        self._tls.write(data)
        self._send()

    def close(self) -> None:
        """Say goodbye, then close once everything is sent."""
        if not self._raw.is_closing():
            with contextlib.suppress(ssl.SSLError):  # the peer's own goodbye may come later or never
                self._tls.unwrap()
            self._send()
            self._raw.close()

    def abort(self) -> None:
        """Drop the connection."""
        self._raw.abort()

    def is_closing(self) -> bool:
        """Whether it is closing or closed."""
        return self._raw.is_closing()

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Give what comes in to another protocol from now on."""
        assert isinstance(protocol, asyncio.Protocol)
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Who gets what comes in."""
        return self._protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """As the raw transport's; `ssl_object` is this connection's."""
        return self._tls if name == "ssl_object" else self._raw.get_extra_info(name, default)

    def pause_reading(self) -> None:
        """Read no more for now."""
        self._raw.pause_reading()

    def resume_reading(self) -> None:
        """Read on."""
        self._raw.resume_reading()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """As the raw transport's."""
        self._raw.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        """Bytes that wait to be sent."""
        return self._raw.get_write_buffer_size()

    def _send(self) -> None:
        data = self._outgoing.read()
        if data and not self._raw.is_closing():
            self._raw.write(data)
