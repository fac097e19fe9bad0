"""`usergroups`: people who are mentioned together."""

from __future__ import annotations

import pytest

from tests.slack.workspace import Member, Workspace


@pytest.fixture
def group(ana: Member) -> str:
    return str(ana.does("usergroups.create", name="Front end", description="buttons")["usergroup"]["id"])


def test_a_group_is_made_changed_and_listed(ana: Member, ben: Member, group: str) -> None:
    (listed,) = ben.does("usergroups.list", include_users=True, include_count=True)["usergroups"]
    assert (listed["id"], listed["handle"], listed["users"], listed["user_count"]) == (group, "front-end", [], 0)
    changed = ben.does("usergroups.update", usergroup=group, handle="ui", name="UI")["usergroup"]
    assert (changed["name"], changed["handle"], changed["description"]) == ("UI", "ui", "buttons")
    made = ben.does("usergroups.create", name="Front End", handle="front-end")["usergroup"]  # both are free again
    assert ben.is_refused("usergroups.update", usergroup=made["id"], handle="UI") == "handle_already_exists"
    assert ben.is_refused("usergroups.update", usergroup=made["id"], name="ui") == "name_already_exists"
    (plain, _) = ben.does("usergroups.list")["usergroups"]
    assert not {"users", "user_count"} & plain.keys()


def test_people_are_put_into_a_group(ana: Member, ben: Member, group: str) -> None:
    assert ana.does("usergroups.users.update", usergroup=group, users=[ben.id])["usergroup"]["users"] == [ben.id]
    ana.does("usergroups.users.update", usergroup=group, users=[ana.id])
    assert ben.does("usergroups.users.list", usergroup=group)["users"] == [ana.id]
    assert ana.is_refused("usergroups.users.update", usergroup=group, users="") == "no_users_provided"
    assert ana.is_refused("usergroups.users.update", usergroup=group, users="UX") == "invalid_users"


def test_a_disabled_group_is_shown_to_whoever_asks_for_it(ana: Member, group: str) -> None:
    assert ana.does("usergroups.disable", usergroup=group)["usergroup"]["date_delete"] > 0
    assert ana.does("usergroups.list")["usergroups"] == []
    assert len(ana.does("usergroups.list", include_disabled=True)["usergroups"]) == 1
    assert ana.is_refused("usergroups.users.list", usergroup=group) == "no_such_subteam"
    assert ana.does("usergroups.enable", usergroup=group)["usergroup"]["date_delete"] == 0


def test_old_state_and_events_are_the_new_state(workspace: Workspace, ana: Member, ben: Member) -> None:
    def fetched() -> dict[str, dict[str, object]]:
        shown = ana.does("usergroups.list", include_users=True, include_count=True, include_disabled=True)
        return {each["id"]: each for each in shown["usergroups"]}

    stream, state = ana.listens(), fetched()
    group = ben.does("usergroups.create", name="One")["usergroup"]["id"]
    for method, arguments in (
        ("update", {"description": "the first"}),
        ("users.update", {"users": [ana.id, ben.id]}),
        ("users.update", {"users": [ben.id]}),
        ("disable", {}),
        ("enable", {}),
    ):
        workspace.clock.now += 1
        ben.does(f"usergroups.{method}", usergroup=group, **arguments)
        ben.does(f"usergroups.{method}", usergroup=group, **arguments)  # again: nothing happens
    events = stream.hears()
    assert len(events) == 6
    for event in [*events[:2], *events[1:]]:  # one of them twice
        if event["type"] in ("subteam_created", "subteam_updated"):
            state[event["subteam"]["id"]] = event["subteam"]
        else:
            old = state[event["subteam_id"]]
            assert isinstance(old["users"], list)
            users = sorted({*old["users"], *event["added_users"]} - {*event["removed_users"]})
            more = {"date_update": event["date_update"], "updated_by": event["updated_by"]}
            state[event["subteam_id"]] = old | more | {"users": users, "user_count": len(users)}
    assert state == fetched()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({"name": ""}, "invalid_name"),
        ({"name": "x" * 81}, "invalid_name"),
        ({"name": "Front end"}, "name_already_exists"),
        ({"name": "Other", "handle": "front-end"}, "handle_already_exists"),
        ({"name": "Other", "handle": "@Front-End"}, "handle_already_exists"),
        ({"name": "Other", "handle": "a b"}, "invalid_handle"),
        ({"name": "Other", "handle": "everyone"}, "invalid_handle"),
        ({"name": "Other", "description": "x" * 141}, "too_long"),
        ({"name": "Other", "channels": "CX"}, "channel_not_found"),
        ({}, "invalid_arguments"),
    ],
)
def test_what_is_no_group(ana: Member, group: str, arguments: dict[str, str], code: str) -> None:
    assert ana.is_refused("usergroups.create", **arguments) == code


def test_restricted_guests_make_no_groups(workspace: Workspace, ana: Member, group: str) -> None:
    guest = workspace.member("cleo", role="restricted")
    assert guest.is_refused("usergroups.create", name="Mine") == "permission_denied"
    assert guest.is_refused("usergroups.users.update", usergroup=group, users=guest.id) == "permission_denied"
    assert ana.is_refused("usergroups.disable", usergroup="SX") == "no_such_subteam"
