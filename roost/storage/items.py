"""Each item the table holds: its key, its fields, its life. The only place that spells keys.

Every prefix is typed, and nothing that a person wrote is ever a key by itself, so no name can meet a system row.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec

from roost.storage.table import Item, Key

SOCKET_LIFE = 2 * 3600 + 600  # seconds: API Gateway ends a connection after two hours
JOB_LIFE = 86400  # seconds that a job which was done is remembered, so that nobody queues it again
LOG_LIFE = 30 * 86400  # seconds that an event can be resumed from
SHARE_LIFE = 86400  # seconds that a delivered share is remembered; Lambda gives an event up after six hours
IDEMPOTENCY_LIFE = 86400  # seconds that a client id is remembered
MENTION_LIFE = 90 * 86400  # seconds that a mention stays among those of whom it names
TICKET_LIFE = 30  # seconds

R = TypeVar("R", bound=msgspec.Struct)


class Row(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What every item type is: frozen, typed, absent where it is the default."""


class WorkspaceRow(Row, frozen=True):
    """The deployment's one workspace."""

    team: str
    general: str  #: channel id of #general
    epoch: str  #: changes only when a log was lost or restored
    name: str = "Roost"
    schema: int = 1


class ChannelRow(Row, frozen=True):
    """A conversation of any kind. `rev` counts its changes; conditions compare it, so it has no default."""

    id: str
    name: str
    created: int
    rev: int
    creator: str = ""
    private: bool = False
    kind: str = "channel"  #: channel, im, mpim
    archived: bool = False
    topic: str = ""
    topic_by: str = ""
    topic_at: int = 0
    purpose: str = ""
    purpose_by: str = ""
    purpose_at: int = 0
    users: list[str] = []  #: of a direct conversation, sorted
    previous_names: list[str] = []


class ChannelNameRow(Row, frozen=True):
    """Makes channel names unique."""

    channel: str


class DirectRow(Row, frozen=True):
    """Which direct conversation a set of people has."""

    channel: str


class HeadRow(Row, frozen=True):
    """Where a log ends. `seq` counts events, `mc` messages that unread counts see, `ts` is in microseconds.

    No defaults: the append's condition compares attributes, and one that is absent equals nothing.
    """

    seq: int
    mc: int
    ts: int


EMPTY_HEAD = HeadRow(seq=0, mc=0, ts=0)


class AttachedFile(Row, frozen=True):
    """What is known of a file, as its messages show it. A file that was deleted keeps its id alone."""

    id: str
    user: str = ""
    name: str = ""
    title: str = ""
    mimetype: str = ""
    size: int = 0
    created: int = 0
    width: int = 0  #: of a picture
    height: int = 0
    thumb: bool = False  #: a small picture of it lies beside it
    alt: str = ""
    snippet: str = ""
    public: bool = False  #: anybody in the workspace may have it
    deleted: bool = False


class FileRow(AttachedFile, frozen=True, kw_only=True):
    """A file. Its bytes are among the Blobs, under its id."""

    rev: int
    complete: bool = False  #: its bytes are there and its owner has said so
    upload: str = ""  #: SHA-256 of what lets somebody upload it
    upload_until: int = 0  #: seconds
    link: str = ""  #: what lets anybody have it who was given the link


class FollowRow(Row, frozen=True):
    """That somebody follows a thread, or does so no longer, and how far they have read it."""

    channel: str
    thread: str
    since: int
    last_read: str = ""
    ended: bool = False


class MentionRow(Row, frozen=True):
    """That a message names somebody."""

    channel: str
    ts: str
    by: str


class BookmarkRow(Row, frozen=True):
    """A link that a conversation keeps at hand."""

    id: str
    title: str
    link: str
    created: int
    by: str
    emoji: str = ""
    updated: int = 0


class StarRow(Row, frozen=True):
    """A message or a file that somebody keeps for later."""

    at: int
    channel: str = ""
    ts: str = ""
    file: str = ""


class EmojiRow(Row, frozen=True):
    """An emoji of the workspace's own: a picture, or another name of one."""

    by: str
    at: int
    picture: str = ""  #: its key among the Blobs
    alias: str = ""


class FileShareRow(Row, frozen=True):
    """That a message carries a file: whoever may read the one may have the other."""

    channel: str
    ts: str
    thread: str = ""


