"""Files: what is known of them, which messages carry them, and whose they are."""

from __future__ import annotations

from collections.abc import Sequence

from roost.storage.items import FileRow, FileShareRow, file_key, file_share_key, files_index, from_item, to_item
from roost.storage.ranges import every
from roost.storage.table import Condition, Delete, Equals, Missing, Put, Table


def by_id(table: Table, file: str) -> FileRow | None:
    """A file, strong."""
    item = table.get(file_key(file))
    return None if item is None else from_item(item, FileRow)


def by_ids(table: Table, files: Sequence[str]) -> list[FileRow]:
    """Those of these files that are there, strong."""
    items = table.get_many([file_key(file) for file in files])
    return [from_item(item, FileRow) for item in items if item is not None]


def adding(row: FileRow) -> Put:
    """What makes a new file known; nobody's list shows it yet."""
    return Put(to_item(file_key(row.id), row), Missing())


def replacing(before: FileRow, after: FileRow) -> Put:
    """What puts a file's row in the place of what it was; fails if that has changed meanwhile."""
    listed = (files_index(after.user), _place(after)) if after.complete and not after.deleted else None
    known: Condition = Equals({"rev": before.rev})
    return Put(to_item(file_key(after.id), after, g1=listed), known)


def dropping(row: FileRow) -> Delete:
    """What forgets a file; fails if it has changed meanwhile."""
    return Delete(file_key(row.id), Equals({"rev": row.rev}))


def sharing(row: FileRow, share: FileShareRow) -> Put:
    """What notes that a message carries a file."""
    key = file_share_key(row.id, share.channel, share.ts)
    return Put(to_item(key, share, g1=(files_index(share.channel), _place(row))))


def shares(table: Table, file: str) -> list[FileShareRow]:
    """The messages that carry a file, strong."""
    key = file_share_key(file, "", "")
    return [from_item(item, FileShareRow) for item in every(table, key.pk, "SH#")]


def newest(table: Table, owner: str, limit: int) -> list[str]:
    """The ids of the newest files of a person or a conversation. From the index: a brand new one may be missing."""
    page = table.query_index(files_index(owner), reverse=True, limit=limit)
    return [entry.pk.removeprefix("F#") for entry in page.entries]


def _place(row: FileRow) -> str:
    return f"{row.created:012}{row.id}"
