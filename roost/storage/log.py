"""The append, and reading it back. The only place that assigns `seq` and `ts`.

One transaction decides everything: the client id is remembered, the head moves from the `seq` and `ts` that we saw to
the next, the events are written, and whatever items they change. Whoever loses the race for the head tries again, so a
log is dense in `seq` and rising in `ts` whatever the clocks say.

Where this process alone writes the table, the head need not be read before each append. A *chain* is the head as it
will be once everything now in flight is committed: an append takes the next place on it before it is submitted, so
that many appends to one channel wait for one commit together. The store applies them in the order in which they were
submitted. When one of them fails, those behind it fail too, since each names the head that its predecessor leaves;
the first of them throws the chain away and all go on along a new one, in their order. The condition names `ts`
besides `seq`, so an append of an old chain can never fit onto a new one.
"""

from __future__ import annotations

import itertools
import random
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from roost.storage.items import (
    EMPTY_HEAD,
    IDEMPOTENCY_LIFE,
    LOG_LIFE,
    EventRow,
    HeadRow,
    IdempotencyRow,
    format_ts,
    from_item,
    head_key,
    log_key,
    month_of,
    months_down,
    to_item,
)
from roost.storage.table import (
    MAX_PAGE_ITEMS,
    ConditionFailed,
    Conflict,
    Equals,
    Key,
    Missing,
    Operation,
    Put,
    StoreUnavailable,
    Table,
    TableError,
    Throttled,
    TransactionFailed,
    Update,
)

_TRIES = 8
_PAUSE = 0.01  # seconds at most before the second try; doubled for each further one, up to half a second
_PATIENCE = 4_000_000  # microseconds after which no other try begins: somebody waits, and a function's time is limited
_REREADS = 5  # of a range with a hole in it
_REREAD_PAUSE = 0.02


class Place(NamedTuple):
    """Where a change will stand if nobody is quicker."""

    ts: str
    seq: int  #: of its first event
    n: int  #: the messages of the log, this change's own included
    now: int  #: seconds since the epoch


class Written(NamedTuple):
    """What a change writes: its events, in order, and the items that they change."""

    events: Sequence[EventRow]
    operations: Sequence[Operation]


@dataclass(frozen=True, slots=True)
class Change:
    """What is to happen in a log, without a place in it yet."""

    write: Callable[[Place], Written]
    events: int = 1  #: how many it makes
    messages: int = 0  #: by how many the log's count of messages rises
    once: Key | None = None  #: remembered for a day: a change under the same key again does not happen


@dataclass(frozen=True, slots=True)
class Appended:
    """Where a change stands. `duplicate`: it already stood there, from an earlier try of the same client."""

    ts: str
    seq: int
    duplicate: bool = False


class Busy(TableError):
    """The log could not be appended to within the tries that are reasonable. Nothing was appended."""


@dataclass(slots=True)
class _Chain:
    """A channel's head once all that is in flight is committed; `ts` in microseconds."""

    seq: int
    mc: int
    ts: int


