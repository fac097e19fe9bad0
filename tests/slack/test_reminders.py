"""Reminders: kept for oneself, told once, in the direct conversation that one has with oneself."""

from __future__ import annotations

from tests.slack.test_scheduled import pass_time
from tests.slack.workspace import Member, Workspace


def test_it_is_told_when_it_is_due_to_nobody_else(workspace: Workspace, ana: Member, ben: Member) -> None:
    mine, others = ana.listens(), ben.listens()
    made = ana.does("reminders.add", text="tea", time="in 20 minutes")["reminder"]
    assert (made["user"], made["text"], made["recurring"], made["complete_ts"]) == (ana.id, "tea", False, 0)
    assert made["time"] == int(workspace.clock.now) + 1200
    pass_time(workspace, 1199)
    assert mine.hears("message") == []
    pass_time(workspace, 2)
    (event,) = mine.hears("message")
    assert (event["text"], event["channel_type"], event["username"]) == ("Reminder: tea", "im", "Roost")
    assert others.hears("message") == []
    assert ana.reads(event["channel"])[0]["text"] == "Reminder: tea"


def test_list_info_complete_and_delete(workspace: Workspace, ana: Member, ben: Member) -> None:
    later = ana.does("reminders.add", text="later", time="in 2 hours")["reminder"]["id"]
    soon = ana.does("reminders.add", text="soon", time=60)["reminder"]["id"]
    assert [each["id"] for each in ana.does("reminders.list")["reminders"]] == [soon, later]
    assert ben.does("reminders.list")["reminders"] == []
    assert ben.is_refused("reminders.info", reminder=soon) == "not_found"
    ana.does("reminders.complete", reminder=soon)
    assert ana.does("reminders.info", reminder=soon)["reminder"]["complete_ts"] == int(workspace.clock.now)
    ana.does("reminders.delete", reminder=later)
    assert ana.is_refused("reminders.delete", reminder=later) == "not_found"
    assert ana.is_refused("reminders.complete", reminder=later) == "not_found"
    stream = ana.listens()
    pass_time(workspace, 7201)
    assert stream.hears("message") == []


def test_refusals(workspace: Workspace, ana: Member, ben: Member) -> None:
    assert ana.is_refused("reminders.add", text="x", time="every day") == "cannot_parse"
    assert ana.is_refused("reminders.add", text="x", time=int(workspace.clock.now) - 1) == "cannot_parse"
    assert ana.is_refused("reminders.add", text="x", time="tomorrow", user=ben.id) == "cannot_add_others"
    assert ana.is_refused("reminders.add", text="x", time="tomorrow", user="U0") == "user_not_found"
    assert ana.is_refused("reminders.add", text=" ", time="tomorrow") == "no_text"
    bot = workspace.bot("robo")
    assert ana.is_refused("reminders.add", text="x", time="tomorrow", user=bot.id) == "cannot_add_bot"
    assert bot.is_refused("reminders.add", text="x", time="tomorrow") == "not_allowed_token_type"
