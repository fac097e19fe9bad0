"""The clients of an HTTP port that have not become WebSockets: how many may wait, and for how long.

Nobody may wait without end, and nobody keeps a timer: each connection notes since when it waits, and `Clients.sweep`,
called every few seconds, closes those that wait too long.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from roost.gateway.http import HttpConnection


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a client may take, in seconds: as Apache's mod_reqtimeout and nginx have it by default."""

    head: float = 20.0  #: from connecting, or from a request's first byte, to the end of its headers; TLS included
    body: float = 20.0  #: for a body, and as much again for every `BODY_STEP` bytes that came
    idle: float = 60.0  #: between an answer and the next request
    unread: float = 30.0  #: without reading any of what is due to it

    def scaled(self, factor: float) -> Patience:
        """The same with every time multiplied by `factor`."""
        return Patience(self.head * factor, self.body * factor, self.idle * factor, self.unread * factor)


BODY_STEP = 10_000  # bytes: who sends slower than 500 of them a second only holds a connection


class Clients:
    """The connections of one server that have not become WebSockets."""

    def __init__(self, most_waiting: int = 8_192, most_held: int = 512 * 1024 * 1024) -> None:
        self.all: set[HttpConnection] = set()
        self.waiting: dict[HttpConnection, None] = {}  #: for a request, or for the rest of one: longest first
        self.held = 0  #: bytes of bodies that are not whole yet
        self._most_waiting = most_waiting
        self._most_held = most_held

    def add(self, connection: HttpConnection) -> None:
        """A client connected. Where too many wait already, the one that has waited longest makes room."""
        self.all.add(connection)
        self.waiting[connection] = None
        if len(self.waiting) > self._most_waiting:
            next(iter(self.waiting)).abort()

    def discard(self, connection: HttpConnection) -> None:
        """It is gone, or a WebSocket."""
        self.all.discard(connection)
        self.waiting.pop(connection, None)

    def hold(self, count: int) -> bool:
        """Account for bytes of a body. False: all the bodies on their way are too much for this machine."""
        self.held += count
        return self.held <= self._most_held

    def sweep(self, now: float, patience: Patience) -> None:
        """Close who has waited too long, and drop who does not read."""
        for connection in list(self.all):
            connection.look(now, patience)

    def close(self) -> None:
        """Close them all."""
        for connection in list(self.all):
            connection.close()
