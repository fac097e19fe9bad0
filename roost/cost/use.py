"""What was metered: a small file per UTC day, with what each action in each channel used.

The server adds to the day's file now and then, by replacing it; anybody may read it at any time.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from roost.cost import model
from roost.cost.bill import Quantities

_DAYS_IN_MONTH = 365 / 12
_MOST = 10_000  # of a day: actions and channels are many, and somebody may make up more


class Use(msgspec.Struct, omit_defaults=True, gc=False):
    """What one kind of action used in one channel, within one day."""

    action: str  #: `message`, `/history`, `connect`, a method of the Web API, …; `connections` for being there
    channel: str = ""  #: its id; empty where there is none
    events: int = 0  #: how often it happened
    invocations: int = 0  #: Lambda requests
    ws_in: int = 0  #: messages, by 32 KB
    ws_out: int = 0
    http: int = 0  #: requests, by 512 KB
    reads: float = 0.0  #: units
    writes: float = 0.0
    appends: int = 0
    rounds: int = 0  #: of posts to connections
    minutes: float = 0.0  #: of connections

    def add(self, other: Use) -> None:
        """Add what another used."""
        self.events += other.events
        self.invocations += other.invocations
        self.ws_in += other.ws_in
        self.ws_out += other.ws_out
        self.rounds += other.rounds
        self.reads += other.reads
        self.writes += other.writes
        self.appends += other.appends
        if other.http or other.minutes:
            self.http += other.http
            self.minutes += other.minutes

    def times(self, number: int) -> Use:
        """As if it had happened so many times."""
        return Use(self.action, self.channel, *(getattr(self, name) * number for name in _COUNTED))

    def quantities(self) -> Quantities:
        """As AWS counts it."""
        return Quantities(
            ws_messages=self.ws_in + self.ws_out,
            ws_minutes=self.minutes,
            http_requests=self.http,
            lambda_requests=self.invocations,
            lambda_gb_seconds=model.gb_seconds(self.invocations, self.appends, self.rounds),
            write_units=self.writes,
            read_units=self.reads,
            log_gb=model.log_gb(self.invocations),
        )


_COUNTED = Use.__struct_fields__[2:]


class Day(msgspec.Struct, omit_defaults=True):
    """One day's use."""

    date: str  #: `2026-11-25`, UTC
    uses: list[Use] = []
    names: dict[str, str] = {}  #: of channels, by id
    table_bytes: int = 0  #: how large the data was when last looked at
    file_bytes: int = 0  #: and the files

    def add(self, uses: Iterable[Use]) -> None:
        """Add some use to what the day has of its kind."""
        known = {(use.action, use.channel): use for use in self.uses}
        for use in uses:
            if (use.action, use.channel) not in known and len(self.uses) >= _MOST:
                use.action, use.channel = "other", ""
            there = known.setdefault((use.action, use.channel), use)
            if there is use:
                self.uses.append(use)
            else:
                there.add(use)

    def stored(self) -> Quantities:
        """What it costs to have kept the data for this day."""
        return Quantities(
            table_gb_months=self.table_bytes / 1e9 / _DAYS_IN_MONTH,
            file_gb_months=self.file_bytes / 1e9 / _DAYS_IN_MONTH,
        )


class Folder:
    """The files of all days."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def day(self, date: str) -> Day:
        """A day's use so far; an empty one where there is no file, or none that can be read."""
        try:
            return msgspec.json.decode((self._path / f"{date}.json").read_bytes(), type=Day)
        except (FileNotFoundError, NotADirectoryError, msgspec.MsgspecError):
            return Day(date)

    def write(self, day: Day) -> None:
        """Replace a day's file: who reads it meanwhile sees the old one or the new one, whole."""
        self._path.mkdir(parents=True, exist_ok=True, mode=0o700)
        new = self._path / f".{day.date}.new"
        with new.open("wb") as file:
            file.write(msgspec.json.encode(day))
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._path / f"{day.date}.json")

    def month(self, month: str) -> list[Day]:
        """The days of a month (`2026-11`) on which anything was metered, in order."""
        return [self.day(file.stem) for file in sorted(self._path.glob(f"{month}-??.json"))]

    def newest_month(self) -> str | None:
        """The last month with any use."""
        files = sorted(self._path.glob("????-??-??.json"))
        return files[-1].stem[:7] if files else None
