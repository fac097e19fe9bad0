"""Channels: by id, by name, all public ones, a new one."""

from __future__ import annotations

from roost.storage.ids import new_id
from roost.storage.items import (
    EMPTY_HEAD,
    ChannelNameRow,
    ChannelRow,
    channel_key,
    channel_name_key,
    channels_index,
    from_item,
    head_key,
    membership_key,
    to_item,
)
from roost.storage.table import ConditionFailed, Missing, Operation, Put, Table, TransactionFailed


def by_id(table: Table, channel: str) -> ChannelRow | None:
    """A channel, strong."""
    item = table.get(channel_key(channel))
    return None if item is None else from_item(item, ChannelRow)


def by_name(table: Table, team: str, name: str) -> ChannelRow | None:
    """The channel that has this name, strong."""
    lock = table.get(channel_name_key(team, name))
    return None if lock is None else by_id(table, from_item(lock, ChannelNameRow).channel)


def create(table: Table, team: str, name: str, now: int) -> ChannelRow:
    """A new public channel with its name lock and its empty log, in one transaction; or the one of this name."""
    channel = new_id("C")
    try:
        table.transact(creation(team, channel, name, now))
    except TransactionFailed as failure:
        lock = failure.reasons[1]
        if isinstance(lock, ConditionFailed) and lock.item is not None:
            there = by_id(table, from_item(lock.item, ChannelNameRow).channel)
            if there is not None:
                return there
        raise
    return ChannelRow(id=channel, name=name, created=now)


def creation(team: str, channel: str, name: str, now: int) -> list[Operation]:
    """What makes a public channel; the name lock stands second."""
    row = ChannelRow(id=channel, name=name, created=now)
    return [
        Put(to_item(channel_key(channel), row, g1=(channels_index(team), name)), Missing()),
        Put(to_item(channel_name_key(team, name), ChannelNameRow(channel=channel)), Missing()),
        Put(to_item(head_key(channel), EMPTY_HEAD), Missing()),
    ]


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


def is_member(table: Table, channel: str, user: str) -> bool:
    """Whether somebody belongs to a channel, strong."""
    return table.get(membership_key(channel, user)) is not None