class MessageRow(Row, frozen=True):
    """A message, or what is left of one. What a program composed (blocks, attachments, …) is kept as JSON text, since
    no engine keeps a fraction."""

    seq: int
    n: int  #: counts the channel's messages without a hole; 0 for a reply that shows in its thread alone
    user: str
    name: str
    text: str
    rev: int  #: counts changes
    guest: bool = False
    client_msg_id: str = ""
    subtype: str = ""
    thread: str = ""  #: ts of the thread's root, in a reply
    parent_user: str = ""
    broadcast: bool = False  #: a reply that shows in the channel too
    blocks: str = ""
    attachments: str = ""
    metadata: str = ""
    files: list[AttachedFile] = []
    bot: str = ""  #: `B…` of the app that posted it
    app: str = ""
    username: str = ""
    icon: str = ""
    edited_by: str = ""
    edited_ts: str = ""
    deleted: bool = False  #: nothing is shown of it, or, where it has replies, that it was here
    pinned_by: str = ""
    pinned_at: int = 0
    replies: int = 0
    reply_users: list[str] = []  #: the first few
    latest_reply: str = ""
    #: emoji → how many and the first of them
    reactions: dict[str, ReactionCount] = msgspec.field(default_factory=dict)
    extra: dict[str, str] = msgspec.field(default_factory=dict)  #: what a subtype brings: topic, inviter, old_name


class ReactionCount(Row, frozen=True):
    """How many people reacted with one emoji, and who was first."""

    n: int
    users: list[str] = []


class ReplyRow(Row, frozen=True):
    """In which thread a reply stands: what finds it by its ts alone."""

    thread: str


class ReactionRow(Row, frozen=True):
    """That somebody reacted."""

    at: int


class EventRow(Row, frozen=True):
    """An event of a log: what happened, in the words of `roost.chat.events`."""

    type: str
    ts: str
    e: dict[str, Any]
    lean: bool = False  #: what is long of the message stands in its own item alone


class IdempotencyRow(Row, frozen=True):
    """What became of a client id."""

    ts: str
    seq: int
    by: str  #: which attempt wrote it, so that one whose answer was lost knows its own


class MembershipRow(Row, frozen=True):
    """That somebody belongs to a conversation, and how far they have read."""

    user: str
    since: int  #: seconds
    last_read: str = ""  #: ts
    last_mc: int = 0  #: messages of the channel that were read
    mentions: int = 0  #: unread
    muted: bool = False
    level: str = ""  #: all, mentions, nothing; empty: the person's own default
    closed: bool = False  #: a direct conversation that they closed
    unread_from: str = ""  #: "mark unread from here": a mark of its own


class ShareRow(Row, frozen=True):
    """A share of a large audience, and who delivers it. No defaults, since conditions compare them."""

    until: int  #: milliseconds; the claim runs out
    done: bool


class SocketRow(Row, frozen=True):
    """A connection. Of a text one: who sits there, in which channel; of an event stream: whose, by which token."""

    user: str
    name: str
    channel: str
    channel_name: str
    since: int  #: milliseconds
    guest: bool = False
    kind: str = "text"
    token: str = ""  #: the token's digest


class TunedRow(Row, frozen=True):
    """That a text connection hears a channel."""

    user: str
    name: str
    since: int  #: milliseconds
    guest: bool = False
    kind: str = "text"


class WatchRow(Row, frozen=True):
    """That an event stream hears of a member's presence."""

    since: int  #: of the stream, in milliseconds


class WatchesRow(Row, frozen=True):
    """Of whose presence an event stream hears."""

    users: list[str]


class TicketRow(Row, frozen=True):
    """Lets one connection in, once, within half a minute."""

    user: str
    kind: str  #: stream, app
    token: str


class UserRow(Row, frozen=True):
    """A member: a person or an app's bot. `profile` holds what a profile may, by Slack's names."""

    id: str
    name: str
    created: int
    rev: int
    role: str = "member"  #: owner, admin, member, restricted, bot
    email: str = ""
    real_name: str = ""
    tz: str = ""
    deactivated: bool = False
    bot: str = ""  #: `B…`, of a bot
    app: str = ""
    updated: int = 0
    profile: dict[str, str] = msgspec.field(default_factory=dict)
    away: bool = False  #: set by hand
    dnd_until: int = 0  #: seconds


class UserNameRow(Row, frozen=True):
    """Makes members' names unique."""

    user: str


class EmailRow(Row, frozen=True):
    """Makes members' e-mail addresses unique."""

    user: str


