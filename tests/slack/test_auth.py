"""`auth`, `invites`, `tokens`, `users.admin`: the ways in and out, and who decides about whom."""

from __future__ import annotations

from typing import Any

import pytest

from roost.chat import accounts
from roost.testing import Room
from tests.slack.workspace import Member, Workspace, api_event

PASSWORD = "a horse of her own"
JOIN = {"email": "cleo@example.com", "password": PASSWORD, "name": "cleo"}


def invited(by: Member, **arguments: Any) -> str:
    return str(by.does("invites.create", **arguments)["code"])


def joined(workspace: Workspace, by: Member, name: str, **arguments: Any) -> Member:
    """Somebody who came by an invite."""
    email = f"{name}@example.com"
    code = invited(by, **arguments)
    answer = workspace.calls("auth.signup", code=code, email=email, password=PASSWORD, name=name)
    assert answer["ok"], answer
    return Member(workspace, answer["user"]["id"], name, answer["token"])


def signed_in(member: Member) -> Member:
    """Somebody with a new session."""
    address = f"{member.name}@example.com"
    answer = member.workspace.calls("auth.signin", email=address, password=PASSWORD)
    return Member(member.workspace, member.id, member.name, answer["token"])


# -- signing up -------------------------------------------------------------------------------------------------------


def test_the_set_up_link_makes_the_owner_once() -> None:
    workspace = _without_people()
    code, other = workspace.chat.invites.setup(), workspace.chat.invites.setup()
    answer = workspace.calls("auth.signup", code=code, email=" Ana@Example.com ", password=PASSWORD, name="Ana")
    assert answer["ok"]
    assert answer["user"]["is_owner"]
    assert answer["user"]["profile"]["email"] == "ana@example.com"
    who = workspace.calls("auth.test", token=answer["token"])
    assert who["user_id"] == answer["user"]["id"]
    for spent in (code, other, "", "x"):
        again = workspace.calls("auth.signup", code=spent, email="b@example.com", password=PASSWORD, name="b")
        assert again == {"ok": False, "error": "invalid_code"}


def _without_people() -> Workspace:
    workspace = Workspace.__new__(Workspace)
    workspace.room = Room()
    workspace.app, workspace.clock, workspace.push = workspace.room.app, workspace.room.clock, workspace.room.push
    workspace.chat = workspace.app.chat
    return workspace


def test_an_invite_lets_people_in_as_often_as_it_says(workspace: Workspace, ana: Member) -> None:
    project = ana.channel("project", private=True)
    code = invited(ana, uses=2, channels=[project])
    for name in ("cleo", "dan"):
        answer = workspace.calls("auth.signup", **{**JOIN, "name": name, "email": f"{name}@x.org"}, code=code)
        member = Member(workspace, answer["user"]["id"], name, answer["token"])
        channels = {
            each["name"]
            for each in member.does("users.conversations", types="public_channel,private_channel")["channels"]
        }
        assert channels == {"general", "project"}
    assert workspace.calls("auth.signup", **{**JOIN, "email": "e@x.org"}, code=code)["error"] == "invalid_code"


def test_an_invite_of_a_restricted_guest_shows_its_channels_alone(workspace: Workspace, ana: Member) -> None:
    project = ana.channel("project")
    guest = joined(workspace, ana, "cleo", role="restricted", channels=project)
    assert [each["name"] for each in guest.does("users.conversations")["channels"]] == ["project"]
    assert guest.is_refused("conversations.info", channel=workspace.general) == "channel_not_found"
    assert ana.is_refused("invites.create", role="restricted") == "invalid_role"
    assert ana.is_refused("invites.create", role="owner") == "invalid_role"


