"""What each act costs in DynamoDB's units, as the store says it itself (`ReturnConsumedCapacity`): the table in
docs/storage.md.

The two engines count well, each but for one thing, so that every number is had from one that counts it right. MiniStack
takes any query for one of up to 4 KB: what is larger is measured on DynamoDB Local. DynamoDB Local adds up a
transaction's items as a set, so that four of 2 units are 2, and an index entry as transactional: it must be wrong in
just this way by the sizes of the items, and they are what is counted.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import boto3
import pytest

from roost.app import App
from roost.aws.dynamodb import DynamoTable, table_definition
from roost.aws.functions import LambdaClock
from roost.aws.sign import Credentials
from roost.settings import Settings
from roost.storage.table import Item, Operation, Put, item_size, key_of
from roost.testing import MemoryPush, socket_event
from tests.tools import ROOT, dynamodb_local, ministack

READS = frozenset({"GetItem", "BatchGetItem", "Query"})
FURTHER_KB = 5


class Metered(DynamoTable):
    """The table; what it consumed, and what each item of its transactions should."""

    def __init__(self, name: str, endpoint: str) -> None:
        key = Credentials("test", "test")
        super().__init__(
            name, endpoint=endpoint, region="eu-west-1", credentials=lambda: key, timeout=30.0, meter=self._consumed
        )
        self.read = self.written = 0.0
        self.transactions: list[float] = []  #: as they were consumed
        self.items: list[
            list[tuple[int, int]]
        ] = []  #: of each transaction, its items' units: in the table, in the index
        self._paused = False

    def transact(self, operations: Sequence[Operation]) -> None:
        keys = [key_of(each.item) if isinstance(each, Put) else each.key for each in operations]
        before = self._look(keys)
        super().transact(operations)
        self.items.append([units_of(pair) for pair in zip(before, self._look(keys), strict=True)])

    def _look(self, keys: Sequence[Any]) -> list[Item | None]:
        self._paused = True
        items = [self.get(key) for key in keys]
        self._paused = False
        return items

    def _consumed(self, operation: str, capacity: Mapping[str, Any]) -> None:
        units = float(capacity["CapacityUnits"])
        if self._paused:
            return
        if operation == "TransactWriteItems":
            self.transactions.append(units)
        elif operation in READS:
            self.read += units or 0.5  # DynamoDB Local counts a query of the index that finds nothing as nothing
        else:
            self.written += units


def units_of(versions: Sequence[Item | None]) -> tuple[int, int]:
    """What writing an item costs in a transaction: twice its larger version, in KB; and one if it enters the index."""
    size = max([item_size(item) for item in versions if item is not None], default=1)
    entries = {item is not None and item.get("G1SK") for item in versions} - {None, False}
    return 2 * math.ceil(size / 1024), len(entries)


class Meter:
    """A chat on a table, act by act."""

    def __init__(self, endpoint: str, *, reference: bool) -> None:
        self.reference = reference
        self.table = Metered(f"units-{time.time_ns()}", endpoint)
        client = boto3.client(
            "dynamodb",
            endpoint_url=endpoint,
            region_name="eu-west-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        client.create_table(**table_definition(self.table._name))
        client.close()
        self.app = App(self.table, MemoryPush(), LambdaClock(), Settings())

    def act(self, kind: str, connection: str, body: str | None = None) -> tuple[float, float]:
        """Write and read units of one event."""
        table = self.table
        table.read = table.written = 0.0
        table.transactions, table.items = [], []
        self.app.handle(socket_event(kind, connection, body, time=time.time_ns() // 1_000_000))
        for consumed, items in zip(table.transactions, table.items, strict=True):
            units = sum(map(sum, items))
            told = sum({here + 2 * index for here, index in items}) if self.reference else units
            assert consumed == told, f"{consumed} for {items}"
            table.written += units
        return table.written, table.read

    def says(self, connection: str, body: str) -> tuple[float, float]:
        """Write and read units of a line."""
        return self.act("MESSAGE", connection, body)


@pytest.fixture(params=["ministack", pytest.param("dynamodb-local", marks=pytest.mark.reference)])
def meter(request: pytest.FixtureRequest) -> Iterator[Meter]:
    local = request.param == "dynamodb-local"
    with (dynamodb_local if local else ministack)() as endpoint:
        made = Meter(endpoint, reference=local)
        yield made
        made.table.close()


def connections(count: int) -> list[str]:
    """Ids as API Gateway makes them."""
    return [f"L0SM9cOFvHcCI{number:03}=" for number in range(count)]


def measured(meter: Meter) -> dict[str, tuple[float, float]]:
    """Every act of the text protocol among a few people, by its name in the docs."""
    first, second, third = connections(3)
    meter.act("CONNECT", first)  # makes the workspace
    acts: dict[str, Callable[[], tuple[float, float]]] = {
        "connect": lambda: meter.act("CONNECT", second),
        "say a line": lambda: meter.says(second, "hello"),
        "`/name`": lambda: meter.says(second, "/name bz"),
        "`/channel`, a new one": lambda: meter.says(second, "/channel random"),
        "`/channel`": lambda: meter.says(second, "/channel general"),
        "`/who`": lambda: meter.says(second, "/who"),
        "`/channels`": lambda: meter.says(second, "/channels"),
        "`/history`": lambda: meter.says(second, "/history"),
        "`/help`": lambda: meter.says(second, "/help"),
        "disconnect": lambda: meter.act("DISCONNECT", second),
    }
    found = {name: act() for name, act in acts.items()}
    meter.act("CONNECT", third)
    short, long = (meter.says(third, "x" * length) for length in (100, 100 + FURTHER_KB * 1024))
    found["each further KB of a line"] = ((long[0] - short[0]) / FURTHER_KB, long[1] - short[1])
    return found


def documented() -> dict[str, tuple[float, float]]:
    text = (ROOT / "docs" / "storage.md").read_text().partition("## Units")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (.+?) \| ([\d.]+) \| ([\d.]+) \|$", text, re.MULTILINE)
    return {name: (float(written), float(read)) for name, written, read in rows}


def test_each_act_costs_what_the_docs_say(meter: Meter) -> None:
    assert measured(meter) == documented()


def test_a_connection_costs_the_same_in_a_channel_of_any_size(meter: Meter) -> None:
    first, *others = connections(120)
    meter.act("CONNECT", first)
    assert {meter.act("CONNECT", other) for other in others} == {(2, 0)}
    assert {meter.act("DISCONNECT", other) for other in others} == {(2, 1)}


@pytest.mark.reference
@pytest.mark.parametrize("meter", ["dynamodb-local"], indirect=True)
def test_what_reads_many_items_costs_a_unit_per_four_kilobytes(meter: Meter) -> None:
    people = connections(150)
    for each in people:
        meter.act("CONNECT", each)
    for number in range(40):
        meter.says(people[number], f"line {number} " + "x" * 400)
    general = f"C#{meter.app.chat.core.workspace.general}"
    _, who = meter.says(people[0], "/who")
    assert who == 1 + strong(meter, general, "N#")
    _, history = meter.says(people[0], "/history 40")
    months = f"{general}#{time.strftime('%Y%m', time.gmtime())}"
    assert history == documented()["`/history`"][1] - 1 + strong(meter, months, "")
    assert history > 5


def strong(meter: Meter, pk: str, prefix: str) -> int:
    """The read units of a range of under 1 MB."""
    size = sum(map(item_size, meter.table.query(pk, prefix=prefix).items))
    return math.ceil(size / 4096)
