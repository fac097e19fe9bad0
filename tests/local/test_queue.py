"""The laptop's worker: it is told, it sleeps, it goes on after trouble. What a queue promises is in the contract."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from roost.local import queue as module
from roost.local.queue import AT_ONCE, Worker
from roost.local.sqlite import SqliteTable
from roost.local.waiting import Hub, sleep
from roost.storage.jobs import Job, Queue
from roost.storage.table import Item, Key, Page, StoreUnavailable
from roost.testing import MemoryTable

Body = Callable[[Worker, Queue], Awaitable[None]]


def now_us() -> int:
    return time.time_ns() // 1000


class Calls:
    """Notes jobs; each takes `seconds`."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.begun: list[str] = []
        self.ended: list[str] = []
        self.threads: set[int] = set()

    def __call__(self, job: Job) -> None:
        self.begun.append(job.id)
        self.threads.add(threading.get_ident())
        if self.seconds:
            sleep(self.seconds)
        self.ended.append(job.id)


async def until(condition: Callable[[], object], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


def run(table: MemoryTable | SqliteTable, do: Callable[[Job], None], body: Body, poll_seconds: float = 5.0) -> None:
    """Act something out while a worker runs."""

    async def act() -> None:
        queue = Queue(table, now_us)
        worker = Worker(queue, table, do, Hub(asyncio.get_running_loop()), poll_seconds=poll_seconds)
        worker.start()
        await body(worker, queue)
        await worker.stop()

    asyncio.run(act())


def test_jobs_run_on_the_loops_thread_side_by_side_but_not_all_at_once(tmp_path: Path) -> None:
    table, calls = SqliteTable(tmp_path / "t.db"), Calls(0.2)
    most = 0

    async def body(worker: Worker, queue: Queue) -> None:
        nonlocal most
        await asyncio.to_thread(lambda: [queue.put(Job(f"Q{number}", "x")) for number in range(20)])
        while len(calls.ended) < 20:
            most = max(most, len(calls.begun) - len(calls.ended))
            await asyncio.sleep(0.005)
        assert calls.threads == {threading.get_ident()}

    run(table, calls, body)
    table.close()
    assert most == AT_ONCE


def test_a_worker_with_nothing_to_do_has_no_timer(tmp_path: Path) -> None:
    table, calls = SqliteTable(tmp_path / "t.db"), Calls()

    async def body(worker: Worker, queue: Queue) -> None:
        await asyncio.to_thread(queue.put, Job("Q1", "x"))
        await until(lambda: calls.ended and not list(queue.unfinished()))
        await asyncio.sleep(0.05)
        assert worker._timer is None
        assert worker._poller is None
        assert not worker._heap

    run(table, calls, body)
    table.close()


def test_an_earlier_job_comes_before_one_that_was_waited_for(tmp_path: Path) -> None:
    table, calls = SqliteTable(tmp_path / "t.db"), Calls()

    async def body(worker: Worker, queue: Queue) -> None:
        await asyncio.to_thread(queue.put, Job("late", "x"), time.time() + 3600)
        await asyncio.sleep(0.05)
        await asyncio.to_thread(queue.put, Job("soon", "x"), time.time() + 0.2)
        await until(lambda: calls.ended)

    run(table, calls, body)
    table.close()
    assert calls.ended == ["soon"]


def test_a_clock_that_was_set_forward_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LONGEST_TIMER", 0.05)
    table, calls, ahead = SqliteTable(tmp_path / "t.db"), Calls(), 0.0

    async def act() -> None:
        nonlocal ahead
        queue = Queue(table, lambda: now_us() + round(ahead * 1_000_000))
        hub = Hub(asyncio.get_running_loop())
        worker = Worker(queue, table, calls, hub, clock=lambda: time.time() + ahead)
        worker.start()
        await asyncio.to_thread(queue.put, Job("Q1", "x"), time.time() + 3600)
        await asyncio.sleep(0.2)
        assert not calls.begun
        ahead = 3601.0
        await until(lambda: calls.ended)
        await worker.stop()

    asyncio.run(act())
    table.close()


def test_what_a_dead_process_was_doing_is_begun_at_once(tmp_path: Path) -> None:
    table, calls = SqliteTable(tmp_path / "t.db"), Calls()
    queue = Queue(table, now_us)
    queue.put(Job("Q1", "x"))

    def die(job: Job) -> None:
        raise SystemExit

    with pytest.raises(SystemExit):
        queue.run("Q1", die)

    async def body(worker: Worker, queue: Queue) -> None:
        await until(lambda: calls.ended, 20)  # and not after the two minutes that one try may take

    run(table, calls, body)
    table.close()


def test_where_others_write_nobodys_job_is_taken_from_them() -> None:
    table, calls = MemoryTable(exclusive=False), Calls()
    other = Queue(table, now_us)
    other.put(Job("Q1", "x"))

    def slow(job: Job) -> None:
        async def body(worker: Worker, queue: Queue) -> None:
            other.put(Job("Q2", "x"))
            await until(lambda: calls.ended)

        run(table, calls, body, poll_seconds=0.02)

    other.run("Q1", slow)
    assert calls.ended == ["Q2"]


class Moody(MemoryTable):
    """A table that fails a few times."""

    def __init__(self, *, exclusive: bool) -> None:
        super().__init__(exclusive=exclusive)
        self.failures = {"query": 1, "get": 2}

    def _fail(self, what: str) -> None:
        if self.failures[what] > 0:
            self.failures[what] -= 1
            raise StoreUnavailable("it is down")

    def query(self, pk: str, **options: object) -> Page:
        self._fail("query")
        return super().query(pk, **options)  # type: ignore[arg-type]

    def get(self, key: Key) -> Item | None:
        self._fail("get")
        return super().get(key)


@pytest.mark.parametrize("exclusive", [True, False])
def test_a_table_that_fails_is_asked_again(exclusive: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_AFTER_TROUBLE", 0.05)
    table, calls = Moody(exclusive=exclusive), Calls()

    async def body(worker: Worker, queue: Queue) -> None:
        queue.put(Job("Q1", "x"))
        await until(lambda: calls.ended)

    run(table, calls, body, poll_seconds=0.02)
    assert calls.ended == ["Q1"]
    assert table.failures == {"query": 0, "get": 0}


def test_a_stop_waits_for_what_runs_and_begins_nothing(tmp_path: Path) -> None:
    table, calls = SqliteTable(tmp_path / "t.db"), Calls(0.3)

    async def body(worker: Worker, queue: Queue) -> None:
        await asyncio.to_thread(lambda: [queue.put(Job(f"Q{number}", "x")) for number in range(AT_ONCE + 5)])
        await until(lambda: len(calls.begun) == AT_ONCE)

    run(table, calls, body)
    assert len(calls.ended) == len(calls.begun) == AT_ONCE
    assert len(list(Queue(table, now_us).unfinished())) == 5
    table.close()


def test_a_stop_waits_for_a_look_that_is_under_way() -> None:
    looked = threading.Event()

    class Slow(MemoryTable):
        def query(self, pk: str, **options: object) -> Page:
            sleep(0.3)
            looked.set()
            return super().query(pk, **options)  # type: ignore[arg-type]

    async def body(worker: Worker, queue: Queue) -> None:
        assert not looked.is_set()

    run(Slow(exclusive=False), Calls(), body)
    assert looked.is_set()