class Log:
    """The logs of all channels."""

    def __init__(self, table: Table, now_us: Callable[[], int], sleep: Callable[[float], None]) -> None:
        self._table = table
        self._now_us = now_us
        self._sleep = sleep
        self._chains: dict[str, _Chain] = {}
        self._nonce = secrets.token_hex(4)
        self._attempts = itertools.count()

    def append(self, stream: str, change: Change | Callable[[], Change]) -> Appended:
        """Append a change: durable when this returns. `stream` is a channel, or the team for the workspace's own log.

        A change that depends on what is stored is given as a function, which is called again for each try, since what
        it read may have changed; it may raise, and then nothing was appended. Raises `Busy`, or `StoreUnavailable`
        when nobody knows.
        """
        doubts: list[StoreUnavailable] = []
        try:
            return self._append(stream, change, doubts)
        except (Busy, Throttled, Conflict):
            if doubts:
                raise doubts[-1] from None  # a write whose answer was lost may still happen
            raise

    def beginning(self, stream: str, change: Change) -> list[Operation]:
        """What begins a new log with a change: a part of the transaction that makes what the log is of."""
        now = self._now_us()
        ts, seconds = format_ts(now), now // 1_000_000
        events, changed = change.write(Place(ts, 1, change.messages, seconds))
        head = HeadRow(seq=change.events, mc=change.messages, ts=now)
        return [Put(to_item(head_key(stream), head), Missing()), *_logged(stream, ts, 1, seconds, events), *changed]

    def _append(self, stream: str, change: Change | Callable[[], Change], doubts: list[StoreUnavailable]) -> Appended:
        began = self._now_us()
        for attempt in range(_TRIES):
            wanted = change if isinstance(change, Change) else change()
            chain = self._chain(stream)
            by = f"{self._nonce}{next(self._attempts):x}"
            place, operations = self._reserve(stream, chain, wanted, by)
            try:
                self._table.transact(operations)
                return place
            except TransactionFailed as failure:
                before = self._failed(stream, chain, failure, wanted)
                if before is not None:
                    return before
            except (Throttled, Conflict):
                self._forget(stream, chain)
            except StoreUnavailable as failure:
                doubts.append(failure)
                self._forget(stream, chain)
                committed = self._remembered(wanted)
                if committed is not None:
                    return Appended(committed.ts, committed.seq, duplicate=committed.by != by)
                if wanted.once is None:
                    raise  # it may have happened, and nothing would tell us
            except BaseException:
                self._forget(stream, chain)
                raise
            if not self._table.exclusive or attempt:
                self._sleep(random.uniform(0, min(0.5, _PAUSE * 2**attempt)))  # noqa: S311  jitter, no secret
            if self._now_us() - began > _PATIENCE:
                break
        raise Busy("the log is too busy")

    def _chain(self, channel: str) -> _Chain:
        """The chain to go on with. In a shared table it is the head as it is now, for one append."""
        chain = self._chains.get(channel)
        if chain is None:
            item = self._table.get(head_key(channel))
            there = self._chains.get(channel)  # of somebody who was quicker while we read
            if there is not None:
                return there
            head = from_item(item, HeadRow) if item is not None else EMPTY_HEAD
            chain = self._start(channel, head)
        return chain

    def _start(self, channel: str, head: HeadRow) -> _Chain:
        chain = _Chain(head.seq, head.mc, head.ts)
        if self._table.exclusive:
            self._chains[channel] = chain
        return chain

    def _reserve(self, stream: str, chain: _Chain, change: Change, by: str) -> tuple[Appended, list[Operation]]:
        """Take the next place on the chain, and say what writes it: the head first, what is remembered last."""
        old_seq, old_ts = chain.seq, chain.ts
        now = self._now_us()
        microseconds = max(now, old_ts + 1)
        chain.seq, chain.mc, chain.ts = old_seq + change.events, chain.mc + change.messages, microseconds
        ts, seconds = format_ts(microseconds), now // 1_000_000
        events, changed = change.write(Place(ts, old_seq + 1, chain.mc, seconds))
        assert len(events) == change.events
        operations: list[Operation] = [
            Update(
                head_key(stream),
                set={"seq": chain.seq, "mc": chain.mc, "ts": microseconds},
                condition=Equals({"seq": old_seq, "ts": old_ts}),
            )
        ]
        operations += [*_logged(stream, ts, old_seq + 1, seconds, events), *changed]
        if change.once is not None:
            once = IdempotencyRow(ts=ts, seq=old_seq + 1, by=by)
            operations.append(Put(to_item(change.once, once, x=seconds + IDEMPOTENCY_LIFE), Missing()))
        return Appended(ts, old_seq + 1), operations

    def _failed(self, channel: str, chain: _Chain, failure: TransactionFailed, change: Change) -> Appended | None:
        """What a cancelled append means: it was there already (that), or something had moved (None: try again)."""
        ours = self._forget(channel, chain)
        head = failure.reasons[0]
        if ours and isinstance(head, ConditionFailed) and head.item is not None:
            self._start(channel, from_item(head.item, HeadRow))
        if change.once is not None and isinstance(failure.reasons[-1], ConditionFailed):
            row = self._remembered(change)
            if row is not None:
                return Appended(row.ts, row.seq, duplicate=True)
        return None

    def _forget(self, channel: str, chain: _Chain) -> bool:
        """Throw a chain away, unless another has taken its place. Says whether it was this one's to throw."""
        if self._chains.get(channel) is chain:
            del self._chains[channel]
            return True
        return False

    def _remembered(self, change: Change) -> IdempotencyRow | None:
        item = None if change.once is None else self._table.get(change.once)
        return None if item is None else from_item(item, IdempotencyRow)

    # -- reading back -----------------------------------------------------------------------------------------------

    def head(self, stream: str) -> HeadRow:
        """Where a log ends, strong."""
        item = self._table.get(head_key(stream))
        return EMPTY_HEAD if item is None else from_item(item, HeadRow)

    def since(self, stream: str, seq: int, limit: int) -> list[tuple[int, EventRow]] | None:
        """The events after `seq` as (seq, event), in order, strong; None if they are not all there any more, are more
        than `limit`, or if `seq` is not of this log's past.

        Never past a hole: where a transaction becomes visible item by item, the log is read again, and what lies behind
        a hole that stays is left for the next call.
        """
        head = self.head(stream)
        if not 0 <= seq <= head.seq or head.seq - seq > limit:
            return None
        if seq == head.seq:
            return []
        for _ in range(_REREADS):
            found = self._read_since(stream, seq, head)
            if not found or found[0][0] != seq + 1:
                return None  # expired
            if found[-1][0] == seq + len(found) >= head.seq:
                return found
            self._sleep(_REREAD_PAUSE)
        return [(number, event) for place, (number, event) in enumerate(found, seq + 1) if number == place]

    def next(self, stream: str, seq: int, limit: int) -> list[tuple[int, EventRow]]:
        """The next events after `seq`, at most `limit`, without a hole between them, strong. What has expired is passed
        over; what is not visible yet is waited for."""
        for _ in range(_REREADS):
            found = self._read_since(stream, seq, self.head(stream), limit)
            if not found or found[0][0] == seq + 1 or self._is_old(found[0][1].ts):
                break
            self._sleep(_REREAD_PAUSE)
        first = found[0][0] if found else 0
        return [(number, event) for place, (number, event) in enumerate(found, first) if number == place]

    def _is_old(self, ts: str) -> bool:
        """Whether what came before an event may have expired."""
        return int(ts.partition(".")[0]) < self._now_us() // 1_000_000 - LOG_LIFE + 86_400

    def _read_since(self, stream: str, seq: int, head: HeadRow, limit: int = 1_000_000) -> list[tuple[int, EventRow]]:
        newest = format_ts(head.ts)
        oldest = format_ts(max(0, head.ts - LOG_LIFE * 1_000_000))
        found: list[tuple[int, EventRow]] = []
        for month in reversed(months_down(month_of(newest), month_of(oldest))):
            after: str | None = None
            while True:
                some = min(limit - len(found), MAX_PAGE_ITEMS)
                page = self._table.query(f"L#{stream}#{month}", low=f"{seq + 1:012}", limit=some, after=after)
                found += [(int(str(item["SK"])), from_item(item, EventRow)) for item in page.items]
                if len(found) >= limit:
                    return found
                if page.next is None:
                    break
                after = page.next
        return found


def _logged(stream: str, ts: str, first: int, now: int, events: Sequence[EventRow]) -> list[Operation]:
    """What writes events, from the seq `first` on."""
    return [Put(to_item(log_key(stream, ts, seq), event, x=now + LOG_LIFE)) for seq, event in enumerate(events, first)]
