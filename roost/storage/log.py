"""The append, and reading it back. The only place that assigns `seq` and `ts`.

One transaction decides everything: the client id is remembered, the head moves from the `seq` and `ts` that we saw to
the next, message and event are written. Whoever loses the race for the head tries again, so a channel's log is dense
in `seq` and rising in `ts` whatever the clocks say.

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
from collections.abc import Callable
from dataclasses import dataclass

from roost.storage.items import (
    EMPTY_HEAD,
    IDEMPOTENCY_LIFE,
    LOG_LIFE,
    HeadRow,
    IdempotencyRow,
    MessageRow,
    format_ts,
    from_item,
    head_key,
    log_key,
    message_key,
    months_down,
    to_item,
)
from roost.storage.table import (
    MAX_PAGE_ITEMS,
    ConditionFailed,
    Conflict,
    Equals,
    Item,
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
_REREADS = 5  # of a page with a hole in it
_REREAD_PAUSE = 0.02


@dataclass(frozen=True, slots=True)
class Draft:
    """A message that has no place in the log yet."""

    user: str
    name: str
    guest: bool
    text: str
    client_msg_id: str = ""
    once: Key | None = None  #: remembered for a day: what is appended under the same key again is not appended


@dataclass(frozen=True, slots=True)
class Appended:
    """Where a message stands. `duplicate`: it already stood there, from an earlier try of the same client."""

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

    def append(self, channel: str, draft: Draft) -> Appended:
        """Append a message: durable when this returns. Raises `Busy`, or `StoreUnavailable` when nobody knows."""
        for attempt in range(_TRIES):
            chain = self._chain(channel)
            by = f"{self._nonce}{next(self._attempts):x}"
            place, operations = self._reserve(channel, chain, draft, by)
            try:
                self._table.transact(operations)
                return place
            except TransactionFailed as failure:
                before = self._failed(channel, chain, failure, draft)
                if before is not None:
                    return before
            except (Throttled, Conflict):
                self._forget(channel, chain)
            except StoreUnavailable:
                self._forget(channel, chain)
                committed = self._remembered(draft)
                if committed is not None:
                    return Appended(committed.ts, committed.seq, duplicate=committed.by != by)
                if draft.once is None:
                    raise  # it may have happened, and nothing would tell us
            except BaseException:
                self._forget(channel, chain)
                raise
            if not self._table.exclusive or attempt:
                self._sleep(random.uniform(0, min(0.5, _PAUSE * 2**attempt)))  # noqa: S311  jitter, no secret
        raise Busy("the channel's log is too busy")

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

    def _reserve(self, channel: str, chain: _Chain, draft: Draft, by: str) -> tuple[Appended, list[Operation]]:
        """Take the next place on the chain, and say what writes it."""
        old_seq, old_ts = chain.seq, chain.ts
        now = self._now_us()
        microseconds = max(now, old_ts + 1)
        chain.seq, chain.mc, chain.ts = old_seq + 1, chain.mc + 1, microseconds
        ts, seconds = format_ts(microseconds), now // 1_000_000
        row = MessageRow(
            seq=chain.seq,
            n=chain.mc,
            user=draft.user,
            name=draft.name,
            text=draft.text,
            guest=draft.guest,
            client_msg_id=draft.client_msg_id,
        )
        message = to_item(message_key(channel, ts), row)
        event = {**message, "type": "message", "ts": ts, "x": seconds + LOG_LIFE}
        event["PK"], event["SK"] = log_key(channel, ts, chain.seq)
        operations: list[Operation] = [
            Update(
                head_key(channel),
                set={"seq": chain.seq, "mc": chain.mc, "ts": microseconds},
                condition=Equals({"seq": old_seq, "ts": old_ts}),
            ),
            Put(message),
            Put(event),
        ]
        if draft.once is not None:
            once = IdempotencyRow(ts=ts, seq=chain.seq, by=by)
            remembered = to_item(draft.once, once, x=seconds + IDEMPOTENCY_LIFE)
            operations.append(Put(remembered, Missing()))
        return Appended(ts, chain.seq), operations

    def _failed(self, channel: str, chain: _Chain, failure: TransactionFailed, draft: Draft) -> Appended | None:
        """What a cancelled append means: it was there already (that), or the head had moved (None: try again)."""
        ours = self._forget(channel, chain)
        head = failure.reasons[0]
        if ours and isinstance(head, ConditionFailed) and head.item is not None:
            self._start(channel, from_item(head.item, HeadRow))
        if draft.once is not None and isinstance(failure.reasons[3], ConditionFailed):
            row = self._remembered(draft)
            if row is not None:
                return Appended(row.ts, row.seq, duplicate=True)
        return None

    def _forget(self, channel: str, chain: _Chain) -> bool:
        """Throw a chain away, unless another has taken its place. Says whether it was this one's to throw."""
        if self._chains.get(channel) is chain:
            del self._chains[channel]
            return True
        return False

    def _remembered(self, draft: Draft) -> IdempotencyRow | None:
        item = None if draft.once is None else self._table.get(draft.once)
        return None if item is None else from_item(item, IdempotencyRow)

    # -- reading back -----------------------------------------------------------------------------------------------

    def newest(self, channel: str, created: int, limit: int) -> list[tuple[str, MessageRow]]:
        """The newest messages of a channel as (ts, row), oldest first, strong. `created` is the channel's, in seconds.

        Never past a hole: where a transaction becomes visible item by item, what is not whole is read again, and left
        out if it stays so.
        """
        for _ in range(_REREADS):
            rows = self._read_newest(channel, created, limit)
            hole = _hole(rows)
            if hole is None:
                return rows
            self._sleep(_REREAD_PAUSE)
        return rows[hole:]

    def _read_newest(self, channel: str, created: int, limit: int) -> list[tuple[str, MessageRow]]:
        item = self._table.get(head_key(channel))
        head = EMPTY_HEAD if item is None else from_item(item, HeadRow)
        if not head.seq:
            return []
        newest, oldest = format_ts(head.ts), format_ts(min(head.ts, created * 1_000_000))
        found: list[Item] = []
        for month in months_down(_month(newest), _month(oldest)):
            found += self._month_down(f"C#{channel}#{month}", limit - len(found))
            if len(found) >= limit:
                break
        return [(str(item["SK"]), from_item(item, MessageRow)) for item in reversed(found)]

    def _month_down(self, pk: str, limit: int) -> list[Item]:
        found: list[Item] = []
        after: str | None = None
        while len(found) < limit:
            some = min(limit - len(found), MAX_PAGE_ITEMS)
            page = self._table.query(pk, reverse=True, limit=some, after=after)
            found += page.items
            if page.next is None:
                break
            after = page.next
        return found


def _month(ts: str) -> str:
    return message_key("", ts).pk[-6:]


def _hole(rows: list[tuple[str, MessageRow]]) -> int | None:
    """Where the newest unbroken run begins, or None if there is no hole."""
    for index in range(len(rows) - 1, 0, -1):
        if rows[index][1].n != rows[index - 1][1].n + 1:
            return index
    return None
