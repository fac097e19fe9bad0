"""Whom a message concerns: those it names, and those who follow its thread from now on. Stored with the message."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from roost.chat import mentions
from roost.chat.core import Core, Writes
from roost.chat.events import AnyEvent, ThreadFollowed
from roost.chat.model import Channel, Person
from roost.storage import follows, members, messages
from roost.storage.items import FollowRow
from roost.storage.log import Place
from roost.storage.table import Operation


class Notices:
    """The notices of one message: `writes` for each try to store it, `tell` when it is stored."""

    def __init__(self, core: Core, author: Person, channel: Channel, parts: Sequence[str], thread: str) -> None:
        self._core = core
        self._table = core.table
        self._author = author
        self._channel = channel
        self._parts = parts
        self._thread = thread
        self._named: list[str] = []
        self._follows: list[tuple[str, FollowRow]] = []

    def writes(self) -> Writes:
        """What notes whom the message names, and who follows its thread."""
        users = [user for user in mentions.named(*self._parts) if user != self._author.id]
        self._named = mentions.of_members(self._table, self._channel.id, users)
        followers = self._followers() if self._thread else []

        def write(place: Place) -> tuple[Sequence[AnyEvent], Sequence[Operation]]:
            self._follows = [(user, self._as_of(place, user, row)) for user, row in followers]
            first = mentions.noting(self._named[: mentions.IN_ONE_WRITE], self._channel.id, self._author.id, place)
            return (), [*first, *(follows.following(user, row) for user, row in self._follows)]

        return write

    def _followers(self) -> list[tuple[str, FollowRow]]:
        """Who follows the thread once the author has answered: they, and with the first answer who began it."""
        table, channel, thread, author = self._table, self._channel.id, self._thread, self._author
        new = FollowRow(channel=channel, thread=thread, since=self._core.now)
        found: list[tuple[str, FollowRow]] = []
        if not author.bot:
            found.append((author.id, follows.get(table, author.id, channel, thread) or new))
        root = messages.get(table, channel, thread)
        if root is None or root.replies or root.bot or root.user == author.id:
            return found
        known = follows.get(table, root.user, channel, thread)
        if known is None and members.get(table, channel, root.user) is not None:
            found.append((root.user, new))
        return found

    def _as_of(self, place: Place, user: str, row: FollowRow) -> FollowRow:
        read = place.ts if user == self._author.id else row.thread
        return msgspec.structs.replace(row, last_read=read, ended=False)

    def tell(self, ts: str) -> None:
        """Note the rest of those who were named, and tell people that they follow the thread."""
        place = Place(ts, 0, 0, self._core.now)
        rest = mentions.noting(self._named[mentions.IN_ONE_WRITE :], self._channel.id, self._author.id, place)
        if rest:
            self._table.transact(rest)
        for user, row in self._follows:
            self._core.tell_person(user, ThreadFollowed(user=user, what="subscribed", follow=row))
