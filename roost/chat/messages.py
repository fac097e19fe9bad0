"""Posting, editing, deleting, and what was said before."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from roost.chat import rights
from roost.chat.channels import Channels
from roost.chat.core import Core, Writes
from roost.chat.errors import (
    BadTimestamp,
    CannotReply,
    CantDeleteMessage,
    CantUpdateMessage,
    InvalidCharset,
    MessageNotFound,
    MessageTooLong,
    NotAuthorized,
    NoText,
    ThreadNotFound,
    UserNotInChannel,
)
from roost.chat.events import AnyEvent, DirectOpened, MessageChanged, MessageDeleted, MessagePosted, Recorded
from roost.chat.model import Channel, Composition, ConnectionId, Message, Person, Ts
from roost.chat.notices import Notices
from roost.storage import members, messages
from roost.storage.items import (
    MessageRow,
    ReplyRow,
    file_share_key,
    format_ts,
    idempotency_key,
    line_key,
    message_key,
    reply_key,
    reply_place_key,
    to_item,
)
from roost.storage.log import Place
from roost.storage.messages import Range
from roost.storage.table import Delete, Equals, Operation, Put, Update

MAX_CHARACTERS = 40_000  # Slack's limit
MAX_BYTES = 30 * 1024  # what fits one push of 32 KB with its wrapping
_FIRST_REPLIERS = 5  # whose faces a thread shows

_TS = re.compile(r"[0-9]{1,12}\.[0-9]{6}")
_PLAIN = Composition()


@dataclass(frozen=True, slots=True)
class Posting:
    """What somebody wants to say, and how."""

    text: str
    composed: Composition = _PLAIN
    thread: str = ""  #: ts of the root of the thread that it answers
    broadcast: bool = False  #: a reply that is said to the channel too
    client_msg_id: str = ""


@dataclass(frozen=True, slots=True)
class Posted:
    """A message that stands in the log. `duplicate`: it did already, from an earlier try."""

    message: Message
    duplicate: bool = False


Beside = Callable[[Place], tuple[Sequence[AnyEvent], Sequence[Operation]]]


def _nothing(place: Place) -> tuple[Sequence[AnyEvent], Sequence[Operation]]:
    return (), ()


class Messages:
    """The messages of all conversations."""

    def __init__(self, core: Core, channels: Channels) -> None:
        self._core = core
        self._channels = channels

    # -- posting ----------------------------------------------------------------------------------------------------

    def say(self, author: Person, channel: Channel, text: str, *, line: str, source: ConnectionId, time: int) -> None:
        """Say a line on a text connection. Stored when this returns, and everybody who hears it but `source` was told.

        The same `line` (API Gateway's message id) again changes nothing and tells nobody. `time` is API Gateway's, in
        milliseconds. Raises a `Refused` before anything is stored, `Busy` or `StoreUnavailable` when the store does not
        take it.
        """
        rights.check(author, rights.Act.POST, channel, member=channel.private, text=True)
        check_text(text)
        deed = posting(author, channel, Posting(text))
        self._core.happen(channel, lambda: deed, messages=1, once=line_key(line), source=source, time=time)

    def post(
        self, author: Person, channel: Channel, wanted: Posting, *, beside: Beside = _nothing, more: int = 0
    ) -> Posted:
        """Say something in a conversation that one belongs to.

        Stored when this returns, and told to everybody in it, the author's own streams included. The same
        `client_msg_id` of the same author within a day answers the first message, whatever the text. Raises a `Refused`
        before anything is stored. `beside` makes `more` events behind the message's own, in the same transaction.
        """
        self.check(author, channel, wanted)
        once = idempotency_key(author.id, wanted.client_msg_id, channel.id) if wanted.client_msg_id else None
        counts = 0 if wanted.thread and not wanted.broadcast else 1
        reopened: list[str] = []
        parts = (wanted.text, wanted.composed.blocks)
        notices = Notices(self._core, author, channel, parts, wanted.thread)
        place, events = self._core.happen(
            channel,
            lambda: _together(self._deed(author, channel, wanted, reopened), beside, notices.writes()),
            events=1 + more,
            messages=counts,
            once=once,
        )
        if place.duplicate:
            row = messages.get(self._core.table, channel.id, place.ts)
            if row is None:
                raise MessageNotFound
            return Posted(Message(channel.id, Ts(place.ts), row), duplicate=True)
        for user in reopened:
            self._core.tell_person(user, DirectOpened(user=user, channel=self._channels.row(channel.id)))
        notices.tell(place.ts)
        return Posted(_message(channel, place.ts, events))

    def check(self, author: Person, channel: Channel, wanted: Posting) -> None:
        """Raise a `Refused` unless this can be said here, by them, now."""
        self._channels.check(author, rights.Act.POST, channel)
        composed = wanted.composed
        if wanted.text or not (composed.blocks or composed.files or composed.attachments):
            check_text(wanted.text)
        check_size(wanted.text, composed)

    def _deed(self, author: Person, channel: Channel, wanted: Posting, reopened: list[str]) -> Writes:
        """What posts. Who had taken a direct conversation out of their list has it back, and is named in `reopened`."""
        if wanted.thread:
            write = _replying(author, channel, wanted, self._root(channel, wanted.thread))
        else:
            write = posting(author, channel, wanted)
        reopened[:] = self._closed(channel)

        def reopening(place: Place) -> tuple[Sequence[AnyEvent], Sequence[Operation]]:
            events, operations = write(place)
            return events, [*operations, *(members.reopening(channel.id, user) for user in reopened)]

        return reopening if reopened else write

    def _closed(self, channel: Channel) -> list[str]:
        """Who took this direct conversation out of their list."""
        if not channel.direct:
            return []
        rows = members.get_many(self._core.table, [(channel.id, user) for user in channel.users])
        return [row.user for row in rows if row is not None and row.closed]

    def _root(self, channel: Channel, thread: str) -> MessageRow:
        check_ts(thread)
        root = messages.get(self._core.table, channel.id, thread)
        if root is None or (root.deleted and not root.replies):
            raise ThreadNotFound
        if root.thread:
            raise CannotReply
        return root

    def whisper(self, author: Person, channel: Channel, user: str, wanted: Posting) -> str:
        """Show something to one member of a conversation, on the streams they have open; it is stored nowhere.

        Answers the ts that they see. Raises `UserNotInChannel` and other refusals.
        """
        self._channels.check(author, rights.Act.POST, channel)
        if members.get(self._core.table, channel.id, user) is None:
            raise UserNotInChannel
        if wanted.text or not wanted.composed.blocks:
            check_text(wanted.text)
        check_size(wanted.text, wanted.composed)
        now = self._core.clock.now_us()
        place = Place(format_ts(now), 0, 0, now // 1_000_000)
        event = MessagePosted(message=_row(author, wanted, place, 0, thread=wanted.thread))
        self._core.delivery.whisper(channel, Recorded(channel.id, 0, place.ts, event), user, now // 1000)
        return place.ts

    # -- changing ---------------------------------------------------------------------------------------------------

    def edit(self, editor: Person, channel: Channel, ts: str, text: str | None, composed: Composition) -> Message:
        """Put another text, or other blocks, in the place of one's own message. Raises a `Refused`."""
        if text is not None and (text or not composed.blocks):
            check_text(text)
        check_size(text or "", composed)

        def deed() -> Writes:
            self._channels.check(editor, rights.Act.POST, channel)
            row = self.there(channel, ts)
            if row.user != editor.id or (row.subtype and row.subtype not in _EDITABLE):
                raise CantUpdateMessage
            words: dict[str, Any] = {} if text is None else {"text": text}
            kept = {name: value for name in ("blocks", "attachments", "metadata") if (value := getattr(composed, name))}
            if text is not None:
                kept = {"blocks": "", "attachments": row.attachments, "metadata": row.metadata} | kept
            return self.changing(channel, ts, row, editor.id, edited=True, **words, **kept)

        _, events = self._core.happen(channel, deed)
        return Message(channel.id, Ts(ts), _changed(events))

    def changing(
        self, channel: Channel, ts: str, row: MessageRow, by: str, *, edited: bool = False, **fields: Any
    ) -> Writes:
        """What changes fields of a message that stands as `row`, and says so in one event."""

        def write(place: Place) -> tuple[list[AnyEvent], list[Operation]]:
            marks = {"edited_by": by, "edited_ts": place.ts} if edited else {}
            new = msgspec.structs.replace(row, rev=row.rev + 1, **marks, **fields)
            event = MessageChanged(target=ts, message=new, by=by, before=row.text if edited else "")
            return [event], replacing(channel, ts, row, new)

        return write

    def delete(self, person: Person, channel: Channel, ts: str) -> None:
        """Remove a message: one's own, or, as an admin, anybody's. A root that has replies leaves a trace."""

        def deed() -> Writes:
            self._channels.check(person, rights.Act.READ, channel)
            row = self.there(channel, ts)
            if row.user != person.id:
                self._check_moderator(person, channel)
            if channel.archived:
                self._channels.check(person, rights.Act.POST, channel)
            root = self._root_without(channel, row, ts)

            def write(place: Place) -> tuple[list[AnyEvent], list[Operation]]:
                left = MessageRow(
                    seq=row.seq, n=row.n, user=row.user, name=row.name, text="", rev=row.rev + 1, deleted=True,
                    thread=row.thread, broadcast=row.broadcast, parent_user=row.parent_user, replies=row.replies,
                    reply_users=row.reply_users, latest_reply=row.latest_reply,
                )  # fmt: skip
                operations = replacing(channel, ts, row, left)
                operations += [Delete(file_share_key(each.id, channel.id, ts)) for each in row.files]
                events: list[AnyEvent] = [MessageDeleted(target=ts, by=person.id, thread=row.thread)]
                if root is not None:
                    before, after = root
                    operations += replacing(channel, row.thread, before, after)
                    events.append(MessageChanged(target=row.thread, message=after, by=person.id))
                return events, operations

            return write

        self._channels.check(person, rights.Act.READ, channel)
        self._core.happen(channel, deed, events=2 if self.there(channel, ts).thread else 1)

    def _root_without(self, channel: Channel, row: MessageRow, ts: str) -> tuple[MessageRow, MessageRow] | None:
        """The root of a reply as it stands, and as it will without the reply; None where the message is no reply."""
        root = messages.get(self._core.table, channel.id, row.thread) if row.thread else None
        if root is None:
            return None
        left = max(0, root.replies - 1)
        latest = messages.latest_reply(self._core.table, channel.id, row.thread, ts) if left else ""
        users = root.reply_users if left else []
        return root, msgspec.structs.replace(
            root, rev=root.rev + 1, replies=left, latest_reply=latest, reply_users=users
        )

    def _check_moderator(self, person: Person, channel: Channel) -> None:
        try:
            self._channels.check(person, rights.Act.MODERATE, channel)
        except NotAuthorized:
            raise CantDeleteMessage from None

    def there(self, channel: Channel, ts: str) -> MessageRow:
        """A message that was not deleted, without asking who wants to know. Raises `MessageNotFound`."""
        check_ts(ts)
        row = messages.get(self._core.table, channel.id, ts)
        if row is None or row.deleted:
            raise MessageNotFound
        return row

    # -- reading ----------------------------------------------------------------------------------------------------

    def get(self, reader: Person, channel: Channel, ts: str) -> Message:
        """One message, a reply as well. Raises `MessageNotFound`."""
        self._channels.check(reader, rights.Act.READ, channel)
        return Message(channel.id, Ts(ts), self.there(channel, ts))

    def find(self, channel: Channel, ts: str) -> Message | None:
        """A message if it is there, without asking who wants to know."""
        row = messages.get(self._core.table, channel.id, ts)
        return None if row is None or row.deleted else Message(channel.id, Ts(ts), row)

    def history(self, reader: Person, channel: Channel, part: Range, limit: int) -> tuple[list[Message], bool]:
        """The newest messages of a range, newest first, and whether there are more. What was deleted is not among them,
        but for the roots of threads."""
        self._channels.check(reader, rights.Act.READ, channel)
        return self._newest(channel, part, limit)

    def recent(self, reader: Person, channel: Channel, limit: int, *, member: bool) -> list[Message]:
        """What was said last, oldest first, for a text connection that sits there."""
        rights.check(reader, rights.Act.READ, channel, member=member, text=True)
        found, _ = self._newest(channel, Range(), 2 * limit)  # what the chat noted itself is not said
        kept = [each for each in found if not each.row.deleted and each.row.subtype in SAID]
        return kept[:limit][::-1]

    def _newest(self, channel: Channel, part: Range, limit: int) -> tuple[list[Message], bool]:
        core, found = self._core, list[tuple[str, MessageRow]]()
        while True:
            wanted = limit + 1 - len(found)
            rows = messages.newest(core.table, channel.id, channel.created, part, wanted, core.clock.sleep)
            found += [(ts, row) for ts, row in rows if not row.deleted or row.replies]
            if len(found) > limit or len(rows) < wanted:
                break
            part = Range(part.oldest, rows[-1][0], inclusive=False) if not part.inclusive else _below(part, rows[-1][0])
        return [Message(channel.id, Ts(ts), row) for ts, row in found[:limit]], len(found) > limit

    def thread(
        self, reader: Person, channel: Channel, root: str, part: Range, after: str, limit: int
    ) -> tuple[list[Message], bool]:
        """A thread: its root and the replies of a range after a ts ("" for all), oldest first; whether there are more.

        Raises `ThreadNotFound`.
        """
        self._channels.check(reader, rights.Act.READ, channel)
        check_ts(root)
        row = messages.get(self._core.table, channel.id, root)
        if row is None or (row.deleted and not row.replies):
            raise ThreadNotFound
        if row.thread:
            root, row = row.thread, messages.get(self._core.table, channel.id, row.thread) or row
        replies = messages.thread(self._core.table, channel.id, root, max(after, part.oldest), limit + 1)
        kept = [(ts, each) for ts, each in replies if part.holds(ts) and not each.deleted]
        more = len(replies) > limit
        return [Message(channel.id, Ts(ts), each) for ts, each in [(root, row), *kept[:limit]]], more


#: Subtypes of messages that people or programs wrote; the others are what the chat itself notes.
SAID = frozenset({"", "me_message", "thread_broadcast", "file_share", "bot_message"})
_EDITABLE = frozenset({"me_message", "thread_broadcast", "file_share", "bot_message"})


def _below(part: Range, ts: str) -> Range:
    """What of an inclusive range lies before a ts."""
    micro = int(ts.replace(".", "")) - 1
    return Range(part.oldest, f"{micro // 1_000_000}.{micro % 1_000_000:06}", inclusive=True)


def posting(author: Person, channel: Channel, wanted: Posting) -> Writes:
    """What appends a message that is no reply."""

    def write(place: Place) -> tuple[list[AnyEvent], list[Operation]]:
        row = _row(author, wanted, place, place.n)
        return [MessagePosted(message=row)], [Put(to_item(message_key(channel.id, place.ts), row))]

    return write


def _together(*writes: Writes) -> Writes:
    """What writes all of them, in their order."""

    def write(place: Place) -> tuple[Sequence[AnyEvent], Sequence[Operation]]:
        events, operations = list[AnyEvent](), list[Operation]()
        for each in writes:
            more, changes = each(place)
            events += more
            operations += changes
        return events, operations

    return write


def _replying(author: Person, channel: Channel, wanted: Posting, root: MessageRow) -> Writes:
    """What appends a reply: to its thread, where its ts alone finds it, and to the channel if it is said there too."""
    thread = wanted.thread

    def write(place: Place) -> tuple[list[AnyEvent], list[Operation]]:
        row = _row(
            author,
            wanted,
            place,
            place.n if wanted.broadcast else 0,
            thread=thread,
            parent_user=root.user,
            broadcast=wanted.broadcast,
        )
        operations: list[Operation] = [
            Put(to_item(reply_key(channel.id, thread, place.ts), row)),
            Put(to_item(reply_place_key(channel.id, place.ts), ReplyRow(thread=thread))),
            _counted(channel, thread, root, author, place.ts),
        ]
        if wanted.broadcast:
            operations.append(Put(to_item(message_key(channel.id, place.ts), row)))
        return [MessagePosted(message=row)], operations

    return write


def _counted(channel: Channel, thread: str, root: MessageRow, author: Person, ts: str) -> Update:
    """What counts a reply at its root. Replies of those whose face shows already do not get in each other's way."""
    key = message_key(channel.id, thread)
    if author.id in root.reply_users or len(root.reply_users) >= _FIRST_REPLIERS:
        return Update(key, set={"latest_reply": ts}, add={"replies": 1, "rev": 1})
    return Update(
        key,
        set={"latest_reply": ts, "reply_users": [*root.reply_users, author.id]},
        add={"replies": 1, "rev": 1},
        condition=Equals({"rev": root.rev}),
    )


def replacing(channel: Channel, ts: str, old: MessageRow, new: MessageRow) -> list[Operation]:
    """What puts a message in the place of what it was, wherever it stands; fails if that has changed meanwhile."""
    known = Equals({"rev": old.rev})
    keys = [reply_key(channel.id, old.thread, ts)] if old.thread else []
    if not old.thread or old.broadcast:
        keys.append(message_key(channel.id, ts))
    return [Put(to_item(key, new), known) for key in keys]


def _row(author: Person, wanted: Posting, place: Place, n: int, **more: Any) -> MessageRow:
    composed = wanted.composed
    return MessageRow(
        seq=place.seq,
        n=n,
        user=author.id,
        name=author.name,
        text=wanted.text,
        rev=0,
        guest=author.guest,
        client_msg_id=wanted.client_msg_id,
        subtype=composed.subtype,
        blocks=composed.blocks,
        attachments=composed.attachments,
        metadata=composed.metadata,
        files=list(composed.files),
        bot=author.bot,
        app=author.app,
        username=composed.username,
        icon=composed.icon,
        **more,
    )


def _message(channel: Channel, ts: str, events: Sequence[AnyEvent]) -> Message:
    event = events[0]
    assert isinstance(event, MessagePosted)
    return Message(channel.id, Ts(ts), event.message)


def _changed(events: Sequence[AnyEvent]) -> MessageRow:
    (event,) = events
    assert isinstance(event, MessageChanged)
    return event.message


def check_ts(ts: str) -> None:
    """Raise `BadTimestamp` unless this can be a message's ts."""
    if not _TS.fullmatch(ts):
        raise BadTimestamp


def check_text(text: str) -> None:
    """Raise unless this can be a message."""
    if not text or text.isspace():
        raise NoText
    if len(text) > MAX_CHARACTERS or _size(text) > MAX_BYTES:
        raise MessageTooLong


def check_size(text: str, composed: Composition) -> None:
    """Raise `MessageTooLong` unless a message with all that belongs to it fits one event."""
    files = msgspec.json.encode(composed.files).decode() if composed.files else ""
    parts = (text, composed.blocks, composed.attachments, composed.metadata, files)
    if len(text) > MAX_CHARACTERS or sum(map(_size, parts)) > MAX_BYTES:
        raise MessageTooLong


def _size(text: str) -> int:
    """The bytes of a text in a frame, where line breaks, quotes and control characters are escaped."""
    try:
        return len(msgspec.json.encode(text)) - 2
    except UnicodeEncodeError:  # a lone surrogate
        raise InvalidCharset from None
