"""Who people are: guests, members, what a token stands for, and how a guest becomes a member."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from roost.chat.channels import Channels
from roost.chat.core import Core, Writes
from roost.chat.errors import (
    AccountInactive,
    AlreadyInChannel,
    AlreadyInTeam,
    InvalidAuth,
    NameTaken,
    TokenExpired,
    TokenRevoked,
    UserNotFound,
)
from roost.chat.events import AnyEvent, UserChanged, UserJoined
from roost.chat.model import Person, UserId, person_of
from roost.chat.names import clean_user_name, fold
from roost.storage import accounts, people, seats, streams
from roost.storage.ids import new_id
from roost.storage.items import SocketRow, TokenRow, UserRow
from roost.storage.receivers import STREAM
from roost.storage.table import Operation

ANONYMOUS = "anonymous"
KINDS = frozenset({"user", "session", "bot", "app"})  #: of tokens
_PREFIXES = {"user": "xoxp-roost-", "session": "xoxp-roost-", "bot": "xoxb-roost-", "app": "xapp-roost-"}
_STATUS = {"status_text": "", "status_emoji": "", "status_expiration": "0"}

#: What a change writes beside the member's row, given the row before and after.
Also = Callable[[UserRow, UserRow], Sequence[Operation]]


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
        return self._now(found)

    def rows(self, users: Sequence[str]) -> list[UserRow]:
        """These members, in their order. Raises `UserNotFound` if one is not there."""
        found = people.by_ids(self._table, users)
        if None in found:
            raise UserNotFound
        return [self._now(row) for row in found if row is not None]

    def name(self, user: str) -> str:
        """What somebody is called; their id where there is no such member."""
        found = people.by_id(self._table, user)
        return user if found is None else found.name

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
        return [self._now(row) for row in people.everybody(self._table, self._core.workspace.team)]

    def by_email(self, email: str) -> UserRow:
        """The member of this address, however it is written. Raises `UserNotFound`."""
        return self.row(
            accounts.user_of_email(self._table, self._core.workspace.team, fold(email.strip())[:254] or "@")
        )

    def by_name(self, name: str) -> UserRow:
        """The member of this name, however it is written. Raises `UserNotFound`."""
        user = people.by_folded_name(self._table, self._core.workspace.team, fold(name))
        if user is None:
            raise UserNotFound
        return self._now(user)

    def _now(self, row: UserRow) -> UserRow:
        """A member as they are now: a status whose time is over is not there."""
        ends = int(row.profile.get("status_expiration", "0"))
        if not 0 < ends <= self._core.now:
            return row
        return msgspec.structs.replace(row, profile={**row.profile, **_STATUS})

    def guest_name(self, name: str) -> str:
        """A name as a guest may bear it. Raises `InvalidUserName`, or `NameTaken` where it is a member's."""
        cleaned = clean_user_name(name)
        if people.by_folded_name(self._table, self._core.workspace.team, fold(cleaned)) is not None:
            raise NameTaken
        return cleaned

    # -- members ----------------------------------------------------------------------------------------------------

    def add(self, name: str, also: Callable[[UserRow], Sequence[Operation]] | None = None, **fields: Any) -> UserRow:
        """A new member, who is in `#general` at once unless they are a restricted one; `also` reads, refuses, and says
        what is written with it. Raises `InvalidUserName`, `NameTaken`, or `AlreadyInTeam` for somebody's address."""
        cleaned, team = clean_user_name(name), self._core.workspace.team
        now = self._core.now
        row = UserRow(id=new_id("U"), name=cleaned, created=now, rev=0, updated=now, **fields)

        def deed() -> Writes:
            operations = [*people.creation(team, row, self._free(cleaned)), *self._claiming(row)]
            if also is not None:
                operations += also(row)
            return lambda place: ([UserJoined(user=_public(row))], operations)

        self._core.happen_to_all(deed)
        self.into_general(row)
        return row

    def _claiming(self, row: UserRow) -> list[Operation]:
        """What makes an address a member's alone, and the first owner the first. Raises `AlreadyInTeam`."""
        operations: list[Operation] = []
        if row.email:
            if accounts.user_of_email(self._table, self._core.workspace.team, row.email):
                raise AlreadyInTeam
            operations.append(accounts.taking_email(self._core.workspace.team, row.email, row.id))
        if row.role == "owner" and not accounts.has_owner(self._table):
            operations.append(accounts.becoming_owner(row.id))
        return operations

    def _free(self, name: str) -> str:
        """The folded form of a name that nobody has. Raises `NameTaken`."""
        folded = fold(name)
        if people.by_folded_name(self._table, self._core.workspace.team, folded) is not None:
            raise NameTaken
        return folded

    def free_name(self, wanted: str) -> str:
        """A name that nobody has: the one that is wanted, or it with a number behind it. Raises `InvalidUserName`."""
        cleaned, team = clean_user_name(wanted)[:70], self._core.workspace.team
        candidates = [cleaned, *(f"{cleaned}{number}" for number in range(2, 30)), cleaned + secrets.token_hex(4)]
        return next(each for each in candidates if people.by_folded_name(self._table, team, fold(each)) is None)

    def into_general(self, row: UserRow) -> None:
        """Let a member be in `#general`, where all are but restricted ones."""
        if row.role == "restricted":
            return
        try:
            self._channels.join(person_of(row), self._channels.get(self._core.workspace.general))
        except AlreadyInChannel:
            return

    def change(
        self,
        user: str,
        alter: Callable[[UserRow], UserRow],
        also: Also | None = None,
        event: Callable[[UserRow], AnyEvent] = lambda row: UserChanged(user=_public(row)),
    ) -> UserRow:
        """Change what a member's row says, and tell everybody what of it everybody may know.

        `alter` reads and may refuse; it is called again where somebody was quicker. Nothing happens where it changes
        nothing. Raises `UserNotFound`, and `NameTaken` where it gives them somebody else's name.
        """
        altered = self.row(user)
        if alter(altered) == altered:
            return altered

        def deed() -> Writes:
            nonlocal altered
            before = self.row(user)
            altered = after = msgspec.structs.replace(alter(before), rev=before.rev + 1, updated=self._core.now)
            old, new = fold(before.name), fold(after.name)
            if new != old:
                self._free(after.name)
            operations = people.replacing(self._core.workspace.team, before, after, (old, new))
            if also is not None:
                operations += also(before, after)
            return lambda place: ([event(after)], operations)

        self._core.happen_to_all(deed)
        return altered

    # -- tokens -----------------------------------------------------------------------------------------------------

    def create_token(
        self,
        user: UserRow,
        kind: str,
        *,
        label: str = "",
        scopes: tuple[str, ...] = (),
        app: str = "",
        seconds: int = 0,
    ) -> str:
        """A new token that stands for a member: shown once, kept only as a hash. `kind` is one of `KINDS`, `seconds`
        how long it does; 0: until it is revoked."""
        token = _PREFIXES[kind] + secrets.token_hex(32)
        now = self._core.now
        row = TokenRow(
            user=user.id,
            kind=kind,
            created=now,
            id=new_id("K"),
            scopes=list(scopes),
            expires=now + seconds if seconds else 0,
            label=label,
            app=app,
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
        user = people.by_id(self._table, row.user)
        if user is None:
            raise InvalidAuth
        if user.deactivated:
            raise AccountInactive
        if row.revoked:
            raise TokenRevoked
        if row.expires and row.expires <= self._core.now:
            raise TokenExpired
        return Bearer(person_of(user), row, hashed)

    def tokens(self, user: str) -> list[TokenRow]:
        """A member's tokens that stand for them still, by id."""
        rows = [row for _, row in people.tokens_of(self._table, user)]
        return [row for row in rows if not row.revoked and not 0 < row.expires <= self._core.now]

    def revoke(self, bearer: Bearer) -> None:
        """Let a token stand for nobody any more, and close the connections that it opened."""
        people.revoke(self._table, bearer.digest, bearer.token)
        self.close(bearer.token.user, (bearer.digest,))

    def revoke_all(
        self, user: str, *, ids: Collection[str] | None = None, kinds: Collection[str] = KINDS, keep: str = ""
    ) -> int:
        """Let a member's tokens stand for nobody any more: of these ids or all, of these kinds, but the one with the
        digest `keep`. Closes the connections that they opened; answers how many they were."""
        revoked = [
            (hashed, row)
            for hashed, row in people.tokens_of(self._table, user)
            if not row.revoked and row.kind in kinds and hashed != keep and (ids is None or row.id in ids)
        ]
        for hashed, row in revoked:
            people.revoke(self._table, hashed, row)
        self.close(user, [hashed for hashed, _ in revoked])
        return len(revoked)

    def close(self, user: str, tokens: Collection[str] | None = None) -> None:
        """Close a member's connections, text ones too: all, or those that these tokens opened.

        First they are no longer heard of, so that nothing is pushed to them however long the closing takes.
        """
        for connection in streams.all_of(self._table, user):
            row = seats.get(self._table, connection)
            if row is not None and row.user == user and (tokens is None or row.token in tokens):
                self._unhear(connection, row)
                self._core.push.close(connection)

    def _unhear(self, connection: str, row: SocketRow) -> None:
        if row.kind != STREAM:
            seats.untuned(self._table, connection, row)
        streams.unlist(self._table, connection, row.user)


def new_guest() -> Person:
    """Somebody without an account, for as long as their connection lasts."""
    return Person(UserId(new_id("U")), ANONYMOUS, guest=True)


def digest(secret: str) -> str:
    """SHA-256 is enough for 256 random bits: nothing can be guessed, so nothing need be slow."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _public(row: UserRow) -> UserRow:
    """What the workspace's log says of somebody: no e-mail address."""
    return msgspec.structs.replace(row, email="")
