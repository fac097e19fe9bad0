"""Who hears a channel, at send time.

Where this process alone writes the table, the answer is kept in memory: built from the table on first use, then changed
by the same commits that change the table, through `Table.watch`. `tests/storage/test_receivers.py` holds the two
against each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from roost.storage import seats
from roost.storage.items import TunedRow, from_item
from roost.storage.table import Item, Key, Table

_CHANNEL = "C#"
_CONNECTION = "N#"


class Heard(NamedTuple):
    """What delivery needs to know of a connection."""

    kind: str
    since: int  #: milliseconds since the epoch


#: connection → what is known of it. Not to be changed by who reads it; take a copy (`list`) before doing anything slow.
Audience = Mapping[str, Heard]


class Receivers:
    """Answers who hears a channel."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._known: dict[str, dict[str, Heard]] = {}
        self._building: dict[str, dict[str, Heard | None]] = {}  # what commits change while a channel is being read
        if table.exclusive:
            table.watch(self._committed)

    def of(self, channel: str) -> Audience:
        """The connections that hear a channel."""
        if not self._table.exclusive:
            return self._read(channel)
        known = self._known.get(channel)
        return known if known is not None else self._build(channel)

    def _read(self, channel: str) -> dict[str, Heard]:
        return {connection: Heard(row.kind, row.since) for connection, row in seats.in_channel(self._table, channel)}

    def _build(self, channel: str) -> Audience:
        changes = self._building.setdefault(channel, {})
        audience = self._read(channel)
        for connection, heard in list(changes.items()):
            _apply(audience, connection, heard)
        self._known[channel] = audience  # first known, then no longer building: a commit in between reaches both
        self._building.pop(channel, None)
        return audience

    def _committed(self, writes: Sequence[tuple[Key, Item | None]]) -> None:
        for (pk, sk), item in writes:
            if not sk.startswith(_CONNECTION) or not pk.startswith(_CHANNEL):
                continue
            channel, connection = pk[len(_CHANNEL) :], sk[len(_CONNECTION) :]
            heard = None if item is None else _heard(item)
            building = self._building.get(channel)
            if building is not None:
                building[connection] = heard
            known = self._known.get(channel)
            if known is not None:
                _apply(known, connection, heard)


def _heard(item: Item) -> Heard:
    row = from_item(item, TunedRow)
    return Heard(row.kind, row.since)


def _apply(audience: dict[str, Heard], connection: str, heard: Heard | None) -> None:
    if heard is None:
        audience.pop(connection, None)
    else:
        audience[connection] = heard
