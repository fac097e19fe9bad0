"""What members say of themselves: names, status, whether they are here, and when they want quiet."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import msgspec

from roost.chat.core import Core
from roost.chat.errors import (
    InvalidProfile,
    InvalidStatusEmoji,
    InvalidUserName,
    NotAdmin,
    NotQuiet,
    ReservedName,
    RestrictedAction,
    TooLong,
)
from roost.chat.events import DndChanged, PresenceChanged
from roost.chat.model import Person
from roost.chat.names import clean_user_name
from roost.chat.people import People
from roost.chat.roles import Roles
from roost.storage import people, streams
from roost.storage.items import UserRow

MAX_SNOOZE = 24 * 60  # minutes

#: Parts of a profile that are text, and how long each may be: Slack's limits where it names them.
LIMITS = {
    "display_name": 80,
    "first_name": 50,
    "last_name": 50,
    "title": 100,
    "phone": 50,
    "pronouns": 50,
    "status_text": 100,
    "status_emoji": 100,
}
_NAMES = frozenset({"display_name", "first_name", "last_name"})
_RESERVED = frozenset({"channel", "everyone", "group", "here", "me", "slackbot", "anonymous"})
_EMOJI = re.compile(r":[^:\s]{1,60}:(:skin-tone-[2-6]:)?")
_NO_EMOJI = ":speech_balloon:"  # what Slack shows with a status that has none


class Profiles:
    """The profiles of all members."""

    def __init__(self, core: Core, people: People, roles: Roles) -> None:
        self._core = core
        self._table = core.table
        self._people = people
        self._roles = roles

    # -- names and status -------------------------------------------------------------------------------------------

    def set(self, by: Person, user: str, changes: Mapping[str, object]) -> UserRow:
        """Change parts of a profile, one's own or, as an admin, somebody's. `username` is the name that is a member's
        alone; unknown parts are passed over.

        Raises `NotAdmin`, `CantUpdateAdmin`, `TooLong`, `InvalidProfile`, `ReservedName`, `NameTaken` and the like.
        """
        try:
            self._roles.check_may_change(by, user)
        except RestrictedAction:
            raise NotAdmin from None
        checked = {name: _checked(name, value) for name, value in changes.items() if name in LIMITS}
        username, real_name = _name(changes, "username"), _name(changes, "real_name")
        status = self._status(checked, changes.get("status_expiration"))

        def alter(row: UserRow) -> UserRow:
            kept = {**row.profile, **checked, **status}
            full = row.real_name
            if real_name is not None:
                full = real_name
                kept = {name: value for name, value in kept.items() if name not in ("first_name", "last_name")}
            elif checked.keys() & {"first_name", "last_name"}:
                first = kept.get("first_name", full.partition(" ")[0])
                full = f"{first} {kept.get('last_name', full.partition(' ')[2])}".strip()
            kept = {name: value for name, value in kept.items() if value not in ("", "0")}
            return msgspec.structs.replace(row, profile=kept, real_name=full, name=username or row.name)

        return self._people.change(user, alter)

    def _status(self, checked: Mapping[str, str], expiration: object) -> dict[str, str]:
        """What setting a status says of its end, and of the emoji that it has at least."""
        if expiration is not None:
            if not isinstance(expiration, int | str) or not re.fullmatch(r"\d{1,12}", str(expiration)):
                raise InvalidProfile
            ends = int(expiration)
            if 0 < ends <= self._core.now:
                raise InvalidProfile("That status would be over already.")
        text, emoji = checked.get("status_text"), checked.get("status_emoji")
        if text is None and emoji is None:
            return {} if expiration is None else {"status_expiration": str(int(str(expiration)))}
        status = {"status_expiration": str(int(str(expiration or 0)))}
        if text and not emoji:
            status["status_emoji"] = _NO_EMOJI
        if text == "" and not emoji:
            status |= {"status_emoji": "", "status_expiration": "0"}
        return status

    # -- here or away -----------------------------------------------------------------------------------------------

    def is_active(self, row: UserRow) -> bool:
        """Whether somebody is here: a client of theirs is connected, and they did not say that they are away."""
        return not row.away and not row.deactivated and bool(self.connections(row.id))

    def connections(self, user: str) -> Mapping[str, int]:
        """Their live event streams: connection → since when, in milliseconds."""
        return streams.of_users(self._table, [user])

    def set_away(self, person: Person, *, away: bool) -> None:
        """Say that one is away, or let it be seen from one's connections. Their own clients are told."""
        people.set_away(self._table, person.id, away=away)
        row = self._people.row(person.id)
        self._core.tell_person(person.id, PresenceChanged(user=person.id, active=self.is_active(row)))

    # -- quiet ------------------------------------------------------------------------------------------------------

    def snooze(self, person: Person, minutes: int) -> UserRow:
        """Want quiet for so long. Raises `TooLong`."""
        if not 0 < minutes <= MAX_SNOOZE:
            raise TooLong("Quiet lasts from a minute to a day.")
        until = self._core.now + minutes * 60
        return self._quiet(person, lambda row: msgspec.structs.replace(row, dnd_until=until))

    def end_snooze(self, person: Person) -> UserRow:
        """Want no quiet any more. Raises `NotQuiet` where there was none."""

        def alter(row: UserRow) -> UserRow:
            if row.dnd_until <= self._core.now:
                raise NotQuiet
            return msgspec.structs.replace(row, dnd_until=0)

        return self._quiet(person, alter)

    def _quiet(self, person: Person, alter: Callable[[UserRow], UserRow]) -> UserRow:
        return self._people.change(person.id, alter, event=lambda row: DndChanged(user=row.id, until=row.dnd_until))


def _checked(name: str, value: object) -> str:
    """A part of a profile as it is kept, "" where it is taken away. Raises `TooLong` and other refusals."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InvalidProfile
    if len(value) > LIMITS[name]:
        raise TooLong
    if name in _NAMES:
        return _clean(value) if value else ""
    if name == "status_emoji" and value and not _EMOJI.fullmatch(value):
        raise InvalidStatusEmoji
    return value


def _name(changes: Mapping[str, object], key: str) -> str | None:
    value = changes.get(key)
    if value is None:
        return None
    if not isinstance(value, str):
        raise InvalidProfile
    return _clean(value)


def _clean(value: str) -> str:
    try:
        cleaned = clean_user_name(value)
    except InvalidUserName:
        raise InvalidProfile("A name has characters that can be seen.") from None
    if cleaned.casefold() in _RESERVED:
        raise ReservedName
    return cleaned
