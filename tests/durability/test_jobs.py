"""Jobs under `kill -9`: what was queued is done, whenever the process dies."""

from __future__ import annotations

import collections
import contextlib
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from roost.local.sqlite import SqliteTable
from roost.storage.jobs import Job, Queue
from roost.storage.table import Key
from tests.durability.workload import seed

JOBS_A_KILL = 40  # enough that nearly every kill comes in the middle of work


def test_what_was_queued_is_done_however_often_the_process_is_killed(tmp_path: Path) -> None:
    kill_often(tmp_path, random.Random(seed()), 12)


@pytest.mark.release
@pytest.mark.parametrize("part", range(10))
def test_what_was_queued_is_done_after_two_thousand_kills(tmp_path: Path, part: int) -> None:
    kill_often(tmp_path, random.Random(seed() + part), 200)


def kill_often(folder: Path, rng: random.Random, kills: int) -> None:
    database, notes = folder / "t.db", folder / "notes"
    table = SqliteTable(database)
    queue = Queue(table, lambda: time.time_ns() // 1000)
    jobs = kills * JOBS_A_KILL
    for start in range(0, jobs, 40):
        some = [Job(f"A{number}", "a") for number in range(start, start + 40)]
        table.transact([part for job in some for part in queue.operations(job, time.time() + rng.random())])
    table.close()
    command = [sys.executable, "-m", "tests.durability.job_process", str(database), str(notes)]
    killed = 0
    while subprocess_ends(command, notes, rng.uniform(0, 0.1) if killed < kills else 120.0) is False:
        killed += 1
    done = collections.Counter(notes.read_text().split())
    table = SqliteTable(database)
    queue = Queue(table, lambda: time.time_ns() // 1000)
    assert set(done) == {f"{kind}{number}" for kind in "AB" for number in range(jobs)}
    for number in range(jobs):
        assert table.get(Key("told", f"B{number}")) is not None
    assert list(queue.unfinished()) == []
    assert queue.list_parked()[0] == []
    assert not queue.put(Job("B0", "b"))
    table.close()
    assert killed > kills / 4  # the kills came in the middle of work
    assert sum(done.values()) <= 2 * jobs + 8 * killed  # again is only what ran when it was killed


def subprocess_ends(command: list[str], notes: Path, seconds: float) -> bool:
    """Run it; kill it so many seconds after it has begun to do jobs. Whether it ended by itself, well."""
    before = notes.stat().st_size if notes.exists() else 0
    with subprocess.Popen(command) as process:
        deadline = time.monotonic() + 60
        while process.poll() is None and not (notes.exists() and notes.stat().st_size > before):
            assert time.monotonic() < deadline
            time.sleep(0.005)
        with contextlib.suppress(subprocess.TimeoutExpired):
            assert process.wait(seconds) == 0
            return True
        process.kill()
        return False
