"""Administration of the data: members and tokens. A file is free while its server is stopped; a table always is."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from roost.chat.chat import Chat
from roost.chat.ports import Outcome, Share
from roost.chat.roles import OPERATOR
from roost.local.clock import SystemClock
from roost.local.store import open_store
from roost.storage.items import TokenRow, UserRow


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


def add(chat: Chat, name: str, role: str = "member", *, email: str = "", password: str = "") -> UserRow:
    """A new member. Raises a `Refused`."""
    return chat.accounts.add(name, email=email, password=password, role=role)


def members(chat: Chat) -> list[UserRow]:
    """All members, by name."""
    return chat.people.everybody()


def set_role(chat: Chat, name: str, role: str) -> UserRow:
    """Another role for a member. Raises a `Refused`."""
    return chat.roles.set_role(OPERATOR, chat.people.by_name(name).id, role)


def deactivate(chat: Chat, name: str) -> UserRow:
    """Let a member out. Raises a `Refused`."""
    return chat.roles.deactivate(OPERATOR, chat.people.by_name(name).id)


def reactivate(chat: Chat, name: str) -> UserRow:
    """Let a member back in. Raises a `Refused`."""
    return chat.roles.reactivate(OPERATOR, chat.people.by_name(name).id)


def setup_code(chat: Chat) -> str:
    """The code of a link that makes the owner. Raises a `Refused` where there is one."""
    return chat.invites.setup()


def password_code(chat: Chat, name: str) -> str:
    """The code of a link for a member's new password. Raises a `Refused`."""
    return chat.invites.for_password(chat.people.by_name(name))[0]


def token(chat: Chat, name: str, label: str = "", scopes: tuple[str, ...] = ()) -> str:
    """A new token for a member. Raises a `Refused`."""
    return chat.people.create_token(chat.people.by_name(name), "user", label=label, scopes=scopes)


def tokens(chat: Chat, name: str) -> list[TokenRow]:
    """A member's tokens. Raises a `Refused`."""
    return chat.people.tokens(chat.people.by_name(name).id)


def revoke_token(chat: Chat, name: str, token_id: str) -> None:
    """Revoke a member's token. Raises a `Refused`."""
    chat.roles.revoke_token(OPERATOR, chat.people.by_name(name).id, token_id)
