"""Our rows as Slack's JSON, in one place. What is not there is left out, never null: Bolt fails on null."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from roost.chat import zones
from roost.chat.events import (
    AnyEvent,
    BookmarkChanged,
    ChannelChanged,
    ChannelCreated,
    ConversationJoined,
    ConversationLeft,
    ConversationMarked,
    DirectClosed,
    DirectOpened,
    DndChanged,
    EmojiChanged,
    FileDeleted,
    FileShared,
    GroupChanged,
    GroupCreated,
    GroupMembersChanged,
    MemberJoined,
    MemberLeft,
    MessageChanged,
    MessageDeleted,
    MessagePosted,
    NotificationsChanged,
    PinAdded,
    PinRemoved,
    PrefChanged,
    PresenceChanged,
    PresenceSeen,
    ReactionAdded,
    ReactionRemoved,
    Recorded,
    StarChanged,
    TeamPrefChanged,
    ThreadFollowed,
    UnreadFromMarked,
    UserChanged,
    UserJoined,
)
from roost.chat.model import Channel, Message, Ts, channel_of
from roost.slack import attached, personal
from roost.storage.items import BookmarkRow, ChannelRow, EmojiRow, GroupRow, MembershipRow, MessageRow, UserRow

Json = dict[str, Any]

_COLOURS = ("9f69e7", "4bbe2e", "e7392d", "3c989f", "674b1b", "e96699", "e0a729", "684b6c", "5b89d5", "2b6836")

PHOTO = "photo"  #: the part of a profile that holds the key of somebody's picture
_PHOTO_SIZES = ("24", "32", "48", "72", "192", "512", "original")  # one picture for all: clients scale it


# -- people ------------------------------------------------------------------------------------------------------------


def user(row: UserRow, team: str, *, email: bool = False, url: str = "/", now: int = 0) -> Json:
    """A member, in seconds `now`: a zone's distance from UTC is another in summer."""
    role = row.role
    return {
        "id": row.id,
        "team_id": team,
        "name": row.name,
        "deleted": row.deactivated,
        "color": _COLOURS[int(hashlib.sha256(row.id.encode()).hexdigest(), 16) % len(_COLOURS)],
        "real_name": row.real_name or row.name,
        "tz": row.tz or zones.UTC,
        "tz_label": row.tz or zones.UTC,
        "tz_offset": zones.offset(row.tz or zones.UTC, now),
        "profile": profile(row, team, email=email, url=url),
        "is_admin": role in ("owner", "admin"),
        "is_owner": role == "owner",
        "is_primary_owner": role == "owner",
        "is_restricted": role == "restricted",
        "is_ultra_restricted": False,
        "is_bot": role == "bot",
        "is_app_user": False,
        "is_email_confirmed": True,
        "updated": row.updated,
        "who_can_share_contact_card": "EVERYONE",
    }


def profile(row: UserRow, team: str, *, email: bool = False, url: str = "/") -> Json:
    """A member's profile."""
    kept, name = row.profile, row.real_name or row.name
    shown: Json = {
        "real_name": name,
        "real_name_normalized": name,
        "display_name": kept.get("display_name", row.name),
        "display_name_normalized": kept.get("display_name", row.name),
        "first_name": kept.get("first_name", name.partition(" ")[0]),
        "last_name": kept.get("last_name", name.partition(" ")[2]),
        "title": kept.get("title", ""),
        "phone": kept.get("phone", ""),
        "pronouns": kept.get("pronouns", ""),
        "status_text": kept.get("status_text", ""),
        "status_emoji": kept.get("status_emoji", ""),
        "status_expiration": int(kept.get("status_expiration", "0")),
        "avatar_hash": kept.get("avatar_hash", ""),
        "team": team,
        "fields": {},
    }
    photo = kept.get(PHOTO)
    if photo:
        shown |= {f"image_{size}": f"{url}pictures/{photo}" for size in _PHOTO_SIZES}
        shown |= {"avatar_hash": photo[-12:], "is_custom_image": True}
    if email and row.email:
        shown["email"] = row.email
    if row.bot:
        shown |= {"bot_id": row.bot, "api_app_id": row.app, "always_active": True}
    return shown


def dnd(until: int) -> Json:
    """When somebody wants quiet, as others see it. Slack says 1 where there is no such time."""
    return {"dnd_enabled": bool(until), "next_dnd_start_ts": 1, "next_dnd_end_ts": until or 1}


