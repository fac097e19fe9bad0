"""Who reacted to a message, and which messages of a channel are pinned."""

from __future__ import annotations

from roost.storage.items import pin_key, reaction_key, reactions_index
from roost.storage.table import Table


def who_reacted(table: Table, channel: str, ts: str) -> dict[str, list[str]]:
    """Everybody who reacted to a message, by emoji, strong."""
    found: dict[str, list[str]] = {}
    for sk in _keys(table, reaction_key(channel, ts, "", "").pk, ""):
        emoji, _, user = sk.rpartition("#")
        found.setdefault(emoji, []).append(user)
    return found


def reacted_by(table: Table, user: str, limit: int) -> list[tuple[str, str]]:
    """The newest messages that somebody reacted to, each once, as (channel, ts). From the index: it may lag."""
    page = table.query_index(reactions_index(user), reverse=True, limit=limit)
    places = (entry.pk.split("#") for entry in page.entries)
    return list(dict.fromkeys((channel, ts) for _, channel, ts in places))


def pinned(table: Table, channel: str) -> list[str]:
    """The ts of every pinned message of a channel, strong."""
    pk, prefix = pin_key(channel, "")
    return [sk.removeprefix(prefix) for sk in _keys(table, pk, prefix)]


def _keys(table: Table, pk: str, prefix: str) -> list[str]:
    found: list[str] = []
    after: str | None = None
    while True:
        page = table.query(pk, prefix=prefix, after=after)
        found += [str(item["SK"]) for item in page.items]
        if page.next is None:
            return found
        after = page.next
