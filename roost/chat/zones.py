"""Time zones, by the names of the IANA database."""

from __future__ import annotations

import functools
import re
from datetime import datetime
from zoneinfo import ZoneInfo

from roost.chat.errors import InvalidZone

UTC = "Etc/UTC"
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_+-]{0,31}(/[A-Za-z0-9_+-]{1,31}){0,2}")  # nothing that could be another path


def known_zone(name: str) -> str:
    """The name, if there is such a zone. Raises `InvalidZone`."""
    if _zone(name) is None:
        raise InvalidZone
    return name


def offset(name: str, now: int) -> int:
    """By how many seconds a zone is ahead of UTC at a time, in seconds; 0 for one that is not known."""
    zone = _zone(name)
    ahead = None if zone is None else datetime.fromtimestamp(now, zone).utcoffset()
    return 0 if ahead is None else int(ahead.total_seconds())


@functools.lru_cache(1000)
def _zone(name: str) -> ZoneInfo | None:
    if not _NAME.fullmatch(name):
        return None
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):  # a folder; no zone file; not there
        return None
