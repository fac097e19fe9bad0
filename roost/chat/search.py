"""Searching, and what keeps the index up to date.

The index only leads to messages. Each is then read and compared with the whole query, and whether the searcher may read
it is asked anew, so that neither an old index nor a lost membership ever shows anything.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from roost.chat import rights
from roost.chat.channels import Channels
from roost.chat.core import Core
from roost.chat.errors import ChannelNotFound, NoQuery, NotInChannel, QueryTooLong, UserNotFound
from roost.chat.events import MessageChanged, MessagePosted, from_row
from roost.chat.messages import SAID
from roost.chat.model import ChannelId, Message, Person, Ts, channel_of, person_of
from roost.chat.people import People
from roost.chat.query import MAX_QUERY, Query, parse
from roost.chat.terms import MAX_TERM, WORD, has_link, pairs, plain, terms
from roost.storage import messages, search
from roost.storage.items import ChannelRow, MessageRow, from_item, message_key
from roost.storage.messages import Range

BATCH = 100  # events of one channel that are indexed together
MAX_FOUND = 1_000  # messages that one search counts
_MAX_LOOKED_AT = 5_000  # candidates, after which a search stops
_MAX_WORDS = 30  # that a part of a word may stand for
_TOGETHER = 100  # candidates read at once

_AUTHOR, _LINK, _FILE = "@", "!link", "!file"


@dataclass(frozen=True, slots=True)
class Found:
    """A message that a search found."""

    channel: ChannelRow
    message: Message
    score: int


class Search:
    """Finds messages."""

    def __init__(self, core: Core, channels: Channels, people: People) -> None:
        self._core = core
        self._table = core.table
        self._channels = channels
        self._people = people

    # -- the index --------------------------------------------------------------------------------------------------

    def index(self, channel: str) -> None:
        """Bring the index of a channel up to the end of its log, a batch at a time. Harmless when done twice.

        Where events have expired before they were indexed, it goes on behind them.
        """
        while True:
            done = search.indexed(self._table, channel)
            head = self._core.log.head(channel).seq
            if done >= head:
                return
            events = self._core.log.next(channel, done, BATCH)
            found: dict[str, list[str]] = {}
            for seq, row in events:
                recorded = from_row(channel, seq, row, lambda ts: messages.get(self._table, channel, ts))
                if isinstance(recorded.event, MessagePosted):
                    noted(found, recorded.ts, recorded.event.message)
                elif isinstance(recorded.event, MessageChanged):
                    noted(found, recorded.event.target, recorded.event.message)
            search.add(self._table, channel, found, events[-1][0] if events else head)

    def behind(self) -> list[str]:
        """Channels whose index does not reach the end of their log."""
        rows = [*self._channels.public(), *self._people_channels()]
        ids = list(dict.fromkeys(row.id for row in rows))
        return [each for each in ids if search.indexed(self._table, each) < self._core.log.head(each).seq]

    def _people_channels(self) -> list[ChannelRow]:
        return [row for user in self._people.everybody() for row, _ in self._channels.of(person_of(user))]

    # -- finding ----------------------------------------------------------------------------------------------------

    def find(self, person: Person, text: str, *, best: bool) -> list[Found]:
        """What somebody looks for among all that they may read: newest first, or best first (`best`); at most
        `MAX_FOUND`. Raises `NoQuery` or `QueryTooLong`."""
        if len(text) > MAX_QUERY:
            raise QueryTooLong
        query = parse(text)
        if query.empty:
            raise NoQuery
        places = self._places(person, query)
        wanted = _Wanted(self, person, query)
        if query.nothing or not places or wanted.impossible:
            return []
        found: list[Found] = []
        for channel, message in self._candidates(wanted, places):
            score = wanted.score(message)
            if score:
                found.append(Found(places[channel], message, score))
                if len(found) == MAX_FOUND:
                    break
        found = [each for each in found if self._may_read(person, each)]
        if best:
            found.sort(key=lambda each: (each.score, each.message.ts), reverse=True)
        return found

    def _places(self, person: Person, query: Query) -> dict[str, ChannelRow]:
        """Where is looked: all that they may read, or what `in:` names of it."""
        mine = {row.id: row for row, _ in self._channels.of(person)}
        if person.role != "restricted":
            mine |= {row.id: row for row in self._channels.public()}
        if query.places:
            named = {self._place(person, each) for each in query.places}
            mine = {channel: row for channel, row in mine.items() if channel in named}
        without = {self._place(person, each) for each in query.not_places}
        if query.to_me:
            mine = {channel: row for channel, row in mine.items() if row.kind != "channel"}
        return {channel: row for channel, row in mine.items() if channel not in without}

    def _place(self, person: Person, named: str) -> str:
        name = named.strip("<>").partition("|")[0]
        if name.startswith("#C") and named.startswith("<"):
            return name[1:]
        try:
            if name.startswith("@"):
                row = self._channels.find_direct(person, [self.user(person, name)])
                return row.id if row is not None else ""
            return self._channels.named(name.removeprefix("#")).id
        except (ChannelNotFound, UserNotFound):
            return ""

    def user(self, person: Person, named: str) -> str:
        """The id of somebody as a query names them. Raises `UserNotFound`."""
        name = named.strip("<>").partition("|")[0].removeprefix("@")
        if name.lower() == "me":
            return person.id
        if named.startswith("<@"):
            return self._people.row(name).id
        return self._people.by_name(name).id

    def _candidates(self, wanted: _Wanted, places: dict[str, ChannelRow]) -> Iterator[tuple[str, Message]]:
        """Messages that may be meant, newest first."""
        looked, waiting = 0, list[search.Hit]()
        for hit in self._hits(wanted, places):
            if not wanted.in_time(hit.ts):
                if wanted.is_over(hit.ts):
                    break
                continue
            waiting.append(hit)
            looked += 1
            if len(waiting) == _TOGETHER:
                yield from self._read(waiting)
                waiting = []
            if looked == _MAX_LOOKED_AT:
                break
        yield from self._read(waiting)

    def _hits(self, wanted: _Wanted, places: dict[str, ChannelRow]) -> Iterator[search.Hit]:
        alternatives = wanted.terms()
        if not alternatives:
            streams = [self._history(row, wanted) for row in places.values()]
        else:
            streams = [search.hits(self._table, term, places.keys()) for term in alternatives]
        last = None
        for hit in heapq.merge(*streams, key=lambda each: (each.ts, each.channel), reverse=True):
            if hit != last:
                yield hit
            last = hit

    def _history(self, row: ChannelRow, wanted: _Wanted) -> Iterator[search.Hit]:
        """A channel's messages, newest first, where a query names no word."""
        part = Range(latest=wanted.latest)
        while True:
            rows = messages.newest(self._table, row.id, row.created, part, _TOGETHER, self._core.clock.sleep)
            yield from (search.Hit(row.id, ts) for ts, _ in rows)
            if len(rows) < _TOGETHER:
                return
            part = Range(latest=rows[-1][0])

    def _read(self, waiting: list[search.Hit]) -> Iterator[tuple[str, Message]]:
        items = self._table.get_many([message_key(hit.channel, hit.ts) for hit in waiting])
        for hit, item in zip(waiting, items, strict=True):
            row = from_item(item, MessageRow) if item is not None else messages.get(self._table, hit.channel, hit.ts)
            if row is not None and not row.deleted and row.subtype in SAID:
                yield hit.channel, Message(ChannelId(hit.channel), Ts(hit.ts), row)

    def _may_read(self, person: Person, found: Found) -> bool:
        try:
            self._channels.check(person, rights.Act.READ, channel_of(found.channel))
        except (ChannelNotFound, NotInChannel):
            return False
        return True


