"""The same day of chat, metered on a laptop's SQLite and counted by DynamoDB: the units agree, action by action."""

from __future__ import annotations

import itertools
import json
import random
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from roost.app import App
from roost.aws.dynamodb import DynamoTable
from roost.cost.use import Use
from roost.local.meter import Meter, MeteredPush
from roost.local.metered_table import MeteredTable
from roost.local.sqlite import SqliteTable
from roost.settings import Settings
from roost.storage.table import Item, Key, Operation, Page, Put, item_size, key_of
from roost.testing import FakeClock, MemoryPush, http_event, socket_event
from tests.engines import new_table

_READS = {"GetItem", "BatchGetItem", "Query"}


NewTable: TypeAlias = Callable[[Callable[[], float]], SqliteTable | DynamoTable]


class Side:
    """A chat, metered, and its clock."""

    def __init__(self, table: NewTable, *, meter: Meter | None = None) -> None:
        self.clock = FakeClock()
        self.meter = meter or Meter()
        self.table = table(lambda: self.clock.now)
        self._ids = itertools.count(1)
        metered = MeteredTable(self.table, self.meter)
        self.app = App(metered, MeteredPush(MemoryPush(), self.meter), self.clock, Settings())
        assert self.app.chat.core.workspace
        self._handle = self.meter.measured(self.app.handle)

    def socket(self, kind: str, connection: str, body: str | None = None, **event: Any) -> None:
        """A socket's event, a moment after the last."""
        self.clock.now += 0.5
        message_id = f"{connection}{next(self._ids):06}="
        now = self.clock.now_us() // 1000
        answer = self._handle(socket_event(kind, connection, body, time=now, message_id=message_id, **event))
        assert answer["statusCode"] == 200

    def call(self, token: str, method: str, **arguments: Any) -> dict[str, Any]:
        """A call of the Web API."""
        self.clock.now += 0.5
        event = http_event("POST", f"/api/{method}")
        event["headers"] = {"authorization": f"Bearer {token}", "content-type": "application/json"}
        event["body"] = json.dumps(arguments)
        answer: dict[str, Any] = json.loads(self._handle(event)["body"])
        assert answer["ok"], (method, answer)
        return answer

    def used(self) -> dict[str, Use]:
        """What each action used, in all channels together."""
        used: dict[str, Use] = {}
        for use in self.meter.take():
            used.setdefault(use.action, Use(use.action)).add(use)
        return used


def guests(side: Side) -> None:
    """Twenty people on text connections, in four channels."""
    chance = random.Random(1)
    people = [f"Connection{n:04}A=" for n in range(20)]
    for who in people:
        side.socket("CONNECT", who)
        side.socket("MESSAGE", who, f"/name {'x' * chance.randint(1, 60)}")
    for _ in range(250):
        length = chance.choice([5, 20, 80, 200, 600, 1_500, 6_000])
        others = ["/who", "/history", "/history 100", f"/channel c{chance.randint(0, 3)}", "/channels", "/help"]
        line = "w" * length if chance.random() < 0.8 else chance.choice(others)
        side.socket("MESSAGE", chance.choice(people), line)
    for who in people:
        side.socket("DISCONNECT", who)


