"""How people get in: e-mail addresses, passwords, invites, and counting tries. Secrets are here as hashes alone."""

from __future__ import annotations

from roost.storage.items import (
    OWNER,
    CountRow,
    EmailRow,
    InviteRow,
    LinkRow,
    OwnerRow,
    PasswordRow,
    UserRow,
    count_key,
    email_key,
    from_item,
    invite_key,
    invites_index,
    link_key,
    password_key,
    to_item,
    user_key,
)
from roost.storage.table import (
    ConditionFailed,
    Delete,
    Equals,
    Exists,
    Key,
    Missing,
    Operation,
    Put,
    Table,
    Update,
)

_KEPT = 86400  # seconds that an invite is there after its end, so that whoever comes late is told why


def user_of_email(table: Table, team: str, folded: str) -> str:
    """The id of the member with this address, "" where there is none; strong."""
    item = table.get(email_key(team, folded))
    return "" if item is None else from_item(item, EmailRow).user


def with_password(table: Table, user: str) -> tuple[UserRow | None, str]:
    """A member and the hash of their password, strong. One read whether there is such a member or not."""
    row, password = table.get_many([user_key(user), password_key(user)])
    found = None if row is None else from_item(row, UserRow)
    return found, "" if password is None else from_item(password, PasswordRow).hash


def having_password(user: str, hashed: str, now: int) -> Put:
    """What gives a member a password, in place of the one before."""
    return Put(to_item(password_key(user), PasswordRow(hash=hashed, changed=now)))


def taking_email(team: str, folded: str, user: str) -> Put:
    """What makes an address somebody's; fails if it is anybody's."""
    return Put(to_item(email_key(team, folded), EmailRow(user=user)), Missing())


def leaving_email(team: str, folded: str) -> Delete:
    """What makes an address nobody's."""
    return Delete(email_key(team, folded))


def losing_password(user: str) -> Delete:
    """What leaves a member without a password."""
    return Delete(password_key(user))


def linked(table: Table, digest: str) -> str:
    """The id of the member whom an identity provider means, "" where it was never here before; strong."""
    item = table.get(link_key(digest))
    return "" if item is None else from_item(item, LinkRow).user


def linking(digest: str, user: str) -> Put:
    """What says whom an identity provider means; fails if it means somebody."""
    return Put(to_item(link_key(digest), LinkRow(user=user)), Missing())


# -- the owner --------------------------------------------------------------------------------------------------------


def has_owner(table: Table) -> bool:
    """Whether the workspace was set up, strong."""
    return table.get(OWNER) is not None


def becoming_owner(user: str) -> Put:
    """What makes somebody the first owner; fails if there was one."""
    return Put(to_item(OWNER, OwnerRow(user=user)), Missing())


def still_owner(row: UserRow) -> Update:
    """What fails unless another owner is as they were read; it changes nothing. An update and no check, which would
    take one more right on DynamoDB."""
    return Update(user_key(row.id), set={"role": row.role}, condition=Equals({"rev": row.rev}))


# -- invites ----------------------------------------------------------------------------------------------------------


def keep_invite(table: Table, team: str, digest: str, row: InviteRow) -> None:
    """Let whoever knows the code use it."""
    table.put(to_item(invite_key(digest), row, x=row.expires + _KEPT, g1=(invites_index(team), row.id)), Missing())


def invite(table: Table, digest: str) -> InviteRow | None:
    """What a code is good for, strong."""
    item = table.get(invite_key(digest))
    return None if item is None else from_item(item, InviteRow)


def using(digest: str, row: InviteRow) -> Operation:
    """What uses an invite once; fails if somebody else did so meanwhile."""
    seen = Equals({"uses": row.uses})
    if row.uses == 1:
        return Delete(invite_key(digest), seen)
    return Update(invite_key(digest), add={"uses": -1}, condition=seen)


def invites(table: Table, team: str) -> list[tuple[str, InviteRow]]:
    """Every invite as (digest, row), by id. From the index, so one that is brand new may be missing."""
    found: list[tuple[str, InviteRow]] = []
    after: str | None = None
    while True:
        page = table.query_index(invites_index(team), after=after)
        items = table.get_many([Key(entry.pk, entry.sk) for entry in page.entries])
        found += [(str(item["PK"]).removeprefix("IN#"), from_item(item, InviteRow)) for item in items if item]
        if page.next is None:
            return found
        after = page.next


def forget_invite(table: Table, digest: str) -> bool:
    """Let a code be good for nothing; False if it was so before."""
    try:
        table.delete(invite_key(digest), Exists())
    except ConditionFailed:
        return False
    return True


# -- counting ---------------------------------------------------------------------------------------------------------


def count(table: Table, what: str, whose: str, span: int, expires: int) -> int:
    """Count one try, and answer how many that makes. In the table, so that every function counts together."""
    key = count_key(what, whose, span)
    while True:
        try:
            return int(str(table.update(Update(key, add={"n": 1}))["n"]))
        except ConditionFailed:
            try:
                table.put(to_item(key, CountRow(n=1), x=expires), Missing())
            except ConditionFailed:
                continue
            return 1


def forget_count(table: Table, what: str, whose: str, span: int) -> None:
    """Begin to count anew."""
    table.delete(count_key(what, whose, span))
