"""`dnd`: when people want quiet."""

from __future__ import annotations

from typing import Any

from roost.chat.errors import NotQuiet
from roost.slack import shapes
from roost.slack.arguments import Arguments, names
from roost.slack.auth import Nothing
from roost.slack.call import Call
from roost.slack.errors import ApiError
from roost.storage.items import UserRow


class Info(Arguments, frozen=True):
    """`dnd.info`"""

    user: str = ""


class TeamInfo(Arguments, frozen=True):
    """`dnd.teamInfo`"""

    users: str | list[str]


class SetSnooze(Arguments, frozen=True):
    """`dnd.setSnooze`"""

    num_minutes: int


def info(call: Call, arguments: Info) -> dict[str, Any]:
    """`dnd.info`: of oneself more is said."""
    row = call.chat.people.row(arguments.user or call.person.id)
    shown = shapes.dnd(_until(call, row))
    return shown | _snooze(call, row) if row.id == call.person.id else shown


def team_info(call: Call, arguments: TeamInfo) -> dict[str, Any]:
    """`dnd.teamInfo`"""
    users = names(arguments.users)
    if not users:
        raise ApiError("no_users_provided")
    if len(users) > 50:
        raise ApiError("too_many_users")
    rows = call.chat.people.rows(users)
    return {"users": {row.id: shapes.dnd(_until(call, row)) for row in rows}}


def set_snooze(call: Call, arguments: SetSnooze) -> dict[str, Any]:
    """`dnd.setSnooze`"""
    return _snooze(call, call.chat.profiles.snooze(call.person, arguments.num_minutes))


def end_snooze(call: Call, arguments: Nothing) -> dict[str, Any]:
    """`dnd.endSnooze`"""
    row = call.chat.profiles.end_snooze(call.person)
    return shapes.dnd(_until(call, row)) | {"snooze_enabled": False}


def end_dnd(call: Call, arguments: Nothing) -> dict[str, Any]:
    """`dnd.endDnd`"""
    try:
        call.chat.profiles.end_snooze(call.person)
    except NotQuiet:
        raise ApiError("not_in_dnd") from None
    return {}


def _until(call: Call, row: UserRow) -> int:
    return row.dnd_until if row.dnd_until > call.chat.core.now else 0


def _snooze(call: Call, row: UserRow) -> dict[str, Any]:
    until = _until(call, row)
    if not until:
        return {"snooze_enabled": False}
    return {"snooze_enabled": True, "snooze_endtime": until, "snooze_remaining": until - call.chat.core.now}
