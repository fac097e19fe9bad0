"""What each event on an event stream holds, to the field. `check` fails on what is missing, of another type, or known
to nobody."""

from __future__ import annotations

import re
from typing import Any

Json = dict[str, Any]
Schema = dict[str, Any]

TS = re.compile(r"\d{1,12}\.\d{6}")

#: A field's name, with ? where it may be absent → a type, a constant in a tuple, a schema in a list for each element of
#: a list, or a schema. The fields of a log's place and `event_ts` are those of every event.
_REACTION: Schema = {"name": str, "count": int, "users": [str]}
_THREAD: Schema = {
    "thread_ts?": TS, "reply_count?": int, "reply_users?": [str], "reply_users_count?": int, "latest_reply?": TS,
    "is_locked?": bool, "subscribed?": bool, "parent_user_id?": str,
}  # fmt: skip
_PINNED: Schema = {
    "pinned_to?": [str],
    "pinned_info?": {"channel": str, "pinned_by": str, "pinned_ts": int},
}
MESSAGE: Schema = {
    "type": ("message",), "ts": TS, "user": str, "text": str, "team": str, "subtype?": str, "hidden?": bool,
    "bot_id?": str, "app_id?": str, "bot_profile?": dict, "blocks?": [dict], "attachments?": [dict], "files?": [dict],
    "upload?": bool, "metadata?": {"event_type": str, "event_payload": dict}, "username?": str, "client_msg_id?": str,
    "icons?": dict, "is_guest?": bool, "edited?": {"user": str, "ts": TS}, "reactions?": [_REACTION],
    "is_ephemeral?": bool, "topic?": str, "purpose?": str, "name?": str, "old_name?": str, "inviter?": str,
    **_THREAD, **_PINNED,
}  # fmt: skip
_PLACE: Schema = {"channel": str, "channel_type": ("channel", "group", "im", "mpim")}
_TOPIC: Schema = {"value": str, "creator": str, "last_set": int}
CHANNEL: Schema = {
    "id": str, "created": int, "creator": str, "is_channel": bool, "is_group": bool, "is_im": bool, "is_mpim": bool,
    "is_private": bool, "is_archived": bool, "is_general": bool, "is_member": bool, "is_shared": bool,
    "is_ext_shared": bool, "is_org_shared": bool, "unlinked": int, "updated": int, "context_team_id": str,
    "user?": str, "is_open?": bool, "name?": str, "name_normalized?": str, "topic?": _TOPIC, "purpose?": _TOPIC,
    "previous_names?": [str], "last_read?": TS, "is_muted?": bool,
    "notification_level?": str, "unread_from?": TS,
}  # fmt: skip
USER: Schema = {
    "id": str, "team_id": str, "name": str, "deleted": bool, "color": str, "real_name": str, "tz": str,
    "tz_label": str, "tz_offset": int, "profile": dict, "is_admin": bool, "is_owner": bool, "is_primary_owner": bool,
    "is_restricted": bool, "is_ultra_restricted": bool, "is_bot": bool, "is_app_user": bool,
    "is_email_confirmed": bool, "updated": int, "who_can_share_contact_card": str,
}  # fmt: skip
_REACTED: Schema = {
    "user": str, "reaction": str, "item_user": str,
    "item": {"type": ("message",), "channel": str, "ts": TS, "thread_ts?": TS},
}  # fmt: skip
_PIN: Schema = {"type": ("message",), "channel": str, "message": {"ts": TS}}
_MEMBER: Schema = {"user": str, "team": str, "channel": str, "channel_type": ("C", "G"), "inviter?": str}
_STAR: Schema = {
    "user": str,
    "item": {"type": ("message", "file"), "channel?": str, "message?": {"ts": TS}, "file?": {"id": str}},
}
_BOOKMARK: Schema = {"user": str, "bookmark": dict, **_PLACE}
_THREAD_STANDING: Schema = {
    "subscription": {
        "type": ("thread",), "channel": str, "thread_ts": TS, "date_create": int, "active": bool, "last_read": str,
    },
}  # fmt: skip
_CHANNEL_ID: Schema = {"channel": str}
_BY: Schema = {"channel": str, "user": str}
_JOINED: Schema = {"channel": CHANNEL, "head": int}
_MARKED: Schema = {"channel": str, "ts": TS, "unread_count": int, "unread_count_display": int}
_RENAMED: Schema = {"channel": {"id": str, "name": str, "name_normalized": str, "created": int}}

