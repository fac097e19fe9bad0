"""The Table port over DynamoDB: one table, hand-signed JSON, no service model.

Reads are strong except on G1. An item's expiry is part of every condition and filter, since DynamoDB's own TTL may take
days.

What is tried again, a few times with full jitter and for five seconds at most:

* whatever DynamoDB throttled or found in the way of another write: nothing has happened;
* whatever did not leave us whole, as on a kept-alive socket that the other side has closed: nothing has happened;
* reads, and transactions, whose client token makes one of two equal requests, when the answer was lost or was a 5xx.

A single write whose answer was lost is not repeated: a condition would fail on what the write itself has done. It is
`StoreUnavailable`, and so is whatever fails for good after a try that may have been carried out.
"""

from __future__ import annotations

import base64
import random
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from roost.aws.sign import Answer, Credentials, Signer, Sockets, Unreachable
from roost.storage.table import (
    Below,
    Check,
    Condition,
    ConditionFailed,
    Conflict,
    Delete,
    Equals,
    Exists,
    IndexEntry,
    IndexPage,
    InvalidItem,
    Item,
    Key,
    Missing,
    Operation,
    Page,
    Put,
    StoreUnavailable,
    TableError,
    Throttled,
    TransactionFailed,
    Update,
    Value,
    Watcher,
    check_condition,
    check_item,
    check_key,
    check_limit,
    check_operations,
    check_partition,
    check_range,
    check_update,
    index_position,
)

INDEX = "G1Index"  # the port's G1: DynamoDB wants names of three characters or more
_BATCH = 100  # BatchGetItem: keys per call
_TRIES = 4  # of one call that is throttled, conflicts, or may be repeated safely
_BATCH_TRIES = 8  # of what a batch leaves unread, as long as some of it is read
_PAUSE = 0.03  # seconds before the second try at most; doubled for each further one, up to half a second
_BUDGET = 5.0  # seconds that one call may take with all its tries: G16
_TIMEOUT = 3.0  # seconds that one try may wait: DynamoDB answers within milliseconds or not at all

_THROTTLES = frozenset({"ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded"})
_UNDER_WAY = "TransactionInProgressException"  # our own: an earlier try with the same token
_READS = frozenset({"GetItem", "BatchGetItem", "Query"})

#: Told of each call: the operation's name and what it consumed, `CapacityUnits`, `ReadCapacityUnits`, ….
Meter = Callable[[str, Mapping[str, Any]], None]


