"""`users`: who is here, what they say of themselves, and what their clients keep."""

from __future__ import annotations

from typing import Any

import pytest

from tests.slack.workspace import Member, Workspace


def user(by: Member, member: Member) -> dict[str, Any]:
    return dict(by.does("users.info", user=member.id)["user"])


def without_email(shown: dict[str, Any]) -> dict[str, Any]:
    """A member as the workspace's log says it."""
    return {**shown, "profile": {name: value for name, value in shown["profile"].items() if name != "email"}}


# -- finding ----------------------------------------------------------------------------------------------------------


def test_people_are_found_by_their_address(workspace: Workspace, ana: Member, ben: Member) -> None:
    assert ben.does("users.lookupByEmail", email=" Ana@EXAMPLE.com")["user"]["id"] == ana.id
    assert ben.is_refused("users.lookupByEmail", email="nobody@example.com") == "users_not_found"
    assert ben.is_refused("users.lookupByEmail", email="") == "users_not_found"
    cleo = workspace.member("cleo", email="cleo@example.com")
    ana.does("users.admin.setInactive", user=cleo.id)
    assert ben.is_refused("users.lookupByEmail", email="cleo@example.com") == "users_not_found"
    narrow = workspace.member("dan", scopes=("users:read",))
    assert narrow.is_refused("users.lookupByEmail", email="ana@example.com") == "missing_scope"
    assert "email" not in user(narrow, ana)["profile"]


def test_identity_is_ones_own(ana: Member) -> None:
    assert ana.does("users.identity")["user"] == {"id": ana.id, "name": "Ana Abel", "email": "ana@example.com"}


# -- profiles ---------------------------------------------------------------------------------------------------------


def test_a_profile_is_changed_by_one_field_or_many(ana: Member, ben: Member) -> None:
    ben.does("users.profile.set", name="title", value="Engineer")
    profile = ben.does(
        "users.profile.set", how="json", profile={"first_name": "Ben", "last_name": "Berg", "phone": "1"}
    )
    shown = profile["profile"]
    assert (shown["title"], shown["real_name"], shown["phone"]) == ("Engineer", "Ben Berg", "1")
    assert ana.does("users.profile.get", user=ben.id)["profile"] == shown
    again = ben.does("users.profile.set", profile={"real_name": "Benjamin Britten", "title": ""})["profile"]
    assert (again["first_name"], again["last_name"], again["title"]) == ("Benjamin", "Britten", "")


def test_display_names_may_be_alike_and_user_names_not(ana: Member, ben: Member) -> None:
    assert ben.does("users.profile.set", profile={"display_name": "ana"})["profile"]["display_name"] == "ana"
    assert ben.does("users.profile.set", profile={"display_name": ""})["profile"]["display_name"] == "ben"
    assert ben.is_refused("users.profile.set", profile={"username": "ANA"}) == "name_taken"
    assert ben.does("users.profile.set", profile={"username": "benno"})["username"] == "benno"
    assert ana.does("users.profile.set", profile={"username": "ben"})["username"] == "ben"
    assert ben.is_refused("users.profile.set", profile={"username": "Ben"}) == "name_taken"
    ana.does("users.profile.set", profile={"username": "Ben"})  # one's own in other letters


def test_each_change_is_one_event_that_says_all_that_changed(ana: Member, ben: Member) -> None:
    stream = ana.listens()
    changes: list[dict[str, Any]] = [
        {"title": "x"}, {"status_text": "at lunch", "status_emoji": ":pizza:"}, {"username": "benno"},
        {"real_name": "Ben Berg"}, {"display_name": "B."}, {"status_text": "", "status_emoji": ""},
    ]  # fmt: skip
    for change in changes:
        ben.does("users.profile.set", how="json", profile=change)
        (event,) = stream.hears()
        assert event["type"] == "user_change"
        assert event["user"] == without_email(user(ana, ben))
        assert "email" not in event["user"]["profile"]
        ben.does("users.profile.set", how="json", profile=change)
        assert stream.hears() == []


def test_a_status_is_over_when_its_time_is(workspace: Workspace, ana: Member, ben: Member) -> None:
    until = int(workspace.clock.now) + 3600
    profile = ben.does("users.profile.set", profile={"status_text": "back in an hour", "status_expiration": until})
    assert profile["profile"]["status_emoji"] == ":speech_balloon:"
    assert user(ana, ben)["profile"]["status_expiration"] == until
    workspace.clock.now = until
    for shown in (user(ana, ben)["profile"], ana.does("users.profile.get", user=ben.id)["profile"]):
        assert (shown["status_text"], shown["status_emoji"], shown["status_expiration"]) == ("", "", 0)
    (listed,) = [each for each in ana.does("users.list")["members"] if each["id"] == ben.id]
    assert listed["profile"]["status_text"] == ""
    ben.does("users.profile.set", profile={"status_text": "a new one"})
    assert user(ana, ben)["profile"]["status_expiration"] == 0


@pytest.mark.parametrize(
    ("profile", "code"),
    [
        ({"status_text": "x" * 101}, "too_long"),
        ({"title": "x" * 101}, "too_long"),
        ({"real_name": "x" * 81}, "invalid_profile"),
        ({"real_name": " "}, "invalid_profile"),
        ({"display_name": "\u202e"}, "invalid_profile"),
        ({"display_name": "Everyone"}, "reserved_name"),
        ({"username": "here"}, "reserved_name"),
        ({"username": ""}, "invalid_profile"),
        ({"title": 5}, "invalid_profile"),
        ({"title": {"$ne": 1}}, "invalid_profile"),
        ({"status_emoji": "pizza"}, "profile_status_set_failed_not_valid_emoji"),
        ({"status_text": "x", "status_expiration": 5}, "invalid_profile"),
        ({"status_text": "x", "status_expiration": "soon"}, "invalid_profile"),
        ({"status_text": "x", "status_expiration": -1}, "invalid_profile"),
        ([], "invalid_profile"),
        ("{", "invalid_profile"),
        ("5", "invalid_profile"),
        ("", "invalid_profile"),
        ({"email": "b@x.org", "title": "x"}, "not_admin"),
    ],
)
def test_what_a_profile_does_not_take(ben: Member, profile: object, code: str) -> None:
    before = ben.does("users.profile.get")
    assert ben.is_refused("users.profile.set", profile=profile) == code
    assert ben.does("users.profile.get") == before


