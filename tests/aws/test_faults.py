"""DynamoTable and the chat over it, with a store that throttles, fails before and after it has committed, and loses its
answers: MiniStack behind a proxy that does so by a seed. `ROOST_SEED=n` replays one run."""

from __future__ import annotations

import json
import os
import random
import threading
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from roost.app import App
from roost.aws.dynamodb import DynamoTable, table_definition
from roost.aws.functions import LambdaClock
from roost.aws.sign import Credentials, Signer, Sockets
from roost.chat.errors import RateLimited
from roost.settings import Settings
from roost.storage.items import line_key
from roost.storage.log import Appended, Busy, Log
from roost.storage.table import (
    Below,
    ConditionFailed,
    Conflict,
    Delete,
    Equals,
    Exists,
    Item,
    Key,
    Missing,
    Operation,
    Put,
    StoreUnavailable,
    TableError,
    Throttled,
    TransactionFailed,
    Update,
)
from roost.testing import MemoryPush, MemoryTable, socket_event
from tests.aws.servers import FaultyServer, Reply, Request, listening
from tests.lines import line, said
from tests.tools import ministack

REGION = "eu-west-1"
KEY = Credentials("test", "test")
SEEDS = [int(os.environ["ROOST_SEED"])] if "ROOST_SEED" in os.environ else [1, 2, 3, 4]


# -- the proxy --------------------------------------------------------------------------------------------------------


def refusal(kind: str, **more: Any) -> Reply:
    return Reply(400, json.dumps({"__type": f"com.amazonaws.dynamodb.v20120810#{kind}", **more}).encode())


