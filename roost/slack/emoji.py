"""`emoji`: the workspace's own. Adding and removing are methods of Slack's own clients."""

from __future__ import annotations

from typing import Any

from roost.chat.errors import BadImage
from roost.slack import shapes
from roost.slack.arguments import Arguments, Upload
from roost.slack.auth import Nothing
from roost.slack.call import Call
from roost.slack.errors import ApiError


class Add(Arguments, frozen=True):
    """`emoji.add`"""

    name: str
    mode: str = "data"
    alias_for: str = ""


class Remove(Arguments, frozen=True):
    """`emoji.remove`"""

    name: str


def list_(call: Call, arguments: Nothing) -> dict[str, Any]:
    """`emoji.list`"""
    found = call.chat.emoji.all()
    shown = {name: shapes.emoji(row, call.url) for name, row in found.items()}
    return {"emoji": shown, "cache_ts": str(max((row.at for row in found.values()), default=0))}


def add(call: Call, arguments: Add) -> dict[str, Any]:
    """`emoji.add`: a picture in the file `image` of a form, or with mode `alias` another name of `alias_for`."""
    name = arguments.name.strip(":")
    if arguments.mode == "alias":
        call.chat.emoji.add_alias(call.person, name, arguments.alias_for.strip(":"))
        return {}
    image = call.given.get("image")
    if not isinstance(image, Upload) or not image.data:
        raise ApiError("no_image_uploaded")
    try:
        call.chat.emoji.add(call.person, name, image.data)
    except BadImage:
        raise ApiError("error_bad_format") from None
    return {}


def remove(call: Call, arguments: Remove) -> dict[str, Any]:
    """`emoji.remove`"""
    call.chat.emoji.remove(call.person, arguments.name.strip(":"))
    return {}
