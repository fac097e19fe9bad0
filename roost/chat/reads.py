"""Read marks and unread counts. A mark never goes backwards; what is unread is counted from the log."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import msgspec

from roost.chat import rights
from roost.chat.channels import Channels
from roost.chat.core import Core
from roost.chat.events import ConversationMarked
from roost.chat.messages import check_ts
from roost.chat.model import Channel, Person
from roost.storage import members, messages
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
            return membership.last_read
        count = self._count_at(channel, ts, head)
        with contextlib.suppress(ConditionFailed):  # another device has read further
            self._core.table.update(members.reading(channel.id, person.id, ts, count))
            row = self._channels.row(channel.id)
            moved = msgspec.structs.replace(membership, last_read=ts, last_mc=count)
            unread = self._unread(row, moved, head)
            self._core.tell_person(person.id, ConversationMarked(user=person.id, channel=row, at=ts, unread=unread))
        return ts

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
            Standing(row, membership, head, self._unread(row, membership, head))
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
        return Standing(row, membership, head, self._unread(row, membership, head))

    def _unread(self, row: ChannelRow, membership: MembershipRow, head: HeadRow) -> int:
        """What is unread: counted at the log's end; where it is little, without what was deleted or is one's own."""
        unread = max(0, head.mc - membership.last_mc)
        if not 0 < unread <= _COUNTED:
            return unread
        part, core = Range(oldest=membership.last_read), self._core
        rows = messages.newest(core.table, row.id, row.created, part, unread, core.clock.sleep)
        return sum(1 for _, each in rows if not each.deleted and each.user != membership.user)
