"""`conversations`: channels and direct conversations."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from typing import Any

from roost.chat.errors import AlreadyInChannel, BadTimestamp, ChannelNotFound, NotInChannel, Refused
from roost.chat.model import Channel, Message, channel_of
from roost.chat.rights import Act
from roost.slack import paging, shapes
from roost.slack.arguments import Arguments, names
from roost.slack.call import Call
from roost.slack.errors import ApiError
from roost.storage import members
from roost.storage.items import ChannelRow, MembershipRow
from roost.storage.messages import Range

KINDS = ("public_channel", "private_channel", "mpim", "im")
_TS = re.compile(r"[0-9]{1,12}(\.[0-9]{1,6})?")


class List(Arguments, frozen=True):
    """`conversations.list`, `users.conversations`"""

    types: str | list[str] = "public_channel"
    exclude_archived: bool = False
    limit: int = 100
    cursor: str = ""
    user: str = ""


class One(Arguments, frozen=True):
    """A conversation."""

    channel: str


class Info(Arguments, frozen=True):
    """`conversations.info`"""

    channel: str
    include_num_members: bool = False


class Create(Arguments, frozen=True):
    """`conversations.create`"""

    name: str
    is_private: bool = False


class Invite(Arguments, frozen=True):
    """`conversations.invite`"""

    channel: str
    users: str | list[str] = ""
    force: bool = False


class Kick(Arguments, frozen=True):
    """`conversations.kick`"""

    channel: str
    user: str = ""


class Members(Arguments, frozen=True):
    """`conversations.members`"""

    channel: str
    limit: int = 100
    cursor: str = ""


class History(Arguments, frozen=True):
    """`conversations.history`"""

    channel: str
    latest: str = ""
    oldest: str = ""
    inclusive: bool = False
    limit: int = 100
    cursor: str = ""
    include_all_metadata: bool = False


class Replies(History, frozen=True, kw_only=True):
    """`conversations.replies`"""

    ts: str


class Mark(Arguments, frozen=True):
    """`conversations.mark`"""

    channel: str
    ts: str


class Open(Arguments, frozen=True):
    """`conversations.open`"""

    users: str | list[str] = ""
    channel: str = ""
    return_im: bool = False
    prevent_creation: bool = False


class Rename(Arguments, frozen=True):
    """`conversations.rename`"""

    channel: str
    name: str


class SetTopic(Arguments, frozen=True):
    """`conversations.setTopic`"""

    channel: str
    topic: str


class SetPurpose(Arguments, frozen=True):
    """`conversations.setPurpose`"""

    channel: str
    purpose: str


# -- lists -------------------------------------------------------------------------------------------------------------


def list_(call: Call, arguments: List) -> dict[str, Any]:
    """`conversations.list`: public channels, and of private and direct ones those that the caller belongs to."""
    kinds = _kinds(arguments.types)
    mine = {row.id: (row, membership) for row, membership in call.chat.channels.of(call.person)}
    found: dict[str, tuple[ChannelRow, MembershipRow | None]] = dict(mine)
    if "public_channel" in kinds and call.person.role != "restricted":
        found |= {row.id: (row, None) for row in call.chat.channels.public() if row.id not in mine}
    return _listed(call, arguments, kinds, list(found.values()))


def of_user(call: Call, arguments: List) -> dict[str, Any]:
    """`users.conversations`: what somebody belongs to, as far as the caller may know."""
    chat, viewer = call.chat, call.person
    person = viewer if arguments.user in ("", viewer.id) else chat.people.person(arguments.user)
    found: list[tuple[ChannelRow, MembershipRow | None]] = []
    for row, membership in chat.channels.of(person):
        if person.id == viewer.id:
            found.append((row, membership))
            continue
        with contextlib.suppress(ChannelNotFound):  # not theirs to know
            found.append((row, chat.channels.check(viewer, Act.SEE, channel_of(row))))
    return _listed(call, arguments, _kinds(arguments.types), found)


def _kinds(types: str | list[str]) -> set[str]:
    kinds = set(names(types)) or {"public_channel"}
    if not kinds <= set(KINDS):
        raise ApiError("invalid_types")
    return kinds


def _kind(row: ChannelRow) -> str:
    if row.kind != "channel":
        return row.kind
    return "private_channel" if row.private else "public_channel"


def _listed(
    call: Call, arguments: List, kinds: set[str], found: list[tuple[ChannelRow, MembershipRow | None]]
) -> dict[str, Any]:
    kept = [
        (row, membership)
        for row, membership in found
        if _kind(row) in kinds and not (arguments.exclude_archived and row.archived)
    ]
    kept.sort(key=lambda pair: pair[0].id)
    limit = paging.limit(arguments.limit, 1000)
    page, cursor = paging.after(call, kept, lambda pair: pair[0].id, limit, arguments.cursor, "channels")
    shown = [shape(call, row, membership) for row, membership in page]
    return {"channels": shown, "response_metadata": {"next_cursor": cursor}}


def shape(call: Call, row: ChannelRow, membership: MembershipRow | None) -> dict[str, Any]:
    """A conversation as the caller sees it."""
    workspace = call.chat.core.workspace
    return shapes.channel(row, workspace.team, workspace.general, call.person.id, membership)


def info(call: Call, arguments: Info) -> dict[str, Any]:
    """`conversations.info`"""
    row = call.chat.channels.row(arguments.channel)
    membership = call.chat.channels.check(call.person, Act.SEE, channel_of(row))
    shown = shape(call, row, membership)
    if membership is not None:
        standing = call.chat.reads.standing(row, membership)
        shown |= {"unread_count": standing.unread, "unread_count_display": standing.unread}
    if arguments.include_num_members:
        shown["num_members"] = len(members.of_channel(call.chat.core.table, row.id))
    return {"channel": shown}


def members_(call: Call, arguments: Members) -> dict[str, Any]:
    """`conversations.members`"""
    channel = call.channel(arguments.channel)
    call.chat.channels.check(call.person, Act.SEE, channel)
    limit = paging.limit(arguments.limit, 1000)
    place = paging.read(call, arguments.cursor, "members")
    users, following = members.page_of_channel(call.chat.core.table, channel.id, place, limit)
    cursor = paging.write(call, following, "members") if following else ""
    return {"members": users, "response_metadata": {"next_cursor": cursor}}


# -- making, coming, going ---------------------------------------------------------------------------------------------


def create(call: Call, arguments: Create) -> dict[str, Any]:
    """`conversations.create`"""
    row = call.chat.channels.create(call.person, arguments.name, private=arguments.is_private)
    return {"channel": _mine(call, row)}


def _mine(call: Call, row: ChannelRow) -> dict[str, Any]:
    return shape(call, row, members.get(call.chat.core.table, row.id, call.person.id))


def join(call: Call, arguments: One) -> dict[str, Any]:
    """`conversations.join`: that one was there already is only a warning."""
    channel = call.channel(arguments.channel)
    warning: dict[str, Any] = {}
    try:
        call.chat.channels.join(call.person, channel)
    except AlreadyInChannel:
        noted = ["already_in_channel"]
        warning = {"warning": noted[0], "response_metadata": {"warnings": noted}}
    return {"channel": _mine(call, call.chat.channels.row(channel.id)), **warning}


def leave(call: Call, arguments: One) -> dict[str, Any]:
    """`conversations.leave`"""
    channel = call.channel(arguments.channel)
    try:
        call.chat.channels.leave(call.person, channel)
    except NotInChannel:
        return {"ok": False, "not_in_channel": True, "error": "not_in_channel"}
    return {}


def invite(call: Call, arguments: Invite) -> dict[str, Any]:
    """`conversations.invite`: each of up to 100 people; with `force` those who cannot be invited are left out."""
    users = names(arguments.users)
    if not users:
        raise ApiError("no_user")
    if len(users) > 100:
        raise ApiError("too_many_users")
    channel = call.channel(arguments.channel)
    errors: list[dict[str, Any]] = []
    for user in users:
        try:
            call.chat.channels.invite(call.person, channel, user)
        except Refused as refusal:
            errors.append({"user": user, "ok": False, "error": refusal.code})
    if errors and not (arguments.force and len(errors) < len(users)):
        raise ApiError(errors[0]["error"], errors=errors)
    answer: dict[str, Any] = {"channel": _mine(call, call.chat.channels.row(channel.id))}
    return answer | ({"errors": errors} if errors else {})


def kick(call: Call, arguments: Kick) -> dict[str, Any]:
    """`conversations.kick`"""
    call.chat.channels.kick(call.person, call.channel(arguments.channel), arguments.user)
    return {}


def open_(call: Call, arguments: Open) -> dict[str, Any]:
    """`conversations.open`: the direct conversation with some people, made if there is none."""
    if arguments.channel:
        channel = call.channel(arguments.channel)
        call.chat.channels.check(call.person, Act.READ, channel)
        call.chat.channels.reopen_direct(channel, call.person.id)
        row, there = call.chat.channels.row(channel.id), True
    elif arguments.prevent_creation:
        found = call.chat.channels.find_direct(call.person, names(arguments.users))
        if found is None:
            raise ApiError("channel_not_found")
        row, there = found, True
    else:
        row, there = call.chat.channels.open_direct(call.person, names(arguments.users))
    known: dict[str, Any] = {"no_op": True, "already_open": True} if there else {}
    return {"channel": _mine(call, row) if arguments.return_im else {"id": row.id}, **known}


def close(call: Call, arguments: One) -> dict[str, Any]:
    """`conversations.close`: a direct conversation leaves the caller's list until somebody says something."""
    closed = call.chat.channels.close_direct(call.person, call.channel(arguments.channel))
    return {} if closed else {"no_op": True, "already_closed": True}


