"""What clients keep for a person, and what the workspace is set to: small JSON values by name, in one item."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from roost.storage.items import PrefsRow, from_item, to_item
from roost.storage.table import ConditionFailed, Conflict, Equals, Key, Missing, Put, Table

_TRIES = 8


def get(table: Table, key: Key) -> PrefsRow:
    """What is kept, strong."""
    item = table.get(key)
    return PrefsRow(rev=0) if item is None else from_item(item, PrefsRow)


def changing(key: Key, before: PrefsRow, prefs: Mapping[str, str]) -> Put:
    """What keeps these in the place of what was kept; fails if that has changed meanwhile."""
    after = PrefsRow(rev=before.rev + 1, prefs=dict(prefs))
    return Put(to_item(key, after), Missing() if before.rev == 0 else Equals({"rev": before.rev}))


def change(table: Table, key: Key, alter: Callable[[Mapping[str, str]], dict[str, str]]) -> None:
    """Keep what `alter` makes of what is kept; it is called again where somebody was quicker. Raises `Conflict`."""
    for _ in range(_TRIES):
        before = get(table, key)
        write = changing(key, before, alter(before.prefs))
        try:
            table.put(write.item, write.condition)
        except ConditionFailed:
            continue
        return
    raise Conflict
