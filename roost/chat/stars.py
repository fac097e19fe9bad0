"""What somebody keeps for later: messages and files. Nobody else knows."""

from __future__ import annotations

from dataclasses import dataclass

from roost.chat.channels import Channels
from roost.chat.core import Core
from roost.chat.errors import AlreadyStarred, NotStarred, Refused
from roost.chat.events import StarChanged
from roost.chat.messages import Messages
from roost.chat.model import Channel, Message, Person
from roost.storage.items import StarRow, from_item, star_file_key, star_key, to_item
from roost.storage.ranges import every
from roost.storage.table import ConditionFailed, Exists, Key, Missing


@dataclass(frozen=True, slots=True)
class Star:
    """Something that is kept: a message, or else a file's id."""

    row: StarRow
    message: Message | None


class Stars:
    """What everybody keeps."""

    def __init__(self, core: Core, channels: Channels, messages: Messages) -> None:
        self._core = core
        self._table = core.table
        self._channels = channels
        self._messages = messages

    def add(self, person: Person, channel: Channel, ts: str) -> None:
        """Keep a message that one may read. Raises `AlreadyStarred` and other refusals."""
        self._messages.get(person, channel, ts)
        self._add(star_key(person.id, channel.id, ts), StarRow(at=self._core.now, channel=channel.id, ts=ts))
        self._core.tell_person(person.id, StarChanged(user=person.id, added=True, channel=channel.id, target=ts))

    def add_file(self, person: Person, file: str) -> None:
        """Keep a file; that one may have it was asked. Raises `AlreadyStarred`."""
        self._add(star_file_key(person.id, file), StarRow(at=self._core.now, file=file))
        self._core.tell_person(person.id, StarChanged(user=person.id, added=True, file=file))

    def _add(self, key: Key, row: StarRow) -> None:
        try:
            self._table.put(to_item(key, row), Missing())
        except ConditionFailed:
            raise AlreadyStarred from None

    def remove(self, person: Person, channel: Channel, ts: str) -> None:
        """Keep a message no longer. Raises `NotStarred`."""
        self._remove(star_key(person.id, channel.id, ts))
        self._core.tell_person(person.id, StarChanged(user=person.id, added=False, channel=channel.id, target=ts))

    def remove_file(self, person: Person, file: str) -> None:
        """Keep a file no longer. Raises `NotStarred`."""
        self._remove(star_file_key(person.id, file))
        self._core.tell_person(person.id, StarChanged(user=person.id, added=False, file=file))

    def _remove(self, key: Key) -> None:
        try:
            self._table.delete(key, Exists())
        except ConditionFailed:
            raise NotStarred from None

    def of(self, person: Person) -> list[Star]:
        """What somebody keeps, the latest first, without what is gone or no longer theirs to read."""
        rows = [from_item(item, StarRow) for item in every(self._table, star_key(person.id, "", "").pk, "ST#")]
        rows.sort(key=lambda row: row.at, reverse=True)
        found: list[Star] = []
        for row in rows:
            try:
                message = self._messages.get(person, self._channels.get(row.channel), row.ts) if row.ts else None
            except Refused:
                continue
            found.append(Star(row, message))
        return found
