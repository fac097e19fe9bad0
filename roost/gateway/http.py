"""HTTP/1.1 on the wire: bytes to requests, responses to bytes, one request at a time on each connection.

Parsing is `httptools` (llhttp, Node's parser). A request that upgrades to WebSocket hands the transport over.
"""

from __future__ import annotations

import asyncio
import http
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Protocol, cast

import httptools
import msgspec

from roost.gateway.events import Request, header_pairs
from roost.gateway.tls import HANDSHAKE, TlsTransport

MAX_HEAD_BYTES = 10_240  # HTTP API: request line plus headers
MAX_TARGET_BYTES = 4_096  # API Gateway: the longest URL
MAX_BODY_BYTES = 10 * 1024 * 1024  # HTTP API: the largest payload
MAX_HEADERS = 128


@dataclass(frozen=True, slots=True)
class Response:
    """An HTTP answer. `Content-Length`, `Date` and `Connection` are added when it is sent."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


def json_response(status: int, value: object, headers: Mapping[str, str] | None = None) -> Response:
    """An answer that carries a JSON value."""
    pairs = (("Content-Type", "application/json"), *(headers or {}).items())
    return Response(status, pairs, msgspec.json.encode(value))


class Application(Protocol):
    """Who answers requests. Called on the loop's thread; must call `exchange.respond` once, now or later."""

    def request(self, exchange: Exchange) -> None:
        """A whole request is there."""

    def upgrade(self, exchange: Exchange) -> None:
        """A request that asks for a WebSocket; ends in `respond` or in `switch`."""


@dataclass(slots=True)
class Exchange:
    """One request and the one answer to it."""

    request: Request
    connection: HttpConnection
    answered: bool = False

    @property
    def alive(self) -> bool:
        """Whether the client still waits."""
        return not self.connection.closed

    def respond(self, response: Response) -> None:
        """Send the answer."""
        assert not self.answered
        self.answered = True
        self.connection.respond(self.request, response)

    def switch(self, head: bytes, protocol: asyncio.Protocol) -> None:
        """Send `head` (a 101 response) and give the transport to `protocol`."""
        self.answered = True
        self.connection.switch(head, protocol)


@dataclass(slots=True)
class _Incoming:
    """The request that is being parsed."""

    target: bytes = b""
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: list[bytes] = field(default_factory=list)
    head_bytes: int = 0
    body_bytes: int = 0


