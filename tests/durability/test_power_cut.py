"""G1 under power cuts: everything acknowledged is on the disk, whole. And a test that the simulation has teeth."""

from __future__ import annotations

import itertools
import os
import random
import threading
from pathlib import Path
from typing import Any

import apsw
import pytest

from roost.local.sqlite import SqliteTable
from roost.storage.table import Item, Missing, Put, StoreUnavailable
from tests.durability.power import Disk, PowerVFS
from tests.durability.test_kill import verify

_names = itertools.count()


def seed() -> int:
    return int(os.environ.get("ROOST_SEED", random.randrange(1 << 32)))


def lost_in_a_cut(folder: Path, rng: random.Random, synchronous: Any = "FULL") -> set[int]:
    """Write from two threads on a disk, cut the power at a random moment; what was acknowledged and is not there."""
    disk = Disk()
    name = f"power{next(_names)}"
    vfs = PowerVFS(name, disk)
    before, after = folder / "before", folder / "after"
    before.mkdir()
    after.mkdir()
    pages = rng.choice((8, 1000))  # with and without checkpoints in between
    table = SqliteTable(before / "t.db", synchronous=synchronous, vfs=name, checkpoint_pages=pages)
    acknowledged: set[int] = set()
    image: dict[str, bytes] = {}
    noted: set[int] = set()
    cut = rng.randint(1, 24)
    stop = threading.Event()

    def work(writer: int) -> None:
        number = writer
        while not stop.is_set():
            row: Item = {"PK": "log", "SK": f"{number:015}", "text": "x" * rng.randint(0, 900)}
            table.transact([Put(row, Missing()), Put({"PK": "twin", "SK": f"{number:015}"})])
            acknowledged.add(number)
            number += 2
            if len(acknowledged) >= cut and not stop.is_set():
                stop.set()
                noted.update(acknowledged)  # first what was acknowledged, then what the disk had
                image.update(disk.cut_power(rng))

    threads = [threading.Thread(target=work, args=(writer,)) for writer in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    table.close()
    vfs.unregister()
    for file, content in image.items():
        (after / file).write_bytes(content)
    return verify(after / "t.db", noted)


def cuts(folder: Path, chosen: int, count: int) -> None:
    rng = random.Random(chosen)
    for number in range(count):
        where = folder / str(number)
        where.mkdir()
        lost = lost_in_a_cut(where, rng)
        assert not lost, f"ROOST_SEED={chosen}, cut {number}: lost {sorted(lost)}"


@pytest.mark.parametrize("part", range(5))
def test_five_hundred_power_cuts_lose_nothing_that_was_acknowledged(tmp_path: Path, part: int) -> None:
    cuts(tmp_path, seed() + part, 100)


@pytest.mark.release
@pytest.mark.parametrize("part", range(20))
def test_ten_thousand_power_cuts_lose_nothing_that_was_acknowledged(tmp_path: Path, part: int) -> None:
    cuts(tmp_path, seed() + part, 500)


def test_without_a_sync_at_each_commit_the_same_cuts_lose_acknowledged_rows(tmp_path: Path) -> None:
    rng = random.Random(seed())
    losing = 0
    for number in range(40):
        where = tmp_path / str(number)
        where.mkdir()
        losing += bool(lost_in_a_cut(where, rng, synchronous="NORMAL"))
    assert losing >= 10


@pytest.mark.parametrize(
    ("what", "error"), [("write", apsw.FullError), ("sync", apsw.IOError)], ids=["disk full", "sync fails"]
)
def test_a_disk_that_fails_acknowledges_nothing_and_works_again_when_it_recovers(
    tmp_path: Path, what: str, error: type[Exception]
) -> None:
    disk = Disk()
    name = f"power{next(_names)}"
    vfs = PowerVFS(name, disk)
    table = SqliteTable(tmp_path / "t.db", vfs=name)
    table.put({"PK": "log", "SK": "1"})

    def fail(kind: str, file: str) -> None:
        if kind == what and file.endswith("-wal"):
            raise error("the disk says no")

    disk.fail = fail
    with pytest.raises(StoreUnavailable):
        table.put({"PK": "log", "SK": "2"})
    with pytest.raises(StoreUnavailable):
        table.transact([Put({"PK": "log", "SK": "3"}), Put({"PK": "log", "SK": "4"})])
    assert [item["SK"] for item in table.query("log").items][:1] == ["1"]
    disk.fail = None
    table.put({"PK": "log", "SK": "5"})
    assert {"1", "5"} <= {item["SK"] for item in table.query("log").items}
    table.close()
    vfs.unregister()
