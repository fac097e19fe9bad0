"""What the table's stream brings to a function."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from roost.aws.dynamodb import plain_item
from roost.storage.table import Item


@dataclass(frozen=True, slots=True)
class Change:
    """An item as a write has left it, and the name of that write in the stream."""

    sequence_number: str
    item: Item


def decode_records(event: Mapping[str, Any]) -> list[Change]:
    """The items that were written, in the order of the stream; what was removed is passed over."""
    images = ((record["dynamodb"]["SequenceNumber"], record["dynamodb"].get("NewImage")) for record in event["Records"])
    return [Change(number, plain_item(image)) for number, image in images if image is not None]