def test_an_invite_ends_by_its_date_or_when_it_is_withdrawn(workspace: Workspace, ana: Member) -> None:
    late = invited(ana, expires_in=3600)
    workspace.clock.now += 3601
    assert workspace.calls("auth.signup", **JOIN, code=late)["error"] == "invalid_code"
    made = ana.does("invites.create", label="for Cleo")
    assert [each["id"] for each in ana.does("invites.list")["invites"]] == [made["invite"]["id"]]
    assert made["code"] not in str(ana.does("invites.list"))
    ana.does("invites.revoke", invite=made["invite"]["id"])
    assert ana.is_refused("invites.revoke", invite=made["invite"]["id"]) == "invite_not_found"
    assert workspace.calls("auth.signup", **JOIN, code=made["code"])["error"] == "invalid_code"


def test_an_invite_for_one_address_is_for_nobody_else(workspace: Workspace, ana: Member) -> None:
    code = invited(ana, email="Cleo@Example.com")
    assert workspace.calls("auth.signup", **{**JOIN, "email": "x@x.org"}, code=code)["error"] == "invalid_code"
    assert workspace.calls("auth.signup", **JOIN, code=code)["ok"]


def test_members_invite_where_the_workspace_lets_them(workspace: Workspace, ana: Member, ben: Member) -> None:
    assert ben.is_refused("invites.create") == "restricted_action"
    ana.does("team.prefs.set", name="who_can_invite", value="members")
    code = invited(ben)
    assert ben.is_refused("invites.create", role="restricted", channels=workspace.general) == "restricted_action"
    ana.does("users.admin.setInactive", user=ben.id)  # and with them goes what they left lying about
    assert workspace.calls("auth.signup", **JOIN, code=code)["error"] == "invalid_code"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"password": "short"}, "weak_password"),
        ({"password": "aaaaaaaaaaaa"}, "weak_password"),
        ({"password": "PassWord1"}, "weak_password"),
        ({"password": "cleo@example.com"}, "weak_password"),
        ({"password": "x" * 1000 + "yz" * 20}, "password_too_long"),
        ({"email": "cleo"}, "invalid_email"),
        ({"email": "c leo@example.com"}, "invalid_email"),
        ({"email": "c@" + "x" * 260}, "invalid_email"),
        ({"email": "ANA@example.com"}, "already_in_team"),
        ({"name": "ANA"}, "name_taken"),
        ({"name": "\u202e"}, "invalid_name"),
        ({"tz": "../../etc/passwd"}, "invalid_timezone"),
        ({"tz": "Mars/Olympus"}, "invalid_timezone"),
        ({"email": None}, "invalid_arguments"),
    ],
)
def test_what_cannot_sign_up(workspace: Workspace, ana: Member, change: dict[str, str], code: str) -> None:
    invite = invited(ana)
    assert workspace.calls("auth.signup", **{**JOIN, **change}, code=invite)["error"] == code
    assert workspace.calls("auth.signup", **JOIN, code=invite)["ok"]  # which used nothing up


def test_whoever_gives_no_name_is_called_after_their_address(workspace: Workspace, ana: Member) -> None:
    for number, name in enumerate(("cleo", "cleo2", "cleo3")):
        address = f"cleo@host{number}.org"
        answer = workspace.calls("auth.signup", code=invited(ana), email=address, password=PASSWORD)
        assert answer["user"]["name"] == name


# -- signing in and out -----------------------------------------------------------------------------------------------


def test_signing_in_gives_a_session_and_signing_out_ends_it(workspace: Workspace, ana: Member) -> None:
    cleo = joined(workspace, ana, "cleo")
    answer = workspace.calls("auth.signin", email="CLEO@example.com ", password=PASSWORD)
    assert answer["user"]["id"] == cleo.id
    session = Member(workspace, cleo.id, "cleo", answer["token"])
    stream = session.listens()
    session.does("auth.signout")
    assert session.is_refused("auth.test") == "token_revoked"
    assert stream.closed
    cleo.does("auth.test")


def test_nobody_learns_who_is_a_member(workspace: Workspace, ana: Member) -> None:
    joined(workspace, ana, "cleo")
    wrong = workspace.asks(api_event("auth.signin", {"email": "cleo@example.com", "password": "not hers"}))
    unknown = workspace.asks(api_event("auth.signin", {"email": "nobody@example.com", "password": "not hers"}))
    assert wrong[0] == unknown[0] == 200
    assert wrong[2] == unknown[2] == {"ok": False, "error": "invalid_auth"}