def _changing(change: Callable[[Call, Channel, Any], ChannelRow]) -> Callable[[Call, Any], dict[str, Any]]:
    """A method that changes a channel and answers it."""

    def method(call: Call, arguments: Any) -> dict[str, Any]:
        return {"channel": _mine(call, change(call, call.channel(arguments.channel), arguments))}

    return method


rename = _changing(lambda call, channel, a: call.chat.channels.rename(call.person, channel, a.name))
set_topic = _changing(lambda call, channel, a: call.chat.channels.set_topic(call.person, channel, a.topic))
set_purpose = _changing(lambda call, channel, a: call.chat.channels.set_purpose(call.person, channel, a.purpose))


def archive(call: Call, arguments: One) -> dict[str, Any]:
    """`conversations.archive`"""
    call.chat.channels.archive(call.person, call.channel(arguments.channel))
    return {}


def unarchive(call: Call, arguments: One) -> dict[str, Any]:
    """`conversations.unarchive`"""
    call.chat.channels.unarchive(call.person, call.channel(arguments.channel))
    return {}


# -- reading -----------------------------------------------------------------------------------------------------------


def history(call: Call, arguments: History) -> dict[str, Any]:
    """`conversations.history`: new to old."""
    channel, limit = call.channel(arguments.channel), paging.limit(arguments.limit, 999)
    part = _range(arguments)
    place = paging.read(call, arguments.cursor, f"history {channel.id}")
    if place:
        part = Range(part.oldest, place, inclusive=False) if not part.inclusive else Range(part.oldest, place)
    if part.oldest and part.latest and part.oldest > part.latest:
        call.chat.channels.check(call.person, Act.READ, channel)
        return {"messages": [], "has_more": False, "pin_count": 0}
    found, more = call.chat.messages.history(call.person, channel, part, limit)
    cursor = paging.write(call, found[-1].ts, f"history {channel.id}") if more else ""
    return {
        "messages": shown(call, found, metadata=arguments.include_all_metadata),
        "has_more": more,
        "pin_count": 0,
        "response_metadata": {"next_cursor": cursor},
    }


