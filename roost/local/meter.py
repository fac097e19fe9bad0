"""Meters what the laptop's chat would use on AWS: wrappers around the Table and the Push, and around each event.

Everything that one event does is added up in one `Use`, which hangs on the Task (or the thread) that handles it, and
which joins the others of its action and channel when the event is done. That is a few additions per call, and no clock,
lock or file. What was added up is taken away now and then by the `Ledger`, which writes it to the day's file. Where
there is so much to do that even this would be felt, every 17th event stands for 17.

Where this process alone has the data, two reads are saved that AWS needs: the channel's head before an append, and who
hears the channel after it. They are metered as if they had been made.
"""

from __future__ import annotations

import asyncio
import logging
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from greenlet import getcurrent

from roost.chat.ports import Outcome, Push, Share
from roost.cost import model, prices
from roost.cost.units import bytes_read, index_units, read_units, write_units
from roost.cost.use import Day, Folder, Use
from roost.frames import VALID_COMMANDS
from roost.storage.channels import by_id
from roost.storage.table import (
    Condition,
    Delete,
    IndexPage,
    Item,
    Key,
    Missing,
    Operation,
    Page,
    Put,
    Table,
    TableError,
    Update,
    Watcher,
    item_size,
    key_of,
)

log = logging.getLogger("roost.local")

Handle = Callable[[Mapping[str, Any]], dict[str, Any]]

_SMALL = 900  # as `units.write_units` has it; said here again, since a call is what costs most
_SHORT = prices.WS_FRAME_BYTES // 4  # characters that surely fit one billed message
_COMMANDS = frozenset(word.strip(",") for word in VALID_COMMANDS.split() if word.startswith("/"))
_METHOD = re.compile(r"/api/([A-Za-z][A-Za-z.]{0,60})")
_encode = msgspec.msgpack.Encoder().encode
_EXACT = 1_000  # events that are metered each between two looks of the ledger; above that,
_EVERY = 17  # one of so many is: a prime, so that no pattern of a client's keeps step with it
_SKIPPED = Use("skipped")  # what the others use, and nobody adds up
_this: Callable[[], Any] = getcurrent  # a Task, or the thread's own greenlet: both take an attribute of ours


class Meter:
    """Adds up what is used, per action and channel. For one thread, the event loop's."""

    def __init__(self) -> None:
        self._uses: dict[tuple[str, str], Use] = {}
        self._other = Use("background")  # what no event asked for
        self._events = 0

    def measured(self, handle: Handle) -> Handle:
        """The same handler of gateway events, each of them metered."""

        def metered(event: Mapping[str, Any]) -> dict[str, Any]:
            self._events += 1
            busy = self._events > _EXACT
            task = _this()
            task.use = use = _SKIPPED if busy and self._events % _EVERY else _begun(event)
            try:
                answer = handle(event)
                if use.http:
                    use.http = max(use.http, _billed(answer.get("body") or "", prices.HTTP_BYTES))
                return answer
            finally:
                task.use = None
                if use is not _SKIPPED:
                    self._add(use.times(_EVERY) if busy else use)

        return metered

    def current(self) -> Use:
        """What the event at hand has used."""
        return getattr(_this(), "use", None) or self._other

    def take(self) -> list[Use]:
        """What was added up since the last time."""
        uses, self._uses = list(self._uses.values()), {}
        other, self._other = self._other, Use("background")
        self._events = 0
        return [*uses, other] if other.reads or other.writes or other.ws_out else uses

    def _add(self, use: Use) -> None:
        key = (use.action, use.channel)
        there = self._uses.get(key)
        if there is None:
            self._uses[key] = use
        else:
            there.add(use)


def _begun(event: Mapping[str, Any]) -> Use:
    """What an event uses by coming in."""
    kind = event["requestContext"].get("eventType")
    if kind == "MESSAGE":
        body = event["body"] or ""
        first = body[:1]
        action = "frame" if first == "{" else _command(body) if first == "/" else "message"
        return Use(action, "", 1, 1, 1 if len(body) <= _SHORT else _billed(body, prices.WS_FRAME_BYTES))
    if kind is not None:
        return Use(kind.lower(), "", 1, 1)
    method = _METHOD.fullmatch(event["rawPath"])
    return Use(method[1] if method else "http", "", 1, 1, http=_billed(event.get("body") or "", prices.HTTP_BYTES))


def _command(body: str) -> str:
    word = body.split(maxsplit=1)[0]
    return word if word in _COMMANDS else "/?"


