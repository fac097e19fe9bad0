"""G1 under `kill -9`: what was acknowledged is there afterwards, whole.

A small server process forks a writer for each round: it appends from several threads and reports every number that the
store acknowledged through a pipe; it is killed at a random moment, and the file is opened again and read.
`ROOST_SEED=n` replays a run.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import struct
import threading
import time
from pathlib import Path

import apsw
import pytest

from roost.local.sqlite import SqliteTable
from roost.storage.table import Equals, Item, Key, Missing, Put, Update

WRITERS = 4
HEAD = Key("head", "head")


def rounds(seed: int, count: int, folder: Path) -> None:
    rng = random.Random(seed)
    path = folder / "t.db"
    acknowledged: set[int] = set()
    first = total = 0
    for number in range(count):
        if rng.random() < 0.1:  # a new database now and then: its first transactions are killed, too
            for file in folder.iterdir():
                file.unlink() if file.is_file() else shutil.rmtree(file)
            acknowledged = set()
        first = 1 + max(acknowledged, default=first) + WRITERS * 10_000
        acknowledged |= one_round(path, first, rng.uniform(0.002, 0.06))
        missing = verify(path, acknowledged)
        assert not missing, f"ROOST_SEED={seed}, round {number}: lost {sorted(missing)[:10]}"
        total += len(acknowledged)
    assert total > count  # the kills came in the middle of work


def one_round(path: Path, first: int, seconds: float) -> set[int]:
    """Fork a writer, kill it after a while; the numbers that it saw acknowledged."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            write_until_killed(path, first, writing)
        finally:
            os._exit(1)
    os.close(writing)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    data = b""
    while part := os.read(reading, 65536):
        data += part
    os.close(reading)
    whole = len(data) - len(data) % 8
    return {number for (number,) in struct.iter_unpack("<q", data[:whole])}


def write_until_killed(path: Path, first: int, pipe: int) -> None:
    table = SqliteTable(path)

    def work(writer: int) -> None:
        number = first + writer
        while True:
            row: Item = {"PK": "log", "SK": f"{number:015}", "text": "x" * (number % 700)}
            twin: Item = {"PK": "twin", "SK": f"{number:015}", "n": number}
            table.transact([Put(row, Missing()), Put(twin)])
            os.write(pipe, struct.pack("<q", number))
            number += WRITERS

    for writer in range(1, WRITERS):
        threading.Thread(target=work, args=(writer,), daemon=True).start()
    work(0)


def verify(path: Path, acknowledged: set[int]) -> set[int]:
    """What is missing; fails where a transaction is there in part or the file is damaged."""
    table = SqliteTable(path)
    try:
        log, twins = keys(table, "log"), keys(table, "twin")
    finally:
        table.close()
    assert log == twins, "half a transaction"
    connection = apsw.Connection(str(path))
    answer = list(connection.execute("PRAGMA quick_check"))
    connection.close()
    assert answer == [("ok",)]
    return acknowledged - log


def keys(table: SqliteTable, pk: str) -> set[int]:
    found: set[int] = set()
    after: str | None = None
    while True:
        page = table.query(pk, after=after)
        found |= {int(str(item["SK"])) for item in page.items}
        if page.next is None:
            return found
        after = page.next


def seed() -> int:
    return int(os.environ.get("ROOST_SEED", random.randrange(1 << 32)))


@pytest.mark.parametrize("part", range(5))
def test_five_hundred_kills_lose_nothing_that_was_acknowledged(tmp_path: Path, part: int) -> None:
    rounds(seed() + part, 100, tmp_path)


@pytest.mark.release
@pytest.mark.parametrize("part", range(20))
def test_ten_thousand_kills_lose_nothing_that_was_acknowledged(tmp_path: Path, part: int) -> None:
    rounds(seed() + part, 500, tmp_path)


def test_a_head_that_counts_never_runs_behind_what_it_counted(tmp_path: Path) -> None:
    """A counter and a row in one transaction, killed in the middle many times: they always agree."""
    rng = random.Random(seed())
    path = tmp_path / "t.db"
    table = SqliteTable(path)
    table.put({"PK": HEAD.pk, "SK": HEAD.sk, "seq": 0})
    table.close()
    for _ in range(20):
        child = os.fork()
        if child == 0:
            try:
                count(path)
            finally:
                os._exit(1)
        time.sleep(rng.uniform(0.01, 0.05))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        table = SqliteTable(path)
        head = table.get(HEAD)
        assert head is not None
        assert len(keys(table, "row")) == head["seq"]
        table.close()


def count(path: Path) -> None:
    table = SqliteTable(path)
    while True:
        head = table.get(HEAD)
        assert head is not None
        seq = head["seq"]
        assert isinstance(seq, int)
        table.transact(
            [
                Update(HEAD, set={"seq": seq + 1}, condition=Equals({"seq": seq})),
                Put({"PK": "row", "SK": f"{seq + 1:015}"}, Missing()),
            ]
        )
