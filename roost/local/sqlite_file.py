"""The SQLite file itself: whose it is, who has it, how it is opened. What the items in it mean is `sqlite.py`'s.

A file says in its header that it is Roost's and which schema it has, so that another program's file, a newer Roost's
and a damaged one are refused in a sentence before anything is written to them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import apsw
import filelock

from roost.storage.table import TableError

APPLICATION_ID = 0x526F6F73  # "Roos"
SCHEMA_VERSION = 1
_BUSY_MS = 5_000  # nobody else writes, but a backup or a look with another program may be in the way for a moment
_WAL_BYTES_KEPT = 8 * 1024 * 1024  # a log that a burst made longer is cut back to this when it is next written over

# WITHOUT ROWID: the rows lie in the order of their keys, so a range of a partition is a range of the file, and a put
# touches one tree. Expiry has no index, since that is a page more in every commit: `SqliteTable.sweep`.
_SCHEMA = """
CREATE TABLE items (
    pk TEXT NOT NULL, sk TEXT NOT NULL, x INTEGER, g1pk TEXT, g1sk TEXT, body BLOB NOT NULL,
    PRIMARY KEY (pk, sk)
) STRICT, WITHOUT ROWID;
CREATE INDEX g1 ON items (g1pk, g1sk, pk, sk) WHERE g1pk IS NOT NULL AND g1sk IS NOT NULL;
"""


class TableInUse(TableError):
    """Another process has the file."""


class SqliteFile:
    """A file of items, locked for this process and ready to write. Other connections to it come from `connect`."""

    def __init__(self, path: Path, *, synchronous: Literal["FULL", "NORMAL"], vfs: str | None) -> None:
        """Raises `TableInUse`, or `TableError` for a file that is not ours to use."""
        self.path = path
        self._vfs = vfs
        with contextlib.ExitStack() as undo:
            self._lock = _locked(path)
            undo.callback(self._lock.release)
            self.writer = self.connect()
            undo.callback(_close, self.writer)
            with _in_a_sentence(path):
                _check_header(path, self.writer)
                _prepare(path, self.writer, synchronous)
            undo.pop_all()

    def connect(self) -> apsw.Connection:
        """A further connection. Raises `TableError`."""
        try:
            connection = apsw.Connection(str(self.path), vfs=self._vfs, statementcachesize=128)
        except apsw.Error as error:
            raise TableError(f"cannot open {self.path}: {error}") from None
        connection.set_busy_timeout(_BUSY_MS)
        return connection

    def close(self) -> None:
        """Move the log into the file, close it and let others have it. The connections from `connect` are closed
        already, or end with their threads."""
        with contextlib.suppress(apsw.Error):  # nothing is lost: the log stays beside the file
            self.writer.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        _close(self.writer)
        self._lock.release()


def _close(connection: apsw.Connection) -> None:
    with contextlib.suppress(apsw.Error):  # closed it is anyhow; what a failing disk still says changes nothing
        connection.close()


def _locked(path: Path) -> filelock.BaseFileLock:
    """The lock on a file, held; a crash lets go of it."""
    # Not per thread, which is filelock's default: whoever closes the table need not be who opened it.
    lock = filelock.FileLock(f"{path}.lock", timeout=0, thread_local=False)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise TableInUse(f"another Roost has the data in {path.parent}; stop it, or name other data") from None
    except OSError as error:
        raise TableError(f"cannot use {path.parent}: {error.strerror or error}") from None
    return lock


@contextlib.contextmanager
def _in_a_sentence(path: Path) -> Iterator[None]:
    """What SQLite says against a file, as a `TableError`."""
    try:
        yield
    except apsw.NotADBError:
        raise TableError(f"{path} is not a database") from None
    except apsw.CorruptError:
        raise TableError(f"{path} is damaged; restore a backup") from None
    except (apsw.ReadOnlyError, apsw.CantOpenError):  # the second: its log or shared memory cannot be made beside it
        raise TableError(f"{path} cannot be written to") from None
    except apsw.Error as error:
        raise TableError(f"cannot use {path}: {error}") from None


def _check_header(path: Path, db: apsw.Connection) -> None:
    """Refuse what somebody else made. Reads only."""
    application = _single(db, "PRAGMA application_id")
    tables = _single(db, "SELECT count(*) FROM sqlite_schema")
    if application != APPLICATION_ID and (tables or application):
        raise TableError(f"{path} is not a Roost database")
    if application == APPLICATION_ID and _single(db, "PRAGMA user_version") > SCHEMA_VERSION:
        raise TableError(f"{path} was written by a newer Roost; upgrade this one")


def _prepare(path: Path, db: apsw.Connection, synchronous: str) -> None:
    if _single(db, "PRAGMA journal_mode = WAL") != "wal":
        raise TableError(f"{path} lies on a file system without shared memory; name data on a local disk")
    db.execute(f"PRAGMA synchronous = {synchronous}")
    # Darwin's fsync leaves data in the drive's cache; these ask for the one that does not. They mean nothing elsewhere.
    db.execute("PRAGMA fullfsync = 1; PRAGMA checkpoint_fullfsync = 1")
    db.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES_KEPT}")
    if not _single(db, "SELECT count(*) FROM sqlite_schema"):
        with db:  # one transaction: a crash leaves an empty file or a whole schema
            db.execute(_SCHEMA)
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _single(db: apsw.Connection, sql: str) -> Any:
    row: Any = db.execute(sql).fetchone()
    return row[0]
