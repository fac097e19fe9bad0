"""`users`: who is here."""

from __future__ import annotations

from typing import Any

from roost.slack import paging, shapes
from roost.slack.arguments import Arguments
from roost.slack.call import Call
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
    return shapes.user(row, call.chat.core.workspace.team, email=call.may("users:read.email"))


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
