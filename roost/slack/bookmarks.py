"""`bookmarks`"""

from __future__ import annotations

from typing import Any

from roost.slack import shapes
from roost.slack.arguments import Arguments
from roost.slack.call import Call
from roost.slack.errors import ApiError


class Add(Arguments, frozen=True):
    """`bookmarks.add`"""

    channel_id: str
    title: str
    type: str
    link: str = ""
    emoji: str = ""


class Edit(Arguments, frozen=True):
    """`bookmarks.edit`"""

    channel_id: str
    bookmark_id: str
    title: str | None = None
    link: str | None = None
    emoji: str | None = None


class Remove(Arguments, frozen=True):
    """`bookmarks.remove`"""

    channel_id: str
    bookmark_id: str = ""
    quip_section_id: str = ""


class List(Arguments, frozen=True):
    """`bookmarks.list`"""

    channel_id: str


def add(call: Call, arguments: Add) -> dict[str, Any]:
    """`bookmarks.add`"""
    channel = call.channel(arguments.channel_id)
    if arguments.type != "link":
        raise ApiError("invalid_bookmark_type")
    emoji = arguments.emoji
    row = call.chat.bookmarks.add(call.person, channel, arguments.title, arguments.link, emoji)
    return {"bookmark": shapes.bookmark(row, channel.id)}


def edit(call: Call, arguments: Edit) -> dict[str, Any]:
    """`bookmarks.edit`"""
    channel = call.channel(arguments.channel_id)
    given = {name: getattr(arguments, name) for name in ("title", "link", "emoji")}
    fields = {name: value for name, value in given.items() if value is not None}
    row = call.chat.bookmarks.edit(call.person, channel, arguments.bookmark_id, **fields)
    return {"bookmark": shapes.bookmark(row, channel.id)}


def remove(call: Call, arguments: Remove) -> dict[str, Any]:
    """`bookmarks.remove`"""
    channel = call.channel(arguments.channel_id)
    call.chat.bookmarks.remove(call.person, channel, arguments.bookmark_id)
    return {}


def list_(call: Call, arguments: List) -> dict[str, Any]:
    """`bookmarks.list`"""
    channel = call.channel(arguments.channel_id)
    rows = call.chat.bookmarks.of(call.person, channel)
    return {"bookmarks": [shapes.bookmark(row, channel.id) for row in rows]}
