"""Where a laptop's chat keeps its items: the SQLite file in its data folder, or the DynamoDB table of `--table`."""

from __future__ import annotations

import re
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
    use: Path  #: the folder for what is metered
    sweep: Callable[[int], int] | None = None  #: removes what has expired; None where the store does that itself
    size: Callable[[], int] = int  #: bytes; 0 where nobody has counted


def open_store(data: Path, url: str | None, environ: Mapping[str, str]) -> Store:
    """The table at `url`, or the file in the data folder, made if there is none.

    Raises `TableError` in one line, `TableInUse` among them where another server has the file.
    """
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    use = use_folder(data, url)
    return _sqlite(data / DATABASE, use) if url is None else _dynamodb(url, environ, use)


def use_folder(data: Path, url: str | None) -> Path:
    """Where a store's use is metered: of tables, each by itself."""
    if url is None:
        return data / "use"
    return data / f"use-{re.sub(r'[^A-Za-z0-9_.-]+', '-', url.partition('://')[2])}"


def _sqlite(path: Path, use: Path) -> Store:
    table = SqliteTable(path)
    files = (path, path.with_name(f"{path.name}-wal"))
    return Store(
        table, str(path), table.close, use, table.sweep, lambda: sum(f.stat().st_size for f in files if f.exists())
    )


def _dynamodb(url: str, environ: Mapping[str, str], use: Path) -> Store:
    from roost.local.dynamodb import open_table  # here: a start with a file does not wait for AWS's half to load
    from roost.local.threaded import ThreadedTable

    table = open_table(url, environ)
    threaded = ThreadedTable(table)

    def close() -> None:
        threaded.close()
        table.close()

    return Store(threaded, url, close, use)
