"""What only somebody's own clients are told: how they stand to threads, conversations and what they keep."""

from __future__ import annotations

from typing import Any

from roost.chat.events import NotificationsChanged, StarChanged, ThreadFollowed, UnreadFromMarked
from roost.storage.items import FollowRow

Json = dict[str, Any]


def event(happened: StarChanged | ThreadFollowed | NotificationsChanged | UnreadFromMarked) -> Json:
    """Such an event as JSON."""
    match happened:
        case StarChanged():
            item: Json = {"type": "file", "file": {"id": happened.file}}
            if not happened.file:
                item = {"type": "message", "channel": happened.channel, "message": {"ts": happened.target}}
            kind = "star_added" if happened.added else "star_removed"
            return {"type": kind, "user": happened.user, "item": item}
        case ThreadFollowed():
            return {"type": f"thread_{happened.what}", "subscription": subscription(happened.follow)}
        case NotificationsChanged():
            wanted = {"is_muted": happened.muted, "notification_level": happened.level or "default"}
            return {"type": "channel_notifications_changed", "channel": happened.channel, **wanted}
        case UnreadFromMarked():
            return {"type": "channel_unread_from", "channel": happened.channel, "ts": happened.at}


def subscription(row: FollowRow) -> Json:
    """How somebody stands to a thread."""
    return {
        "type": "thread",
        "channel": row.channel,
        "thread_ts": row.thread,
        "date_create": row.since,
        "active": not row.ended,
        "last_read": row.last_read or row.thread,
    }