@pytest.mark.parametrize("email", ["cleo@example.com", "nobody@example.com", "", "x" * 100_000])
def test_too_many_tries_are_429_for_known_and_unknown_alike(workspace: Workspace, ana: Member, email: str) -> None:
    joined(workspace, ana, "cleo")
    event = api_event("auth.signin", {"email": email, "password": "not hers"})
    for _ in range(accounts.TRIES):
        assert workspace.asks(event)[2]["error"] == "invalid_auth"
    status, headers, body = workspace.asks(event)
    assert (status, body) == (429, {"ok": False, "error": "ratelimited"})
    assert 1 <= int(headers["Retry-After"]) <= accounts.SPAN
    right = workspace.asks(api_event("auth.signin", {"email": email, "password": PASSWORD}))
    assert right[0] == 429
    workspace.clock.now += int(headers["Retry-After"])
    assert workspace.asks(event)[0] == 200


def test_tries_from_one_network_are_counted_too(workspace: Workspace, ana: Member) -> None:
    def status(number: int, ip: str) -> int:
        event = api_event("auth.signup", {**JOIN, "code": f"guess{number}"})
        event["requestContext"]["http"]["sourceIp"] = ip
        return workspace.asks(event)[0]

    for number in range(accounts.TRIES_FROM):
        assert status(number, f"2001:db8::{number:x}") == 200
    assert status(0, "2001:db8::ffff:1") == 429
    assert status(0, "2001:db8:0:1::1") == 200  # a neighbour


def test_right_passwords_are_no_failed_tries(workspace: Workspace, ana: Member) -> None:
    joined(workspace, ana, "cleo")
    for _ in range(accounts.TRIES + 2):
        assert workspace.calls("auth.signin", email="cleo@example.com", password=PASSWORD)["ok"]


def test_a_session_ends_by_itself(workspace: Workspace, ana: Member) -> None:
    cleo = joined(workspace, ana, "cleo")
    assert cleo.does("auth.test")["expires_in"] == accounts.SESSION_LIFE
    workspace.clock.now += accounts.SESSION_LIFE
    assert cleo.is_refused("auth.test") == "token_expired"


def test_signing_out_everywhere_leaves_programs_alone(workspace: Workspace, ana: Member) -> None:
    cleo = joined(workspace, ana, "cleo")
    program = Member(workspace, cleo.id, "cleo", cleo.does("tokens.create", label="bot")["token"])
    other = Member(
        workspace, cleo.id, "cleo", workspace.calls("auth.signin", email="cleo@example.com", password=PASSWORD)["token"]
    )
    stream, kept = other.listens(), program.listens()
    cleo.does("auth.signoutEverywhere")
    assert cleo.is_refused("auth.test") == other.is_refused("auth.test") == "token_revoked"
    assert stream.closed
    program.does("auth.test")
    assert not kept.closed


# -- changing ---------------------------------------------------------------------------------------------------------


def test_a_new_password_ends_the_other_sessions(workspace: Workspace, ana: Member) -> None:
    cleo = joined(workspace, ana, "cleo")
    other = Member(
        workspace, cleo.id, "cleo", workspace.calls("auth.signin", email="cleo@example.com", password=PASSWORD)["token"]
    )
    assert cleo.is_refused("auth.setPassword", password="wrong one", new_password="another horse") == "invalid_auth"
    assert cleo.is_refused("auth.setPassword", password=PASSWORD, new_password="password") == "weak_password"
    cleo.does("auth.setPassword", password=PASSWORD, new_password="another horse")
    cleo.does("auth.test")
    assert other.is_refused("auth.test") == "token_revoked"
    assert workspace.calls("auth.signin", email="cleo@example.com", password=PASSWORD)["error"] == "invalid_auth"
    assert workspace.calls("auth.signin", email="cleo@example.com", password="another horse")["ok"]


