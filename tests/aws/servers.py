"""A small HTTP server that answers, or fails to, as a test tells it to. Real sockets, one thread each."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import IO


@dataclass(frozen=True)
class Request:
    """What came in, read whole."""

    method: str
    path: str
    headers: dict[str, str]  #: names in lower case
    body: bytes


@dataclass(frozen=True)
class Reply:
    """What to answer."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)


#: What to answer to a request; None: close without an answer.
Handler = Callable[[Request], Reply | None]


class FaultyServer:
    """Keeps connections alive unless it is told otherwise."""

    def __init__(self, handler: Handler | None = None) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.handler = handler
        self.answers: list[Reply | None] = []  #: to the next requests, before `handler` is asked
        self.close_after = 0  #: requests on one connection; 0: no limit
        self.delay = 0.0  #: seconds before an answer
        self.delays: list[float] = []  #: of the next answers, before `delay` holds
        self.requests: list[Request] = []  #: what came in
        self.reset_at_once = False  #: a new connection is reset before anything is read
        self.accepted = 0
        self._open: set[socket.socket] = set()
        self._changed = threading.Condition()
        self.stopped = threading.Event()  #: set when the test is over
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def stop(self) -> None:
        """Close everything."""
        self.stopped.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join(10)
        with self._changed:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        self.wait_for_closed()

    def wait_for_closed(self) -> None:
        """Wait until no connection is open."""
        with self._changed:
            assert self._changed.wait_for(lambda: not self._open, 20)

    def _accept(self) -> None:
        while not self.stopped.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            if self.reset_at_once:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.close()
                continue
            with self._changed:
                self._open.add(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection, connection.makefile("rb") as stream:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                served = 0
                while (request := _read(stream)) is not None:
                    self.requests.append(request)
                    reply = self._reply(request)
                    if reply is None:
                        return
                    self.stopped.wait(self.delays.pop(0) if self.delays else self.delay)
                    connection.sendall(_bytes(reply))
                    served += 1
                    if served >= self.close_after > 0:
                        return
        except OSError:
            return  # the client is gone, or the test is over
        finally:
            with self._changed:
                self._open.discard(connection)
                self._changed.notify_all()

    def _reply(self, request: Request) -> Reply | None:
        if self.answers:
            return self.answers.pop(0)
        return self.handler(request) if self.handler is not None else Reply()


def _read(stream: IO[bytes]) -> Request | None:
    """A whole request; None at the end."""
    first = stream.readline().decode()
    if not first:
        return None
    method, path, _ = first.split(" ", 2)
    headers: dict[str, str] = {}
    while line := stream.readline().decode().strip():
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    body: bytes = stream.read(int(headers.get("content-length", "0")))
    return Request(method, path, headers, body)


def _bytes(reply: Reply) -> bytes:
    lines = [f"HTTP/1.1 {reply.status} Whatever", f"Content-Length: {len(reply.body)}"]
    lines += [f"{name}: {value}" for name, value in reply.headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + reply.body


@contextlib.contextmanager
def listening(handler: Handler | None = None) -> Iterator[FaultyServer]:
    """A server for the length of a `with` block."""
    server = FaultyServer(handler)
    try:
        yield server
    finally:
        server.stop()
