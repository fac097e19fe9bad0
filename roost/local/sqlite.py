"""The Table port in one SQLite file.

One thread writes. It takes everything that waits, applies it in the order in which it was submitted, commits once with
`synchronous=FULL` on a write-ahead log, and only then lets the waiting go on: a commit costs one fsync however many
share it, and what was answered survives a power cut. Readers have a connection of their own per thread and see only
what is committed. `docs/why/sqlite.md` has the numbers.

For whoever edits this: the conditions of a unit are checked before its first write, against the state that the units
before it in the same batch have left, so a unit that fails has changed nothing and needs no savepoint.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import apsw
import filelock
import msgspec

from roost.local.waiting import Wait, finish
from roost.storage.conditions import holds, updated
from roost.storage.table import (
    Condition,
    ConditionFailed,
    Delete,
    IndexEntry,
    IndexPage,
    InvalidItem,
    Item,
    Key,
    Operation,
    Page,
    Put,
    StoreUnavailable,
    TableError,
    TransactionFailed,
    Update,
    Watcher,
    check_item,
    check_key,
    check_limit,
    check_operations,
    check_range,
    check_update,
    key_of,
    page_of,
)

log = logging.getLogger("roost.local.sqlite")

APPLICATION_ID = 0x526F6F73  # "Roos": says in the file's header whose it is
SCHEMA_VERSION = 1
_BUSY_MS = 5_000
_WAL_PAGES = 1_000  # a checkpoint is due when the log has this many pages (4 MB)
_MAX_BATCH = 1_000
_MAX_KNOWN = 50_000  # rows remembered; past that all are forgotten, and those that matter come back
_LARGE = 100 * 1024  # encoded bytes below which an item cannot come near DynamoDB's 400 KB

_SCHEMA = """
CREATE TABLE items (
    pk TEXT NOT NULL, sk TEXT NOT NULL, x INTEGER, g1pk TEXT, g1sk TEXT, body BLOB NOT NULL,
    PRIMARY KEY (pk, sk)
) STRICT, WITHOUT ROWID;
CREATE INDEX g1 ON items (g1pk, g1sk, pk, sk) WHERE g1pk IS NOT NULL AND g1sk IS NOT NULL;
"""
_GET = "SELECT x, g1pk, g1sk, body FROM items WHERE pk = ? AND sk = ?"
_PUT = (  # not REPLACE, which deletes first and touches one page more
    "INSERT INTO items (pk, sk, x, g1pk, g1sk, body) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (pk, sk) "
    "DO UPDATE SET x = excluded.x, g1pk = excluded.g1pk, g1sk = excluded.g1sk, body = excluded.body"
)
_DELETE = "DELETE FROM items WHERE pk = ? AND sk = ?"
_SWEEP = "SELECT pk, sk, x FROM items WHERE (pk, sk) > (?, ?) ORDER BY pk, sk LIMIT ?"

_Row = tuple[Any, ...]  # x, g1pk, g1sk, body

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(dict[str, Any]).decode


class TableInUse(TableError):
    """Another process has the file."""


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

        `synchronous="NORMAL"` loses acknowledged writes in a power cut; it exists so that a test can show that.
        """
        self._path = path
        self._clock = clock
        self._vfs = vfs
        self._checkpoint_pages = checkpoint_pages
        self._wal_pages = 0
        self._lock = filelock.FileLock(f"{path}.lock", timeout=0)
        try:
            self._lock.acquire()
        except filelock.Timeout:
            raise TableInUse(f"another Roost has the data in {path.parent}; stop it, or name other data") from None
        try:
            self._writer_db = self._connect()
            self._prepare(synchronous)
        except BaseException:
            self._lock.release()
            raise
        self._readers = threading.local()
        self._opened: list[apsw.Connection] = []
        self._opened_lock = threading.Lock()
        self._queue: queue.SimpleQueue[_Unit | None] = queue.SimpleQueue()
        self._watchers: list[Watcher] = []
        self._known: dict[Key, _Row] = {}  # rows that were read, kept as they are in the file by every commit
        self._known_lock = threading.Lock()
        self._commits = 0  # changes whenever what a reader has just seen may be old
        self._swept = ("", "")
        self._closed = False
        self._thread = threading.Thread(target=self._write, name="sqlite-writer", daemon=True)
        self._thread.start()

    def _connect(self) -> apsw.Connection:
        try:
            connection = apsw.Connection(str(self._path), vfs=self._vfs, statementcachesize=64)
        except apsw.Error as error:
            raise TableError(f"cannot open {self._path}: {error}") from None
        connection.set_busy_timeout(_BUSY_MS)
        return connection

    def _prepare(self, synchronous: str) -> None:
        db = self._writer_db
        try:
            version = _single(db, "PRAGMA user_version")
            application = _single(db, "PRAGMA application_id")
            tables = _single(db, "SELECT count(*) FROM sqlite_schema")
            if tables and application != APPLICATION_ID:
                raise TableError(f"{self._path} is not a Roost database")
            if version > SCHEMA_VERSION:
                raise TableError(f"{self._path} was written by a newer Roost; upgrade this one")
            db.execute("PRAGMA journal_mode = WAL")
            db.execute(f"PRAGMA synchronous = {synchronous}")
            db.set_wal_hook(self._committed)  # in place of automatic checkpoints, which would hold up the commit
            if not tables:
                with db:
                    db.execute(_SCHEMA)
                    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                    db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        except apsw.NotADBError:
            raise TableError(f"{self._path} is not a database") from None
        except apsw.Error as error:
            raise TableError(f"cannot use {self._path}: {error}") from None

    # -- reads ------------------------------------------------------------------------------------------------------

    def get(self, key: Key) -> Item | None:
        """The item, or None."""
        check_key(key)
        row = self._known.get(key)
        return self._live(key, self._read(key) if row is None else row)

    def _read(self, key: Key) -> _Row | None:
        """A row from the file, remembered for the next time unless something is committed meanwhile."""
        commits = self._commits
        row: Any = self._reader().execute(_GET, key).fetchone()
        if row is not None:
            with self._known_lock:
                if self._commits == commits:
                    if len(self._known) >= _MAX_KNOWN:
                        self._known.clear()
                    self._known[key] = row
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
        check_limit(limit)
        check_range(prefix, low, high)
        where, values = _range("sk", prefix, low, high, reverse=reverse, after=after)
        order = "DESC" if reverse else "ASC"
        sql = f"SELECT sk, x, g1pk, g1sk, body FROM items WHERE pk = ?{where} ORDER BY sk {order} LIMIT ?"  # noqa: S608  constants only
        rows = self._reader().execute(sql, (pk, *values, limit + 1))
        return page_of(((row[0], self._live(Key(pk, row[0]), row[1:])) for row in rows), limit)

    def query_index(
        self, g1pk: str, *, prefix: str = "", reverse: bool = False, limit: int = 1000, after: str | None = None
    ) -> IndexPage:
        """Keys of the items with this `G1PK`, in the order of `G1SK`; here without lag."""
        check_limit(limit)
        where, values = _range("g1sk", prefix, None, None, reverse=reverse, after=None)
        compare, order = ("<", "DESC") if reverse else (">", "ASC")
        if after is not None:
            where += f" AND (g1sk, pk, sk) {compare} (?, ?, ?)"
            values += msgspec.json.decode(after, type=list[str])
        sql = (
            f"SELECT pk, sk, g1pk, g1sk FROM items WHERE g1pk = ? AND g1sk IS NOT NULL{where} AND (x IS NULL OR x > ?) "  # noqa: S608  constants only
            f"ORDER BY g1sk {order}, pk {order}, sk {order} LIMIT ?"
        )
        rows: list[Any] = self._reader().execute(sql, (g1pk, *values, int(self._clock()), limit + 1)).fetchall()
        entries = [IndexEntry(*row) for row in rows[:limit]]
        last = entries[-1] if len(rows) > limit else None
        following = msgspec.json.encode((last.g1sk, last.pk, last.sk)).decode() if last else None
        return IndexPage(entries, following)

    def _reader(self) -> apsw.Connection:
        connection: apsw.Connection | None = getattr(self._readers, "connection", None)
        if connection is None:
            if self._closed:
                raise StoreUnavailable("the store is closed")
            connection = self._connect()
            connection.execute("PRAGMA query_only = 1")
            self._readers.connection = connection
            with self._opened_lock:
                self._opened.append(connection)
        return connection

    def _live(self, key: Key, row: Sequence[Any] | None) -> Item | None:
        if row is None or (row[0] is not None and row[0] <= self._clock()):
            return None
        return _item(key, row)

    # -- writes -----------------------------------------------------------------------------------------------------

    def put(self, item: Item, condition: Condition | None = None) -> None:
        """Write the whole item."""
        check_item(item)
        self._submit([Put(item, condition)], single=True)

    def update(self, update: Update) -> Item:
        """Change an item and answer it as it is now."""
        check_update(update)
        written = self._submit([update], single=True)[0]
        assert written is not None
        return written

    def delete(self, key: Key, condition: Condition | None = None) -> None:
        """Remove an item."""
        check_key(key)
        self._submit([Delete(key, condition)], single=True)

    def transact(self, operations: Sequence[Operation]) -> None:
        """Apply all operations or none."""
        check_operations(operations)
        self._submit(operations, single=False)

    def watch(self, watcher: Watcher) -> None:
        """Call `watcher` after each commit and before its writer is answered, on the writer's thread."""
        self._watchers.append(watcher)

    def sweep(self, limit: int) -> int:
        """Remove what has expired among the next `limit` items in key order; answers how many. At the end, from the
        start again."""
        rows: list[Any] = self._reader().execute(_SWEEP, (*self._swept, limit)).fetchall()
        self._swept = (rows[-1][0], rows[-1][1]) if len(rows) == limit else ("", "")
        now = int(self._clock())
        gone = [Key(pk, sk) for pk, sk, x in rows if x is not None and x <= now]
        for key in gone:
            self._submit([_Expire(key)], single=True)
        return len(gone)

    def close(self) -> None:
        """Write what waits, then close the file. Nothing can be read or written afterwards."""
        if self._closed:
            return
        self._closed = True
        self._queue.put(None)
        self._thread.join()
        with contextlib.suppress(apsw.Error):
            self._writer_db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        for connection in [*self._opened, self._writer_db]:
            with contextlib.suppress(apsw.Error):
                connection.close()
        self._lock.release()

    def _submit(self, operations: Sequence[_Work], *, single: bool) -> list[Item | None]:
        if self._closed:
            raise StoreUnavailable("the store is closed")
        unit = _Unit(operations)
        self._queue.put(unit)
        unit.wait.wait()
        error = unit.error
        if error is None:
            return unit.written
        if single and isinstance(error, TransactionFailed):
            (reason,) = error.reasons
            assert reason is not None
            raise reason
        raise error

    # -- the writer -------------------------------------------------------------------------------------------------

    def _write(self) -> None:
        """The writer's thread: batch after batch, until told to stop."""
        running = True
        while running:
            batch, running = self._next_batch()
            if batch:
                self._commit(batch)
                finish(unit.wait for unit in batch)
                self._checkpoint_if_due()

    def _next_batch(self) -> tuple[list[_Unit], bool]:
        """Everything that waits, at least one unit; and whether there is more to come after it."""
        batch: list[_Unit] = []
        unit = self._queue.get()
        while unit is not None:
            batch.append(unit)
            if len(batch) == _MAX_BATCH:
                return batch, True
            try:
                unit = self._queue.get_nowait()
            except queue.Empty:
                return batch, True
        return batch, False

    def _commit(self, batch: list[_Unit]) -> None:
        """Apply and commit a batch; whatever fails, each unit ends up with a result or an error."""
        db = self._writer_db
        try:
            db.execute("BEGIN IMMEDIATE")
            changes: list[tuple[Key, Item | None]] = []
            for unit in batch:
                self._apply(unit, changes)
            db.execute("COMMIT")
            self._keep_known(changes)
        except Exception as error:  # noqa: BLE001  whoever waits must be answered, or waits for ever
            with contextlib.suppress(apsw.Error):
                if not db.get_autocommit():
                    db.execute("ROLLBACK")
            for unit in batch:
                unit.error = StoreUnavailable(f"the store did not take it: {error}")
            return
        if changes:
            self._tell(changes)

    def _keep_known(self, changes: Sequence[tuple[Key, Item | None]]) -> None:
        """Bring the remembered rows up to what was just committed, before anybody hears of it."""
        with self._known_lock:
            self._commits += 1
            for key, item in changes:
                if key in self._known:
                    if item is None:
                        del self._known[key]
                    else:
                        self._known[key] = _row(item)[2:]

    def _tell(self, changes: Sequence[tuple[Key, Item | None]]) -> None:
        for watcher in self._watchers:
            try:
                watcher(changes)
            except Exception:  # the rows are committed: who asked for them must hear so
                log.exception("a watcher of the table failed")

    def _apply(self, unit: _Unit, changes: list[tuple[Key, Item | None]]) -> None:
        """Check all of a unit, then write all of it."""
        reasons: list[ConditionFailed | None] = []
        writes: list[_Write | None] = []
        try:
            for operation in unit.operations:
                item, reason = self._check(operation)
                reasons.append(reason)
                writes.append(_planned(operation, item) if reason is None else None)
        except InvalidItem as error:
            unit.error = error
            return
        if any(reasons):
            unit.error = TransactionFailed(reasons)
            return
        for write in writes:
            unit.written.append(None if write is None else write[1])
            if write is not None:
                self._execute(*write)
                changes.append(write)

    def _execute(self, key: Key, item: Item | None) -> None:
        if item is None:
            self._writer_db.execute(_DELETE, key)
        else:
            self._writer_db.execute(_PUT, _row(item))

    def _check(self, operation: _Work) -> tuple[Item | None, ConditionFailed | None]:
        """The item as it stands, where it is needed, and what its condition has against it."""
        if isinstance(operation, _Expire):
            return self._current(operation.key), None
        condition = operation.condition
        if condition is None:
            return None, None
        item = self._current(key_of(operation.item) if isinstance(operation, Put) else operation.key)
        return item, None if holds(condition, item) else ConditionFailed(item)

    def _current(self, key: Key) -> Item | None:
        return self._live(key, self._writer_db.execute(_GET, key).fetchone())

    def _committed(self, connection: apsw.Connection, database: str, pages: int) -> int:
        """Told by SQLite after each commit how long the log is."""
        self._wal_pages = pages
        return apsw.SQLITE_OK

    def _checkpoint_if_due(self) -> None:
        """Copy the log into the file when it is long and nobody waits. Its file stays and is written over from the
        start, which costs less than growing a new one. Readers and the event loop are not held up."""
        if self._wal_pages >= self._checkpoint_pages and self._queue.empty():
            self._wal_pages = 0
            with contextlib.suppress(apsw.Error):  # nothing is lost: the log stays, and the next one tries again
                self._writer_db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)


