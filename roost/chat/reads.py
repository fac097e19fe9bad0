"""Read marks and unread counts. A mark never goes backwards; what is unread is counted from the log."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import msgspec

from roost.chat import rights
from roost.chat.channels import Channels
from roost.chat.core import Core
from roost.chat.errors import MessageNotFound
from roost.chat.events import ConversationMarked, NotificationsChanged, UnreadFromMarked
from roost.chat.mentions import names
from roost.chat.messages import check_ts
from roost.chat.model import Channel, Person, channel_of
from roost.storage import follows, members, messages
from roost.storage.items import EMPTY_HEAD, ChannelRow, HeadRow, MembershipRow, format_ts, from_item, head_key
from roost.storage.messages import Range
from roost.storage.table import ConditionFailed

_COUNTED = 50  # unread messages up to which what was deleted is left out of the count


@dataclass(frozen=True, slots=True)
class Standing:
    """Where somebody stands in a conversation."""

    channel: ChannelRow
    membership: MembershipRow
    head: HeadRow
    unread: int
    mentions: int  #: unread messages that name them, alone or with everybody; of a direct conversation all of them


class Reads:
    """How far everybody has read."""

    def __init__(self, core: Core, channels: Channels) -> None:
        self._core = core
        self._channels = channels

    def mark(self, person: Person, channel: Channel, ts: str) -> str:
        """Say that one has read up to a ts; answers where the mark is now. A ts of the future is clipped to the log's
        end. Raises `BadTimestamp` and other refusals."""
        check_ts(ts)
        membership = self._channels.check(person, rights.Act.MARK, channel)
        assert membership is not None
        head = self._head(channel.id)
        ts = min(ts, format_ts(head.ts))
        if ts <= membership.last_read:
            self._clear_unread_from(person, channel, membership, ts)
            return membership.last_read
        count = self._count_at(channel, ts, head)
        with contextlib.suppress(ConditionFailed):  # another device has read further
            self._core.table.update(members.reading(channel.id, person.id, ts, count))
            row = self._channels.row(channel.id)
            moved = msgspec.structs.replace(membership, last_read=ts, last_mc=count, unread_from="")
            unread = self._unread(row, moved, head)
            self._core.tell_person(person.id, ConversationMarked(user=person.id, channel=row, at=ts, unread=unread))
        return ts

    def _clear_unread_from(self, person: Person, channel: Channel, membership: MembershipRow, ts: str) -> None:
        """Whoever has read on past where they wanted to begin again has done so."""
        if membership.unread_from and ts >= membership.unread_from:
            with contextlib.suppress(ConditionFailed):  # another device has moved it
                self._core.table.update(members.unread_from(channel.id, person.id, "", membership.unread_from))
                self._core.tell_person(person.id, UnreadFromMarked(user=person.id, channel=channel.id))

    def mark_unread(self, person: Person, channel: Channel, ts: str) -> None:
        """Have a conversation show as unread from a message on, on every device; the read mark stays where it is.

        Raises `MessageNotFound` and other refusals.
        """
        check_ts(ts)
        self._channels.check(person, rights.Act.MARK, channel)
        row = messages.get(self._core.table, channel.id, ts)
        if row is None or not row.n:
            raise MessageNotFound
        self._core.table.update(members.unread_from(channel.id, person.id, ts))
        self._core.tell_person(person.id, UnreadFromMarked(user=person.id, channel=channel.id, at=ts))

    def notify(self, person: Person, channel: Channel, *, muted: bool | None, level: str | None) -> MembershipRow:
        """Say how much one wants to hear of a conversation: muted or not; all, mentions, nothing, or "" for one's own
        default. None leaves it. Raises a `Refused`."""
        membership = self._channels.check(person, rights.Act.MARK, channel)
        assert membership is not None
        after = msgspec.structs.replace(
            membership,
            muted=membership.muted if muted is None else muted,
            level=membership.level if level is None else level,
        )
        self._core.table.update(members.choosing(channel.id, person.id, muted=after.muted, level=after.level))
        event = NotificationsChanged(user=person.id, channel=channel.id, muted=after.muted, level=after.level)
        self._core.tell_person(person.id, event)
        return after

    def _count_at(self, channel: Channel, ts: str, head: HeadRow) -> int:
        """How many messages stand up to a ts."""
        if ts >= format_ts(head.ts):
            return head.mc
        core = self._core
        rows = messages.newest(
            core.table, channel.id, channel.created, Range(latest=ts, inclusive=True), 1, core.clock.sleep
        )
        return rows[0][1].n if rows else 0

    def _head(self, channel: str) -> HeadRow:
        item = self._core.table.get(head_key(channel))
        return EMPTY_HEAD if item is None else from_item(item, HeadRow)

    def standings(self, person: Person) -> list[Standing]:
        """Where somebody stands in each of their conversations: one batch of reads for all."""
        pairs = self._channels.of(person)
        items = self._core.table.get_many([head_key(row.id) for row, _ in pairs])
        heads = [EMPTY_HEAD if item is None else from_item(item, HeadRow) for item in items]
        return [
            Standing(row, membership, head, *self._counts(row, membership, head))
            for (row, membership), head in zip(pairs, heads, strict=True)
        ]

    def heads(self, person: Person) -> list[tuple[str, HeadRow]]:
        """Where the log of each of somebody's conversations ends: one batch of reads for all."""
        ids = [row.id for row, _ in self._channels.of(person)]
        items = self._core.table.get_many([head_key(each) for each in ids])
        return [(each, from_item(item, HeadRow)) for each, item in zip(ids, items, strict=True) if item is not None]

    def standing(self, row: ChannelRow, membership: MembershipRow) -> Standing:
        """Where somebody stands in one conversation."""
        head = self._head(row.id)
        return Standing(row, membership, head, *self._counts(row, membership, head))

    def _counts(self, row: ChannelRow, membership: MembershipRow, head: HeadRow) -> tuple[int, int]:
        """What is unread, and how much of it names them: counted at the log's end; where it is little, without what was
        deleted or is one's own."""
        start, user = membership.unread_from, membership.user
        seen = self._count_at(channel_of(row), _before(start), head) if start else membership.last_mc
        unread = max(0, head.mc - seen)
        if unread > _COUNTED:
            return unread, unread if row.kind != "channel" else self._named(row.id, user, start or membership.last_read)
        if not unread:
            return 0, 0
        part = Range(oldest=start, inclusive=True) if start else Range(oldest=membership.last_read)
        core = self._core
        rows = messages.newest(core.table, row.id, row.created, part, unread, core.clock.sleep)
        kept = [each for _, each in rows if not each.deleted and each.user != user]
        return len(kept), len(kept) if row.kind != "channel" else sum(names(each, user) for each in kept)

    def _named(self, channel: str, user: str, ts: str) -> int:
        """How often somebody was named in a conversation since a ts: by their own id, which alone is noted."""
        return sum(1 for row in follows.mentions_since(self._core.table, user, ts) if row.channel == channel)

    def _unread(self, row: ChannelRow, membership: MembershipRow, head: HeadRow) -> int:
        return self._counts(row, membership, head)[0]


def _before(ts: str) -> str:
    """The last moment before a ts."""
    return format_ts(int(ts.replace(".", "")) - 1)
