"""`reminders`: for oneself; told in the direct conversation that one has with oneself."""

from __future__ import annotations

from typing import Any

from roost.chat.errors import Refused
from roost.slack.arguments import Arguments
from roost.slack.auth import Nothing
from roost.slack.call import Call
from roost.slack.errors import ApiError
from roost.storage.items import ReminderRow


class Add(Arguments, frozen=True):
    """`reminders.add`"""

    text: str
    time: int | str
    user: str = ""
    recurrence: str | dict[str, Any] = ""


class One(Arguments, frozen=True):
    """`reminders.info`, `reminders.complete`, `reminders.delete`"""

    reminder: str


def add(call: Call, arguments: Add) -> dict[str, Any]:
    """`reminders.add`: `time` in seconds, from now or of the epoch, or in words; none that come again."""
    if arguments.user not in ("", call.person.id):
        other = call.chat.people.row(arguments.user)
        raise ApiError("cannot_add_bot" if other.role == "bot" else "cannot_add_others")
    if arguments.recurrence:
        raise ApiError("cannot_parse")
    try:
        row = call.chat.later.remind(call.person, arguments.text, str(arguments.time))
    except Refused as refusal:
        if refusal.code in ("time_in_past", "time_too_far"):
            raise ApiError("cannot_parse") from None
        raise
    return {"reminder": _shown(row)}


def _shown(row: ReminderRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "creator": row.user,
        "user": row.user,
        "text": row.text,
        "recurring": False,
        "time": row.at,
        "complete_ts": row.completed,
    }


def list_(call: Call, arguments: Nothing) -> dict[str, Any]:
    """`reminders.list`"""
    return {"reminders": [_shown(row) for row in call.chat.later.reminders(call.person)]}


def info(call: Call, arguments: One) -> dict[str, Any]:
    """`reminders.info`"""
    return {"reminder": _shown(call.chat.later.reminder(call.person, arguments.reminder))}


def complete(call: Call, arguments: One) -> dict[str, Any]:
    """`reminders.complete`"""
    call.chat.later.complete(call.person, arguments.reminder)
    return {}


def delete(call: Call, arguments: One) -> dict[str, Any]:
    """`reminders.delete`"""
    call.chat.later.forget(call.person, arguments.reminder)
    return {}
