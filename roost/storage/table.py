"""The Table port: what the data layer asks of a store, in DynamoDB's terms.

An engine keeps items under (PK, SK) and knows nothing of chat. Four rules hold for every engine, and
`tests/contracts/test_table.py` proves them on each:

* **Strong reads.** `get`, `get_many` and `query` see every write that was acknowledged before they began.
  Only `query_index` may lag.
* **Durable answers.** A write that returned survives a crash of the process and of the machine. A write that raised
  one of the errors below changed nothing, except `StoreUnavailable`, after which it may or may not have happened.
* **All or nothing.** `transact` applies all its operations or none, and nobody sees a part of them.
* **Expiry.** An item whose `x` (epoch seconds) is not in the future is absent from every read and every condition, at
  once; the store removes it for good some time later.

Sizes and limits are DynamoDB's, so that what works on a laptop works on AWS.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, Union

import msgspec

#: What an attribute may hold. Numbers are signed 64-bit integers, so that no engine rounds them; whatever has a
#: fraction is kept as text by the code that writes it.
Value = Union[str, int, bool, bytes, None, "list[Value]", "dict[str, Value]"]

#: An item as an engine sees it: `PK` and `SK` (non-empty text), perhaps `G1PK` and `G1SK`, perhaps `x`, and the rest.
Item = dict[str, Value]

MAX_ITEM_BYTES = 400 * 1024  # DynamoDB: names and values, as `item_size` counts them
MAX_PK_BYTES = 2048
MAX_SK_BYTES = 1024
MAX_TRANSACTION_ITEMS = 100
MAX_TRANSACTION_BYTES = 4 * 1024 * 1024
MAX_PAGE_BYTES = 1024 * 1024  # a page of `query` ends when it has read this much
MAX_PAGE_ITEMS = 1000
MAX_NESTING = 32


class Key(NamedTuple):
    """The primary key of an item."""

    pk: str
    sk: str


# -- conditions ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Missing:
    """The item does not exist, or has expired."""


@dataclass(frozen=True, slots=True)
class Exists:
    """The item exists and has not expired."""


@dataclass(frozen=True, slots=True)
class Equals:
    """The item exists and each named attribute has exactly this value (an absent attribute equals nothing)."""

    values: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Below:
    """The item exists and its attribute is absent or less than `value`; text compares by its UTF-8 bytes."""

    attribute: str
    value: str | int


Condition = Missing | Exists | Equals | Below


# -- operations of a transaction ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Put:
    """Write the whole item, in place of what was there."""

    item: Item
    condition: Condition | None = None


@dataclass(frozen=True, slots=True)
class Update:
    """Change some attributes of an item that exists; without it the update fails as an `Exists` condition does.

    `set` writes attributes, `add` adds to numbers (an absent one counts as 0), `remove` drops attributes. No attribute
    may be named twice, nor be part of the primary key.
    """

    key: Key
    set: Mapping[str, Value] = field(default_factory=dict)
    add: Mapping[str, int] = field(default_factory=dict)
    remove: Sequence[str] = ()
    condition: Condition = Exists()


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove an item; that it is not there is no error unless the condition says so."""

    key: Key
    condition: Condition | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """Write nothing, but let the whole transaction depend on this condition."""

    key: Key
    condition: Condition


Operation = Put | Update | Delete | Check


