"""`usergroups`: people who are mentioned together."""

from __future__ import annotations

from typing import Any

from roost.chat.errors import InvalidUserName, NameTaken
from roost.slack import shapes
from roost.slack.arguments import Arguments, names
from roost.slack.call import Call
from roost.slack.errors import ApiError
from roost.storage.items import GroupRow


class List(Arguments, frozen=True):
    """`usergroups.list`"""

    include_users: bool = False
    include_count: bool = False
    include_disabled: bool = False


class Create(Arguments, frozen=True):
    """`usergroups.create`"""

    name: str
    handle: str = ""
    description: str = ""
    channels: str | list[str] = ""


class Update(Arguments, frozen=True):
    """`usergroups.update`"""

    usergroup: str
    name: str | None = None
    handle: str | None = None
    description: str | None = None
    channels: str | list[str] | None = None


class One(Arguments, frozen=True):
    """`usergroups.enable`, `usergroups.disable`"""

    usergroup: str


class Users(Arguments, frozen=True):
    """`usergroups.users.list`"""

    usergroup: str
    include_disabled: bool = False


class SetUsers(Arguments, frozen=True):
    """`usergroups.users.update`"""

    usergroup: str
    users: str | list[str]


def list_(call: Call, arguments: List) -> dict[str, Any]:
    """`usergroups.list`"""
    shown = []
    for row in call.chat.groups.all():
        if row.disabled and not arguments.include_disabled:
            continue
        each = _shape(call, row)
        if not arguments.include_users:
            del each["users"]
        if not arguments.include_count:
            del each["user_count"]
        shown.append(each)
    return {"usergroups": shown}


def create(call: Call, arguments: Create) -> dict[str, Any]:
    """`usergroups.create`"""
    try:
        row = call.chat.groups.create(
            call.person, arguments.name, arguments.handle, arguments.description, _channels(call, arguments.channels)
        )
    except (NameTaken, InvalidUserName) as refusal:
        raise _named(refusal) from None
    return {"usergroup": _shape(call, row)}


def update(call: Call, arguments: Update) -> dict[str, Any]:
    """`usergroups.update`"""
    channels = None if arguments.channels is None else _channels(call, arguments.channels)
    try:
        row = call.chat.groups.update(
            call.person,
            arguments.usergroup,
            name=arguments.name,
            handle=arguments.handle,
            description=arguments.description,
            channels=channels,
        )
    except (NameTaken, InvalidUserName) as refusal:
        raise _named(refusal) from None
    return {"usergroup": _shape(call, row)}


def enable(call: Call, arguments: One) -> dict[str, Any]:
    """`usergroups.enable`"""
    return {"usergroup": _shape(call, call.chat.groups.enable(call.person, arguments.usergroup, enabled=True))}


def disable(call: Call, arguments: One) -> dict[str, Any]:
    """`usergroups.disable`"""
    return {"usergroup": _shape(call, call.chat.groups.enable(call.person, arguments.usergroup, enabled=False))}


def users(call: Call, arguments: Users) -> dict[str, Any]:
    """`usergroups.users.list`"""
    row = call.chat.groups.get(arguments.usergroup)
    if row.disabled and not arguments.include_disabled:
        raise ApiError("no_such_subteam")
    return {"users": row.users}


def set_users(call: Call, arguments: SetUsers) -> dict[str, Any]:
    """`usergroups.users.update`: who is in it from now on."""
    row = call.chat.groups.set_users(call.person, arguments.usergroup, names(arguments.users))
    return {"usergroup": _shape(call, row)}


def _channels(call: Call, given: str | list[str]) -> list[str]:
    wanted = names(given)
    for each in wanted:
        call.channel(each)
    return wanted


def _named(refusal: NameTaken | InvalidUserName) -> ApiError:
    return ApiError("name_already_exists" if isinstance(refusal, NameTaken) else "invalid_name")


def _shape(call: Call, row: GroupRow) -> dict[str, Any]:
    return shapes.group(row, call.chat.core.workspace.team)
