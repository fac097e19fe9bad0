"""What people may: their roles, who is let out and back in, and the tokens that they give to programs."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from roost.chat.channels import Channels
from roost.chat.core import Core
from roost.chat.errors import (
    CantUpdateAdmin,
    InvalidRole,
    InvalidScope,
    LastOwner,
    TokenNotFound,
    TooLong,
)
from roost.chat.model import Person, UserId
from roost.chat.people import Bearer, People
from roost.chat.rights import check_admin
from roost.storage import accounts
from roost.storage.items import TokenRow, UserRow
from roost.storage.table import Operation

ROLES = ("owner", "admin", "member", "restricted")
MAX_LABEL = 250  # characters
_SCOPE = re.compile(r"[a-z_]+([.:][a-z_]+)*")

#: Whoever has the data itself in their hands.
OPERATOR = Person(UserId(""), "roost", guest=False, role="owner")


class Roles:
    """The standing of all members."""

    def __init__(self, core: Core, channels: Channels, people: People) -> None:
        self._core = core
        self._table = core.table
        self._channels = channels
        self._people = people

    # -- roles ------------------------------------------------------------------------------------------------------

    def set_role(self, by: Person, user: str, role: str) -> UserRow:
        """Give a member another role; owners are made and changed by owners alone, and one always stays.

        Raises `RestrictedAction`, `CantUpdateAdmin`, `LastOwner`, `InvalidRole` and `UserNotFound`.
        """
        check_admin(by)
        if role not in ROLES:
            raise InvalidRole

        def alter(row: UserRow) -> UserRow:
            self._check(by, row)
            if role == "owner" and by.role != "owner":
                raise CantUpdateAdmin
            return msgspec.structs.replace(row, role=role)

        row = self._people.change(user, alter, self._keeping_an_owner)
        if role != "restricted":
            self._people.into_general(row)
        return row

    def deactivate(self, by: Person, user: str) -> UserRow:
        """Let a member out. When this returns every token of theirs is refused, nothing is pushed to any connection of
        theirs, and each is being closed. Raises as `set_role` does."""
        check_admin(by)

        def alter(row: UserRow) -> UserRow:
            self._check(by, row)
            return msgspec.structs.replace(row, deactivated=True)

        row = self._people.change(user, alter, self._keeping_an_owner)
        self._people.revoke_all(user)
        self._people.close(user)
        return row

    def reactivate(self, by: Person, user: str) -> UserRow:
        """Let somebody back in who was let out; they sign in anew. Raises as `set_role` does."""
        check_admin(by)

        def alter(row: UserRow) -> UserRow:
            self._check(by, row)
            return msgspec.structs.replace(row, deactivated=False)

        return self._people.change(user, alter)

    def sign_out(self, by: Person, user: str) -> None:
        """End every session of somebody, on all their devices. Raises as `set_role` does."""
        if by.id != user:
            check_admin(by)
            self._check(by, self._people.row(user))
        self._people.revoke_all(user, kinds=("session",))

    def check_may_change(self, by: Person, user: str) -> None:
        """Return if somebody may change what concerns a member. Raises as `set_role` does."""
        if by.id != user:
            check_admin(by)
            self._check(by, self._people.row(user))

    def _check(self, by: Person, row: UserRow) -> None:
        if row.role == "bot":
            raise InvalidRole("That is an app, which has no role.")
        if row.role == "owner" and by.role != "owner":
            raise CantUpdateAdmin

    def _keeping_an_owner(self, before: UserRow, after: UserRow) -> Sequence[Operation]:
        """What a change of standing hangs on: that another owner is there still; or that there was none so far."""
        if after.role == "owner" and not after.deactivated:
            return [] if accounts.has_owner(self._table) else [accounts.becoming_owner(after.id)]
        if before.role != "owner" or before.deactivated:
            return []
        others = (row for row in self._people.everybody() if row.role == "owner" and row.id != before.id)
        other = next((row for row in others if not row.deactivated), None)
        if other is None:
            raise LastOwner
        return [accounts.still_owner(other)]

    # -- tokens -----------------------------------------------------------------------------------------------------

    def create_token(self, bearer: Bearer, label: str, scopes: Sequence[str], seconds: int) -> tuple[str, TokenRow]:
        """A token of one's own for a program. One that may not everything makes none that may more.

        Raises `InvalidScope` and `TooLong`.
        """
        if len(label) > MAX_LABEL:
            raise TooLong
        mine = bearer.token.scopes
        if mine and (not scopes or not set(scopes) <= set(mine)):
            raise InvalidScope
        if len(scopes) > 100 or any(len(scope) > 100 or not _SCOPE.fullmatch(scope) for scope in scopes):
            raise InvalidScope
        row = self._people.row(bearer.person.id)
        token = self._people.create_token(row, "user", label=label, scopes=tuple(scopes), seconds=seconds)
        return token, self._people.bearer(token).token

    def revoke_token(self, by: Person, user: str, token: str) -> None:
        """Let a token stand for nobody any more: one's own, or, as an admin, anybody's. Raises `TokenNotFound`, and as
        `set_role` does."""
        self.check_may_change(by, user)
        if not self._people.revoke_all(user, ids=(token,)):
            raise TokenNotFound
