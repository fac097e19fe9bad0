"""The files of what was metered: whole at any moment, added to across restarts, bounded, and none is needed."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from roost.cost import report
from roost.cost.use import Day, Folder, Use


def test_a_day_is_read_as_it_was_written_and_added_to(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "use")
    day = folder.day("2026-11-25")
    assert day == Day("2026-11-25")
    day.add([Use("message", "C1", events=2, writes=16.0), Use("connect", events=1)])
    day.add([Use("message", "C1", events=1, writes=8.0), Use("message", "C2", events=1)])
    folder.write(day)
    again = folder.day("2026-11-25")
    assert again == day
    assert [(use.action, use.channel, use.events, use.writes) for use in again.uses] == [
        ("message", "C1", 3, 24.0),
        ("connect", "", 1, 0.0),
        ("message", "C2", 1, 0.0),
    ]
    assert list((tmp_path / "use").iterdir()) == [tmp_path / "use" / "2026-11-25.json"]


def test_every_field_is_added() -> None:
    one = Use("a", "b", **dict.fromkeys(Use.__struct_fields__[2:], 1))
    one.add(msgspec.structs.replace(one))
    assert [getattr(one, name) for name in Use.__struct_fields__[2:]] == [2] * len(Use.__struct_fields__[2:])


def test_a_file_that_is_no_use_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / "2026-11-25.json").write_text('{"date": 1')
    assert Folder(tmp_path).day("2026-11-25") == Day("2026-11-25")


def test_months_are_told_apart(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    assert folder.newest_month() is None
    assert folder.month("2026-11") == []
    for date in ("2026-10-31", "2026-11-01", "2026-11-30"):
        folder.write(Day(date, uses=[Use("connect", events=1)]))
    assert [day.date for day in folder.month("2026-11")] == ["2026-11-01", "2026-11-30"]
    assert folder.newest_month() == "2026-11"


def test_made_up_actions_do_not_make_a_file_grow_for_ever() -> None:
    day = Day("2026-11-25")
    day.add(Use(f"no.such{number}", events=1) for number in range(12_000))
    day.add([Use("one.more", events=1), Use("no.such7", events=1)])
    events = {use.action: use.events for use in day.uses}
    assert (events["other"], events["no.such7"], len(day.uses)) == (2_001, 2, 10_001)


def test_a_month_is_told_by_day_channel_action_and_service() -> None:
    one = Day(
        "2026-11-24", uses=[Use("message", "C1", 10, 10, 10, 30, writes=80.0, appends=10)], names={"C1": "general"}
    )
    two = Day("2026-11-25", uses=[Use("connect", "C1", 1, 1), Use("connections", minutes=60.0)], table_bytes=10**9)
    answer = report.metered("2026-11", [one, two])
    assert [(day["date"], day["changes"], day["minutes"]) for day in answer["days"]] == [
        ("2026-11-24", 10, 0),
        ("2026-11-25", 0, 60),
    ]
    assert [(each["id"], each["name"], each["changes"], each["pushes"]) for each in answer["channels"]] == [
        ("C1", "general", 10, 30)
    ]
    assert [each["action"] for each in answer["actions"]] == ["message", "connections", "connect"]
    assert answer["quantities"]["ws_messages"] == 40
    assert sum(day["cost"] for day in answer["days"]) == pytest.approx(sum(each["cost"] for each in answer["services"]))
    assert answer["prices"]["as_of"] == "2026-10"
    text = report.metered_text(answer)
    assert "#general" in text
    assert "2026-10" in text
