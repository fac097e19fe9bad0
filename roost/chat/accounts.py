"""How people get in: signing up with a link, signing in with e-mail address and password, and changing both.

Whoever asks learns nothing of who is a member: an unknown address gets the same answer as a wrong password, after the
same reads and as much work. Tries are counted in the table, so that they hold wherever the next one arrives.
"""

from __future__ import annotations

import contextlib
import ipaddress
import re
from collections.abc import Collection, Sequence

import msgspec

from roost.chat import passwords
from roost.chat.channels import Channels
from roost.chat.core import Core
from roost.chat.errors import (
    AccountInactive,
    AlreadyInTeam,
    InvalidAuth,
    InvalidCode,
    InvalidEmail,
    NotInvited,
    Refused,
    TooManyTries,
)
from roost.chat.invites import Invites
from roost.chat.model import person_of
from roost.chat.names import clean_user_name, fold
from roost.chat.people import Bearer, People, digest
from roost.storage import accounts
from roost.storage.items import InviteRow, UserRow
from roost.storage.table import Operation, TransactionFailed

SESSION_LIFE = 90 * 86400  # seconds that somebody stays signed in
TRIES = 10  # to sign in with one address within `SPAN`
TRIES_FROM = 100  # from one network address
SPAN = 900  # seconds
MAX_EMAIL = 254  # characters: RFC 5321

_EMAIL = re.compile(r"[^\s@\"(),:;<>\[\\\]\x00-\x20\x7f]{1,64}@[^\s@\"(),:;<>\[\\\]\x00-\x20\x7f]+")
_ABSENT = "-"  # nobody's id: what is read where there is no such member