def group(row: GroupRow, team: str) -> Json:
    """A user group."""
    return {
        "id": row.id,
        "team_id": team,
        "is_usergroup": True,
        "is_subteam": True,
        "name": row.name,
        "handle": row.handle,
        "description": row.description,
        "is_external": False,
        "date_create": row.created,
        "date_update": row.updated,
        "date_delete": row.disabled,
        "created_by": row.creator,
        "updated_by": row.updated_by,
        "prefs": {"channels": row.channels, "groups": []},
        "users": row.users,
        "user_count": len(row.users),
    }


# -- conversations -----------------------------------------------------------------------------------------------------


def channel(row: ChannelRow, team: str, general: str, viewer: str, membership: MembershipRow | None) -> Json:
    """A conversation, as somebody sees it."""
    shown: Json = {
        "id": row.id,
        "created": row.created,
        "creator": row.creator,
        "is_channel": row.kind == "channel",
        "is_group": False,
        "is_im": row.kind == "im",
        "is_mpim": row.kind == "mpim",
        "is_private": row.private,
        "is_archived": row.archived,
        "is_general": row.id == general,
        "is_member": membership is not None,
        "is_shared": False,
        "is_ext_shared": False,
        "is_org_shared": False,
        "unlinked": 0,
        "updated": row.created * 1000,
        "context_team_id": team,
    }
    if row.kind == "im":
        others = [each for each in row.users if each != viewer]
        shown |= {"user": others[0] if others else viewer, "is_open": membership is not None and not membership.closed}
    else:
        shown |= {
            "name": row.name,
            "name_normalized": row.name,
            "topic": {"value": row.topic, "creator": row.topic_by, "last_set": row.topic_at},
            "purpose": {"value": row.purpose, "creator": row.purpose_by, "last_set": row.purpose_at},
            "previous_names": row.previous_names,
        }
    if membership is not None:
        shown["last_read"] = membership.last_read or "0000000000.000000"
        shown |= {"is_muted": membership.muted, "notification_level": membership.level or "default"}
        if membership.unread_from:
            shown["unread_from"] = membership.unread_from
    return shown


def channel_type(channel: Channel) -> str:
    """`channel`, `group`, `im` or `mpim`, as events have it."""
    if channel.kind != "channel":
        return channel.kind
    return "group" if channel.private else "channel"


# -- messages ----------------------------------------------------------------------------------------------------------

_MAX_BOTH = 30 * 1024  # bytes of a message as it is and as it was

_TOMBSTONE = "This message was deleted."


def message(found: Message, team: str, viewer: str = "", *, metadata: bool = False, url: str = "/") -> Json:
    """A message, as it stands in history."""
    ts, row = found.ts, found.row
    shown: Json = {"type": "message", "ts": ts, "user": row.user, "text": row.text, "team": team}
    if row.deleted:
        shown |= {"subtype": "tombstone", "text": _TOMBSTONE, "user": "USLACKBOT", "hidden": True}
    elif row.subtype or row.broadcast:
        shown["subtype"] = row.subtype or "thread_broadcast"
    if row.bot:
        shown |= {"bot_id": row.bot, "app_id": row.app}
        shown["bot_profile"] = {
            "id": row.bot, "app_id": row.app, "name": row.name, "icons": {}, "deleted": False,
            "updated": 0, "team_id": team,
        }  # fmt: skip
    for name in ("blocks", "attachments"):
        text = getattr(row, name)
        if text:
            shown[name] = msgspec.json.decode(text)
    if row.files:
        shown |= {"files": [attached.shape(each, team, url) for each in row.files], "upload": True}
    if row.metadata and metadata:
        shown["metadata"] = msgspec.json.decode(row.metadata)
    for name in ("username", "client_msg_id", "parent_user_id"):
        value = row.parent_user if name == "parent_user_id" else getattr(row, name)
        if value:
            shown[name] = value
    if row.icon:
        shown["icons"] = {"emoji": row.icon} if row.icon.startswith(":") else {"image_48": row.icon}
    if row.guest:
        shown |= {"username": row.name, "is_guest": True}
    if row.edited_ts:
        shown["edited"] = {"user": row.edited_by, "ts": row.edited_ts}
    return shown | _thread(ts, row) | _reactions(row, viewer) | _pin(found) | row.extra


def _thread(ts: str, row: MessageRow) -> Json:
    if row.thread:
        return {"thread_ts": row.thread}
    if not row.replies:
        return {}
    return {
        "thread_ts": ts,
        "reply_count": row.replies,
        "reply_users": row.reply_users,
        "reply_users_count": len(row.reply_users),
        "latest_reply": row.latest_reply,
        "is_locked": False,
        "subscribed": False,
    }


def _reactions(row: MessageRow, viewer: str) -> Json:
    if not row.reactions:
        return {}
    kinds = ({"name": name, "count": each.n, "users": each.users} for name, each in row.reactions.items())
    return {"reactions": list(kinds)}


