"""Keeps the search index up to date on the laptop: after commits, and never in their way."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from roost.chat.chat import Chat
from roost.local.waiting import Hub
from roost.storage.table import Item, Key, Table, TableError

log = logging.getLogger("roost.local")

_QUIET_SECONDS = 1.0  # after the last line of a channel, before it is indexed
_PATIENCE = 5  # times that a busy channel is put off


class Indexer:
    """Learns from commits which channels have something new, and indexes each when it is quiet, as a Task."""

    def __init__(self, chat: Chat, table: Table, hub: Hub) -> None:
        self._chat = chat
        self._hub = hub
        self._new: set[str] = set()  # since the last look
        self._waiting: dict[str, int] = {}  # channel → how often it was put off
        self._timer: asyncio.TimerHandle | None = None
        self._running = False
        table.watch(self._committed)

    def start(self) -> None:
        """Index what the last run left, then go on with what comes."""
        self._hub.run(self._catch_up)

    def stop(self) -> None:
        """Begin nothing more; what is left is indexed at the next start."""
        self._running = True
        if self._timer is not None:
            self._timer.cancel()

    def _catch_up(self) -> None:
        for channel in self._chat.search.behind():
            self._waiting[channel] = _PATIENCE
        self._look_later()

    def _committed(self, writes: Sequence[tuple[Key, Item | None]]) -> None:
        for (pk, _), item in writes:
            if (item is not None and pk.startswith("L#C")) or pk.startswith("L#D"):
                self._new.add(pk.split("#")[1])
        if self._new and self._timer is None:
            self._hub.loop.call_soon_threadsafe(self._look_later)

    def _look_later(self) -> None:
        if self._timer is None and not self._running and (self._new or self._waiting):
            self._timer = self._hub.loop.call_later(_QUIET_SECONDS, self._look)

    def _look(self) -> None:
        self._timer = None
        busy, self._new = self._new, set()
        for channel in busy:
            self._waiting[channel] = self._waiting.get(channel, 0) + 1
        ready = [each for each, times in self._waiting.items() if each not in busy or times >= _PATIENCE]
        for channel in ready:
            del self._waiting[channel]
        if ready:
            self._running = True
            self._hub.run(lambda: self._index(ready))
        else:
            self._look_later()

    def _index(self, channels: list[str]) -> None:
        try:
            for channel in channels:
                self._chat.search.index(channel)
        except TableError as error:
            log.warning("the search index is behind", extra={"fields": {"error": type(error).__name__}})
            self._waiting |= dict.fromkeys(channels, 0)
        finally:
            self._running = False
        self._look_later()
