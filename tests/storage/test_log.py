"""The append: dense `seq`, rising `ts`, once per client id; many in flight at once."""

from __future__ import annotations

import asyncio
import random
import threading
from pathlib import Path
from typing import Any

import pytest
import uvloop

from roost.local import waiting
from roost.local.sqlite import SqliteTable
from roost.local.waiting import Hub
from roost.storage import messages
from roost.storage.items import log_key, message_key
from roost.storage.log import Appended, Busy, Change, Log
from roost.storage.table import Conflict, Key, StoreUnavailable, Table, Throttled
from roost.testing import FakeClock, MemoryTable
from tests.lines import channel_creation, line, said

C = "C1"


def draft(text: str = "x", client_msg_id: str = "", user: str = "U1", channel: str = C) -> Change:
    return line(channel, text, client_msg_id, user=user)


def prepared(table: Table) -> Table:
    table.transact(channel_creation(C, "general"))
    return table


def stored(table: Table) -> list[tuple[int, str, str]]:
    """Every message as (seq, ts, text), by ts."""
    return [(row.seq, ts, row.text) for ts, row in said(table, C)]


def check_dense(table: Table, count: int) -> None:
    rows = stored(table)
    assert [seq for seq, _, _ in rows] == list(range(1, count + 1))
    times = [ts for _, ts, _ in rows]
    assert times == sorted(set(times))
    assert len({ts for _, ts, _ in rows}) == count
    for seq, ts, _ in rows:
        assert table.get(log_key(C, ts, seq)) is not None


@pytest.mark.parametrize("exclusive", [True, False])
@pytest.mark.parametrize("appends", [2_000, pytest.param(1_000_000, marks=pytest.mark.release)])
def test_ts_rises_whatever_the_clock_does(exclusive: bool, appends: int) -> None:
    """G4"""
    table = prepared(MemoryTable(exclusive=exclusive))
    rng, clock = random.Random(1), FakeClock()
    log = Log(table, lambda: clock.now_us() + rng.randint(-600, 600) * 1_000_000, clock.sleep)
    last = Appended("", 0)
    for _ in range(appends):
        clock.now += rng.choice((0, 0, 0.000001, 5, -30))
        place = log.append(C, draft())
        assert place.seq == last.seq + 1
        assert place.ts > last.ts
        last = place


def test_the_same_client_id_gives_the_first_place_whatever_the_text() -> None:
    """G2"""
    table = prepared(MemoryTable())
    table.transact(channel_creation("C2", "other"))
    log = Log(table, FakeClock().now_us, lambda _: None)
    first = log.append(C, draft("one", "id"))
    again = log.append(C, draft("two", "id"))
    assert (again.ts, again.seq, again.duplicate) == (first.ts, first.seq, True)
    assert not log.append("C2", draft("three", "id", channel="C2")).duplicate
    assert not log.append(C, draft("four", "id", user="U2")).duplicate
    assert [text for _, _, text in stored(table)] == ["one", "four"]


def in_tasks(table: Table, drafts: list[Change]) -> list[Appended]:
    """Append all at once, as Tasks of one loop; the places in the order in which they were given."""
    log = Log(table, lambda: 1_800_000_000_000_000, waiting.sleep)
    places: list[Appended] = []

    async def main() -> None:
        hub, done = Hub(asyncio.get_running_loop()), asyncio.Event()

        def one(each: Change) -> None:
            places.append(log.append(C, each))
            if len(places) == len(drafts):
                done.set()

        for each in drafts:
            hub.run(lambda each=each: one(each))  # type: ignore[misc]  # bound at once
        await asyncio.wait_for(done.wait(), 30)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
    return places


def test_many_in_flight_stand_in_the_order_in_which_they_were_said(tmp_path: Path) -> None:
    """G3"""
    table = SqliteTable(tmp_path / "t.db")
    prepared(table)
    commits: list[int] = []
    table.watch(lambda changes: commits.append(len(changes)))
    places = in_tasks(table, [draft(str(n), f"id{n}") for n in range(500)])
    assert [place.seq for place in places] == list(range(1, 501))
    assert [text for _, _, text in stored(table)] == [str(n) for n in range(500)]
    assert len(commits) < 100  # they shared commits
    check_dense(table, 500)
    table.close()


def test_a_duplicate_in_the_middle_is_no_stumbling_block(tmp_path: Path) -> None:
    table = SqliteTable(tmp_path / "t.db")
    prepared(table)
    drafts = [draft(str(n), f"id{n % 40}") for n in range(200)]  # four of five were said before
    places = in_tasks(table, drafts)
    assert sum(not place.duplicate for place in places) == 40
    assert sorted(text for _, _, text in stored(table)) == sorted(str(n) for n in range(40))
    check_dense(table, 40)
    table.close()


