"""Whose presence each event stream hears of: an item per pair, under who is looked at, and a list per stream."""

from __future__ import annotations

from collections.abc import Sequence

from roost.storage.items import SOCKET_LIFE, WatchesRow, WatchRow, from_item, to_item, watch_key, watches_key
from roost.storage.table import Table


def look(table: Table, connection: str, since: int, users: Sequence[str]) -> None:
    """A stream hears of these members from now on, and of no others. `since` is the stream's, in milliseconds."""
    expiry = since // 1000 + SOCKET_LIFE
    before = set(_of(table, connection))
    table.put(to_item(watches_key(connection), WatchesRow(users=list(users)), x=expiry))
    for user in before.difference(users):
        table.delete(watch_key(user, connection))
    for user in set(users) - before:
        table.put(to_item(watch_key(user, connection), WatchRow(since=since), x=expiry))


def forget(table: Table, connection: str) -> None:
    """A stream is over."""
    users = _of(table, connection)
    for user in users:
        table.delete(watch_key(user, connection))
    if users:
        table.delete(watches_key(connection))


def _of(table: Table, connection: str) -> list[str]:
    item = table.get(watches_key(connection))
    return [] if item is None else from_item(item, WatchesRow).users


def lookers(table: Table, user: str) -> dict[str, int]:
    """The streams that hear of a member: connection → since when, in milliseconds."""
    found: dict[str, int] = {}
    after: str | None = None
    while True:
        page = table.query(watch_key(user, "").pk, after=after)
        found |= {str(item["SK"]): from_item(item, WatchRow).since for item in page.items}
        if page.next is None:
            return found
        after = page.next
