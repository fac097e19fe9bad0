"""What the core asks of the world, besides the Table. Each shell brings its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Protocol


class Outcome(Enum):
    """What became of one push to one connection."""

    SENT = "sent"  #: taken over; not a proof that the client has it
    GONE = "gone"  #: no such connection: closed, or still connecting
    FAILED = "failed"  #: throttled, buffer full, too large, timed out, refused: this time it gets nothing


class Push(Protocol):
    """Sends frames to connections. Never raises for a receiver's fault."""

    def send(self, connections: Sequence[str], payload: str) -> Mapping[str, Outcome]:
        """Send one text frame (at most 128 KB as UTF-8) to each connection; answer those that did not take it.

        An empty answer means that all took it. Two calls from one thread reach a connection that both name in their
        order, where the transport can promise it: the local gateway can, API Gateway cannot.
        """

    def close(self, connection: str) -> None:
        """Close a connection, if it is still there."""


class Clock(Protocol):
    """The time. It may step backwards."""

    def now_us(self) -> int:
        """Microseconds since the epoch."""

    def sleep(self, seconds: float) -> None:
        """Let time pass for the caller alone."""