def replies(call: Call, arguments: Replies) -> dict[str, Any]:
    """`conversations.replies`: the root, then its thread from old to new."""
    channel, limit = call.channel(arguments.channel), paging.limit(arguments.limit, 1000)
    subject = f"replies {channel.id} {arguments.ts}"
    place = paging.read(call, arguments.cursor, subject)
    found, more = call.chat.messages.thread(
        call.person, channel, arguments.ts, _range(arguments), place, max(1, limit - 1)
    )
    cursor = paging.write(call, found[-1].ts, subject) if more else ""
    return {
        "messages": shown(call, found[1:] if place else found, metadata=arguments.include_all_metadata),
        "has_more": more,
        "response_metadata": {"next_cursor": cursor},
    }


def _range(arguments: History) -> Range:
    for name in ("latest", "oldest"):
        value = getattr(arguments, name)
        if value and not _TS.fullmatch(value):
            raise ApiError(f"invalid_ts_{name}")
    latest = "" if arguments.latest in ("", "now") else _whole_ts(arguments.latest)
    oldest = "" if arguments.oldest in ("", "0") else _whole_ts(arguments.oldest)
    return Range(oldest, latest, inclusive=arguments.inclusive)


def _whole_ts(value: str) -> str:
    seconds, _, fraction = value.partition(".")
    return f"{seconds}.{fraction:0<6}"


def shown(call: Call, found: list[Message], *, metadata: bool = False) -> list[dict[str, Any]]:
    """Messages as the caller sees them."""
    team, seen = call.chat.core.workspace.team, call.chat.reactions.with_own(call.person, found)
    return [shapes.message(each, team, call.person.id, metadata=metadata, url=call.url) for each in seen]


def mark(call: Call, arguments: Mark) -> dict[str, Any]:
    """`conversations.mark`"""
    try:
        call.chat.reads.mark(call.person, call.channel(arguments.channel), arguments.ts)
    except BadTimestamp:
        raise ApiError("invalid_timestamp") from None
    return {}
