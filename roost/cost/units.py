"""How many read and write units DynamoDB counts. Source: developer guide, "Read and write capacity"; engines that count
for themselves agree, by `tests/cost/test_reference.py`.

A transaction counts each write twice, once to prepare and once to commit, but not what follows in the index. A strong
read of what is not there counts as one of the smallest. A query counts the bytes of its page together, a batch each
item by itself.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from roost.storage.table import Value, item_size

_WRITE_BYTES = 1024
_READ_BYTES = 4096
_SURELY_ONE_WRITE = 900  # encoded bytes: DynamoDB's own count is then below 1 KB
_SURELY_ONE_READ = 3500
_encode = msgspec.msgpack.Encoder().encode


def write_units(item: Mapping[str, Value]) -> int:
    """For writing an item as it stands now, outside a transaction."""
    if len(_encode(item)) <= _SURELY_ONE_WRITE:  # nearly always, and several times faster than counting
        return 1
    return -(-item_size(item) // _WRITE_BYTES)


def read_units(item: Mapping[str, Value] | None) -> int:
    """For a strong read of one item."""
    if item is None or len(_encode(item)) <= _SURELY_ONE_READ:
        return 1
    return bytes_read(item_size(item))


def bytes_read(size: int) -> int:
    """For a strong query that went over so many bytes."""
    return -(-size // _READ_BYTES) or 1


def index_units(item: Mapping[str, Value]) -> int:
    """For the entry of a new item in the keys-only index."""
    return 1 if "G1PK" in item and "G1SK" in item else 0
