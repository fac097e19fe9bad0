"""Cursors: opaque, of one call and one person, and good for nothing else."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Sequence
from typing import TypeVar

from roost.slack.call import Call
from roost.slack.errors import ApiError

T = TypeVar("T")

_TAG = 9  # bytes of the check on a cursor


def limit(wanted: int, most: int) -> int:
    """How many a page may hold. Raises `invalid_limit`; 0 means the method's own, as clients send it."""
    if wanted == 0:
        return min(100, most)
    if not 0 < wanted <= max(most, 1000):
        raise ApiError("invalid_limit")
    return min(wanted, most)


def write(call: Call, place: str, subject: str) -> str:
    """A cursor that goes on after a place, in a list of this subject."""
    return base64.urlsafe_b64encode(_tag(call, place, subject) + place.encode()).decode()


def read(call: Call, cursor: str, subject: str) -> str:
    """The place of a cursor, "" where there is none. Raises `invalid_cursor` for one that we did not write for this."""
    if not cursor:
        return ""
    try:
        raw = base64.urlsafe_b64decode(cursor.encode("ascii"))
        place = raw[_TAG:].decode()
    except (binascii.Error, ValueError):
        raise ApiError("invalid_cursor") from None
    if not hmac.compare_digest(raw[:_TAG], _tag(call, place, subject)):
        raise ApiError("invalid_cursor")
    return place


def _tag(call: Call, place: str, subject: str) -> bytes:
    """Nothing secret hangs on it: rights are asked again for every page. It only tells a cursor of ours from others."""
    text = f"{call.chat.core.workspace.epoch} {call.person.id} {subject} {place}"
    return hashlib.sha256(text.encode()).digest()[:_TAG]


def after(
    call: Call, rows: Sequence[T], key: Callable[[T], str], size: int, cursor: str, subject: str
) -> tuple[Sequence[T], str]:
    """A page of rows that are sorted by `key`, and the cursor of the next ("" on the last)."""
    place = read(call, cursor, subject)
    rest = [row for row in rows if key(row) > place] if place else rows
    page = rest[:size]
    return page, write(call, key(page[-1]), subject) if len(rest) > size else ""
