"""`users`: who is here."""

from __future__ import annotations

from typing import Any

import msgspec

from roost.chat.errors import UserNotFound
from roost.slack import paging, shapes
from roost.slack.arguments import Arguments, nested
from roost.slack.auth import Nothing
from roost.slack.call import Call
from roost.slack.errors import ApiError
from roost.storage.items import UserRow


class List(Arguments, frozen=True):
    """`users.list`"""

    limit: int = 0
    cursor: str = ""


class Info(Arguments, frozen=True):
    """`users.info`"""

    user: str


def shape(call: Call, row: UserRow) -> dict[str, Any]:
    """A member as the caller sees them."""
    team, address = call.chat.core.workspace.team, call.may("users:read.email")
    return shapes.user(row, team, email=address, url=call.url, now=call.chat.core.now)


def list_(call: Call, arguments: List) -> dict[str, Any]:
    """`users.list`: the deactivated as well."""
    rows = sorted(call.chat.people.everybody(), key=lambda row: row.id)
    size = paging.limit(arguments.limit, 1000) if arguments.limit else 1000
    page, cursor = paging.after(call, rows, lambda row: row.id, size, arguments.cursor, "users")
    shown = [shape(call, row) for row in page]
    return {"members": shown, "cache_ts": call.chat.core.now, "response_metadata": {"next_cursor": cursor}}


def info(call: Call, arguments: Info) -> dict[str, Any]:
    """`users.info`"""
    return {"user": shape(call, call.chat.people.row(arguments.user))}


class LookupByEmail(Arguments, frozen=True):
    """`users.lookupByEmail`"""

    email: str


def lookup_by_email(call: Call, arguments: LookupByEmail) -> dict[str, Any]:
    """`users.lookupByEmail`"""
    try:
        row = call.chat.people.by_email(arguments.email)
    except UserNotFound:
        raise ApiError("users_not_found") from None
    if row.deactivated:
        raise ApiError("users_not_found")
    return {"user": shape(call, row)}


def identity(call: Call, arguments: Nothing) -> dict[str, Any]:
    """`users.identity`: who signed in."""
    row = call.chat.people.row(call.person.id)
    shown = shapes.profile(row, call.chat.core.workspace.team, email=call.may("identity.email"), url=call.url)
    pictures = {name: value for name, value in shown.items() if name.startswith("image_")}
    address = {"email": shown["email"]} if "email" in shown else {}
    who = {"id": row.id, "name": row.real_name or row.name, **address, **pictures}
    return {"user": who, "team": {"id": call.chat.core.workspace.team}}


# -- profiles ----------------------------------------------------------------------------------------------------------


class GetProfile(Arguments, frozen=True):
    """`users.profile.get`"""

    user: str = ""


class SetProfile(Arguments, frozen=True):
    """`users.profile.set`"""

    profile: dict[str, Any] | str = ""
    name: str = ""
    value: Any = None
    user: str = ""


def get_profile(call: Call, arguments: GetProfile) -> dict[str, Any]:
    """`users.profile.get`: one's own, or somebody's."""
    row = call.chat.people.row(arguments.user or call.person.id)
    return {"profile": shape(call, row)["profile"]}


def set_profile(call: Call, arguments: SetProfile) -> dict[str, Any]:
    """`users.profile.set`: one's own, or, as an admin, somebody's; only an admin changes addresses so."""
    given = nested(arguments.profile, "invalid_profile")
    if given is None and arguments.name:
        given = {arguments.name: arguments.value}
    if not isinstance(given, dict):
        raise ApiError("invalid_profile")
    user, email = arguments.user or call.person.id, given.get("email")
    moves = bool(email) and email != call.chat.people.row(user).email
    if moves and not (call.person.is_admin and isinstance(email, str)):
        raise ApiError("not_admin")
    row = call.chat.profiles.set(call.person, user, given)
    if moves:
        row = call.chat.accounts.move_email(user, str(email))
    shown = shape(call, row)
    return {"username": row.name, "profile": shown["profile"]}


# -- here or away ------------------------------------------------------------------------------------------------------


class SetPresence(Arguments, frozen=True):
    """`users.setPresence`"""

    presence: str


def get_presence(call: Call, arguments: GetProfile) -> dict[str, Any]:
    """`users.getPresence`: of oneself more is said."""
    profiles, user = call.chat.profiles, arguments.user or call.person.id
    row = call.chat.people.row(user)
    shown: dict[str, Any] = {"presence": "active" if profiles.is_active(row) else "away"}
    if user == call.person.id:
        live = profiles.connections(user)
        own = {"online": bool(live), "auto_away": not live, "manual_away": row.away, "connection_count": len(live)}
        shown |= own | ({"last_activity": max(live.values()) // 1000} if live else {})
    return shown


def set_presence(call: Call, arguments: SetPresence) -> dict[str, Any]:
    """`users.setPresence`: `away`, or `auto`: as the connections have it."""
    if arguments.presence not in ("auto", "away"):
        raise ApiError("invalid_presence")
    call.chat.profiles.set_away(call.person, away=arguments.presence == "away")
    call.chat.presence.changed(call.person.id)
    return {}


# -- preferences: Roost's own, as Slack's web client calls them --------------------------------------------------------


class SetPrefs(Arguments, frozen=True):
    """`users.prefs.set`"""

    prefs: dict[str, Any] | str = ""
    name: str = ""
    value: Any = None


def get_prefs(call: Call, arguments: Nothing) -> dict[str, Any]:
    """`users.prefs.get`: what the caller's clients keep."""
    kept = call.chat.preferences.of(call.person)
    return {"prefs": {name: msgspec.json.decode(value) for name, value in kept.items()}}


def set_prefs(call: Call, arguments: SetPrefs) -> dict[str, Any]:
    """`users.prefs.set`: one by `name` and `value`, or many as `prefs`; null takes one away."""
    given = nested(arguments.prefs, "invalid_prefs")
    if given is None and arguments.name:
        given = {arguments.name: arguments.value}
    if not isinstance(given, dict) or not isinstance(given.get("tz", ""), str):
        raise ApiError("invalid_prefs")
    call.chat.preferences.set(call.person, {name: msgspec.json.encode(value).decode() for name, value in given.items()})
    return get_prefs(call, Nothing())
