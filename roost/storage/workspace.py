"""The deployment's one workspace: made on first use, the same for ever."""

from __future__ import annotations

from roost.storage import channels
from roost.storage.ids import new_id
from roost.storage.items import EMPTY_HEAD, WORKSPACE, WorkspaceRow, from_item, head_key, to_item
from roost.storage.table import Missing, Put, StoreUnavailable, Table, TransactionFailed

GENERAL = "general"


def open_workspace(table: Table, now: int) -> WorkspaceRow:
    """The workspace, made with its `#general` and its own log in one transaction if there is none. `now`: seconds."""
    item = table.get(WORKSPACE)
    if item is not None:
        return from_item(item, WorkspaceRow)
    general = channels.new(GENERAL, "", now)
    row = WorkspaceRow(team=new_id("T"), general=general.id, epoch=new_id("E"))
    log = Put(to_item(head_key(row.team), EMPTY_HEAD), Missing())
    try:
        table.transact([Put(to_item(WORKSPACE, row), Missing()), log, *channels.creation(row.team, general)])
    except TransactionFailed:  # somebody else was first
        item = table.get(WORKSPACE)
        if item is None:
            raise StoreUnavailable("the workspace can be neither made nor read") from None
        return from_item(item, WorkspaceRow)
    return row
