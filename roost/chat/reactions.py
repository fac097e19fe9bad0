"""Reactions and pins: what people do to a message that somebody said."""

from __future__ import annotations

import re

import msgspec

from roost.chat import rights
from roost.chat.channels import Channels
from roost.chat.core import Core, Writes
from roost.chat.errors import AlreadyPinned, AlreadyReacted, InvalidEmoji, NoPin, NoReaction, Refused, TooManyEmoji
from roost.chat.events import AnyEvent, PinAdded, PinRemoved, ReactionAdded, ReactionRemoved
from roost.chat.messages import Messages, replacing
from roost.chat.model import Channel, Message, Person
from roost.storage.items import MessageRow, ReactionCount, ReactionRow, pin_key, reaction_key, reactions_index, to_item
from roost.storage.log import Place
from roost.storage.reactions import pinned, reacted_by, who_reacted
from roost.storage.table import Delete, Exists, Missing, Operation, Put

MAX_KINDS = 50  # of reactions on one message
_MOST_LISTED = 200  # messages that somebody reacted to, that a list goes back
_FIRST = 25  # people of each kind whom the message itself names
_EMOJI = re.compile(r"[a-z0-9_+'\u00c0-\uffff-]{1,100}(::skin-tone-[2-6])?")


class Reactions:
    """Reactions and pins of all messages."""

    def __init__(self, core: Core, channels: Channels, messages: Messages) -> None:
        self._core = core
        self._channels = channels
        self._messages = messages

    def add(self, person: Person, channel: Channel, ts: str, emoji: str) -> None:
        """React to a message. Raises `AlreadyReacted`, `TooManyEmoji` and other refusals."""
        if not _EMOJI.fullmatch(emoji):
            raise InvalidEmoji

        def deed() -> Writes:
            row = self._message(person, channel, ts)
            if self._reacted(channel, ts, emoji, person):
                raise AlreadyReacted
            counts = dict(row.reactions)
            before = counts.get(emoji, ReactionCount(n=0))
            if before.n == 0 and len(counts) >= MAX_KINDS:
                raise TooManyEmoji
            users = [*before.users, person.id] if len(before.users) < _FIRST else before.users
            counts[emoji] = ReactionCount(n=before.n + 1, users=list(users))
            new = msgspec.structs.replace(row, rev=row.rev + 1, reactions=counts)
            key, listed = reaction_key(channel.id, ts, emoji, person.id), (reactions_index(person.id), ts)
            mine = Put(to_item(key, ReactionRow(at=self._core.now), g1=listed), Missing())
            event = ReactionAdded(target=ts, user=person.id, emoji=emoji, author=row.user, thread=row.thread)
            return _writes(event, [*replacing(channel, ts, row, new), mine])

        self._core.happen(channel, deed)

    def remove(self, person: Person, channel: Channel, ts: str, emoji: str) -> None:
        """Take one's reaction back. Raises `NoReaction` and other refusals."""

        def deed() -> Writes:
            row = self._message(person, channel, ts)
            if not self._reacted(channel, ts, emoji, person):
                raise NoReaction
            counts = dict(row.reactions)
            before = counts.pop(emoji)
            if before.n > 1:
                users = [each for each in before.users if each != person.id]
                counts[emoji] = ReactionCount(n=before.n - 1, users=users)
            new = msgspec.structs.replace(row, rev=row.rev + 1, reactions=counts)
            mine = Delete(reaction_key(channel.id, ts, emoji, person.id), Exists())
            event = ReactionRemoved(target=ts, user=person.id, emoji=emoji, author=row.user, thread=row.thread)
            return _writes(event, [*replacing(channel, ts, row, new), mine])

        self._core.happen(channel, deed)

    def _reacted(self, channel: Channel, ts: str, emoji: str, person: Person) -> bool:
        return self._core.table.get(reaction_key(channel.id, ts, emoji, person.id)) is not None

    def of(self, channel: Channel, ts: str) -> dict[str, list[str]]:
        """Everybody who reacted to a message, by emoji."""
        return who_reacted(self._core.table, channel.id, ts)

    def by(self, reader: Person, user: str) -> list[Message]:
        """The newest messages that somebody reacted to, as far as the reader may read them; newest first."""
        found: list[Message] = []
        for place, ts in reacted_by(self._core.table, user, _MOST_LISTED):
            try:
                found.append(self._messages.get(reader, self._channels.get(place), ts))
            except Refused:  # it is gone, or not theirs to read
                continue
        return found

    def with_own(self, person: Person, found: list[Message]) -> list[Message]:
        """The messages, with oneself among those who reacted, where a message names only the first of many."""
        asked = [
            (number, emoji)
            for number, message in enumerate(found)
            for emoji, each in message.row.reactions.items()
            if each.n > len(each.users) and person.id not in each.users
        ]
        if not asked:
            return found
        keys = [reaction_key(found[number].channel, found[number].ts, emoji, person.id) for number, emoji in asked]
        shown = list(found)
        for (number, emoji), item in zip(asked, self._core.table.get_many(keys), strict=True):
            if item is not None:
                message = shown[number]
                each = message.row.reactions[emoji]
                kinds = {**message.row.reactions, emoji: ReactionCount(n=each.n, users=[*each.users, person.id])}
                row = msgspec.structs.replace(message.row, reactions=kinds)
                shown[number] = Message(message.channel, message.ts, row)
        return shown

    # -- pins -------------------------------------------------------------------------------------------------------

    def pin(self, person: Person, channel: Channel, ts: str) -> None:
        """Keep a message at hand for everybody. Raises `AlreadyPinned` and other refusals."""

        def deed() -> Writes:
            row = self._message(person, channel, ts)
            if row.pinned_by:
                raise AlreadyPinned
            now = self._core.now
            new = msgspec.structs.replace(row, rev=row.rev + 1, pinned_by=person.id, pinned_at=now)
            mark = Put(to_item(pin_key(channel.id, ts), ReactionRow(at=now)))
            event = PinAdded(target=ts, user=person.id, at=now)
            return _writes(event, [*replacing(channel, ts, row, new), mark])

        self._core.happen(channel, deed)

    def unpin(self, person: Person, channel: Channel, ts: str) -> None:
        """Keep it at hand no longer. Raises `NoPin` and other refusals."""

        def deed() -> Writes:
            row = self._message(person, channel, ts)
            if not row.pinned_by:
                raise NoPin
            new = msgspec.structs.replace(row, rev=row.rev + 1, pinned_by="", pinned_at=0)
            mark = Delete(pin_key(channel.id, ts))
            return _writes(PinRemoved(target=ts, user=person.id), [*replacing(channel, ts, row, new), mark])

        self._core.happen(channel, deed)

    def pins(self, person: Person, channel: Channel) -> list[Message]:
        """What is pinned in a conversation, newest pin first."""
        self._channels.check(person, rights.Act.READ, channel)
        found = [self._messages.find(channel, ts) for ts in pinned(self._core.table, channel.id)]
        kept = [message for message in found if message is not None and message.row.pinned_by]
        return sorted(kept, key=lambda message: message.row.pinned_at, reverse=True)

    def _message(self, person: Person, channel: Channel, ts: str) -> MessageRow:
        self._channels.check(person, rights.Act.POST, channel)
        return self._messages.there(channel, ts)


def _writes(event: AnyEvent, operations: list[Operation]) -> Writes:
    def write(place: Place) -> tuple[list[AnyEvent], list[Operation]]:
        return [event], operations

    return write
