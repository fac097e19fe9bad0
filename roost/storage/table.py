"""The Table port: what the data layer asks of a store, in DynamoDB's terms.

An engine keeps items under (PK, SK) and knows nothing of chat. Four rules hold for every engine, and
`tests/contracts/test_table.py` proves them on each:

* **Strong reads.** `get`, `get_many` and `query` see every write that was acknowledged before they began.
  Only `query_index` may lag.
* **Durable answers.** A write that returned survives a crash of the process and of the machine. A write that raised
  one of the errors below changed nothing, except `StoreUnavailable`, after which it may or may not have happened.
* **All or nothing.** `transact` applies all its operations or none, and no condition ever sees a part of them. A read
  of several items may: on DynamoDB a transaction becomes visible item by item.
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
    may be named twice, nor be part of the primary key. A sum past 64 bits is `InvalidItem` where the engine counts
    itself; DynamoDB's own numbers go further.
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

#: Told of committed writes: each key with the item that stands there now, None where it is gone. The items belong to
#: others as well: a watcher reads them and leaves them as they are. It must be quick, since writers wait for it.
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
_MAX_KEY_BYTES = {"PK": MAX_PK_BYTES, "SK": MAX_SK_BYTES, "G1PK": MAX_PK_BYTES, "G1SK": MAX_SK_BYTES}


def item_size(item: Mapping[str, Value]) -> int:
    """The bytes that DynamoDB counts for an item: UTF-8 of names and text, numbers by digits, 3 + 1 per element of
    lists and maps. Source: Amazon DynamoDB developer guide, "Item sizes and formats".

    Raises `InvalidItem` for a name or a value that no engine can hold.
    """
    return sum(_name_size(name) + _value_size(value, 0) for name, value in item.items())


def _value_size(value: Value, depth: int) -> int:
    kind = type(value)  # exactly one of these: a subclass would come back as something else
    if kind is str:
        return _text_size(value)  # type: ignore[arg-type]  # a str by now
    if value is None or kind is bool:
        return 1
    if kind is int:
        return _number_size(value)  # type: ignore[arg-type]  # an int by now
    if isinstance(value, bytes) and kind is bytes:
        return len(value)
    if depth == MAX_NESTING:
        raise InvalidItem("a value is nested too deeply")
    if isinstance(value, list) and kind is list:
        return 3 + sum(1 + _value_size(element, depth + 1) for element in value)
    if isinstance(value, dict) and kind is dict:
        return 3 + sum(1 + _name_size(name) + _value_size(element, depth + 1) for name, element in value.items())
    raise InvalidItem(f"a value cannot be a {kind.__name__}")


def _text_size(text: str) -> int:
    if text.isascii():
        return len(text)
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        raise InvalidItem("text cannot hold lone surrogates") from None


def _number_size(number: int) -> int:
    check_number(number)
    return len(str(abs(number)).rstrip("0")) // 2 + 2 + (number < 0)


def _name_size(name: str) -> int:
    if type(name) is not str or not name:
        raise InvalidItem("an attribute's name is non-empty text")
    return _text_size(name)


def check_number(number: int) -> None:
    """Raise `InvalidItem` unless this is a whole number that every engine holds exactly."""
    if type(number) is not int:
        raise InvalidItem("a number is an int")
    if not -_MAX_INT <= number < _MAX_INT:
        raise InvalidItem("a number has at most 64 bits")


_SURELY_SMALL = 100 * 1024  # encoded bytes; DynamoDB's count of them is never four times as much
_encode = msgspec.msgpack.Encoder().encode


def _quick_size(attributes: Mapping[str, Value]) -> int | None:
    """About the size of what is plain and surely small, or None: then it has to be looked at value by value.

    Nearly every item is so, and this runs for every write: the types are looked at here, the text in C.
    """
    if not _is_plain(attributes, 0):
        return None
    try:
        size = len(_encode(attributes))
    except UnicodeEncodeError:
        return None
    return size if size < _SURELY_SMALL else None


def _is_plain(attributes: Mapping[str, Value], depth: int) -> bool:
    """Whether there is nothing but text, whole numbers, truth values and maps of them."""
    for name, value in attributes.items():
        kind = type(value)
        if type(name) is not str or not name:
            return False
        if kind is str or kind is bool or value is None:
            continue
        if kind is dict:
            if depth == MAX_NESTING or not _is_plain(value, depth + 1):  # type: ignore[arg-type]  # a dict by now
                return False
        elif kind is not int or not -_MAX_INT <= value < _MAX_INT:  # type: ignore[operator]  # an int by now
            return False
    return True


def _checked_size(attributes: Mapping[str, Value]) -> int:
    """The size of some attributes, or about that where it is small. Raises `InvalidItem`."""
    size = _quick_size(attributes)
    if size is None:
        size = item_size(attributes)
    if "x" in attributes and type(attributes["x"]) is not int:
        raise InvalidItem("x is a whole number of seconds since the epoch")
    for name in ("G1PK", "G1SK"):
        if name in attributes:
            _check_key_text(name, attributes[name])
    return size


def check_item(item: Mapping[str, Value]) -> int:
    """The item's size, or about that where it is small. Raises `InvalidItem` unless every engine can hold this item."""
    check_key(key_of(item))
    size = _checked_size(item)
    if size > MAX_ITEM_BYTES:
        raise InvalidItem("an item has at most 400 KB")
    return size


