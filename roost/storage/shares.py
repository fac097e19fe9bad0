"""Shares of a large audience that were handed to other processes: each is delivered by one at a time, and once done not
again.

What hands them over does so at least once, and people at a terminal cannot tell a line that came twice from one that
was said twice. So a process claims a share for as long as it can live, and notes when all of it is sent. Who comes
meanwhile is turned away to come again; who comes after that finds it done. One that dies half way leaves a claim that
runs out: the next sends all of it, and some hear it twice. That none misses it weighs more.
"""

from __future__ import annotations

from roost.storage.items import SHARE_LIFE, ShareRow, from_item, share_key, to_item
from roost.storage.table import Condition, ConditionFailed, Equals, Missing, Table


class Taken(Exception):
    """Another process is delivering this share. Come again when its claim has run out."""


def claim(table: Table, name: str, now: int, until: int) -> bool:
    """Take a share until a time, in milliseconds; False where it is done. Raises `Taken`."""
    row = ShareRow(until=until, done=False)
    try:
        _write(table, name, row, now, Missing())
        return True
    except ConditionFailed as failure:
        before = None if failure.item is None else from_item(failure.item, ShareRow)
    if before is not None and before.done:
        return False
    if before is None or before.until > now:
        raise Taken
    try:
        _write(table, name, row, now, Equals({"until": before.until, "done": False}))
        return True
    except ConditionFailed:
        raise Taken from None


def finish(table: Table, name: str, now: int) -> None:
    """Note that all of a share was sent."""
    _write(table, name, ShareRow(until=now, done=True), now, None)


def _write(table: Table, name: str, row: ShareRow, now: int, condition: Condition | None) -> None:
    table.put(to_item(share_key(name), row, x=now // 1000 + SHARE_LIFE), condition)
