"""`stars`: what the caller keeps for later."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from roost.chat.stars import Star
from roost.slack import attached, paging, shapes
from roost.slack.arguments import Arguments
from roost.slack.call import Call
from roost.slack.errors import ApiError


class Item(Arguments, frozen=True):
    """`stars.add`, `stars.remove`"""

    channel: str = ""
    timestamp: str = ""
    file: str = ""


class List(Arguments, frozen=True):
    """`stars.list`"""

    limit: int = 0
    count: int = 100
    cursor: str = ""
    page: Annotated[int, msgspec.Meta(ge=1)] = 1


def add(call: Call, arguments: Item) -> dict[str, Any]:
    """`stars.add`"""
    stars = call.chat.stars
    if arguments.file:
        call.chat.files.get(call.person, arguments.file)
        stars.add_file(call.person, arguments.file)
    else:
        _check(arguments)
        stars.add(call.person, call.channel(arguments.channel), arguments.timestamp)
    return {}


def remove(call: Call, arguments: Item) -> dict[str, Any]:
    """`stars.remove`"""
    stars = call.chat.stars
    if arguments.file:
        stars.remove_file(call.person, arguments.file)
    else:
        _check(arguments)
        stars.remove(call.person, call.channel(arguments.channel), arguments.timestamp)
    return {}


def _check(arguments: Item) -> None:
    if not arguments.channel or not arguments.timestamp:
        raise ApiError("no_item_specified")


def list_(call: Call, arguments: List) -> dict[str, Any]:
    """`stars.list`: the latest first."""
    found = [each for each in (_shown(call, star) for star in call.chat.stars.of(call.person)) if each is not None]
    size = paging.limit(arguments.limit or arguments.count, 1000)
    skipped = int(paging.read(call, arguments.cursor, "stars") or (arguments.page - 1) * size)
    more = len(found) > skipped + size
    cursor = paging.write(call, str(skipped + size), "stars") if more else ""
    paged = {"count": size, "total": len(found), "page": arguments.page, "pages": -(-len(found) // size)}
    return {"items": found[skipped : skipped + size], "paging": paged, "response_metadata": {"next_cursor": cursor}}


def _shown(call: Call, star: Star) -> dict[str, Any] | None:
    team, row = call.chat.core.workspace.team, star.row
    if star.message is not None:
        shown = shapes.message(star.message, team, call.person.id, url=call.url)
        return {
            "type": "message",
            "channel": row.channel,
            "message": {**shown, "is_starred": True},
            "date_create": row.at,
        }
    file = call.chat.files.find(call.person, row.file)
    if file is None:
        return None
    return {"type": "file", "file": attached.shape(file.row, team, call.url), "date_create": row.at}
