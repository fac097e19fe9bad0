"""The Table port in one SQLite file.

One thread writes and commits for all who wait (`sqlite_writer.py`), with `synchronous=FULL` on a write-ahead log: what
was answered survives a power cut. Readers have a connection of their own per thread and see only what is committed;
rows that were read stay in memory (`sqlite_rows.py`), since this process alone has the file (`sqlite_file.py`).
`docs/why/sqlite.md` has the reasons and the numbers.
"""

from __future__ import annotations

import contextlib
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import apsw
import msgspec

from roost.local.sqlite_file import SqliteFile, TableInUse
from roost.local.sqlite_rows import RecentRows, live_item
from roost.local.sqlite_writer import GET, Expire, Unit, Work, Writer
from roost.storage.table import (
    MAX_PAGE_BYTES,
    Condition,
    Delete,
    IndexEntry,
    IndexPage,
    Item,
    Key,
    Operation,
    Page,
    Put,
    StoreUnavailable,
    TransactionFailed,
    Update,
    Watcher,
    check_condition,
    check_item,
    check_key,
    check_limit,
    check_operations,
    check_partition,
    check_range,
    check_update,
    index_position,
)

__all__ = ["SqliteTable", "TableInUse"]

_WAL_PAGES = 1_000  # a checkpoint is due when the log has this many pages (4 MB)
_SWEEP = "SELECT pk, sk, x FROM items WHERE (pk, sk) > (?, ?) ORDER BY pk, sk LIMIT ?"
_SWEPT_AT_ONCE = 100  # expired items per transaction: few commits, and nobody behind them waits long