class DynamoTable:
    """The Table port. Safe to use from several threads."""

    exclusive = False

    def __init__(
        self,
        name: str,
        *,
        endpoint: str,
        region: str,
        credentials: Callable[[], Credentials],
        clock: Callable[[], float] = time.time,
        timeout: float = _TIMEOUT,
        meter: Meter | None = None,
    ) -> None:
        self._name = name
        self._sockets = Sockets(endpoint, timeout)
        self._timeout = timeout
        self._signer = Signer(credentials, "dynamodb", region)
        self._clock = clock
        self._meter = meter

    # -- reads ------------------------------------------------------------------------------------------------------

    def get(self, key: Key) -> Item | None:
        """The item, or None."""
        check_key(key)
        answer = self._call("GetItem", {"TableName": self._name, "Key": _key(key), "ConsistentRead": True})
        return self._live(answer.get("Item"))

    def get_many(self, keys: Sequence[Key]) -> list[Item | None]:
        """The items in the order of `keys`."""
        found: dict[Key, Item] = {}
        for key in keys:
            check_key(key)
        distinct = list(dict.fromkeys(keys))
        for start in range(0, len(distinct), _BATCH):
            found |= self._get_batch(distinct[start : start + _BATCH])
        return [found.get(key) for key in keys]

    def _get_batch(self, keys: Sequence[Key]) -> dict[Key, Item]:
        found: dict[Key, Item] = {}
        waiting: list[Any] = [_key(key) for key in keys]
        deadline = time.monotonic() + _BUDGET
        for attempt in range(_BATCH_TRIES):
            request = {"RequestItems": {self._name: {"Keys": waiting, "ConsistentRead": True}}}
            answer = self._call("BatchGetItem", request)
            for raw in answer["Responses"].get(self._name, ()):
                item = self._live(raw)
                if item is not None:
                    found[Key(str(item["PK"]), str(item["SK"]))] = item
            waiting = answer.get("UnprocessedKeys", {}).get(self._name, {}).get("Keys", [])
            if not waiting:
                return found
            if not _pause(attempt, deadline):
                break
        raise Throttled("the store left keys unread")

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
        check_partition(pk)
        check_limit(limit)
        check_range(prefix, low, high)
        if after is not None:
            check_key(Key(pk, after))
        if low is not None and high is not None and low.encode() > high.encode():
            return Page([], None)
        values: dict[str, Any] = {":pk": {"S": pk}, ":now": {"N": str(int(self._clock()))}}
        condition = "PK = :pk" + _sk_condition(prefix, low, high, values)
        request: dict[str, Any] = {
            "TableName": self._name,
            "KeyConditionExpression": condition,
            "FilterExpression": "attribute_not_exists(x) OR x > :now",
            "ExpressionAttributeValues": values,
            "ConsistentRead": True,
            "ScanIndexForward": not reverse,
            "Limit": limit,
        }
        if after is not None:
            request["ExclusiveStartKey"] = _key(Key(pk, after))
        answer = self._call("Query", request)
        last = answer.get("LastEvaluatedKey")
        items = [item for item in map(self._live, answer["Items"]) if item is not None]
        return Page(items, last["SK"]["S"] if last else None)

    def query_index(
        self, g1pk: str, *, prefix: str = "", reverse: bool = False, limit: int = 1000, after: str | None = None
    ) -> IndexPage:
        """Keys of the items with this `G1PK`. Lags; an expired item stays until the store removes it."""
        check_partition(g1pk)
        check_limit(limit)
        check_range(prefix, None, None)
        values: dict[str, Any] = {":pk": {"S": g1pk}}
        condition = "G1PK = :pk"
        if prefix:
            values[":prefix"] = {"S": prefix}
            condition += " AND begins_with(G1SK, :prefix)"
        request: dict[str, Any] = {
            "TableName": self._name,
            "IndexName": INDEX,
            "KeyConditionExpression": condition,
            "ExpressionAttributeValues": values,
            "ScanIndexForward": not reverse,
            "Limit": limit,
        }
        if after is not None:
            g1sk, pk, sk = index_position(after)
            request["ExclusiveStartKey"] = {**_key(Key(pk, sk)), "G1PK": {"S": g1pk}, "G1SK": {"S": g1sk}}
        answer = self._call("Query", request)
        entries = [IndexEntry(*(raw[name]["S"] for name in ("PK", "SK", "G1PK", "G1SK"))) for raw in answer["Items"]]
        last = answer.get("LastEvaluatedKey")
        following = [last[name]["S"] for name in ("G1SK", "PK", "SK")] if last else None
        return IndexPage(entries, msgspec.json.encode(following).decode() if following else None)

    # -- writes -----------------------------------------------------------------------------------------------------

    def put(self, item: Item, condition: Condition | None = None) -> None:
        """Write the whole item."""
        check_item(item)
        check_condition(condition)
        self._call("PutItem", self._put(Put(item, condition)))

    def update(self, update: Update) -> Item:
        """Change an item and answer it as it is now."""
        check_update(update)
        answer = self._call("UpdateItem", {**self._update(update), "ReturnValues": "ALL_NEW"})
        return plain_item(answer["Attributes"])

    def delete(self, key: Key, condition: Condition | None = None) -> None:
        """Remove an item."""
        check_key(key)
        check_condition(condition)
        self._call("DeleteItem", self._delete(Delete(key, condition)))

    def transact(self, operations: Sequence[Operation]) -> None:
        """Apply all operations or none."""
        check_operations(operations)
        request = {
            "TransactItems": [self._transact_item(operation) for operation in operations],
            "ClientRequestToken": str(uuid.uuid4()),
        }
        # one that names what it saw would find it changed once the other is through: its caller reads again
        compares = any(isinstance(operation.condition, Equals) for operation in operations)
        self._call("TransactWriteItems", request, conflicts=not compares)

    def watch(self, watcher: Watcher) -> None:
        """Refused: others write to this table too."""
        raise TableError("a DynamoDB table cannot be watched: others write to it")

    def close(self) -> None:
        """Close idle sockets."""
        self._sockets.close()

    def _transact_item(self, operation: Operation) -> dict[str, Any]:
        if isinstance(operation, Put):
            return {"Put": self._put(operation)}
        if isinstance(operation, Update):
            return {"Update": self._update(operation)}
        if isinstance(operation, Delete):
            return {"Delete": self._delete(operation)}
        assert isinstance(operation, Check)
        return {"ConditionCheck": {"Key": _key(operation.key), **self._conditional(operation.condition)}}

    def _put(self, put: Put) -> dict[str, Any]:
        return {"Item": {name: _typed(value) for name, value in put.item.items()}, **self._conditional(put.condition)}

    def _delete(self, delete: Delete) -> dict[str, Any]:
        return {"Key": _key(delete.key), **self._conditional(delete.condition)}

    def _update(self, update: Update) -> dict[str, Any]:
        expression = _Expression(int(self._clock()))
        condition = expression.condition(update.condition)
        parts = []
        if update.set:
            pairs = (f"{expression.name(n)} = {expression.value(v)}" for n, v in update.set.items())
            parts.append("SET " + ", ".join(pairs))
        if update.add:
            pairs = (f"{expression.name(n)} {expression.value(v)}" for n, v in update.add.items())
            parts.append("ADD " + ", ".join(pairs))
        if update.remove:
            parts.append("REMOVE " + ", ".join(expression.name(n) for n in update.remove))
        changes = {"UpdateExpression": " ".join(parts)} if parts else {}
        return {"Key": _key(update.key), **changes, **self._request(expression, condition)}

    def _conditional(self, condition: Condition | None) -> dict[str, Any]:
        if condition is None:
            return {"TableName": self._name}
        expression = _Expression(int(self._clock()))
        return self._request(expression, expression.condition(condition))

    def _request(self, expression: _Expression, condition: str) -> dict[str, Any]:
        return {
            "TableName": self._name,
            "ConditionExpression": condition,
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            **expression.names_and_values(),
        }

    # -- calls ------------------------------------------------------------------------------------------------------

    def _call(self, operation: str, request: dict[str, Any], *, conflicts: bool = True) -> dict[str, Any]:
        """One call, tried again where that is right; `conflicts` says whether it is after a conflict. Raises the
        port's errors."""
        if self._meter is not None:
            request["ReturnConsumedCapacity"] = "TOTAL"
        body = msgspec.json.encode(request)
        repeatable = operation in _READS or operation == "TransactWriteItems"
        deadline = time.monotonic() + _BUDGET
        unsure = False  # an earlier try may have been carried out
        for attempt in range(_TRIES):
            outcome = self._try(operation, body, deadline, repeatable=repeatable, conflicts=conflicts)
            if not isinstance(outcome, _Failure):
                return outcome
            unsure |= outcome.unsure and operation not in _READS
            if not outcome.again or attempt == _TRIES - 1 or not _pause(attempt, deadline):
                raise outcome.for_good(unsure=unsure)
        raise AssertionError("unreachable")

    def _try(
        self, operation: str, body: bytes, deadline: float, *, repeatable: bool, conflicts: bool
    ) -> dict[str, Any] | _Failure:
        try:
            answer = self._send(operation, body, min(self._timeout, max(0.1, deadline - time.monotonic())))
            if answer.status == 200:
                return self._metered(operation, answer)
        except Unreachable as failure:
            return _Failure(StoreUnavailable(str(failure)), again=repeatable or not failure.sent, unsure=failure.sent)
        except msgspec.DecodeError:
            return _Failure(StoreUnavailable("the answer was no JSON"), again=repeatable, unsure=True)
        said = _error_body(answer)
        error = self._error(answer, said)
        if isinstance(error, StoreUnavailable):
            nobody_knows = answer.status >= 500 or _kind(said) == _UNDER_WAY
            return _Failure(error, again=nobody_knows and repeatable, unsure=nobody_knows)
        return _Failure(error, again=isinstance(error, Throttled) or (conflicts and _conflict_alone(error)))

    def _send(self, operation: str, body: bytes, timeout: float) -> Answer:
        path = self._sockets.base + "/"
        headers = {"content-type": "application/x-amz-json-1.0", "x-amz-target": f"DynamoDB_20120810.{operation}"}
        signed = self._signer.headers("POST", self._sockets.host, path, headers, body)
        return self._sockets.request("POST", path, signed, body, timeout)

    def _metered(self, operation: str, answer: Answer) -> dict[str, Any]:
        decoded: dict[str, Any] = msgspec.json.decode(answer.body)
        if self._meter is not None:
            consumed = decoded.get("ConsumedCapacity", ())
            for each in consumed if isinstance(consumed, list) else [consumed]:
                self._meter(operation, each)
        return decoded

    def _error(self, answer: Answer, body: Mapping[str, Any]) -> TableError:
        kind, message = _kind(body), str(body.get("message") or body.get("Message") or "")
        if kind == "ConditionalCheckFailedException":
            return ConditionFailed(self._live(body.get("Item")))
        if kind == "TransactionCanceledException":
            return self._cancelled(body, message)
        if kind in _THROTTLES:
            return Throttled(message or kind)
        if kind == "TransactionConflictException":
            return Conflict(message or kind)
        if kind in ("ValidationException", "ItemCollectionSizeLimitExceededException"):
            return InvalidItem(message)
        return StoreUnavailable(f"{answer.status} {kind} {message}".strip())

    def _cancelled(self, body: Mapping[str, Any], message: str) -> TableError:
        reasons: list[ConditionFailed | Conflict | None] = []
        for reason in body.get("CancellationReasons", ()):
            code = reason.get("Code", "None")
            if code == "ConditionalCheckFailed":
                reasons.append(ConditionFailed(self._live(reason.get("Item"))))
            elif code == "TransactionConflict":
                reasons.append(Conflict(reason.get("Message", "")))
            elif code in ("ThrottlingError", "ProvisionedThroughputExceeded"):
                return Throttled(reason.get("Message", code))
            elif code == "ValidationError":
                return InvalidItem(reason.get("Message", message))
            else:
                reasons.append(None)
        return TransactionFailed(reasons)

    def _live(self, raw: Mapping[str, Any] | None) -> Item | None:
        """An item as the port has it; None where there is none or it has expired."""
        if not raw:
            return None
        item = plain_item(raw)
        expiry = item.get("x")
        return None if isinstance(expiry, int) and expiry <= self._clock() else item


