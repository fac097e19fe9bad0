"""Conversations: by id, by name, by who is in them, all public ones, a new one."""

from __future__ import annotations

from collections.abc import Sequence

from roost.storage.ids import new_id
from roost.storage.items import (
    EMPTY_HEAD,
    ChannelNameRow,
    ChannelRow,
    DirectRow,
    channel_key,
    channel_name_key,
    channels_index,
    direct_key,
    from_item,
    head_key,
    to_item,
)
from roost.storage.table import Missing, Operation, Put, Table, TransactionFailed


def by_id(table: Table, channel: str) -> ChannelRow | None:
    """A conversation, strong."""
    item = table.get(channel_key(channel))
    return None if item is None else from_item(item, ChannelRow)


def by_ids(table: Table, channels: Sequence[str]) -> list[ChannelRow | None]:
    """Conversations in the order of their ids, strong."""
    items = table.get_many([channel_key(channel) for channel in channels])
    return [None if item is None else from_item(item, ChannelRow) for item in items]


def by_name(table: Table, team: str, name: str) -> ChannelRow | None:
    """The channel that has this name, strong."""
    lock = table.get(channel_name_key(team, name))
    return None if lock is None else by_id(table, from_item(lock, ChannelNameRow).channel)


def direct(table: Table, team: str, users: Sequence[str]) -> ChannelRow | None:
    """The direct conversation of these people, sorted by id, strong."""
    lookup = table.get(direct_key(team, users))
    return None if lookup is None else by_id(table, from_item(lookup, DirectRow).channel)


def new(
    name: str, creator: str, now: int, *, private: bool = False, kind: str = "channel", users: Sequence[str] = ()
) -> ChannelRow:
    """A conversation that is not stored yet. `now` is in seconds."""
    return ChannelRow(
        id=new_id("D" if kind == "im" else "C"),
        name=name,
        created=now,
        rev=0,
        creator=creator,
        private=private,
        kind=kind,
        users=list(users),
    )


def rows(team: str, row: ChannelRow) -> list[Operation]:
    """What makes a channel, but for its log: its row and the lock on its name. A private one is not in the index."""
    index = None if row.private else (channels_index(team), row.name)
    return [
        Put(to_item(channel_key(row.id), row, g1=index), Missing()),
        Put(to_item(channel_name_key(team, row.name), ChannelNameRow(channel=row.id)), Missing()),
    ]


def creation(team: str, row: ChannelRow) -> list[Operation]:
    """What makes a channel in which nothing has happened."""
    return [*rows(team, row), Put(to_item(head_key(row.id), EMPTY_HEAD), Missing())]


def create_direct(table: Table, team: str, row: ChannelRow, joins: Sequence[Operation]) -> tuple[ChannelRow, bool]:
    """A new direct conversation with all its members, in one transaction; or the one of these people, and True."""
    lookup = direct_key(team, row.users)
    try:
        table.transact(
            [
                Put(to_item(channel_key(row.id), row), Missing()),
                Put(to_item(lookup, DirectRow(channel=row.id)), Missing()),
                Put(to_item(head_key(row.id), EMPTY_HEAD), Missing()),
                *joins,
            ]
        )
    except TransactionFailed:
        there = direct(table, team, row.users)
        if there is None:
            raise
        return there, True
    return row, False


def public_ids(table: Table, team: str) -> list[tuple[str, str]]:
    """Every public channel as (name, id), by name. From the index, so one that is brand new may be missing."""
    found: list[tuple[str, str]] = []
    after: str | None = None
    while True:
        page = table.query_index(channels_index(team), after=after)
        found += [(entry.g1sk, entry.pk.removeprefix("C#")) for entry in page.entries]
        if page.next is None:
            return found
        after = page.next
