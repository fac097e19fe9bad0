"""Administration of the data: members and tokens. A file is free while its server is stopped; a table always is."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from roost.chat.chat import Chat
from roost.chat.ports import Outcome, Share
from roost.local.clock import SystemClock
from roost.local.store import open_store
from roost.storage.items import UserRow


class _Nobody:
    """The Push port where nobody is connected."""

    def send(self, connections: Sequence[str], payload: str) -> Mapping[str, Outcome]:
        """All are gone."""
        return dict.fromkeys(connections, Outcome.GONE)

    def spread(self, share: Share) -> Sequence[Share]:
        """Nobody is left."""
        return ()

    def send_first(self, connection: str, payload: str) -> None:
        """Gone."""

    def close(self, connection: str) -> None:
        """Closed already."""


@contextlib.contextmanager
def opened(data: Path, table_url: str | None = None) -> Iterator[Chat]:
    """The chat in a folder, or at a table's address. Raises `TableInUse` while a server has the folder."""
    store = open_store(data, table_url, os.environ)
    try:
        yield Chat(store.table, _Nobody(), SystemClock(), {})
    finally:
        store.close()


def add(chat: Chat, name: str, role: str = "member") -> UserRow:
    """A new member. Raises a `Refused`."""
    return chat.people.add(name, role=role)


def members(chat: Chat) -> list[UserRow]:
    """All members, by name."""
    return chat.people.everybody()


def token(chat: Chat, name: str) -> str:
    """A new token for a member. Raises a `Refused`."""
    return chat.people.create_token(chat.people.by_name(name), "user")
