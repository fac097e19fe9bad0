"""Writes what was metered to the day's file, every few seconds if there is anything."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from roost.cost.use import Day, Folder, Use
from roost.local.meter import Meter
from roost.storage.channels import by_id
from roost.storage.table import Table, TableError

_FILES_SECONDS = 900.0

log = logging.getLogger("roost.local")


class Ledger:
    """Adds what the meter has to the day, and keeps the day's file."""

    def __init__(
        self,
        folder: Folder,
        meter: Meter,
        table: Table,
        *,
        connections: Callable[[], int],
        size: Callable[[], int],
        files: Path,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._folder = folder
        self._meter = meter
        self._table = table
        self._connections = connections
        self._size = size
        self._files = files
        self._files_looked = -_FILES_SECONDS
        self._clock = clock
        self._looked = clock()
        self._writing = threading.Lock()  # a stop does not wait for the write before it
        self._day = folder.day(self._date())

    async def keep(self, seconds: float) -> None:
        """Do so for ever."""
        while True:
            await asyncio.sleep(seconds)
            await self.flush()

    async def flush(self) -> None:
        """Write what there is. A disk that takes nothing is said and stops nobody: it is tried again."""
        if self._collect():
            try:
                await asyncio.to_thread(self._write, self._day)
            except (OSError, TableError) as error:
                log.warning("the use was not written", extra={"fields": {"error": type(error).__name__}})

    def _collect(self) -> bool:
        """Add what was metered to the day; whether there was anything."""
        now = self._clock()
        minutes = self._connections() * max(0.0, now - self._looked) / 60
        self._looked = now
        uses = self._meter.take()
        if minutes:
            uses.append(Use("connections", minutes=minutes))
        date = self._date()
        if date != self._day.date:
            self._day = self._folder.day(date)
        self._day.add(uses)
        return bool(uses)

    def _write(self, day: Day) -> None:
        with self._writing:
            day.table_bytes = self._size()
            day.file_bytes = self._file_bytes(day)
            for channel in {use.channel for use in day.uses} - day.names.keys() - {""}:
                row = by_id(self._table, channel)
                if row is not None:
                    day.names[channel] = row.name
            self._folder.write(day)

    def _file_bytes(self, day: Day) -> int:
        """What all files come to; looked at now and then, since every one of them is."""
        now = time.monotonic()
        if day.file_bytes and now - self._files_looked < _FILES_SECONDS:
            return day.file_bytes
        self._files_looked = now
        return sum(file.stat().st_size for file in self._files.rglob("*") if file.is_file())

    def _date(self) -> str:
        return time.strftime("%Y-%m-%d", time.gmtime(self._clock()))
