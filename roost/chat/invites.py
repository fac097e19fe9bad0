"""Links that let people in: invites, the one that sets the workspace up, and those for a new password.

A link's code is 256 random bits, shown once; the table holds its SHA-256 alone. It ends by its date, by its uses, or by
whoever withdraws it.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Sequence

from roost.chat.channels import Channels
from roost.chat.core import Core
from roost.chat.errors import (
    AlreadyInTeam,
    InvalidCode,
    InvalidRole,
    InviteNotFound,
    NotAuthorized,
    RestrictedAction,
    TooManyUsers,
)
from roost.chat.model import Person
from roost.chat.people import digest
from roost.chat.rights import Act
from roost.storage import accounts, people, prefs
from roost.storage.ids import new_id
from roost.storage.items import TEAM_PREFS, InviteRow, UserRow

LIFE = 7 * 86400  # seconds, unless said otherwise
MAX_LIFE = 90 * 86400
PASSWORD_LIFE = 86400
SESSION_CODE_LIFE = 60
MAX_USES = 1000
MAX_CHANNELS = 50
WHO_INVITES = "who_can_invite"  #: the workspace's setting: `admins`, the default, or `members`


class Invites:
    """All links of the workspace."""

    def __init__(self, core: Core, channels: Channels) -> None:
        self._core = core
        self._table = core.table
        self._channels = channels

    # -- making -----------------------------------------------------------------------------------------------------

    def create(
        self,
        person: Person,
        *,
        role: str = "member",
        channels: Sequence[str] = (),
        seconds: int = LIFE,
        uses: int = 1,
        email: str = "",
        label: str = "",
    ) -> tuple[str, InviteRow]:
        """A link for new members, or for guests who see these channels alone. Answers its code, which is nowhere else.

        Raises `RestrictedAction`, `InvalidRole`, `ChannelNotFound` and other refusals.
        """
        self._check(person, role)
        if role not in ("member", "restricted") or (role == "restricted" and not channels):
            raise InvalidRole("An invite is for members, or for restricted guests of some channels.")
        if len(channels) > MAX_CHANNELS or not 0 < uses <= MAX_USES:
            raise TooManyUsers(f"An invite is for at most {MAX_USES} people and {MAX_CHANNELS} channels.")
        if email and accounts.user_of_email(self._table, self._core.workspace.team, email):
            raise AlreadyInTeam
        for channel in channels:
            self._channels.check(person, Act.INVITE, self._channels.get(channel))
        return self._keep(
            "invite",
            person.id,
            min(max(seconds, 60), MAX_LIFE),
            uses=uses,
            role=role,
            channels=list(channels),
            email=email,
            label=label,
        )

    def _check(self, person: Person, role: str) -> None:
        if person.is_admin:
            return
        who = prefs.get(self._table, TEAM_PREFS).prefs.get(WHO_INVITES, '"admins"')
        if person.guest or person.role != "member" or role != "member" or who != '"members"':
            raise RestrictedAction

    def setup(self) -> str:
        """The code of a link that makes the workspace's owner. Raises `NotAuthorized` where there was one."""
        if accounts.has_owner(self._table):
            raise NotAuthorized("The workspace has an owner. roost user password-link NAME lets somebody in again.")
        return self._keep("setup", "", LIFE, role="owner")[0]

    def for_password(self, user: UserRow, by: str = "") -> tuple[str, InviteRow]:
        """A link with which a member chooses a new password, within a day."""
        return self._keep("password", by, PASSWORD_LIFE, user=user.id)

    def for_session(self, user: UserRow) -> str:
        """A code that begins one session of a member, within a minute: for a browser that comes from elsewhere."""
        return self._keep("session", "", SESSION_CODE_LIFE, user=user.id)[0]

    def of_email(self, folded: str) -> tuple[str, InviteRow] | None:
        """An invite for this very address as (digest, row), if there is one."""
        everyone = accounts.invites(self._table, self._core.workspace.team)
        theirs = [hashed for hashed, row in everyone if row.kind == "invite" and row.email == folded]
        for hashed in theirs:
            with contextlib.suppress(InvalidCode):
                return hashed, self.by_digest(hashed, "invite")
        return None

    def _keep(
        self,
        kind: str,
        by: str,
        seconds: int,
        *,
        uses: int = 1,
        role: str = "member",
        channels: list[str] | None = None,
        email: str = "",
        label: str = "",
        user: str = "",
    ) -> tuple[str, InviteRow]:
        code = secrets.token_urlsafe(32)
        now = self._core.now
        row = InviteRow(
            id=new_id("I"),
            kind=kind,
            by=by,
            created=now,
            expires=now + seconds,
            uses=uses,
            role=role,
            channels=channels or [],
            email=email,
            label=label,
            user=user,
        )
        accounts.keep_invite(self._table, self._core.workspace.team, digest(code), row)
        return code, row

    # -- using ------------------------------------------------------------------------------------------------------

    def use(self, code: str, *kinds: str) -> InviteRow:
        """What a code is good for now. Raises `InvalidCode`."""
        return self.by_digest(digest(code.strip()), *kinds)

    def by_digest(self, hashed: str, *kinds: str) -> InviteRow:
        """The same, by the digest of the code. Raises `InvalidCode`."""
        row = accounts.invite(self._table, hashed)
        if row is None or row.kind not in kinds or row.uses < 1 or row.expires <= self._core.now:
            raise InvalidCode
        if row.kind == "setup" and accounts.has_owner(self._table):
            raise InvalidCode
        by = people.by_id(self._table, row.by) if row.by else None
        if by is not None and by.deactivated:
            raise InvalidCode  # what somebody left behind who was let out
        return row

    # -- looking after ----------------------------------------------------------------------------------------------

    def all(self, person: Person) -> list[InviteRow]:
        """The invites that are good for something still: to an admin all, to others their own."""
        return [row for _, row in self._theirs(person)]

    def revoke(self, person: Person, invite: str) -> None:
        """Withdraw an invite. Raises `InviteNotFound`."""
        for hashed, row in self._theirs(person):
            if row.id == invite and accounts.forget_invite(self._table, hashed):
                return
        raise InviteNotFound

    def _theirs(self, person: Person) -> list[tuple[str, InviteRow]]:
        return [
            (hashed, row)
            for hashed, row in accounts.invites(self._table, self._core.workspace.team)
            if row.kind == "invite" and row.expires > self._core.now and (person.is_admin or row.by == person.id)
        ]
