"""The one thread that writes to the SQLite file: group commit.

It takes everything that waits, applies it in the order in which it was submitted, commits once, tells the watchers, and
only then lets the waiting go on, all at once. A commit costs one sync however many share it.

For whoever edits this. A *unit* is what one caller submitted: all of it happens or none. Each unit of a batch is
decided against what the units before it have left, in `_Changes`, before the file is touched: so a unit that fails has
changed nothing, an item that ten units change is written once, and the file sees one statement for most commits. Rows
are encoded while a unit is decided, since a unit that cannot be encoded must not take the others with it. Whatever
happens, each unit ends with an answer or an error: whoever waits for one that never comes waits for ever.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import queue
import threading
from collections.abc import Callable, Sequence
from typing import Any

import apsw

from roost.local.sqlite_file import SqliteFile
from roost.local.sqlite_rows import RecentRows, Row, live_item, row_of
from roost.local.waiting import Wait, finish
from roost.storage.conditions import holds, updated
from roost.storage.table import (
    ConditionFailed,
    Delete,
    Item,
    Key,
    Operation,
    Put,
    StoreUnavailable,
    TableError,
    TransactionFailed,
    Update,
    Watcher,
    key_of,
)

log = logging.getLogger("roost.local.sqlite")

GET = "SELECT x, g1pk, g1sk, body FROM items WHERE pk = ? AND sk = ?"
_DELETE = "DELETE FROM items WHERE pk = ? AND sk = ?"
_ONE_STATEMENT = 4  # rows up to which one statement, which is a transaction by itself, is cheaper than one per row

_MAX_BATCH = 1_000  # units; more would make the first of them wait too long
_PATIENCE = 4  # how many times its due length the log may have before it is copied though others wait


class Expire:
    """Remove an item if it has expired by now."""

    __slots__ = ("key",)

    def __init__(self, key: Key) -> None:
        self.key = key


Work = Operation | Expire

#: What a batch leaves under each key that it changes: the row and the item, or None for nothing.
_Changes = dict[Key, tuple[Row, Item] | None]


class Unit:
    """Operations that are applied together, who waits for them, and what became of them."""

    __slots__ = ("error", "operations", "wait", "written")

    def __init__(self, operations: Sequence[Work]) -> None:
        self.operations = operations
        self.wait = Wait()
        self.error: TableError | None = None
        self.written: list[Item | None] = []  # per operation: the item that it wrote


class Writer:
    """Takes units, commits them, answers."""

    def __init__(self, file: SqliteFile, recent: RecentRows, clock: Callable[[], float], checkpoint_pages: int) -> None:
        """`checkpoint_pages`: how long the log may be, in pages, before it is copied into the file."""
        self._file = file  # kept, and with it the lock on it, for as long as the thread lives
        self._db = db = file.writer
        self._recent = recent
        self._clock = clock
        self._checkpoint_pages = checkpoint_pages
        self._wal_pages = 0
        self._wal_pages_copied = 0
        self._watchers: list[Watcher] = []
        self._queue: queue.SimpleQueue[Unit | None] = queue.SimpleQueue()
        self._stopping = False
        self._stop_lock = threading.Lock()
        db.set_wal_hook(self._note_wal_pages)  # in place of automatic checkpoints, which would hold up the commit
        self._thread = threading.Thread(target=self._run, name="sqlite-writer", daemon=True)
        self._thread.start()

    def watch(self, watcher: Watcher) -> None:
        """Call `watcher` after each commit, on the writer's thread."""
        self._watchers = [*self._watchers, watcher]

    def submit(self, unit: Unit) -> None:
        """Hand a unit over; `unit.wait` is finished once its outcome is in it."""
        with self._stop_lock:  # or a unit could come to lie behind the end of the queue, where nobody answers it
            if self._stopping:
                raise StoreUnavailable("the store is closed")
            self._queue.put(unit)

    def stop(self) -> None:
        """Finish what was submitted, then end."""
        with self._stop_lock:
            if not self._stopping:
                self._stopping = True
                self._queue.put(None)
        self._thread.join()

    # -- batches ----------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        running = True
        while running:
            batch, running = self._next_batch()
            if batch:
                self._commit(batch)
                finish(unit.wait for unit in batch)
                self._checkpoint_if_due()

    def _next_batch(self) -> tuple[list[Unit], bool]:
        """Everything that waits, at least one unit; and whether there is more to come after it."""
        batch: list[Unit] = []
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

    def _commit(self, batch: Sequence[Unit]) -> None:
        changes: _Changes = {}
        for unit in batch:
            self._decide(unit, changes)
        if not changes:
            return
        try:
            self._store(changes)
        except Exception as error:  # noqa: BLE001  whoever waits must be answered
            for unit in batch:  # also those whose condition did not hold: it was held against what is not stored
                unit.error = _unavailable(error)
            return
        self._recent.committed(changes)
        self._tell(changes)

    def _tell(self, changes: _Changes) -> None:
        if not self._watchers:
            return
        told = [(key, None if change is None else change[1]) for key, change in changes.items()]
        for watcher in self._watchers:
            try:
                watcher(told)
            except Exception:  # the rows are committed: who asked for them must hear so
                log.exception("a watcher of the table failed")

    # -- deciding ---------------------------------------------------------------------------------------------------

    def _decide(self, unit: Unit, changes: _Changes) -> None:
        """Add what a unit changes to `changes`, or give it its error and leave them as they are."""
        own: _Changes = {}
        reasons: list[ConditionFailed | None] = []
        try:
            for operation in unit.operations:
                reasons.append(self._plan(operation, changes, own, unit.written))
        except TableError as error:
            unit.error = error
        except Exception as error:  # noqa: BLE001  whoever waits must be answered, the others as if it had not been
            unit.error = _unavailable(error)
        else:
            if any(reasons):
                unit.error = TransactionFailed(reasons)
            else:
                changes.update(own)

    def _plan(
        self, operation: Work, changes: _Changes, own: _Changes, written: list[Item | None]
    ) -> ConditionFailed | None:
        """Note in `own` and `written` what an operation does, or answer what its condition has against it."""
        if isinstance(operation, Expire):
            self._plan_expiry(operation.key, changes, own)
            return None
        key = key_of(operation.item) if isinstance(operation, Put) else operation.key
        condition = operation.condition
        item = None
        if condition is not None:
            item = live_item(key, self._row(key, changes), self._clock())
            if not holds(condition, item):
                return ConditionFailed(item)
        new = _new_item(operation, item)
        if new is not None:
            own[key] = row_of(new), new
        elif isinstance(operation, Delete):
            own[key] = None
        written.append(new)
        return None

    def _plan_expiry(self, key: Key, changes: _Changes, own: _Changes) -> None:
        row = self._row(key, changes)
        if row is not None and row[0] is not None and row[0] <= self._clock():
            own[key] = None

    def _row(self, key: Key, changes: _Changes) -> Row | None:
        """The row as the units before have left it."""
        if key in changes:
            change = changes[key]
            return None if change is None else change[0]
        row = self._recent.rows.get(key)
        if row is None:
            found: Any = self._db.execute(GET, key).fetchone()
            row = found
            if row is not None:
                self._recent.remember(key, row, self._recent.commits)
        return row

    # -- the file ---------------------------------------------------------------------------------------------------

    def _store(self, changes: _Changes) -> None:
        """Commit the changes: when this returns they are on the disk, when it raises none of them is in the file."""
        puts = [(*key, *change[0]) for key, change in changes.items() if change is not None]
        gone = [key for key, change in changes.items() if change is None]
        if not gone and len(puts) <= _ONE_STATEMENT:
            self._db.execute(_upsert(len(puts)), [value for row in puts for value in row])
            return
        self._db.execute("BEGIN IMMEDIATE")
        try:
            self._db.executemany(_upsert(1), puts)
            self._db.executemany(_DELETE, gone)
            self._db.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(apsw.Error):
                if not self._db.get_autocommit():  # most failures of the disk have rolled back already
                    self._db.execute("ROLLBACK")
            raise

    def _note_wal_pages(self, connection: apsw.Connection, database: str, pages: int) -> int:
        """Told by SQLite after each commit how long the log is."""
        if pages < self._wal_pages:  # it is written over from its start
            self._wal_pages_copied = 0
        self._wal_pages = pages
        return apsw.SQLITE_OK

    def _checkpoint_if_due(self) -> None:
        """Copy the log into the file when it is long and nobody waits, or when it is too long to wait for that. Its
        file stays and is written over from the start, which costs less than growing a new one. Readers and the event
        loop are not held up."""
        waiting = self._wal_pages - self._wal_pages_copied
        if waiting < self._checkpoint_pages:
            return
        if waiting < self._checkpoint_pages * _PATIENCE and not self._queue.empty():
            return
        self._wal_pages_copied = self._wal_pages
        try:
            self._db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        except apsw.Error as error:  # nothing is lost: the log stays, and the next checkpoint tries again
            log.warning("the log could not be copied into the file: %s", error)


def _new_item(operation: Operation, item: Item | None) -> Item | None:
    """The item that an operation writes, if it writes one, in place of this. Raises `InvalidItem`."""
    if isinstance(operation, Put):
        return operation.item
    if isinstance(operation, Update):
        assert item is not None  # an update's condition never holds for nothing
        return updated(item, operation)
    return None


def _unavailable(error: Exception) -> StoreUnavailable:
    if isinstance(error, apsw.FullError):
        return StoreUnavailable("the disk is full")
    if isinstance(error, apsw.CorruptError):
        return StoreUnavailable("the file is damaged; restore a backup")
    return StoreUnavailable(f"the store did not take it: {error}")


@functools.cache
def _upsert(rows: int) -> str:
    values = ", ".join(["(?, ?, ?, ?, ?, ?)"] * rows)
    return (  # not REPLACE, which deletes first and touches one page more
        f"INSERT INTO items (pk, sk, x, g1pk, g1sk, body) VALUES {values} ON CONFLICT (pk, sk) "  # noqa: S608  constants
        "DO UPDATE SET x = excluded.x, g1pk = excluded.g1pk, g1sk = excluded.g1sk, body = excluded.body"
    )
