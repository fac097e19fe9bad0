"""Who hears a conversation, at send time: the text connections that are tuned to it, and its members' event streams.

Where this process alone writes the table, the answer is kept in memory: built from the table on first use, then changed
by the same commits that change the table, through `Table.watch`. `tests/storage/test_receivers.py` holds the two
against each other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from roost.storage import streams
from roost.storage.items import TunedRow, from_item, presence_key, tuned_key
from roost.storage.table import Item, Key, Table

#: kind of connection → connection → since when, in milliseconds since the epoch. Commits change it at any time: take a
#: copy (`list`) before going through it.
Audience = Mapping[str, Mapping[str, int]]
_Sockets = dict[str, int]

STREAM = "stream"


class Receivers:
    """Answers who hears a conversation."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._known: dict[str, _Hearing] = {}
        self._building: dict[str, list[Callable[[_Hearing], None]]] = {}  # what commits do while one is being read
        self._sockets: dict[str, _Sockets] = {}  # of members; whoever is alone with the data starts with none
        if table.exclusive:
            table.watch(self._committed)

    def of(self, channel: str) -> Audience:
        """The connections that hear a conversation."""
        if not self._table.exclusive:
            return _read(self._table, channel).audience
        known = self._known.get(channel)
        return known.audience if known is not None else self._build(channel).audience

    def of_users(self, users: Sequence[str]) -> Mapping[str, int]:
        """The event streams of these members."""
        return streams.of_users(self._table, list(users))

    def _build(self, channel: str) -> _Hearing:
        changes = self._building.setdefault(channel, [])
        hearing = _read(self._table, channel)
        for change in list(changes):
            change(hearing)
        self._known[channel] = hearing  # first known, then no longer building: a commit in between reaches both
        self._building.pop(channel, None)
        return hearing

    def _committed(self, writes: Sequence[tuple[Key, Item | None]]) -> None:
        for (pk, sk), item in writes:
            if pk.startswith("C#"):
                channel = pk[2:]
                if sk.startswith("N#"):
                    self._in(channel, _Hearing.tune, sk[2:], None if item is None else from_item(item, TunedRow))
                elif sk.startswith("M#"):
                    sockets = self._sockets.get(sk[2:], {})
                    self._in(channel, _Hearing.belong, sk[2:], None if item is None else sockets)
            elif pk.startswith("P#"):
                sockets = self._sockets[pk[2:]] = {} if item is None else streams.connections(item)
                for channel in [*self._known, *self._building]:
                    self._in(channel, _Hearing.listen, pk[2:], sockets)

    def _in(self, channel: str, change: Callable[..., None], *values: object) -> None:
        building = self._building.get(channel)
        if building is not None:
            building.append(lambda hearing: change(hearing, *values))
        known = self._known.get(channel)
        if known is not None:
            change(known, *values)


class _Hearing:
    """Who hears one conversation."""

    def __init__(self) -> None:
        self.audience: dict[str, _Sockets] = {}
        self._members: dict[str, _Sockets] = {}

    def tune(self, connection: str, row: TunedRow | None) -> None:
        """A text connection hears it from now on, or no longer."""
        if row is not None:
            self.audience.setdefault(row.kind, {})[connection] = row.since
            return
        for kind, connections in self.audience.items():
            if kind != STREAM:
                connections.pop(connection, None)

    def belong(self, user: str, sockets: _Sockets | None) -> None:
        """Somebody belongs to it from now on, with these streams, or no longer."""
        if sockets is None:
            self._replace(self._members.pop(user, {}), {})
        else:
            self._replace(self._members.get(user, {}), sockets)
            self._members[user] = sockets

    def listen(self, user: str, sockets: _Sockets) -> None:
        """Somebody has these streams now."""
        if user in self._members:
            self.belong(user, sockets)

    def _replace(self, old: _Sockets, new: _Sockets) -> None:
        streams_of_it = self.audience.setdefault(STREAM, {})
        for connection in old:
            streams_of_it.pop(connection, None)
        streams_of_it.update(new)


def _read(table: Table, channel: str) -> _Hearing:
    """Read from the table, strong: members and tuned connections lie side by side, so they are one range."""
    hearing, users = _Hearing(), list[str]()
    after: str | None = None
    while True:
        page = table.query(tuned_key(channel, "").pk, low="M#", high="N#~", after=after)
        for item in page.items:
            sk = str(item["SK"])
            if sk.startswith("N#"):
                hearing.tune(sk[2:], from_item(item, TunedRow))
            elif sk.startswith("M#"):  # between the two lies the channel's own row
                hearing.belong(sk[2:], {})
                users.append(sk[2:])
        if page.next is None:
            break
        after = page.next
    listings = table.get_many([presence_key(user) for user in users])
    for user, listing in zip(users, listings, strict=True):
        if listing is not None:
            hearing.belong(user, streams.connections(listing))
    return hearing