class PasswordRow(Row, frozen=True):
    """A member's password, as argon2id's hash of it."""

    hash: str
    changed: int


class PrefsRow(Row, frozen=True):
    """What somebody's clients keep for them, or what the workspace is set to; values as JSON. `rev` as elsewhere."""

    rev: int
    prefs: dict[str, str] = msgspec.field(default_factory=dict)


class OwnerRow(Row, frozen=True):
    """That the workspace has had an owner: set-up links are good for nothing from then on."""

    user: str


class LinkRow(Row, frozen=True):
    """Which member an identity provider means."""

    user: str


class InviteRow(Row, frozen=True):
    """Lets people become members, or one member choose a new password. Only the SHA-256 of its code is kept."""

    id: str
    kind: str  #: invite, setup, password, session
    by: str
    created: int
    expires: int
    uses: int  #: that are left; a condition compares it, so it has no default
    role: str = "member"
    channels: list[str] = []
    email: str = ""  #: of the only one who may use it
    label: str = ""
    user: str = ""  #: whose password may be chosen, or whose session this begins


class CountRow(Row, frozen=True):
    """How often something was tried in a span of time."""

    n: int


class GroupRow(Row, frozen=True):
    """A user group: people who are mentioned together. `rev` as elsewhere."""

    id: str
    name: str
    handle: str
    created: int
    rev: int
    description: str = ""
    creator: str = ""
    channels: list[str] = []
    users: list[str] = []
    updated: int = 0
    updated_by: str = ""
    disabled: int = 0  #: since when


class GroupNameRow(Row, frozen=True):
    """Makes names and handles of user groups unique."""

    group: str


class TokenRow(Row, frozen=True):
    """A token's bearer; the token itself is nowhere, only its SHA-256 in the key."""

    user: str
    kind: str  #: user, bot, app, session
    created: int
    id: str = ""
    scopes: list[str] = []  #: empty: all that its bearer may
    expires: int = 0  #: seconds; 0: never
    revoked: bool = False
    label: str = ""
    app: str = ""


class JobRow(Row, frozen=True):
    """Something to be done later, or lately done. `due` is in milliseconds; while it runs, when it may be begun anew.

    `due` has no default: whoever changes the row says in a condition which `due` it saw.
    """

    id: str
    kind: str
    fields: dict[str, Any]
    due: int
    tries: int = 0  #: times that it was begun
    running: bool = False
    parked: bool = False  #: failed for good, until somebody says otherwise
    done: bool = False
    error: str = ""  #: why it failed last, for the admin


class PostingsRow(Row, frozen=True):
    """Messages of one channel that hold a term: the first ts in microseconds, then the step to each next one.

    `number` counts the full blocks before this one.
    """

    number: int
    first: int
    steps: list[int] = []


class IndexedRow(Row, frozen=True):
    """How far a channel's log was indexed."""

    seq: int


class ScheduledRow(Row, frozen=True):
    """A message that its author wants posted at a time, as they composed it."""

    id: str
    channel: str
    at: int  #: seconds
    created: int
    text: str
    thread: str = ""
    broadcast: bool = False
    blocks: str = ""
    attachments: str = ""
    metadata: str = ""
    username: str = ""
    icon: str = ""


class ReminderRow(Row, frozen=True):
    """What somebody wants to be reminded of."""

    id: str
    user: str
    text: str
    at: int  #: seconds
    completed: int = 0  #: seconds; 0: not yet


WORKSPACE = Key("T", "META")
OWNER = Key("T", "OWNER")
TEAM_PREFS = Key("T", "PREFS")
JOBS = "O#JOBS"  #: the partition of all jobs
PARKED_INDEX = "O#PARKED"  #: G1: parked jobs by id


def channel_key(channel: str) -> Key:
    """A channel's own item."""
    return Key(f"C#{channel}", "META")


def channel_name_key(team: str, name: str) -> Key:
    """The lock on a channel name."""
    return Key(f"CN#{team}#{name}", "META")


def head_key(stream: str) -> Key:
    """The end of a log: a channel's, or, by the team's id, the workspace's."""
    return Key(f"T#{stream}" if stream[0] == "T" else f"C#{stream}", "HEAD")


def membership_key(channel: str, user: str) -> Key:
    """That somebody belongs to a channel."""
    return Key(f"C#{channel}", f"M#{user}")


def watch_key(user: str, connection: str) -> Key:
    """That a connection hears of a member's presence."""
    return Key(f"PW#{user}", connection)


