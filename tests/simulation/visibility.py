"""A store as DynamoDB's is: a transaction is decided at once and becomes visible item by item, until it is answered.

Who reads in between may see some of its items as they were. Who writes one of its items is in conflict with it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeVar

from roost.storage.table import Conflict, Item, Key, Operation, Put, TransactionFailed, key_of
from roost.testing import MemoryTable

T = TypeVar("T")


def keys_of(operations: Sequence[Operation]) -> list[Key]:
    """Which items they are about."""
    return [key_of(each.item) if isinstance(each, Put) else each.key for each in operations]


class PartlyVisible(MemoryTable):
    """MemoryTable, in which some items may be seen as they were for a while."""

    def __init__(self, *, clock: Callable[[], float], exclusive: bool) -> None:
        super().__init__(clock=clock, exclusive=exclusive)
        self._as_they_were: dict[Key, Item | None] = {}
        self._under_way: set[Key] = set()

    def raw(self, keys: Collection[Key]) -> dict[Key, Item | None]:
        """Items as they are, expired or not."""
        return {key: copy.deepcopy(self._items.get(key.pk, {}).get(key.sk)) for key in keys}

    def begin(self, before: dict[Key, Item | None], hidden: Callable[[Key], bool]) -> None:
        """A transaction has happened that is not answered yet. What is hidden is seen as it was."""
        self._under_way |= before.keys()
        self._as_they_were |= {key: item for key, item in before.items() if hidden(key)}

    def end(self, keys: Collection[Key]) -> None:
        """It is about to be answered: all of it is seen."""
        self._under_way -= set(keys)
        for key in keys:
            self._as_they_were.pop(key, None)

    def check_conflicts(self, operations: Sequence[Operation], *, single: bool) -> None:
        """Raise a conflict where another transaction is not through with an item."""
        reasons = [Conflict("another is at it") if key in self._under_way else None for key in keys_of(operations)]
        if any(reasons):
            raise Conflict("another is at it") if single else TransactionFailed(reasons)

    def get(self, key: Any) -> Any:
        return self._seen(lambda: super(PartlyVisible, self).get(key))

    def query(self, pk: str, **options: Any) -> Any:
        return self._seen(lambda: super(PartlyVisible, self).query(pk, **options))

    def query_index(self, g1pk: str, **options: Any) -> Any:
        return self._seen(lambda: super(PartlyVisible, self).query_index(g1pk, **options))

    def _seen(self, read: Callable[[], T]) -> T:
        hidden = self._as_they_were
        if not hidden:
            return read()
        really = self.raw(hidden)
        for key, item in hidden.items():
            self._write(key, item)
        try:
            return read()
        finally:
            for key, item in really.items():
                self._write(key, item)
