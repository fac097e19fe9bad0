"""Times as people say them: "in 20 minutes", "tomorrow at 9am", "monday", "2026-12-24 at 10:00"."""

from __future__ import annotations

import datetime
import re
import zoneinfo

from roost.chat.errors import CannotParse

_MORNING = datetime.time(9)
_DAY = 86400
_UNITS = {"second": 1, "sec": 1, "minute": 60, "min": 60, "hour": 3600, "hr": 3600, "day": _DAY, "week": 7 * _DAY}
_NUMBERS = {"a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "ten": 10}
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

_SPAN = re.compile(r"in (\d{1,6}|[a-z]+) ([a-z]+?)s?")
_CLOCK = re.compile(r"(\d{1,2})(?::(\d{2}))? ?(am|pm)?")
_NAMED_HOURS = {"noon": datetime.time(12), "midnight": datetime.time(0)}


def parse(said: str, now: int, tz: str) -> int:
    """A time in seconds since the epoch, from what somebody in a time zone said. Raises `CannotParse`.

    A number is that time itself, or, up to a day, so many seconds from now, as in Slack.
    """
    words = " ".join(said.lower().split())
    if words.isdigit() and len(words) < 12:
        return int(words) if int(words) > _DAY else now + int(words)
    if not words:
        raise CannotParse
    span = _SPAN.fullmatch(words)
    if span is not None:
        return now + _seconds(span[1], span[2])
    zone = _zone(tz)
    here = datetime.datetime.fromtimestamp(now, zone)
    day, _, hour = words.rpartition("at ") if "at " in words else (words, "", "")
    date = _date(day.strip(), here)
    time = _time(hour.strip()) if hour else _MORNING
    moment = datetime.datetime.combine(date, time, zone)
    if not day.strip() and moment <= here:
        moment = datetime.datetime.combine(date + datetime.timedelta(days=1), time, zone)
    return int(moment.timestamp())


def _seconds(number: str, unit: str) -> int:
    count = int(number) if number.isdigit() else _NUMBERS.get(number, 0)
    if not count or unit not in _UNITS:
        raise CannotParse
    return count * _UNITS[unit]


def _date(said: str, here: datetime.datetime) -> datetime.date:
    """The day that is meant; today where none is named."""
    today = here.date()
    known = {"": 0, "today": 0, "tomorrow": 1, "next week": 7 - today.weekday()}
    if said in known:
        return today + datetime.timedelta(days=known[said])
    name = said.removeprefix("on ").removeprefix("next ")
    if name in _WEEKDAYS:
        return today + datetime.timedelta(days=(_WEEKDAYS.index(name) - today.weekday() - 1) % 7 + 1)
    try:
        return datetime.date.fromisoformat(name)
    except ValueError:
        raise CannotParse from None


def _time(said: str) -> datetime.time:
    if said in _NAMED_HOURS:
        return _NAMED_HOURS[said]
    match = _CLOCK.fullmatch(said)
    if match is None:
        raise CannotParse
    hour, minute, half = int(match[1]), int(match[2] or 0), match[3]
    if half is not None:
        if not 1 <= hour <= 12:
            raise CannotParse
        hour = hour % 12 + (12 if half == "pm" else 0)
    if hour > 23 or minute > 59:
        raise CannotParse
    return datetime.time(hour, minute)


def _zone(name: str) -> datetime.tzinfo:
    """Somebody's time zone; UTC where the machine does not know it."""
    try:
        return zoneinfo.ZoneInfo(name or "UTC")
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return datetime.UTC