@dataclass(frozen=True, slots=True)
class _Failure:
    """Why a try came to nothing, whether another is right, and whether this one may have been carried out."""

    error: TableError
    again: bool
    unsure: bool = False

    def for_good(self, *, unsure: bool) -> TableError:
        """What to raise when there is no other try; `unsure` says that one before may have been carried out."""
        if unsure and isinstance(self.error, Throttled | Conflict):
            return StoreUnavailable(f"an earlier try may have been carried out; the last: {self.error}")
        return self.error


def _conflict_alone(error: TableError) -> bool:
    """Whether nothing but another write was in the way."""
    if isinstance(error, TransactionFailed):
        return not any(isinstance(reason, ConditionFailed) for reason in error.reasons)
    return isinstance(error, Conflict)


class _Expression:
    """Collects the names and values of one request's expressions."""

    def __init__(self, now: int) -> None:
        self._now = now
        self._names: dict[str, str] = {}
        self._values: dict[str, Any] = {}

    def name(self, attribute: str) -> str:
        placeholder = f"#n{len(self._names)}"
        self._names[placeholder] = attribute
        return placeholder

    def value(self, value: Value) -> str:
        placeholder = f":v{len(self._values)}"
        self._values[placeholder] = _typed(value)
        return placeholder

    def condition(self, condition: Condition) -> str:
        now = self.value(self._now)
        if isinstance(condition, Missing):
            return f"attribute_not_exists(PK) OR x <= {now}"
        exists = f"attribute_exists(PK) AND (attribute_not_exists(x) OR x > {now})"
        if isinstance(condition, Exists):
            return exists
        if isinstance(condition, Equals):
            return " AND ".join([exists, *(f"{self.name(n)} = {self.value(v)}" for n, v in condition.values.items())])
        assert isinstance(condition, Below)
        attribute = self.name(condition.attribute)
        return f"{exists} AND (attribute_not_exists({attribute}) OR {attribute} < {self.value(condition.value)})"

    def names_and_values(self) -> dict[str, Any]:
        names = {"ExpressionAttributeNames": self._names} if self._names else {}
        return {**names, "ExpressionAttributeValues": self._values}


