"""The same day of chat, metered on a laptop's SQLite and counted by DynamoDB: the units agree, action by action."""

from __future__ import annotations

import itertools
import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from roost.app import App
from roost.aws.dynamodb import DynamoTable
from roost.cost.use import Use
from roost.local.meter import Meter, MeteredPush, MeteredTable
from roost.local.sqlite import SqliteTable
from roost.settings import Settings
from roost.storage.table import Item, Operation, Put, item_size, key_of
from roost.testing import FakeClock, MemoryPush, socket_event
from tests.engines import new_table

_READS = {"GetItem", "BatchGetItem", "Query"}


NewTable: TypeAlias = Callable[[Callable[[], float]], SqliteTable | DynamoTable]


class Side:
    """A chat, metered, and its clock."""

    def __init__(
        self, table: Callable[[Callable[[], float]], SqliteTable | DynamoTable], *, meter: Meter | None = None
    ) -> None:
        self.clock = FakeClock()
        self.meter = meter or Meter()
        self.table = table(lambda: self.clock.now)
        metered = MeteredTable(self.table, self.meter)
        app = App(metered, MeteredPush(MemoryPush(), self.meter), self.clock, Settings())
        assert app.chat.core.workspace
        self.handle = self.meter.measured(app.handle)


def day_of_chat(seed: int) -> Iterator[tuple[float, dict[str, Any]]]:
    """Gateway events of twenty people in four channels, each with the seconds that pass before it."""
    chance = random.Random(seed)
    people = [f"Connection{n:04}A=" for n in range(20)]
    ids = itertools.count(1)

    def says(who: str, line: str) -> dict[str, Any]:
        return socket_event("MESSAGE", who, line, message_id=f"{who}{next(ids):06}=")

    for who in people:
        yield 1.0, socket_event("CONNECT", who)
        yield 0.1, says(who, f"/name {'x' * chance.randint(1, 60)}")
    for _ in range(300):
        who = chance.choice(people)
        length = chance.choice([5, 20, 80, 200, 600, 1_500, 6_000])
        others = ["/who", "/history", "/history 100", f"/channel c{chance.randint(0, 3)}", "/channels", "/help"]
        yield chance.expovariate(0.5), says(who, "w" * length if chance.random() < 0.8 else chance.choice(others))
    for who in people:
        yield 0.5, socket_event("DISCONNECT", who)


def play(side: Side) -> dict[str, Use]:
    """The day, and what each action used."""
    side.meter.take()
    for seconds, event in day_of_chat(1):
        side.clock.now += seconds
        context = event["requestContext"]
        now = side.clock.now_us() // 1000
        context["requestTimeEpoch"] = context["connectedAt"] = now
        side.handle(event)
    used: dict[str, Use] = {}
    for use in side.meter.take():
        used.setdefault(use.action, Use(use.action)).add(use)
    side.table.close()
    return used


class Counting(DynamoTable):
    """A table, and what the engine says that each action consumed.

    DynamoDB Local adds up a transaction's items as a set: four items of 2 units are 2. There each item of a transaction
    is written once more by itself, beside the chat's own, and counted from that.
    """

    def __init__(self, *, adds_up_a_set: bool, **options: Any) -> None:
        super().__init__(meter=self._count, **options)
        self.adds_up_a_set = adds_up_a_set
        self.actions = Meter()  #: says which action is at hand
        self.counted: defaultdict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])  #: write and read units
        self._paused = False
        self._apart = itertools.count()

    def transact(self, operations: Sequence[Operation]) -> None:
        if not self.adds_up_a_set:
            super().transact(operations)
            return
        keys = [key_of(each.item) if isinstance(each, Put) else each.key for each in operations]
        self._paused = True
        before = self.get_many(keys)
        super().transact(operations)
        after = self.get_many(keys)
        self._paused = False
        for versions in zip(before, after, strict=True):
            larger: Item = max((item for item in versions if item is not None), key=item_size, default={"PK": "-"})
            for _ in ("prepare", "commit"):
                apart: Item = {"PK": "-" * len(str(larger["PK"])), "SK": f"{next(self._apart):012}"}
                self.put({name: value for name, value in larger.items() if name not in ("G1PK", "G1SK")} | apart)
            entries = {(str(item["G1PK"]), item["G1SK"]) for item in versions if item is not None and "G1PK" in item}
            self.counted[self.actions.current().action][0] += len(entries)

    def _count(self, operation: str, consumed: Mapping[str, Any]) -> None:
        if not self._paused:
            self.counted[self.actions.current().action][operation in _READS] += consumed["CapacityUnits"]


@pytest.fixture(params=["ministack", pytest.param("dynamodb-local", marks=pytest.mark.reference)])
def counting(request: pytest.FixtureRequest) -> Iterator[Counting]:
    endpoint = request.getfixturevalue(f"{request.param.replace('-', '_')}_endpoint")
    local = request.param == "dynamodb-local"
    table = Counting(**new_table(endpoint, lambda: FakeClock().now), adds_up_a_set=local)
    yield table
    table.close()


def test_what_is_metered_on_a_laptop_is_what_dynamodb_counts(counting: Counting, tmp_path: Path) -> None:
    here = play(Side(lambda clock: SqliteTable(tmp_path / "t.db", clock=clock)))
    there = play(Side(lambda clock: counting, meter=counting.actions))
    assert here.keys() == there.keys() >= {"message", "connect", "disconnect", "/name", "/channel", "/who", "/history"}
    for action, use in here.items():
        writes, reads = counting.counted[action]
        assert use.writes == pytest.approx(writes, rel=0.05), f"write units of {action}"
        if counting.adds_up_a_set:  # which counts queries well; MiniStack takes each for one of 4 KB
            assert use.reads == pytest.approx(reads, rel=0.05), f"read units of {action}"
        assert (use.ws_out, use.rounds) == (there[action].ws_out, there[action].rounds), f"pushes of {action}"
