"""What a person's own clients ask and no app does: counts, mentions, how much they want to hear of a conversation.

`client.counts`, `activity.mentions` and `users.prefs.setNotifications` bear the names that Slack's own clients use.
"""

from __future__ import annotations

from typing import Any

from roost.chat.reads import Standing
from roost.slack import paging, shapes
from roost.slack.arguments import Arguments
from roost.slack.auth import Nothing
from roost.slack.call import Call
from roost.slack.errors import InvalidArguments
from roost.storage.items import format_ts

#: What `desktop` may be, in Slack's words, and what we call it.
_LEVELS = {"everything": "all", "mentions": "mentions", "mentions_dms": "mentions", "nothing": "nothing", "default": ""}
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


class MarkUnread(Arguments, frozen=True):
    """`conversations.markUnread`"""

    channel: str
    ts: str


class Notify(Arguments, frozen=True):
    """`users.prefs.setNotifications`"""

    channel_id: str
    name: str
    value: str | bool


class Mentions(Arguments, frozen=True):
    """`activity.mentions`"""

    limit: int = 20
    cursor: str = ""


def mark_unread(call: Call, arguments: MarkUnread) -> dict[str, Any]:
    """`conversations.markUnread`: the conversation shows as unread from a message on, on all devices of the caller,
    until they have read on from there. The read mark does not move."""
    call.chat.reads.mark_unread(call.person, call.channel(arguments.channel), arguments.ts)
    return {}


def set_notifications(call: Call, arguments: Notify) -> dict[str, Any]:
    """`users.prefs.setNotifications`: `muted` true or false; `desktop` everything, mentions, nothing or default."""
    channel = call.channel(arguments.channel_id)
    value = str(arguments.value).lower()
    if arguments.name == "muted" and value in _BOOLEANS:
        row = call.chat.reads.notify(call.person, channel, muted=_BOOLEANS[value], level=None)
    elif arguments.name == "desktop" and value in _LEVELS:
        row = call.chat.reads.notify(call.person, channel, muted=None, level=_LEVELS[value])
    else:
        raise InvalidArguments("name is muted or desktop, with a value that it can have")
    return {"channel_id": channel.id, "is_muted": row.muted, "notification_level": row.level or "default"}


def counts(call: Call, arguments: Nothing) -> dict[str, Any]:
    """`client.counts`: what is unread in each of the caller's conversations, and whether in their threads."""
    lists: dict[str, list[dict[str, Any]]] = {"channels": [], "mpims": [], "ims": []}
    for standing in call.chat.reads.standings(call.person):
        kind = standing.channel.kind
        lists["channels" if kind == "channel" else f"{kind}s"].append(_counted(standing))
    unread = sum(1 for each in call.chat.inbox.threads(call.person) if each.unread)
    return {**lists, "threads": {"has_unreads": unread > 0, "unread_count": unread, "mention_count": 0}}


def _counted(standing: Standing) -> dict[str, Any]:
    row = standing.membership
    shown = {
        "id": standing.channel.id,
        "last_read": row.last_read or "0000000000.000000",
        "latest": format_ts(standing.head.ts),
        "has_unreads": standing.unread > 0,
        "unread_count": standing.unread,
        "mention_count": standing.mentions,
        "is_muted": row.muted,
        "notification_level": row.level or "default",
    }
    return shown | ({"unread_from": row.unread_from} if row.unread_from else {})


def mentions(call: Call, arguments: Mentions) -> dict[str, Any]:
    """`activity.mentions`: the messages of the last 90 days that name the caller, newest first."""
    size = paging.limit(arguments.limit, 100)
    place = paging.read(call, arguments.cursor, "mentions")
    found, following = call.chat.inbox.mentions(call.person, place, size)
    team = call.chat.core.workspace.team
    shown = [
        {
            "type": "mention",
            "channel": each.channel,
            "message": shapes.message(each, team, call.person.id, url=call.url),
        }
        for each in found
    ]
    cursor = paging.write(call, following, "mentions") if following else ""
    return {"mentions": shown, "response_metadata": {"next_cursor": cursor}}