class _Expire:
    """Remove an item if it has expired by now."""

    __slots__ = ("condition", "key")

    def __init__(self, key: Key) -> None:
        self.key = key
        self.condition = None


_Work = Operation | _Expire


class _Unit:
    """Operations that are applied together, and who waits for them."""

    __slots__ = ("error", "operations", "wait", "written")

    def __init__(self, operations: Sequence[_Work]) -> None:
        self.operations = operations
        self.wait = Wait()
        self.error: TableError | None = None
        self.written: list[Item | None] = []


#: What one operation writes: the item that will stand under the key, or None for nothing.
_Write = tuple[Key, Item | None]


def _planned(operation: _Work, item: Item | None) -> _Write | None:
    """What an operation writes whose condition holds; None if it writes nothing. Raises `InvalidItem`."""
    if isinstance(operation, Put):
        return key_of(operation.item), operation.item
    if isinstance(operation, Update):
        assert item is not None
        return operation.key, _updated(item, operation)
    if isinstance(operation, Delete):
        return operation.key, None
    if isinstance(operation, _Expire) and item is None:
        return operation.key, None
    return None


def _updated(item: Item, update: Update) -> Item:
    changed = updated(item, update)
    if len(_encode(changed)) > _LARGE:
        check_item(changed)
    return changed


