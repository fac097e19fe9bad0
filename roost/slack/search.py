"""`search`: what was said."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeVar

from roost.chat.search import Found
from roost.slack import attached, shapes
from roost.slack.arguments import Arguments
from roost.slack.call import Call
from roost.slack.chat import permalink
from roost.slack.errors import ApiError, InvalidArguments

T = TypeVar("T")


class Search(Arguments, frozen=True):
    """`search.messages`"""

    query: str
    sort: str = "score"
    sort_dir: str = "desc"
    count: int = 20
    page: int = 1
    cursor: str = ""
    highlight: bool = False


def messages(call: Call, arguments: Search) -> dict[str, Any]:
    """`search.messages`: among all that the caller may read."""
    return {"query": arguments.query, "messages": found(call, arguments)}


def files(call: Call, arguments: Search) -> dict[str, Any]:
    """`search.files`: by the words of their names and titles, among all that the caller may have."""
    return {"query": arguments.query, "files": _found_files(call, arguments)}


def everything(call: Call, arguments: Search) -> dict[str, Any]:
    """`search.all`: both."""
    return {**messages(call, arguments), **files(call, arguments)}


def _found_files(call: Call, arguments: Search) -> dict[str, Any]:
    _check(arguments)
    rows = call.chat.files.search(call.person, arguments.query)
    if arguments.sort_dir == "asc":
        rows.reverse()
    page, counted = _page(rows, arguments)
    team = call.chat.core.workspace.team
    return {**counted, "matches": [attached.shape(row, team, call.url) for row in page]}


def found(call: Call, arguments: Search) -> dict[str, Any]:
    """What a search finds, a page of it."""
    _check(arguments)
    all_found = call.chat.search.find(call.person, arguments.query, best=arguments.sort == "score")
    if arguments.sort_dir == "asc":
        all_found.reverse()
    page, counted = _page(all_found, arguments)
    return {**counted, "matches": [_match(call, each) for each in page]}


def _check(arguments: Search) -> None:
    if arguments.sort not in ("score", "timestamp") or arguments.sort_dir not in ("asc", "desc"):
        raise InvalidArguments("sort is score or timestamp, sort_dir is asc or desc")
    if not 1 <= arguments.count <= 100 or not 1 <= arguments.page <= 1000:
        raise ApiError("invalid_arguments")


def _page(all_found: Sequence[T], arguments: Search) -> tuple[Sequence[T], dict[str, Any]]:
    """A page of what was found, and the numbers that clients show beside it."""
    first = (arguments.page - 1) * arguments.count
    shown = all_found[first : first + arguments.count]
    total, pages = len(all_found), max(1, math.ceil(len(all_found) / arguments.count))
    return shown, {
        "total": total,
        "paging": {"count": arguments.count, "total": total, "page": arguments.page, "pages": pages},
        "pagination": {
            "total_count": total,
            "page": arguments.page,
            "per_page": arguments.count,
            "page_count": pages,
            "first": first + 1 if shown else 0,
            "last": first + len(shown),
        },
    }


def _match(call: Call, each: Found) -> dict[str, Any]:
    workspace, row, message = call.chat.core.workspace, each.channel, each.message
    shown = shapes.message(message, workspace.team, call.person.id, url=call.url)
    place = shapes.channel(row, workspace.team, workspace.general, call.person.id, None)
    kept = ("id", "name", "is_private", "is_mpim", "is_im", "is_shared", "is_ext_shared", "is_org_shared", "user")
    return {
        **shown,
        "iid": f"{row.id}-{message.ts}",
        "channel": {"name": "", **{name: place[name] for name in kept if name in place}},
        "username": message.row.username or message.row.name,
        "permalink": permalink(call.url, row.id, message.ts, message.row.thread),
    }
