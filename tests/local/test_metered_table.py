"""Units of each call, whatever keeps the items, and of who joins and leaves."""

from __future__ import annotations

from typing import Any

import pytest

from roost.cost.units import read_units, write_units
from roost.local.metered_table import MeteredTable
from roost.storage.table import Check, ConditionFailed, Delete, Exists, Item, Key, Missing, Put, Update, item_size
from tests.local.metered import Chat


@pytest.fixture
def chat() -> Chat:
    return Chat()


def test_a_laptop_and_a_table_that_others_write_are_metered_alike() -> None:
    alike = []
    for exclusive in (True, False):
        chat = Chat(exclusive=exclusive)
        for n in range(120):
            chat.event("CONNECT", f"connection-{n:04}=")
        for line in ("first", "second", "x" * 3000, "/who", "/history"):
            chat.event("MESSAGE", "connection-0000=", line)
        use = chat.used("message")
        alike.append((use.writes, use.reads, use.ws_out, use.rounds))
    assert alike[0] == alike[1]
    assert alike[0][0] == 8 + 8 + 14  # 3,000 bytes and their names are 4 KB, and each counts double


def test_who_came_while_every_17th_was_counted_is_read_with_the_others(chat: Chat) -> None:
    for n in range(2_000):
        chat.event("CONNECT", f"connection-{n:04}=")
    assert chat.used("connect").events == pytest.approx(2_000, abs=17)
    chat.event("MESSAGE", "connection-0000=", "hello")
    chat.meter.take()
    chat.event("MESSAGE", "connection-0000=", "hello")
    here = chat.used("message").reads  # an item of about 90 bytes for each
    assert here > 2_000 * 80 / 4096


def test_the_units_of_each_call(chat: Chat) -> None:
    table = MeteredTable(chat.store, chat.meter)

    def units(act: Any) -> tuple[float, float]:
        act()
        uses = chat.meter.take()
        return (sum(use.writes for use in uses), sum(use.reads for use in uses))

    big: Item = {"PK": "A", "SK": "big", "v": "x" * 3000}
    indexed: Item = {"PK": "A", "SK": "i", "G1PK": "g", "G1SK": "s"}
    assert units(lambda: table.put(big)) == (3, 0)
    assert units(lambda: table.put(indexed, Missing())) == (2, 0)
    assert units(lambda: table.put(indexed)) == (1, 0)
    assert units(lambda: table.put({**indexed, "G1SK": "t"})) == (3, 0)
    assert units(lambda: table.update(Update(Key("A", "big"), set={"n": 1}))) == (3, 0)
    assert units(lambda: table.get_many([Key("A", "big"), Key("A", "i"), Key("B", "1"), Key("A", "i")])) == (0, 3)
    assert units(lambda: table.query("A")) == (0, 1)
    assert units(lambda: table.query_index("g")) == (0, 0.5)
    assert units(lambda: table.transact([Put(big), Check(Key("A", "i"), Exists())])) == (8, 0)
    assert units(lambda: table.transact([Update(Key("A", "big"), set={"n": 2}), Delete(Key("A", "i"))])) == (9, 0)
    assert units(lambda: table.transact([Put(indexed, Missing())])) == (3, 0)
    assert units(lambda: table.delete(Key("A", "big"))) == (3, 0)
    assert units(lambda: table.delete(Key("A", "big"))) == (1, 0)

    def refused() -> None:
        with pytest.raises(ConditionFailed):
            table.update(Update(Key("A", "big"), set={"n": 1}))

    assert units(refused) == (0, 0)
    table.watch(lambda changes: None)


@pytest.mark.parametrize("size", [1, 800, 880, 900, 1000, 1024, 1025, 2048, 2049, 4096, 4097, 30_000])
def test_units_are_exact_at_their_edges(size: int) -> None:
    item: Item = {"PK": "A", "SK": "1", "v": ""}
    item["v"] = "x" * max(0, size - item_size(item))
    assert write_units(item) == max(1, -(-item_size(item) // 1024))
    assert read_units(item) == max(1, -(-item_size(item) // 4096))
    assert read_units(None) == 1