class _Refused(Exception):
    """The request is against the protocol or over a limit."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class HttpConnection(asyncio.Protocol):
    """One TCP connection, until it closes or becomes a WebSocket."""

    def __init__(
        self,
        application: Application,
        connections: set[HttpConnection],
        tls: ssl.SSLContext | None,
        max_head_bytes: int = MAX_HEAD_BYTES,
    ) -> None:
        self._application = application
        self._connections = connections
        self._tls = tls
        self._max_head_bytes = max_head_bytes
        self._transport: asyncio.Transport
        self._scheme = "http"
        self._first = True
        self._incoming = _Incoming()
        self._parser = httptools.HttpRequestParser(self)
        self._exchange: Exchange | None = None
        self._waiting = b""  # bytes that came while an answer was due
        self.closed = False
        self.since = asyncio.get_running_loop().time()  #: when it began to wait for a request, loop time

    # -- transport ------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client connected."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's has the methods, not the base class
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self.closed = True
        self._connections.discard(self)

    def data_received(self, data: bytes) -> None:
        """Bytes from the client."""
        if self._first:
            self._first = False
            if data[0] == HANDSHAKE and self._tls is not None:
                self._begin_tls(self._tls, data)
                return
        if self._exchange is not None:
            self._hold(data)
        else:
            self._parse(data)

    def _begin_tls(self, context: ssl.SSLContext, data: bytes) -> None:
        outer = TlsTransport(self._transport, self, context)
        self._transport.set_protocol(outer)
        self._transport = outer
        self._scheme = "https"
        outer.data_received(data)

    def _hold(self, data: bytes) -> None:
        """Pipelined bytes wait; a client that sends too many of them is not read until it has its answer."""
        self._waiting += data
        if len(self._waiting) > MAX_HEAD_BYTES:
            self._transport.pause_reading()

    def close(self) -> None:
        """Close an idle connection."""
        self._transport.close()

    @property
    def idle(self) -> bool:
        """Whether no answer is due."""
        return self._exchange is None

    # -- parsing --------------------------------------------------------------------------------------------------

    def _parse(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserCallbackError as error:
            refused = error.__context__
            self._refuse(refused.status if isinstance(refused, _Refused) else 400)
        except httptools.HttpParserError:
            self._refuse(400)

    def on_url(self, url: bytes) -> None:
        """A part of the request target."""
        incoming = self._incoming
        incoming.target += url
        if len(incoming.target) > MAX_TARGET_BYTES:
            raise _Refused(414)

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header line."""
        incoming = self._incoming
        incoming.headers.append((name, value))
        incoming.head_bytes += len(name) + len(value) + 4
        if incoming.head_bytes + len(incoming.target) > self._max_head_bytes or len(incoming.headers) > MAX_HEADERS:
            raise _Refused(431)

    def on_headers_complete(self) -> None:
        """The head is whole: refuse a body that is too large before it is read."""
        headers = {name.lower(): value for name, value in self._incoming.headers}
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length[:20]) > MAX_BODY_BYTES:
            raise _Refused(413)
        if headers.get(b"expect", b"").lower() == b"100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        incoming = self._incoming
        incoming.body.append(body)
        incoming.body_bytes += len(body)
        if incoming.body_bytes > MAX_BODY_BYTES:
            raise _Refused(413)

    def on_message_complete(self) -> None:
        """The request is whole."""
        if self._parser.should_upgrade() and self._is_websocket():
            return  # feed_data raises HttpParserUpgrade next
        self._begin()
        assert self._exchange is not None
        self._application.request(self._exchange)

    def _is_websocket(self) -> bool:
        return any(n.lower() == b"upgrade" and v.lower() == b"websocket" for n, v in self._incoming.headers)

    def _upgrade(self, rest: bytes) -> None:
        self._waiting = rest
        if self._exchange is not None:  # an upgrade to something else: answered as a plain request
            return
        self._begin()
        assert self._exchange is not None
        self._application.upgrade(self._exchange)

    def _begin(self) -> None:
        incoming, self._incoming = self._incoming, _Incoming()
        peer = self._transport.get_extra_info("peername") or ("", 0)
        here = self._transport.get_extra_info("sockname") or ("", 0)
        request = Request(
            method=self._parser.get_method().decode("latin-1"),
            target=incoming.target.decode("latin-1"),
            version=self._parser.get_http_version(),
            headers=header_pairs(incoming.headers),
            body=b"".join(incoming.body),
            source_ip=str(peer[0]),
            scheme=self._scheme,
            port=int(here[1]),
        )
        self._exchange = Exchange(request, self)

    def _refuse(self, status: int) -> None:
        """Answer a request that cannot be read on, and close: what follows has no known beginning."""
        if self._exchange is None and not self.closed:
            messages = {413: "Request Entity Too Large"}
            phrase = messages.get(status, http.HTTPStatus(status).phrase)
            self._write(json_response(status, {"message": phrase}), keep_alive=False, head_only=False)
        self._transport.close()

    # -- answering ------------------------------------------------------------------------------------------------

    def respond(self, request: Request, response: Response) -> None:
        """Send the answer to the request at hand, then go on with what waits."""
        if self.closed:
            return
        asked_to_close = (request.header("connection") or "").lower() == "close"
        keep_alive = request.version == "1.1" and not asked_to_close and not self._parser.should_upgrade()
        self._write(response, keep_alive=keep_alive, head_only=request.method == "HEAD")
        self._exchange = None
        self.since = asyncio.get_running_loop().time()
        if not keep_alive:
            self._transport.close()
            return
        self._transport.resume_reading()
        if self._waiting:
            waiting, self._waiting = self._waiting, b""
            asyncio.get_running_loop().call_soon(self.data_received, waiting)

    def switch(self, head: bytes, protocol: asyncio.Protocol) -> None:
        """Become a WebSocket: `protocol` gets the transport and the bytes that came after the request."""
        self.closed = True
        self._connections.discard(self)
        self._transport.set_protocol(protocol)
        self._transport.write(head)
        if self._waiting:
            waiting, self._waiting = self._waiting, b""
            protocol.data_received(waiting)

    @property
    def transport(self) -> asyncio.Transport:
        """The transport that `switch` gives away."""
        return self._transport

    def _write(self, response: Response, *, keep_alive: bool, head_only: bool) -> None:
        lines = [f"HTTP/1.1 {response.status} {_phrase(response.status)}", f"Date: {formatdate(usegmt=True)}"]
        lines += [f"{_clean(name)}: {_clean(value)}" for name, value in response.headers]
        if not _bodiless(response.status):
            lines.append(f"Content-Length: {len(response.body)}")
        lines.append("Connection: keep-alive" if keep_alive else "Connection: close")
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")
        body = b"" if head_only or _bodiless(response.status) else response.body
        self._transport.write(head + body)


def _bodiless(status: int) -> bool:
    return status < 200 or status in (204, 304)


def _phrase(status: int) -> str:
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return "Status"


def _clean(text: str) -> str:
    """A function's header cannot end its line and begin another."""
    return text.replace("\r", "").replace("\n", "").replace("\0", "")
