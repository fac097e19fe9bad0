"""What concerns somebody: threads that they follow, and where they were named.

Who answers in a thread, or began it, follows it.

What is unread is told by the root's own count of the latest reply, so a reply costs its followers nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from roost.chat import rights
from roost.chat.channels import Channels
from roost.chat.core import Core
from roost.chat.errors import Refused, ThreadNotFound
from roost.chat.events import ThreadFollowed
from roost.chat.messages import Messages, check_ts
from roost.chat.model import Channel, Message, Person, Ts, channel_of
from roost.storage import channels, follows, messages
from roost.storage.items import FollowRow, MessageRow, format_ts

MAX_SHOWN = 20  # replies of one thread in the inbox


@dataclass(frozen=True, slots=True)
class Followed:
    """A thread that somebody follows."""

    channel: Channel
    follow: FollowRow
    root: Message

    @property
    def unread(self) -> bool:
        """Whether something was said since they read it."""
        return self.root.row.latest_reply > (self.follow.last_read or self.follow.thread)


class Inbox:
    """How everybody stands to threads, and where they were named."""

    def __init__(self, core: Core, channels: Channels, messages: Messages) -> None:
        self._core = core
        self._table = core.table
        self._channels = channels
        self._messages = messages

    def get(self, person: Person, channel: Channel, thread: str) -> FollowRow | None:
        """How somebody stands to a thread; None where they never followed it. Raises `ThreadNotFound`."""
        self._root(person, channel, thread)
        return follows.get(self._table, person.id, channel.id, thread)

    def follow(self, person: Person, channel: Channel, thread: str, read: str = "") -> FollowRow:
        """Follow a thread, which was read up to a ts, or to its end. Raises `ThreadNotFound`, `BadTimestamp`."""
        root = self._root(person, channel, thread)
        before = follows.get(self._table, person.id, channel.id, thread)
        if read:
            check_ts(read)
        last_read = read or (before.last_read if before is not None else "") or root.latest_reply or thread
        return self._stand(person, "subscribed", before, channel, thread, last_read=last_read, ended=False)

    def unfollow(self, person: Person, channel: Channel, thread: str) -> FollowRow:
        """Follow a thread no longer. Raises `ThreadNotFound`."""
        self._root(person, channel, thread)
        before = follows.get(self._table, person.id, channel.id, thread)
        return self._stand(person, "unsubscribed", before, channel, thread, ended=True)

    def mark(self, person: Person, channel: Channel, thread: str, ts: str) -> FollowRow | None:
        """Say that one has read a thread up to a ts; the mark never goes backwards. None where they do not follow it.

        Raises `ThreadNotFound`, `BadTimestamp`.
        """
        check_ts(ts)
        root = self._root(person, channel, thread)
        before = follows.get(self._table, person.id, channel.id, thread)
        ts = min(ts, root.latest_reply or thread)
        if before is None or before.ended or ts <= before.last_read:
            return before
        return self._stand(person, "marked", before, channel, thread, last_read=ts)

    def _root(self, person: Person, channel: Channel, thread: str) -> MessageRow:
        check_ts(thread)
        self._channels.check(person, rights.Act.READ, channel)
        row = messages.get(self._table, channel.id, thread)
        if row is None or row.thread or (row.deleted and not row.replies):
            raise ThreadNotFound
        return row

    def _stand(
        self, person: Person, what: str, before: FollowRow | None, channel: Channel, thread: str, **fields: object
    ) -> FollowRow:
        row = before or FollowRow(channel=channel.id, thread=thread, since=self._core.now)
        after = msgspec.structs.replace(row, **fields)
        if after != before:
            self._table.put(follows.following(person.id, after).item)
            self._core.tell_person(person.id, ThreadFollowed(user=person.id, what=what, follow=after))
        return after

    # -- where they were named --------------------------------------------------------------------------------------

    def mentions(self, person: Person, place: str, limit: int) -> tuple[list[Message], str]:
        """The messages that name somebody, newest first, after a place, as far as they may read them; the next place.

        A page may be shorter than `limit`, even empty, and still have a next."""
        rows, following = follows.mentions(self._table, person.id, place, limit)
        found: list[Message] = []
        for row in rows:
            try:
                found.append(self._messages.get(person, self._channels.get(row.channel), row.ts))
            except Refused:  # it is gone, or no longer theirs to read
                continue
        return found, following

    # -- the threads of somebody -----------------------------------------------------------------------------------

    def threads(self, person: Person) -> list[Followed]:
        """The threads that somebody follows and may read, the latest answered first."""
        rows = follows.of_user(self._table, person.id)
        readable = {channel: self._readable(person, channel) for channel in {row.channel for row in rows}}
        rows = [row for row in rows if readable[row.channel] is not None]
        found: list[Followed] = []
        for row, root in zip(rows, messages.roots(self._table, _places(rows)), strict=True):
            channel = readable[row.channel]
            if channel is not None and root is not None and root.replies:
                found.append(Followed(channel, row, Message(channel.id, Ts(row.thread), root)))
        return sorted(found, key=lambda each: each.root.row.latest_reply, reverse=True)

    def _readable(self, person: Person, channel: str) -> Channel | None:
        row = channels.by_id(self._table, channel)
        try:
            if row is not None:
                self._channels.check(person, rights.Act.READ, channel_of(row))
        except Refused:
            return None
        return None if row is None else channel_of(row)

    def replies(self, person: Person, followed: Followed) -> tuple[list[Message], list[Message]]:
        """Of a thread the replies that were not read, and the last ones that were, oldest first; some of each."""
        row = followed.follow
        read = row.last_read or row.thread
        new = messages.thread(self._table, row.channel, row.thread, read, MAX_SHOWN)
        unread = [Message(followed.channel.id, Ts(ts), each) for ts, each in new if _counts(each, person)]
        if unread:
            return unread, []
        old = messages.last_of_thread(self._table, row.channel, row.thread, 3)
        return [], [Message(followed.channel.id, Ts(ts), each) for ts, each in old if not each.deleted]

    def read_all(self, person: Person, until: str) -> None:
        """Say that one has read all threads up to a ts, or to now."""
        until = until or format_ts(self._core.clock.now_us())
        for each in self.threads(person):
            if each.unread:
                self.mark(person, each.channel, each.follow.thread, until)


def _places(rows: list[FollowRow]) -> list[tuple[str, str]]:
    return [(row.channel, row.thread) for row in rows]


def _counts(row: MessageRow, person: Person) -> bool:
    return not row.deleted and row.user != person.id
