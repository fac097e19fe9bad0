"""`dnd`: when people want quiet."""

from __future__ import annotations

from tests.slack.workspace import Member, Workspace


def test_quiet_lasts_as_long_as_it_was_wanted(workspace: Workspace, ana: Member, ben: Member) -> None:
    stream = ana.listens()
    now = int(workspace.clock.now)
    assert ben.does("dnd.setSnooze", num_minutes=20)["snooze_endtime"] == now + 1200
    (event,) = stream.hears()
    assert (event["type"], event["user"]) == ("dnd_updated_user", ben.id)
    fresh = ana.does("dnd.info", user=ben.id)
    assert event["dnd_status"] == {name: value for name, value in fresh.items() if name != "ok"}
    assert fresh["dnd_enabled"]
    assert "snooze_enabled" not in fresh
    assert ben.does("dnd.info")["snooze_remaining"] == 1200
    workspace.clock.now += 1200
    assert not ana.does("dnd.info", user=ben.id)["dnd_enabled"]
    assert ben.does("dnd.info")["snooze_enabled"] is False


def test_quiet_ends_when_it_is_ended(ana: Member, ben: Member) -> None:
    assert ben.is_refused("dnd.endSnooze") == "snooze_not_active"
    assert ben.is_refused("dnd.endDnd") == "not_in_dnd"
    ben.does("dnd.setSnooze", num_minutes=20)
    assert ben.does("dnd.endSnooze")["snooze_enabled"] is False
    ben.does("dnd.setSnooze", num_minutes=20)
    ben.does("dnd.endDnd")
    both = ana.does("dnd.teamInfo", users=[ana.id, ben.id])["users"]
    assert {each: status["dnd_enabled"] for each, status in both.items()} == {ana.id: False, ben.id: False}


def test_what_is_no_quiet(ana: Member, ben: Member) -> None:
    assert ben.is_refused("dnd.setSnooze") == "missing_duration"
    assert ben.is_refused("dnd.setSnooze", num_minutes=0) == "too_long"
    assert ben.is_refused("dnd.setSnooze", num_minutes=1441) == "too_long"
    assert ben.is_refused("dnd.teamInfo") == ben.is_refused("dnd.teamInfo", users=" ,") == "no_users_provided"
    assert ben.is_refused("dnd.info", user="UX") == ben.is_refused("dnd.teamInfo", users="UX") == "user_not_found"
