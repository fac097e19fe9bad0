"""Where a laptop's chat keeps its items: the SQLite file in its data folder, or the DynamoDB table of `--table`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from roost.local.sqlite import SqliteTable
from roost.storage.table import Table

DATABASE = "roost.db"  # in the data folder


@dataclass(frozen=True, slots=True)
class Store:
    """A table that was opened."""

    table: Table
    place: str  #: where it is, for people
    close: Callable[[], None]
    sweep: Callable[[int], int] | None = None  #: removes what has expired; None where the store does that itself


def open_store(data: Path, url: str | None, environ: Mapping[str, str]) -> Store:
    """The table at `url`, or the file in the data folder, made if there is none.

    Raises `TableError` in one line, `TableInUse` among them where another server has the file.
    """
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    return _sqlite(data / DATABASE) if url is None else _dynamodb(url, environ)


def _sqlite(path: Path) -> Store:
    table = SqliteTable(path)
    return Store(table, str(path), table.close, table.sweep)


def _dynamodb(url: str, environ: Mapping[str, str]) -> Store:
    from roost.local.dynamodb import open_table  # here: a start with a file does not wait for AWS's half to load
    from roost.local.threaded import ThreadedTable

    table = open_table(url, environ)
    threaded = ThreadedTable(table)

    def close() -> None:
        threaded.close()
        table.close()

    return Store(threaded, url, close)
