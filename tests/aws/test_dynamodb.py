"""What DynamoTable makes of each thing that DynamoDB may answer, or fail to."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from roost.aws import dynamodb
from roost.aws.dynamodb import DynamoTable
from roost.aws.sign import Credentials
from roost.storage.table import (
    Check,
    ConditionFailed,
    Conflict,
    Delete,
    Equals,
    Exists,
    InvalidItem,
    Key,
    Missing,
    Put,
    StoreUnavailable,
    Throttled,
    TransactionFailed,
    Update,
)
from tests.aws.servers import FaultyServer, Reply, Request, listening

A = Key("p", "a")
RAW = {"PK": {"S": "p"}, "SK": {"S": "a"}, "n": {"N": "1"}}

OK = Reply(200, b'{"Responses":{},"Items":[],"Attributes":{}}')
LOST = None  # carried out or not: the connection closes without an answer
INTERNAL = Reply(500, b'{"__type":"com.amazonaws.dynamodb.v20120810#InternalServerError"}')
BAD_GATEWAY = Reply(503, b"<html>try later</html>")
GARBLED = Reply(200, b'{"Item":')


def refused(kind: str, **more: Any) -> Reply:
    return Reply(400, json.dumps({"__type": f"com.amazonaws.dynamodb.v20120810#{kind}", **more}).encode())


def cancelled(*codes: str) -> Reply:
    return refused("TransactionCanceledException", CancellationReasons=[{"Code": code} for code in codes])


THROTTLED = refused("ProvisionedThroughputExceededException", message="slower")
ACCOUNT = refused("ThrottlingException")
CONFLICT = refused("TransactionConflictException")
IN_PROGRESS = refused("TransactionInProgressException")
FAILED = refused("ConditionalCheckFailedException", Item=RAW)
INVALID = refused("ValidationException", message="wrong")
EXPIRED_KEY = refused("ExpiredTokenException")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyServer]:
    monkeypatch.setattr(dynamodb, "_PAUSE", 0.001)
    with listening(lambda request: OK) as running:
        yield running


@pytest.fixture
def table(server: FaultyServer) -> Iterator[DynamoTable]:
    yield from opened(server)


def opened(server: FaultyServer) -> Iterator[DynamoTable]:
    key = Credentials("test", "test")
    table = DynamoTable("t", endpoint=server.url, region="eu-west-1", credentials=lambda: key, timeout=5.0)
    yield table
    table.close()


READS: dict[str, Callable[[DynamoTable], Any]] = {
    "get": lambda table: table.get(A),
    "get_many": lambda table: table.get_many([A]),
    "query": lambda table: table.query("p"),
    "query_index": lambda table: table.query_index("g"),
}
WRITES: dict[str, Callable[[DynamoTable], Any]] = {
    "put": lambda table: table.put({"PK": "p", "SK": "a"}),
    "put if": lambda table: table.put({"PK": "p", "SK": "a"}, Missing()),
    "update": lambda table: table.update(Update(A, set={"n": 1})),
    "delete": lambda table: table.delete(A, Exists()),
}
TRANSACTIONS: dict[str, Callable[[DynamoTable], Any]] = {
    "transact": lambda table: table.transact([Put({"PK": "p", "SK": "a"}, Missing()), Delete(Key("p", "b"))]),
    "transact what was seen": lambda table: table.transact([Update(A, add={"n": 1}, condition=Equals({"n": 1}))]),
}
ALL = {**READS, **WRITES, **TRANSACTIONS}


def requests(server: FaultyServer, act: Callable[[], Any], *answers: Reply | None) -> int:
    """How many requests it took, the rest of them answered well."""
    server.answers = list(answers)
    server.requests.clear()
    act()
    return len(server.requests)


def failure(server: FaultyServer, act: Callable[[], Any], *answers: Reply | None) -> tuple[type, int]:
    """What it came to, and how many requests it took."""
    server.answers = list(answers)
    server.requests.clear()
    with pytest.raises(Exception) as raised:
        act()
    return raised.type, len(server.requests)


@pytest.mark.parametrize("name", ALL)
def test_what_is_throttled_is_tried_again_and_then_said_to_be(
    server: FaultyServer, table: DynamoTable, name: str
) -> None:
    assert requests(server, lambda: ALL[name](table), THROTTLED, ACCOUNT, THROTTLED) == 4
    assert failure(server, lambda: ALL[name](table), *[THROTTLED] * 4) == (Throttled, 4)


@pytest.mark.parametrize("name", WRITES)
def test_a_write_in_the_way_of_a_transaction_is_tried_again(
    server: FaultyServer, table: DynamoTable, name: str
) -> None:
    assert requests(server, lambda: ALL[name](table), CONFLICT, CONFLICT) == 3
    assert failure(server, lambda: ALL[name](table), *[CONFLICT] * 4) == (Conflict, 4)


@pytest.mark.parametrize("lost", [LOST, INTERNAL, BAD_GATEWAY, GARBLED], ids=["lost", "500", "503", "garbled"])
@pytest.mark.parametrize("name", ALL)
def test_after_a_lost_answer_only_what_is_safe_twice_is_tried_again(
    server: FaultyServer, table: DynamoTable, name: str, lost: Reply | None
) -> None:
    if name in WRITES:
        assert failure(server, lambda: ALL[name](table), lost) == (StoreUnavailable, 1)
        assert failure(server, lambda: ALL[name](table), THROTTLED, lost) == (StoreUnavailable, 2)
    else:
        assert requests(server, lambda: ALL[name](table), lost, lost, THROTTLED) == 4
        assert failure(server, lambda: ALL[name](table), *[lost] * 4) == (StoreUnavailable, 4)


def test_a_transaction_bears_one_token_through_all_its_tries(server: FaultyServer, table: DynamoTable) -> None:
    for act in TRANSACTIONS.values():
        requests(server, lambda act=act: act(table), INTERNAL, LOST, IN_PROGRESS)  # type: ignore[misc]  # bound at once
        bodies = {request.body for request in server.requests}
        assert len(bodies) == 1
        assert len(json.loads(bodies.pop())["ClientRequestToken"]) == 36


@pytest.mark.parametrize("last", [THROTTLED, IN_PROGRESS, CONFLICT, cancelled("ThrottlingError", "None")])
def test_who_may_have_written_is_never_told_that_nothing_was_changed(
    server: FaultyServer, table: DynamoTable, last: Reply
) -> None:
    kind, _ = failure(server, lambda: TRANSACTIONS["transact"](table), LOST, last, last, last)
    assert kind is StoreUnavailable
    kind, _ = failure(server, lambda: READS["get"](table), LOST, *[THROTTLED] * 3)
    assert kind is Throttled  # a read changes nothing


def test_a_cancelled_transaction_is_tried_again_where_that_may_help(server: FaultyServer, table: DynamoTable) -> None:
    plain, compares = TRANSACTIONS["transact"], TRANSACTIONS["transact what was seen"]
    conflict, throttled = cancelled("None", "TransactionConflict"), cancelled("ThrottlingError", "None")
    assert requests(server, lambda: plain(table), conflict, throttled, cancelled("ProvisionedThroughputExceeded")) == 4
    assert failure(server, lambda: plain(table), *[conflict] * 4) == (TransactionFailed, 4)
    assert failure(server, lambda: compares(table), cancelled("TransactionConflict")) == (TransactionFailed, 1)
    both = cancelled("ConditionalCheckFailed", "TransactionConflict")
    assert failure(server, lambda: plain(table), both) == (TransactionFailed, 1)


def test_the_reasons_of_a_cancelled_transaction_stand_in_order(server: FaultyServer, table: DynamoTable) -> None:
    reasons = [{"Code": "None"}, {"Code": "ConditionalCheckFailed", "Item": RAW}, {"Code": "TransactionConflict"}]
    server.answers = [refused("TransactionCanceledException", CancellationReasons=reasons)]
    with pytest.raises(TransactionFailed) as failed:
        table.transact([Check(Key("p", str(n)), Missing()) for n in range(3)])
    nothing, condition, conflict = failed.value.reasons
    assert nothing is None
    assert isinstance(condition, ConditionFailed)
    assert condition.item == {"PK": "p", "SK": "a", "n": 1}
    assert isinstance(conflict, Conflict)
    server.answers = [cancelled("None", "ValidationError")]
    with pytest.raises(InvalidItem):
        table.transact([Check(A, Missing()), Check(Key("p", "b"), Missing())])


@pytest.mark.parametrize(
    ("answer", "error"),
    [(FAILED, ConditionFailed), (INVALID, InvalidItem), (EXPIRED_KEY, StoreUnavailable)],
    ids=["condition", "invalid", "expired key"],
)
@pytest.mark.parametrize("name", [*WRITES])
def test_what_would_fail_again_is_not_tried_again(
    server: FaultyServer, table: DynamoTable, name: str, answer: Reply, error: type
) -> None:
    assert failure(server, lambda: ALL[name](table), answer) == (error, 1)


def test_a_socket_that_was_closed_meanwhile_costs_a_write_nothing(server: FaultyServer, table: DynamoTable) -> None:
    server.close_after = 1
    for _ in range(5):
        table.put({"PK": "p", "SK": "a"}, Missing())
        server.wait_for_closed()
    assert server.accepted == len(server.requests) == 5


def test_a_store_that_is_not_there_is_said_to_be_unavailable() -> None:
    with listening() as server:
        (table,) = opened(server)
    for act in ALL.values():
        with pytest.raises(StoreUnavailable, match="Refused"):
            act(table)


def test_keys_left_unread_are_asked_for_again(server: FaultyServer, table: DynamoTable) -> None:
    keys = [Key("p", f"{n:03}") for n in range(130)]

    def half(request: Request) -> Reply:
        asked = json.loads(request.body)["RequestItems"]["t"]["Keys"]
        read, left = asked[: len(asked) // 2 + 1], asked[len(asked) // 2 + 1 :]
        unread = {"t": {"Keys": left, "ConsistentRead": True}} if left else {}
        return Reply(200, json.dumps({"Responses": {"t": read}, "UnprocessedKeys": unread}).encode())

    server.handler = half
    assert table.get_many(keys) == [{"PK": "p", "SK": key.sk} for key in keys]
    assert 4 < len(server.requests) <= 16

    def none(request: Request) -> Reply:
        unread = json.loads(request.body)["RequestItems"]
        return Reply(200, json.dumps({"Responses": {}, "UnprocessedKeys": unread}).encode())

    server.handler = none
    with pytest.raises(Throttled):
        table.get_many(keys)


@pytest.mark.parametrize("name", ["get", "put", "transact"])
def test_a_store_that_hangs_is_given_up_in_time(
    server: FaultyServer, table: DynamoTable, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dynamodb, "_BUDGET", 0.6)
    server.delay = 60.0
    began = time.monotonic()
    with pytest.raises(StoreUnavailable, match="timed out"):
        ALL[name](table)
    assert 0.5 < time.monotonic() - began < 5.0


def test_no_try_waits_for_longer_than_it_may(server: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    key = Credentials("test", "test")
    table = DynamoTable("t", endpoint=server.url, region="eu-west-1", credentials=lambda: key, timeout=0.3)
    monkeypatch.setattr(server, "delays", [60.0])
    table.transact([Put({"PK": "p", "SK": "a"})])  # the second try is answered
    assert len(server.requests) == 2
    table.close()
