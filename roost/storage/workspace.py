"""The deployment's one workspace: made on first use, the same for ever."""

from __future__ import annotations

from roost.storage import channels
from roost.storage.ids import new_id
from roost.storage.items import WORKSPACE, WorkspaceRow, from_item, to_item
from roost.storage.table import Missing, Put, StoreUnavailable, Table, TransactionFailed

GENERAL = "general"


def open_workspace(table: Table, now: int) -> WorkspaceRow:
    """The workspace, made with its `#general` in one transaction if there is none. `now` is in seconds."""
    item = table.get(WORKSPACE)
    if item is not None:
        return from_item(item, WorkspaceRow)
    row = WorkspaceRow(team=new_id("T"), general=new_id("C"), epoch=new_id("E"))
    made = channels.creation(row.team, row.general, GENERAL, now)
    try:
        table.transact([Put(to_item(WORKSPACE, row), Missing()), *made])
    except TransactionFailed:  # somebody else was first
        item = table.get(WORKSPACE)
        if item is None:
            raise StoreUnavailable("the workspace can be neither made nor read") from None
        return from_item(item, WorkspaceRow)
    return row
