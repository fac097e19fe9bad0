"""docs/protocol.md is true: each of its examples is replayed, to the byte, on every engine."""

from __future__ import annotations

import re

from roost.testing import Room
from tests.tools import ROOT

EXAMPLE = re.compile(r"^    ([ab])([<>]) (.*)$")


def test_every_example_of_the_protocol_page_happens_as_written(room: Room) -> None:
    lines = (ROOT / "docs" / "protocol.md").read_text().splitlines()
    steps = [match.groups() for match in map(EXAMPLE.match, lines) if match]
    assert len(steps) > 30
    people = {"a": room.enter("a"), "b": room.enter("b")}
    due: dict[str, list[str]] = {"a": [], "b": []}
    for who, direction, text in steps:
        if direction == ">":
            assert due == {"a": [], "b": []}, f"before {text!r} the page leaves out {due}"
            due[who] = people[who].says(text)
            other = "b" if who == "a" else "a"
            due[other] = people[other].hears()
        else:
            assert due[who], f"nothing arrives where the page has {text!r}"
            assert due[who].pop(0) == text
    assert due == {"a": [], "b": []}
