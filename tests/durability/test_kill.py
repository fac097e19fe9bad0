"""G1 under `kill -9`: what was acknowledged is there afterwards, whole."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from tests.durability.fork_server import Life, random_life
from tests.durability.workload import Numbers, lost, seed, verify

Lives = Callable[[Life], Numbers]


@pytest.fixture
def lives() -> Iterator[Lives]:
    """Lives of writers, each ended by a kill."""
    command = [sys.executable, "-m", "tests.durability.fork_server"]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with server:
        assert server.stdin is not None
        assert server.stdout is not None
        stdin, stdout = server.stdin, server.stdout

        def live(life: Life) -> Numbers:
            stdin.write(msgspec.json.encode(life) + b"\n")
            stdin.flush()
            return msgspec.json.decode(stdout.readline(), type=Numbers)

        yield live
        stdin.close()


def kill_many(lives: Lives, chosen: int, count: int, folder: Path) -> None:
    rng = random.Random(chosen)
    acknowledged: Numbers = {}
    total = 0
    folder.mkdir()
    for number in range(count):
        if rng.random() < 0.1:  # a new database now and then: its first transactions are killed, too
            shutil.rmtree(folder)
            folder.mkdir()
            acknowledged = {}
        before = sum(acknowledged.values())
        acknowledged |= lives(random_life(rng, folder / "t.db"))
        found = verify(folder / "t.db")
        missing = lost(acknowledged, found)
        assert not missing, f"ROOST_SEED={chosen}, kill {number}: lost {missing}"
        total += sum(acknowledged.values()) - before
        acknowledged = found  # what is in the file after a kill stays there
    assert total > count  # the kills came in the middle of work


@pytest.mark.parametrize("part", range(5))
def test_five_hundred_kills_lose_nothing_that_was_acknowledged(lives: Lives, tmp_path: Path, part: int) -> None:
    kill_many(lives, seed() + part, 100, tmp_path / "data")


@pytest.mark.release
@pytest.mark.parametrize("part", range(20))
def test_ten_thousand_kills_lose_nothing_that_was_acknowledged(lives: Lives, tmp_path: Path, part: int) -> None:
    kill_many(lives, seed() + part, 500, tmp_path / "data")
