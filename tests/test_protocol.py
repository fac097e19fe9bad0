"""docs/protocol.md is true: its examples are replayed; those of the text protocol to the byte, on every engine."""

from __future__ import annotations

import json
import re
from typing import Any

from roost.testing import Room
from tests.slack.event_schemas import SCHEMAS
from tests.slack.workspace import Member, Stream, Workspace
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


FRAME = re.compile(r"^    (ana|ben)([<>]| calls) (.*)$")


class Page:
    """The people of the page's second part, and what its placeholders stand for."""

    def __init__(self) -> None:
        self.workspace = Workspace()
        self.people: dict[str, Member] = {"ana": self.workspace.ana, "ben": self.workspace.member("ben")}
        self.streams: dict[str, Stream] = {name: person.listens() for name, person in self.people.items()}
        self.due: dict[str, list[Any]] = {"ana": [], "ben": []}

    def step(self, who: str, how: str, text: str) -> None:
        """One line of an example."""
        if how == "<":
            assert self.due[who], f"nothing arrives where the page has {text!r}"
            frame = self.due[who].pop(0)
            assert alike(json.loads(text), frame), (text, frame)
            return
        assert self.due == {"ana": [], "ben": []}, f"before {text!r} the page leaves out {self.due}"
        if how == ">":
            self.due[who] += self.streams[who].sends(self._filled(text))
        else:
            method, _, arguments = text.partition(" ")
            self.people[who].does(method, **json.loads(self._filled(arguments)))
        for name, stream in self.streams.items():
            self.due[name] += stream.hears()

    def _filled(self, text: str) -> str:
        general, chat = self.workspace.general, self.workspace.chat
        last = self.people["ana"].reads(general)[0]["ts"]
        names = {"C…": general, "BEN": self.people["ben"].id, "EPOCH": chat.core.workspace.epoch, "LAST": last}
        for name, value in names.items():
            text = text.replace(f'"{name}"', f'"{value}"')
        return text


def alike(written: Any, frame: Any) -> bool:
    """Whether a frame is what the page has, as far as the page says it."""
    if isinstance(written, dict):
        keys = {key if key[-1:] != "…" else key[0]: value for key, value in written.items()}
        found = {key if f"{key[:1]}…" not in written else key[0]: value for key, value in frame.items()}
        return keys.keys() == found.keys() and all(alike(value, found[key]) for key, value in keys.items())
    if isinstance(written, str) and written.endswith("…"):
        return isinstance(frame, str) and frame.startswith(written[:-1])
    return bool(written == frame)


def test_every_example_of_the_event_stream_happens_as_written() -> None:
    lines = (ROOT / "docs" / "protocol.md").read_text().splitlines()
    steps = [match.groups() for match in map(FRAME.match, lines) if match]
    assert len(steps) > 30
    page = Page()
    for who, how, text in steps:
        page.step(who, how.strip(), text)
    assert page.due == {"ana": [], "ben": []}


def test_every_frame_and_every_event_is_on_the_page() -> None:
    page = (ROOT / "docs" / "protocol.md").read_text()
    frames = ("typing", "resume", "heartbeat", "presence_sub", "presence_query", "ping", "pong", "hello", "goodbye")
    for kind in (*SCHEMAS, *frames, "user_typing"):
        name = kind.rpartition("/")[2]
        assert f"`{name}`" in page or f'"type":"{name}"' in page, name
