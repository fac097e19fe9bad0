"""Administration of a stopped server's data: members and tokens."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from roost.chat import people
from roost.local.serve import DATABASE
from roost.local.sqlite import SqliteTable
from roost.storage.items import UserRow, WorkspaceRow
from roost.storage.people import everybody
from roost.storage.workspace import open_workspace


@dataclass(frozen=True, slots=True)
class Office:
    """The data, opened."""

    table: SqliteTable
    workspace: WorkspaceRow


@contextlib.contextmanager
def opened(data: Path) -> Iterator[Office]:
    """The data in a folder. Raises `TableInUse` while a server has it."""
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    table = SqliteTable(data / DATABASE)
    try:
        yield Office(table, open_workspace(table, int(time.time())))
    finally:
        table.close()


def add(office: Office, name: str) -> UserRow:
    """A new member. Raises a `Refused`."""
    return people.add_member(office.table, office.workspace, name, int(time.time()))


def members(office: Office) -> list[UserRow]:
    """All members, by name."""
    return everybody(office.table, office.workspace.team)


def token(office: Office, name: str) -> str:
    """A new token for a member. Raises a `Refused`."""
    return people.create_token(office.table, office.workspace, name, "user", int(time.time()))
