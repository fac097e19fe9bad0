"""Members and their tokens."""

from __future__ import annotations

from collections.abc import Sequence

from roost.storage.items import (
    TokenRow,
    UserNameRow,
    UserRow,
    from_item,
    to_item,
    token_key,
    user_key,
    user_name_key,
    user_token_key,
    users_index,
)
from roost.storage.table import Delete, Equals, Missing, Operation, Put, Table, Update

_KEPT = 30 * 86400  # seconds that a token is known after its end, so that whoever shows it is told why


def by_id(table: Table, user: str) -> UserRow | None:
    """A member, strong."""
    item = table.get(user_key(user))
    return None if item is None else from_item(item, UserRow)


def by_ids(table: Table, users: Sequence[str]) -> list[UserRow | None]:
    """Members in the order of their ids, strong."""
    return [None if item is None else from_item(item, UserRow) for item in table.get_many(list(map(user_key, users)))]


def by_folded_name(table: Table, team: str, folded: str) -> UserRow | None:
    """The member whose folded name this is, strong."""
    lock = table.get(user_name_key(team, folded))
    return None if lock is None else by_id(table, from_item(lock, UserNameRow).user)


def creation(team: str, row: UserRow, folded: str) -> list[Operation]:
    """What makes a new member, with the lock on their name; fails if the name is taken."""
    return [
        Put(to_item(user_key(row.id), row, g1=(users_index(team), folded)), Missing()),
        Put(to_item(user_name_key(team, folded), UserNameRow(user=row.id)), Missing()),
    ]


def replacing(team: str, before: UserRow, after: UserRow, names: tuple[str, str]) -> list[Operation]:
    """What puts a member's row in the place of what it was, and moves the lock where the folded name (before, after)
    is another; fails if the row has changed meanwhile, or the new name is taken."""
    old, new = names
    operations: list[Operation] = [
        Put(to_item(user_key(after.id), after, g1=(users_index(team), new)), Equals({"rev": before.rev}))
    ]
    if new != old:
        lock = to_item(user_name_key(team, new), UserNameRow(user=after.id))
        operations += [Put(lock, Missing()), Delete(user_name_key(team, old))]
    return operations


def set_away(table: Table, user: str, *, away: bool) -> None:
    """Somebody says that they are away, or not."""
    table.update(Update(user_key(user), set={"away": away}, add={"rev": 1}))


def everybody(table: Table, team: str) -> list[UserRow]:
    """All members by name. From the index, so one that is brand new may be missing."""
    found: list[UserRow] = []
    after: str | None = None
    while True:
        page = table.query_index(users_index(team), after=after)
        rows = by_ids(table, [entry.pk.removeprefix("U#") for entry in page.entries])
        found += [row for row in rows if row is not None]
        if page.next is None:
            return found
        after = page.next


def remember_token(table: Table, digest: str, row: TokenRow) -> None:
    """Let a token stand for somebody, and list it among theirs. Only its hash is kept."""
    expiry = row.expires + _KEPT if row.expires else None
    listed = to_item(user_token_key(row.user, row.id), row, x=expiry)
    listed["digest"] = digest
    table.transact([Put(to_item(token_key(digest), row, x=expiry), Missing()), Put(listed, Missing())])


def token(table: Table, digest: str) -> TokenRow | None:
    """What is known of a token, strong."""
    item = table.get(token_key(digest))
    return None if item is None else from_item(item, TokenRow)


def tokens_of(table: Table, user: str) -> list[tuple[str, TokenRow]]:
    """A member's tokens as (digest, row), by id, strong."""
    pk, prefix = user_token_key(user, "")
    found: list[tuple[str, TokenRow]] = []
    after: str | None = None
    while True:
        page = table.query(pk, prefix=prefix, after=after)
        found += [(str(item["digest"]), from_item(item, TokenRow)) for item in page.items]
        if page.next is None:
            return found
        after = page.next


def revoke(table: Table, digest: str, row: TokenRow) -> None:
    """Let a token stand for nobody any more; that it once did is remembered."""
    keys = (token_key(digest), user_token_key(row.user, row.id))
    table.transact([Update(key, set={"revoked": True}) for key in keys])