def _pin(found: Message) -> Json:
    row = found.row
    if not row.pinned_by:
        return {}
    return {
        "pinned_to": [found.channel],
        "pinned_info": {"channel": found.channel, "pinned_by": row.pinned_by, "pinned_ts": row.pinned_at},
    }


# -- what is kept at hand ----------------------------------------------------------------------------------------------


def bookmark(row: BookmarkRow, channel: str) -> Json:
    """A bookmark of a conversation."""
    return {
        "id": row.id,
        "channel_id": channel,
        "title": row.title,
        "link": row.link,
        "emoji": row.emoji,
        "icon_url": "",
        "type": "link",
        "entity_id": "",
        "date_created": row.created,
        "date_updated": row.updated,
        "rank": row.id,
        "last_updated_by_user_id": row.by,
        "last_updated_by_team_id": "",
        "shortcut_id": "",
        "app_id": "",
    }


def emoji(row: EmojiRow | EmojiChanged, url: str) -> str:
    """Where an emoji's picture is, or which emoji it is another name of."""
    return f"alias:{row.alias}" if row.alias else f"{url}pictures/{row.picture}"


# -- events ------------------------------------------------------------------------------------------------------------


def event(channel: Channel | None, recorded: Recorded, team: str, general: str, url: str = "/") -> Json:
    """An event as event streams, the Events API and Socket Mode say it; `channel` is None for the workspace's own."""
    happened = recorded.event
    base = {"event_ts": recorded.ts}
    if channel is None:
        return base | _of_workspace(happened, team, general, recorded, url)
    place = {"channel": channel.id, "channel_type": channel_type(channel)}
    return base | _of_channel(channel, place, happened, recorded.ts, team, url)


def _of_channel(channel_: Channel, place: Json, happened: AnyEvent, ts: str, team: str, url: str) -> Json:
    match happened:
        case MessagePosted():
            return message(Message(channel_.id, Ts(ts), happened.message), team, metadata=True, url=url) | place
        case MessageChanged():
            changed = Message(channel_.id, Ts(happened.target), happened.message)
            new = message(changed, team, metadata=True, url=url)
            hidden = {"type": "message", "subtype": "message_changed", "hidden": True, "ts": ts, "message": new}
            return hidden | _previous(new, happened.before) | place
        case MessageDeleted():
            deleted = {"type": "message", "subtype": "message_deleted", "hidden": True, "ts": ts}
            thread = {"thread_ts": happened.thread} if happened.thread else {}
            gone = {"type": "message", "ts": happened.target, **thread}
            return deleted | {"deleted_ts": happened.target, "previous_message": gone} | place
        case ReactionAdded() | ReactionRemoved():
            kind = "reaction_added" if isinstance(happened, ReactionAdded) else "reaction_removed"
            item: Json = {"type": "message", "channel": channel_.id, "ts": happened.target}
            if happened.thread:
                item["thread_ts"] = happened.thread
            who = {"user": happened.user, "reaction": happened.emoji, "item_user": happened.author}
            return {"type": kind, "item": item, **who}
        case PinAdded() | PinRemoved():
            kind = "pin_added" if isinstance(happened, PinAdded) else "pin_removed"
            item = {"type": "message", "channel": channel_.id, "message": {"ts": happened.target}}
            at: Json = {"created": happened.at, "created_by": happened.user} if isinstance(happened, PinAdded) else {}
            return {"type": kind, "user": happened.user, "channel_id": channel_.id, "item": item | at}
        case FileShared() | FileDeleted():
            kind = "file_shared" if isinstance(happened, FileShared) else "file_deleted"
            about: Json = {"type": kind, "file_id": happened.file, "user_id": happened.user}
            if isinstance(happened, FileShared):
                return about | {"file": {"id": happened.file}, "channel_id": channel_.id}
            return about | {"channel_ids": [channel_.id]}
        case BookmarkChanged():
            kind = f"bookmark_{happened.what}"
            return {"type": kind, "user": happened.by, "bookmark": bookmark(happened.bookmark, channel_.id)} | place
        case MemberJoined():
            more = {"inviter": happened.inviter} if happened.inviter else {}
            return {"type": "member_joined_channel", "user": happened.user, "team": team, **_letter(place), **more}
        case MemberLeft():
            return {"type": "member_left_channel", "user": happened.user, "team": team, **_letter(place)}
        case ChannelChanged():
            return _channel_changed(happened, channel_)
    raise AssertionError(f"an event of the workspace in a channel's log: {happened}")


def _previous(new: Json, before: str) -> Json:
    """The message as it was, where there is room for both: a frame over 32 KB is split, which few clients can read."""
    previous = {**new, "text": before}
    fits = len(msgspec.json.encode((new, previous))) < _MAX_BOTH
    return {"previous_message": previous} if before and fits else {}


