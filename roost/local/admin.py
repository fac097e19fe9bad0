"""Administration of the data: members and tokens. A file is free while its server is stopped; a table always is."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from roost.chat import people
from roost.local.store import open_store
from roost.storage.items import UserRow, WorkspaceRow
from roost.storage.people import everybody
from roost.storage.table import Table
from roost.storage.workspace import open_workspace


@dataclass(frozen=True, slots=True)
class Office:
    """The data, opened."""

    table: Table
    workspace: WorkspaceRow


@contextlib.contextmanager
def opened(data: Path, table_url: str | None = None) -> Iterator[Office]:
    """The data in a folder, or at a table's address. Raises `TableInUse` while a server has the folder."""
    store = open_store(data, table_url, os.environ)
    try:
        yield Office(store.table, open_workspace(store.table, int(time.time())))
    finally:
        store.close()


def add(office: Office, name: str) -> UserRow:
    """A new member. Raises a `Refused`."""
    return people.add_member(office.table, office.workspace, name, int(time.time()))


def members(office: Office) -> list[UserRow]:
    """All members, by name."""
    return everybody(office.table, office.workspace.team)


def token(office: Office, name: str) -> str:
    """A new token for a member. Raises a `Refused`."""
    return people.create_token(office.table, office.workspace, name, "user", int(time.time()))
