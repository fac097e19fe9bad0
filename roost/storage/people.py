"""Members and their tokens."""

from __future__ import annotations

import hashlib

from roost.storage.ids import new_id
from roost.storage.items import (
    TokenRow,
    UserNameRow,
    UserRow,
    from_item,
    to_item,
    token_key,
    user_key,
    user_name_key,
    users_index,
)
from roost.storage.table import Missing, Put, Table, TransactionFailed


def by_id(table: Table, user: str) -> UserRow | None:
    """A member, strong."""
    item = table.get(user_key(user))
    return None if item is None else from_item(item, UserRow)


def by_folded_name(table: Table, team: str, folded: str) -> UserRow | None:
    """The member whose folded name this is, strong."""
    lock = table.get(user_name_key(team, folded))
    return None if lock is None else by_id(table, from_item(lock, UserNameRow).user)


def create(table: Table, team: str, name: str, folded: str, now: int) -> UserRow | None:
    """A new member with their name lock, in one transaction; None if the name is taken. `now` is in seconds."""
    row = UserRow(id=new_id("U"), name=name, created=now)
    try:
        table.transact(
            [
                Put(to_item(user_key(row.id), row, g1=(users_index(team), folded)), Missing()),
                Put(to_item(user_name_key(team, folded), UserNameRow(user=row.id)), Missing()),
            ]
        )
    except TransactionFailed:
        return None
    return row


def everybody(table: Table, team: str) -> list[UserRow]:
    """All members by name. From the index, so one that is brand new may be missing."""
    found: list[UserRow] = []
    after: str | None = None
    while True:
        page = table.query_index(users_index(team), after=after)
        items = table.get_many([user_key(entry.pk.removeprefix("U#")) for entry in page.entries])
        found += [from_item(item, UserRow) for item in items if item is not None]
        if page.next is None:
            return found
        after = page.next


def remember_token(table: Table, token: str, user: str, kind: str, now: int) -> None:
    """Let a token stand for somebody. Only its hash is kept."""
    table.put(to_item(token_key(_digest(token)), TokenRow(user=user, kind=kind, created=now)), Missing())


def bearer(table: Table, token: str) -> TokenRow | None:
    """Whom a token stands for, strong."""
    item = table.get(token_key(_digest(token)))
    return None if item is None else from_item(item, TokenRow)


def _digest(token: str) -> str:
    """SHA-256 is enough for 256 random bits: nothing can be guessed, so nothing need be slow."""
    return hashlib.sha256(token.encode()).hexdigest()
