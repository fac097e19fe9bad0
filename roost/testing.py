"""The ports in memory, gateway events, and people for tests: ours and bot authors'.

`MemoryTable` passes the same contract as every engine. Nothing here opens a socket or a file.
"""

from __future__ import annotations

import bisect
import copy
import itertools
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from roost.app import App
from roost.chat.ports import BlobMissing, BlobTooLarge, Outcome, Share, Stored, Upload, attachment, check_blob
from roost.settings import Settings
from roost.storage.conditions import holds, updated
from roost.storage.jobs import Job, Queue
from roost.storage.table import (
    Check,
    Condition,
    ConditionFailed,
    Delete,
    IndexEntry,
    IndexPage,
    Item,
    Key,
    Operation,
    Page,
    Put,
    TableError,
    TransactionFailed,
    Update,
    Watcher,
    check_condition,
    check_item,
    check_key,
    check_limit,
    check_operations,
    check_partition,
    check_range,
    check_update,
    index_position,
    key_of,
    page_of,
)

T = TypeVar("T")


class MemoryTable:
    """The Table port in a dictionary. Safe to use from several threads."""

    def __init__(self, *, clock: Callable[[], float] = time.time, exclusive: bool = True) -> None:
        """`exclusive=False` lets several Apps share it, as they share a DynamoDB table."""
        self.exclusive = exclusive
        self._clock = clock
        self._items: dict[str, dict[str, Item]] = {}
        self._lock = threading.RLock()
        self._watchers: list[Watcher] = []

    def get(self, key: Key) -> Item | None:
        """The item, or None."""
        check_key(key)
        with self._lock:
            return _copied_if_there(self._current(key))

    def get_many(self, keys: Sequence[Key]) -> list[Item | None]:
        """The items in the order of `keys`."""
        return [self.get(key) for key in keys]

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
        check_partition(pk)
        check_limit(limit)
        check_range(prefix, low, high)
        if after is not None:
            check_key(Key(pk, after))

        def within(sk: str) -> bool:
            key = sk.encode()
            beyond = after is None or (key < after.encode() if reverse else key > after.encode())
            above = low is None or key >= low.encode()
            below = high is None or key <= high.encode()
            return sk.startswith(prefix) and above and below and beyond

        with self._lock:
            keys = sorted(filter(within, self._items.get(pk, ())), key=str.encode, reverse=reverse)
            rows = ((sk, _copied_if_there(self._current(Key(pk, sk)))) for sk in keys)
            return page_of(itertools.islice(rows, limit + 1), limit)

    def query_index(
        self, g1pk: str, *, prefix: str = "", reverse: bool = False, limit: int = 1000, after: str | None = None
    ) -> IndexPage:
        """Keys of the items with this `G1PK`, in the order of `G1SK`."""
        check_partition(g1pk)
        check_limit(limit)
        check_range(prefix, None, None)
        with self._lock:
            found = [
                (str(item["G1SK"]).encode(), pk.encode(), sk.encode())
                for pk, partition in self._items.items()
                for sk, item in partition.items()
                if item.get("G1PK") == g1pk and str(item.get("G1SK", "")).startswith(prefix) and "G1SK" in item
                if self._current(Key(pk, sk)) is not None
            ]
        found.sort()
        if after is not None:
            last = tuple(text.encode() for text in index_position(after))
            found = found[: bisect.bisect_left(found, last)] if reverse else found[bisect.bisect_right(found, last) :]
        if reverse:
            found.reverse()
        entries = [IndexEntry(pk.decode(), sk.decode(), g1pk, g1sk.decode()) for g1sk, pk, sk in found[:limit]]
        end = entries[-1] if len(found) > limit else None
        return IndexPage(entries, msgspec.json.encode((end.g1sk, end.pk, end.sk)).decode() if end else None)

    def put(self, item: Item, condition: Condition | None = None) -> None:
        """Write the whole item."""
        check_item(item)
        check_condition(condition)
        self._apply([Put(item, condition)], single=True)

    def update(self, update: Update) -> Item:
        """Change an item and answer it as it is now."""
        check_update(update)
        with self._lock:
            self._apply([update], single=True)
            return _copied(self._items[update.key.pk][update.key.sk])  # though it may have expired by this

    def delete(self, key: Key, condition: Condition | None = None) -> None:
        """Remove an item."""
        check_key(key)
        check_condition(condition)
        self._apply([Delete(key, condition)], single=True)

    def transact(self, operations: Sequence[Operation]) -> None:
        """Apply all operations or none."""
        check_operations(operations)
        self._apply(operations, single=False)

    def watch(self, watcher: Watcher) -> None:
        """Call `watcher` after each write."""
        if not self.exclusive:
            raise TableError("a table that others write to cannot be watched")
        self._watchers.append(watcher)

    def everything(self) -> list[Item]:
        """Every item that has not expired, for assertions."""
        with self._lock:
            keys = [Key(pk, sk) for pk, partition in self._items.items() for sk in partition]
            return [_copied(item) for item in map(self._current, keys) if item is not None]

    def _apply(self, operations: Sequence[Operation], *, single: bool) -> None:
        with self._lock:
            reasons: list[ConditionFailed | None] = []
            changes: list[tuple[Key, Item | None]] = []
            for operation in operations:
                key = key_of(operation.item) if isinstance(operation, Put) else operation.key
                item = _copied_if_there(self._current(key))
                condition = operation.condition
                reasons.append(None if condition is None or holds(condition, item) else ConditionFailed(item))
                if reasons[-1] is None and not isinstance(operation, Check):
                    changes.append((key, self._result(operation, item)))
            failed = [reason for reason in reasons if reason is not None]
            if failed:
                raise failed[0] if single else TransactionFailed(reasons)
            for key, written in changes:
                self._write(key, written)
            for watcher in self._watchers:
                watcher(changes)

    @staticmethod
    def _result(operation: Operation, item: Item | None) -> Item | None:
        if isinstance(operation, Put):
            return _copied(operation.item)
        if isinstance(operation, Update):
            assert item is not None
            return updated(item, operation)
        return None

    def _write(self, key: Key, item: Item | None) -> None:
        if item is None:
            self._items.get(key.pk, {}).pop(key.sk, None)
        else:
            self._items.setdefault(key.pk, {})[key.sk] = item

    def _current(self, key: Key) -> Item | None:
        item = self._items.get(key.pk, {}).get(key.sk)
        if item is None:
            return None
        expiry = item.get("x")
        return None if isinstance(expiry, int) and expiry <= self._clock() else item


