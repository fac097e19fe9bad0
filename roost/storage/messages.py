"""Messages as they stand: one, a range of a channel, a thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from roost.storage.items import (
    EMPTY_HEAD,
    HeadRow,
    MessageRow,
    ReplyRow,
    format_ts,
    from_item,
    head_key,
    message_key,
    month_of,
    months_down,
    reply_key,
    reply_place_key,
)
from roost.storage.table import MAX_PAGE_ITEMS, Item, Table

_REREADS = 5  # of a range with a hole in it
_REREAD_PAUSE = 0.02


@dataclass(frozen=True, slots=True)
class Range:
    """A part of a channel's messages; the ends are ts, empty where open."""

    oldest: str = ""
    latest: str = ""
    inclusive: bool = False

    def holds(self, ts: str) -> bool:
        """Whether a message of this ts lies in the range."""
        if self.oldest and (ts < self.oldest or (ts == self.oldest and not self.inclusive)):
            return False
        return not (self.latest and (ts > self.latest or (ts == self.latest and not self.inclusive)))


def get(table: Table, channel: str, ts: str) -> MessageRow | None:
    """One message, a reply as well, strong."""
    item = table.get(message_key(channel, ts))
    if item is None:
        place = table.get(reply_place_key(channel, ts))
        if place is not None:
            item = table.get(reply_key(channel, from_item(place, ReplyRow).thread, ts))
    return None if item is None else from_item(item, MessageRow)


def latest_reply(table: Table, channel: str, root: str, without: str) -> str:
    """The ts of a thread's newest reply that is there, leaving one out; "" where there is none."""
    pk, after = reply_key(channel, root, "").pk, None
    while True:
        page = table.query(pk, reverse=True, limit=20, after=after)
        for item in page.items:
            if str(item["SK"]) != without and not from_item(item, MessageRow).deleted:
                return str(item["SK"])
        if page.next is None:
            return ""
        after = page.next


def newest(
    table: Table, channel: str, created: int, part: Range, limit: int, sleep: Callable[[float], None]
) -> list[tuple[str, MessageRow]]:
    """The newest messages of a range as (ts, row), newest first, strong. `created` is the channel's, in seconds.

    What was deleted is among them, since it keeps its place. Never past a hole: where a transaction becomes visible
    item by item, what is not whole is read again, and what lies before a hole that stays is left out.
    """
    for _ in range(_REREADS):
        rows = list(_down(table, channel, created, part, limit))
        hole = _hole(rows)
        if hole is None:
            return rows
        sleep(_REREAD_PAUSE)
    return rows[:hole]


def _down(table: Table, channel: str, created: int, part: Range, limit: int) -> Iterator[tuple[str, MessageRow]]:
    item = table.get(head_key(channel))
    head = EMPTY_HEAD if item is None else from_item(item, HeadRow)
    if not head.seq:
        return
    end = format_ts(head.ts)
    newest = min(part.latest, end) if part.latest else end
    first = format_ts(min(head.ts, created * 1_000_000))  # clocks differ: it bounds the months, never what is in them
    for month in months_down(month_of(newest), month_of(max(part.oldest, first))):
        for found in _month_down(table, f"C#{channel}#{month}", part.oldest, newest, limit):
            ts = str(found["SK"])
            if part.holds(ts):
                yield ts, from_item(found, MessageRow)
                limit -= 1
                if limit == 0:
                    return


def _month_down(table: Table, pk: str, oldest: str, newest: str, limit: int) -> Iterator[Item]:
    after: str | None = None
    while True:
        some = min(limit + 2, MAX_PAGE_ITEMS)  # the ends of the range may be among them
        page = table.query(pk, low=oldest or None, high=newest, reverse=True, limit=some, after=after)
        yield from page.items
        if page.next is None:
            return
        after = page.next


def _hole(rows: list[tuple[str, MessageRow]]) -> int | None:
    """Where, newest first, the unbroken run ends, or None if there is no hole."""
    for index in range(1, len(rows)):
        if rows[index][1].n != rows[index - 1][1].n - 1:
            return index
    return None


def roots(table: Table, places: Sequence[tuple[str, str]]) -> list[MessageRow | None]:
    """Messages that are no replies, of (channel, ts), in their order, strong."""
    items = table.get_many([message_key(channel, ts) for channel, ts in places])
    return [None if item is None else from_item(item, MessageRow) for item in items]


def last_of_thread(table: Table, channel: str, root: str, limit: int) -> list[tuple[str, MessageRow]]:
    """The last replies of a thread, oldest first, strong."""
    page = table.query(reply_key(channel, root, "").pk, reverse=True, limit=limit)
    return [(str(item["SK"]), from_item(item, MessageRow)) for item in reversed(page.items)]


def thread(table: Table, channel: str, root: str, after: str, limit: int) -> list[tuple[str, MessageRow]]:
    """The replies of a thread after a ts ("" for all) as (ts, row), oldest first, strong."""
    found: list[tuple[str, MessageRow]] = []
    pk = reply_key(channel, root, "").pk
    here: str | None = after or None
    while len(found) < limit:
        page = table.query(pk, limit=min(limit - len(found), MAX_PAGE_ITEMS), after=here)
        found += [(str(item["SK"]), from_item(item, MessageRow)) for item in page.items]
        if page.next is None:
            break
        here = page.next
    return found
