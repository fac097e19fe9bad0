"""The Table port over another one, metered by the sizes of what is read and written.

Where this process alone has the data, it saves reads that AWS needs: the channel's head before an append, and who
hears the channel after it. They are metered as if they had been made.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from roost.cost import model
from roost.cost.units import bytes_read, index_units, read_units, write_units
from roost.cost.use import Use
from roost.local.meter import SKIPPED, Meter
from roost.storage.table import (
    Condition,
    Delete,
    IndexPage,
    Item,
    Key,
    Missing,
    Operation,
    Page,
    Put,
    Table,
    Update,
    Watcher,
    item_size,
    key_of,
)

_SMALL = 900  # bytes, encoded: surely one unit, as `roost/cost/units.py` has it; said again, since a call costs most
_SEATS = ("M#", "N#")  # members of a channel, and text connections that are tuned to it: side by side
_NEW = frozenset({type(None), Missing})  # conditions of a Put that replaces nothing, as far as one can see
_encode = msgspec.msgpack.Encoder().encode


class MeteredTable:
    """The Table port over another one, metered by the sizes of what is read and written."""

    def __init__(self, table: Table, meter: Meter) -> None:
        self._table = table
        self._meter = meter
        self._hearing: dict[str, _Hearing] = {}  # by the channel's partition, once something was appended there
        self.exclusive = table.exclusive

    # -- reads ------------------------------------------------------------------------------------------------------

    def get(self, key: Key) -> Item | None:
        """The item, or None."""
        item = self._table.get(key)
        use = self._meter.current()
        if use is SKIPPED:
            return item
        use.reads += 1 if item is None or len(_encode(item)) <= _SMALL else read_units(item)
        if not use.channel and key.pk[0] == "C":
            _place(use, key.pk)
        return item

    def get_many(self, keys: Sequence[Key]) -> list[Item | None]:
        """The items in the order of `keys`."""
        items = self._table.get_many(keys)
        self._meter.current().reads += sum(map(read_units, dict(zip(keys, items, strict=True)).values()))
        return items

    def query(
        self,
        pk: str,
        *,
        prefix: str = "",
        low: str | None = None,
        high: str | None = None,
        reverse: bool = False,
        limit: int = 1000,
        after: str | None = None,
    ) -> Page:
        """Items of one partition in the order of their SK."""
        page = self._table.query(pk, prefix=prefix, low=low, high=high, reverse=reverse, limit=limit, after=after)
        use = self._meter.current()
        use.reads += bytes_read(sum(map(item_size, page.items)))
        if not use.channel:
            _place(use, pk)
        return page

    def query_index(
        self, g1pk: str, *, prefix: str = "", reverse: bool = False, limit: int = 1000, after: str | None = None
    ) -> IndexPage:
        """Keys of the items with this `G1PK`."""
        page = self._table.query_index(g1pk, prefix=prefix, reverse=reverse, limit=limit, after=after)
        size = sum(_INDEX_NAMES + sum(map(len, map(str.encode, entry))) for entry in page.entries)
        self._meter.current().reads += bytes_read(size) / 2  # the index is read eventually consistent
        return page

    # -- writes -----------------------------------------------------------------------------------------------------

    def put(self, item: Item, condition: Condition | None = None) -> None:
        """Write the whole item."""
        use = self._meter.current()
        use.writes += sum(self._put(Put(item, condition)))
        if not use.channel:
            _place(use, str(item["PK"]))
        self._table.put(item, condition)

    def update(self, update: Update) -> Item:
        """Change an item and answer it as it is now."""
        item = self._table.update(update)
        self._meter.current().writes += write_units(item)
        return item

    def delete(self, key: Key, condition: Condition | None = None) -> None:
        """Remove an item."""
        use = self._meter.current()
        use.writes += sum(self._delete(key))
        if not use.channel:
            _place(use, key.pk)
        self._table.delete(key, condition)

    def transact(self, operations: Sequence[Operation]) -> None:
        """Apply all operations or none."""
        use, units = self._meter.current(), len(operations)
        log, known = None, False
        first = operations[0] if operations else None
        if type(first) is Update and first.key.sk == "HEAD":
            log = first.key.pk
            known = log in self._hearing or self._begin(log)
            if use is SKIPPED:
                self._note_seats(operations)
                self._table.transact(operations)
                return
        for operation in operations:
            written = entries = 0
            if type(operation) is Put:
                item = operation.item
                seat = item["SK"][1:2] == "#"  # type: ignore[index]  # text
                small = len(_encode(item)) <= _SMALL and "G1PK" not in item
                if small and not seat and type(operation.condition) in _NEW:
                    continue  # one unit, as nearly always
                written, entries = self._put(operation)
            elif type(operation) is Update:
                if operation is first and log is not None:
                    continue
                written = self._update(operation)
            elif type(operation) is Delete:
                written, entries = self._delete(operation.key)
            else:
                continue
            units += written - 1
            use.writes += entries
        use.writes += 2 * units
        if log is not None:
            self._appended(log, use, known=known)
        self._table.transact(operations)

    def watch(self, watcher: Watcher) -> None:
        """As the table underneath has it."""
        self._table.watch(watcher)

    def _put(self, put: Put) -> tuple[int, int]:
        """Units of the item and of its entry in the index, which no transaction doubles."""
        pk, sk = key_of(put.item)
        if sk[:2] in _SEATS and pk in self._hearing:
            self._hearing[pk].note(sk, item_size(put.item))
        new = (type(put.condition) in _NEW and "G1PK" not in put.item) or isinstance(put.condition, Missing)
        there = None if new else self._standing(Key(pk, sk))
        return max(write_units(put.item), write_units(there or {})), _index_change(there, put.item)

    def _update(self, update: Update) -> int:
        standing = self._standing(update.key) or {}
        return max(write_units(standing), write_units({**standing, **update.set}))

    def _appended(self, log: str, use: Use, *, known: bool) -> None:
        """What an append reads on AWS besides. The first to a log reads as much here, to keep it in memory."""
        use.appends += 1
        use.invocations += model.FOLLOWED
        channel = log[0] == "C"  # and not the workspace's own log
        if channel:
            use.channel = use.channel or log[2:]
        if self.exclusive and known:
            use.reads += 1 + (self._hearing[log].units if channel else 0)

    def _begin(self, log: str) -> bool:
        """Know who hears a log from now on: every write is noted. Says that it was not known before."""
        self._hearing[log] = _Hearing(self._heard(log) if self.exclusive else ())
        return False

    def _heard(self, pk: str) -> Iterator[Item]:
        after: str | None = None
        while True:
            page = self._table.query(pk, low=_SEATS[0], high=f"{_SEATS[1]}~", after=after)
            yield from page.items
            after = page.next
            if after is None:
                return

    def _note_seats(self, operations: Sequence[Operation]) -> None:
        """Of a transaction that is not metered: who comes and goes in it."""
        for operation in operations:
            if type(operation) is Put:
                if operation.item["SK"][1:2] == "#":  # type: ignore[index]  # text
                    self._put(operation)
            elif type(operation) is Delete:
                self._delete(operation.key)

    def _delete(self, key: Key) -> tuple[int, int]:
        if key.sk[:2] in _SEATS and key.pk in self._hearing:
            self._hearing[key.pk].note(key.sk, 0)
        standing = self._standing(key)
        return (1, 0) if standing is None else (write_units(standing), index_units(standing))

    def _standing(self, key: Key) -> Item | None:
        """What a write replaces, where looking costs nothing."""
        return self._table.get(key) if self.exclusive else None


class _Hearing:
    """What it takes to read who hears a channel: a range of its items, and for each member what lists their streams."""

    __slots__ = ("_members", "_sizes", "_total", "units")

    def __init__(self, items: Iterable[Item]) -> None:
        self._sizes: dict[str, int] = {}
        self._total = self._members = 0
        self.units = 1
        for item in items:
            self.note(str(item["SK"]), item_size(item))

    def note(self, sk: str, size: int) -> None:
        """An item has so many bytes now; none: it is gone."""
        before = self._sizes.pop(sk, 0)
        self._total += size - before
        if sk[:2] == _SEATS[0]:
            self._members += bool(size) - bool(before)
        if size:
            self._sizes[sk] = size
        self.units = bytes_read(self._total) + self._members


_INDEX_NAMES = len("PK" + "SK" + "G1PK" + "G1SK")


def _index_change(there: Item | None, item: Item) -> int:
    """Units of the index: an entry goes, one comes, or it stays as it is."""
    if there is None:
        return index_units(item)
    same = (there.get("G1PK"), there.get("G1SK")) == (item.get("G1PK"), item.get("G1SK"))
    return 0 if same else index_units(there) + index_units(item)


def _place(use: Use, pk: str) -> None:
    """The first channel that an action touches is where it happened."""
    if pk[:2] == "C#":
        use.channel = pk[2:].partition("#")[0]
