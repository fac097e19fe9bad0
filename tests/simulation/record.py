"""What clients did and heard in a run: all that the checkers go by, besides what is in the store."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from roost.chat.errors import RateLimited
from roost.chat.ports import Outcome
from roost.testing import MemoryTable

_SHOWN = re.compile(r"^\[[\d: -]+\] #(\S+) [^:]*: (.*)$")
_NOTHING = re.compile(r"^Nothing has been said in #(\S+) yet\.$")

RECEIVING = {  # how a connection takes a push
    "well": (Outcome.SENT, True),
    "not": (Outcome.FAILED, False),  # 429 by its rate or its full buffer, 403, 413, 5xx
    "late": (Outcome.FAILED, True),  # the answer timed out, the frame came
    "unheard": (Outcome.SENT, False),  # taken over, and lost on the way
}


@dataclass
class Said:
    """A frame that somebody sent, and what became of it."""

    text: str
    connection: str
    message_id: str
    began: int = 0  #: the step at which it was first handled
    times: int = 0  #: how often it was handed over
    denied: bool = False  #: its author was told that nothing was sent
    acknowledged: bool = False  #: a line that was handled to its end without a word back
    disturbed: bool = False  #: something failed while it was handled: some may not have been told

    @property
    def command(self) -> bool:
        """Whether it asks for an answer, and is not said to anybody."""
        return self.text[0] in "/{"


@dataclass
class Connection:
    """A client, as the gateway sees it."""

    id: str
    state: str = "connecting"  #: connecting, open, dead, refused
    receiving: tuple[str, ...] = ("well",)  #: one of `RECEIVING`, by turns
    seated: int = 0  #: the step from which on it was open
    was_in: set[str] = field(default_factory=lambda: {"general"})
    heard: list[str] = field(default_factory=list)
    first: list[str] = field(default_factory=list)  #: what is to be sent as soon as it is open
    _turns: int = 0

    def opens(self, step: int) -> None:
        """It was let in."""
        self.state, self.seated = "open", step
        self.heard += self.first

    def take_first(self, payload: str) -> None:
        """A frame that follows the opening."""
        if self.state == "open":
            self.take(payload)
        else:
            self.first.append(payload)

    def take(self, payload: str) -> Outcome:
        """A frame arrives."""
        if self.state != "open":
            return Outcome.GONE
        self._turns += 1
        outcome, arrives = RECEIVING[self.receiving[self._turns % len(self.receiving)]]
        if arrives:
            self.heard.append(payload)
        return outcome


@dataclass(frozen=True)
class Look:
    """What a `/history` showed, and which lines had been acknowledged when it was asked for."""

    channel: str
    texts: tuple[str, ...]
    known: frozenset[str]


@dataclass
class Handling:
    """A function, or a task, at work on a frame."""

    said: Said
    known: frozenset[str]
    told: list[str] = field(default_factory=list)  #: what it sent to who sent the frame


class Record:
    """One run. `table` is the store, `one_process` whether one server owns it."""

    table: MemoryTable

    def __init__(self, *, one_process: bool) -> None:
        self.one_process = one_process
        self.connections: dict[str, Connection] = {}
        self.said: dict[str, Said] = {}
        self.looks: list[Look] = []
        self.unanswered: list[str] = []
        self.step = 0

    def begin(self, said: Said) -> Handling:
        """A frame is being handled."""
        self.step += 1
        said.began = said.began or self.step
        said.times += 1
        if said.text.startswith("/channel "):
            self.connections[said.connection].was_in.add(said.text.split()[1])
        return Handling(said, frozenset(each.text for each in self.said.values() if each.acknowledged))

    def end(self, handling: Handling) -> None:
        """It was handled to its end."""
        said = handling.said
        if not said.command:
            said.acknowledged |= not handling.told
            said.denied |= RateLimited.sentence in handling.told
        elif not handling.told:
            self.unanswered.append(said.text)
        elif said.text.startswith("/history"):
            self._look(handling)

    def _look(self, handling: Handling) -> None:
        lines = "\n".join(handling.told).split("\n")
        nothing = _NOTHING.match(lines[0])
        if nothing:
            self.looks.append(Look(nothing[1], (), handling.known))
            return
        shown = [match for line in lines if (match := _SHOWN.match(line))]
        if len(shown) == len(lines):  # else it was refused
            self.looks.append(Look(shown[0][1], tuple(match[2] for match in shown), handling.known))

    def deliver(self, connections: Sequence[str], payload: str, handling: Handling | None) -> dict[str, Outcome]:
        """Push a frame; who did not take it, as the Push port says it."""
        if handling is not None and handling.said.connection in connections:
            handling.told.append(payload)
        outcomes = {each: self.connections[each].take(payload) for each in connections}
        return {each: outcome for each, outcome in outcomes.items() if outcome is not Outcome.SENT}
