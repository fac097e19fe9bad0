"""Lines of chat for tests of what lies below the chat: appended as the chat does, and read back."""

from __future__ import annotations

from roost.chat.events import to_row
from roost.chat.messages import Posting, posting
from roost.chat.model import Channel, ChannelId, Person, UserId
from roost.storage import messages
from roost.storage.channels import creation
from roost.storage.items import ChannelRow, MessageRow, idempotency_key
from roost.storage.log import Change, Place, Written
from roost.storage.messages import Range
from roost.storage.table import Key, Operation, Table


def channel_creation(channel: str, name: str) -> list[Operation]:
    """What makes a public channel of this id."""
    return creation("T", ChannelRow(id=channel, name=name, created=0, rev=0))


def line(
    channel: str,
    text: str = "x",
    client_msg_id: str = "",
    *,
    user: str = "U1",
    name: str = "name",
    once: Key | None = None,
) -> Change:
    """The change that says something in a channel."""
    if client_msg_id:
        once = idempotency_key(user, client_msg_id, channel)
    place = Channel(ChannelId(channel), channel, private=False, created=0)
    write = posting(Person(UserId(user), name, guest=True), place, Posting(text, client_msg_id=client_msg_id))

    def written(at: Place) -> Written:
        events, operations = write(at)
        return Written([to_row(event, at.ts) for event in events], operations)

    return Change(written, messages=1, once=once)


def said(table: Table, channel: str, limit: int = 100_000) -> list[tuple[str, MessageRow]]:
    """The newest messages of a channel as (ts, row), oldest first."""
    return messages.newest(table, channel, 0, Range(), limit, lambda _: None)[::-1]
