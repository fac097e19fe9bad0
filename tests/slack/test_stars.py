"""What somebody keeps for later, and what they reacted to: lists of one's own, cut to what one may read."""

from __future__ import annotations

from tests.slack.test_files import share, upload
from tests.slack.workspace import Member, Workspace


def test_a_message_and_a_file_are_kept_for_oneself(workspace: Workspace, ana: Member, ben: Member) -> None:
    mine, others = ben.listens(), ana.listens()
    ts = ana.posts(workspace.general, "keep me")
    file = upload(ana)
    share(ana, workspace.general, file)
    mine.hears(), others.hears()
    ben.does("stars.add", channel=workspace.general, timestamp=ts)
    workspace.clock.now += 1
    ben.does("stars.add", file=file)
    assert ben.is_refused("stars.add", channel=workspace.general, timestamp=ts) == "already_starred"
    first, second = ben.does("stars.list")["items"]
    assert (first["type"], first["file"]["id"]) == ("file", file)
    assert (second["message"]["text"], second["message"]["is_starred"]) == ("keep me", True)
    assert ana.does("stars.list")["items"] == []
    assert [each["type"] for each in mine.hears()] == ["star_added", "star_added"]
    assert others.hears() == []
    ben.does("stars.remove", file=file)
    ben.does("stars.remove", channel=workspace.general, timestamp=ts)
    assert ben.is_refused("stars.remove", file=file) == "not_starred"
    assert ben.does("stars.list")["items"] == []


def test_what_is_no_longer_ones_to_read_is_not_listed(workspace: Workspace, ana: Member, ben: Member) -> None:
    plans = ana.channel("plans", ben, private=True)
    ts, gone = ana.posts(plans, "secret"), ana.posts(workspace.general, "gone")
    ben.does("stars.add", channel=plans, timestamp=ts)
    ben.does("stars.add", channel=workspace.general, timestamp=gone)
    ben.does("reactions.add", channel=plans, timestamp=ts, name="eyes")
    ana.does("conversations.kick", channel=plans, user=ben.id)
    ana.does("chat.delete", channel=workspace.general, ts=gone)
    assert ben.does("stars.list")["items"] == []
    assert ben.does("reactions.list")["items"] == []
    assert len(ana.does("reactions.list", user=ben.id)["items"]) == 1


def test_refusals(workspace: Workspace, ana: Member, ben: Member) -> None:
    plans = ana.channel("plans", private=True)
    ts = ana.posts(plans)
    assert ben.is_refused("stars.add", channel=plans, timestamp=ts) == "channel_not_found"
    assert ana.is_refused("stars.add", channel=plans, timestamp="1.000001") == "message_not_found"
    assert ana.is_refused("stars.add", channel=plans) == "no_item_specified"
    assert ana.is_refused("stars.add", file="F0") == "file_not_found"
    assert ana.is_refused("reactions.list", user="U0") == "user_not_found"


def test_lists_are_paged(workspace: Workspace, ana: Member) -> None:
    for number in range(3):
        workspace.clock.now += 1
        ts = ana.posts(workspace.general, str(number))
        ana.does("stars.add", channel=workspace.general, timestamp=ts)
        for name in ("eyes", "tada"):
            ana.does("reactions.add", channel=workspace.general, timestamp=ts, name=name)
    for method in ("stars.list", "reactions.list"):
        first = ana.does(method, limit=2)
        cursor = first["response_metadata"]["next_cursor"]
        second = ana.does(method, limit=2, cursor=cursor)
        texts = [each["message"]["text"] for each in first["items"] + second["items"]]
        assert (texts, second["response_metadata"]["next_cursor"]) == (["2", "1", "0"], "")
        assert first["paging"] == {"count": 2, "total": 3, "page": 1, "pages": 2}
        assert [each["message"]["text"] for each in ana.does(method, count=2, page=2)["items"]] == ["0"]
        assert ana.is_refused(method, page=0) == "invalid_arguments"
