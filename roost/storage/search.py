"""The search index: under each term the messages that hold it, in blocks by channel; and the words there are.

A block is one item of at most `FULL` messages. The one that grows stands under its term, so that one query finds every
channel that has it; the full ones of a channel stand apart, numbered, and are read one by one. Only one indexer writes
a channel's blocks at a time, in the order of its log, and says how far it has come in the transaction of the last of
what it wrote: work that is done again changes nothing.

To find a word by a part of it, each new word is listed once under each of its endings.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from roost.storage.items import (
    IndexedRow,
    PostingsRow,
    format_ts,
    from_item,
    full_postings_key,
    indexed_key,
    postings_key,
    to_item,
    word_key,
)
from roost.storage.table import MAX_TRANSACTION_ITEMS, Item, Operation, Put, Table

FULL = 120  # messages in a block: below a kilobyte
_LEAST_ENDING = 3  # characters: shorter parts of words are found only where they begin one


@dataclass(frozen=True, slots=True)
class Hit:
    """A message that a term leads to."""

    channel: str
    ts: str


def indexed(table: Table, channel: str) -> int:
    """The seq up to which a channel's log was indexed, strong."""
    item = table.get(indexed_key(channel))
    return 0 if item is None else from_item(item, IndexedRow).seq


def add(table: Table, channel: str, found: Mapping[str, Sequence[str]], seq: int) -> None:
    """Add messages to the index: term → ts, in order. `seq` is how far the log is indexed then."""
    names = list(found)
    items = table.get_many([postings_key(term, channel) for term in names])
    operations: list[Operation] = []
    for term, item in zip(names, items, strict=True):
        operations += _grown(term, channel, item, found[term])
    operations += [Put({"PK": pk, "SK": sk}) for word in _new_words(table, names) for pk, sk in _listings(word)]
    operations.append(Put(to_item(indexed_key(channel), IndexedRow(seq=seq))))
    for start in range(0, len(operations), MAX_TRANSACTION_ITEMS):
        table.transact(operations[start : start + MAX_TRANSACTION_ITEMS])


def _grown(term: str, channel: str, item: Item | None, added: Sequence[str]) -> list[Operation]:
    """What adds messages to the block that grows; what is over moves to a full one."""
    number, known = (0, []) if item is None else _unpacked(from_item(item, PostingsRow))
    ts = [*known, *(each for each in added if each not in known)]
    operations: list[Operation] = []
    while len(ts) > FULL:
        full, ts = ts[:FULL], ts[FULL:]
        operations.append(Put(to_item(full_postings_key(term, channel, number), _packed(number, full))))
        number += 1
    return [*operations, Put(to_item(postings_key(term, channel), _packed(number, ts)))]


def _packed(number: int, ts: Sequence[str]) -> PostingsRow:
    micro = [int(each.replace(".", "")) for each in ts]
    return PostingsRow(number=number, first=micro[0], steps=[b - a for a, b in itertools.pairwise(micro)])


def _unpacked(row: PostingsRow) -> tuple[int, list[str]]:
    moment, ts = row.first, [format_ts(row.first)]
    for step in row.steps:
        moment += step
        ts.append(format_ts(moment))
    return row.number, ts


def _new_words(table: Table, words: Iterable[str]) -> list[str]:
    asked = [word for word in sorted(words) if len(word) >= _LEAST_ENDING and word[0] not in "@!"]
    items = table.get_many([word_key(word, word) for word in asked])
    return [word for word, item in zip(asked, items, strict=True) if item is None]


def _listings(word: str) -> list[tuple[str, str]]:
    """Under which endings a word is listed; under itself last, which says that it is listed."""
    starts = range(len(word) - _LEAST_ENDING, -1, -1)
    return [word_key(word[start:], word) for start in starts]


def words_with(table: Table, part: str, limit: int) -> list[str]:
    """Words that hold a part: itself, those that begin with it, then others, at most `limit`."""
    if len(part) < _LEAST_ENDING:
        return [part]
    pk, sk = word_key(part, "")
    prefix = sk.rpartition("#")[0]
    found = {str(item["SK"]).rpartition("#")[2] for item in table.query(pk, prefix=prefix, limit=1000).items}
    ordered = sorted(found | {part}, key=lambda word: (word != part, not word.startswith(part), len(word), word))
    return ordered[:limit]


def hits(table: Table, term: str, channels: Collection[str]) -> Iterator[Hit]:
    """The messages of these channels that a term leads to, newest first, each channel read as far as is asked for.

    What was edited or deleted since is still among them.
    """
    parts = []
    after: str | None = None
    while True:
        page = table.query(postings_key(term, "").pk, after=after)
        for item in page.items:
            channel = str(item["SK"])
            if channel in channels:
                parts.append(_down(table, term, channel, from_item(item, PostingsRow)))
        if page.next is None:
            break
        after = page.next
    return (Hit(channel, ts) for ts, channel in heapq.merge(*parts, reverse=True))


def _down(table: Table, term: str, channel: str, row: PostingsRow) -> Iterator[tuple[str, str]]:
    number, ts = _unpacked(row)
    yield from ((each, channel) for each in sorted(ts, reverse=True))
    while number:
        number -= 1
        item = table.get(full_postings_key(term, channel, number))
        if item is None:
            return
        _, ts = _unpacked(from_item(item, PostingsRow))
        yield from ((each, channel) for each in sorted(ts, reverse=True))