# -- answers --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a range. `next` is what `after` takes to go on, and is None when the range is exhausted.

    A page may hold fewer items than `limit`, even none, and still have a `next` (1 MB read, expired items passed over).
    """

    items: list[Item]
    next: str | None


@dataclass(frozen=True, slots=True)
class IndexPage:
    """A part of an index range: keys only, with the index keys, in index order."""

    entries: list[IndexEntry]
    next: str | None


class IndexEntry(NamedTuple):
    """What G1 knows of an item: where it is, and under which index key."""

    pk: str
    sk: str
    g1pk: str
    g1sk: str


# -- errors ---------------------------------------------------------------------------------------------------------


class TableError(Exception):
    """A store refused or failed an operation. Nothing was changed, but see `StoreUnavailable`."""


class ConditionFailed(TableError):
    """The condition did not hold. `item` is what stood there (None: nothing, or expired)."""

    def __init__(self, item: Item | None) -> None:
        super().__init__("the condition did not hold")
        self.item = item


class TransactionFailed(TableError):
    """At least one condition of a transaction did not hold, or another transaction was in its way.

    `reasons` has an entry per operation, in order: None (nothing against it), `ConditionFailed`, or `Conflict`.
    """

    def __init__(self, reasons: Sequence[ConditionFailed | Conflict | None]) -> None:
        super().__init__("the transaction was cancelled")
        self.reasons = tuple(reasons)


class Conflict(TableError):
    """Another write to the same item was under way. Trying again, a little later, is right."""


class InvalidItem(TableError):
    """The request itself is wrong: an empty or oversized key, a value of no allowed type, over 400 KB, over 100
    operations, an item named twice in a transaction. Trying again is wrong."""


class Throttled(TableError):
    """The store takes no more right now. Trying again, later, is right."""


class StoreUnavailable(TableError):
    """The store could not be reached or failed; the write may or may not have happened."""


# -- the port -------------------------------------------------------------------------------------------------------

#: Told of committed writes: each key with the item that stands there now, None where it is gone.
Watcher = Callable[[Sequence[tuple[Key, Item | None]]], None]


class Table(Protocol):
    """A store of items under (PK, SK). Every method may block, and may be called from any thread."""

    @property
    def exclusive(self) -> bool:
        """True where this process alone writes the data, so that what it read stays true until it writes."""

    def get(self, key: Key) -> Item | None:
        """The item, or None."""

    def get_many(self, keys: Sequence[Key]) -> list[Item | None]:
        """The items in the order of `keys` (any number, repeats allowed), None for each that is not there."""

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
        """Items of one partition in the order of their SK's UTF-8 bytes, last first if `reverse`.

        Either every SK that starts with `prefix`, or those with `low` <= SK <= `high` (None: open); not both.
        `limit` is 1 to 1000. `after` is the `next` of the page before, from the same call.
        """

    def query_index(
        self, g1pk: str, *, prefix: str = "", reverse: bool = False, limit: int = 1000, after: str | None = None
    ) -> IndexPage:
        """Keys of the items with this `G1PK`, in the order of `G1SK`. May lag: never decide access by it."""

    def put(self, item: Item, condition: Condition | None = None) -> None:
        """Write the whole item. Raises `ConditionFailed`."""

    def update(self, update: Update) -> Item:
        """Change an item and answer it as it is now. Raises `ConditionFailed`."""

    def delete(self, key: Key, condition: Condition | None = None) -> None:
        """Remove an item. Raises `ConditionFailed`."""

    def transact(self, operations: Sequence[Operation]) -> None:
        """Apply 1 to 100 operations on different items, all or none. Raises `TransactionFailed`."""

    def watch(self, watcher: Watcher) -> None:
        """Call `watcher` after each commit and before its writer is answered, in commit order.

        Only where `exclusive` is true; another engine raises `TableError`.
        """


# -- rules that every engine shares ---------------------------------------------------------------------------------


_MAX_INT = 1 << 63


def item_size(item: Mapping[str, Value]) -> int:
    """The bytes that DynamoDB counts for an item: UTF-8 of names and text, numbers by digits, 3 + 1 per element of
    lists and maps. Source: Amazon DynamoDB developer guide, "Item sizes and formats".

    Raises `InvalidItem` for a value that no engine can hold. This runs for every write, hence the short cut for the
    commonest values.
    """
    size = 0
    for name, value in item.items():
        size += len(name) if name.isascii() else len(_utf8(name))
        size += len(value) if type(value) is str and value.isascii() else _value_size(value, 0)
    return size


def _value_size(value: Value, depth: int) -> int:
    if isinstance(value, str):
        return len(_utf8(value))
    if value is None or isinstance(value, bool):
        return 1
    if isinstance(value, int):
        if not -_MAX_INT <= value < _MAX_INT:
            raise InvalidItem("a number has at most 64 bits")
        return len(str(abs(value)).rstrip("0")) // 2 + 2 + (value < 0)
    if isinstance(value, bytes):
        return len(value)
    if depth == MAX_NESTING:
        raise InvalidItem("a value is nested too deeply")
    if isinstance(value, list):
        return 3 + sum(1 + _value_size(element, depth + 1) for element in value)
    if isinstance(value, dict):
        return 3 + sum(1 + len(_name(name)) + _value_size(element, depth + 1) for name, element in value.items())
    raise InvalidItem(f"a value cannot be a {type(value).__name__}")


_SURELY_SMALL = 100 * 1024  # encoded bytes; DynamoDB's count of them is never four times as much
_encode = msgspec.msgpack.Encoder().encode


def _flat_size(item: Mapping[str, Value]) -> int | None:
    """About the size of a flat item that is surely small, or None: then it has to be looked at value by value.

    Nearly every item is one, and this runs for every write: the types are looked at here, the text in C.
    """
    for value in item.values():
        kind = type(value)
        if kind is str or kind is bool or value is None:
            continue
        if kind is not int or not -_MAX_INT <= value < _MAX_INT:  # type: ignore[operator]  # an int by now
            return None
    try:
        size = len(_encode(item))
    except UnicodeEncodeError:
        return None
    return size if size < _SURELY_SMALL else None


def check_item(item: Mapping[str, Value]) -> int:
    """The item's size, or about that where it is small. Raises `InvalidItem` unless every engine can hold this item."""
    check_key(key_of(item))
    for name in ("G1PK", "G1SK"):
        if name in item and (not isinstance(item[name], str) or not item[name]):
            raise InvalidItem(f"{name} is non-empty text")
    if type(item.get("x", 0)) is not int:
        raise InvalidItem("x is a whole number of seconds since the epoch")
    if "" in item:
        raise InvalidItem("an attribute's name is non-empty text")
    size = _flat_size(item)
    if size is not None:
        return size
    if not all(isinstance(name, str) for name in item):
        raise InvalidItem("an attribute's name is non-empty text")
    size = item_size(item)
    if size > MAX_ITEM_BYTES:
        raise InvalidItem("an item has at most 400 KB")
    return size


