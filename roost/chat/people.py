"""Who people are: guests, members, what a token stands for, and how a guest becomes a member."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import Any

import msgspec

from roost.chat.channels import Channels
from roost.chat.core import Core, Writes
from roost.chat.errors import (
    AccountInactive,
    AlreadyInChannel,
    InvalidAuth,
    NameTaken,
    TokenExpired,
    TokenRevoked,
    UserNotFound,
)
from roost.chat.events import UserChanged, UserJoined
from roost.chat.model import Person, UserId, person_of
from roost.chat.names import clean_user_name, fold
from roost.storage import people, seats, streams
from roost.storage.ids import new_id
from roost.storage.items import TokenRow, UserRow
from roost.storage.table import Put

ANONYMOUS = "anonymous"
_PREFIXES = {"user": "xoxp-roost-", "session": "xoxp-roost-", "bot": "xoxb-roost-", "app": "xapp-roost-"}
_NOT_PUBLIC = {"email": "", "prefs": {}}  # what the workspace's log does not say of somebody


@dataclass(frozen=True, slots=True)
class Bearer:
    """Whom a token stands for, and what it may."""

    person: Person
    token: TokenRow
    digest: str


class People:
    """The members of the workspace, and those who only pass by."""

    def __init__(self, core: Core, channels: Channels) -> None:
        self._core = core
        self._table = core.table
        self._channels = channels

    # -- who they are -----------------------------------------------------------------------------------------------

    def row(self, user: str) -> UserRow:
        """A member. Raises `UserNotFound`."""
        found = people.by_id(self._table, user)
        if found is None:
            raise UserNotFound
        return found

    def person(self, user: str) -> Person:
        """A member as somebody who acts. Raises `UserNotFound`."""
        return person_of(self.row(user))

    def active(self, user: str) -> Person:
        """A member who may still act. Raises `UserNotFound`, `AccountInactive`."""
        row = self.row(user)
        if row.deactivated:
            raise AccountInactive
        return person_of(row)

    def everybody(self) -> list[UserRow]:
        """All members by name, the deactivated among them; one that is brand new may be missing."""
        return people.everybody(self._table, self._core.workspace.team)

    def guest_name(self, name: str) -> str:
        """A name as a guest may bear it. Raises `InvalidUserName`, or `NameTaken` where it is a member's."""
        cleaned = clean_user_name(name)
        if people.by_folded_name(self._table, self._core.workspace.team, fold(cleaned)) is not None:
            raise NameTaken
        return cleaned

    # -- members ----------------------------------------------------------------------------------------------------

    def add(self, name: str, **fields: Any) -> UserRow:
        """A new member, who is in `#general` at once. Raises `InvalidUserName`, or `NameTaken`."""
        cleaned = clean_user_name(name)
        now = self._core.now
        row = UserRow(id=new_id("U"), name=cleaned, created=now, rev=0, updated=now, **fields)
        if not people.create(self._table, self._core.workspace.team, row, fold(cleaned)):
            raise NameTaken
        self._core.happen_to_all(lambda: lambda place: ([UserJoined(user=_public(row))], []))
        self._into_general(row)
        return row

    def _into_general(self, row: UserRow) -> None:
        if row.role == "restricted":
            return
        try:
            self._channels.join(person_of(row), self._channels.get(self._core.workspace.general))
        except AlreadyInChannel:
            return

    def change(self, user: str, **fields: Any) -> UserRow:
        """Change what a member's row says, and tell everybody what of it everybody may know. Raises `UserNotFound`."""
        changed: UserRow | None = None

        def deed() -> Writes:
            nonlocal changed
            before = self.row(user)
            changed = after = msgspec.structs.replace(before, rev=before.rev + 1, updated=self._core.now, **fields)
            operation: Put = people.replacing(self._core.workspace.team, before, after, fold(after.name))
            return lambda place: ([UserChanged(user=_public(after))], [operation])

        self._core.happen_to_all(deed)
        assert changed is not None
        return changed

    # -- tokens -----------------------------------------------------------------------------------------------------

    def create_token(
        self, user: UserRow, kind: str, *, label: str = "", scopes: tuple[str, ...] = (), app: str = ""
    ) -> str:
        """A new token that stands for a member: shown once, kept only as a hash. `kind`: user, session, bot, app."""
        token = _PREFIXES[kind] + secrets.token_hex(32)
        row = TokenRow(
            user=user.id, kind=kind, created=self._core.now, id=new_id("K"), scopes=list(scopes), label=label, app=app
        )
        people.remember_token(self._table, digest(token), row)
        return token

    def bearer(self, token: str) -> Bearer:
        """Whom a token stands for. Raises `InvalidAuth`, `TokenRevoked`, `TokenExpired` or `AccountInactive`."""
        return self.of_digest(digest(token.strip()))

    def of_digest(self, hashed: str) -> Bearer:
        """Whom the token of this digest stands for. Raises as `bearer` does."""
        row = people.token(self._table, hashed)
        if row is None:
            raise InvalidAuth
        if row.revoked:
            raise TokenRevoked
        if row.expires and row.expires <= self._core.now:
            raise TokenExpired
        user = people.by_id(self._table, row.user)
        if user is None:
            raise InvalidAuth
        if user.deactivated:
            raise AccountInactive
        return Bearer(person_of(user), row, hashed)

    def revoke(self, bearer: Bearer) -> None:
        """Let a token stand for nobody any more, and close the connections that it opened."""
        people.revoke(self._table, bearer.digest, bearer.token)
        self._close(bearer.token.user, bearer.digest)

    def _close(self, user: str, token: str = "") -> None:
        """Close a member's connections: all, or those that a token opened."""
        for connection in streams.all_of(self._table, user):
            row = seats.get(self._table, connection)
            if row is not None and token in ("", row.token):
                self._core.push.close(connection)

    def by_name(self, name: str) -> UserRow:
        """The member of this name, however it is written. Raises `UserNotFound`."""
        user = people.by_folded_name(self._table, self._core.workspace.team, fold(name))
        if user is None:
            raise UserNotFound
        return user


def new_guest() -> Person:
    """Somebody without an account, for as long as their connection lasts."""
    return Person(UserId(new_id("U")), ANONYMOUS, guest=True)


def digest(secret: str) -> str:
    """SHA-256 is enough for 256 random bits: nothing can be guessed, so nothing need be slow."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _public(row: UserRow) -> UserRow:
    return msgspec.structs.replace(row, **_NOT_PUBLIC)
