"""Scheduled messages: stored with the job that posts them, posted once, as their author stands when they are due."""

from __future__ import annotations

from typing import Any

import pytest

from roost.storage.jobs import Job, Queue
from roost.testing import do_due
from tests.slack.workspace import Member, Workspace


def pass_time(workspace: Workspace, seconds: float) -> None:
    workspace.clock.now += seconds
    do_due(Queue(workspace.room.table, workspace.clock.now_us), workspace.app.do)


def schedule(workspace: Workspace, member: Member, text: str = "later", *, seconds: int = 60, **more: Any) -> str:
    at = int(workspace.clock.now) + seconds
    answer = member.does("chat.scheduleMessage", channel=workspace.general, post_at=at, text=text, **more)
    assert (answer["post_at"], answer["channel"], answer["message"]["text"]) == (at, workspace.general, text)
    return str(answer["scheduled_message_id"])


def test_it_is_posted_when_it_is_due_and_not_before(workspace: Workspace, ana: Member, ben: Member) -> None:
    stream = ben.listens()
    schedule(workspace, ana)
    pass_time(workspace, 59)
    assert ana.texts(workspace.general) == []
    pass_time(workspace, 2)
    (event,) = stream.hears("message")
    assert (event["user"], event["text"]) == (ana.id, "later")
    assert ana.does("chat.scheduledMessages.list")["scheduled_messages"] == []


def test_a_job_that_is_done_twice_posts_once(workspace: Workspace, ana: Member) -> None:
    scheduled = schedule(workspace, ana)
    at = int(workspace.clock.now) + 60
    job = Job(scheduled, "send_message", {"user": ana.id, "id": scheduled, "at": at})
    workspace.clock.now += 60
    delete, workspace.room.table.delete = workspace.room.table.delete, lambda *_: None  # it dies before it forgets
    workspace.app.do(job)
    workspace.room.table.delete = delete
    workspace.app.do(job)
    workspace.app.do(job)
    assert ana.texts(workspace.general) == ["later"]


def test_a_reply_and_blocks_are_posted_as_they_were_composed(workspace: Workspace, ana: Member) -> None:
    root = ana.posts(workspace.general, "root")
    blocks = [{"type": "divider", "block_id": "d"}]
    schedule(workspace, ana, "reply", thread_ts=root, blocks=blocks)
    pass_time(workspace, 61)
    reply = ana.does("conversations.replies", channel=workspace.general, ts=root)["messages"][1]
    assert (reply["text"], reply["blocks"], reply["thread_ts"]) == ("reply", blocks, root)


def test_rights_are_asked_when_it_is_due(workspace: Workspace, ana: Member, ben: Member) -> None:
    plans = ana.channel("plans", ben, private=True)
    at = int(workspace.clock.now) + 60
    ben.does("chat.scheduleMessage", channel=plans, post_at=at, text="too late")
    ana.does("conversations.kick", channel=plans, user=ben.id)
    pass_time(workspace, 61)
    assert ana.texts(plans) == []
    assert ben.does("chat.scheduledMessages.list")["scheduled_messages"] == []


def test_it_can_be_taken_back(workspace: Workspace, ana: Member, ben: Member) -> None:
    scheduled = schedule(workspace, ana)
    arguments = {"channel": workspace.general, "scheduled_message_id": scheduled}
    assert ben.is_refused("chat.deleteScheduledMessage", **arguments) == "invalid_scheduled_message_id"
    ana.does("chat.deleteScheduledMessage", **arguments)
    assert ana.is_refused("chat.deleteScheduledMessage", **arguments) == "invalid_scheduled_message_id"
    pass_time(workspace, 61)
    assert ana.texts(workspace.general) == []


def test_the_list_is_ones_own_by_time_and_paged(workspace: Workspace, ana: Member, ben: Member) -> None:
    for seconds in (300, 100, 200):
        schedule(workspace, ana, f"in {seconds}", seconds=seconds)
    schedule(workspace, ben, "mine")
    first = ana.does("chat.scheduledMessages.list", limit=2)
    assert [each["text"] for each in first["scheduled_messages"]] == ["in 100", "in 200"]
    cursor = first["response_metadata"]["next_cursor"]
    second = ana.does("chat.scheduledMessages.list", limit=2, cursor=cursor)
    assert [each["text"] for each in second["scheduled_messages"]] == ["in 300"]
    latest = int(workspace.clock.now) + 150
    assert len(ana.does("chat.scheduledMessages.list", latest=latest)["scheduled_messages"]) == 1
    assert ben.is_refused("chat.scheduledMessages.list", cursor=cursor) == "invalid_cursor"


@pytest.mark.parametrize(
    ("seconds", "code"),
    [(-5, "time_in_past"), (0, "time_in_past"), (120 * 86400 + 1, "time_too_far")],
)
def test_times_that_are_refused(workspace: Workspace, ana: Member, seconds: int, code: str) -> None:
    at = int(workspace.clock.now) + seconds
    assert ana.is_refused("chat.scheduleMessage", channel=workspace.general, post_at=at, text="x") == code


def test_the_list_of_a_hidden_channel_is_that_of_none(ana: Member, ben: Member) -> None:
    hidden = ana.channel("plans", private=True)
    for channel in (hidden, "C0"):
        assert ben.is_refused("chat.scheduledMessages.list", channel=channel) == "channel_not_found"


def test_other_refusals(workspace: Workspace, ana: Member, ben: Member) -> None:
    plans = ana.channel("plans", private=True)
    at = int(workspace.clock.now) + 60
    assert ana.is_refused("chat.scheduleMessage", channel=workspace.general, post_at="soon", text="x") == "invalid_time"
    assert ben.is_refused("chat.scheduleMessage", channel=plans, post_at=at, text="x") == "channel_not_found"
    assert ana.is_refused("chat.scheduleMessage", channel=plans, post_at=at, text=" ") == "no_text"
    for _ in range(30):
        schedule(workspace, ana)
    refused = ana.is_refused("chat.scheduleMessage", channel=workspace.general, post_at=at, text="x")
    assert refused == "restricted_too_many"
