"""A search as somebody typed it: words, phrases, what must not be there, and modifiers."""

from __future__ import annotations

import calendar
import datetime
import re
from dataclasses import dataclass, field

from roost.chat.terms import fold

MAX_QUERY = 500  # characters
_PART = re.compile(
    r"(?P<minus>-)?(?:(?P<modifier>from|to|in|before|after|on|during|has|is):)?"
    r'(?:"(?P<phrase>[^"]*)"?|(?P<word>\S+))'
)
_MONTHS = {name.lower(): number for number, name in enumerate(calendar.month_name) if name}


@dataclass(slots=True)
class Query:
    """What is looked for. Words and phrases are folded; days are UTC."""

    words: list[str] = field(default_factory=list)
    phrases: list[str] = field(default_factory=list)
    without: list[str] = field(default_factory=list)
    authors: list[str] = field(default_factory=list)  #: as typed: `@name`, `<@U…>`, `me`
    not_authors: list[str] = field(default_factory=list)
    places: list[str] = field(default_factory=list)  #: as typed: `#name`, `<#C…>`, `@name`
    not_places: list[str] = field(default_factory=list)
    to_me: bool = False
    after: int = 0  #: seconds: from this moment on
    before: int = 0  #: seconds: before this moment; 0: open
    has: list[str] = field(default_factory=list)  #: link, pin, reaction, file, `:emoji:`
    thread: bool = False
    nothing: bool = False  #: a modifier says what can never be

    @property
    def empty(self) -> bool:
        """Whether nothing at all is looked for."""
        return not any(
            (self.words, self.phrases, self.authors, self.places, self.to_me, self.after, self.before, self.has)
        ) and not (self.thread or self.nothing)


def parse(text: str) -> Query:
    """Read a search. Nothing is wrong with any text: what is no modifier is looked for as it stands."""
    query = Query()
    for found in _PART.finditer(text):
        value = found["phrase"] if found["phrase"] is not None else found["word"]
        minus = found["minus"] is not None
        if found["modifier"]:
            _modify(query, found["modifier"], value, minus=minus)
        elif found["phrase"] is not None:
            (query.without if minus else query.phrases).append(fold(value))
        else:
            _word(query, value, minus=minus)
    query.phrases = [phrase for phrase in query.phrases if phrase.strip()]
    return query


def _word(query: Query, value: str, *, minus: bool) -> None:
    word = fold(value).strip("*")
    if word:
        (query.without if minus else query.words).append(word)


def _modify(query: Query, modifier: str, value: str, *, minus: bool) -> None:
    match modifier:
        case "from":
            (query.not_authors if minus else query.authors).append(value)
        case "in":
            (query.not_places if minus else query.places).append(value)
        case "to":
            query.to_me = query.to_me or value.lower() in ("me", "@me")
        case "has":
            query.has.append(value.lower())
        case "is":
            query.thread = query.thread or value.lower() == "thread"
        case _:
            _when(query, modifier, value.lower())


def _when(query: Query, modifier: str, value: str) -> None:
    span = _span(value)
    if span is None:
        query.nothing = True
        return
    first, end = span
    if modifier == "before":
        query.before = min(query.before or first, first)
    elif modifier == "after":
        query.after = max(query.after, end)
    else:
        query.after = max(query.after, first)
        query.before = min(query.before or end, end)


def _span(value: str) -> tuple[int, int] | None:
    """The first second of a day, month or year, and the first behind it."""
    today = datetime.datetime.now(datetime.UTC).date()
    if value in ("today", "yesterday"):
        day = today - datetime.timedelta(days=value == "yesterday")
        return _seconds(day), _seconds(day + datetime.timedelta(days=1))
    if value in _MONTHS:
        year = today.year if _MONTHS[value] <= today.month else today.year - 1
        return _month(year, _MONTHS[value])
    parts = value.split("-")
    try:
        numbers = [int(part) for part in parts]
        if len(numbers) == 3:
            day = datetime.date(*numbers)
            return _seconds(day), _seconds(day + datetime.timedelta(days=1))
        if len(numbers) == 2:
            return _month(*numbers)
        (year,) = numbers
        return _seconds(datetime.date(year, 1, 1)), _seconds(datetime.date(year + 1, 1, 1))
    except (ValueError, OverflowError):
        return None


def _month(year: int, month: int) -> tuple[int, int]:
    following = (year + 1, 1) if month == 12 else (year, month + 1)
    return _seconds(datetime.date(year, month, 1)), _seconds(datetime.date(*following, 1))


def _seconds(day: datetime.date) -> int:
    return calendar.timegm(day.timetuple())
