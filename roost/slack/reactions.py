"""`reactions` and `pins`."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from roost.chat.model import Channel, Message
from roost.slack import paging, shapes
from roost.slack.arguments import Arguments
from roost.slack.call import Call
from roost.slack.errors import ApiError


class React(Arguments, frozen=True):
    """`reactions.add`, `reactions.remove`"""

    name: str
    channel: str = ""
    timestamp: str = ""


class Get(Arguments, frozen=True):
    """`reactions.get`"""

    channel: str = ""
    timestamp: str = ""
    full: bool = False


class List(Arguments, frozen=True):
    """`reactions.list`"""

    user: str = ""
    full: bool = False
    limit: int = 0
    count: int = 100
    cursor: str = ""
    page: Annotated[int, msgspec.Meta(ge=1)] = 1


class Pin(Arguments, frozen=True):
    """`pins.add`, `pins.remove`"""

    channel: str
    timestamp: str = ""


class Pins(Arguments, frozen=True):
    """`pins.list`"""

    channel: str


def _item(call: Call, arguments: React | Get | Pin) -> Channel:
    if not arguments.channel or not arguments.timestamp:
        raise ApiError("no_item_specified")
    return call.channel(arguments.channel)


def add(call: Call, arguments: React) -> dict[str, Any]:
    """`reactions.add`"""
    channel = _item(call, arguments)
    call.chat.reactions.add(call.person, channel, arguments.timestamp, arguments.name.strip(":"))
    return {}


def remove(call: Call, arguments: React) -> dict[str, Any]:
    """`reactions.remove`"""
    channel = _item(call, arguments)
    call.chat.reactions.remove(call.person, channel, arguments.timestamp, arguments.name.strip(":"))
    return {}


def get(call: Call, arguments: Get) -> dict[str, Any]:
    """`reactions.get`: a message, with everybody who reacted."""
    channel = _item(call, arguments)
    message = call.chat.messages.get(call.person, channel, arguments.timestamp)
    shown = _shown(call, message)
    everybody = call.chat.reactions.of(channel, message.ts)
    for kind in shown.get("reactions", ()):
        kind["users"] = everybody.get(kind["name"], kind["users"])
    return {"type": "message", "channel": channel.id, "message": shown}


def _shown(call: Call, message: Message) -> dict[str, Any]:
    return shapes.message(message, call.chat.core.workspace.team, call.person.id, url=call.url)


def list_(call: Call, arguments: List) -> dict[str, Any]:
    """`reactions.list`: the newest messages that somebody reacted to, as far as the caller may read them."""
    user = arguments.user or call.person.id
    call.chat.people.row(user)
    found = call.chat.reactions.by(call.person, user)
    size = paging.limit(arguments.limit or arguments.count, 1000)
    skipped = int(paging.read(call, arguments.cursor, f"reactions {user}") or (arguments.page - 1) * size)
    page, more = found[skipped : skipped + size], len(found) > skipped + size
    cursor = paging.write(call, str(skipped + size), f"reactions {user}") if more else ""
    paged = {"count": size, "total": len(found), "page": arguments.page, "pages": -(-len(found) // size)}
    items = [{"type": "message", "channel": each.channel, "message": _shown(call, each)} for each in page]
    return {"items": items, "paging": paged, "response_metadata": {"next_cursor": cursor}}


def pin(call: Call, arguments: Pin) -> dict[str, Any]:
    """`pins.add`"""
    call.chat.reactions.pin(call.person, _item(call, arguments), arguments.timestamp)
    return {}


def unpin(call: Call, arguments: Pin) -> dict[str, Any]:
    """`pins.remove`"""
    call.chat.reactions.unpin(call.person, _item(call, arguments), arguments.timestamp)
    return {}


def pins(call: Call, arguments: Pins) -> dict[str, Any]:
    """`pins.list`"""
    channel = call.channel(arguments.channel)
    items = [
        {
            "type": "message",
            "created": message.row.pinned_at,
            "created_by": message.row.pinned_by,
            "channel": channel.id,
            "message": _shown(call, message),
        }
        for message in call.chat.reactions.pins(call.person, channel)
    ]
    return {"items": items}
