"""`users`: who is here."""

from __future__ import annotations

from typing import Any

import msgspec

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
    return shapes.user(row, call.chat.core.workspace.team, email=call.may("users:read.email"), url=call.url)


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