def test_admins_change_others_but_no_owner(ana: Member, ben: Member, workspace: Workspace) -> None:
    cleo = workspace.member("cleo")
    assert ben.is_refused("users.profile.set", user=cleo.id, name="title", value="x") == "not_admin"
    ana.does("users.admin.setAdmin", user=ben.id)
    ben.does("users.profile.set", user=cleo.id, profile={"title": "x", "email": "cleo@x.org"})
    assert ana.does("users.lookupByEmail", email="cleo@x.org")["user"]["profile"]["title"] == "x"
    assert ben.is_refused("users.profile.set", user=ana.id, name="title", value="x") == "cannot_update_admin_user"
    assert ben.is_refused("users.profile.set", user="UX", name="title", value="x") == "user_not_found"


# -- here or away -----------------------------------------------------------------------------------------------------


def test_people_are_here_while_a_client_of_theirs_is(ana: Member, ben: Member) -> None:
    assert ana.does("users.getPresence", user=ben.id) == {"ok": True, "presence": "away"}
    stream, looking = ben.listens(), ana.listens()
    looking.sends({"type": "presence_sub", "ids": [ben.id]})
    assert ana.does("users.getPresence", user=ben.id)["presence"] == "active"
    own = ben.does("users.getPresence")
    assert (own["online"], own["connection_count"], own["manual_away"]) == (True, 1, False)
    ben.does("users.setPresence", presence="away")
    assert ana.does("users.getPresence", user=ben.id)["presence"] == "away"
    assert stream.hears("manual_presence_change")[0]["presence"] == "away"
    assert [each["presence"] for each in looking.hears("presence_change")] == ["away"]
    ben.does("users.setPresence", presence="auto")
    assert ana.does("users.getPresence", user=ben.id)["presence"] == "active"
    stream.ends()
    assert ana.does("users.getPresence", user=ben.id)["presence"] == "away"
    assert ben.is_refused("users.setPresence", presence="asleep") == "invalid_presence"


# -- preferences ------------------------------------------------------------------------------------------------------


def test_preferences_are_kept_for_all_clients_of_one_person(ana: Member, ben: Member) -> None:
    stream, other = ben.listens(), ana.listens()
    ben.does("users.prefs.set", name="theme", value="dark")
    ben.does("users.prefs.set", how="json", prefs={"sidebar": {"width": 240}, "theme": None})
    assert ben.does("users.prefs.get")["prefs"] == {"sidebar": {"width": 240}, "tz": ""}
    told = [(each["name"], each["value"]) for each in stream.hears()]
    assert told == [("theme", "dark"), ("sidebar", {"width": 240}), ("theme", None)]
    assert other.hears() == []
    assert ana.does("users.prefs.get")["prefs"] == {"tz": ""}


def test_the_time_zone_is_a_preference_that_everybody_sees(ana: Member, ben: Member, workspace: Workspace) -> None:
    ben.does("users.prefs.set", name="tz", value="Asia/Kolkata")
    shown = user(ana, ben)
    assert (shown["tz"], shown["tz_offset"]) == ("Asia/Kolkata", 19800)
    assert ben.is_refused("users.prefs.set", name="tz", value="../../etc/passwd") == "invalid_timezone"


@pytest.mark.parametrize(
    "prefs",
    [
        {"x" * 101: 1},
        {"": 1},
        {"a b": 1},
        {"a": "x" * 10_001},
        {str(number): 1 for number in range(201)},
        {"tz": 5},
        [],
    ],
)
def test_what_is_no_preference(ben: Member, prefs: object) -> None:
    assert ben.is_refused("users.prefs.set", how="json", prefs=prefs) in ("invalid_prefs", "invalid_arguments")
    assert ben.does("users.prefs.get")["prefs"] == {"tz": ""}


def test_the_workspace_is_set_by_admins(ana: Member, ben: Member) -> None:
    stream = ben.listens()
    assert ben.does("team.prefs.get")["prefs"] == {"who_can_invite": "admins"}
    assert ben.is_refused("team.prefs.set", name="who_can_invite", value="members") == "restricted_action"
    assert ana.is_refused("team.prefs.set", name="who_can_invite", value="strangers") == "invalid_prefs"
    ana.does("team.prefs.set", name="who_can_invite", value="members")
    (event,) = stream.hears()
    assert (event["type"], event["name"], event["value"]) == ("team_pref_change", "who_can_invite", "members")
    assert ben.does("team.prefs.get")["prefs"] == {"who_can_invite": "members"}


def test_bots_and_the_team_are_described(workspace: Workspace, ana: Member) -> None:
    helper = workspace.bot("helper")
    assert ana.does("bots.info", bot="BHELPER")["bot"]["user_id"] == helper.id
    assert ana.is_refused("bots.info", bot="BX") == ana.is_refused("bots.info") == "bot_not_found"
    assert ana.does("team.info")["team"]["id"] == workspace.team
    assert ana.does("team.profile.get")["profile"]["fields"] == []
