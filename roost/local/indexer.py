"""Keeps the search index up to date on the laptop: after what happened was stored and told, and never in its way."""

from __future__ import annotations

import asyncio
import logging

from roost.chat.chat import Chat
from roost.local.waiting import Hub
from roost.storage.table import TableError

log = logging.getLogger("roost.local")

_LOOK_SECONDS = 1.0
_BUSY = 200  # happenings between two looks beyond which the index waits: people come first
_PATIENCE = 60  # looks for which it waits at most


class Indexer:
    """Indexes what has grown, once a second, as a Task; under load later. Runs on the event loop's thread alone."""

    def __init__(self, chat: Chat, hub: Hub) -> None:
        self._chat = chat
        self._hub = hub
        self._waiting: dict[str, None] = {}  # channels that have grown, in their order
        self._happenings = self._put_off = 0  # since the last look; looks that were put off
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
        self._waiting[channel] = None
        self._happenings += 1
        self._look_later()

    def _catch_up(self) -> None:
        try:
            self._waiting |= dict.fromkeys(self._chat.search.behind())
        except TableError as error:
            log.warning("the search index was not looked at", extra={"fields": {"error": type(error).__name__}})
        self._look_later()

    def _look_later(self) -> None:
        if self._timer is None and not (self._running or self._stopped) and self._waiting:
            self._timer = self._hub.loop.call_later(_LOOK_SECONDS, self._look)

    def _look(self) -> None:
        self._timer = None
        busy, self._happenings = self._happenings > _BUSY, 0
        if busy and self._put_off < _PATIENCE:
            self._put_off += 1
            self._look_later()
            return
        self._put_off = 0
        grown, self._waiting = list(self._waiting), {}
        self._running = True
        self._hub.run(lambda: self._index(grown))

    def _index(self, channels: list[str]) -> None:
        try:
            for channel in channels:
                self._chat.search.index(channel)
        except TableError as error:
            log.warning("the search index is behind", extra={"fields": {"error": type(error).__name__}})
            self._waiting |= dict.fromkeys(channels)
        self._running = False
        self._look_later()
