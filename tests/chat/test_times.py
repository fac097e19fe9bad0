"""Times in words."""

from __future__ import annotations

import datetime

import pytest

from roost.chat.errors import CannotParse
from roost.chat.times import parse

NOW = int(datetime.datetime(2026, 11, 25, 15, 30, tzinfo=datetime.UTC).timestamp())  # a Wednesday


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("in 20 minutes", "2026-11-25 15:50"),
        ("in an hour", "2026-11-25 16:30"),
        ("In  2 Days", "2026-11-27 15:30"),
        ("in 1 week", "2026-12-02 15:30"),
        ("tomorrow", "2026-11-26 09:00"),
        ("tomorrow at 9am", "2026-11-26 09:00"),
        ("tomorrow at 12am", "2026-11-26 00:00"),
        ("today at 17:45", "2026-11-25 17:45"),
        ("at 5pm", "2026-11-25 17:00"),
        ("at 8", "2026-11-26 08:00"),
        ("at noon", "2026-11-26 12:00"),
        ("friday", "2026-11-27 09:00"),
        ("on wednesday at 10:15", "2026-12-02 10:15"),
        ("next monday at 8 am", "2026-11-30 08:00"),
        ("next week", "2026-11-30 09:00"),
        ("2026-12-24 at 18:00", "2026-12-24 18:00"),
        ("60", "2026-11-25 15:31"),
        ("1800000000", "2027-01-15 08:00"),
    ],
)
def test_what_is_meant(said: str, meant: str) -> None:
    moment = datetime.datetime.fromtimestamp(parse(said, NOW, ""), datetime.UTC)
    assert moment.strftime("%Y-%m-%d %H:%M") == meant


@pytest.mark.parametrize("tz", ["Europe/Berlin", "America/New_York"])
def test_hours_are_those_of_the_persons_own_clock(tz: str) -> None:
    hours = {"Europe/Berlin": 8, "America/New_York": 14}
    assert datetime.datetime.fromtimestamp(parse("tomorrow at 9am", NOW, tz), datetime.UTC).hour == hours[tz]


@pytest.mark.parametrize(
    "said",
    ["", "every day", "every monday at 9", "soon", "in x minutes", "in 5 fortnights", "tomorrow at 25", "at 13pm", "at",
     "in 999999 weekss", "2026-13-01", "at 9:75", "9" * 40, "\0", "next"],
)  # fmt: skip
def test_what_is_not_understood_is_refused(said: str) -> None:
    with pytest.raises(CannotParse):
        parse(said, NOW, "Nowhere/Land")