def watches_key(connection: str) -> Key:
    """Of whose presence a connection hears."""
    return Key(f"N#{connection}", "WATCHES")


def tuned_key(channel: str, connection: str) -> Key:
    """That a connection hears a channel."""
    return Key(f"C#{channel}", f"N#{connection}")


def socket_key(connection: str) -> Key:
    """A connection."""
    return Key(f"N#{connection}", "META")


def message_key(channel: str, ts: str) -> Key:
    """A message, in its month."""
    return Key(f"C#{channel}#{month_of(ts)}", ts)


def reply_key(channel: str, thread: str, ts: str) -> Key:
    """A reply, in its thread."""
    return Key(f"TH#{channel}#{thread}", ts)


def reply_place_key(channel: str, ts: str) -> Key:
    """In which thread a reply stands."""
    return Key(f"TH#{channel}", ts)


def reaction_key(channel: str, ts: str, emoji: str, user: str) -> Key:
    """That somebody reacted to a message."""
    return Key(f"R#{channel}#{ts}", f"{emoji}#{user}")


def pin_key(channel: str, ts: str) -> Key:
    """That a message is pinned."""
    return Key(f"C#{channel}", f"P#{ts}")


def direct_key(team: str, users: Sequence[str]) -> Key:
    """The direct conversation of these people, sorted."""
    return Key(f"DM#{team}#{','.join(users)}", "META")


def presence_key(user: str) -> Key:
    """The live event streams of a member."""
    return Key(f"P#{user}", "META")


def ticket_key(digest: str) -> Key:
    """A ticket, by the SHA-256 of it."""
    return Key(f"TK#{digest}", "META")


def log_key(stream: str, ts: str, seq: int) -> Key:
    """An event of a log, in its month. A log is a channel's, or the workspace's."""
    return Key(f"L#{stream}#{month_of(ts)}", f"{seq:012}")


def idempotency_key(user: str, client_msg_id: str, channel: str) -> Key:
    """A client id that somebody used in a channel."""
    return Key(f"I#{user}#{client_msg_id}", f"C#{channel}")


def line_key(message_id: str) -> Key:
    """A text line that was said: by API Gateway's id of it, whoever said it and wherever they have gone since."""
    return Key(f"I#LINE#{message_id}", "META")


def share_key(name: str) -> Key:
    """A share of a large audience, by the name that it got when it was cut."""
    return Key(f"I#SHARE#{name}", "META")


def user_key(user: str) -> Key:
    """A member."""
    return Key(f"U#{user}", "META")


def user_name_key(team: str, folded: str) -> Key:
    """The lock on a member's name."""
    return Key(f"UN#{team}#{folded}", "META")


def email_key(team: str, folded: str) -> Key:
    """The lock on an e-mail address."""
    return Key(f"E#{team}#{folded}", "META")


def password_key(user: str) -> Key:
    """A member's password."""
    return Key(f"U#{user}", "PW")


def prefs_key(user: str) -> Key:
    """What a member's clients keep."""
    return Key(f"U#{user}", "PREFS")


def invite_key(digest: str) -> Key:
    """An invite, by the SHA-256 of its code."""
    return Key(f"IN#{digest}", "META")


def link_key(digest: str) -> Key:
    """Whom an identity provider means, by the SHA-256 of its name and what it calls them."""
    return Key(f"OI#{digest}", "META")


def count_key(what: str, whose: str, span: int) -> Key:
    """How often something was tried in a span of time; `whose` is a digest."""
    return Key(f"RL#{what}#{whose}#{span}", "META")


def group_key(team: str, group: str) -> Key:
    """A user group."""
    return Key(f"T#{team}", f"S#{group}")


def group_name_key(team: str, kind: str, folded: str) -> Key:
    """The lock on a user group's name or handle."""
    return Key(f"SN#{team}#{kind}#{folded}", "META")


def token_key(digest: str) -> Key:
    """A token, by the SHA-256 of it."""
    return Key(f"K#{digest}", "META")


def job_key(job: str) -> Key:
    """A job."""
    return Key(JOBS, job)


def follow_key(user: str, channel: str, thread: str) -> Key:
    """That somebody follows a thread."""
    return Key(f"U#{user}", f"TF#{channel}#{thread}")


def mention_key(user: str, ts: str, channel: str) -> Key:
    """That a message names somebody."""
    return Key(f"U#{user}", f"MN#{ts}#{channel}")