def test_threads_appending_at_once_lose_and_double_nothing(tmp_path: Path) -> None:
    table = SqliteTable(tmp_path / "t.db")
    prepared(table)
    log = Log(table, lambda: 1_800_000_000_000_000, waiting.sleep)

    def work(writer: int) -> None:
        for n in range(60):
            log.append(C, draft(f"{writer}-{n}", f"{writer}-{n}"))

    threads = [threading.Thread(target=work, args=(writer,)) for writer in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check_dense(table, 240)
    assert len({text for _, _, text in stored(table)}) == 240
    table.close()


class Failing(MemoryTable):
    """Fails some transactions, before they happen or after."""

    def __init__(self, failures: list[Any], **options: Any) -> None:
        super().__init__(**options)
        self.failures = failures

    def transact(self, operations: Any) -> None:
        failure = self.failures.pop(0) if self.failures and len(operations) == 4 else None
        if isinstance(failure, tuple):  # it happens, but the answer is lost
            super().transact(operations)
            raise failure[0]
        if failure is not None:
            raise failure
        super().transact(operations)


@pytest.mark.parametrize("exclusive", [True, False])
@pytest.mark.parametrize(
    "failures",
    [
        [Throttled("")],
        [Conflict("")] * 3,
        [StoreUnavailable("")],
        [(StoreUnavailable(""),)],
        [Throttled(""), (StoreUnavailable(""),)],
        [StoreUnavailable("")] * 7,
    ],
    ids=str,
)
def test_a_store_that_stumbles_gets_each_message_once(failures: list[Any], exclusive: bool) -> None:
    """G2, G16"""
    table = prepared(Failing(list(failures), exclusive=exclusive))
    log = Log(table, FakeClock().now_us, FakeClock().sleep)
    assert log.append(C, draft("one", "id")).seq == 1
    assert log.append(C, draft("two", "id2")).seq == 2
    check_dense(table, 2)


def test_a_store_that_stays_busy_is_said_to_be_and_nothing_is_there() -> None:
    table = prepared(Failing([Throttled("")] * 20))
    log = Log(table, FakeClock().now_us, FakeClock().sleep)
    with pytest.raises(Busy):
        log.append(C, draft("one", "id"))
    assert stored(table) == []


def test_after_a_lost_answer_nobody_is_told_that_nothing_was_appended() -> None:
    """G16: the write may still happen, late."""
    table = prepared(Failing([Throttled(""), StoreUnavailable(""), *[Throttled("")] * 20]))
    with pytest.raises(StoreUnavailable):
        Log(table, FakeClock().now_us, FakeClock().sleep).append(C, draft("one", "id"))


def test_a_slow_store_is_given_up_before_a_function_runs_out_of_time() -> None:
    clock = FakeClock()
    table = prepared(Failing([Throttled("")] * 20))
    tried = []

    def slow(operations: Any) -> None:
        tried.append(clock.now)
        clock.now += 3
        raise Throttled("")

    table.transact = slow  # type: ignore[method-assign]  # as after all its own tries
    with pytest.raises(Busy):
        Log(table, clock.now_us, clock.sleep).append(C, draft("one", "id"))
    assert len(tried) == 2


def test_without_a_client_id_an_unknown_outcome_is_passed_on() -> None:
    table = prepared(Failing([StoreUnavailable("")]))
    table.transact = lambda operations: (_ for _ in ()).throw(StoreUnavailable(""))  # type: ignore[method-assign]
    with pytest.raises(StoreUnavailable):
        Log(table, FakeClock().now_us, FakeClock().sleep).append(C, draft("one"))


def test_history_stops_at_a_hole_until_it_is_filled() -> None:
    """Transactions may become visible item by item; a reader never sees past what is missing."""
    table = prepared(MemoryTable())
    log = Log(table, FakeClock().now_us, lambda _: None)
    places = [log.append(C, draft(str(n))) for n in range(5)]
    hidden = table.get(message_key(C, places[2].ts))
    assert hidden is not None
    table.delete(Key(str(hidden["PK"]), str(hidden["SK"])))
    assert [row.text for _, row in said(table, C, 10)] == ["3", "4"]
    found = messages.newest(table, C, 0, messages.Range(), 10, lambda _: table.put(hidden))
    assert [row.text for _, row in found] == ["4", "3", "2", "1", "0"]
