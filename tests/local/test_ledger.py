"""The ledger's days; and a day of chat, against the estimate."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from roost.cost.bill import cost, total
from roost.cost.estimate import APPEND_WRITES, CONNECT_WRITES, Assumptions, month
from roost.cost.use import Folder
from roost.local.ledger import Ledger
from tests.local.metered import Chat, by_action


@pytest.fixture
def chat() -> Chat:
    return Chat()


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