class Accounts:
    """The ways into the workspace, but for tokens that programs have."""

    def __init__(self, core: Core, channels: Channels, people: People, invites: Invites) -> None:
        self._core = core
        self._table = core.table
        self._channels = channels
        self._people = people
        self._invites = invites

    # -- signing up -------------------------------------------------------------------------------------------------

    def sign_up(
        self, code: str, email: str, password: str, *, name: str = "", real_name: str = "", tz: str = "", ip: str = ""
    ) -> tuple[str, UserRow]:
        """A new member by a set-up or an invite link, and a session of theirs.

        Without a `name` they are called after their address. Raises `InvalidCode`, `InvalidEmail`, `AlreadyInTeam`,
        `NameTaken`, `WeakPassword`, `TooManyTries` and other refusals.
        """
        self._count_from(ip)
        invite = self._invites.use(code, "invite", "setup")
        folded = fold_email(email)
        if invite.email not in ("", folded):
            raise InvalidCode
        if accounts.user_of_email(self._table, self._core.workspace.team, folded):
            raise AlreadyInTeam
        passwords.check(password, email, name, real_name)
        hashed = self._core.clock.aside(lambda: passwords.hashed(password))
        row = self._join(invite, digest(code), folded, hashed, name, real_name, tz)
        return self.session(row), row

    def _join(
        self, invite: InviteRow, code: str, email: str, hashed: str, name: str, real_name: str, tz: str
    ) -> UserRow:
        """Make the member that an invite lets in, in one transaction with everything that makes them one."""

        def also(row: UserRow) -> Sequence[Operation]:
            used = self._invites.by_digest(code, "invite", "setup")
            return [accounts.using(code, used), accounts.having_password(row.id, hashed, self._core.now)]

        called = name or self._people.free_name(real_name or email.partition("@")[0])
        full = clean_user_name(real_name) if real_name.strip() else ""
        row = self._people.add(called, also, email=email, role=invite.role, real_name=full, tz=tz)
        self.into(row, invite.channels, invite.by)
        return row

    def into(self, row: UserRow, channels: Sequence[str], inviter: str) -> None:
        """Put a new member into channels; one that was archived meanwhile is passed over."""
        for channel in channels:
            with contextlib.suppress(Refused):
                self._channels.admit(person_of(row), self._channels.get(channel), inviter)

    def add(self, name: str, *, email: str = "", password: str = "", role: str = "member") -> UserRow:
        """A new member by who has the data in their hands. Raises what `sign_up` does."""
        folded = fold_email(email) if email else ""
        if password:
            passwords.check(password, email, name)
        hashed = passwords.hashed(password) if password else ""

        def also(row: UserRow) -> Sequence[Operation]:
            return [accounts.having_password(row.id, hashed, self._core.now)] if hashed else []

        return self._people.add(name, also, email=folded, role=role)

    # -- signing in -------------------------------------------------------------------------------------------------

    def sign_in(self, email: str, password: str, *, ip: str = "") -> tuple[str, UserRow]:
        """A session of the member with this address. Raises `InvalidAuth` whatever is wrong, `AccountInactive` for the
        right password of somebody who was deactivated, and `TooManyTries`."""
        who = digest(_folded(email))
        self._count("signin", who, TRIES)
        self._count_from(ip)
        user = accounts.user_of_email(self._table, self._core.workspace.team, _folded(email)[:MAX_EMAIL] or "@")
        row, kept = accounts.with_password(self._table, user or _ABSENT)
        right = self._core.clock.aside(lambda: passwords.verified(kept, password))
        if row is None or not right:
            raise InvalidAuth
        accounts.forget_count(self._table, "signin", who, self._core.now // SPAN)
        if row.deactivated:
            raise AccountInactive
        if passwords.outdated(kept):
            self._keep_password(row.id, password)
        return self.session(row), row

    def session(self, row: UserRow) -> str:
        """A token that a client of theirs stays signed in with."""
        return self._people.create_token(row, "session", seconds=SESSION_LIFE)

    def has_owner(self) -> bool:
        """Whether the workspace was set up."""
        return accounts.has_owner(self._table)

    # -- by an identity provider ------------------------------------------------------------------------------------

    def let_in(self, issuer: str, subject: str, email: str, name: str, domains: Collection[str]) -> str:
        """Somebody whom an identity provider has told apart and whose address it has verified: a code that begins one
        session. Raises `NotInvited`, `AccountInactive` and other refusals."""
        link = digest(f"{issuer} {subject}")
        user = accounts.linked(self._table, link)
        row = self._people.row(user) if user else self._linked(link, fold_email(email), name, domains)
        if row.deactivated:
            raise AccountInactive
        return self._invites.for_session(row)

    def _linked(self, link: str, email: str, name: str, domains: Collection[str]) -> UserRow:
        """The member with this address from now on, or a new one.

        Nobody has verified an address that a member gave themselves. So whoever may have claimed it before its owner
        came loses what they could come back with: the password, and every session and token.
        """
        user = accounts.user_of_email(self._table, self._core.workspace.team, email)
        if user:
            try:
                self._table.transact([accounts.linking(link, user), accounts.losing_password(user)])
            except TransactionFailed:
                raise InvalidCode("Somebody signed in so a moment ago. Try again.") from None
            self._people.revoke_all(user)
            return self._people.row(user)
        found = self._invites.of_email(email)
        if found is None and email.rpartition("@")[2] not in domains:
            raise NotInvited

        def also(row: UserRow) -> Sequence[Operation]:
            used = [] if found is None else [accounts.using(found[0], self._invites.by_digest(found[0], "invite"))]
            return [accounts.linking(link, row.id), *used]

        role = "member" if found is None else found[1].role
        called = self._people.free_name(email.partition("@")[0])
        full = clean_user_name(name) if name.strip() else ""
        row = self._people.add(called, also, email=email, real_name=full, role=role)
        if found is not None:
            self.into(row, found[1].channels, found[1].by)
        return row

    def exchange(self, code: str) -> tuple[str, UserRow]:
        """The session that a code begins. Raises `InvalidCode` and `AccountInactive`."""
        invite = self._invites.use(code, "session")
        row = self._people.row(invite.user)
        if row.deactivated:
            raise AccountInactive
        try:
            self._table.transact([accounts.using(digest(code.strip()), invite)])
        except TransactionFailed:
            raise InvalidCode from None
        return self.session(row), row

    # -- changing ---------------------------------------------------------------------------------------------------

    def set_password(self, bearer: Bearer, current: str, new: str) -> None:
        """Choose another password; every other session of theirs ends. `current` is what it was, if there was one.

        Raises `InvalidAuth` where that is wrong, `TooManyTries`, `WeakPassword` and `PasswordTooLong`.
        """
        row = self._confirm(bearer.person.id, current)
        passwords.check(new, row.email, row.name, row.real_name)
        self._keep_password(row.id, new)
        self._people.revoke_all(row.id, kinds=("session",), keep=bearer.digest)

    def set_email(self, bearer: Bearer, password: str, email: str) -> UserRow:
        """Have another address. Raises as `set_password` does, `InvalidEmail` and `AlreadyInTeam`."""
        self._confirm(bearer.person.id, password)
        return self.move_email(bearer.person.id, email)

    def move_email(self, user: str, email: str) -> UserRow:
        """Give a member another address. Raises `UserNotFound`, `InvalidEmail` and `AlreadyInTeam`."""
        folded, team = fold_email(email), self._core.workspace.team

        def also(before: UserRow, after: UserRow) -> Sequence[Operation]:
            if accounts.user_of_email(self._table, team, folded):
                raise AlreadyInTeam
            free = [accounts.leaving_email(team, before.email)] if before.email else []
            return [accounts.taking_email(team, folded, user), *free]

        return self._people.change(user, lambda row: msgspec.structs.replace(row, email=folded), also)

    def reset_password(self, code: str, password: str, *, ip: str = "") -> tuple[str, UserRow]:
        """Choose a password by a password link; every session of theirs ends but the new one that is answered.

        Raises `InvalidCode`, `WeakPassword`, `PasswordTooLong`, `AccountInactive` and `TooManyTries`.
        """
        self._count_from(ip)
        invite = self._invites.use(code, "password")
        row = self._people.row(invite.user)
        if row.deactivated:
            raise AccountInactive
        passwords.check(password, row.email, row.name, row.real_name)
        hashed = self._core.clock.aside(lambda: passwords.hashed(password))
        chosen = accounts.having_password(row.id, hashed, self._core.now)
        try:
            self._table.transact([accounts.using(digest(code), invite), chosen])
        except TransactionFailed:
            raise InvalidCode from None
        self._people.revoke_all(row.id, kinds=("session",))
        return self.session(row), row

    def _confirm(self, user: str, password: str) -> UserRow:
        """Somebody who is signed in shows that it is they. Raises `InvalidAuth` and `TooManyTries`."""
        self._count("confirm", digest(user), TRIES)
        row, kept = accounts.with_password(self._table, user)
        if row is None or (kept and not self._core.clock.aside(lambda: passwords.verified(kept, password))):
            raise InvalidAuth
        accounts.forget_count(self._table, "confirm", digest(user), self._core.now // SPAN)
        return row

    def _keep_password(self, user: str, password: str) -> None:
        hashed = self._core.clock.aside(lambda: passwords.hashed(password))
        self._table.transact([accounts.having_password(user, hashed, self._core.now)])

    # -- counting ---------------------------------------------------------------------------------------------------

    def _count(self, what: str, whose: str, most: int) -> None:
        now = self._core.now
        span = now // SPAN
        ends = (span + 1) * SPAN
        if accounts.count(self._table, what, whose, span, ends) > most:
            raise TooManyTries(max(1, ends - now))

    def _count_from(self, ip: str) -> None:
        """Count a try from a network address. This machine is let off: behind a proxy everybody comes from there."""
        network = network_of(ip)
        if network:
            self._count("from", digest(network), TRIES_FROM)


def network_of(ip: str) -> str:
    """What counts as one place to come from: an IPv4 address, the /64 of an IPv6 one; "" for this machine."""
    try:
        address = ipaddress.ip_address(ip)
    except ValueError:
        return ip
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return network_of(str(address.ipv4_mapped))
        return "" if address.is_loopback else str(ipaddress.ip_network((address, 64), strict=False))
    return "" if address.is_loopback else str(address)


def _folded(email: str) -> str:
    return fold(email.strip())


def fold_email(email: str) -> str:
    """An address in the form in which it is somebody's. Raises `InvalidEmail`."""
    folded = _folded(email)
    if len(folded) > MAX_EMAIL or not _EMAIL.fullmatch(folded):
        raise InvalidEmail
    return folded