#: type, or type/subtype of the hidden kinds of message → its fields beside `type`.
SCHEMAS: dict[str, Schema] = {
    "message": {**MESSAGE, **_PLACE},
    "message/message_changed": {
        "subtype": str, "hidden": (True,), "ts": TS, "message": MESSAGE, "previous_message?": MESSAGE, **_PLACE,
    },
    "message/message_deleted": {
        "subtype": str, "hidden": (True,), "ts": TS, "deleted_ts": TS, **_PLACE,
        "previous_message": {"type": ("message",), "ts": TS, "thread_ts?": TS},
    },
    "reaction_added": _REACTED, "reaction_removed": _REACTED,
    "pin_added": {"user": str, "channel_id": str, "item": {**_PIN, "created": int, "created_by": str}},
    "pin_removed": {"user": str, "channel_id": str, "item": _PIN},
    "member_joined_channel": _MEMBER, "member_left_channel": _MEMBER,
    "channel_created": {"channel": CHANNEL},
    "channel_rename": _RENAMED, "group_rename": _RENAMED,
    "channel_archive": _BY, "channel_unarchive": _BY, "group_archive": _BY, "group_unarchive": _BY,
    "channel_updated": {**_BY, "topic": str, "purpose": str},
    "channel_joined": _JOINED, "group_joined": _JOINED, "mpim_joined": _JOINED, "im_created": {"user": str, **_JOINED},
    "channel_left": _CHANNEL_ID, "group_left": _CHANNEL_ID,
    "channel_marked": _MARKED, "group_marked": _MARKED, "im_marked": _MARKED, "mpim_marked": _MARKED,
    "im_open": _BY, "im_close": _BY, "mpim_open": _BY, "mpim_close": _BY,
    "team_join": {"user": USER}, "user_change": {"user": USER, "cache_ts": int},
    "presence_change": {"user": str, "presence": ("active", "away")},
    "manual_presence_change": {"presence": ("active", "away")},
    "dnd_updated_user": {"user": str, "dnd_status": dict},
    "pref_change": {"name": str, "value": object}, "team_pref_change": {"name": str, "value": object},
    "emoji_changed": {"subtype": ("add", "remove"), "name?": str, "value?": str, "names?": [str]},
    "subteam_created": {"subteam": dict}, "subteam_updated": {"subteam": dict},
    "subteam_members_changed": {
        "subteam_id": str, "team_id": str, "date_previous_update": int, "date_update": int, "updated_by": str,
        "added_users": [str], "added_users_count": int, "removed_users": [str], "removed_users_count": int,
    },
    "file_shared": {"file_id": str, "user_id": str, "file": {"id": str}, "channel_id": str},
    "file_deleted": {"file_id": str, "user_id": str, "channel_ids": [str]},
    "star_added": _STAR, "star_removed": _STAR,
    "bookmark_added": _BOOKMARK, "bookmark_edited": _BOOKMARK,
    "bookmark_removed": _BOOKMARK,
    "thread_subscribed": _THREAD_STANDING, "thread_unsubscribed": _THREAD_STANDING, "thread_marked": _THREAD_STANDING,
    "channel_notifications_changed": {"channel": str, "is_muted": bool, "notification_level": str},
    "channel_unread_from": {"channel": str, "ts": str},
}  # fmt: skip
_EVERY: Schema = {"event_ts": TS, "stream?": str, "seq?": int, "epoch?": str}


def kind_of(frame: Json) -> str:
    """The name of a frame's schema."""
    hidden = frame.get("subtype") in ("message_changed", "message_deleted")
    return f"{frame['type']}/{frame['subtype']}" if hidden else str(frame["type"])


def check(frame: Json) -> str:
    """Fail unless an event is what its schema says; answers which one that is."""
    kind = kind_of(frame)
    assert kind in SCHEMAS, frame
    _check(frame, {"type": str, **_EVERY, **SCHEMAS[kind]}, kind)
    assert ("stream" in frame) == ("seq" in frame) == ("epoch" in frame)
    return kind


def _check(value: object, schema: Any, at: str) -> None:
    if isinstance(schema, dict):
        assert isinstance(value, dict), at
        names = {name.rstrip("?") for name in schema}
        assert set(value) <= names, f"{at}: nobody knows {set(value) - names}"
        for name, inner in schema.items():
            if name.rstrip("?") in value:
                _check(value[name.rstrip("?")], inner, f"{at}.{name}")
            else:
                assert name.endswith("?"), f"{at}.{name} is missing"
    elif isinstance(schema, list):
        assert isinstance(value, list), at
        for each in value:
            _check(each, schema[0], at)
    elif isinstance(schema, tuple):
        assert value in schema, (at, value)
    elif isinstance(schema, re.Pattern):
        assert isinstance(value, str), at
        assert schema.fullmatch(value), (at, value)
    elif schema is int:
        assert type(value) is int, at
    else:
        assert isinstance(value, schema), (at, value)
