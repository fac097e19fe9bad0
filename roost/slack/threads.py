"""`subscriptions.thread`: the threads that the caller follows, by the names that Slack's own clients use."""

from __future__ import annotations

from typing import Any

from roost.chat.inbox import Followed
from roost.chat.messages import check_ts
from roost.slack import paging, personal, shapes
from roost.slack.arguments import Arguments
from roost.slack.call import Call


class One(Arguments, frozen=True):
    """A thread."""

    channel: str
    thread_ts: str


class Follow(One, frozen=True, kw_only=True):
    """`subscriptions.thread.add`"""

    last_read: str = ""


class Mark(One, frozen=True, kw_only=True):
    """`subscriptions.thread.mark`"""

    ts: str


class View(Arguments, frozen=True):
    """`subscriptions.thread.getView`, `subscriptions.thread.clearAll`"""

    current_ts: str = ""
    limit: int = 8


def get(call: Call, arguments: One) -> dict[str, Any]:
    """`subscriptions.thread.get`"""
    row = call.chat.inbox.get(call.person, call.channel(arguments.channel), arguments.thread_ts)
    if row is None:
        return {"subscribed": False}
    return {"subscribed": not row.ended, "subscription": personal.subscription(row)}


def add(call: Call, arguments: Follow) -> dict[str, Any]:
    """`subscriptions.thread.add`"""
    channel = call.channel(arguments.channel)
    row = call.chat.inbox.follow(call.person, channel, arguments.thread_ts, arguments.last_read)
    return {"subscription": personal.subscription(row)}


def remove(call: Call, arguments: One) -> dict[str, Any]:
    """`subscriptions.thread.remove`"""
    row = call.chat.inbox.unfollow(call.person, call.channel(arguments.channel), arguments.thread_ts)
    return {"subscription": personal.subscription(row)}


def mark(call: Call, arguments: Mark) -> dict[str, Any]:
    """`subscriptions.thread.mark`: read up to a ts; the mark never goes backwards."""
    channel = call.channel(arguments.channel)
    row = call.chat.inbox.mark(call.person, channel, arguments.thread_ts, arguments.ts)
    return {} if row is None else {"subscription": personal.subscription(row)}


def clear_all(call: Call, arguments: View) -> dict[str, Any]:
    """`subscriptions.thread.clearAll`: all threads are read, up to `current_ts`."""
    if arguments.current_ts:
        check_ts(arguments.current_ts)
    call.chat.inbox.read_all(call.person, arguments.current_ts)
    return {}


def get_view(call: Call, arguments: View) -> dict[str, Any]:
    """`subscriptions.thread.getView`: the threads last answered before `current_ts`, each with what is new in it."""
    size = paging.limit(arguments.limit, 100)
    if arguments.current_ts:
        check_ts(arguments.current_ts)
    followed = call.chat.inbox.threads(call.person)
    before = arguments.current_ts
    older = [each for each in followed if not before or each.root.row.latest_reply < before]
    threads = [_shown(call, each) for each in older[:size]]
    return {
        "threads": threads,
        "has_more": len(older) > size,
        "max_ts": older[size - 1].root.row.latest_reply if len(older) > size else "",
        "new_threads_count": sum(1 for each in followed if each.unread),
        "total_unread_replies": sum(len(each["unread_replies"]) for each in threads),
    }


def _shown(call: Call, each: Followed) -> dict[str, Any]:
    unread, latest = call.chat.inbox.replies(call.person, each)
    team = call.chat.core.workspace.team
    root, *replies = (
        shapes.message(message, team, call.person.id, url=call.url) for message in (each.root, *unread, *latest)
    )
    root |= {"channel": each.channel.id, "subscribed": True, "last_read": each.follow.last_read or each.follow.thread}
    return {"root_msg": root, "unread_replies": replies[: len(unread)], "latest_replies": replies[len(unread) :]}