def bookmark_key(channel: str, bookmark: str) -> Key:
    """A bookmark of a conversation."""
    return Key(f"C#{channel}", f"B#{bookmark}")


def star_key(user: str, channel: str, ts: str) -> Key:
    """A message that somebody keeps."""
    return Key(f"U#{user}", f"ST#{channel}#{ts}")


def star_file_key(user: str, file: str) -> Key:
    """A file that somebody keeps."""
    return Key(f"U#{user}", f"ST#{file}")


def emoji_key(team: str, name: str) -> Key:
    """An emoji of the workspace's own."""
    return Key(f"EM#{team}", f"E#{name}")


def reactions_index(user: str) -> str:
    """G1: reactions of a person, by the time of their messages."""
    return f"U#{user}#REACTIONS"


def file_key(file: str) -> Key:
    """A file."""
    return Key(f"F#{file}", "META")


def file_share_key(file: str, channel: str, ts: str) -> Key:
    """That a message carries a file."""
    return Key(f"F#{file}", f"SH#{channel}#{ts}")


def files_index(owner: str) -> str:
    """G1: files of a person, or of a conversation, by time."""
    return f"U#{owner}#FILES" if owner[0] == "U" else f"C#{owner}#FILES"


def scheduled_key(user: str, at: int, scheduled: str) -> Key:
    """A message that somebody scheduled, among theirs by time."""
    return Key(f"U#{user}", f"Q#{at:012}#{scheduled}")


def reminder_key(user: str, reminder: str) -> Key:
    """A reminder of somebody's."""
    return Key(f"U#{user}", f"RM#{reminder}")


def user_token_key(user: str, token: str) -> Key:
    """A member's token, by its id."""
    return Key(f"U#{user}", f"K#{token}")


def postings_key(term: str, channel: str) -> Key:
    """The newest messages of a channel that hold a term: the block that grows."""
    return Key(f"S#{term}", channel)


def full_postings_key(term: str, channel: str, number: int) -> Key:
    """A full block of older messages of a channel that hold a term."""
    return Key(f"SB#{term}#{channel}", f"{number:08}")


def word_key(ending: str, word: str) -> Key:
    """A word, under one of its endings."""
    return Key(f"SW#{ending[0]}", f"{ending}#{word}")


def indexed_key(channel: str) -> Key:
    """How far a channel's log was indexed."""
    return Key(f"C#{channel}", "SEARCH")


def channels_index(team: str) -> str:
    """G1: public channels by name."""
    return f"T#{team}#CHANS"


def conversations_index(user: str) -> str:
    """G1: memberships of a person."""
    return f"U#{user}#CHANS"


def users_index(team: str) -> str:
    """G1: members by folded name."""
    return f"T#{team}#USERS"


def invites_index(team: str) -> str:
    """G1: invites by id."""
    return f"T#{team}#INVITES"


def to_item(key: Key, row: Row, *, x: int | None = None, g1: tuple[str, str] | None = None) -> Item:
    """A row as the table takes it."""
    item: dict[str, Any] = msgspec.to_builtins(row)
    item["PK"], item["SK"] = key
    if x is not None:
        item["x"] = x
    if g1 is not None:
        item["G1PK"], item["G1SK"] = g1
    return item


def from_item(item: Item, kind: type[R]) -> R:
    """A row out of the table. Fields that this version does not know are passed over."""
    return msgspec.convert(item, kind)


def month_of(ts: str) -> str:
    """The bucket of a ts: `202611`, UTC."""
    return _month(int(ts.partition(".")[0]) // 86400)


_months: dict[int, str] = {}


def _month(day: int) -> str:
    month = _months.get(day)
    if month is None:
        parts = time.gmtime(day * 86400)
        month = _months[day] = f"{parts.tm_year:04}{parts.tm_mon:02}"
    return month


def months_down(newest: str, oldest: str) -> list[str]:
    """The buckets from `newest` back to `oldest`, both included."""
    year, month = int(newest[:4]), int(newest[4:])
    months = []
    while (current := f"{year:04}{month:02}") >= oldest:
        months.append(current)
        year, month = (year, month - 1) if month > 1 else (year - 1, 12)
    return months


def format_ts(microseconds: int) -> str:
    """Microseconds as Slack writes them: `1718000000.123456`."""
    return f"{microseconds // 1_000_000}.{microseconds % 1_000_000:06}"
