"""`chat.scheduleMessage` and its relatives."""

from __future__ import annotations

from typing import Any

import msgspec

from roost.chat.messages import Posting
from roost.chat.model import Composition
from roost.slack import paging
from roost.slack.arguments import Arguments
from roost.slack.call import Call
from roost.slack.chat import Content, composition, destination
from roost.slack.errors import ApiError
from roost.storage.items import ScheduledRow


class Schedule(Content, frozen=True, kw_only=True):
    """`chat.scheduleMessage`"""

    channel: str
    post_at: int | str


class List(Arguments, frozen=True):
    """`chat.scheduledMessages.list`"""

    channel: str = ""
    oldest: float | str = ""
    latest: float | str = ""
    limit: int = 100
    cursor: str = ""


class Delete(Arguments, frozen=True):
    """`chat.deleteScheduledMessage`"""

    channel: str
    scheduled_message_id: str


def _seconds(value: float | str, code: str) -> int:
    text = str(value).partition(".")[0]
    if not text.isdigit() or len(text) > 12:
        raise ApiError(code)
    return int(text)


def schedule(call: Call, arguments: Schedule) -> dict[str, Any]:
    """`chat.scheduleMessage`"""
    at = _seconds(arguments.post_at, "invalid_time")
    channel = destination(call, arguments.channel)
    text, composed = composition(call, arguments)
    wanted = Posting(
        text, composed, arguments.thread_ts, broadcast=arguments.reply_broadcast and bool(arguments.thread_ts)
    )
    row = call.chat.later.schedule(call.person, channel, wanted, at)
    shown = {"scheduled_message_id": row.id, "channel": channel.id, "post_at": row.at}
    return shown | {"message": _message(call, text, composed)}


def _message(call: Call, text: str, composed: Composition) -> dict[str, Any]:
    """What will be posted, as far as it is known."""
    kind = "delayed_message"
    shown: dict[str, Any] = {"type": kind, "text": text, "user": call.person.id}
    shown["team"] = call.chat.core.workspace.team
    if call.person.bot:
        shown |= {"bot_id": call.person.bot, "app_id": call.person.app}
    for name in ("blocks", "attachments"):
        value = getattr(composed, name)
        if value:
            shown[name] = msgspec.json.decode(value)
    return shown


def list_(call: Call, arguments: List) -> dict[str, Any]:
    """`chat.scheduledMessages.list`: the caller's own, by time."""
    oldest = _seconds(arguments.oldest or 0, "invalid_arguments")
    latest = _seconds(arguments.latest or 999_999_999_999, "invalid_arguments")
    if arguments.channel:
        call.channel(arguments.channel)
    kept = [
        row
        for row in call.chat.later.scheduled(call.person)
        if arguments.channel in ("", row.channel) and oldest <= row.at <= latest
    ]
    size = paging.limit(arguments.limit, 100)
    page, cursor = paging.after(call, kept, _place, size, arguments.cursor, f"scheduled {arguments.channel}")
    shown = [
        {"id": row.id, "channel_id": row.channel, "post_at": row.at, "date_created": row.created, "text": row.text}
        for row in page
    ]
    return {"scheduled_messages": shown, "response_metadata": {"next_cursor": cursor}}


def _place(row: ScheduledRow) -> str:
    return f"{row.at:012}{row.id}"


def delete(call: Call, arguments: Delete) -> dict[str, Any]:
    """`chat.deleteScheduledMessage`"""
    channel = destination(call, arguments.channel)
    call.chat.later.unschedule(call.person, channel, arguments.scheduled_message_id)
    return {}