def _letter(place: Json) -> Json:
    return {"channel": place["channel"], "channel_type": "C" if place["channel_type"] == "channel" else "G"}


def _channel_changed(happened: ChannelChanged, channel_: Channel) -> Json:
    prefix, row = "group" if channel_.private else "channel", happened.channel
    if happened.what == "rename":
        named = {"id": row.id, "name": row.name, "name_normalized": row.name, "created": row.created}
        return {"type": f"{prefix}_rename", "channel": named}
    if happened.what in ("archive", "unarchive"):
        return {"type": f"{prefix}_{happened.what}", "channel": row.id, "user": happened.by}
    topic = {"topic": row.topic, "purpose": row.purpose}
    return {"type": "channel_updated", "channel": row.id, "user": happened.by, **topic}


def _members_changed(happened: GroupMembersChanged, team: str) -> Json:
    return {
        "type": "subteam_members_changed",
        "subteam_id": happened.group,
        "team_id": team,
        "date_previous_update": happened.before,
        "date_update": happened.at,
        "updated_by": happened.by,
        "added_users": happened.added,
        "added_users_count": len(happened.added),
        "removed_users": happened.removed,
        "removed_users_count": len(happened.removed),
    }


def _of_workspace(happened: AnyEvent, team: str, general: str, recorded: Recorded, url: str) -> Json:
    at = int(recorded.ts.partition(".")[0])
    match happened:
        case ChannelCreated():
            return {"type": "channel_created", "channel": channel(happened.channel, team, general, "", None)}
        case EmojiChanged():
            if happened.picture or happened.alias:
                value = emoji(happened, url)
                return {"type": "emoji_changed", "subtype": "add", "name": happened.name, "value": value}
            return {"type": "emoji_changed", "subtype": "remove", "names": [happened.name]}
        case UserJoined():
            return {"type": "team_join", "user": user(happened.user, team, url=url, now=at)}
        case UserChanged():
            return {"type": "user_change", "user": user(happened.user, team, url=url, now=at), "cache_ts": at}
        case DndChanged():
            return {"type": "dnd_updated_user", "user": happened.user, "dnd_status": dnd(happened.until)}
        case GroupCreated() | GroupChanged():
            kind = "subteam_created" if isinstance(happened, GroupCreated) else "subteam_updated"
            return {"type": kind, "subteam": group(happened.group, team)}
        case GroupMembersChanged():
            return _members_changed(happened, team)
        case PresenceChanged():
            return {"type": "manual_presence_change", "presence": "active" if happened.active else "away"}
        case StarChanged() | ThreadFollowed() | NotificationsChanged() | UnreadFromMarked():
            return personal.event(happened)
        case PresenceSeen():
            presence = "active" if happened.active else "away"
            return {"type": "presence_change", "user": happened.user, "presence": presence}
        case TeamPrefChanged() | PrefChanged():
            kind = "team_pref_change" if isinstance(happened, TeamPrefChanged) else "pref_change"
            return {"type": kind, "name": happened.name, "value": msgspec.json.decode(happened.value)}
        case ConversationJoined() | ConversationLeft() | ConversationMarked() | DirectOpened() | DirectClosed():
            return _personal(happened, team, general)
    raise AssertionError(f"an event of a channel in the workspace's log: {happened}")


_Personal = ConversationJoined | ConversationLeft | ConversationMarked | DirectOpened | DirectClosed


def _personal(happened: _Personal, team: str, general: str) -> Json:
    """What one person's own clients are told of a conversation: by the id alone, or all of it where it is new."""
    row, viewer = happened.channel, happened.user
    prefix = channel_type(channel_of(row))
    match happened:
        case ConversationJoined():
            whole = channel(row, team, general, viewer, MembershipRow(user=viewer, since=0))
            other: Json = {"user": whole["user"]} if row.kind == "im" else {}
            return {
                "type": "im_created" if row.kind == "im" else f"{prefix}_joined",
                **other,
                "channel": whole,
                "head": happened.head,
            }
        case ConversationLeft():
            return {"type": f"{prefix}_left", "channel": row.id}
        case ConversationMarked():
            count = {"unread_count": happened.unread, "unread_count_display": happened.unread}
            return {"type": f"{prefix}_marked", "channel": row.id, "ts": happened.at, **count}
        case DirectOpened() | DirectClosed():
            return {
                "type": f"{prefix}_{'open' if isinstance(happened, DirectOpened) else 'close'}",
                "channel": row.id,
                "user": next((each for each in row.users if each != viewer), viewer),
            }
