"""What the crash tests write, and what must be there afterwards.

Each writer keeps a head that counts, and appends as the chat does: head, message, event and idempotency row in one
transaction. So one look at the file tells whether a transaction is there in part, out of order, or missing.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import apsw

from roost.local.sqlite import SqliteTable
from roost.storage.table import Equals, Item, Key, Missing, Operation, Put, StoreUnavailable, Update

WRITERS = 4

#: For each writer the last number that the store acknowledged, or that stands in the file.
Numbers = dict[int, int]


def append(table: SqliteTable, writer: int, number: int) -> None:
    """Append a writer's next message."""
    head: Operation = Update(_head(writer), set={"n": number}, condition=Equals({"n": number - 1}))
    if number == 1:
        head = Put({**_keys(_head(writer)), "n": 1}, Missing())
    table.transact([head, *(Put(row, Missing()) for row in _rows(writer, number))])


def write(table: SqliteTable, writer: int, acknowledged: Callable[[int, int], None], count: int = 1 << 60) -> None:
    """Append, and say what was acknowledged, until the store is gone."""
    try:
        number = _last(table, writer)
        for _ in range(count):
            number += 1
            append(table, writer, number)
            acknowledged(writer, number)
    except StoreUnavailable:
        return


def verify(path: Path) -> Numbers:
    """How far each writer came. Fails where a transaction is there in part or the file is damaged."""
    table = SqliteTable(path)
    try:
        found = {writer: _last(table, writer) for writer in range(WRITERS)}
        for writer, last in found.items():
            expected = [_rows(writer, number) for number in range(1, last + 1)]
            kinds = list(zip(*expected, strict=True)) or [(), (), ()]
            for kind, rows in zip(("log", "event", "once"), kinds, strict=True):
                assert _partition(table, f"{kind}#{writer}") == list(rows), f"half a transaction of writer {writer}"
    finally:
        table.close()
    connection = apsw.Connection(str(path))
    answer = list(connection.execute("PRAGMA integrity_check"))
    connection.close()
    assert answer == [("ok",)]
    return found


def lost(acknowledged: Numbers, found: Numbers) -> Numbers:
    """Per writer, how many acknowledged messages are not there."""
    return {writer: last - found[writer] for writer, last in acknowledged.items() if last > found[writer]}


def seed() -> int:
    """Where a run's random numbers begin. `ROOST_SEED=n` replays the part that failed as part 0."""
    return int(os.environ.get("ROOST_SEED", random.randrange(1 << 32)))


def _rows(writer: int, number: int) -> tuple[Item, Item, Item]:
    length = 6_000 if number % 17 == 0 else (number * 37 + writer * 101) % 900  # some need pages of their own
    row: Item = {"n": number, "text": "x" * length}
    sk = f"{number:012}"
    return (
        {"PK": f"log#{writer}", "SK": sk, **row},
        {"PK": f"event#{writer}", "SK": sk, "x": 1 << 40, **row},
        {"PK": f"once#{writer}", "SK": sk, "G1PK": "once", "G1SK": sk},
    )


def _last(table: SqliteTable, writer: int) -> int:
    head = table.get(_head(writer))
    return 0 if head is None else int(str(head["n"]))


def _head(writer: int) -> Key:
    return Key("head", str(writer))


def _keys(key: Key) -> Item:
    return {"PK": key.pk, "SK": key.sk}


def _partition(table: SqliteTable, pk: str) -> list[Item]:
    items: list[Item] = []
    after: str | None = None
    while True:
        page = table.query(pk, after=after)
        items += page.items
        if page.next is None:
            return items
        after = page.next
