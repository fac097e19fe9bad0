"""Text connections: a socket row by connection, and a tuned row that says which one channel it hears.

A connection costs two plain writes whatever the channel's size. The tuned row is written first: should the second
write never happen, the channel tries a connection that was refused, finds it gone and forgets it; the other way round
somebody would sit there and hear nothing. Both rows expire ten minutes after API Gateway ends the longest connection.
"""

from __future__ import annotations

import contextlib

import msgspec

from roost.storage.items import SOCKET_LIFE, SocketRow, TunedRow, from_item, socket_key, to_item, tuned_key
from roost.storage.streams import close_stream
from roost.storage.table import ConditionFailed, Delete, Equals, Item, Operation, Put, Table, TransactionFailed, Update

_TOGETHER = 50  # connections whose two rows fit one transaction


def _tuned(connection: str, row: SocketRow) -> Item:
    tuned = TunedRow(user=row.user, name=row.name, since=row.since, guest=row.guest)
    return to_item(tuned_key(row.channel, connection), tuned, x=_expiry(row))


def _expiry(row: SocketRow) -> int:
    return row.since // 1000 + SOCKET_LIFE


def take(table: Table, connection: str, row: SocketRow) -> None:
    """A connection sits down: two plain puts."""
    table.put(_tuned(connection, row))
    table.put(to_item(socket_key(connection), row, x=_expiry(row)))


def get(table: Table, connection: str) -> SocketRow | None:
    """Who sits at a connection, strong."""
    item = table.get(socket_key(connection))
    return None if item is None else from_item(item, SocketRow)


def move(table: Table, connection: str, old: SocketRow, channel: str, channel_name: str, *also: Operation) -> None:
    """Tune to another channel: all in one transaction, which fails if the connection has left or moved meanwhile, or if
    `also` fails."""
    new = msgspec.structs.replace(old, channel=channel, channel_name=channel_name)
    table.transact(
        [
            Update(
                socket_key(connection),
                set={"channel": channel, "channel_name": channel_name},
                condition=Equals({"channel": old.channel, "name": old.name, "user": old.user}),
            ),
            Delete(tuned_key(old.channel, connection)),
            Put(_tuned(connection, new)),
            *also,
        ]
    )


def rename(
    table: Table, connection: str, old: SocketRow, user: str, name: str, *, guest: bool, token: str = ""
) -> None:
    """Sit there as somebody else, in one transaction with the same conditions as `move`."""
    new = SocketRow(
        user=user,
        name=name,
        guest=guest,
        since=old.since,
        channel=old.channel,
        channel_name=old.channel_name,
        token=token,
    )
    table.transact(
        [
            Put(
                to_item(socket_key(connection), new, x=_expiry(new)),
                Equals({"channel": old.channel, "name": old.name, "user": old.user}),
            ),
            Put(_tuned(connection, new)),
        ]
    )


def untuned(table: Table, connection: str, row: SocketRow) -> None:
    """A connection that is being closed hears nothing any more; who sat there is known until it is."""
    table.delete(tuned_key(row.channel, connection))


def leave(table: Table, connection: str, row: SocketRow) -> None:
    """A connection is over: both rows go, first the one that others see."""
    table.delete(tuned_key(row.channel, connection))
    table.delete(socket_key(connection))


def forget(table: Table, channel: str, connection: str) -> None:
    """A connection that this channel pushed to was found gone: a text connection, or somebody's event stream.

    A text connection that has moved on is left to its new channel to find.
    """
    row = get(table, connection)
    if row is not None and row.kind != "text":
        close_stream(table, connection, row.user)
        return
    table.delete(tuned_key(channel, connection))
    with contextlib.suppress(ConditionFailed):
        table.delete(socket_key(connection), Equals({"channel": channel}))


def untune(table: Table, channel: str, user: str, instead: str, instead_name: str) -> None:
    """Somebody no longer belongs to a private channel: their text connections hear another instead.

    A connection that moves in at the same time fails, since its move depends on the membership.
    """
    for connection, tuned in in_channel(table, channel):
        row = get(table, connection) if tuned.user == user else None
        if row is not None and row.channel == channel:
            with contextlib.suppress(TransactionFailed):  # it has moved on by itself
                move(table, connection, row, instead, instead_name)


def clear(table: Table, channel: str) -> None:
    """Nobody hears this channel any more: for a server that has just started and is alone with its data."""
    connections = [connection for connection, _ in in_channel(table, channel)]
    for start in range(0, len(connections), _TOGETHER):
        rows: list[Operation] = []
        for connection in connections[start : start + _TOGETHER]:
            rows += [Delete(tuned_key(channel, connection)), Delete(socket_key(connection))]
        table.transact(rows)


def in_channel(table: Table, channel: str) -> list[tuple[str, TunedRow]]:
    """Every connection that hears a channel, strong."""
    found: list[tuple[str, TunedRow]] = []
    after: str | None = None
    pk, prefix = tuned_key(channel, "")
    while True:
        page = table.query(pk, prefix=prefix, after=after)
        found += [(str(item["SK"]).removeprefix(prefix), from_item(item, TunedRow)) for item in page.items]
        if page.next is None:
            return found
        after = page.next