def _billed(text: str, size: int) -> int:
    """How often a payload is billed."""
    return -(-len(text.encode("utf-8", "surrogatepass")) // size) or 1


class MeteredPush:
    """The Push port over another one, metered."""

    def __init__(self, push: Push, meter: Meter) -> None:
        self._push = push
        self._meter = meter

    def send(self, connections: Sequence[str], payload: str) -> Mapping[str, Outcome]:
        """Send one text frame to each connection."""
        use, receivers = self._meter.current(), len(connections)
        refused = self._push.send(connections, payload)
        if use is _SKIPPED:
            return refused
        frames = 1 if len(payload) <= _SHORT else _billed(payload, prices.WS_FRAME_BYTES)
        use.ws_out += (receivers - len(refused)) * frames
        use.rounds += -(-receivers // model.POSTS_AT_ONCE)
        if receivers > model.SHARD_ABOVE:
            use.invocations += model.shards(receivers)
        return refused

    def spread(self, share: Share) -> Sequence[Share]:
        """Have other processes deliver shares; what is left comes back through `send`."""
        return self._push.spread(share)

    def send_first(self, connection: str, payload: str) -> None:
        """Send one text frame to a connection that may still be opening: on AWS by a function invoked for it."""
        use = self._meter.current()
        use.ws_out += _billed(payload, prices.WS_FRAME_BYTES)
        use.rounds += 1
        use.invocations += 1
        self._push.send_first(connection, payload)

    def close(self, connection: str) -> None:
        """Close a connection, if it is still there."""
        self._push.close(connection)


class MeteredTable:
    """The Table port over another one, metered by the sizes of what is read and written."""

    def __init__(self, table: Table, meter: Meter) -> None:
        self._table = table
        self._meter = meter
        self._heard: dict[str, _Heard] = {}  # by the channel's partition
        self.exclusive = table.exclusive

    # -- reads ------------------------------------------------------------------------------------------------------

    def get(self, key: Key) -> Item | None:
        """The item, or None."""
        item = self._table.get(key)
        use = self._meter.current()
        if use is _SKIPPED:
            return item
        use.reads += 1 if item is None or len(_encode(item)) <= _SMALL else read_units(item)
        if not use.channel and key.pk[0] == "C":
            _place(use, key.pk)
        return item

    def get_many(self, keys: Sequence[Key]) -> list[Item | None]:
        """The items in the order of `keys`."""
        items = self._table.get_many(keys)
        self._meter.current().reads += sum(map(read_units, dict(zip(keys, items, strict=True)).values()))
        return items

    def query(
        self,
        pk: str,
        *,
        prefix: str = "",
        low: str | None = None,
        high: str | None = None,
        reverse: bool = False,
        limit: int = 1000,
        after: str | None = None,
    ) -> Page:
        """Items of one partition in the order of their SK."""
        page = self._table.query(pk, prefix=prefix, low=low, high=high, reverse=reverse, limit=limit, after=after)
        use = self._meter.current()
        use.reads += bytes_read(sum(map(item_size, page.items)))
        if not use.channel:
            _place(use, pk)
        return page

    def query_index(
        self, g1pk: str, *, prefix: str = "", reverse: bool = False, limit: int = 1000, after: str | None = None
    ) -> IndexPage:
        """Keys of the items with this `G1PK`."""
        page = self._table.query_index(g1pk, prefix=prefix, reverse=reverse, limit=limit, after=after)
        size = sum(_INDEX_NAMES + sum(map(len, map(str.encode, entry))) for entry in page.entries)
        self._meter.current().reads += bytes_read(size) / 2  # the index is read eventually consistent
        return page

    # -- writes -----------------------------------------------------------------------------------------------------

    def put(self, item: Item, condition: Condition | None = None) -> None:
        """Write the whole item."""
        use = self._meter.current()
        use.writes += sum(self._put(Put(item, condition)))
        if not use.channel:
            _place(use, str(item["PK"]))
        self._table.put(item, condition)

    def update(self, update: Update) -> Item:
        """Change an item and answer it as it is now."""
        item = self._table.update(update)
        self._meter.current().writes += write_units(item)
        return item

    def delete(self, key: Key, condition: Condition | None = None) -> None:
        """Remove an item."""
        use = self._meter.current()
        use.writes += sum(self._delete(key))
        if not use.channel:
            _place(use, key.pk)
        self._table.delete(key, condition)

    def transact(self, operations: Sequence[Operation]) -> None:
        """Apply all operations or none."""
        use, units = self._meter.current(), len(operations)
        first = operations[0]
        if use is _SKIPPED and type(first) is Update and first.key.sk == "HEAD":  # an append changes nobody's seat
            self._table.transact(operations)
            return
        for operation in operations:
            if type(operation) is Put:
                item = operation.item
                if len(_encode(item)) > _SMALL or "G1PK" in item or item["SK"][0] == "N":  # type: ignore[index]
                    written, entries = self._put(operation)
                    units += written - 1
                    use.writes += entries
            elif type(operation) is Update:
                units += self._update(operation, use) - 1
            elif type(operation) is Delete:
                written, entries = self._delete(operation.key)
                units += written - 1
                use.writes += entries
        use.writes += 2 * units
        self._table.transact(operations)

    def watch(self, watcher: Watcher) -> None:
        """As the table underneath has it."""
        self._table.watch(watcher)

    def _put(self, put: Put) -> tuple[int, int]:
        """Units of the item and of its entry in the index, which no transaction doubles."""
        pk, sk = key_of(put.item)
        if sk[:2] == "N#" and pk[:2] == "C#":
            self._heard.setdefault(pk, _Heard()).note(sk, item_size(put.item))
        if "G1PK" not in put.item:
            return write_units(put.item), 0
        there = None if isinstance(put.condition, Missing) else self._standing(Key(pk, sk))
        return write_units(put.item), _index_change(there, put.item)

    def _update(self, update: Update, use: Use) -> int:
        pk, sk = update.key
        if sk != "HEAD":
            return write_units({**(self._standing(update.key) or {}), **update.set})
        use.channel = use.channel or pk[2:]
        use.appends += 1
        if self.exclusive:
            heard = self._heard.get(pk)
            use.reads += 2 if heard is None else 1 + heard.units
        return 1

    def _delete(self, key: Key) -> tuple[int, int]:
        if key.sk[:2] == "N#" and key.pk in self._heard:
            self._heard[key.pk].note(key.sk, 0)
        standing = self._standing(key)
        return (1, 0) if standing is None else (write_units(standing), index_units(standing))

    def _standing(self, key: Key) -> Item | None:
        """What a write replaces, where looking costs nothing."""
        return self._table.get(key) if self.exclusive else None


class _Heard:
    """What it takes to read who hears a channel."""

    __slots__ = ("_sizes", "_total", "units")

    def __init__(self) -> None:
        self._sizes: dict[str, int] = {}
        self._total = 0
        self.units = 1

    def note(self, connection: str, size: int) -> None:
        """A connection's item has so many bytes now; none: it is gone."""
        self._total += size - self._sizes.pop(connection, 0)
        if size:
            self._sizes[connection] = size
        self.units = bytes_read(self._total)


_INDEX_NAMES = len("PK" + "SK" + "G1PK" + "G1SK")


def _index_change(there: Item | None, item: Item) -> int:
    """Units of the index: an entry goes, one comes, or it stays as it is."""
    if there is None:
        return index_units(item)
    same = (there.get("G1PK"), there.get("G1SK")) == (item.get("G1PK"), item.get("G1SK"))
    return 0 if same else index_units(there) + index_units(item)


def _place(use: Use, pk: str) -> None:
    """The first channel that an action touches is where it happened."""
    if pk[:2] == "C#":
        use.channel = pk[2:].partition("#")[0]


class Ledger:
    """Writes what was metered to the day's file, every few seconds if there is anything."""

    def __init__(
        self,
        folder: Folder,
        meter: Meter,
        table: Table,
        *,
        connections: Callable[[], int],
        size: Callable[[], int],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._folder = folder
        self._meter = meter
        self._table = table
        self._connections = connections
        self._size = size
        self._clock = clock
        self._looked = clock()
        self._writing = threading.Lock()  # a stop does not wait for the write before it
        self._day = folder.day(self._date())

    async def keep(self, seconds: float) -> None:
        """Do so for ever."""
        while True:
            await asyncio.sleep(seconds)
            await self.flush()

    async def flush(self) -> None:
        """Write what there is. A disk that takes nothing is said and stops nobody: it is tried again."""
        if self._collect():
            try:
                await asyncio.to_thread(self._write, self._day)
            except (OSError, TableError) as error:
                log.warning("the use was not written", extra={"fields": {"error": type(error).__name__}})

    def _collect(self) -> bool:
        """Add what was metered to the day; whether there was anything."""
        now = self._clock()
        minutes = self._connections() * max(0.0, now - self._looked) / 60
        self._looked = now
        uses = self._meter.take()
        if minutes:
            uses.append(Use("connections", minutes=minutes))
        date = self._date()
        if date != self._day.date:
            self._day = self._folder.day(date)
        self._day.add(uses)
        return bool(uses)

    def _write(self, day: Day) -> None:
        with self._writing:
            day.table_bytes = self._size()
            for channel in {use.channel for use in day.uses} - day.names.keys() - {""}:
                row = by_id(self._table, channel)
                if row is not None:
                    day.names[channel] = row.name
            self._folder.write(day)

    def _date(self) -> str:
        return time.strftime("%Y-%m-%d", time.gmtime(self._clock()))
