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

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, Union

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


def item_size(item: Mapping[str, Value]) -> int:
    """The bytes that DynamoDB counts for an item: UTF-8 of names and text, numbers by digits, 3 + 1 per element of
    lists and maps. Source: Amazon DynamoDB developer guide, "Item sizes and formats"."""
    return sum(len(name.encode()) + _value_size(value) for name, value in item.items())


def _value_size(value: Value) -> int:
    if isinstance(value, str):
        return len(value.encode())
    if value is None or isinstance(value, bool):
        return 1
    if isinstance(value, int):
        return len(str(abs(value)).rstrip("0")) // 2 + 2 + (value < 0)
    if isinstance(value, bytes):
        return len(value)
    if isinstance(value, list):
        return 3 + sum(1 + _value_size(element) for element in value)
    return 3 + sum(1 + len(name.encode()) + _value_size(element) for name, element in value.items())


def key_of(item: Mapping[str, Value]) -> Key:
    """The primary key of an item that has one."""
    pk, sk = item["PK"], item["SK"]
    if not isinstance(pk, str) or not isinstance(sk, str):
        raise InvalidItem("PK and SK are text")
    return Key(pk, sk)
