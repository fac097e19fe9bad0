"""Bookmarks: links that a conversation keeps at hand."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import msgspec

from roost.chat import rights
from roost.chat.channels import Channels
from roost.chat.core import Core, Writes
from roost.chat.errors import InvalidLink, NotFound, TooLong, TooManyBookmarks
from roost.chat.events import BookmarkChanged
from roost.chat.model import Channel, Person
from roost.storage.ids import new_id
from roost.storage.items import BookmarkRow, bookmark_key, from_item, to_item
from roost.storage.ranges import every
from roost.storage.table import Delete, Equals, Exists, Missing, Operation, Put

MAX_BOOKMARKS = 100  # of one conversation, as in Slack
_MAX_TITLE = 255
_MAX_LINK = 3000


class Bookmarks:
    """The bookmarks of all conversations."""

    def __init__(self, core: Core, channels: Channels) -> None:
        self._core = core
        self._table = core.table
        self._channels = channels

    def of(self, person: Person, channel: Channel) -> list[BookmarkRow]:
        """A conversation's bookmarks, the oldest first. Raises a `Refused`."""
        self._channels.check(person, rights.Act.READ, channel)
        return sorted(self._all(channel), key=lambda row: (row.created, row.id))

    def _all(self, channel: Channel) -> list[BookmarkRow]:
        return [from_item(item, BookmarkRow) for item in every(self._table, *bookmark_key(channel.id, ""))]

    def add(self, person: Person, channel: Channel, title: str, link: str, emoji: str) -> BookmarkRow:
        """Keep a link. Raises `InvalidLink`, `TooManyBookmarks` and other refusals."""
        check(title, link)
        now = self._core.now
        row = BookmarkRow(
            id=new_id("Bk"), title=title, link=link, created=now, updated=now, by=person.id, emoji=emoji[:_MAX_TITLE]
        )

        def deed() -> Writes:
            self._channels.check(person, rights.Act.DESCRIBE, channel)
            if len(self._all(channel)) >= MAX_BOOKMARKS:
                raise TooManyBookmarks
            return _writes("added", person, row, Put(to_item(bookmark_key(channel.id, row.id), row), Missing()))

        self._core.happen(channel, deed)
        return row

    def edit(self, person: Person, channel: Channel, bookmark: str, **fields: Any) -> BookmarkRow:
        """Change a bookmark's title, link or emoji. Raises `NotFound` and other refusals."""
        changed: BookmarkRow | None = None

        def deed() -> Writes:
            nonlocal changed
            self._channels.check(person, rights.Act.DESCRIBE, channel)
            before = self._there(channel, bookmark)
            changed = msgspec.structs.replace(before, updated=self._core.now, by=person.id, **fields)
            check(changed.title, changed.link)
            known = Equals({"title": before.title, "link": before.link})
            return _writes("edited", person, changed, Put(to_item(bookmark_key(channel.id, bookmark), changed), known))

        self._core.happen(channel, deed)
        assert changed is not None
        return changed

    def remove(self, person: Person, channel: Channel, bookmark: str) -> None:
        """Keep a link no longer. Raises `NotFound` and other refusals."""

        def deed() -> Writes:
            self._channels.check(person, rights.Act.DESCRIBE, channel)
            row = self._there(channel, bookmark)
            return _writes("removed", person, row, Delete(bookmark_key(channel.id, bookmark), Exists()))

        self._core.happen(channel, deed)

    def _there(self, channel: Channel, bookmark: str) -> BookmarkRow:
        item = self._table.get(bookmark_key(channel.id, bookmark)) if bookmark else None
        if item is None:
            raise NotFound
        return from_item(item, BookmarkRow)


def _writes(what: str, person: Person, row: BookmarkRow, operation: Operation) -> Writes:
    event = BookmarkChanged(what=what, by=person.id, bookmark=row)
    return lambda place: ([event], [operation])


def check(title: str, link: str) -> None:
    """Raise unless these can be a bookmark: only addresses of web pages are ever opened."""
    if not title.strip() or len(title) > _MAX_TITLE:
        raise TooLong("A bookmark's title has 1 to 255 characters.")
    try:
        parts = urlsplit(link)
    except ValueError:
        raise InvalidLink from None
    if parts.scheme not in ("http", "https") or not parts.netloc or len(link) > _MAX_LINK or not link.isprintable():
        raise InvalidLink