def check_key(key: Key) -> None:
    """Raise `InvalidItem` unless this can be a primary key."""
    pk, sk = key
    if type(pk) is str and type(sk) is str and 0 < len(pk) < 256 and 0 < len(sk) < 256 and (pk + sk).isascii():
        return
    _check_key_text("PK", pk)
    _check_key_text("SK", sk)


def _check_key_text(name: str, value: Value) -> None:
    if type(value) is not str or not value:
        raise InvalidItem(f"{name} is non-empty text")
    if _text_size(value) > _MAX_KEY_BYTES[name]:
        raise InvalidItem(f"{name} has at most {_MAX_KEY_BYTES[name]} bytes")


def check_condition(condition: Condition | None) -> None:
    """Raise `InvalidItem` unless this condition could hold for some item."""
    if condition is None or isinstance(condition, Missing | Exists):
        return
    if isinstance(condition, Equals):
        if _quick_size(condition.values) is None:
            item_size(condition.values)
    elif isinstance(condition, Below):
        _name_size(condition.attribute)
        if type(condition.value) is str:
            _text_size(condition.value)
        else:
            check_number(condition.value)  # type: ignore[arg-type]  # whatever it is, it says so
    else:
        raise InvalidItem(f"a condition cannot be a {type(condition).__name__}")


def check_update(update: Update) -> None:
    """Raise `InvalidItem` unless this update makes sense."""
    check_key(update.key)
    names = [*update.set, *update.add, *update.remove]
    for name in names:
        _name_size(name)
    if len(names) != len(set(names)):
        raise InvalidItem("an update names each attribute once")
    if "PK" in names or "SK" in names:
        raise InvalidItem("an update cannot change the key")
    if isinstance(update.condition, Missing):
        raise InvalidItem("an update needs an item that exists")
    check_condition(update.condition)
    if _checked_size(update.set) > MAX_ITEM_BYTES:
        raise InvalidItem("an item has at most 400 KB")
    for name, amount in update.add.items():
        check_number(amount)
        if name in ("G1PK", "G1SK"):
            raise InvalidItem(f"{name} is text, to which nothing can be added")


def check_operations(operations: Sequence[Operation]) -> None:
    """Raise `InvalidItem` unless this can be one transaction."""
    if not 1 <= len(operations) <= MAX_TRANSACTION_ITEMS:
        raise InvalidItem(f"a transaction has 1 to {MAX_TRANSACTION_ITEMS} operations")
    keys = set()
    size = 0
    for operation in operations:
        if isinstance(operation, Put):
            size += check_item(operation.item)
            check_condition(operation.condition)
            keys.add(key_of(operation.item))
        elif isinstance(operation, Update):
            check_update(operation)
            keys.add(operation.key)
        else:
            check_key(operation.key)
            check_condition(operation.condition)
            keys.add(operation.key)
    if len(keys) != len(operations):
        raise InvalidItem("a transaction names each item once")
    if size > MAX_TRANSACTION_BYTES:
        raise InvalidItem("a transaction has at most 4 MB")


def check_limit(limit: int) -> None:
    """Raise `InvalidItem` unless this can be a page's limit."""
    if type(limit) is not int or not 1 <= limit <= MAX_PAGE_ITEMS:
        raise InvalidItem(f"limit is 1 to {MAX_PAGE_ITEMS}")


def check_partition(pk: str) -> None:
    """Raise `InvalidItem` unless this can be the partition that a query names, of the table or of the index."""
    _check_key_text("PK", pk)


def check_range(prefix: str, low: str | None, high: str | None) -> None:
    """Raise `InvalidItem` where a prefix and bounds are given together, or one of them is nothing a key could be."""
    if prefix and (low is not None or high is not None):
        raise InvalidItem("a query takes a prefix or bounds, not both")
    if low == "" or high == "":
        raise InvalidItem("a bound is non-empty text; None leaves the range open")
    for text in (prefix, low, high):
        if text:
            _check_key_text("SK", text)


def index_position(after: str) -> tuple[str, str, str]:
    """`G1SK`, `PK` and `SK` out of the `next` of an `IndexPage`. Raises `InvalidItem` for what is none."""
    try:
        g1sk, pk, sk = msgspec.json.decode(after, type=tuple[str, str, str])
    except (msgspec.MsgspecError, UnicodeEncodeError):
        raise InvalidItem("`after` is the `next` of a page before") from None
    _check_key_text("G1SK", g1sk)
    check_key(Key(pk, sk))
    return g1sk, pk, sk


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
