"""The workspace's own emoji."""

from __future__ import annotations

import re

from roost.chat.core import Core, Writes
from roost.chat.errors import BadEmojiName, EmojiNotFound, EmojiTaken, EmojiTooLarge, NoPermission
from roost.chat.events import EmojiChanged
from roost.chat.model import Person
from roost.chat.pictures import Pictures
from roost.storage.items import EmojiRow, emoji_key, from_item, to_item
from roost.storage.ranges import every
from roost.storage.table import Delete, Exists, Missing, Put

MAX_BYTES = 128 * 1024  # as in Slack
_MAX_PIXELS = 512
_NAME = re.compile(r"[a-z0-9_+'\u00e0-\uffff-]{1,100}")


class EmojiSet:
    """Every emoji that somebody added."""

    def __init__(self, core: Core, pictures: Pictures) -> None:
        self._core = core
        self._table = core.table
        self._pictures = pictures

    def all(self) -> dict[str, EmojiRow]:
        """The emoji by name."""
        pk, prefix = emoji_key(self._core.workspace.team, "")
        items = every(self._table, pk, prefix)
        return {str(item["SK"]).removeprefix(prefix): from_item(item, EmojiRow) for item in items}

    def add(self, person: Person, name: str, data: bytes) -> None:
        """Add a picture. Raises `BadEmojiName`, `EmojiTaken`, `EmojiTooLarge`, `BadImage`."""
        self._check(name)
        if len(data) > MAX_BYTES:
            raise EmojiTooLarge
        picture = self._pictures.keep(data, _MAX_PIXELS)
        self._add(name, EmojiRow(by=person.id, at=self._core.now, picture=picture))

    def add_alias(self, person: Person, name: str, of: str) -> None:
        """Add another name, of one that was added or of one that all clients know. Raises as `add`."""
        self._check(name)
        if not _NAME.fullmatch(of):
            raise EmojiNotFound
        there = self._get(of)
        self._add(name, EmojiRow(by=person.id, at=self._core.now, alias=(there.alias if there else "") or of))

    def _check(self, name: str) -> None:
        if not _NAME.fullmatch(name):
            raise BadEmojiName
        if self._get(name) is not None:
            raise EmojiTaken

    def _add(self, name: str, row: EmojiRow) -> None:
        key = emoji_key(self._core.workspace.team, name)

        def deed() -> Writes:
            if self._get(name) is not None:
                raise EmojiTaken
            event = EmojiChanged(name=name, by=row.by, picture=row.picture, alias=row.alias)
            return lambda place: ([event], [Put(to_item(key, row), Missing())])

        self._core.happen_to_all(deed)

    def remove(self, person: Person, name: str) -> None:
        """Take an emoji away: one's own, or, as an admin, any. Raises `EmojiNotFound`, `NoPermission`."""
        row = self._get(name)
        key = emoji_key(self._core.workspace.team, name)

        def deed() -> Writes:
            there = self._get(name)
            if there is None:
                raise EmojiNotFound
            if there.by != person.id and not person.is_admin:
                raise NoPermission
            return lambda place: ([EmojiChanged(name=name, by=person.id)], [Delete(key, Exists())])

        self._core.happen_to_all(deed)
        if row is not None and row.picture:
            self._pictures.forget(row.picture)

    def _get(self, name: str) -> EmojiRow | None:
        item = self._table.get(emoji_key(self._core.workspace.team, name)) if _NAME.fullmatch(name) else None
        return None if item is None else from_item(item, EmojiRow)
