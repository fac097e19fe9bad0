"""The meter: what each thing adds, to which action and channel, also when Tasks take turns; and the ledger's days."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from roost.app import App
from roost.chat.ports import Outcome
from roost.cost.bill import cost, total
from roost.cost.estimate import APPEND_WRITES, CONNECT_WRITES, Assumptions, month
from roost.cost.units import read_units, write_units
from roost.cost.use import Folder, Use
from roost.local.ledger import Ledger
from roost.local.meter import Meter, MeteredPush
from roost.local.metered_table import MeteredTable
from roost.local.waiting import Hub, Wait, finish
from roost.settings import Settings
from roost.storage.table import Check, ConditionFailed, Delete, Exists, Item, Key, Missing, Put, Update, item_size
from roost.testing import FakeClock, MemoryPush, MemoryTable, http_event, socket_event
from tests.local.test_waiting import on_a_loop


class Chat:
    """A metered App on a laptop's kind of table."""

    def __init__(self, *, exclusive: bool = True) -> None:
        self.clock = FakeClock()
        self.meter = Meter()
        self.store = MemoryTable(clock=lambda: self.clock.now, exclusive=exclusive)
        self.push = MemoryPush()
        table, push = MeteredTable(self.store, self.meter), MeteredPush(self.push, self.meter)
        app = App(table, push, self.clock, Settings())
        assert app.chat.core.workspace
        self.handle = self.meter.measured(app.handle)
        self.meter.take()

    def event(self, kind: str, connection: str, body: str | None = None) -> None:
        self.handle(socket_event(kind, connection, body, time=self.clock.now_us() // 1000))

    def used(self, action: str) -> Use:
        """All that an action used since the last look, in any channel."""
        together = Use(action)
        for use in self.meter.take():
            if use.action == action:
                together.add(use)
        return together


def by_action(uses: Iterable[Use]) -> dict[str, Use]:
    """What each action used in all channels together."""
    together: dict[str, Use] = {}
    for use in uses:
        together.setdefault(use.action, Use(use.action)).add(use)
    return together


@pytest.fixture
def chat() -> Chat:
    return Chat()


def test_a_line_is_eight_write_units_three_reads_and_a_message_to_each_who_hears_it(chat: Chat) -> None:
    for name in "abcd":
        chat.event("CONNECT", name)
    assert chat.used("connect") == Use("connect", "", 4, 4, writes=8.0)
    chat.event("MESSAGE", "a", "the first builds what is kept in memory")
    chat.meter.take()
    chat.event("MESSAGE", "a", "hello")
    (use,) = chat.meter.take()
    assert use.channel
    assert use == Use("message", use.channel, 1, 1, 1, 3, reads=3.0, writes=8.0, appends=1, rounds=1)


def test_a_laptop_and_a_table_that_others_write_are_metered_alike() -> None:
    alike = []
    for exclusive in (True, False):
        chat = Chat(exclusive=exclusive)
        for n in range(120):
            chat.event("CONNECT", f"connection-{n:04}=")
        for line in ("first", "second", "x" * 3000, "/who", "/history"):
            chat.event("MESSAGE", "connection-0000=", line)
        use = chat.used("message")
        alike.append((use.writes, use.reads, use.ws_out, use.rounds))
    assert alike[0] == alike[1]
    assert alike[0][0] == 8 + 8 + 20  # 3,000 bytes and their names are 4 KB, twice, and each counts double


def test_what_is_longer_costs_more_of_what_it_passes(chat: Chat) -> None:
    chat.event("CONNECT", "a")
    chat.event("CONNECT", "b")
    chat.meter.take()
    chat.event("MESSAGE", "a", "\x01" * 20_000)  # shown as \x01: four times as long
    use = chat.used("message")
    assert use.ws_in == 1
    assert use.ws_out == 3  # 80 KB in 32 KB steps
    assert use.writes == 2 * (1 + 1 + 20 + 20)
    chat.event("MESSAGE", "a", "ä" * 20_000)
    assert chat.used("message").ws_in == 2


def test_who_does_not_take_a_frame_is_not_billed(chat: Chat) -> None:
    for name in "abc":
        chat.event("CONNECT", name)
    chat.push.outcomes["b"] = Outcome.GONE
    chat.event("MESSAGE", "a", "hello")
    assert chat.used("message").ws_out == 1


def test_thousands_of_receivers_take_further_functions(chat: Chat) -> None:
    push = MeteredPush(chat.push, chat.meter)
    push.send([f"c{n}" for n in range(6_000)], "x")
    (use,) = chat.meter.take()
    assert (use.action, use.invocations, use.ws_out, use.rounds) == ("background", 3, 6_000, 188)


def test_a_first_frame_takes_a_function_of_its_own(chat: Chat) -> None:
    push = MeteredPush(chat.push, chat.meter)
    push.send_first("a", "x" * 40_000)
    (use,) = chat.meter.take()
    assert (use.invocations, use.ws_out) == (1, 2)
    assert chat.push.to("a") == ["x" * 40_000]
    push.close("a")
    assert chat.push.closed == ["a"]


def test_every_kind_of_event_has_its_action(chat: Chat) -> None:
    chat.event("CONNECT", "a")
    for line in ("hello", "/who", "/nonsense", '{"action":"command","data":"fetchChannels"}', "", None):
        chat.event("MESSAGE", "a", line)
    chat.handle(http_event("GET", "/"))
    chat.handle(http_event("POST", "/api/chat.postMessage"))
    chat.handle(http_event("POST", "/api/" + "x" * 500))
    chat.event("DISCONNECT", "a")
    actions = by_action(chat.meter.take())
    assert set(actions) == {"connect", "message", "/who", "/?", "frame", "http", "chat.postMessage", "disconnect"}
    assert actions["http"].http == 2
    assert actions["message"].events == 3
    assert actions["disconnect"].writes == 2


def test_an_action_is_in_the_channel_that_it_touches(chat: Chat) -> None:
    chat.event("CONNECT", "a")
    chat.event("MESSAGE", "a", "in general")
    chat.event("MESSAGE", "a", "/channel random")
    chat.event("MESSAGE", "a", "in random")
    channels = {use.channel for use in chat.meter.take() if use.action == "message"}
    assert len(channels) == 2
    assert "" not in channels


def test_of_very_many_events_every_17th_stands_for_17(chat: Chat) -> None:
    chat.event("CONNECT", "a")
    for _ in range(4_000):
        chat.event("MESSAGE", "a", "hello")
    chat.event("CONNECT", "heard although it is not counted")
    use = chat.used("message")
    assert use.events == pytest.approx(4_000, abs=17)
    assert use.writes == 8 * use.events
    assert use.reads == 3 * use.events
    chat.event("MESSAGE", "a", "hello")
    assert chat.used("message").ws_out == 1


def test_who_came_while_every_17th_was_counted_is_read_with_the_others(chat: Chat) -> None:
    for n in range(2_000):
        chat.event("CONNECT", f"connection-{n:04}=")
    assert chat.used("connect").events == pytest.approx(2_000, abs=17)
    chat.event("MESSAGE", "connection-0000=", "hello")
    chat.meter.take()
    chat.event("MESSAGE", "connection-0000=", "hello")
    here = chat.used("message").reads  # an item of about 90 bytes for each
    assert here > 2_000 * 80 / 4096


def test_tasks_that_take_turns_are_told_apart() -> None:
    meter, done = Meter(), threading.Event()
    waits: list[Wait] = []
    store = MemoryTable()
    table = MeteredTable(store, meter)

    def handle(event: Any) -> dict[str, Any]:
        table.get(Key("A", "1"))
        waits.append(Wait())
        if len(waits) == 2:
            threading.Thread(target=finish, args=(list(reversed(waits)),)).start()
        waits[-1].wait()
        for _ in range(10 if event["requestContext"]["connectionId"] == "a" else 20):
            table.get(Key("A", "1"))
        if len(waits) == 2 and event["requestContext"]["connectionId"] == "a":
            done.set()
        return {"statusCode": 200}

    metered = meter.measured(handle)

    def begin(hub: Hub) -> None:
        hub.run(lambda: (metered(socket_event("MESSAGE", "a", "/who")), None)[1])
        hub.run(lambda: (metered(socket_event("MESSAGE", "b", "said")), None)[1])

    on_a_loop(begin, done)
    assert {use.action: use.reads for use in meter.take()} == {"/who": 11, "message": 21}


def test_the_units_of_each_call(chat: Chat) -> None:
    table = MeteredTable(chat.store, chat.meter)

    def units(act: Any) -> tuple[float, float]:
        act()
        uses = chat.meter.take()
        return (sum(use.writes for use in uses), sum(use.reads for use in uses))

    big: Item = {"PK": "A", "SK": "big", "v": "x" * 3000}
    indexed: Item = {"PK": "A", "SK": "i", "G1PK": "g", "G1SK": "s"}
    assert units(lambda: table.put(big)) == (3, 0)
    assert units(lambda: table.put(indexed, Missing())) == (2, 0)
    assert units(lambda: table.put(indexed)) == (1, 0)
    assert units(lambda: table.put({**indexed, "G1SK": "t"})) == (3, 0)
    assert units(lambda: table.update(Update(Key("A", "big"), set={"n": 1}))) == (3, 0)
    assert units(lambda: table.get_many([Key("A", "big"), Key("A", "i"), Key("B", "1"), Key("A", "i")])) == (0, 3)
    assert units(lambda: table.query("A")) == (0, 1)
    assert units(lambda: table.query_index("g")) == (0, 0.5)
    assert units(lambda: table.transact([Put(big), Check(Key("A", "i"), Exists())])) == (8, 0)
    assert units(lambda: table.transact([Update(Key("A", "big"), set={"n": 2}), Delete(Key("A", "i"))])) == (9, 0)
    assert units(lambda: table.transact([Put(indexed, Missing())])) == (3, 0)
    assert units(lambda: table.delete(Key("A", "big"))) == (3, 0)
    assert units(lambda: table.delete(Key("A", "big"))) == (1, 0)

    def refused() -> None:
        with pytest.raises(ConditionFailed):
            table.update(Update(Key("A", "big"), set={"n": 1}))

    assert units(refused) == (0, 0)
    table.watch(lambda changes: None)


@pytest.mark.parametrize("size", [1, 800, 880, 900, 1000, 1024, 1025, 2048, 2049, 4096, 4097, 30_000])
def test_units_are_exact_at_their_edges(size: int) -> None:
    item: Item = {"PK": "A", "SK": "1", "v": ""}
    item["v"] = "x" * max(0, size - item_size(item))
    assert write_units(item) == max(1, -(-item_size(item) // 1024))
    assert read_units(item) == max(1, -(-item_size(item) // 4096))
    assert read_units(None) == 1


# -- the ledger -------------------------------------------------------------------------------------------------------


def ledger(chat: Chat, folder: Path, connections: int = 0) -> Ledger:
    return Ledger(
        Folder(folder),
        chat.meter,
        chat.store,
        connections=lambda: connections,
        size=lambda: 12_345,
        files=folder.with_name("files"),
        clock=lambda: chat.clock.now,
    )


def test_days_are_written_apart_with_names_minutes_and_size(chat: Chat, tmp_path: Path) -> None:
    keeper = ledger(chat, tmp_path, connections=3)
    chat.event("CONNECT", "a")
    chat.event("MESSAGE", "a", "hello")
    chat.clock.now += 60
    asyncio.run(keeper.flush())
    chat.clock.now += 86_400
    asyncio.run(keeper.flush())
    first, second = Folder(tmp_path).month("2027-01")
    assert (first.date, second.date) == ("2027-01-15", "2027-01-16")
    assert list(first.names.values()) == ["general"]
    assert first.table_bytes == 12_345
    assert [use.minutes for use in first.uses if use.action == "connections"] == [3.0]
    assert [use.minutes for use in second.uses] == [3 * 24 * 60.0]


def test_files_are_looked_at_too(chat: Chat, tmp_path: Path) -> None:
    kept = tmp_path / "files" / "ab" / "F1"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"x" * 1000)
    chat.event("CONNECT", "a")
    asyncio.run(ledger(chat, tmp_path / "use").flush())
    (day,) = Folder(tmp_path / "use").month("2027-01")
    assert day.file_bytes == 1000
    assert day.stored().file_gb_months == pytest.approx(1000 / 1e9 * 12 / 365)


def test_a_restart_goes_on_with_the_day_and_silence_writes_nothing(chat: Chat, tmp_path: Path) -> None:
    asyncio.run(ledger(chat, tmp_path).flush())
    assert not list(tmp_path.iterdir())
    for _ in range(2):
        chat.event("CONNECT", "a")
        asyncio.run(ledger(chat, tmp_path).flush())
    (day,) = Folder(tmp_path).month("2027-01")
    assert [(use.action, use.events) for use in day.uses] == [("connect", 2)]


def test_a_folder_that_takes_nothing_stops_nobody(chat: Chat, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "use").write_text("a file where the folder should be")
    keeper = ledger(chat, tmp_path / "use")
    chat.event("CONNECT", "a")
    asyncio.run(keeper.flush())
    assert "the use was not written" in caplog.text
    (tmp_path / "use").unlink()
    chat.event("CONNECT", "b")
    asyncio.run(keeper.flush())
    (day,) = Folder(tmp_path / "use").month("2027-01")
    assert [(use.action, use.events) for use in day.uses] == [("connect", 2)]  # nothing was forgotten


# -- a day of chat, against the estimate -----------------------------------------------------------------------------


def test_a_metered_day_costs_what_the_estimate_says_of_it(chat: Chat, tmp_path: Path) -> None:
    """Ten people on text connections for eight hours, who only talk, and connect again every two hours."""
    people, lines = 10, 24
    keeper = ledger(chat, tmp_path, connections=people)
    for hour in range(8):
        for n in range(people):
            if hour % 2 == 0:
                chat.event("CONNECT", f"connection-{n:04}=")
        for n in range(people):
            for line in range(lines // 8):
                chat.event("MESSAGE", f"connection-{n:04}=", f"line {line} of hour {hour}, which is of a usual length")
        chat.clock.now += 3600
        for n in range(people):
            if hour % 2 == 1:
                chat.event("DISCONNECT", f"connection-{n:04}=")
        asyncio.run(keeper.flush())
    uses = [use for day in Folder(tmp_path).month("2027-01") for use in day.uses]
    used = by_action(uses)
    said = used["message"]
    assert said.writes / said.appends == pytest.approx(APPEND_WRITES, rel=0.05)
    assert said.ws_out / said.appends == pytest.approx(people - 1)
    assert used["connect"].writes + used["disconnect"].writes == 4 * people * CONNECT_WRITES
    team = Assumptions(
        people=people,
        messages=lines,
        days=1,
        hours=8,
        receivers=people - 1,
        reconnect_minutes=120,
        ping_minutes=float("inf"),
        reactions=0,
        edits=0,
        other_events=0,
        searches=0,
        thread_reads=0,
        mark_reads=0,
        page_reads=0,
        index_writes=0,
        boot_requests=0,
        resume_requests=0,
        channels=0,
        files=0,
    )
    assert cost(total(use.quantities() for use in uses)) == pytest.approx(cost(month(team)), rel=0.05)