def _copied(item: Item) -> Item:
    """An item that shares nothing with another: `copy.deepcopy`, in a tenth of its time."""
    return {name: copy.deepcopy(v) if type(v) in (dict, list) else v for name, v in item.items()}


def _copied_if_there(item: Item | None) -> Item | None:
    return None if item is None else _copied(item)


class MemoryPush:
    """The Push port that keeps what it was given. `outcomes` says who does not take it, and how."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str]] = []  #: (connection, frame), in order
        self.closed: list[str] = []
        self.outcomes: dict[str, Outcome] = {}
        self.error: Exception | None = None  #: raised instead of sending

    def send(self, connections: Sequence[str], payload: str) -> Mapping[str, Outcome]:
        """Keep a frame for each connection that takes it."""
        if self.error is not None:
            raise self.error
        refused = {each: self.outcomes[each] for each in connections if each in self.outcomes}
        self.sent += [(each, payload) for each in connections if each not in refused]
        return refused

    def spread(self, share: Share) -> Sequence[Share]:
        """Hand nothing over."""
        return (share,)

    def send_first(self, connection: str, payload: str) -> None:
        """Keep a frame for the connection."""
        self.sent.append((connection, payload))

    def close(self, connection: str) -> None:
        """Note that a connection was to be closed."""
        self.closed.append(connection)

    def to(self, connection: str) -> list[str]:
        """The frames that a connection got, in order."""
        return [frame for each, frame in self.sent if each == connection]


class MemoryBlobs:
    """The Blobs port in a dictionary. `receive` and `fetch` play whoever uses the URLs that it gives out."""

    max_bytes = 10 * 1024 * 1024

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._files: dict[str, tuple[bytes, Stored]] = {}
        self._urls: dict[str, tuple[str, float, Any]] = {}  # what for, until when, and what else was said

    def upload(self, key: str, *, mimetype: str, size: int, seconds: int = 600) -> Upload:
        """Let somebody put a file of exactly this size and this type."""
        self._check(key, mimetype, size)
        return Upload(self._url("upload", key, seconds, Stored(size, mimetype)), {})

    def download(self, key: str, *, name: str, seconds: int = 600) -> str:
        """A URL for `fetch`."""
        check_blob(key)
        return self._url("download", key, seconds, attachment(name))

    def put(self, key: str, data: bytes, *, mimetype: str) -> None:
        """Keep a file."""
        self._check(key, mimetype, len(data))
        self._files[key] = data, Stored(len(data), mimetype)

    def get(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        """A file's bytes, or a part of them."""
        check_blob(key)
        if key not in self._files:
            raise BlobMissing(key)
        return self._files[key][0][start:][:length]

    def head(self, key: str) -> Stored | None:
        """What is under this key, or None."""
        check_blob(key)
        return self._files[key][1] if key in self._files else None

    def delete(self, key: str) -> None:
        """Forget a file."""
        check_blob(key)
        self._files.pop(key, None)

    def receive(self, upload: Upload, data: bytes) -> bool:
        """Somebody uploads; whether it was taken."""
        kind, until, stored = self._urls.get(upload.url, ("", 0.0, None))
        if kind != "upload" or until <= self._clock() or stored.size != len(data):
            return False
        self._files[upload.url.rpartition("/")[2]] = data, stored
        return True

    def fetch(self, url: str) -> tuple[bytes, Stored, str] | None:
        """What somebody gets who follows a URL: bytes, what is known of them, and the Content-Disposition."""
        kind, until, disposition = self._urls.get(url, ("", 0.0, ""))
        file = self._files.get(url.rpartition("/")[2])
        return None if kind != "download" or until <= self._clock() or file is None else (*file, disposition)

    def _check(self, key: str, mimetype: str, size: int) -> None:
        check_blob(key, mimetype=mimetype, size=size)
        if size > self.max_bytes:
            raise BlobTooLarge(f"a file has at most {self.max_bytes} bytes")

    def _url(self, kind: str, key: str, seconds: int, more: object) -> str:
        url = f"/memory/{next(_numbers)}/{key}"
        self._urls[url] = kind, self._clock() + seconds, more
        return url


