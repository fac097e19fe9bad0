"""Bookmarks of conversations."""

from __future__ import annotations

import pytest

from roost.storage.items import BookmarkRow, bookmark_key, to_item
from tests.slack.workspace import Member, Workspace

LINK = {"type": "link", "title": "Plans", "link": "https://example.com/plans"}


def test_a_bookmark_is_added_edited_and_removed_and_everybody_is_told(
    workspace: Workspace, ana: Member, ben: Member
) -> None:
    stream = ben.listens()
    made = ana.does("bookmarks.add", channel_id=workspace.general, emoji=":tada:", **LINK)["bookmark"]
    assert (made["title"], made["link"], made["emoji"], made["channel_id"]) == (
        "Plans", LINK["link"], ":tada:", workspace.general,
    )  # fmt: skip
    place = {"channel_id": workspace.general, "bookmark_id": made["id"]}
    assert ben.does("bookmarks.list", channel_id=workspace.general)["bookmarks"] == [made]
    edited = ben.does("bookmarks.edit", title="New", **place)["bookmark"]
    assert (edited["title"], edited["link"]) == ("New", LINK["link"])
    ana.does("bookmarks.remove", **place)
    assert ana.does("bookmarks.list", channel_id=workspace.general)["bookmarks"] == []
    assert ana.is_refused("bookmarks.remove", **place) == "not_found"
    told = stream.hears("bookmark_added", "bookmark_edited", "bookmark_removed")
    assert [each["type"] for each in told] == ["bookmark_added", "bookmark_edited", "bookmark_removed"]
    assert told[1]["bookmark"] == edited


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"link": "javascript:alert(1)"}, "invalid_link"),
        ({"link": "https://"}, "invalid_link"),
        ({"link": "https://[::1"}, "invalid_link"),
        ({"link": ""}, "invalid_link"),
        ({"type": "folder"}, "invalid_bookmark_type"),
        ({"title": " "}, "too_long"),
        ({"title": "x" * 256}, "too_long"),
    ],
)
def test_what_is_refused(workspace: Workspace, ana: Member, wrong: dict[str, str], code: str) -> None:
    assert ana.is_refused("bookmarks.add", channel_id=workspace.general, **(LINK | wrong)) == code


def test_a_hundred_bookmarks_are_enough(workspace: Workspace, ana: Member) -> None:
    for number in range(99):
        row = BookmarkRow(id=f"Bk{number}", title="x", link="https://x.example", created=0, by=ana.id)
        workspace.room.table.put(to_item(bookmark_key(workspace.general, row.id), row))
    ana.does("bookmarks.add", channel_id=workspace.general, **LINK)
    assert ana.is_refused("bookmarks.add", channel_id=workspace.general, **LINK) == "too_many_bookmarks"


def test_only_members_have_them(workspace: Workspace, ana: Member, ben: Member) -> None:
    plans, random = ana.channel("plans", private=True), ana.channel("random")
    assert ben.is_refused("bookmarks.list", channel_id=plans) == "channel_not_found"
    assert ben.is_refused("bookmarks.add", channel_id=plans, **LINK) == "channel_not_found"
    assert ben.is_refused("bookmarks.add", channel_id=random, **LINK) == "not_in_channel"
