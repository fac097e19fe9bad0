"""Who hears a channel, at send time.

Where this process alone writes the table, the answer is kept in memory: built from the table on first use, then changed
by the same commits that change the table, through `Table.watch`. `tests/storage/test_receivers.py` holds the two
against each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from roost.storage import seats
from roost.storage.items import TunedRow, from_item
from roost.storage.table import Item, Key, Table

_CHANNEL = "C#"
_CONNECTION = "N#"


#: kind of connection → connection → since when, in milliseconds since the epoch. Commits change it at any time: take a
#: copy (`list`) before going through it.
Audience = Mapping[str, Mapping[str, int]]
_Known = dict[str, dict[str, int]]


class Receivers:
    """Answers who hears a channel."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._known: dict[str, _Known] = {}
        self._building: dict[str, dict[str, TunedRow | None]] = {}  # what commits change while a channel is being read
        if table.exclusive:
            table.watch(self._committed)

    def of(self, channel: str) -> Audience:
        """The connections that hear a channel."""
        if not self._table.exclusive:
            return self._read(channel)
        known = self._known.get(channel)
        return known if known is not None else self._build(channel)

    def _read(self, channel: str) -> _Known:
        audience: _Known = {}
        for connection, row in seats.in_channel(self._table, channel):
            _apply(audience, connection, row)
        return audience

    def _build(self, channel: str) -> Audience:
        changes = self._building.setdefault(channel, {})
        audience = self._read(channel)
        for connection, row in list(changes.items()):
            _apply(audience, connection, row)
        self._known[channel] = audience  # first known, then no longer building: a commit in between reaches both
        self._building.pop(channel, None)
        return audience

    def _committed(self, writes: Sequence[tuple[Key, Item | None]]) -> None:
        for (pk, sk), item in writes:
            if not sk.startswith(_CONNECTION) or not pk.startswith(_CHANNEL):
                continue
            channel, connection = pk[len(_CHANNEL) :], sk[len(_CONNECTION) :]
            row = None if item is None else from_item(item, TunedRow)
            building = self._building.get(channel)
            if building is not None:
                building[connection] = row
            known = self._known.get(channel)
            if known is not None:
                _apply(known, connection, row)


def _apply(audience: _Known, connection: str, row: TunedRow | None) -> None:
    if row is not None:
        audience.setdefault(row.kind, {})[connection] = row.since
        return
    for connections in audience.values():
        connections.pop(connection, None)
