"""Who belongs to which conversation. Access is decided here, by strong reads; the index only lists."""

from __future__ import annotations

from collections.abc import Sequence

from roost.storage.items import MembershipRow, conversations_index, from_item, membership_key, to_item
from roost.storage.table import Below, Condition, Delete, Equals, Exists, Missing, Put, Table, Update


def get(table: Table, channel: str, user: str) -> MembershipRow | None:
    """Somebody's membership, strong."""
    item = table.get(membership_key(channel, user))
    return None if item is None else from_item(item, MembershipRow)


def get_many(table: Table, pairs: Sequence[tuple[str, str]]) -> list[MembershipRow | None]:
    """Memberships of (channel, user), in their order, strong."""
    items = table.get_many([membership_key(channel, user) for channel, user in pairs])
    return [None if item is None else from_item(item, MembershipRow) for item in items]


def of_channel(table: Table, channel: str) -> list[MembershipRow]:
    """Every member of a conversation, by id, strong."""
    found: list[MembershipRow] = []
    after: str | None = None
    pk, prefix = membership_key(channel, "")
    while True:
        page = table.query(pk, prefix=prefix, after=after)
        found += [from_item(item, MembershipRow) for item in page.items]
        if page.next is None:
            return found
        after = page.next


def page_of_channel(table: Table, channel: str, after: str, limit: int) -> tuple[list[str], str]:
    """Some members' ids after an id ("" for the first), and what to go on after ("" at the end)."""
    pk, prefix = membership_key(channel, "")
    page = table.query(pk, prefix=prefix, limit=limit, after=f"{prefix}{after}" if after else None)
    users = [str(item["SK"]).removeprefix(prefix) for item in page.items]
    return users, (page.next or "").removeprefix(prefix)


def of_user(table: Table, user: str) -> list[str]:
    """The conversations somebody belongs to. From the index: what matters is asked again of `get`."""
    found: list[str] = []
    after: str | None = None
    while True:
        page = table.query_index(conversations_index(user), after=after)
        found += [entry.pk.removeprefix("C#") for entry in page.entries]
        if page.next is None:
            return found
        after = page.next


def joining(channel: str, row: MembershipRow) -> Put:
    """What makes somebody a member; fails if they are one."""
    return Put(
        to_item(membership_key(channel, row.user), row, g1=(conversations_index(row.user), f"C#{channel}")), Missing()
    )


def leaving(channel: str, user: str) -> Delete:
    """What ends a membership; fails if there is none."""
    return Delete(membership_key(channel, user), Exists())


def reading(channel: str, user: str, ts: str, count: int) -> Update:
    """What moves a read mark forwards to a ts; fails if it stands there or further."""
    changes: dict[str, str | int] = {"last_read": ts, "last_mc": count, "mentions": 0}
    return Update(membership_key(channel, user), set=changes, remove=["unread_from"], condition=Below("last_read", ts))


def reopening(channel: str, user: str) -> Update:
    """What brings a direct conversation back into somebody's list."""
    return Update(membership_key(channel, user), remove=["closed"])


def unread_from(channel: str, user: str, ts: str, known: str = "") -> Update:
    """What has a conversation show as unread from a ts on, or no longer; with `known`, only if it did from there."""
    condition: Condition = Equals({"unread_from": known}) if known else Exists()
    key = membership_key(channel, user)
    if not ts:
        return Update(key, remove=["unread_from"], condition=condition)
    return Update(key, set={"unread_from": ts}, condition=condition)


def choosing(channel: str, user: str, **values: str | bool) -> Update:
    """What changes how a member wants a conversation."""
    return Update(membership_key(channel, user), set=dict(values))
