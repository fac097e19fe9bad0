"""The engines that every contract of the Table runs on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from roost.aws.dynamodb import DynamoTable
from roost.local.sqlite import SqliteTable
from roost.storage.table import Table
from roost.testing import MemoryTable
from tests.engines import dynamo_table


class Engine:
    """A table and the clock that it goes by."""

    def __init__(self, make: Callable[[Callable[[], float]], Any]) -> None:
        self.now = time.time()
        self.table: Table = make(lambda: self.now)


def _dynamo(endpoint: str) -> Callable[[Callable[[], float]], DynamoTable]:
    return lambda clock: dynamo_table(endpoint, clock)


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