def _sk_condition(prefix: str, low: str | None, high: str | None, values: dict[str, Any]) -> str:
    if prefix:
        values[":prefix"] = {"S": prefix}
        return " AND begins_with(SK, :prefix)"
    if low is not None:
        values[":low"] = {"S": low}
    if high is not None:
        values[":high"] = {"S": high}
    if low is not None and high is not None:
        return " AND SK BETWEEN :low AND :high"
    if low is not None:
        return " AND SK >= :low"
    return " AND SK <= :high" if high is not None else ""


def _pause(attempt: int, deadline: float) -> bool:
    """Wait a little before the next try; False, at once, where it would begin after the deadline."""
    seconds = random.uniform(0, min(0.5, _PAUSE * 2**attempt))  # noqa: S311  full jitter, no secret
    if time.monotonic() + seconds >= deadline:
        return False
    time.sleep(seconds)
    return True


def _error_body(answer: Answer) -> Mapping[str, Any]:
    try:
        body = msgspec.json.decode(answer.body, type=dict[str, Any])
    except msgspec.DecodeError:
        return {}
    return body


def _kind(body: Mapping[str, Any]) -> str:
    return str(body.get("__type", "")).rpartition("#")[2]


def _key(key: Key) -> dict[str, Any]:
    return {"PK": {"S": key.pk}, "SK": {"S": key.sk}}


