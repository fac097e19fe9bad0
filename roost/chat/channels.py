"""Channels as people see them: find, make, list."""

from __future__ import annotations

from roost.chat import rights
from roost.chat.errors import ChannelNotFound
from roost.chat.model import Channel, ChannelId, Person
from roost.chat.names import check_channel_name
from roost.storage import channels
from roost.storage.items import ChannelRow, WorkspaceRow
from roost.storage.table import Table
from roost.storage.workspace import GENERAL


def enter(table: Table, workspace: WorkspaceRow, person: Person, name: str, now: int) -> Channel:
    """The channel of this name, made if there is none. `now` is in seconds. Raises a `Refused`."""
    check_channel_name(name)
    row = channels.by_name(table, workspace.team, name)
    if row is None:
        row = channels.create(table, workspace.team, name, now)
    channel = _channel(row)
    member = channel.private and channels.is_member(table, channel.id, person.id)
    rights.check(person, rights.Act.ENTER, channel, member=member)
    return channel


def get(table: Table, channel: str) -> Channel:
    """A channel by its id. Raises `ChannelNotFound`."""
    row = channels.by_id(table, channel)
    if row is None:
        raise ChannelNotFound
    return _channel(row)


def public_names(table: Table, workspace: WorkspaceRow) -> list[str]:
    """The names of all public channels, sorted; `general` always among them."""
    names = {name for name, _ in channels.public_ids(table, workspace.team)}
    return sorted(names | {GENERAL})


def _channel(row: ChannelRow) -> Channel:
    return Channel(ChannelId(row.id), row.name, row.private, row.created)
