"""docs/flow.md is true: what it names exists, and a message really passes there, in that order."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path
from types import FrameType
from typing import Any

from roost.local.sqlite import SqliteTable
from roost.testing import Room
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


def test_a_message_passes_the_core_in_the_order_of_the_page(tmp_path: Path) -> None:
    table = SqliteTable(tmp_path / "t.db")
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
    table.close()
    core = ("roost/app.py", "roost/frames.py", "roost/chat/", "roost/storage/", "roost/local/sqlite.py")
    skipped = {"Receivers", "forget"}  # a class, and what happens only when somebody is gone
    steps = [
        f"{file} {name.rpartition('.')[2]}" for file, name in NAMED if file.startswith(core) and name not in skipped
    ]
    position = -1
    for step in steps:
        assert step in passed[position + 1 :], f"{step} is not passed after {steps[max(0, steps.index(step) - 1)]}"
        position = passed.index(step, position + 1)
