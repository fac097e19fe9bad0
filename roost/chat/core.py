"""What every subject of the core stands on: the table, the log, the clock, and telling people.

A change of a conversation is one deed: it reads what it needs, refuses what may not be, and says which events it makes
and which items they change. `Core.happen` stores it and tells whoever should know; nothing else appends or tells.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

from roost.chat.delivery import Delivery
from roost.chat.events import AnyEvent, Recorded, to_row
from roost.chat.model import Channel, ConnectionId
from roost.chat.ports import Clock, Push
from roost.storage.items import WorkspaceRow, format_ts
from roost.storage.log import Appended, Change, Log, Place, Written
from roost.storage.receivers import Receivers
from roost.storage.table import Key, Operation, Table
from roost.storage.workspace import open_workspace

#: Given a place in the log: the events, and the operations on the items that they change.
Writes = Callable[[Place], tuple[Sequence[AnyEvent], Sequence[Operation]]]

#: Reads what it needs and raises a `Refused` if it may not be. Called again for each try.
Deed = Callable[[], Writes]


class Core:
    """The ports, and what is made of them once."""

    def __init__(self, table: Table, push: Push, clock: Clock, delivery: Callable[[Receivers], Delivery]) -> None:
        self.table = table
        self.push = push
        self.clock = clock
        self.log = Log(table, clock.now_us, clock.sleep)
        self.receivers = Receivers(table)
        self.delivery = delivery(self.receivers)
        self.happened: Callable[[str], None] = _nothing  #: told of each log that grew: what may be late follows it

    @functools.cached_property
    def workspace(self) -> WorkspaceRow:
        """The deployment's workspace, read once: nothing in it changes."""
        return open_workspace(self.table, self.now)

    @property
    def now(self) -> int:
        """Seconds since the epoch."""
        return self.clock.now_us() // 1_000_000

    def happen(
        self,
        channel: Channel,
        deed: Deed,
        *,
        events: int = 1,
        messages: int = 0,
        once: Key | None = None,
        source: ConnectionId | None = None,
        time: int | None = None,
    ) -> tuple[Appended, Sequence[AnyEvent]]:
        """Let something happen in a conversation: stored when this returns, and those who should know were told.

        `events` and `messages` say how many the deed makes of each. Under a key `once` it happens one time a day.
        `source` is a connection that is not told, `time` when the gateway got what caused it, in milliseconds.
        """
        place, made = self._append(channel.id, deed, events, messages, once)
        if not place.duplicate:
            self.happened(channel.id)
            self.delivery.tell(channel, _recorded(channel.id, place, made), source, self._gateway_time(time))
        return place, made

    def happen_to_all(self, deed: Deed) -> Sequence[AnyEvent]:
        """Let something happen that concerns the whole workspace: one event in its own log, told to every member."""
        team = self.workspace.team
        place, made = self._append(team, deed, 1, 0, None)
        self.delivery.tell_all(_recorded(team, place, made), self._gateway_time(None))
        return made

    def tell_person(self, user: str, event: AnyEvent) -> None:
        """Tell a member's own event streams of something that is in no log: whoever misses it learns the same from a
        heartbeat, or when they load anew."""
        now = self.clock.now_us()
        self.delivery.whisper(None, Recorded("", 0, format_ts(now), event), user, now // 1000)

    def beginning(
        self, stream: str, writes: Writes, *, events: int, messages: int
    ) -> tuple[list[Operation], Sequence[Recorded]]:
        """What begins a new conversation's log, for the transaction that makes it; and what is to be told then."""
        made: list[Recorded] = []

        def write(place: Place) -> Written:
            happened, operations = writes(place)
            made.extend(_recorded(stream, Appended(place.ts, place.seq), happened))
            return Written([to_row(event, place.ts) for event in happened], operations)

        return self.log.beginning(stream, Change(write, events, messages)), made

    def tell(self, channel: Channel, events: Sequence[Recorded]) -> None:
        """Tell who should know of what was stored already."""
        self.delivery.tell(channel, events, None, self._gateway_time(None))

    def _append(
        self, stream: str, deed: Deed, events: int, messages: int, once: Key | None
    ) -> tuple[Appended, Sequence[AnyEvent]]:
        made: Sequence[AnyEvent] = ()

        def change() -> Change:
            writes = deed()

            def write(place: Place) -> Written:
                nonlocal made
                made, operations = writes(place)
                return Written([to_row(event, place.ts) for event in made], operations)

            return Change(write, events, messages, once)

        return self.log.append(stream, change), made

    def _gateway_time(self, time: int | None) -> int:
        return self.clock.now_us() // 1000 if time is None else time


def _nothing(stream: str) -> None:
    """Nobody follows."""


def _recorded(stream: str, place: Appended, events: Sequence[AnyEvent]) -> list[Recorded]:
    return [Recorded(stream, seq, place.ts, event) for seq, event in enumerate(events, place.seq)]
