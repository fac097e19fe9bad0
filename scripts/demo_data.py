"""Fill a table with a made-up workspace: `python scripts/demo_data.py --data DIR [--messages N] [--seed S]`.

People, channels and a year of messages, some with replies and reactions, written as the chat itself would have written
them and indexed for search. The same seed makes the same workspace, ids aside. The server must be stopped.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from roost.chat.chat import Chat
from roost.chat.events import MessagePosted, to_row
from roost.chat.search import noted
from roost.local import admin
from roost.storage import channels, members, search
from roost.storage.items import (
    LOG_LIFE,
    ChannelRow,
    HeadRow,
    MembershipRow,
    MessageRow,
    UserRow,
    format_ts,
    head_key,
    log_key,
    message_key,
    to_item,
)
from roost.storage.table import Operation, Put, Table

CHANNELS = 200
PEOPLE = 60
YEAR = 365 * 86_400
_TOGETHER = 100  # operations of a transaction
_INDEXED_TOGETHER = 2_000  # messages of a channel: so each term is written once for many of them
_FIRST = ("Ana", "Ben", "Cleo", "Dan", "Eva", "Finn", "Gia", "Hugo", "Ines", "Jon")
_SYLLABLES = [consonant + vowel for consonant in "bdfgklmnprstvz" for vowel in "aeiou"]


@dataclass(frozen=True, slots=True)
class Made:
    """What was made: enough to ask about it."""

    people: list[UserRow]
    channels: list[ChannelRow]
    words: list[str]  #: from the most common to the rarest


def words(rng: random.Random, count: int) -> list[str]:
    """Made-up words, all different."""
    found: dict[str, None] = {}
    while len(found) < count:
        found["".join(rng.choices(_SYLLABLES, k=rng.randint(2, 4)))] = None
    return list(found)


def fill(chat: Chat, messages: int, seed: int) -> Made:
    """Make the workspace. `messages` is how many are said in all channels together."""
    rng = random.Random(seed)  # noqa: S311  nothing secret hangs on it
    vocabulary = words(rng, 5_000)
    people = [chat.people.add(f"{_FIRST[number % len(_FIRST)]} {number + 1}") for number in range(PEOPLE)]
    now = chat.core.now
    rows = [_channel(chat, rng, people, number, now) for number in range(CHANNELS)]
    weights = [1 / (number + 3) for number in range(CHANNELS)]
    shares = [max(1, round(messages * weight / sum(weights))) for weight in weights]
    for row, share in zip(rows, shares, strict=True):
        _talk(chat.core.table, row, people, share, vocabulary, rng, now)
    return Made(people, rows, vocabulary)


def _channel(chat: Chat, rng: random.Random, people: list[UserRow], number: int, now: int) -> ChannelRow:
    """A channel in which most people are: each is in about sixty."""
    row = channels.new(f"channel-{number:03}", people[0].id, now - YEAR)
    joined = [each for each in people if each is people[0] or rng.random() < 60 / CHANNELS]
    joins = [members.joining(row.id, MembershipRow(user=each.id, since=now - YEAR)) for each in joined]
    _write(chat.core.table, [*channels.creation(chat.core.workspace.team, row), *joins])
    return row


def _talk(
    table: Table,
    row: ChannelRow,
    people: list[UserRow],
    count: int,
    vocabulary: list[str],
    rng: random.Random,
    now: int,
) -> None:
    """Everything that is said in a channel, evenly over a year, its index, and its head."""
    said: list[tuple[str, MessageRow]] = []
    step = YEAR * 1_000_000 // (count + 1)
    moment = (now - YEAR) * 1_000_000
    found: dict[str, list[str]] = {}
    for number in range(1, count + 1):
        moment += max(1, round(step * rng.uniform(0.5, 1.5)))
        ts = format_ts(min(moment, now * 1_000_000 - (count - number)))
        author = rng.choice(people)
        text = " ".join(_zipf(rng, vocabulary) for _ in range(rng.randint(4, 20)))
        message = MessageRow(seq=number, n=number, user=author.id, name=author.name, text=text, rev=0)
        said.append((ts, message))
        noted(found, ts, message)
        if len(said) == _INDEXED_TOGETHER or number == count:
            _write(table, _items(row.id, said, now))
            search.add(table, row.id, found, number)
            last, said, found = said[-1][0], [], {}
    head = HeadRow(seq=count, mc=count, ts=int(last.replace(".", "")))
    table.put(to_item(head_key(row.id), head))


def _zipf(rng: random.Random, vocabulary: list[str]) -> str:
    """A word: the common ones much oftener than the rare."""
    return vocabulary[min(len(vocabulary) - 1, int(len(vocabulary) ** rng.random()) - 1)]


def _items(channel: str, said: list[tuple[str, MessageRow]], now: int) -> Iterator[Operation]:
    for ts, message in said:
        yield Put(to_item(message_key(channel, ts), message))
        expires = int(ts.partition(".")[0]) + LOG_LIFE
        if expires > now:
            event = to_row(MessagePosted(message=message), ts)
            yield Put(to_item(log_key(channel, ts, message.seq), event, x=expires))


def _write(table: Table, operations: Iterable[Operation]) -> None:
    waiting: list[Operation] = []
    for operation in operations:
        waiting.append(operation)
        if len(waiting) == _TOGETHER:
            table.transact(waiting)
            waiting = []
    if waiting:
        table.transact(waiting)


def main() -> int:
    """Fill a data folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, required=True, help="the data folder, of `roost serve --data`")
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    began = time.monotonic()
    with admin.opened(options.data) as chat:
        made = fill(chat, options.messages, options.seed)
        token = chat.people.create_token(made.people[0], "user", label="demo data")
    print(f"{options.messages} messages in {CHANNELS} channels of {PEOPLE} people, {time.monotonic() - began:.0f} s")
    print(f"a token of {made.people[0].name}: {token}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
