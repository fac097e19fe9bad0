"""Reading all of a range that is known to be small."""

from __future__ import annotations

from collections.abc import Iterator

from roost.storage.table import Item, Table


def every(table: Table, pk: str, prefix: str = "") -> Iterator[Item]:
    """The items of a partition whose sort key begins so, in order, strong."""
    after: str | None = None
    while True:
        page = table.query(pk, prefix=prefix, after=after)
        yield from page.items
        after = page.next
        if after is None:
            return