class _Wanted:
    """A query, with the names in it resolved: what leads to candidates, and whether a message is meant."""

    def __init__(self, finder: Search, person: Person, query: Query) -> None:
        self._query = query
        self._table = finder._table
        self.impossible = False
        self._authors = self._resolved(finder, person, query.authors)
        if query.authors and not self._authors:
            self.impossible = True
        self._not_authors = self._resolved(finder, person, query.not_authors)
        self.latest = f"{query.before - 1}.999999" if query.before else ""
        self._oldest = f"{query.after}.000000" if query.after else ""

    @staticmethod
    def _resolved(finder: Search, person: Person, names: list[str]) -> set[str]:
        found = set()
        for name in names:
            try:
                found.add(finder.user(person, name))
            except UserNotFound:
                continue
        return found

    def terms(self) -> list[str]:
        """The terms one of which every message that is meant has; none where the query has no word."""
        query = self._query
        words = [*query.words, *(word for phrase in query.phrases for word in phrase.split())]
        words = [word for word in (re_word(each) for each in words) if word]
        if words:
            longest = max(words, key=len)
            two = pairs(longest)
            return [max(two)] if two else search.words_with(self._table, longest[:MAX_TERM], _MAX_WORDS)
        if self._authors:
            return [f"{_AUTHOR}{user}" for user in self._authors]
        for has, term in (("link", _LINK), ("file", _FILE)):
            if has in query.has:
                return [term]
        return []

    def in_time(self, ts: str) -> bool:
        """Whether a ts lies in the days that are asked for."""
        return ts >= self._oldest and (not self.latest or ts <= self.latest)

    def is_over(self, ts: str) -> bool:
        """Whether nothing older than this is asked for."""
        return ts < self._oldest

    def score(self, message: Message) -> int:
        """How well a message is what is meant; 0 if it is not."""
        row, query = message.row, self._query
        if (self._authors and row.user not in self._authors) or row.user in self._not_authors:
            return 0
        if query.thread and not (row.thread or row.replies):
            return 0
        if not all(_has(row, each) for each in query.has):
            return 0
        text = searchable(row)
        if any(each in text for each in query.without):
            return 0
        if not all(phrase in text for phrase in query.phrases):
            return 0
        known = terms(text)
        scores = [_score(word, text, known) for word in query.words]
        return 0 if 0 in scores else 1 + sum(scores) + 4 * len(query.phrases)