def members(side: Side, tokens: Sequence[str]) -> None:
    """Members with event streams, who do what a client does in two channels."""
    chance = random.Random(2)
    for n, token in enumerate(tokens):
        ticket = side.call(token, "rtm.connect")["url"].partition("ticket=")[2]
        side.socket("CONNECT", f"Stream{n:06}A=", queryStringParameters={"ticket": ticket})
    channels = [side.call(tokens[0], "conversations.create", name=name)["channel"]["id"] for name in ("one", "two")]
    for token in tokens[1:]:
        for channel in channels:
            side.call(token, "conversations.join", channel=channel)
    for _ in range(40):
        channel, n = chance.choice(channels), chance.randrange(len(tokens))
        text = "w" * chance.choice([20, 80, 300, 1_500])
        said = side.call(tokens[n], "chat.postMessage", channel=channel, text=text)["ts"]
        about = {"channel": channel, "timestamp": said}
        other = tokens[chance.randrange(len(tokens))]
        if chance.random() < 0.5:
            side.call(other, "chat.postMessage", channel=channel, text="a reply", thread_ts=said)
            side.call(other, "conversations.replies", channel=channel, ts=said)
        if chance.random() < 0.5:
            side.call(other, "reactions.add", name="thumbsup", **about)
        if chance.random() < 0.3:
            side.call(tokens[n], "chat.update", channel=channel, ts=said, text=text + " edited")
        if chance.random() < 0.2:
            side.call(tokens[n], "chat.delete", channel=channel, ts=said)
        side.call(other, "conversations.mark", channel=channel, ts=said)
        side.call(other, "conversations.history", channel=channel, limit=20)
        frame = {"id": 1, "type": "message", "channel": channel, "text": "over the stream"}
        for sent in (frame, {"id": 2, "type": "heartbeat"}, {"id": 3, "type": "typing", "channel": channel}):
            side.socket("MESSAGE", f"Stream{n:06}A=", json.dumps(sent))
    for method in ("conversations.list", "users.conversations", "users.list", "team.info", "auth.test"):
        side.call(tokens[3], method)
    for n in range(len(tokens)):
        side.socket("DISCONNECT", f"Stream{n:06}A=")


def day(side: Side) -> dict[str, Use]:
    """A day of chat, and what each action used."""
    people = side.app.chat.people
    tokens = [people.create_token(people.add(f"member{n}"), "user") for n in range(8)]
    guests(side)
    members(side, tokens)
    used = side.used()
    del used["background"]  # what the test itself asked for
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

    def get_many(self, keys: Sequence[Key]) -> list[Item | None]:
        found = super().get_many(keys)
        if self.adds_up_a_set and not self._paused:
            missing = {key for key, item in zip(keys, found, strict=True) if item is None}
            self.counted[self.actions.current().action][1] += len(missing)
        return found

    def query(self, pk: str, **range_: Any) -> Page:
        page = super().query(pk, **range_)
        if self.adds_up_a_set and not page.items:
            self.counted[self.actions.current().action][1] += 1
        return page

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
        if consumed and not self._paused:  # MiniStack does not count a batch
            self.counted[self.actions.current().action][operation in _READS] += consumed["CapacityUnits"]


@pytest.fixture(params=["ministack", pytest.param("dynamodb-local", marks=pytest.mark.reference)])
def counting(request: pytest.FixtureRequest) -> Iterator[Counting]:
    endpoint = request.getfixturevalue(f"{request.param.replace('-', '_')}_endpoint")
    local = request.param == "dynamodb-local"
    table = Counting(**new_table(endpoint, lambda: FakeClock().now), adds_up_a_set=local)
    yield table
    table.close()


def test_what_is_metered_on_a_laptop_is_what_dynamodb_counts(counting: Counting, tmp_path: Path) -> None:
    here = day(Side(lambda clock: SqliteTable(tmp_path / "t.db", clock=clock)))
    there = day(Side(lambda clock: counting, meter=counting.actions))
    assert here.keys() == there.keys()
    assert len(here) > 25
    wrong = [each for action in here for each in differences(action, here[action], there[action], counting)]
    assert not wrong, "\n".join(wrong)


def differences(action: str, here: Use, there: Use, counting: Counting) -> Iterator[str]:
    """Where an action's units are further apart than 5 %, or than one, which few small acts may come to."""
    writes, reads = counting.counted[action]
    if here.writes != pytest.approx(writes, rel=0.05, abs=1):
        yield f"{action}: metered {here.writes} write units of {writes}"
    # MiniStack takes any query for one of up to 4 KB.
    if counting.adds_up_a_set and here.reads != pytest.approx(reads, rel=0.05, abs=1):
        yield f"{action}: metered {here.reads} read units of {reads}"
    if (here.ws_out, here.rounds) != (there.ws_out, there.rounds):
        yield f"{action}: pushed {here.ws_out} of {there.ws_out}"
