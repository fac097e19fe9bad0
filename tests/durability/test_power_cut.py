"""G1 under power cuts: everything acknowledged is on the disk, whole. And tests that the simulation has teeth."""

from __future__ import annotations

import contextlib
import random
import shutil
import threading
from pathlib import Path
from typing import Literal

import apsw
import pytest

from roost.local.sqlite import SqliteTable
from roost.storage.table import TableError
from tests.durability.power import Disk, mounted
from tests.durability.workload import Numbers, lost, seed, verify, write

# A dead disk may refuse SQLite several times within one call; apsw raises the first and calls the others unraisable.
pytestmark = pytest.mark.filterwarnings("ignore:Exception ignored in. None:pytest.PytestUnraisableExceptionWarning")


class Cut:
    """Cuts the power before the n-th operation of a disk; from then on every operation fails."""

    def __init__(self, disk: Disk, rng: random.Random, operation: int) -> None:
        self.acknowledged: Numbers = {}
        self.image: dict[str, bytes] | None = None
        self._disk, self._rng, self._left = disk, rng, operation
        self._noted: Numbers = {}
        self._lock = threading.Lock()
        disk.before = self._before

    def note(self, writer: int, number: int) -> None:
        """A writer was told that its message is stored."""
        self._noted[writer] = number

    def _before(self, kind: str, name: str) -> None:
        with self._lock:
            self._left -= 1
            if self._left == 0:
                self.acknowledged = dict(self._noted)  # first what was acknowledged, then what the disk has
                self.image = self._disk.cut_power(self._rng)
        if self._left <= 0:
            raise apsw.IOError("the power is out")


def cut_once(before: Path, after: Path, rng: random.Random, synchronous: Literal["FULL", "NORMAL"] = "FULL") -> Numbers:
    """Go on with the files in `before`, cut the power, put what is left into `after`; what was acknowledged."""
    disk = Disk(file for file in before.iterdir() if file.suffix in (".db", ".db-wal", ".db-journal"))
    operation = rng.randint(1, 40) if rng.random() < 0.3 else rng.randint(1, 600)
    cut = Cut(disk, rng, operation)
    pages = rng.choice((4, 40, 1000))  # with and without checkpoints in between
    with mounted(disk) as vfs:
        with contextlib.suppress(TableError):  # the power may be out before the file is open
            table = SqliteTable(before / "t.db", synchronous=synchronous, vfs=vfs, checkpoint_pages=pages)
            threads = [
                threading.Thread(target=write, args=(table, writer, cut.note)) for writer in range(rng.randint(1, 3))
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            table.close()
    assert cut.image is not None
    after.mkdir()
    for name, content in cut.image.items():
        (after / name).write_bytes(content)
    return cut.acknowledged


def cut_many(folder: Path, chosen: int, count: int) -> None:
    rng = random.Random(chosen)
    data = folder / "start"
    data.mkdir()
    total = 0
    for number in range(count):
        after = folder / str(number)
        acknowledged = cut_once(data, after, rng)
        missing = lost(acknowledged, verify(after / "t.db"))
        assert not missing, f"ROOST_SEED={chosen}, cut {number}: lost {missing}"
        total += len(acknowledged)
        shutil.rmtree(data)
        data = after
        if rng.random() < 0.3:  # a new database now and then: the power goes while it is made, too
            shutil.rmtree(data)
            data.mkdir()
    assert total > count / 2  # the cuts came in the middle of work


@pytest.mark.parametrize("part", range(5))
def test_five_hundred_power_cuts_lose_nothing_that_was_acknowledged(tmp_path: Path, part: int) -> None:
    cut_many(tmp_path, seed() + part, 100)


@pytest.mark.release
@pytest.mark.parametrize("part", range(20))
def test_ten_thousand_power_cuts_lose_nothing_that_was_acknowledged(tmp_path: Path, part: int) -> None:
    cut_many(tmp_path, seed() + part, 500)


def test_without_a_sync_at_each_commit_the_same_cuts_lose_acknowledged_messages(tmp_path: Path) -> None:
    rng = random.Random(seed())
    losing = 0
    for number in range(40):
        before, after = tmp_path / f"before{number}", tmp_path / f"after{number}"
        before.mkdir()
        losing += bool(lost(cut_once(before, after, rng, synchronous="NORMAL"), verify(after / "t.db")))
    assert losing >= 10