def test_whoever_has_a_session_cannot_guess_the_password_with_it(workspace: Workspace, ana: Member) -> None:
    cleo = joined(workspace, ana, "cleo")
    for _ in range(accounts.TRIES):
        assert cleo.is_refused("auth.setPassword", password="a guess", new_password="another horse") == "invalid_auth"
    assert cleo.is_refused("auth.setPassword", password=PASSWORD, new_password="another horse") == "ratelimited"


def test_an_address_moves_with_its_lock(workspace: Workspace, ana: Member) -> None:
    cleo = joined(workspace, ana, "cleo")
    assert cleo.is_refused("auth.setEmail", password=PASSWORD, email="ana@example.com") == "already_in_team"
    assert cleo.is_refused("auth.setEmail", password="wrong one", email="c@x.org") == "invalid_auth"
    assert cleo.does("auth.setEmail", password=PASSWORD, email="C@x.org")["user"]["profile"]["email"] == "c@x.org"
    assert workspace.calls("auth.signin", email="cleo@example.com", password=PASSWORD)["error"] == "invalid_auth"
    assert workspace.calls("auth.signin", email="c@x.org", password=PASSWORD)["ok"]
    dan = joined(workspace, ana, "dan")
    dan.does("auth.setEmail", password=PASSWORD, email="cleo@example.com")


def test_a_password_link_works_once(workspace: Workspace, ana: Member, ben: Member) -> None:
    cleo = joined(workspace, ana, "cleo")
    code = ana.does("users.admin.createPasswordLink", user=cleo.id)["code"]
    assert ben.is_refused("users.admin.createPasswordLink", user=cleo.id) == "restricted_action"
    assert workspace.calls("auth.signup", **{**JOIN, "email": "x@x.org"}, code=code)["error"] == "invalid_code"
    answer = workspace.calls("auth.resetPassword", code=code, password="another horse")
    assert answer["user"]["id"] == cleo.id
    assert cleo.is_refused("auth.test") == "token_revoked"
    assert workspace.calls("auth.resetPassword", code=code, password="a third horse")["error"] == "invalid_code"
    assert workspace.calls("auth.signin", email="cleo@example.com", password="another horse")["ok"]


# -- roles ------------------------------------------------------------------------------------------------------------


def test_roles_are_changed_by_admins_and_owners_by_owners(workspace: Workspace, ana: Member, ben: Member) -> None:
    dan = workspace.member("dan")
    assert ben.is_refused("users.admin.setAdmin", user=ben.id) == "restricted_action"
    assert ana.does("users.admin.setAdmin", user=ben.id)["user"]["is_admin"]
    assert ben.is_refused("users.admin.setOwner", user=ben.id) == "cannot_update_admin_user"
    assert ben.is_refused("users.admin.setRegular", user=ana.id) == "cannot_update_admin_user"
    assert ben.is_refused("users.admin.setInactive", user=ana.id) == "cannot_update_admin_user"
    assert ben.is_refused("users.admin.signOut", user=ana.id) == "cannot_update_admin_user"
    assert ben.is_refused("users.admin.createPasswordLink", user=ana.id) == "cannot_update_admin_user"
    assert ben.does("users.admin.setRestricted", user=dan.id)["user"]["is_restricted"]
    assert not ben.does("users.admin.setRegular", user=dan.id)["user"]["is_restricted"]
    assert ana.is_refused("users.admin.setAdmin", user="UNOBODY") == "user_not_found"
    bot = workspace.bot("helper")
    assert ana.is_refused("users.admin.setAdmin", user=bot.id) == "invalid_role"


def test_the_last_owner_stays(workspace: Workspace, ana: Member, ben: Member) -> None:
    assert ana.is_refused("users.admin.setRegular", user=ana.id) == "restricted_action"
    assert ana.is_refused("users.admin.setInactive", user=ana.id) == "restricted_action"
    ana.does("users.admin.setOwner", user=ben.id)
    ana.does("users.admin.setRegular", user=ana.id)
    assert ben.is_refused("users.admin.setInactive", user=ben.id) == "restricted_action"


