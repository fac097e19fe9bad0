"""docs/flow.md is true: what it names exists, and a message really passes there, in that order, on each engine."""

from __future__ import annotations

import importlib
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from roost.aws.dynamodb import DynamoTable
from roost.local.sqlite import SqliteTable
from roost.testing import Room
from tests.engines import dynamo_table
from tests.tools import ROOT

PAGE = (ROOT / "docs" / "flow.md").read_text()
NAMED = re.findall(r"`(roost/[\w/]+\.py)`\s+`([\w.]+)`", PAGE)


def test_everything_that_the_page_names_exists() -> None:
    assert len(NAMED) > 15
    for file, name in NAMED:
        found: Any = importlib.import_module(file.removesuffix(".py").replace("/", "."))
        for part in name.split("."):
            assert hasattr(found, part), f"{file} has no {name}"
            found = getattr(found, part)


#: What a message passes on every engine, and the engine's own part.
CORE = ("roost/app.py", "roost/frames.py", "roost/chat/", "roost/storage/")
STORES = {SqliteTable: "roost/local/sqlite.py", DynamoTable: "roost/aws/dynamodb.py"}


@pytest.fixture(params=["sqlite", "ministack", pytest.param("dynamodb-local", marks=pytest.mark.reference)])
def table(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqliteTable | DynamoTable]:
    opened: SqliteTable | DynamoTable
    if request.param == "sqlite":
        opened = SqliteTable(tmp_path / "t.db")
    else:
        opened = dynamo_table(request.getfixturevalue(f"{request.param.replace('-', '_')}_endpoint"), time.time)
    yield opened
    opened.close()


def test_a_message_passes_the_core_in_the_order_of_the_page(table: SqliteTable | DynamoTable) -> None:
    room = Room(table)
    bz, ana = room.enter("a"), room.enter("b")
    bz.says("/name bz")
    passed: list[str] = []

    def note(frame: FrameType, event: str, argument: object) -> None:
        file = frame.f_code.co_filename
        if event == "call" and "/roost/" in file:
            passed.append(f"{Path(file).relative_to(ROOT)} {frame.f_code.co_name}")

    sys.setprofile(note)
    try:
        bz.says("hello")
    finally:
        sys.setprofile(None)
    assert ana.hears() == ["#general bz: hello"]
    skipped = {
        "Receivers",
        "forget",
        "EventStream.receive",
        "WebApi.handle",
    }  # a class, and what happens only when somebody is gone
    files = (*CORE, STORES[type(table)])
    steps = [
        f"{file} {name.rpartition('.')[2]}" for file, name in NAMED if file.startswith(files) and name not in skipped
    ]
    assert f"{STORES[type(table)]} transact" in steps
    position = -1
    for step in steps:
        assert step in passed[position + 1 :], f"{step} is not passed after {steps[max(0, steps.index(step) - 1)]}"
        position = passed.index(step, position + 1)
