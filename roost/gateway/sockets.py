"""The open sockets: who can be posted to, and the joined writes.

A frame for many receivers is built once. What a connection gets within one turn of the event loop leaves in one write:
`post` only notes what goes to whom, and `_flush` runs once when the turn is over. All of it on the loop's thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from enum import Enum
from typing import TYPE_CHECKING, cast

from websockets.frames import Frame, Opcode

if TYPE_CHECKING:
    from roost.gateway.websocket import Connection

FRAME_BYTES = 32 * 1024  # API Gateway: the largest frame, either way
MESSAGE_BYTES = 128 * 1024  # API Gateway: the largest message, either way
_OPENING_SECONDS = 30.0  # API Gateway: `$connect` has no longer than this


class Refusal(Enum):
    """Why a connection did not take a post."""

    GONE = "gone"  #: closed, unknown, or not yet established
    BUSY = "busy"  #: its buffer is full: the client reads too slowly


def text_frames(payload: bytes) -> bytes:
    """One text message as it goes on the wire: one frame, or several of at most 32 KB."""
    if len(payload) <= FRAME_BYTES:
        return Frame(Opcode.TEXT, payload).serialize(mask=False)
    starts = range(0, len(payload), FRAME_BYTES)
    return b"".join(
        Frame(
            Opcode.TEXT if start == 0 else Opcode.CONT,
            payload[start : start + FRAME_BYTES],
            fin=start + FRAME_BYTES >= len(payload),
        ).serialize(mask=False)
        for start in starts
    )


class Sockets:
    """All established connections by id."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.open: dict[str, Connection] = {}
        self.congested: set[str] = set()  #: who does not read: posts to them are refused
        self._first: dict[str, list[bytes]] = {}  # what waits for connections that are being opened
        self._jobs: list[tuple[Sequence[Connection], bytes]] = []

    def post(self, ids: Iterable[str], payload: bytes) -> dict[str, Refusal]:
        """Queue one text message (UTF-8, at most 128 KB) for each connection; answers those that did not take it."""
        ids = list(ids)
        found: list[Connection | None] = list(map(self.open.get, ids))
        refused: dict[str, Refusal] = {}
        if self.congested or not all(found):
            refused = self._refusals(ids, found)
            found = [c for c in found if c is not None and c.id not in refused]
        if found:
            self._queue(cast("list[Connection]", found), text_frames(payload))
        return refused

    def post_first(self, connection: str, payload: bytes) -> None:
        """Queue one text message for a connection, behind its opening handshake if that is under way."""
        if connection in self.open:
            self.post((connection,), payload)
            return
        self._first.setdefault(connection, []).append(payload)
        self.loop.call_later(_OPENING_SECONDS, self._first.pop, connection, None)  # it may never open

    def opened(self, connection: Connection) -> None:
        """A connection is established; its handshake leaves in this turn of the loop."""
        self.open[connection.id] = connection
        for payload in self._first.pop(connection.id, ()):
            self.post((connection.id,), payload)

    def _refusals(self, ids: Sequence[str], found: Sequence[Connection | None]) -> dict[str, Refusal]:
        gone = {each: Refusal.GONE for each, connection in zip(ids, found, strict=True) if connection is None}
        return gone | {each: Refusal.BUSY for each in ids if each in self.congested and each in self.open}

    def queue(self, connection: Connection, data: bytes) -> None:
        """Queue raw bytes for one connection behind what it already waits for."""
        self._queue((connection,), data)

    def _queue(self, connections: Sequence[Connection], data: bytes) -> None:
        if not self._jobs:
            self.loop.call_soon(self._flush)
        self._jobs.append((connections, data))

    def _flush(self) -> None:
        """Write what waits: one write per connection, however much it gets. Loops without calls of ours: they run per
        delivery."""
        jobs, self._jobs = self._jobs, []
        now = self.loop.time()
        if len(jobs) == 1:
            connections, data = jobs[0]
            for connection in connections:
                connection.active = now
                connection.write(data)
            return
        waiting: dict[Connection, list[bytes]] = {}
        for connections, data in jobs:
            for connection in connections:
                frames = waiting.get(connection)
                if frames is None:
                    waiting[connection] = [data]
                else:
                    frames.append(data)
        for connection, frames in waiting.items():
            connection.active = now
            connection.write(b"".join(frames))
