"""An item as a row of the SQLite file, and the rows that are kept in memory."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from roost.storage.table import Item, Key

#: x, g1pk, g1sk, body: an item without its key. Only what SQLite must see is a column, the rest is one MessagePack map.
Row = tuple[int | None, str | None, str | None, bytes]

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(dict[str, Any]).decode


def row_of(item: Item) -> Row:
    """An item as it is stored."""
    body: dict[str, Any] = dict(item)
    del body["PK"], body["SK"]
    return body.pop("x", None), body.pop("G1PK", None), body.pop("G1SK", None), _encode(body)


def item_of(key: Key, row: Sequence[Any]) -> Item:
    """The item that was stored, made anew: nobody else holds it."""
    x, g1pk, g1sk, body = row
    item: Item = {"PK": key[0], "SK": key[1], **_decode(body)}
    if x is not None:
        item["x"] = x
    if g1pk is not None:
        item["G1PK"] = g1pk
    if g1sk is not None:
        item["G1SK"] = g1sk
    return item


def live_item(key: Key, row: Sequence[Any] | None, now: float) -> Item | None:
    """The item of a row; None where there is none or it has expired."""
    if row is None or (row[0] is not None and row[0] <= now):
        return None
    return item_of(key, row)


_MAX_ROWS = 50_000  # past that all are forgotten, and those that matter come back
_MAX_BODY = 4_096  # bytes; what is larger is read from the file each time, so that memory stays below 200 MB


class RecentRows:
    """Rows that were read, each as it stands in the file: every commit changes them, too.

    Reading `rows` needs no lock. A reader may only add what it has read if nothing was committed meanwhile: it takes
    `commits` before it looks into the file and hands it to `remember`.
    """

    def __init__(self) -> None:
        self.rows: dict[Key, Row] = {}
        self.commits = 0
        self._lock = threading.Lock()

    def remember(self, key: Key, row: Row, commits: int) -> None:
        """Keep a row that was read when `commits` was this, unless it may be old by now."""
        if len(row[3]) > _MAX_BODY:
            return
        with self._lock:
            if self.commits == commits:
                if len(self.rows) >= _MAX_ROWS:
                    self.rows.clear()
                self.rows[key] = row

    def committed(self, changes: Mapping[Key, tuple[Row, Item] | None]) -> None:
        """Bring the rows up to what was just committed. Call before anybody hears of the commit."""
        rows = self.rows
        with self._lock:
            self.commits += 1
            for key, change in changes.items():
                if key in rows:
                    if change is None or len(change[0][3]) > _MAX_BODY:
                        del rows[key]
                    else:
                        rows[key] = change[0]

    def forget(self) -> None:
        """Forget all rows, and what is being read right now."""
        with self._lock:
            self.commits += 1
            self.rows.clear()
