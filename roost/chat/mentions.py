"""Who a message names: people by their ids, or everybody at once."""

from __future__ import annotations

import re
from collections.abc import Sequence

from roost.storage import follows, members
from roost.storage.items import MentionRow, MessageRow
from roost.storage.log import Place
from roost.storage.table import Operation, Table

MAX_NAMED = 100  # people whom one message notifies
IN_ONE_WRITE = 40  # of them together with the message; the rest right after it: a transaction holds 100 items

_NAMED = re.compile(r'<@([UW][A-Z0-9]{1,20})(?:\|[^<>]*)?>|"user_id": ?"([UW][A-Z0-9]{1,20})"')
_EVERYBODY = re.compile(r'<!(?:here|channel|everyone)(?:\|[^<>]*)?>|"range": ?"(?:here|channel|everyone)"')


def named(*parts: str) -> list[str]:
    """The people whom a message's text or blocks name, each once, the first hundred."""
    found: dict[str, None] = {}
    for part in parts:
        if "U" in part or "W" in part:
            found |= dict.fromkeys(match[1] or match[2] for match in _NAMED.finditer(part))
    return list(found)[:MAX_NAMED]


def names(row: MessageRow, user: str) -> bool:
    """Whether a message names somebody, alone or with everybody."""
    return any(_EVERYBODY.search(part) for part in (row.text, row.blocks)) or user in named(row.text, row.blocks)


def of_members(table: Table, channel: str, users: Sequence[str]) -> list[str]:
    """Those of them who belong to a conversation: nobody else learns of it."""
    found = members.get_many(table, [(channel, user) for user in users]) if users else []
    return [user for user, row in zip(users, found, strict=True) if row is not None]


def noting(users: Sequence[str], channel: str, by: str, place: Place) -> list[Operation]:
    """What notes that a message names these people."""
    row = MentionRow(channel=channel, ts=place.ts, by=by)
    return [follows.mentioning(user, row, place.now) for user in users]
