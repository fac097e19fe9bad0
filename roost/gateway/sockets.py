"""The open sockets: who can be posted to, and the joined writes.

A frame for many receivers is built once. What a connection gets within one turn of the event loop leaves in one write:
`post` only appends to lists, and `flush` runs once when the turn is over. Everything here runs on the loop's thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from enum import Enum
from typing import TYPE_CHECKING

from websockets.frames import Frame, Opcode

if TYPE_CHECKING:
    from roost.gateway.websocket import Connection

FRAME_BYTES = 32 * 1024  # API Gateway: the largest frame, either way
MESSAGE_BYTES = 128 * 1024  # API Gateway: the largest message, either way


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
        self._dirty: list[Connection] = []

    def post(self, ids: Iterable[str], payload: bytes) -> dict[str, Refusal]:
        """Queue one text message (UTF-8, at most 128 KB) for each connection; answers those that did not take it."""
        data = text_frames(payload)
        now = self.loop.time()
        connections, dirty = self.open, self._dirty
        idle = not dirty
        refused: dict[str, Refusal] = {}
        for connection_id in ids:
            connection = connections.get(connection_id)
            if connection is None:
                refused[connection_id] = Refusal.GONE
            elif connection.congested:
                refused[connection_id] = Refusal.BUSY
            else:
                pending = connection.pending
                if pending is None:
                    connection.pending = data
                    dirty.append(connection)
                elif isinstance(pending, list):
                    pending.append(data)
                else:
                    connection.pending = [pending, data]
                connection.active = now
        if idle and dirty:
            self.loop.call_soon(self._flush)
        return refused

    def queue(self, connection: Connection, data: bytes) -> None:
        """Queue raw bytes for one connection behind what it already waits for."""
        pending = connection.pending
        if pending is None:
            connection.pending = data
            if not self._dirty:
                self.loop.call_soon(self._flush)
            self._dirty.append(connection)
        elif isinstance(pending, list):
            pending.append(data)
        else:
            connection.pending = [pending, data]

    def _flush(self) -> None:
        """Write what waits, in one write per connection. A loop without calls of ours: it runs per delivery."""
        dirty, self._dirty = self._dirty, []
        for connection in dirty:
            pending = connection.pending
            connection.pending = None
            if isinstance(pending, list):
                pending = b"".join(pending)
            if pending:
                connection.write(pending)
