"""The engines that every contract of the Table runs on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from roost.aws.dynamodb import DynamoTable, table_definition
from roost.aws.sign import Credentials
from roost.local.sqlite import SqliteTable
from roost.storage.table import Table
from roost.testing import MemoryTable
from tests.tools import dynamodb_local, ministack


class Engine:
    """A table and the clock that it goes by."""

    def __init__(self, make: Callable[[Callable[[], float]], Any]) -> None:
        self.now = time.time()
        self.table: Table = make(lambda: self.now)


def _dynamo(endpoint: str) -> Callable[[Callable[[], float]], DynamoTable]:
    import boto3

    name = f"contract-{time.time_ns()}"
    session = boto3.session.Session()
    client = session.client(
        "dynamodb",
        endpoint_url=endpoint,
        region_name="eu-west-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    client.create_table(**table_definition(name))
    client.close()
    key = Credentials("test", "test")
    return lambda clock: DynamoTable(name, endpoint=endpoint, region="eu-west-1", credentials=lambda: key, clock=clock)


@pytest.fixture(scope="session")
def ministack_endpoint() -> Iterator[str]:
    with ministack() as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def dynamodb_local_endpoint() -> Iterator[str]:
    with dynamodb_local() as endpoint:
        yield endpoint


@pytest.fixture(
    params=["memory", "sqlite", "ministack", pytest.param("dynamodb-local", marks=pytest.mark.reference)],
)
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    if request.param == "memory":
        yield Engine(lambda clock: MemoryTable(clock=clock))
    elif request.param == "sqlite":
        chosen = Engine(lambda clock: SqliteTable(tmp_path / "t.db", clock=clock))
        yield chosen
        assert isinstance(chosen.table, SqliteTable)
        chosen.table.close()
    else:
        name = "ministack_endpoint" if request.param == "ministack" else "dynamodb_local_endpoint"
        chosen = Engine(_dynamo(request.getfixturevalue(name)))
        yield chosen
        assert isinstance(chosen.table, DynamoTable)
        chosen.table.close()


@pytest.fixture
def table(engine: Engine) -> Table:
    return engine.table
