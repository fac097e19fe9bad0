"""What people's clients keep for them, and what the workspace is set to."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from roost.chat.core import Core, Writes
from roost.chat.errors import InvalidPreference
from roost.chat.events import PrefChanged, TeamPrefChanged
from roost.chat.invites import WHO_INVITES
from roost.chat.model import Person
from roost.chat.people import People
from roost.chat.rights import check_admin
from roost.chat.zones import known_zone
from roost.storage import prefs
from roost.storage.items import TEAM_PREFS, prefs_key

MAX_PREFS = 200  # of one person
MAX_VALUE = 10_000  # characters of JSON
MAX_ALL = 100_000
ZONE = "tz"  #: the preference that is a part of the profile

#: What the workspace can be set to: name → what it may be, first what it is unless said otherwise.
TEAM = {WHO_INVITES: ("admins", "members")}

_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,100}")


class Preferences:
    """The settings of everybody."""

    def __init__(self, core: Core, people: People) -> None:
        self._core = core
        self._table = core.table
        self._people = people

    def of(self, person: Person) -> dict[str, str]:
        """What somebody's clients keep: name → JSON."""
        row = self._people.row(person.id)
        return {**prefs.get(self._table, prefs_key(person.id)).prefs, ZONE: _json(row.tz)}

    def set(self, person: Person, changes: Mapping[str, str]) -> None:
        """Keep these, name → JSON; all their clients are told of each. Raises `InvalidPreference`, `InvalidZone`."""
        for name, value in changes.items():
            if not _NAME.fullmatch(name) or len(value) > MAX_VALUE:
                raise InvalidPreference
        kept = dict(changes)
        zone = kept.pop(ZONE, None)
        if zone is not None:
            name = known_zone(msgspec.json.decode(zone, type=str))
            self._people.change(person.id, lambda row: msgspec.structs.replace(row, tz=name))
        if kept:
            prefs.change(self._table, prefs_key(person.id), lambda before: _merged(before, kept))
        for name, value in changes.items():
            self._core.tell_person(person.id, PrefChanged(name=name, value=value))

    def team(self) -> dict[str, str]:
        """What the workspace is set to: name → JSON."""
        return {name: _json(values[0]) for name, values in TEAM.items()} | prefs.get(self._table, TEAM_PREFS).prefs

    def set_team(self, person: Person, name: str, value: str) -> None:
        """Set the workspace to something else. Raises `RestrictedAction` and `InvalidPreference`."""
        check_admin(person)
        if value not in TEAM.get(name, ()):
            raise InvalidPreference

        def deed() -> Writes:
            before = prefs.get(self._table, TEAM_PREFS)
            operation = prefs.changing(TEAM_PREFS, before, {**before.prefs, name: _json(value)})
            return lambda place: ([TeamPrefChanged(name=name, value=_json(value))], [operation])

        self._core.happen_to_all(deed)


def _merged(before: Mapping[str, str], changes: Mapping[str, str]) -> dict[str, str]:
    """Null takes a preference away."""
    after = {name: value for name, value in {**before, **changes}.items() if value != "null"}
    if len(after) > MAX_PREFS or sum(map(len, after.values())) > MAX_ALL:
        raise InvalidPreference
    return after


def _json(value: str) -> str:
    return msgspec.json.encode(value).decode()
