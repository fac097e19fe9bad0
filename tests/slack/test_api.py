"""The edge of the Web API: the four places of arguments, tokens, scopes, rates, and the form of every answer."""

from __future__ import annotations

import pytest

from roost.settings import Settings
from roost.slack.methods import METHODS, TIERS
from tests.conftest import NewRoom
from tests.slack.workspace import Member, Workspace, api_event


@pytest.mark.parametrize("how", ["form", "json", "query", "multipart"])
def test_arguments_may_be_in_any_of_four_places(ana: Member, how: str) -> None:
    answer = ana.does("conversations.create", how=how, name="plans", is_private=True)
    assert (answer["channel"]["name"], answer["channel"]["is_private"]) == ("plans", True)


@pytest.mark.parametrize("how", ["form", "json", "query", "multipart"])
@pytest.mark.parametrize(("written", "private"), [("1", True), ("0", False), ("true", True), ("false", False)])
def test_booleans_are_1_and_0_or_true_and_false(ana: Member, how: str, written: str, private: bool) -> None:
    answer = ana.does("conversations.create", how=how, name="plans", is_private=written)
    assert answer["channel"]["is_private"] is private


def test_a_query_and_a_body_are_merged(workspace: Workspace, ana: Member) -> None:
    event = api_event("chat.postMessage", {"text": "hi"}, token=ana.token)
    event["rawQueryString"] = f"channel={workspace.general}"
    assert workspace.asks(event)[2]["message"]["text"] == "hi"


def test_an_empty_body_that_says_it_is_json_has_no_arguments(workspace: Workspace, ana: Member) -> None:
    status, headers, body = workspace.asks(api_event("auth.test", token=ana.token, how="json"))
    assert (status, body["ok"], body["user_id"]) == (200, True, ana.id)
    assert headers["Content-Type"] == "application/json; charset=utf-8"


def test_reading_by_get_works(workspace: Workspace, ana: Member) -> None:
    event = api_event("conversations.list", {"types": "public_channel"}, token=ana.token, how="query", verb="GET")
    assert [each["name"] for each in workspace.asks(event)[2]["channels"]] == ["general"]


def test_a_token_may_be_an_argument_of_a_form_but_not_of_json(workspace: Workspace, ana: Member) -> None:
    assert workspace.asks(api_event("auth.test", {"token": ana.token}))[2]["user_id"] == ana.id
    assert workspace.asks(api_event("auth.test", {"token": ana.token}, how="query"))[2]["user_id"] == ana.id
    assert workspace.asks(api_event("auth.test", {"token": ana.token}, how="multipart"))[2]["user_id"] == ana.id
    assert workspace.asks(api_event("auth.test", {"token": ana.token}, how="json"))[2]["error"] == "not_authed"


def test_a_token_is_trimmed(workspace: Workspace, ana: Member) -> None:
    assert workspace.calls("auth.test", token=f"  {ana.token} ")["ok"]


def test_unknown_arguments_are_ignored(ana: Member) -> None:
    assert ana.does("auth.test", how="json", team_id="T1", whatever={"a": [1]})["user_id"] == ana.id


def test_null_is_absent_and_empty_is_not(workspace: Workspace, ana: Member) -> None:
    event = api_event("chat.postMessage", token=ana.token, how="json", body='{"channel":null,"text":"x"}')
    answer = workspace.asks(event)[2]
    assert (answer["error"], answer["response_metadata"]["messages"]) == (
        "invalid_arguments",
        ["[ERROR] missing required field: channel"],
    )
    ts = ana.posts(workspace.general)
    blocks = [{"type": "divider"}]
    assert ana.does("chat.update", channel=workspace.general, ts=ts, text="", blocks=blocks)["text"] == ""


def test_scopes_are_in_the_headers(workspace: Workspace) -> None:
    reader = workspace.bot("reader", scopes=("channels:read", "chat:write"))
    _, headers, _ = workspace.asks(api_event("conversations.list", token=reader.token))
    assert headers["X-OAuth-Scopes"] == "channels:read,chat:write"
    assert headers["X-Accepted-OAuth-Scopes"] == "channels:read,groups:read,im:read,mpim:read"
    assert headers["X-Slack-Req-Id"]


def test_a_token_without_the_scope_is_told_which_it_needs(workspace: Workspace) -> None:
    reader = workspace.bot("reader", scopes=("channels:read",))
    answer = reader.calls("chat.postMessage", channel=workspace.general, text="x")
    assert answer == {"ok": False, "error": "missing_scope", "needed": "chat:write", "provided": "channels:read"}


def test_over_the_rate_is_429_with_the_seconds_to_wait(new_room: NewRoom) -> None:
    workspace = Workspace(room=new_room(Settings(limits=True)))
    event = api_event("rtm.connect", token=workspace.ana.token)
    statuses = [workspace.asks(event)[0] for _ in range(TIERS[1])]
    assert statuses == [200] * TIERS[1]
    status, headers, body = workspace.asks(event)
    assert (status, body) == (429, {"ok": False, "error": "ratelimited"})
    assert 1 <= int(headers["Retry-After"]) <= 60
    workspace.clock.now += int(headers["Retry-After"])
    assert workspace.asks(event)[0] == 200


def test_every_method_needs_a_token_but_those_that_say_so(workspace: Workspace) -> None:
    for name, method in METHODS.items():
        answer = workspace.calls(name)
        if method.tokens:
            assert answer["error"] == "not_authed", name
        else:
            assert answer.get("error") != "not_authed", name


def test_api_test_echoes_and_fails_when_asked_to(workspace: Workspace) -> None:
    assert workspace.calls("api.test", foo="bar") == {"ok": True, "args": {"foo": "bar"}}
    answer = workspace.calls("api.test", error="my_error", foo="bar")
    assert answer == {"ok": False, "error": "my_error", "args": {"error": "my_error", "foo": "bar"}}


def test_auth_test_says_who_calls(workspace: Workspace, ana: Member) -> None:
    answer = ana.does("auth.test")
    assert answer["url"].endswith("/")
    assert (answer["user"], answer["user_id"], answer["team_id"]) == ("ana", ana.id, workspace.team)
    assert "bot_id" not in answer
    bot = workspace.bot("helper")
    assert bot.does("auth.test")["bot_id"] == "BHELPER"


def test_a_revoked_token_stands_for_nobody(workspace: Workspace, ben: Member) -> None:
    assert ben.does("auth.revoke", test=True)["revoked"] is False
    stream = ben.listens()
    assert ben.does("auth.revoke")["revoked"] is True
    assert ben.is_refused("auth.test") == "token_revoked"
    assert stream.closed
