"""What can happen in a chat. Each is stored in a log before anybody is told.

An event is a change of what a client shows: who applies every event of a log to an old state has the new one. It is
kept in the log in this form, and each surface says it in its own words.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from roost.storage.items import BookmarkRow, ChannelRow, EventRow, FollowRow, GroupRow, MessageRow, UserRow


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type"):
    """What every event is."""


class MessagePosted(Event, frozen=True, tag="message"):
    """Somebody said something; a reply and what the chat itself notes (a join, a topic) as well."""

    message: MessageRow


class MessageChanged(Event, frozen=True, tag="message_changed"):
    """A message was edited, or something else of it changed that is shown."""

    target: str  #: ts
    message: MessageRow
    by: str
    before: str = ""  #: the text as it was


class MessageDeleted(Event, frozen=True, tag="message_deleted"):
    """A message is no longer there."""

    target: str  #: ts
    by: str
    thread: str = ""


class ReactionAdded(Event, frozen=True, tag="reaction_added"):
    """Somebody reacted."""

    target: str  #: ts
    user: str
    emoji: str
    author: str
    thread: str = ""


class ReactionRemoved(Event, frozen=True, tag="reaction_removed"):
    """Somebody took a reaction back."""

    target: str  #: ts
    user: str
    emoji: str
    author: str
    thread: str = ""


class PinAdded(Event, frozen=True, tag="pin_added"):
    """A message was pinned."""

    target: str  #: ts
    user: str
    at: int


class PinRemoved(Event, frozen=True, tag="pin_removed"):
    """A message is no longer pinned."""

    target: str  #: ts
    user: str


class FileShared(Event, frozen=True, tag="file_shared"):
    """A message that was just posted carries a file."""

    file: str
    user: str
    target: str = ""  #: ts


class FileDeleted(Event, frozen=True, tag="file_deleted"):
    """A file that a message carried is no longer there."""

    file: str
    user: str


class BookmarkChanged(Event, frozen=True, tag="bookmark_changed"):
    """A conversation keeps another link at hand. `what` says how: added, edited, removed."""

    what: str
    by: str
    bookmark: BookmarkRow


class MemberJoined(Event, frozen=True, tag="member_joined"):
    """Somebody belongs to the conversation now."""

    user: str
    inviter: str = ""


class MemberLeft(Event, frozen=True, tag="member_left"):
    """Somebody no longer belongs to the conversation."""

    user: str
    by: str = ""


class ChannelChanged(Event, frozen=True, tag="channel_changed"):
    """A channel has another name, or was archived or brought back. `what` says which: rename, archive, unarchive."""

    what: str
    by: str
    channel: ChannelRow


# -- of the workspace's own log ----------------------------------------------------------------------------------------


class ChannelCreated(Event, frozen=True, tag="channel_created"):
    """There is a new public channel."""

    channel: ChannelRow


class EmojiChanged(Event, frozen=True, tag="emoji_changed"):
    """There is a new emoji of the workspace's own, or one is gone (then it has neither picture nor alias)."""

    name: str
    by: str
    picture: str = ""
    alias: str = ""


class UserJoined(Event, frozen=True, tag="user_joined"):
    """There is a new member."""

    user: UserRow


class UserChanged(Event, frozen=True, tag="user_changed"):
    """A member's profile, status or standing changed."""

    user: UserRow


class DndChanged(Event, frozen=True, tag="dnd_changed"):
    """A member wants quiet, or no longer."""

    user: str
    until: int  #: seconds; 0: no longer


class GroupCreated(Event, frozen=True, tag="group_created"):
    """There is a new user group."""

    group: GroupRow


class GroupChanged(Event, frozen=True, tag="group_changed"):
    """A user group is called otherwise, is for something else, or was disabled or enabled."""

    group: GroupRow


class GroupMembersChanged(Event, frozen=True, tag="group_members_changed"):
    """Other people are in a user group."""

    group: str
    added: list[str]
    removed: list[str]
    before: int  #: when it had changed last
    at: int
    by: str


class TeamPrefChanged(Event, frozen=True, tag="team_pref_changed"):
    """The workspace is set to something else."""

    name: str
    value: str  #: JSON


# -- of one person, in no log ------------------------------------------------------------------------------------------


class PresenceChanged(Event, frozen=True, tag="presence_changed"):
    """One says by hand that one is away, or no longer."""

    user: str
    active: bool