class Proxy:
    """Hands requests on to MiniStack, or fails to. `rates`: what goes wrong, and how often."""

    def __init__(self, endpoint: str) -> None:
        self._sockets = Sockets(endpoint, 60.0)
        self._lock = threading.Lock()
        self.rng = random.Random(0)
        self.rates: dict[str, float] = {}
        self.happened: dict[str, int] = {}

    def __call__(self, request: Request) -> Reply | None:
        fault = self._fault()
        operation = request.headers["x-amz-target"].rpartition(".")[2]
        match fault:
            case "throttled":
                return self._throttled(operation, request)
            case "conflict" if operation == "TransactWriteItems":
                return self._cancelled(request, "TransactionConflict")
            case "conflict" if operation in ("PutItem", "UpdateItem", "DeleteItem"):
                return refusal("TransactionConflictException")
            case "unprocessed" if operation == "BatchGetItem":
                return self._half(request)
            case "500 before":
                return Reply(500, b'{"__type":"InternalServerError"}')
            case "lost before":
                return None
            case "500 after":
                self.pass_on(request)
                return Reply(500, b'{"__type":"InternalServerError"}')
            case "lost after":
                self.pass_on(request)
                return None
            case "garbled":
                return Reply(200, self.pass_on(request).body[:-1])
        return self.pass_on(request)

    def _fault(self) -> str:
        with self._lock:
            draw = self.rng.random()
            for fault, rate in self.rates.items():
                draw -= rate
                if draw < 0:
                    self.happened[fault] = self.happened.get(fault, 0) + 1
                    return fault
            return ""

    def _throttled(self, operation: str, request: Request) -> Reply:
        if operation == "TransactWriteItems" and self.rng.random() < 0.5:
            return self._cancelled(request, "ThrottlingError")
        return refusal(self.rng.choice(["ProvisionedThroughputExceededException", "ThrottlingException"]))

    @staticmethod
    def _cancelled(request: Request, code: str) -> Reply:
        count = len(json.loads(request.body)["TransactItems"])
        reasons = [{"Code": code}, *({"Code": "None"} for _ in range(count - 1))]
        return refusal("TransactionCanceledException", CancellationReasons=reasons)

    def _half(self, request: Request) -> Reply:
        body = json.loads(request.body)
        ((table, asked),) = body["RequestItems"].items()
        keys = asked["Keys"]
        asked["Keys"] = keys[: len(keys) // 2 + 1]
        reply = self.pass_on(Request(request.method, request.path, request.headers, json.dumps(body).encode()))
        answer = json.loads(reply.body)
        left = keys[len(keys) // 2 + 1 :]
        answer["UnprocessedKeys"] = {table: {**asked, "Keys": left}} if left else {}
        return Reply(reply.status, json.dumps(answer).encode())

    def pass_on(self, request: Request) -> Reply:
        """What MiniStack answers."""
        headers = {name: value for name, value in request.headers.items() if name != "content-length"}
        answer = self._sockets.request(request.method, request.path, headers, request.body)
        return Reply(answer.status, answer.body)

    def close(self) -> None:
        """Close what is idle."""
        self._sockets.close()


@pytest.fixture(scope="module")
def emulated_aws() -> Iterator[str]:
    with ministack() as endpoint:
        yield endpoint


@pytest.fixture
def proxy(emulated_aws: str) -> Iterator[Proxy]:
    made = Proxy(emulated_aws)
    yield made
    made.close()


@pytest.fixture
def server(proxy: Proxy) -> Iterator[FaultyServer]:
    with listening(proxy) as running:
        yield running


class Tables:
    """One table, reached through the proxy (`faulty`) and past it (`sound`)."""

    def __init__(self, emulated_aws: str, proxy: Proxy, server: FaultyServer) -> None:
        self.name = f"faults-{time.time_ns()}"
        self.now = time.time()
        body = json.dumps(table_definition(self.name)).encode()
        headers = {"content-type": "application/x-amz-json-1.0", "x-amz-target": "DynamoDB_20120810.CreateTable"}
        host = urlsplit(emulated_aws).netloc
        signed = Signer(lambda: KEY, "dynamodb", REGION).headers("POST", host, "/", headers, body)
        assert proxy.pass_on(Request("POST", "/", signed, body)).status == 200
        self.faulty, self.sound = self.at(server.url), self.at(emulated_aws)

    def at(self, endpoint: str) -> DynamoTable:
        return DynamoTable(self.name, endpoint=endpoint, region=REGION, credentials=lambda: KEY, timeout=30.0)


@pytest.fixture
def tables(emulated_aws: str, proxy: Proxy, server: FaultyServer) -> Iterator[Tables]:
    made = Tables(emulated_aws, proxy, server)
    yield made
    made.faulty.close()
    made.sound.close()


# -- the table against a model ----------------------------------------------------------------------------------------

KEYS = [Key("p", "a"), Key("p", "b"), Key("q", "a")]
FAULTS = ("throttled", "conflict", "500 before", "500 after", "lost before", "lost after", "garbled", "unprocessed")


class Writes:
    """Writes at random, each held against a table in memory."""

    def __init__(self, tables: Tables, rng: random.Random) -> None:
        self.tables, self.rng = tables, rng
        self.model = MemoryTable(clock=lambda: tables.now)
        self.doubtful = 0

    def condition(self) -> Any:
        n = self.rng.randrange(3)
        return self.rng.choice([None, Missing(), Exists(), Equals({"n": n}), Below("n", n)])

    def operation(self, key: Key) -> Operation:
        n, condition = self.rng.randrange(3), self.condition()
        match self.rng.randrange(3):
            case 0:
                return Put({"PK": key.pk, "SK": key.sk, "n": n}, condition)
            case 1:
                seen = condition if isinstance(condition, Equals | Below | Exists) else Exists()
                return Update(key, add={"n": 1}, condition=seen)
            case _:
                return Delete(key, condition)

    def step(self) -> None:
        """One write, and what it came to: never told otherwise than it is."""
        some = self.rng.sample(KEYS, self.rng.choice([1, 1, 2, 3]))
        operations = [self.operation(key) for key in some]
        alone = len(operations) == 1 and self.rng.random() < 0.7
        before = self.model.get_many(KEYS)
        expected = outcome(self.model, operations, alone=alone)
        after = self.model.get_many(KEYS)
        got = outcome(self.tables.faulty, operations, alone=alone)
        stored = self.tables.sound.get_many(KEYS)
        told = f"{operations}\n{got}, expected {expected}"
        if got in ("throttled", "conflict"):
            assert stored == before, f"it was said not to have happened: {told}"
        elif got == "unavailable":
            self.doubtful += 1
            assert stored in (before, after), told
        else:
            assert got == expected, told
            assert stored == after, told
        self.adopt(stored)

    def adopt(self, stored: list[Item | None]) -> None:
        for key, item in zip(KEYS, stored, strict=True):
            self.model.delete(key) if item is None else self.model.put(item)


def outcome(table: Any, operations: list[Operation], *, alone: bool) -> Any:
    try:
        if not alone:
            table.transact(operations)
        else:
            alone_write(table, operations[0])
    except ConditionFailed as failed:
        return [failed.item]
    except TransactionFailed as failed:
        if any(isinstance(reason, Conflict) for reason in failed.reasons):
            return "conflict"
        return [reason and reason.item for reason in failed.reasons if not isinstance(reason, Conflict)]
    except Throttled:
        return "throttled"
    except Conflict:
        return "conflict"
    except StoreUnavailable:
        return "unavailable"
    return "done"


def alone_write(table: Any, operation: Operation) -> None:
    if isinstance(operation, Put):
        table.put(operation.item, operation.condition)
    elif isinstance(operation, Update):
        table.update(operation)
    else:
        assert isinstance(operation, Delete)
        table.delete(operation.key, operation.condition)


@pytest.mark.parametrize("seed", SEEDS)
def test_no_write_is_told_to_be_what_it_is_not(tables: Tables, proxy: Proxy, seed: int) -> None:
    writes = Writes(tables, random.Random(seed))
    proxy.rng = random.Random(seed)
    proxy.rates = dict.fromkeys(FAULTS, 0.06)
    for _ in range(150):
        writes.step()
    assert set(proxy.happened) == set(FAULTS)
    assert 0 < writes.doubtful < 75


# -- the log ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_a_log_is_dense_and_has_each_acknowledged_line_once(tables: Tables, proxy: Proxy, seed: int) -> None:
    proxy.rng = random.Random(seed)
    proxy.rates = dict.fromkeys(FAULTS, 0.04)
    clock = LambdaClock()
    acknowledged: dict[str, set[Appended]] = {}

    def write(writer: int) -> None:
        log = Log(tables.faulty, clock.now_us, clock.sleep)
        for number in range(6):
            text = f"{writer}-{number}"
            draft = line("C1", text, once=line_key(text))
            for _ in range(30):  # a person, or a gateway, who tries again
                try:
                    place = log.append("C1", draft)
                except (Busy, TableError):
                    continue
                acknowledged.setdefault(text, set()).add(Appended(place.ts, place.seq))
                if number % 2 == 0:
                    break  # the others are sent again though they were acknowledged

    tables.sound.put({"PK": "C#C1", "SK": "HEAD", "seq": 0, "mc": 0, "ts": 0})
    threads = [threading.Thread(target=write, args=(writer,)) for writer in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rows = said(tables.sound, "C1")
    assert [row.seq for _, row in rows] == list(range(1, len(rows) + 1))
    assert {row.text: {Appended(ts, row.seq)} for ts, row in rows} == acknowledged
    assert len(acknowledged) == 24


# -- the chat ---------------------------------------------------------------------------------------------------------


class Chat:
    """Somebody in #general, on AWS's shell."""

    def __init__(self, tables: Tables) -> None:
        self.push = MemoryPush()
        self.app = App(tables.faulty, self.push, LambdaClock(), Settings())
        self.tables = tables
        self.sent = 0

    def enter(self, name: str) -> None:
        event = socket_event("CONNECT", name, time=time.time_ns() // 1_000_000)
        assert self.app.handle(event)["statusCode"] == 200

    def say(self, name: str, text: str) -> tuple[float, list[str]]:
        """How long it took, and what they were told."""
        heard = len(self.push.to(name))
        self.sent += 1
        event = socket_event(
            "MESSAGE", name, text, time=time.time_ns() // 1_000_000, message_id=f"{name}{self.sent}{time.time_ns()}"
        )
        began = time.monotonic()
        self.app.handle(event)
        return time.monotonic() - began, self.push.to(name)[heard:]

    def stored(self) -> list[str]:
        return [row.text for _, row in said(self.tables.sound, self.app.chat.core.workspace.general)]


@pytest.fixture
def chat(tables: Tables) -> Chat:
    chat = Chat(tables)
    for name in ("bz", "cy"):
        chat.enter(name)
    return chat


def test_a_tenth_throttled_delays_a_line_by_less_than_two_seconds(chat: Chat, proxy: Proxy) -> None:
    """G16: every line is stored, or refused clearly, and never both."""
    proxy.rates = {"throttled": 0.1}
    took, refused = [], []
    for number in range(200):
        seconds, told = chat.say("bz", f"line {number}")
        took.append(seconds)
        if told:
            assert told == [RateLimited.sentence]
            refused.append(f"line {number}")
    proxy.rates = {}
    assert proxy.happened["throttled"] > 50
    assert sorted(took)[197] <= 2.0
    assert chat.stored() == [text for n in range(200) if (text := f"line {n}") not in refused]
    assert len(refused) <= 5
    heard = [frame.rpartition(": ")[2] for frame in chat.push.to("cy")]
    assert heard == [text for text in chat.stored() if text in heard]
    assert len(heard) >= 190


@pytest.mark.parametrize("what", ["everything", "writes"])
def test_a_store_that_takes_nothing_is_said_so_within_five_seconds(
    chat: Chat, proxy: Proxy, server: FaultyServer, what: str
) -> None:
    """G16"""

    def handle(request: Request) -> Reply | None:
        if what == "everything" or "Transact" in request.headers["x-amz-target"]:
            return proxy._throttled(request.headers["x-amz-target"].rpartition(".")[2], request)
        return proxy(request)

    chat.say("bz", "before")
    server.handler = handle
    for number in range(3):
        seconds, told = chat.say("bz", f"line {number}")
        assert seconds <= 5.0
        assert told == [RateLimited.sentence]
    server.handler = proxy
    assert chat.stored() == ["before"]
    assert chat.say("bz", "after")[1] == []
    assert chat.stored() == ["before", "after"]


@pytest.mark.parametrize("fault", ["500 after", "lost after", "garbled"])
def test_a_line_whose_answer_was_lost_is_stored_once_and_acknowledged(
    chat: Chat, proxy: Proxy, server: FaultyServer, fault: str
) -> None:
    """G2"""
    lost: list[str] = []

    def handle(request: Request) -> Reply | None:
        if "Transact" in request.headers["x-amz-target"] and len(lost) < 2:
            lost.append(fault)
            proxy.rates = {fault: 1.0}
            try:
                return proxy(request)
            finally:
                proxy.rates = {}
        return proxy(request)

    server.handler = handle
    _, told = chat.say("bz", "once")
    assert told == []
    assert lost == [fault] * 2
    assert chat.stored() == ["once"]
    assert chat.push.to("cy") == ["#general anonymous: once"]


def test_who_moves_and_changes_names_while_answers_are_lost_sits_in_one_place(
    chat: Chat, proxy: Proxy, tables: Tables
) -> None:
    proxy.rng = random.Random(5)
    channels = []
    for name in ("general", "random", "other"):
        chat.say("bz", f"/channel {name}")
        channels.append(str(seat_of(tables)["channel"]))
    for number in range(30):
        proxy.rates = dict.fromkeys(("lost after", "500 after", "throttled", "conflict"), 0.1)
        chat.say("bz", f"/channel {('general', 'random', 'other')[number % 3]}")
        chat.say("bz", f"/name bz{number}")
        proxy.rates = {}
        rows = tables.sound.get_many([Key(f"C#{channel}", "N#bz") for channel in channels])
        seat = seat_of(tables)
        assert [row and row["name"] for row in rows] == [
            seat["name"] if channel == seat["channel"] else None for channel in channels
        ]
    assert seat["name"] in ("bz28", "bz29")


def seat_of(tables: Tables) -> Item:
    seat = tables.sound.get(Key("N#bz", "META"))
    assert seat is not None
    return seat