class SqliteTable:
    """The Table port. Safe to use from any number of threads, and from Tasks of an event loop."""

    exclusive = True

    def __init__(
        self,
        path: Path,
        *,
        clock: Callable[[], float] = time.time,
        synchronous: Literal["FULL", "NORMAL"] = "FULL",
        vfs: str | None = None,
        checkpoint_pages: int = _WAL_PAGES,
    ) -> None:
        """Open or make the file. Raises `TableInUse`, or `TableError` for a file that is not ours to use.

        `synchronous="NORMAL"` loses acknowledged writes in a power cut; it exists so that a test can show that. `vfs`
        names an SQLite VFS to go through, `checkpoint_pages` is how long the log may become, in pages.
        """
        self._clock = clock
        self._file = SqliteFile(path, synchronous=synchronous, vfs=vfs)
        self._recent = RecentRows()
        self._writer = Writer(self._file, self._recent, clock, checkpoint_pages)
        self._own = threading.local()  # .reader: this thread's connection, which ends with the thread
        self._readers: weakref.WeakSet[apsw.Connection] = weakref.WeakSet()
        self._readers_lock = threading.Lock()
        self._swept = ("", "")
        self._closed = False

    # -- reads ------------------------------------------------------------------------------------------------------

    def get(self, key: Key) -> Item | None:
        """The item, or None."""
        check_key(key)
        row = self._recent.rows.get(key)
        return live_item(key, self._read(key) if row is None else row, self._clock())

    def _read(self, key: Key) -> Sequence[Any] | None:
        commits = self._recent.commits  # first: what is committed from here on makes the row too old to remember
        try:
            row: Any = self._reader().execute(GET, key).fetchone()
        except apsw.Error as error:
            raise self._failed(error) from error
        if row is not None:
            self._recent.remember(key, row, commits)
        return row  # type: ignore[no-any-return]  # as selected

    def get_many(self, keys: Sequence[Key]) -> list[Item | None]:
        """The items in the order of `keys`."""
        return [self.get(key) for key in keys]

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
        check_partition(pk)
        check_limit(limit)
        check_range(prefix, low, high)
        where, values = _range("sk", prefix, low, high)
        compare, order = ("<", "DESC") if reverse else (">", "ASC")
        if after is not None:
            check_key(Key(pk, after))
            where += f" AND sk {compare} ?"
            values.append(after)
        sql = f"SELECT sk, x, g1pk, g1sk, body FROM items WHERE pk = ?{where} ORDER BY sk {order} LIMIT ?"  # noqa: S608  constants only
        try:
            rows = self._reader().execute(sql, (pk, *values, limit + 1))
            return _page(pk, rows, limit, self._clock())
        except apsw.Error as error:
            raise self._failed(error) from error

    def query_index(
        self, g1pk: str, *, prefix: str = "", reverse: bool = False, limit: int = 1000, after: str | None = None
    ) -> IndexPage:
        """Keys of the items with this `G1PK`, in the order of `G1SK`; here without lag."""
        check_partition(g1pk)
        check_limit(limit)
        check_range(prefix, None, None)
        where, values = _range("g1sk", prefix, None, None)
        compare, order = ("<", "DESC") if reverse else (">", "ASC")
        if after is not None:
            where += f" AND (g1sk, pk, sk) {compare} (?, ?, ?)"
            values += index_position(after)
        sql = (
            f"SELECT pk, sk, g1pk, g1sk FROM items WHERE g1pk = ? AND g1sk IS NOT NULL{where} "  # noqa: S608  constants only
            f"AND (x IS NULL OR x > ?) ORDER BY g1sk {order}, pk {order}, sk {order} LIMIT ?"
        )
        try:
            rows: list[Any] = self._reader().execute(sql, (g1pk, *values, int(self._clock()), limit + 1)).fetchall()
        except apsw.Error as error:
            raise self._failed(error) from error
        entries = [IndexEntry(*row) for row in rows[:limit]]
        last = entries[-1] if len(rows) > limit else None
        following = msgspec.json.encode((last.g1sk, last.pk, last.sk)).decode() if last else None
        return IndexPage(entries, following)

    def _reader(self) -> apsw.Connection:
        connection: apsw.Connection | None = getattr(self._own, "reader", None)
        if connection is None:
            with self._readers_lock:  # or one could be opened after `close` has closed them all
                if self._closed:
                    raise StoreUnavailable("the store is closed")
                connection = self._own.reader = self._file.connect()
                self._readers.add(connection)
            connection.execute("PRAGMA query_only = 1")
        return connection

    def _failed(self, error: apsw.Error) -> StoreUnavailable:
        if self._closed:
            return StoreUnavailable("the store is closed")
        if isinstance(error, apsw.CorruptError):
            return StoreUnavailable(f"{self._file.path} is damaged; restore a backup")
        return StoreUnavailable(f"{self._file.path} could not be read: {error}")

    # -- writes -----------------------------------------------------------------------------------------------------

    def put(self, item: Item, condition: Condition | None = None) -> None:
        """Write the whole item."""
        check_item(item)
        check_condition(condition)
        self._submit_one(Put(item, condition))

    def update(self, update: Update) -> Item:
        """Change an item and answer it as it is now."""
        check_update(update)
        written = self._submit_one(update)
        assert written is not None  # an update writes an item or fails
        return written

    def delete(self, key: Key, condition: Condition | None = None) -> None:
        """Remove an item."""
        check_key(key)
        check_condition(condition)
        self._submit_one(Delete(key, condition))

    def transact(self, operations: Sequence[Operation]) -> None:
        """Apply all operations or none."""
        check_operations(operations)
        self._submit(operations)

    def watch(self, watcher: Watcher) -> None:
        """Call `watcher` after each commit and before its writers are answered, on the writer's thread."""
        self._writer.watch(watcher)

    def _submit_one(self, operation: Operation) -> Item | None:
        try:
            return self._submit([operation])[0]
        except TransactionFailed as failure:
            (reason,) = failure.reasons
            assert reason is not None  # there is nothing else that it could have failed for
            raise reason from None

    def _submit(self, operations: Sequence[Work]) -> list[Item | None]:
        unit = Unit(operations)
        self._writer.submit(unit)
        unit.wait.wait()
        if unit.error is not None:
            raise unit.error
        return unit.written

    # -- upkeep -----------------------------------------------------------------------------------------------------

    def sweep(self, limit: int) -> int:
        """Remove what has expired among the next `limit` items in key order; answers how many. At the end, from the
        start again. One caller at a time."""
        try:
            rows: list[Any] = self._reader().execute(_SWEEP, (*self._swept, limit)).fetchall()
        except apsw.Error as error:
            raise self._failed(error) from error
        self._swept = (rows[-1][0], rows[-1][1]) if len(rows) == limit else ("", "")
        now = self._clock()
        expired = [Expire(Key(pk, sk)) for pk, sk, x in rows if x is not None and x <= now]
        for start in range(0, len(expired), _SWEPT_AT_ONCE):
            self._submit(expired[start : start + _SWEPT_AT_ONCE])
        return len(expired)

    def close(self) -> None:
        """Write what waits, then close the file. Nothing can be read or written afterwards."""
        self._writer.stop()
        with self._readers_lock:
            if self._closed:
                return
            self._closed = True
            self._recent.forget()
            for connection in self._readers:
                with contextlib.suppress(apsw.Error):  # another thread is reading: it ends with that thread
                    connection.close()
            self._file.close()


def _page(pk: str, rows: Iterable[Any], limit: int, now: float) -> Page:
    """A page from up to `limit` + 1 rows; it ends at the limit, or when about a megabyte was read."""
    items: list[Item] = []
    size, last = 0, ""
    for count, (sk, *row) in enumerate(rows):
        if count == limit or size >= MAX_PAGE_BYTES:
            return Page(items, last)
        last = sk
        size += len(sk) + len(row[3])
        item = live_item(Key(pk, sk), row, now)
        if item is not None:
            items.append(item)
    return Page(items, None)


def _range(column: str, prefix: str, low: str | None, high: str | None) -> tuple[str, list[str]]:
    """The part of a WHERE clause that bounds a key, and its values."""
    bounds: list[tuple[str, str | None]] = [(">=", low), ("<=", high)]
    if prefix:
        bounds = [(">=", prefix), ("<", _beyond(prefix))]
    where, values = "", []
    for compare, value in bounds:
        if value is not None:
            where += f" AND {column} {compare} ?"
            values.append(value)
    return where, values


def _beyond(prefix: str) -> str | None:
    """The least text above everything that starts with `prefix`; None if there is none."""
    for index in range(len(prefix) - 1, -1, -1):
        following = ord(prefix[index]) + 1
        if following == 0xD800:
            following = 0xE000  # surrogates are no characters
        if following <= 0x10FFFF:
            return prefix[:index] + chr(following)
    return None
