"""Who people are: guests, members, and how a guest becomes a member."""

from __future__ import annotations

import secrets

from roost.chat.errors import AccountInactive, InvalidAuth, NameTaken, UserNotFound
from roost.chat.model import Person, UserId
from roost.chat.names import clean_user_name, fold
from roost.storage import people
from roost.storage.ids import new_id
from roost.storage.items import UserRow, WorkspaceRow
from roost.storage.table import Table

ANONYMOUS = "anonymous"
_PREFIXES = {"user": "xoxp-roost-", "bot": "xoxb-roost-", "app": "xapp-roost-"}


def new_guest() -> Person:
    """Somebody without an account, for as long as their connection lasts."""
    return Person(UserId(new_id("U")), ANONYMOUS, guest=True)


def guest_name(table: Table, workspace: WorkspaceRow, name: str) -> str:
    """A name as a guest may bear it. Raises `InvalidUserName`, or `NameTaken` where it is a member's."""
    cleaned = clean_user_name(name)
    if people.by_folded_name(table, workspace.team, fold(cleaned)) is not None:
        raise NameTaken
    return cleaned


def log_in(table: Table, token: str) -> Person:
    """The member whom a token stands for. Raises `InvalidAuth` or `AccountInactive`."""
    row = people.bearer(table, token.strip())
    user = people.by_id(table, row.user) if row is not None else None
    if user is None:
        raise InvalidAuth
    if user.deactivated:
        raise AccountInactive
    return Person(UserId(user.id), user.name, guest=False)


def add_member(table: Table, workspace: WorkspaceRow, name: str, now: int) -> UserRow:
    """A new member. Raises `InvalidUserName`, or `NameTaken`."""
    cleaned = clean_user_name(name)
    row = people.create(table, workspace.team, cleaned, fold(cleaned), now)
    if row is None:
        raise NameTaken
    return row


def create_token(table: Table, workspace: WorkspaceRow, name: str, kind: str, now: int) -> str:
    """A new token that stands for the member of this name: shown once, kept only as a hash. Raises `UserNotFound`."""
    user = people.by_folded_name(table, workspace.team, fold(name))
    if user is None:
        raise UserNotFound
    token = _PREFIXES[kind] + secrets.token_hex(32)
    people.remember_token(table, token, user.id, kind, now)
    return token
