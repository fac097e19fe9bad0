"""User groups: people who are mentioned together, as `<!subteam^S…>`."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import msgspec

from roost.chat.core import Core, Writes
from roost.chat.errors import (
    GroupNotFound,
    HandleTaken,
    InvalidHandle,
    InvalidUsers,
    NameTaken,
    PermissionDenied,
    TooLong,
    UserNotFound,
    UsersNotProvided,
)
from roost.chat.events import AnyEvent, GroupChanged, GroupCreated, GroupMembersChanged
from roost.chat.model import Person
from roost.chat.names import clean_user_name, fold
from roost.chat.people import People
from roost.storage import groups
from roost.storage.ids import new_id
from roost.storage.items import GroupRow
from roost.storage.table import Operation

MAX_USERS = 1000
MAX_CHANNELS = 100
MAX_DESCRIPTION = 140  # characters
_HANDLE = re.compile(r"[a-z0-9][a-z0-9_.-]{0,20}")
_RESERVED = frozenset({"channel", "everyone", "here", "group"})


class Groups:
    """The user groups of the workspace."""

    def __init__(self, core: Core, people: People) -> None:
        self._core = core
        self._table = core.table
        self._people = people

    def get(self, group: str) -> GroupRow:
        """A group. Raises `GroupNotFound`."""
        row = groups.get(self._table, self._core.workspace.team, group)
        if row is None:
            raise GroupNotFound
        return row

    def all(self) -> list[GroupRow]:
        """Every group, disabled ones too, by id."""
        return groups.every(self._table, self._core.workspace.team)

    def create(
        self, by: Person, name: str, handle: str = "", description: str = "", channels: Sequence[str] = ()
    ) -> GroupRow:
        """A new group of nobody. Raises `PermissionDenied`, `NameTaken`, `HandleTaken` and other refusals."""
        _check(by)
        name = clean_user_name(name)
        handle = _handle(handle or re.sub(r"[^a-z0-9_.-]+", "-", fold(name)).strip("-.")[:21])
        _check_size(description, channels)
        now, team = self._core.now, self._core.workspace.team
        row = GroupRow(
            id=new_id("S"),
            name=name,
            handle=handle,
            created=now,
            rev=0,
            description=description,
            creator=by.id,
            channels=list(channels),
            updated=now,
            updated_by=by.id,
        )

        def deed() -> Writes:
            self._check_free(None, row)
            operations = groups.creation(team, row, fold(name))
            return lambda place: ([GroupCreated(group=row)], operations)

        self._core.happen_to_all(deed)
        return row

    def update(
        self,
        by: Person,
        group: str,
        *,
        name: str | None = None,
        handle: str | None = None,
        description: str | None = None,
        channels: Sequence[str] | None = None,
    ) -> GroupRow:
        """Change what a group is called, or what it is for. Raises as `create` does, and `GroupNotFound`."""
        _check_size(description or "", channels or ())
        fields: dict[str, object] = {}
        if name is not None:
            fields["name"] = clean_user_name(name)
        if handle is not None:
            fields["handle"] = _handle(handle)
        if description is not None:
            fields["description"] = description
        if channels is not None:
            fields["channels"] = list(channels)
        return self._change(by, group, lambda row: msgspec.structs.replace(row, **fields))

    def enable(self, by: Person, group: str, *, enabled: bool) -> GroupRow:
        """Let a group be used again, or no longer. Raises `GroupNotFound` and `PermissionDenied`."""
        now = self._core.now
        return self._change(
            by, group, lambda row: msgspec.structs.replace(row, disabled=0 if enabled else row.disabled or now)
        )

    def set_users(self, by: Person, group: str, users: Sequence[str]) -> GroupRow:
        """Say who is in a group. Raises `UsersNotProvided`, `InvalidUsers` and as `enable` does."""
        if not users:
            raise UsersNotProvided
        if len(users) > MAX_USERS:
            raise InvalidUsers
        try:
            self._people.rows(users)
        except UserNotFound:
            raise InvalidUsers from None

        def event(before: GroupRow, after: GroupRow) -> AnyEvent:
            added = [each for each in after.users if each not in before.users]
            removed = [each for each in before.users if each not in after.users]
            return GroupMembersChanged(
                group=after.id, added=added, removed=removed, before=before.updated, at=after.updated, by=by.id
            )

        return self._change(by, group, lambda row: msgspec.structs.replace(row, users=sorted(set(users))), event)

    def _change(
        self,
        by: Person,
        group: str,
        alter: Callable[[GroupRow], GroupRow],
        event: Callable[[GroupRow, GroupRow], AnyEvent] = lambda before, after: GroupChanged(group=after),
    ) -> GroupRow:
        _check(by)
        changed = self.get(group)
        if alter(changed) == changed:
            return changed

        def deed() -> Writes:
            nonlocal changed
            before = self.get(group)
            stamped = {"rev": before.rev + 1, "updated": self._core.now, "updated_by": by.id}
            changed = after = msgspec.structs.replace(alter(before), **stamped)
            self._check_free(before, after)
            names = fold(before.name), fold(after.name)
            operations: list[Operation] = groups.replacing(self._core.workspace.team, before, after, names)
            return lambda place: ([event(before, after)], operations)

        self._core.happen_to_all(deed)
        return changed

    def _check_free(self, before: GroupRow | None, after: GroupRow) -> None:
        team = self._core.workspace.team
        renamed = before is None or fold(before.name) != fold(after.name)
        if renamed and groups.taken(self._table, team, groups.NAME, fold(after.name)):
            raise NameTaken("There is a group of that name.")
        moved = before is None or before.handle != after.handle
        if moved and groups.taken(self._table, team, groups.HANDLE, after.handle):
            raise HandleTaken


def _check(by: Person) -> None:
    if by.guest or by.role == "restricted":
        raise PermissionDenied


def _check_size(description: str, channels: Sequence[str]) -> None:
    if len(description) > MAX_DESCRIPTION or len(channels) > MAX_CHANNELS:
        raise TooLong


def _handle(handle: str) -> str:
    cleaned = handle.removeprefix("@").casefold()
    if not _HANDLE.fullmatch(cleaned) or cleaned in _RESERVED:
        raise InvalidHandle
    return cleaned
