"""One established WebSocket connection: bytes to messages, messages to bytes.

The protocol itself (frames, masks, control frames, close handshake, compression) is the Sans-I/O layer of `websockets`;
limits and close codes are API Gateway's: binary 1003, a frame over 32 KB or a message over 128 KB 1009.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, cast

from websockets.extensions import Extension
from websockets.frames import CloseCode, Frame, Opcode
from websockets.protocol import SEND_EOF, SERVER, State
from websockets.protocol import Protocol as WebSocketProtocol

from roost.gateway.events import LOST, NO_STATUS

if TYPE_CHECKING:
    from roost.gateway.sockets import Sockets

#: Bytes that may wait for a slow reader before posts to it are refused; resumed below a quarter.
BUFFER_BYTES = 1024 * 1024
#: Messages of one connection that may be in functions' hands at once before its socket is not read any further.
MAX_IN_FLIGHT = 256
#: Seconds that a client has to answer our close frame.
CLOSE_TIMEOUT = 5.0


class Handler(Protocol):
    """Who is told what a connection does. Called on the loop's thread."""

    def message(self, connection: Connection, text: str) -> None:
        """A whole text message came in."""

    def ended(self, connection: Connection, code: int, reason: str) -> None:
        """The connection is over; told once, with the words that `$disconnect` gets."""


class Connection(asyncio.Protocol):
    """An established connection. Slim, since ten thousand of them idle in one process."""

    __slots__ = (
        "_ending",
        "_fragments",
        "_handler",
        "_paused",
        "_sockets",
        "_transport",
        "_ws",
        "active",
        "congested_since",
        "context",
        "id",
        "in_flight",
        "opened",
        "write",
    )

    def __init__(
        self,
        sockets: Sockets,
        handler: Handler,
        transport: asyncio.Transport,
        context: dict[str, Any],
        extensions: Sequence[Extension],
        limits: tuple[int, int],
    ) -> None:
        self.id: str = context["connectionId"]
        self.context = context  #: what every event of this connection carries
        self.opened = self.active = sockets.loop.time()  #: loop time, seconds
        self.write: Callable[[bytes], None] = transport.write  #: bound once, since it runs per delivery
        self.congested_since = 0.0
        self.in_flight = 0
        self._sockets = sockets
        self._handler = handler
        self._transport = transport
        self._ws = WebSocketProtocol(SERVER, max_size=limits, logger=_SILENT)
        self._ws.extensions = list(extensions)
        self._fragments: list[bytes] | None = None
        self._ending: tuple[int, str] | None = None  #: set once the end was told
        self._paused = False
        transport.set_write_buffer_limits(high=BUFFER_BYTES, low=BUFFER_BYTES // 4)

    # -- from the client ------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Bytes from the client, in order."""
        ws = self._ws
        ws.receive_data(data)
        for frame in ws.events_received():
            self._received(cast(Frame, frame))
        if ws.writes:
            self._send_protocol_bytes()
        if ws.close_sent is not None and self._ending is None:  # the parser failed the connection: 1002, 1007, 1009
            self._end(int(ws.close_sent.code), "")

    def eof_received(self) -> bool:
        """The client sends no more. Answering False closes the transport."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The transport is gone, for whatever reason.

        What was queued for it in this very turn must not be written: uvloop raises at a closed handle, and the others
        that the same flush serves would get nothing.
        """
        self.write = _into_the_void
        self._end(*LOST)

    def _received(self, frame: Frame) -> None:
        if self._ending is not None:
            return
        if frame.opcode is Opcode.TEXT:
            if frame.fin:
                self._message(frame.data)
            else:
                self._fragments = [bytes(frame.data)]
        elif frame.opcode is Opcode.CONT:
            self._continued(frame)
        elif frame.opcode is Opcode.BINARY:
            self._fail(CloseCode.UNSUPPORTED_DATA, "Binary frames are not supported")
        elif frame.opcode is Opcode.CLOSE:
            close = self._ws.close_rcvd
            assert close is not None
            without_status = close.code == CloseCode.NO_STATUS_RCVD
            self._end(*(NO_STATUS if without_status else (int(close.code), close.reason)))

    def _continued(self, frame: Frame) -> None:
        if self._fragments is None:
            return  # of a message that was refused by its first frame
        self._fragments.append(bytes(frame.data))
        if frame.fin:
            whole, self._fragments = b"".join(self._fragments), None
            self._message(whole)

    def _message(self, data: bytes | bytearray | memoryview) -> None:
        try:
            text = str(data, "utf-8")
        except UnicodeDecodeError:
            self._fail(CloseCode.INVALID_DATA, "A text message must be UTF-8")
            return
        self.active = self._sockets.loop.time()
        self._handler.message(self, text)

    # -- to the client --------------------------------------------------------------------------------------------

    def close(self, code: int, reason: str) -> None:
        """Close from our side: a close frame, a while for the client's answer, then the transport goes."""
        if self._ws.state is State.OPEN:
            self._ws.send_close(code, reason)
            self._send_protocol_bytes()
            self._sockets.loop.call_later(CLOSE_TIMEOUT, self._abort)
        self._end(code, reason)

    def began(self) -> None:
        """One more message is in a function's hands."""
        self.in_flight += 1
        if self.in_flight == MAX_IN_FLIGHT and not self._transport.is_closing():
            self._paused = True
            self._transport.pause_reading()

    def done(self) -> None:
        """A function is done with a message."""
        self.in_flight -= 1
        if self._paused and self.in_flight <= MAX_IN_FLIGHT // 2 and not self._transport.is_closing():
            self._paused = False
            self._transport.resume_reading()

    def pause_writing(self) -> None:
        """Too much waits for this reader."""
        self._sockets.congested.add(self.id)
        self.congested_since = self._sockets.loop.time()

    def resume_writing(self) -> None:
        """The reader caught up."""
        self._sockets.congested.discard(self.id)

    def _fail(self, code: CloseCode, reason: str) -> None:
        self._ws.fail(code, reason)
        self._send_protocol_bytes()
        self._end(int(code), "")

    def _send_protocol_bytes(self) -> None:
        for data in self._ws.data_to_send():
            if data is SEND_EOF:  # everything queued before it leaves at the end of this turn, and so first
                self._sockets.loop.call_soon(self._leave)
            else:
                self._sockets.queue(self, data)

    def _leave(self) -> None:
        """Close the transport, and drop it where the client does not read the last of what is due to it."""
        self._transport.close()
        if self._transport.get_write_buffer_size():
            self._sockets.loop.call_later(CLOSE_TIMEOUT, self._abort)

    def _end(self, code: int, reason: str) -> None:
        if self._ending is None:
            self._ending = (code, reason)
            self._handler.ended(self, code, reason)

    def _abort(self) -> None:
        self._transport.abort()


def _into_the_void(data: bytes) -> None:
    """Nobody is there any more."""


class _Silent:
    """The Sans-I/O layer logs every open and close; the gateway has its own lines for that."""

    @staticmethod
    def isEnabledFor(level: int) -> bool:  # noqa: N802  the name that logging gives it
        return False

    @staticmethod
    def _nothing(*args: Any, **kwargs: Any) -> None:
        return None

    debug = info = warning = error = _nothing


_SILENT: Any = _Silent()
