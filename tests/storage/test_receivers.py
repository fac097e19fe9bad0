"""Who hears a channel is the same in memory as in the table, whatever happens."""

from __future__ import annotations

import random
import threading
from pathlib import Path

import pytest

from roost.local.sqlite import SqliteTable
from roost.storage import seats
from roost.storage.items import SocketRow
from roost.storage.receivers import Receivers
from roost.storage.table import Table, TableError
from roost.testing import MemoryTable

CHANNELS = ("C1", "C2", "C3")


def row(channel: str, name: str = "x") -> SocketRow:
    return SocketRow(user="U", name=name, guest=True, channel=channel, channel_name=channel, since=10**15)


def agree(table: Table, receivers: Receivers) -> None:
    for channel in CHANNELS:
        in_table = {connection for connection, _ in seats.in_channel(table, channel)}
        in_memory = {c for connections in receivers.of(channel).values() for c in connections}
        assert in_memory == in_table


def some_history(table: Table, rng: random.Random, steps: int, receivers: Receivers | None = None) -> None:
    for _ in range(steps):
        connection = f"c{rng.randrange(12)}"
        there = seats.get(table, connection)
        try:
            if there is None:
                seats.take(table, connection, row(rng.choice(CHANNELS)))
            else:
                match rng.randrange(4):
                    case 0:
                        seats.leave(table, connection, there)
                    case 1:
                        channel = rng.choice([c for c in CHANNELS if c != there.channel])
                        seats.move(table, connection, there, channel, channel)
                    case 2:
                        seats.rename(table, connection, there, "U", f"n{rng.random()}", guest=True)
                    case 3:
                        seats.forget(table, rng.choice(CHANNELS), connection)
        except TableError:
            continue  # somebody else was quicker
        if receivers is not None:
            agree(table, receivers)


@pytest.mark.parametrize("seed", range(10))
def test_memory_and_table_agree_after_every_step(seed: int) -> None:
    table = MemoryTable()
    some_history(table, random.Random(seed), 150, Receivers(table))


def test_memory_and_table_agree_when_everything_happens_at_once(tmp_path: Path) -> None:
    table = SqliteTable(tmp_path / "t.db")
    receivers = Receivers(table)
    workers = [threading.Thread(target=some_history, args=(table, random.Random(seed), 120)) for seed in range(4)]
    for worker in workers:
        worker.start()
    while any(worker.is_alive() for worker in workers):
        for channel in CHANNELS:
            receivers.of(channel)  # built for the first time in the middle of it
    agree(table, receivers)
    table.close()


def test_a_shared_table_is_asked_every_time() -> None:
    table = MemoryTable(exclusive=False)
    receivers = Receivers(table)
    assert receivers.of("C1") == {}
    seats.take(table, "a", row("C1"))
    assert list(receivers.of("C1")["text"]) == ["a"]
