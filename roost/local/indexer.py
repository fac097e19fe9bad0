"""Keeps the search index up to date on the laptop: after what happened was stored and told, and never in its way."""

from __future__ import annotations

import asyncio
import logging

from roost.chat.chat import Chat
from roost.local.waiting import Hub
from roost.storage.table import TableError

log = logging.getLogger("roost.local")

_QUIET_SECONDS = 1.0  # between looks; a channel in which nothing happened since the last one is indexed
_PATIENCE = 5  # looks for which a busy channel is put off


class Indexer:
    """Indexes each channel when it is quiet, as a Task. Everything here runs on the event loop's thread."""

    def __init__(self, chat: Chat, hub: Hub) -> None:
        self._chat = chat
        self._hub = hub
        self._new: set[str] = set()  # since the last look
        self._waiting: dict[str, int] = {}  # channel → how often it was put off
        self._timer: asyncio.TimerHandle | None = None
        self._running = self._stopped = False

    def start(self) -> None:
        """Index what the last run left, then go on with what comes."""
        self._chat.core.happened = self._happened
        self._hub.run(self._catch_up)

    def stop(self) -> None:
        """Begin nothing more; what is left is indexed after the next start."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()

    def _happened(self, channel: str) -> None:
        self._new.add(channel)
        self._look_later()

    def _catch_up(self) -> None:
        try:
            self._waiting |= dict.fromkeys(self._chat.search.behind(), _PATIENCE)
        except TableError as error:
            log.warning("the search index was not looked at", extra={"fields": {"error": type(error).__name__}})
        self._look_later()

    def _look_later(self) -> None:
        if self._timer is None and not (self._running or self._stopped) and (self._new or self._waiting):
            self._timer = self._hub.loop.call_later(_QUIET_SECONDS, self._look)

    def _look(self) -> None:
        self._timer = None
        busy, self._new = self._new, set()
        for channel in busy:
            self._waiting[channel] = self._waiting.get(channel, -1) + 1
        ready = [each for each, times in self._waiting.items() if each not in busy or times >= _PATIENCE]
        for channel in ready:
            del self._waiting[channel]
        if not ready:
            self._look_later()
            return
        self._running = True
        self._hub.run(lambda: self._index(ready))

    def _index(self, channels: list[str]) -> None:
        try:
            for channel in channels:
                self._chat.search.index(channel)
        except TableError as error:
            log.warning("the search index is behind", extra={"fields": {"error": type(error).__name__}})
            self._waiting |= dict.fromkeys(channels, 0)
        self._running = False
        self._look_later()
