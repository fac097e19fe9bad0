"""The engines that a chat runs on in tests, and a table that notes what is written to it whichever engine it is."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from typing import Any

from roost.aws.dynamodb import DynamoTable, table_definition
from roost.aws.sign import Credentials
from roost.storage.table import (
    Condition,
    IndexPage,
    Item,
    Key,
    Operation,
    Page,
    Put,
    Table,
    Update,
    Watcher,
    key_of,
)

REGION = "eu-west-1"
TEST_KEY = Credentials("test", "test")


@functools.cache
def _client(endpoint: str) -> Any:
    import boto3

    return boto3.session.Session().client(
        "dynamodb",
        endpoint_url=endpoint,
        region_name=REGION,
        aws_access_key_id=TEST_KEY.access_key,
        aws_secret_access_key=TEST_KEY.secret_key,
    )


def dynamo_table(endpoint: str, clock: Callable[[], float]) -> DynamoTable:
    """A new table on an endpoint."""
    return DynamoTable(**new_table(endpoint, clock))


def new_table(endpoint: str, clock: Callable[[], float]) -> dict[str, Any]:
    """What `DynamoTable` takes to open a new table, which is without DynamoDB's own expiry: a test's clock is not the
    engine's."""
    name = f"test-{time.time_ns()}"
    _client(endpoint).create_table(**table_definition(name))
    return {"name": name, "endpoint": endpoint, "region": REGION, "credentials": lambda: TEST_KEY, "clock": clock}


def stream_of(endpoint: str, table: DynamoTable) -> str:
    """The ARN of a table's stream."""
    return str(_client(endpoint).describe_table(TableName=table._name)["Table"]["LatestStreamArn"])


class Watched:
    """A Table that counts writes, knows every item that was ever written, and fails when told to."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._written: dict[Key, None] = {}
        self.exclusive = table.exclusive
        self.writes = 0  #: operations that were asked for
        self.error: Exception | None = None  #: raised in place of writing

    def everything(self) -> list[Item]:
        """Every item that is there and has not expired, in the order of its first write."""
        found = self._table.get_many(list(self._written)) if self._written else []
        return [item for item in found if item is not None]

    def get(self, key: Key) -> Item | None:
        return self._table.get(key)

    def get_many(self, keys: Sequence[Key]) -> list[Item | None]:
        return self._table.get_many(keys)

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
        return self._table.query(pk, prefix=prefix, low=low, high=high, reverse=reverse, limit=limit, after=after)

    def query_index(
        self, g1pk: str, *, prefix: str = "", reverse: bool = False, limit: int = 1000, after: str | None = None
    ) -> IndexPage:
        return self._table.query_index(g1pk, prefix=prefix, reverse=reverse, limit=limit, after=after)

    def put(self, item: Item, condition: Condition | None = None) -> None:
        self._note(key_of(item))
        self._table.put(item, condition)

    def update(self, update: Update) -> Item:
        self._note(update.key)
        return self._table.update(update)

    def delete(self, key: Key, condition: Condition | None = None) -> None:
        self._note(key)
        self._table.delete(key, condition)

    def transact(self, operations: Sequence[Operation]) -> None:
        self._note(*(key_of(each.item) if isinstance(each, Put) else each.key for each in operations))
        self._table.transact(operations)

    def watch(self, watcher: Watcher) -> None:
        self._table.watch(watcher)

    def _note(self, *keys: Key) -> None:
        if self.error is not None:
            raise self.error
        self.writes += len(keys)
        self._written |= dict.fromkeys(keys)
