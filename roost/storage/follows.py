"""Who follows which thread, and who was named where."""

from __future__ import annotations

from roost.storage.items import (
    MENTION_LIFE,
    FollowRow,
    MentionRow,
    follow_key,
    from_item,
    mention_key,
    to_item,
)
from roost.storage.ranges import every
from roost.storage.table import Put, Table


def get(table: Table, user: str, channel: str, thread: str) -> FollowRow | None:
    """How somebody stands to a thread, strong."""
    item = table.get(follow_key(user, channel, thread))
    return None if item is None else from_item(item, FollowRow)


def of_user(table: Table, user: str) -> list[FollowRow]:
    """Every thread that somebody follows, strong."""
    pk = follow_key(user, "", "").pk
    rows = (from_item(item, FollowRow) for item in every(table, pk, "TF#"))
    return [row for row in rows if not row.ended]


def following(user: str, row: FollowRow) -> Put:
    """What says how somebody stands to a thread."""
    return Put(to_item(follow_key(user, row.channel, row.thread), row))


def mentioning(user: str, row: MentionRow, now: int) -> Put:
    """What notes that a message names somebody."""
    return Put(to_item(mention_key(user, row.ts, row.channel), row, x=now + MENTION_LIFE))


def mentions(table: Table, user: str, before: str, limit: int) -> tuple[list[MentionRow], str]:
    """Where somebody was named, newest first, after a place ("" for the newest); and what to go on after ("" at the
    end). Strong."""
    page = table.query(
        mention_key(user, "", "").pk, prefix="MN#", reverse=True, limit=limit, after=f"MN#{before}" if before else None
    )
    return [from_item(item, MentionRow) for item in page.items], (page.next or "").removeprefix("MN#")


def mentions_since(table: Table, user: str, ts: str) -> list[MentionRow]:
    """Where somebody was named after a ts, strong."""
    pk, found, after = mention_key(user, "", "").pk, list[MentionRow](), None
    low = f"MN#{ts}~" if ts else "MN#"
    while True:
        page = table.query(pk, low=low, high="MN#~", after=after)
        found += [from_item(item, MentionRow) for item in page.items]
        if page.next is None:
            return found
        after = page.next