def check_key(key: Key) -> None:
    """Raise `InvalidItem` unless this can be a primary key."""
    pk, sk = key
    if type(pk) is str and type(sk) is str and 0 < len(pk) < 256 and 0 < len(sk) < 256 and (pk + sk).isascii():
        return
    for name, value, limit in (("PK", pk, MAX_PK_BYTES), ("SK", sk, MAX_SK_BYTES)):
        if not isinstance(value, str) or not value:
            raise InvalidItem(f"{name} is non-empty text")
        if len(_utf8(value)) > limit:
            raise InvalidItem(f"{name} has at most {limit} bytes")


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise InvalidItem("text cannot hold lone surrogates") from None


def _name(name: str) -> bytes:
    if not isinstance(name, str) or not name:
        raise InvalidItem("a name is non-empty text")
    return _utf8(name)


def check_update(update: Update) -> None:
    """Raise `InvalidItem` unless this update makes sense."""
    check_key(update.key)
    names = [*update.set, *update.add, *update.remove]
    if len(names) != len(set(names)):
        raise InvalidItem("an update names each attribute once")
    if {"PK", "SK"} & set(names):
        raise InvalidItem("an update cannot change the key")
    if isinstance(update.condition, Missing):
        raise InvalidItem("an update needs an item that exists")
    if not all(names):
        raise InvalidItem("an attribute's name is non-empty text")
    if _flat_size(update.set) is None:
        item_size(update.set)
    if any(isinstance(amount, bool) or not isinstance(amount, int) for amount in update.add.values()):
        raise InvalidItem("only numbers can be added")


def check_operations(operations: Sequence[Operation]) -> None:
    """Raise `InvalidItem` unless this can be one transaction."""
    if not 1 <= len(operations) <= MAX_TRANSACTION_ITEMS:
        raise InvalidItem(f"a transaction has 1 to {MAX_TRANSACTION_ITEMS} operations")
    keys = set()
    size = 0
    for operation in operations:
        if isinstance(operation, Put):
            size += check_item(operation.item)
            keys.add(key_of(operation.item))
        else:
            check_update(operation) if isinstance(operation, Update) else check_key(operation.key)
            keys.add(operation.key)
    if len(keys) != len(operations):
        raise InvalidItem("a transaction names each item once")
    if size > MAX_TRANSACTION_BYTES:
        raise InvalidItem("a transaction has at most 4 MB")


def check_limit(limit: int) -> None:
    """Raise `InvalidItem` unless this can be a page's limit."""
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= MAX_PAGE_ITEMS:
        raise InvalidItem(f"limit is 1 to {MAX_PAGE_ITEMS}")


def check_range(prefix: str, low: str | None, high: str | None) -> None:
    """Raise `InvalidItem` where a prefix and bounds are given together."""
    if prefix and (low is not None or high is not None):
        raise InvalidItem("a query takes a prefix or bounds, not both")


def page_of(rows: Iterable[tuple[str, Item | None]], limit: int) -> Page:
    """A page from up to `limit` + 1 rows of (SK, item or None if it has expired): ends at the limit or at 1 MB read."""
    items: list[Item] = []
    size, last = 0, ""
    for count, (sk, item) in enumerate(rows):
        if count == limit or size >= MAX_PAGE_BYTES:
            return Page(items, last)
        last = sk
        if item is not None:
            items.append(item)
            size += item_size(item)
    return Page(items, None)


def key_of(item: Mapping[str, Value]) -> Key:
    """The primary key of an item that has one."""
    pk, sk = item.get("PK"), item.get("SK")
    if not isinstance(pk, str) or not isinstance(sk, str):
        raise InvalidItem("PK and SK are text")
    return Key(pk, sk)