class PresenceSeen(Event, frozen=True, tag="presence_seen"):
    """Somebody whom one looks at came or went, or says by hand that they are away, or no longer."""

    user: str
    active: bool


class PrefChanged(Event, frozen=True, tag="pref_changed"):
    """Something that somebody's clients keep for them is another."""

    name: str
    value: str  #: JSON


class ConversationJoined(Event, frozen=True, tag="conversation_joined"):
    """Somebody belongs to a conversation now, a new direct one among them."""

    user: str
    channel: ChannelRow
    head: int  #: where its log ends now: what is loaded from here on has all of it up to there


class ConversationLeft(Event, frozen=True, tag="conversation_left"):
    """Somebody no longer belongs to a conversation, of whose log they hear nothing more."""

    user: str
    channel: ChannelRow


class ConversationMarked(Event, frozen=True, tag="conversation_marked"):
    """Somebody has read up to a ts."""

    user: str
    channel: ChannelRow
    at: str  #: ts
    unread: int


class DirectOpened(Event, frozen=True, tag="direct_opened"):
    """A direct conversation is back in somebody's list."""

    user: str
    channel: ChannelRow


class DirectClosed(Event, frozen=True, tag="direct_closed"):
    """A direct conversation is no longer in somebody's list."""

    user: str
    channel: ChannelRow


class StarChanged(Event, frozen=True, tag="star_changed"):
    """Somebody keeps a message or a file for later, or does so no longer."""

    user: str
    added: bool
    channel: str = ""
    target: str = ""  #: ts
    file: str = ""


class ThreadFollowed(Event, frozen=True, tag="thread_followed"):
    """How somebody stands to a thread has changed. `what` says how: subscribed, unsubscribed, marked."""

    user: str
    what: str
    follow: FollowRow


class NotificationsChanged(Event, frozen=True, tag="notifications_changed"):
    """Somebody wants to hear more or less of a conversation."""

    user: str
    channel: str
    muted: bool
    level: str


class UnreadFromMarked(Event, frozen=True, tag="unread_from_marked"):
    """Somebody wants a conversation to show as unread from a message on; with no `at` no longer."""

    user: str
    channel: str
    at: str = ""  #: ts


AnyEvent = (
    MessagePosted
    | MessageChanged
    | MessageDeleted
    | ReactionAdded
    | ReactionRemoved
    | PinAdded
    | PinRemoved
    | FileShared
    | FileDeleted
    | BookmarkChanged
    | MemberJoined
    | MemberLeft
    | ChannelChanged
    | ChannelCreated
    | EmojiChanged
    | UserJoined
    | ConversationJoined
    | ConversationLeft
    | ConversationMarked
    | DirectOpened
    | DirectClosed
    | UserChanged
    | DndChanged
    | GroupCreated
    | GroupChanged
    | GroupMembersChanged
    | TeamPrefChanged
    | PresenceChanged
    | PresenceSeen
    | PrefChanged
    | StarChanged
    | ThreadFollowed
    | NotificationsChanged
    | UnreadFromMarked
)

_decoder: Any = AnyEvent


@dataclass(frozen=True, slots=True)
class Recorded:
    """An event at its place."""

    stream: str  #: whose log: a channel's id, or the team's
    seq: int
    ts: str
    event: AnyEvent


_LEAN = 500  # characters of a message that its event in the log holds too; more stands in the message's own item alone


def to_row(event: AnyEvent, ts: str) -> EventRow:
    """An event as the log keeps it: of a long message only that there is one, so that a kilobyte is written once."""
    lean = isinstance(event, MessagePosted) and _size(event.message) > _LEAN
    body: dict[str, Any] = msgspec.to_builtins(event)
    if lean:
        for name in _LONG:
            if body["message"].get(name):
                body["message"][name] = ""
    return EventRow(type=body.pop("type"), ts=ts, e=body, lean=lean)


_LONG = ("text", "blocks", "attachments", "metadata")


def _size(row: MessageRow) -> int:
    return len(row.text) + len(row.blocks) + len(row.attachments) + len(row.metadata)


def from_row(stream: str, seq: int, row: EventRow, whole: Callable[[str], MessageRow | None]) -> Recorded:
    """An event out of the log. `whole` finds a message by its ts, where the log has only that there is one; it is told
    as it stands now, which what follows in the log leads to anyway."""
    event = msgspec.convert({"type": row.type, **row.e}, _decoder)
    if row.lean:
        event = msgspec.structs.replace(event, message=whole(row.ts) or event.message)
    return Recorded(stream, seq, row.ts, event)
