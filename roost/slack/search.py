"""`search`: what was said."""

from __future__ import annotations

import math
from typing import Any

from roost.chat.search import Found
from roost.slack import shapes
from roost.slack.arguments import Arguments
from roost.slack.call import Call
from roost.slack.chat import permalink
from roost.slack.errors import ApiError, InvalidArguments


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


def found(call: Call, arguments: Search) -> dict[str, Any]:
    """What a search finds, a page of it."""
    if arguments.sort not in ("score", "timestamp") or arguments.sort_dir not in ("asc", "desc"):
        raise InvalidArguments("sort is score or timestamp, sort_dir is asc or desc")
    if not 1 <= arguments.count <= 100 or not 1 <= arguments.page <= 1000:
        raise ApiError("invalid_arguments")
    all_found = call.chat.search.find(call.person, arguments.query, best=arguments.sort == "score")
    if arguments.sort_dir == "asc":
        all_found.reverse()
    first = (arguments.page - 1) * arguments.count
    shown = all_found[first : first + arguments.count]
    total, pages = len(all_found), max(1, math.ceil(len(all_found) / arguments.count))
    return {
        "total": total,
        "matches": [_match(call, each) for each in shown],
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