def test_each_change_of_standing_is_one_event(workspace: Workspace, ana: Member, ben: Member) -> None:
    stream = ana.listens()
    for method in ("setAdmin", "setRegular", "setRestricted", "setRegular", "setInactive", "setActive"):
        ana.does(f"users.admin.{method}", user=ben.id)
        (event,) = stream.hears()
        assert event["type"] == "user_change"
        fresh = ana.does("users.info", user=ben.id)["user"]
        fresh["profile"].pop("email", None)
        assert event["user"] == fresh
        ana.does(f"users.admin.{method}", user=ben.id)  # again: nothing happens
        assert stream.hears() == []


def test_a_deactivated_member_is_out_at_once(workspace: Workspace, ana: Member) -> None:
    cleo = joined(workspace, ana, "cleo")
    stream = cleo.listens()
    text = workspace.room.enter("terminal")
    token = cleo.does("tokens.create")["token"]
    assert text.says(f"/login {token}") == ["Logged in as cleo"]
    ana.does("users.admin.setInactive", user=cleo.id)
    assert stream.closed
    assert "terminal" in workspace.push.closed
    stream.hears()
    ana.posts(workspace.general, "now among ourselves")
    assert not stream.hears() and not text.hears()
    assert cleo.is_refused("auth.test") == "account_inactive"
    again = workspace.calls("auth.signin", email="cleo@example.com", password=PASSWORD)
    assert again["error"] == "account_inactive"
    assert ana.is_refused("conversations.open", users=cleo.id) == "user_disabled"
    ana.does("users.admin.setActive", user=cleo.id)
    assert cleo.is_refused("auth.test") == "token_revoked"
    assert workspace.calls("auth.signin", email="cleo@example.com", password=PASSWORD)["ok"]


# -- tokens -----------------------------------------------------------------------------------------------------------


def test_tokens_are_made_listed_and_revoked(workspace: Workspace, ana: Member, ben: Member) -> None:
    made = ben.does("tokens.create", label="a script", scopes="chat:write,channels:read", expires_in=60)
    script = Member(workspace, ben.id, "ben", made["token"])
    assert script.does("conversations.list")["ok"]
    assert script.is_refused("users.list") == "missing_scope"
    listed = [each for each in ben.does("tokens.list")["tokens"] if each["label"]]
    assert listed == [made["info"]]
    assert made["token"] not in str(ben.does("tokens.list"))
    assert ben.is_refused("tokens.list", user=ana.id) == "restricted_action"
    assert ben.is_refused("tokens.list", all=True) == "restricted_action"
    everybody = ana.does("tokens.list", all=True)["tokens"]
    assert {each["user"] for each in everybody} == {ana.id, ben.id}
    ana.does("tokens.revoke", user=ben.id, token_id=made["info"]["id"])
    assert script.is_refused("conversations.list") == "token_revoked"
    assert ben.is_refused("tokens.revoke", token_id=made["info"]["id"]) == "token_not_found"
    workspace.clock.now += 61
    assert made["info"] not in ben.does("tokens.list")["tokens"]


def test_a_token_makes_none_that_may_more(workspace: Workspace) -> None:
    some = workspace.member("cleo", scopes=("account:write", "chat:write"))
    assert some.is_refused("tokens.create") == "invalid_scope"
    assert some.is_refused("tokens.create", scopes="admin.users:write") == "invalid_scope"
    assert some.does("tokens.create", scopes="chat:write")["info"]["scopes"] == ["chat:write"]
    none = workspace.member("dan", scopes=("chat:write",))
    for method in ("tokens.create", "tokens.list", "invites.list", "auth.signoutEverywhere"):
        assert none.is_refused(method) == "missing_scope"
    assert workspace.member("eve").is_refused("tokens.create", scopes="<script>") == "invalid_scope"
    assert workspace.bot("helper").is_refused("tokens.create") == "not_allowed_token_type"
