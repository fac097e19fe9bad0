"""Emulated AWS, one of each for a whole run, and the chat on every engine that it is promised to run on."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

from roost.local.sqlite import SqliteTable
from roost.settings import Settings
from roost.storage.table import Table
from roost.testing import MemoryTable, Room
from tests.engines import Watched, dynamo_table
from tests.tools import dynamodb_local, ministack

#: A new room on the engine of this test; several of one test have a table each.
NewRoom: TypeAlias = Callable[..., Room]


@pytest.fixture(scope="session")
def ministack_endpoint() -> Iterator[str]:
    with ministack() as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def enforcing_endpoint() -> Iterator[str]:
    """MiniStack that refuses what is not rightly signed."""
    with ministack(auth=True) as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def dynamodb_local_endpoint() -> Iterator[str]:
    with dynamodb_local() as endpoint:
        yield endpoint


@pytest.fixture(params=["memory", "sqlite", "ministack", pytest.param("dynamodb-local", marks=pytest.mark.reference)])
def new_room(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[NewRoom]:
    with contextlib.ExitStack() as opened:

        def new(settings: Settings | None = None) -> Room:
            room: Room = Room(Watched(_table(lambda: room.clock.now)), settings)
            return room

        def _table(clock: Callable[[], float]) -> Table:
            if request.param == "memory":
                return MemoryTable(clock=clock)
            if request.param == "sqlite":
                table = SqliteTable(tmp_path / "t.db", clock=clock)
                opened.callback(table.close)
                return table
            name = f"{request.param.replace('-', '_')}_endpoint"
            shared = dynamo_table(request.getfixturevalue(name), clock)
            opened.callback(shared.close)
            return shared

        yield new


@pytest.fixture
def room(new_room: NewRoom) -> Room:
    return new_room()
