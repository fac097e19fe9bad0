"""HTTP/1.1 on the wire: bytes to requests, responses to bytes, one request at a time on each connection.

Parsing is `httptools` (llhttp, Node's parser). A request that upgrades to WebSocket hands the transport over.

Nobody may wait without end: `clients.py` says how long, and looks after it.
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

from roost.gateway.clients import BODY_STEP, Clients, Patience
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
        clients: Clients,
        tls: ssl.SSLContext | None,
        *,
        max_head_bytes: int = MAX_HEAD_BYTES,
        max_body_bytes: int = MAX_BODY_BYTES,
    ) -> None:
        self._application = application
        self._clients = clients
        self._tls = tls
        self._max_head_bytes = max_head_bytes
        self._max_body_bytes = max_body_bytes
        self._transport: asyncio.Transport
        self._scheme = "http"
        self._first = True
        self._incoming = _Incoming()
        self._parser = httptools.HttpRequestParser(self)
        self._exchange: Exchange | None = None
        self._pipeline: list[tuple[Request, bool]] = []  # whole requests that wait; whether each wants a WebSocket
        self._refusal: int | None = None  # the status for what follows those, which cannot be read
        self._last = False  # the parser takes no more: a request asked for another protocol
        self._waiting = b""  # bytes that came while an answer was due
        self.closed = False
        self._time = asyncio.get_running_loop().time
        self._since = self._time()  # when it began to wait for what it waits for
        self._kept = False  # it has had an answer, and no byte of a next request has come
        self._in_head = self._in_body = False
        self._head_bytes = 0  # of a head that has come in pieces so far
        self._unread = (0, 0.0)  # bytes that the client had still to read at the last look, and since when so many

    # -- transport ------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client connected."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's has the methods, not the base class
        self._clients.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self.closed = True
        self._clients.discard(self)
        self._clients.hold(-self._incoming.body_bytes)
        self._incoming = _Incoming()

    def data_received(self, data: bytes) -> None:
        """Bytes from the client."""
        if self._first:
            self._first = False
            if data[0] == HANDSHAKE and self._tls is not None:
                self._begin_tls(self._tls, data)
                return
        if self._exchange is not None or self._pipeline or self._waiting or self._last:
            self._hold(data)
            return
        if self._kept:
            self._kept, self._since = False, self._time()
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
        """Close it once everything is sent."""
        self._transport.close()

    def abort(self) -> None:
        """Drop it."""
        self._transport.abort()

    def look(self, now: float, patience: Patience) -> None:
        """Close it if the client takes too long; no answer is due to half a request. Drop it if nothing is read."""
        left = self._transport.get_write_buffer_size()
        if left:
            if left != self._unread[0]:
                self._unread = (left, now)
            elif now - self._unread[1] > patience.unread:
                self._transport.abort()
            return
        if self._unread[0]:  # all read: only now does it begin to wait for a request
            self._unread, self._since = (0, 0.0), now
        if self._exchange is None and now - self._since > self._limit(patience):
            self._transport.abort() if self._transport.is_closing() else self._transport.close()

    def _limit(self, patience: Patience) -> float:
        if self._in_body:
            return patience.body * (1 + self._incoming.body_bytes / BODY_STEP)
        return patience.idle if self._kept else patience.head

    # -- parsing --------------------------------------------------------------------------------------------------

    def _parse(self, data: bytes) -> None:
        if self._refusal is not None:
            return
        goes_on = self._in_head
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._waiting, self._last = data[upgrade.args[0] :], True
        except httptools.HttpParserCallbackError as error:
            refused = error.__context__
            self._refusal = refused.status if isinstance(refused, _Refused) else 400
        except httptools.HttpParserError:
            self._refusal = 400
        self._head_bytes = self._head_bytes + len(data) if goes_on and self._in_head else 0
        if self._head_bytes > self._max_head_bytes:  # the parser keeps a header line that never ends
            self._refusal = 431
        self._go_on()

    def _go_on(self) -> None:
        """Begin the next request, if one waits and no answer is due."""
        if self._exchange is not None or self.closed:
            return
        if self._pipeline:
            request, wants_websocket = self._pipeline.pop(0)
            self._clients.waiting.pop(self, None)
            self._exchange = exchange = Exchange(request, self)
            self._application.upgrade(exchange) if wants_websocket else self._application.request(exchange)
        elif self._refusal is not None:
            self._refuse(self._refusal)
        elif self._waiting and not self._last:
            waiting, self._waiting = self._waiting, b""
            self._transport.resume_reading()
            self.data_received(waiting)

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        self._in_head = True

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
        self._in_head = False
        headers = {name.lower(): value for name, value in self._incoming.headers}
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length[:20]) > self._max_body_bytes:
            raise _Refused(413)
        self._in_body, self._since = True, self._time()
        if headers.get(b"expect", b"").lower() == b"100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        incoming = self._incoming
        incoming.body.append(body)
        incoming.body_bytes += len(body)
        within = self._clients.hold(len(body))
        if incoming.body_bytes > self._max_body_bytes:
            raise _Refused(413)
        if not within:
            raise _Refused(503)

    def on_message_complete(self) -> None:
        """The request is whole."""
        wants_websocket = self._parser.should_upgrade() and self._is_websocket()
        self._pipeline.append((self._request(), wants_websocket))

    def _is_websocket(self) -> bool:
        return any(n.lower() == b"upgrade" and v.lower() == b"websocket" for n, v in self._incoming.headers)

    def _request(self) -> Request:
        incoming, self._incoming = self._incoming, _Incoming()
        self._in_body = False
        self._clients.hold(-incoming.body_bytes)
        peer = self._transport.get_extra_info("peername") or ("", 0)
        here = self._transport.get_extra_info("sockname") or ("", 0)
        return Request(
            method=self._parser.get_method().decode("latin-1"),
            target=incoming.target.decode("latin-1"),
            version=self._parser.get_http_version(),
            headers=header_pairs(incoming.headers),
            body=b"".join(incoming.body),
            source_ip=str(peer[0]),
            scheme=self._scheme,
            port=int(here[1]),
        )

    def _refuse(self, status: int) -> None:
        """Answer a request that cannot be read on, and close: what follows has no known beginning."""
        messages = {413: "Request Entity Too Large"}
        phrase = messages.get(status, http.HTTPStatus(status).phrase)
        self._write(json_response(status, {"message": phrase}), keep_alive=False, head_only=False)
        self._transport.close()

    # -- answering ------------------------------------------------------------------------------------------------

    def respond(self, request: Request, response: Response) -> None:
        """Send the answer to the request at hand, then go on with what waits."""
        if self.closed:
            return
        asked_to_close = "close" in (request.header("connection") or "").lower().replace(" ", "").split(",")
        at_the_end = self._last and not self._pipeline
        keep_alive = request.version == "1.1" and not asked_to_close and not at_the_end
        self._write(response, keep_alive=keep_alive, head_only=request.method == "HEAD")
        self._exchange = None
        self._kept, self._since = True, self._time()
        self._clients.waiting[self] = None
        if not keep_alive:
            self._pipeline.clear()
            self._transport.close()
            return
        self._transport.resume_reading()
        if self._pipeline or self._waiting or self._refusal is not None:
            asyncio.get_running_loop().call_soon(self._go_on)

    def switch(self, head: bytes, protocol: asyncio.Protocol) -> None:
        """Become a WebSocket: `protocol` gets the transport and the bytes that came after the request."""
        self.closed = True
        self._clients.discard(self)
        self._transport.set_protocol(protocol)
        self._transport.resume_reading()
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
