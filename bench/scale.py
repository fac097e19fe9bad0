"""What a person waits for, in a workspace of a million messages against one of ten thousand."""

from __future__ import annotations

import contextlib
import random
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.measures import Row
from bench.numbers import Spread, ratios, rotated
from roost.chat.chat import Chat
from roost.chat.model import Person, channel_of, person_of
from roost.local import admin
from roost.storage.items import ChannelRow
from roost.storage.messages import Range
from scripts.demo_data import CHANNELS, Made, fill

SMALL, LARGE = 10_000, 1_000_000
_TIMES = 40  # that each question is asked in a round
_PAGE = 50
_RESUMED = 100  # events


@dataclass
class Workspace:
    """A filled workspace and somebody in it."""

    name: str
    chat: Chat
    made: Made
    person: Person
    mine: list[ChannelRow]


def scale(rounds: int, seconds: float) -> Iterator[Row]:
    """History, resume, unread and search on SQLite."""
    with contextlib.ExitStack() as stack:
        sides = [stack.enter_context(_workspace(count)) for count in (SMALL, LARGE)]
        results: dict[tuple[str, str], list[float]] = {}
        for round_number in range(rounds):
            for name, question in QUESTIONS.items():
                for side in rotated(sides, round_number):
                    results.setdefault((name, side.name), []).append(_median(side, question, round_number))
        for name in QUESTIONS:
            small, large = (results[name, side.name] for side in sides)
            note = f"{Spread.of(small).median * 1e3:.2f} ms and {Spread.of(large).median * 1e3:.2f} ms"
            yield Row(f"{name}, a million messages against ten thousand", ratios(large, small), 2.0, 1.0, note=note)


@contextlib.contextmanager
def _workspace(messages: int) -> Iterator[Workspace]:
    with tempfile.TemporaryDirectory(prefix="roost-bench-") as folder, admin.opened(Path(folder)) as chat:
        made = fill(chat, messages, seed=1)
        person = person_of(made.people[0])
        mine = [row for row, _ in chat.channels.of(person) if row.name != "general"]
        yield Workspace(f"{messages}", chat, made, person, mine)


def _median(side: Workspace, question: Callable[[Workspace, random.Random], object], seed: int) -> float:
    rng, times = random.Random(seed), []
    for _ in range(_TIMES):
        began = time.perf_counter()
        question(side, rng)
        times.append(time.perf_counter() - began)
    times.sort()
    return times[len(times) // 2]


def _history(side: Workspace, rng: random.Random) -> None:
    channel = channel_of(rng.choice(side.mine[:20]))
    found, _ = side.chat.messages.history(side.person, channel, Range(), _PAGE)
    assert found


def _resume(side: Workspace, rng: random.Random) -> None:
    row = rng.choice(side.mine[:5])
    head = side.chat.core.log.head(row.id)
    assert side.chat.streams.replay(side.person, row.id, max(0, head.seq - min(_RESUMED, 10))) is not None


def _unread(side: Workspace, rng: random.Random) -> None:
    assert len(side.chat.reads.standings(side.person)) > CHANNELS / 2


def _search(place: slice) -> Callable[[Workspace, random.Random], None]:
    def ask(side: Workspace, rng: random.Random) -> None:
        side.chat.search.find(side.person, rng.choice(side.made.words[place]), best=False)

    return ask


QUESTIONS: dict[str, Callable[[Workspace, random.Random], object]] = {
    "a page of history": _history,
    "resume": _resume,
    "unread of every channel": _unread,
    "search of a common word": _search(slice(5, 30)),
    "search of a rare word": _search(slice(4000, 5000)),
}