def _row(item: Item) -> tuple[Any, ...]:
    """An item as it is stored: keys and expiry as columns, the rest as one MessagePack map."""
    body = dict(item)
    keys = body.pop("PK"), body.pop("SK"), body.pop("x", None), body.pop("G1PK", None), body.pop("G1SK", None)
    return (*keys, _encode(body))


def _item(key: Key, row: Sequence[Any]) -> Item:
    x, g1pk, g1sk, body = row
    item: Item = {"PK": key.pk, "SK": key.sk, **_decode(body)}
    if x is not None:
        item["x"] = x
    if g1pk is not None:
        item["G1PK"] = g1pk
    if g1sk is not None:
        item["G1SK"] = g1sk
    return item


def _range(
    column: str, prefix: str, low: str | None, high: str | None, *, reverse: bool, after: str | None
) -> tuple[str, list[Any]]:
    """The part of a WHERE clause that bounds a key, and its values."""
    where, values = "", []
    if prefix:
        where += f" AND {column} >= ?"
        values.append(prefix)
        beyond = _beyond(prefix)
        if beyond is not None:
            where += f" AND {column} < ?"
            values.append(beyond)
    if low is not None:
        where += f" AND {column} >= ?"
        values.append(low)
    if high is not None:
        where += f" AND {column} <= ?"
        values.append(high)
    if after is not None:
        where += f" AND {column} {'<' if reverse else '>'} ?"
        values.append(after)
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


def _single(db: apsw.Connection, sql: str) -> Any:
    row: Any = db.execute(sql).fetchone()
    return row[0]
