"""Event streams: a socket row by connection, and beside it one item per member that lists all their live ones.

The list is one item so that a channel's receivers are one batch read of its members. Each connection is an attribute of
its own, so that two which come at once do not undo each other.
"""

from __future__ import annotations

import contextlib

from roost.storage.items import (
    SOCKET_LIFE,
    TICKET_LIFE,
    SocketRow,
    TicketRow,
    from_item,
    presence_key,
    socket_key,
    ticket_key,
    to_item,
)
from roost.storage.table import ConditionFailed, Exists, Item, Missing, Table, Update

MAX_SOCKETS = 20  # of one member
_STREAM = "c_"
_TEXT = "t_"
_TRIES = 5


def issue_ticket(table: Table, digest: str, row: TicketRow, now: int) -> None:
    """Let whoever shows the ticket in once. `now` is in seconds."""
    table.put(to_item(ticket_key(digest), row, x=now + TICKET_LIFE))


def redeem_ticket(table: Table, digest: str) -> TicketRow | None:
    """Use a ticket up; None if there is none, or somebody else was quicker."""
    item = table.get(ticket_key(digest))
    if item is None:
        return None
    try:
        table.delete(ticket_key(digest), Exists())
    except ConditionFailed:
        return None
    return from_item(item, TicketRow)


def open_stream(table: Table, connection: str, row: SocketRow) -> bool:
    """A member's event stream opens; False if they have as many as one may."""
    expiry = row.since // 1000 + SOCKET_LIFE
    listing = presence_key(row.user)
    for _ in range(_TRIES):
        item = table.get(listing)
        if item is not None and len(connections(item)) >= MAX_SOCKETS:
            return False
        name = _STREAM + connection
        try:
            if item is None:
                new: Item = {"PK": listing.pk, "SK": listing.sk, name: row.since, "x": expiry}
                table.put(new, Missing())
            else:
                table.update(Update(listing, set={name: row.since, "x": expiry}))
        except ConditionFailed:
            continue  # it came or went while we looked
        table.put(to_item(socket_key(connection), row, x=expiry))
        return True
    return False


def list_text(table: Table, connection: str, user: str, since: int) -> None:
    """A text connection is a member's now: list it beside their streams, so that it can be found and closed."""
    listing, expiry = presence_key(user), since // 1000 + SOCKET_LIFE
    for _ in range(_TRIES):
        try:
            table.update(Update(listing, set={_TEXT + connection: since, "x": expiry}))
        except ConditionFailed:
            with contextlib.suppress(ConditionFailed):
                table.put({"PK": listing.pk, "SK": listing.sk, "x": expiry}, Missing())
        else:
            return


def unlist(table: Table, connection: str, user: str) -> None:
    """A connection of a member is over."""
    with contextlib.suppress(ConditionFailed):
        table.update(Update(presence_key(user), remove=[_STREAM + connection, _TEXT + connection]))


def close_stream(table: Table, connection: str, user: str) -> None:
    """A stream is over: first what others see."""
    unlist(table, connection, user)
    table.delete(socket_key(connection))


def forget_all(table: Table, user: str) -> None:
    """None of a member's connections is there any more."""
    for connection in all_of(table, user):
        table.delete(socket_key(connection))
    table.delete(presence_key(user))


def all_of(table: Table, user: str) -> list[str]:
    """Every live connection of a member, text ones too, strong."""
    item = table.get(presence_key(user))
    names = [] if item is None else list(item)
    return [name[2:] for name in names if name.startswith((_STREAM, _TEXT))]


def connections(item: Item) -> dict[str, int]:
    """The streams that a member's item lists: connection → since when, in milliseconds."""
    return {
        name.removeprefix(_STREAM): since
        for name, since in item.items()
        if name.startswith(_STREAM) and isinstance(since, int)
    }


def of_users(table: Table, users: list[str]) -> dict[str, int]:
    """The live streams of these members, strong."""
    found: dict[str, int] = {}
    for item in table.get_many([presence_key(user) for user in users]):
        if item is not None:
            found |= connections(item)
    return found
