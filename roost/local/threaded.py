"""A Table whose calls block, for Tasks: each call runs on a thread of a small pool while the event loop goes on.

DynamoDB is asked over sockets that wait. On Lambda that is right, since an execution environment has one event at a
time; here many Tasks share one thread, so whoever asks steps aside until the answer is there. A caller that is no Task
waits itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from roost.local.waiting import elsewhere
from roost.storage.table import Condition, IndexPage, Item, Key, Operation, Page, Table, Update, Watcher

T = TypeVar("T")

THREADS = 32  # calls under way at once; more wait their turn


class ThreadedTable:
    """The Table port over another one, whose calls it moves off the event loop's thread."""

    def __init__(self, table: Table, threads: int = THREADS) -> None:
        self._table = table
        self._pool = ThreadPoolExecutor(threads, "table")
        self.exclusive = table.exclusive

    def get(self, key: Key) -> Item | None:
        """The item, or None."""
        return self._call(partial(self._table.get, key))

    def get_many(self, keys: Sequence[Key]) -> list[Item | None]:
        """The items in the order of `keys`."""
        return self._call(partial(self._table.get_many, keys))

    def query(
        self,
        pk: str,
        *,
        prefix: str = "",
        low: str | None = None,
        high: str | None = None,
        reverse: bool = False,
        limit: int = 1000,
        after: str | None = None,
    ) -> Page:
        """Items of one partition in the order of their SK."""
        ask = partial(self._table.query, pk, prefix=prefix, low=low, high=high)
        return self._call(partial(ask, reverse=reverse, limit=limit, after=after))

    def query_index(
        self, g1pk: str, *, prefix: str = "", reverse: bool = False, limit: int = 1000, after: str | None = None
    ) -> IndexPage:
        """Keys of the items with this `G1PK`."""
        ask = partial(self._table.query_index, g1pk, prefix=prefix)
        return self._call(partial(ask, reverse=reverse, limit=limit, after=after))

    def put(self, item: Item, condition: Condition | None = None) -> None:
        """Write the whole item."""
        self._call(partial(self._table.put, item, condition))

    def update(self, update: Update) -> Item:
        """Change an item and answer it as it is now."""
        return self._call(partial(self._table.update, update))

    def delete(self, key: Key, condition: Condition | None = None) -> None:
        """Remove an item."""
        self._call(partial(self._table.delete, key, condition))

    def transact(self, operations: Sequence[Operation]) -> None:
        """Apply all operations or none."""
        self._call(partial(self._table.transact, operations))

    def watch(self, watcher: Watcher) -> None:
        """As the table underneath has it."""
        self._table.watch(watcher)

    def close(self) -> None:
        """End the threads, once their calls are answered."""
        self._pool.shutdown()

    def _call(self, function: Callable[[], T]) -> T:
        return elsewhere(self._pool, function)