def re_word(text: str) -> str:
    """The longest word in something typed without blanks."""
    return max(WORD.findall(text), key=len, default="")


def _score(word: str, text: str, known: set[str]) -> int:
    if word in known:
        return 4
    if any(each.startswith(word) for each in known):
        return 2
    return 1 if len(word) > 2 and word in text else 0


def _has(row: MessageRow, what: str) -> bool:
    match what:
        case "link":
            return has_link(row.text)
        case "file":
            return bool(row.files)
        case "pin":
            return bool(row.pinned_by)
        case "reaction":
            return bool(row.reactions)
        case _:
            return what.strip(":") in row.reactions


def searchable(row: MessageRow) -> str:
    """All of a message that people read, folded: its text, and the text in its blocks and attachments."""
    parts = [row.text]
    for composed in (row.blocks, row.attachments):
        if composed:
            parts += _texts(msgspec.json.decode(composed))
    return plain("\n".join(parts))


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, list):
        for each in value:
            yield from _texts(each)
    elif isinstance(value, dict):
        for name, each in value.items():
            if isinstance(each, str):
                if name in _READ:
                    yield each
            else:
                yield from _texts(each)


_READ = frozenset({"text", "title", "pretext", "fallback", "author_name", "footer", "value", "alt_text"})


def noted(found: dict[str, list[str]], ts: str, row: MessageRow) -> None:
    """Add what a message is found by."""
    if row.subtype not in SAID:
        return
    kinds = {f"{_AUTHOR}{row.user}"}
    if has_link(row.text):
        kinds.add(_LINK)
    if row.files:
        kinds.add(_FILE)
    for term in terms(searchable(row)) | kinds:
        found.setdefault(term, []).append(ts)