def _typed(value: Value) -> dict[str, Any]:
    """A value as DynamoDB's JSON."""
    if isinstance(value, str):
        return {"S": value}
    if isinstance(value, bool):
        return {"BOOL": value}
    if isinstance(value, int):
        return {"N": str(value)}
    if isinstance(value, bytes):
        return {"B": base64.b64encode(value).decode()}
    if value is None:
        return {"NULL": True}
    if isinstance(value, list):
        return {"L": [_typed(element) for element in value]}
    if isinstance(value, dict):
        return {"M": {name: _typed(element) for name, element in value.items()}}
    raise InvalidItem(f"a value cannot be a {type(value).__name__}")


def plain_item(raw: Mapping[str, Any]) -> Item:
    """An item of DynamoDB's JSON as the port has it."""
    return {name: _plain(value) for name, value in raw.items()}


def _plain(typed: Mapping[str, Any]) -> Value:
    ((kind, value),) = typed.items()
    if kind in ("S", "BOOL"):
        plain: Value = value
    elif kind == "N":
        plain = int(value)
    elif kind == "B":
        plain = base64.b64decode(value)
    elif kind == "NULL":
        plain = None
    elif kind == "L":
        plain = [_plain(element) for element in value]
    elif kind == "M":
        plain = {name: _plain(element) for name, element in value.items()}
    else:
        raise TableError(f"the table holds a {kind}, which Roost never writes")
    return plain


def table_definition(name: str) -> dict[str, Any]:
    """The table as `CreateTable` takes it: keys, G1 with keys only, on demand, stream of new images."""
    keys = ("PK", "SK", "G1PK", "G1SK")
    return {
        "TableName": name,
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": key, "AttributeType": "S"} for key in keys],
        "KeySchema": [{"AttributeName": "PK", "KeyType": "HASH"}, {"AttributeName": "SK", "KeyType": "RANGE"}],
        "GlobalSecondaryIndexes": [
            {
                "IndexName": INDEX,
                "KeySchema": [
                    {"AttributeName": "G1PK", "KeyType": "HASH"},
                    {"AttributeName": "G1SK", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "KEYS_ONLY"},
            }
        ],
        "StreamSpecification": {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
    }
