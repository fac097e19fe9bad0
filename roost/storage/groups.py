"""User groups. They lie side by side, and few of them: one query has them all."""

from __future__ import annotations

from roost.storage.items import GroupNameRow, GroupRow, from_item, group_key, group_name_key, to_item
from roost.storage.table import Delete, Equals, Missing, Operation, Put, Table

NAME = "name"
HANDLE = "handle"


def get(table: Table, team: str, group: str) -> GroupRow | None:
    """A group, strong."""
    item = table.get(group_key(team, group))
    return None if item is None else from_item(item, GroupRow)


def every(table: Table, team: str) -> list[GroupRow]:
    """All groups by id, strong."""
    found: list[GroupRow] = []
    after: str | None = None
    pk, prefix = group_key(team, "")
    while True:
        page = table.query(pk, prefix=prefix, after=after)
        found += [from_item(item, GroupRow) for item in page.items]
        if page.next is None:
            return found
        after = page.next


def taken(table: Table, team: str, kind: str, folded: str) -> bool:
    """Whether a name or a handle is some group's, strong."""
    return table.get(group_name_key(team, kind, folded)) is not None


def creation(team: str, row: GroupRow, folded: str) -> list[Operation]:
    """What makes a group, with the locks on its name and handle; fails if one of them is taken."""
    return [
        Put(to_item(group_key(team, row.id), row), Missing()),
        *_claiming(team, NAME, folded, row.id),
        *_claiming(team, HANDLE, row.handle, row.id),
    ]


def replacing(team: str, before: GroupRow, after: GroupRow, names: tuple[str, str]) -> list[Operation]:
    """What puts a group in the place of what it was, and moves its locks; `names` is its folded name before and after.
    Fails if it has changed meanwhile."""
    operations: list[Operation] = [Put(to_item(group_key(team, after.id), after), Equals({"rev": before.rev}))]
    for kind, old, new in ((NAME, *names), (HANDLE, before.handle, after.handle)):
        if old != new:
            operations += [*_claiming(team, kind, new, after.id), Delete(group_name_key(team, kind, old))]
    return operations


def _claiming(team: str, kind: str, folded: str, group: str) -> list[Operation]:
    return [Put(to_item(group_name_key(team, kind, folded), GroupNameRow(group=group)), Missing())]
