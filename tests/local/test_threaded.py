"""A table whose calls block, under Tasks: the loop goes on, answers and errors come back, close waits."""

from __future__ import annotations

import threading
import time

import pytest

from roost.local.threaded import ThreadedTable
from roost.local.waiting import Hub
from roost.storage.table import ConditionFailed, Item, Key, Missing, Put, TableError, Update
from roost.testing import MemoryTable
from tests.local.test_waiting import on_a_loop

KEY = Key("A", "1")
ITEM: Item = {"PK": "A", "SK": "1", "n": 1}


class SlowTable(MemoryTable):
    """A store at the end of a wire."""

    def __init__(self) -> None:
        super().__init__(exclusive=False)
        self.threads: set[int] = set()
        self.together = threading.Barrier(3, timeout=20)

    def get(self, key: Key) -> Item | None:
        self.threads.add(threading.get_ident())
        if key.pk == "B":
            self.together.wait()  # passes only if three calls are under way at once
        return super().get(key)


def test_tasks_wait_for_their_calls_side_by_side_and_each_gets_its_own_answer() -> None:
    slow, done = SlowTable(), threading.Event()
    table = ThreadedTable(slow)
    slow.put({"PK": "B", "SK": "1", "n": 7})
    found: list[Item | None] = []
    loops: list[int] = []

    def begin(hub: Hub) -> None:
        def task() -> None:
            found.append(table.get(Key("B", "1")))
            loops.append(threading.get_ident())
            if len(found) == 3:
                done.set()

        loops.append(threading.get_ident())
        for _ in range(3):
            hub.run(task)
        assert found == []

    on_a_loop(begin, done)
    table.close()
    assert [item and item["n"] for item in found] == [7, 7, 7]
    assert len(set(loops)) == 1
    assert not set(loops) & slow.threads


def test_every_call_of_the_port_passes_through_with_its_errors() -> None:
    table, done = ThreadedTable(MemoryTable(exclusive=False)), threading.Event()
    errors: list[BaseException] = []

    def task() -> None:
        try:
            everything(table)
        except BaseException as error:
            errors.append(error)
        done.set()

    on_a_loop(lambda hub: hub.run(task), done)
    table.close()
    assert errors == []
    everything(ThreadedTable(MemoryTable(exclusive=False)))  # and on a thread that is no Task


def everything(table: ThreadedTable) -> None:
    table.put(ITEM)
    with pytest.raises(ConditionFailed) as failed:
        table.put(ITEM, Missing())
    assert failed.value.item == ITEM
    assert table.get_many([KEY, Key("A", "2")]) == [ITEM, None]
    assert table.update(Update(KEY, add={"n": 1}))["n"] == 2
    table.transact([Put({"PK": "A", "SK": "2", "G1PK": "g", "G1SK": "s"})])
    assert [item["SK"] for item in table.query("A", reverse=True, limit=1).items] == ["2"]
    assert [item["SK"] for item in table.query("A", low="1", high="1").items] == ["1"]
    assert [entry.sk for entry in table.query_index("g", prefix="s").entries] == ["2"]
    table.delete(KEY)
    assert table.get(KEY) is None
    assert not table.exclusive
    with pytest.raises(TableError):
        table.watch(lambda changes: None)


def test_closing_waits_for_calls_under_way() -> None:
    class Slow(MemoryTable):
        def put(self, item: Item, condition: object = None) -> None:
            time.sleep(0.2)
            super().put(item)

    inner, done = Slow(exclusive=False), threading.Event()
    table = ThreadedTable(inner)

    def begin(hub: Hub) -> None:
        hub.run(lambda: table.put(ITEM))
        done.set()

    on_a_loop(begin, done)
    table.close()
    assert inner.get(KEY) == ITEM