def do_due(queue: Queue, do: Callable[[Job], None]) -> None:
    """Do what is due, as a shell's worker would."""
    for row in list(queue.unfinished()):
        queue.run(row.id, do)


class FakeClock:
    """The Clock port; time passes when told to, and when somebody sleeps."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now  #: seconds since the epoch

    def now_us(self) -> int:
        """Microseconds since the epoch."""
        return round(self.now * 1_000_000)

    def sleep(self, seconds: float) -> None:
        """Time passes."""
        self.now += seconds

    def aside(self, function: Callable[[], T]) -> T:
        """Do it at once."""
        return function()


_numbers = itertools.count(1)


def socket_event(
    kind: str, connection: str, body: str | None = None, *, time: int = 0, message_id: str | None = None, **extra: Any
) -> dict[str, Any]:
    """A gateway event of a socket: CONNECT, MESSAGE or DISCONNECT, at this time in milliseconds. `extra` goes beside
    `requestContext`."""
    number = next(_numbers)
    routes = {"CONNECT": "$connect", "DISCONNECT": "$disconnect", "MESSAGE": "$default"}
    context: dict[str, Any] = {
        "eventType": kind,
        "routeKey": routes[kind],
        "connectionId": connection,
        "requestId": f"request{number:07}=",
        "requestTimeEpoch": time,
        "connectedAt": time,
        "domainName": "localhost:8000",
        "stage": "roost",
        "apiId": "roost",
    }
    event: dict[str, Any] = {"requestContext": context, "isBase64Encoded": False, **extra}
    if kind == "MESSAGE":
        context["messageId"] = message_id or f"message{number:07}="
        event["body"] = body
    return event


def http_event(method: str, path: str) -> dict[str, Any]:
    """An HTTP API event without a body."""
    context = {
        "http": {"method": method, "path": path, "sourceIp": "127.0.0.1"},
        "requestId": f"request{next(_numbers):07}=",
        "domainName": "localhost:8000",
        "stage": "$default",
    }
    return {"version": "2.0", "rawPath": path, "requestContext": context, "isBase64Encoded": False}


class Room:
    """People on text connections, acted out against an App without a socket."""

    def __init__(self, table: Any = None, settings: Settings | None = None) -> None:
        self.clock = FakeClock()
        self.table: Any = table if table is not None else MemoryTable(clock=lambda: self.clock.now)
        self.push = MemoryPush()
        self.blobs = MemoryBlobs(clock=lambda: self.clock.now)
        self.app = App(self.table, self.push, self.clock, settings or Settings(), blobs=self.blobs)

    def enter(self, name: str, **event: Any) -> TextPerson:
        """Somebody connects; `name` is their connection's id."""
        person = TextPerson(self, name)
        self.answer = self.app.handle(socket_event("CONNECT", name, time=self.time, **event))
        return person

    @property
    def time(self) -> int:
        """The gateway's time, in milliseconds."""
        return self.clock.now_us() // 1000


class TextPerson:
    """Somebody on a text connection."""

    def __init__(self, room: Room, connection: str) -> None:
        self.room = room
        self.connection = connection
        self._read = 0

    def says(self, body: str | None, *, message_id: str | None = None) -> list[str]:
        """Send a line; the frames that came since the last look."""
        room = self.room
        room.app.handle(socket_event("MESSAGE", self.connection, body, time=room.time, message_id=message_id))
        return self.hears()

    def hears(self) -> list[str]:
        """The frames that came since the last look."""
        frames = self.room.push.to(self.connection)
        new, self._read = frames[self._read :], len(frames)
        return new

    def leaves(self) -> None:
        """The connection closes, and API Gateway says so."""
        self.room.app.handle(socket_event("DISCONNECT", self.connection))
