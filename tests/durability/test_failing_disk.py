"""A disk that is full, that fails, that may not be written to: nothing is acknowledged that is not stored, the error
says what is wrong, and when the disk recovers so does the store."""

from __future__ import annotations

import random
import threading
from pathlib import Path

import apsw
import pytest

from roost.local.sqlite import SqliteTable
from roost.storage.table import Item, Key, Missing, Put, StoreUnavailable, TableError
from tests.durability.power import Disk, mounted
from tests.durability.workload import WRITERS, Numbers, lost, seed, verify, write

A: Item = {"PK": "p", "SK": "a"}
B: Item = {"PK": "p", "SK": "b"}


class Trouble:
    """Makes operations of one kind fail while `on`, from a random one on."""

    def __init__(self, disk: Disk, kind: str, error: type[apsw.Error], rng: random.Random) -> None:
        self.on = True
        self.failed = 0
        self._kind, self._error = kind, error
        self._left = rng.randint(1, 60)
        disk.before = self._before

    def _before(self, kind: str, name: str) -> None:
        if self.on and kind == self._kind:
            self._left -= 1
            if self._left <= 0:
                self.failed += 1
                raise self._error("the disk says no")


@pytest.mark.parametrize(
    ("kind", "error"), [("write", apsw.FullError), ("write", apsw.IOError), ("sync", apsw.IOError)], ids=str
)
def test_a_disk_that_fails_for_a_while_costs_no_acknowledged_message(
    tmp_path: Path, kind: str, error: type[apsw.Error]
) -> None:
    chosen = seed()
    rng = random.Random(chosen)
    for number in range(10):
        path = tmp_path / str(number) / "t.db"
        path.parent.mkdir()
        acknowledged: Numbers = {}
        disk = Disk()
        with mounted(disk) as vfs:
            table = SqliteTable(path, vfs=vfs, checkpoint_pages=rng.choice((4, 1000)))
            trouble = Trouble(disk, kind, error, rng)
            in_threads(table, acknowledged, 200)
            trouble.on = False
            before = sum(acknowledged.values())
            in_threads(table, acknowledged, 5)
            table.close()
        assert trouble.failed
        assert sum(acknowledged.values()) >= before + 5 * WRITERS, f"ROOST_SEED={chosen}: it did not recover"
        assert lost(acknowledged, verify(path)) == {}, f"ROOST_SEED={chosen}, disk {number}"


def in_threads(table: SqliteTable, acknowledged: Numbers, count: int) -> None:
    threads = [
        threading.Thread(target=write, args=(table, writer, acknowledged.__setitem__, count))
        for writer in range(WRITERS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_a_full_disk_is_called_full_and_what_is_there_can_still_be_read(tmp_path: Path) -> None:
    disk = Disk()
    with mounted(disk) as vfs:
        table = SqliteTable(tmp_path / "t.db", vfs=vfs)
        table.put(A)
        trouble = Trouble(disk, "write", apsw.FullError, random.Random(0))
        with pytest.raises(StoreUnavailable, match="the disk is full"):
            for number in range(1000):
                table.transact([Put({"PK": "p", "SK": str(number)}), Put({"PK": "q", "SK": str(number)})])
        assert table.get(Key("p", "a")) == A
        assert len(table.query("p").items) == len(table.query("q").items) + 1
        trouble.on = False
        table.put(B)
        assert table.get(Key("p", "b")) == B
        table.close()


def test_what_was_decided_on_a_commit_that_failed_is_not_said(tmp_path: Path) -> None:
    """The second claim fails on the first, which is never stored: neither may hear of it."""
    disk = Disk()
    writing, go_on = threading.Event(), threading.Event()
    synced: list[str] = []

    def before(kind: str, name: str) -> None:
        if synced:  # the first commit is through
            raise apsw.IOError("the disk says no")
        writing.set()
        go_on.wait(20)
        if kind == "sync":
            synced.append(name)

    heard: dict[str, str] = {}

    def claim(table: SqliteTable, who: str) -> None:
        try:
            table.put({**A, "who": who}, Missing())
            heard[who] = "stored"
        except TableError as error:
            heard[who] = type(error).__name__

    with mounted(disk) as vfs:
        table = SqliteTable(tmp_path / "t.db", vfs=vfs)
        disk.before = before
        first = threading.Thread(target=table.put, args=(B,))
        first.start()
        assert writing.wait(20)
        claims = [threading.Thread(target=claim, args=(table, who)) for who in ("one", "two")]
        for thread in claims:
            thread.start()
        while table._writer._queue.qsize() < 2:  # both lie in the next batch
            threading.Event().wait(0.001)
        go_on.set()
        for thread in (first, *claims):
            thread.join()
        assert heard == {"one": "StoreUnavailable", "two": "StoreUnavailable"}
        disk.before = None
        assert table.get(Key("p", "b")) == B
        assert table.get(Key("p", "a")) is None
        table.close()


def test_a_file_that_may_not_be_written_to_is_refused_in_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    SqliteTable(path).close()
    disk = Disk()
    disk.read_only = True
    with mounted(disk) as vfs:
        with pytest.raises(TableError, match=r"t\.db cannot be written to"):
            SqliteTable(path, vfs=vfs)
    SqliteTable(path).close()  # and nothing of that attempt is in the way
