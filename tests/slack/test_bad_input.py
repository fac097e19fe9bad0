"""Bad input, row by row: what each kind of it is answered with, and that it had no effect at all."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from roost.chat.roles import OPERATOR
from roost.settings import Settings
from roost.slack.methods import METHODS
from tests.conftest import NewRoom
from tests.slack.workspace import Member, Workspace, api_event

Case = tuple[str, str, Callable[["Scene"], dict[str, Any]]]


class Scene:
    """What the rows act on: a member and their message, and what is not theirs."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.ana = self.workspace.ana
        self.ben = self.workspace.member("ben")
        self.guest = self.workspace.member("rita", role="restricted")
        self.general = self.workspace.general
        self.ts = self.ana.posts(self.general, "first")
        self.reply = self.ana.posts(self.general, "reply", thread_ts=self.ts)
        self.hidden = self.ana.channel("hidden", private=True)
        self.hidden_ts = self.ana.posts(self.hidden, "secret")
        self.workspace.clock.now += 1  # two channels may use one ts
        self.open = self.ana.channel("open")
        self.open_ts = self.ana.posts(self.open, "elsewhere")
        self.old = self.ana.channel("old", self.ben)
        self.old_ts = self.ana.posts(self.old, "was")
        self.ana.does("conversations.archive", channel=self.old)

    def ben_calls(self, method: str, **arguments: Any) -> dict[str, Any]:
        return self.ben.calls(method, how="json", **arguments)

    def raw(self, body: bytes | str, content_type: str = "application/json", method: str = "chat.postMessage") -> Any:
        headers = {"content-type": content_type}
        return self.workspace.asks(api_event(method, token=self.ben.token, body=body, headers=headers))[2]

    def posts(self, text: object = "x", **more: Any) -> dict[str, Any]:
        return self.ben_calls("chat.postMessage", channel=self.general, text=text, **more)

    def reacts(self, name: str, ts: str | None = None) -> dict[str, Any]:
        return self.ben_calls("reactions.add", channel=self.general, timestamp=ts or self.ts, name=name)

    def creates(self, name: str) -> dict[str, Any]:
        return self.ben_calls("conversations.create", name=name)

    def history(self, **more: Any) -> dict[str, Any]:
        return self.ben_calls("conversations.history", channel=self.general, **more)


def revoked(scene: Scene) -> dict[str, Any]:
    scene.ben.does("auth.revoke")
    return scene.ben.calls("auth.test")


def expired(scene: Scene) -> dict[str, Any]:
    from roost.chat.people import digest
    from roost.storage.items import token_key
    from roost.storage.table import Update

    table = scene.workspace.room.table
    table.update(Update(token_key(digest(scene.ben.token)), set={"expires": scene.workspace.chat.core.now}))
    return scene.ben.calls("auth.test")


def deactivated(scene: Scene) -> dict[str, Any]:
    scene.workspace.chat.roles.deactivate(OPERATOR, scene.ben.id)
    return scene.ben.calls("auth.test")


def fifty_one_kinds(scene: Scene) -> dict[str, Any]:
    for number in range(50):
        scene.ana.does("reactions.add", channel=scene.general, timestamp=scene.ts, name=f"e{number}")
    return scene.reacts("one_more")


def twice(scene: Scene) -> dict[str, Any]:
    assert scene.reacts("tada")["ok"]
    return scene.reacts("tada")


def cursor_of_another_call(scene: Scene) -> dict[str, Any]:
    cursor = scene.ben.does("users.list", limit=1)["response_metadata"]["next_cursor"]
    assert cursor
    return scene.ben_calls("conversations.list", cursor=cursor)


def cursor_of_another_person(scene: Scene) -> dict[str, Any]:
    cursor = scene.ana.does("users.list", limit=1)["response_metadata"]["next_cursor"]
    return scene.ben_calls("users.list", cursor=cursor)


def cursor_altered(scene: Scene) -> dict[str, Any]:
    cursor = scene.ben.does("users.list", limit=1)["response_metadata"]["next_cursor"]
    return scene.ben_calls("users.list", cursor=cursor[:-2] + "AA")


def deep(levels: int) -> str:
    return '{"channel":' + "[" * levels + "]" * levels + "}"


LONG = "x" * 40_001
BLOCK = {"type": "divider"}
FAT = [{"type": "section", "text": {"type": "mrkdwn", "text": "y" * 2_900}} for _ in range(12)]
U64 = str(uuid.uuid4())

CASES: list[Case] = [
    ("no token", "not_authed", lambda s: s.workspace.calls("auth.test")),
    ("unknown token", "invalid_auth", lambda s: s.workspace.calls("auth.test", token="xoxp-unknown")),
    ("malformed token", "invalid_auth", lambda s: s.workspace.calls("auth.test", token="ä b")),
    ("token of Slack's", "invalid_auth", lambda s: s.workspace.calls("auth.test", token="xoxc-1-2-3")),
    ("revoked token", "token_revoked", revoked),
    ("expired token", "token_expired", expired),
    ("deactivated user", "account_inactive", deactivated),
    ("unknown method", "unknown_method", lambda s: s.ben_calls("chat.sing")),
    ("method in capitals", "unknown_method", lambda s: s.ben_calls("Auth.Test")),
    ("no method", "unknown_method", lambda s: s.ben_calls("")),
    ("not JSON", "invalid_json", lambda s: s.raw("{channel")),
    ("JSON list", "json_not_object", lambda s: s.raw("[1]")),
    ("JSON string", "json_not_object", lambda s: s.raw('"x"')),
    ("JSON number", "json_not_object", lambda s: s.raw("7")),
    ("JSON null", "json_not_object", lambda s: s.raw("null")),
    ("object for text", "invalid_arguments", lambda s: s.ben_calls("chat.postMessage", channel={"$ne": 1}, text="x")),
    ("list for text", "invalid_arguments", lambda s: s.posts(["x"])),
    ("object for a number", "invalid_limit", lambda s: s.history(limit={"a": 1})),
    ("array arguments", "invalid_array_arg", lambda s: s.raw("channel[0]=x", "application/x-www-form-urlencoded")),
    ("unknown content type", "invalid_post_type", lambda s: s.raw("x", "text/yaml")),
    ("unknown charset", "invalid_charset", lambda s: s.raw("{}", "application/json; charset=koi8-r")),
    ("invalid UTF-8 in JSON", "invalid_charset", lambda s: s.raw(b'{"channel":"\xff"}')),
    (
        "invalid UTF-8 in a form",
        "invalid_charset",
        lambda s: s.raw(b"channel=%ff&text=x", "application/x-www-form-urlencoded"),
    ),
    ("NUL byte", "invalid_charset", lambda s: s.posts("a\0b")),
    ("lone surrogate", "invalid_charset", lambda s: s.raw('{"channel":"C1","text":"\\ud800"}')),
    ("body over 1 MB", "invalid_form_data", lambda s: s.raw(json.dumps({"text": "x" * 1_000_001}))),
    ("multipart without parts", "invalid_form_data", lambda s: s.raw("x", "multipart/form-data")),
    ("nesting deeper than 32", "invalid_json", lambda s: s.raw(deep(40))),
    ("nesting of 100,000", "invalid_json", lambda s: s.raw(deep(100_000))),
    ("missing channel", "invalid_arguments", lambda s: s.ben_calls("conversations.info")),
    ("missing name", "invalid_name_required", lambda s: s.ben_calls("conversations.create")),
    ("channel unknown", "channel_not_found", lambda s: s.ben_calls("conversations.info", channel="C0UNKNOWN")),
    ("channel private", "channel_not_found", lambda s: s.ben_calls("conversations.info", channel=s.hidden)),
    ("channel empty", "channel_not_found", lambda s: s.ben_calls("conversations.info", channel="")),
    ("channel with a key's sign", "channel_not_found", lambda s: s.ben_calls("conversations.info", channel="C#x#META")),
    ("channel of 2,000 signs", "channel_not_found", lambda s: s.ben_calls("conversations.info", channel="C" * 2000)),
    ("not joined", "not_in_channel", lambda s: s.ben_calls("chat.postMessage", channel=s.open, text="x")),
    ("archived", "is_archived", lambda s: s.ben_calls("chat.postMessage", channel=s.old, text="x")),
    (
        "reaction in an archived one",
        "is_archived",
        lambda s: s.ben_calls("reactions.add", channel=s.old, timestamp=s.old_ts, name="tada"),
    ),
    ("no text", "no_text", lambda s: s.ben_calls("chat.postMessage", channel=s.general)),
    ("text empty", "no_text", lambda s: s.posts("")),
    ("text blank", "no_text", lambda s: s.posts(" \n\t\u2003")),
    ("text over 40,000", "msg_too_long", lambda s: s.posts(LONG)),
    ("event over 30 KB", "msg_too_long", lambda s: s.posts("x", blocks=FAT)),
    ("text over 30 KB", "msg_too_long", lambda s: s.posts("ü" * 16_000)),
    ("51 blocks", "invalid_blocks", lambda s: s.posts("x", blocks=[BLOCK] * 51)),
    ("blocks that are no list", "invalid_blocks_format", lambda s: s.posts("x", blocks={"type": "divider"})),
    ("blocks that are no JSON", "invalid_blocks_format", lambda s: s.posts("x", blocks="[{")),
    ("101 attachments", "too_many_attachments", lambda s: s.posts("x", attachments=[{"text": "a"}] * 101)),
    ("markdown beside text", "markdown_text_conflict", lambda s: s.posts("x", markdown_text="y")),
    ("markdown over 12,000", "msg_too_long", lambda s: s.ben_calls(
        "chat.postMessage", channel=s.general, markdown_text="y" * 12_001)),
    ("metadata that is none", "invalid_metadata_format", lambda s: s.posts("x", metadata=[1])),
    ("client_msg_id no UUID", "invalid_arguments", lambda s: s.posts("x", client_msg_id="mine")),
    ("client_msg_id over 64", "invalid_arguments", lambda s: s.posts("x", client_msg_id="a" * 65)),
    ("thread root unknown", "thread_not_found", lambda s: s.posts("x", thread_ts="1700000000.000001")),
    ("thread root elsewhere", "thread_not_found", lambda s: s.posts("x", thread_ts=s.open_ts)),
    ("reply to a reply", "cannot_reply_to_message", lambda s: s.posts("x", thread_ts=s.reply)),
    ("replies of no thread", "thread_not_found", lambda s: s.ben_calls(
        "conversations.replies", channel=s.general, ts="1700000000.000001")),
    ("edit of another's", "cant_update_message", lambda s: s.ben_calls(
        "chat.update", channel=s.general, ts=s.ts, text="mine")),
    ("delete of another's", "cant_delete_message", lambda s: s.ben_calls("chat.delete", channel=s.general, ts=s.ts)),
    ("edit of nothing", "message_not_found", lambda s: s.ben_calls(
        "chat.update", channel=s.general, ts="1700000000.000001", text="x")),
    ("delete of nothing", "message_not_found", lambda s: s.ben_calls(
        "chat.delete", channel=s.general, ts="1700000000.000001")),
    ("delete of what is elsewhere", "message_not_found", lambda s: s.ana.calls(
        "chat.delete", channel=s.general, ts=s.open_ts)),
    ("ts no ts", "bad_timestamp", lambda s: s.reacts("tada", "yesterday")),
    ("ts with a key's sign", "bad_timestamp", lambda s: s.reacts("tada", "1#2")),
    ("ts negative", "bad_timestamp", lambda s: s.reacts("tada", "-1.000000")),
    ("ts of other digits", "bad_timestamp", lambda s: s.reacts("tada", "١٧٠٠٠٠٠٠٠٠.000001")),
    ("oldest no ts", "invalid_ts_oldest", lambda s: s.history(oldest="x")),
    ("latest no ts", "invalid_ts_latest", lambda s: s.history(latest="x")),
    ("mark no ts", "invalid_timestamp", lambda s: s.ben_calls("conversations.mark", channel=s.general, ts="x")),
    ("limit negative", "invalid_limit", lambda s: s.history(limit=-1)),
    ("limit over 1,000", "invalid_limit", lambda s: s.history(limit=1001)),
    ("limit no number", "invalid_limit", lambda s: s.history(limit="many")),
    ("limit of a list no number", "invalid_limit", lambda s: s.ben_calls("conversations.list", limit="x")),
    ("cursor unknown", "invalid_cursor", lambda s: s.history(cursor="bmV4dA==")),
    ("cursor no base64", "invalid_cursor", lambda s: s.history(cursor="ä%")),
    ("cursor altered", "invalid_cursor", cursor_altered),
    ("cursor of another call", "invalid_cursor", cursor_of_another_call),
    ("cursor of another person", "invalid_cursor", cursor_of_another_person),
    ("same reaction twice", "already_reacted", twice),
    ("reaction unknown", "invalid_name", lambda s: s.reacts("not a name!")),
    ("reaction over 50 kinds", "too_many_emoji", fifty_one_kinds),
    ("reaction to nothing", "no_item_specified", lambda s: s.ben_calls("reactions.add", name="tada")),
    ("name empty", "invalid_name_required", lambda s: s.creates("")),
    ("name over 80", "invalid_name_maxlength", lambda s: s.creates("a" * 81)),
    ("name in capitals", "invalid_name_specials", lambda s: s.creates("Plans")),
    ("name with a blank", "invalid_name_specials", lambda s: s.creates("my plans")),
    ("name with punctuation", "invalid_name_specials", lambda s: s.creates("plans!")),
    ("name taken", "name_taken", lambda s: s.creates("open")),
    ("name taken by a private one", "name_taken", lambda s: s.creates("hidden")),
    ("name of a key", "invalid_name_specials", lambda s: s.creates("C#x")),
    ("name of the original's key", "invalid_name_specials", lambda s: s.creates("x:::connections")),
    ("topic over 250", "too_long", lambda s: s.ben_calls("conversations.setTopic", channel=s.general, topic="x" * 251)),
    ("purpose over 250", "too_long", lambda s: s.ben_calls(
        "conversations.setPurpose", channel=s.general, purpose="x" * 251)),
    ("types unknown", "invalid_types", lambda s: s.ben_calls("conversations.list", types="all")),
    ("invite of self", "cant_invite_self", lambda s: s.ben_calls(
        "conversations.invite", channel=s.general, users=s.ben.id)),
    ("invite of a member", "already_in_channel", lambda s: s.ben_calls(
        "conversations.invite", channel=s.general, users=s.ana.id)),
    ("invite of nobody", "no_user", lambda s: s.ben_calls("conversations.invite", channel=s.general)),
    ("invite of who is not there", "user_not_found", lambda s: s.ben_calls(
        "conversations.invite", channel=s.general, users="U0")),
    ("invite by a restricted member", "channel_not_found", lambda s: s.guest.calls(
        "conversations.invite", channel=s.general, users=s.ben.id)),
    ("direct with nobody", "users_list_not_supplied", lambda s: s.ben_calls("conversations.open")),
    ("direct with who is not there", "user_not_found", lambda s: s.ben_calls("conversations.open", users="U0")),
    ("pin of nothing", "no_item_specified", lambda s: s.ben_calls("pins.add", channel=s.general)),
    ("unpin of what is not pinned", "no_pin", lambda s: s.ben_calls(
        "pins.remove", channel=s.general, timestamp=s.ts)),
]  # fmt: skip


@pytest.mark.parametrize(("code", "act"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_bad_input_is_refused_with_its_code_and_changes_nothing(
    workspace: Workspace, code: str, act: Callable[[Scene], dict[str, Any]]
) -> None:
    scene = Scene(workspace)
    log_ends = [heads(scene, channel) for channel in (scene.general, scene.open, scene.old, scene.hidden)]
    answer = act(scene)
    assert (answer["ok"], answer["error"]) == (False, code)
    if act not in (twice, fifty_one_kinds):
        assert [heads(scene, each) for each in (scene.general, scene.open, scene.old, scene.hidden)] == log_ends


def heads(scene: Scene, channel: str) -> int:
    return scene.workspace.chat.core.log.head(channel).seq


def test_missing_scope_says_what_is_needed_and_what_there_is(workspace: Workspace) -> None:
    poor = workspace.member("poor", scopes=("users:read",))
    answer = poor.calls("chat.postMessage", channel=workspace.general, text="x")
    assert answer == {"ok": False, "error": "missing_scope", "needed": "chat:write", "provided": "users:read"}


def test_a_missing_argument_is_named(ben: Member) -> None:
    answer = ben.calls("conversations.info")
    assert answer["response_metadata"] == {"messages": ["[ERROR] missing required field: channel"]}


def test_a_cookie_is_no_token(workspace: Workspace, ben: Member) -> None:
    headers = {"cookie": f"d={ben.token}"}
    event = api_event("chat.postMessage", {"channel": workspace.general, "text": "x"}, how="query", verb="GET")
    event["headers"] |= headers
    event["cookies"] = [f"d={ben.token}"]
    assert workspace.asks(event)[2]["error"] == "not_authed"


def test_oldest_after_latest_is_an_empty_page(ana: Member, workspace: Workspace) -> None:
    ana.posts(workspace.general)
    answer = ana.does("conversations.history", channel=workspace.general, oldest="2000000000", latest="1000000000")
    assert (answer["messages"], answer["has_more"]) == ([], False)


def test_the_same_client_msg_id_answers_the_first_message(ana: Member, workspace: Workspace) -> None:
    first = ana.does("chat.postMessage", channel=workspace.general, text="one", client_msg_id=U64)
    again = ana.does("chat.postMessage", channel=workspace.general, text="two", client_msg_id=U64)
    assert (again["ts"], again["message"]["text"], again["duplicate"]) == (first["ts"], "one", True)
    assert "duplicate" not in first
    assert ana.texts(workspace.general) == ["one"]


@pytest.mark.parametrize(
    "text",
    [
        "a\nb\r\nc",
        "bell \x07 \x1b[2J",
        "\u202eevil\u202c",
        "<script>alert(1)</script>",
        "<javascript:alert(1)|x>",
        "{}",
    ],
)
def test_text_is_stored_as_typed(ana: Member, workspace: Workspace, text: str) -> None:
    for how in ("json", "form", "multipart", "query"):
        ana.does("chat.postMessage", how=how, channel=workspace.general, text=text)
        assert ana.texts(workspace.general)[-1] == text


def test_more_than_a_hundred_mentions_are_delivered(ana: Member, ben: Member, workspace: Workspace) -> None:
    text = " ".join(f"<@U{number:09}>" for number in range(300))
    ana.posts(workspace.general, text)
    assert ben.texts(workspace.general) == [text]


@pytest.mark.parametrize("name", ["channels", "meta", "head", "c", "t", "___", "---", "名前", "x" * 80])
def test_names_of_system_rows_are_only_names(ana: Member, workspace: Workspace, name: str) -> None:
    before = {channel["id"]: channel for channel in ana.does("conversations.list")["channels"]}
    made = ana.channel(name)
    after = {channel["id"]: channel for channel in ana.does("conversations.list")["channels"]}
    assert after.pop(made)["name"] == name
    assert after == before


def test_marks_stay_at_the_newest_and_are_clipped_to_the_head(ana: Member, ben: Member, workspace: Workspace) -> None:
    first, last = ana.posts(workspace.general), ana.posts(workspace.general)

    def read() -> Any:
        return ben.does("conversations.info", channel=workspace.general)["channel"]["last_read"]

    ben.does("conversations.mark", channel=workspace.general, ts="2999999999.000000")
    assert read() == last
    ben.does("conversations.mark", channel=workspace.general, ts=first)
    assert read() == last


def test_no_method_lets_an_exception_out(workspace: Workspace, ben: Member) -> None:
    for name in METHODS:
        for arguments in ({}, {"channel": "C0"}, {"channel": workspace.general, "user": "U0", "ts": "1.000000"}):
            status, _, body = workspace.asks(api_event(name, arguments, token=ben.token))
            assert status == 200, name
            assert body.get("error") != "fatal_error", (name, arguments)
            if name.startswith("auth."):
                ben = workspace.member(f"m{len(workspace.chat.people.everybody())}")


# -- event streams -----------------------------------------------------------------------------------------------------


def test_a_ticket_opens_one_stream_once_and_soon(workspace: Workspace, ben: Member) -> None:
    from tests.slack.workspace import Stream

    ticket = ben.does("rtm.connect")["url"].rpartition("=")[2]
    assert Stream(ben, "s1").opens("never-issued") == 401
    assert Stream(ben, "s2").opens(ticket) == 200
    assert Stream(ben, "s3").opens(ticket) == 401
    late = ben.does("rtm.connect")["url"].rpartition("=")[2]
    workspace.clock.now += 31
    assert Stream(ben, "s4").opens(late) == 401


def test_no_ticket_is_401_where_guests_are_off(new_room: NewRoom) -> None:
    from roost.testing import socket_event

    workspace = Workspace(room=new_room(Settings(guests=False)))
    answer = workspace.app.handle(socket_event("CONNECT", "c1", time=workspace.room.time))
    assert answer["statusCode"] in (401, 403)


def test_a_page_of_another_origin_is_turned_away(ben: Member) -> None:
    from tests.slack.workspace import Stream

    ticket = ben.does("rtm.connect")["url"].rpartition("=")[2]
    assert Stream(ben, "s1").opens(ticket, headers={"Origin": "https://evil.example"}) == 403
    assert Stream(ben, "s1").opens(ticket, headers={"Origin": "http://localhost:8000"}) == 200


def test_the_21st_stream_of_a_person_is_turned_away_and_the_oldest_kept(workspace: Workspace, ben: Member) -> None:
    from tests.slack.workspace import Stream

    streams = [ben.listens() for _ in range(20)]
    ticket = ben.does("rtm.connect")["url"].rpartition("=")[2]
    assert Stream(ben, "one-more").opens(ticket) == 429
    workspace.ana.posts(workspace.general)
    assert len(streams[0].hears("message")) == 1
    streams[3].ends()
    ben.listens()


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ("not json", "invalid_json"),
        ("[1]", "invalid_json"),
        ("", "invalid_json"),
        ('{"id":1}', "invalid_type"),
        ('{"id":1,"type":"sing"}', "invalid_type"),
        ('{"id":1,"type":7}', "invalid_type"),
        ('{"id":1,"type":["message"]}', "invalid_type"),
        ('{"id":"x","type":"message","channel":"C0"}', "invalid_arguments"),
        ('{"id":1,"type":"message","channel":{"a":1}}', "invalid_arguments"),
        ('{"id":1,"type":"message","channel":"C0","text":"x"}', "channel_not_found"),
        ('{"id":1,"type":"message","channel":"GENERAL","text":" "}', "no_text"),
        ('{"id":1,"type":"message","channel":"GENERAL","text":"x","client_msg_id":"mine"}', "invalid_arguments"),
        ('{"id":1,"type":"message","channel":"GENERAL","text":"a\\u0000b"}', "invalid_charset"),
        ('{"id":1,"type":"resume","epoch":"x","streams":[1]}', "invalid_arguments"),
        ('{"id":1,"type":"message","channel":"GENERAL","text":"x","thread_ts":"x"}', "bad_timestamp"),
        ('{"id":1,"type":"typing","channel":"C0"}', "channel_not_found"),
    ],
)
def test_a_bad_frame_is_answered_and_the_stream_stays_open(ben: Member, frame: str, code: str) -> None:
    stream = ben.listens()
    (answer,) = stream.sends(frame.replace("GENERAL", ben.workspace.general))
    assert answer["ok"] is False
    assert (answer["error"]["code"], bool(answer["error"]["msg"])) == (code, True)
    assert ("reply_to" in answer) == ('"id":1' in frame)
    assert not stream.closed
    assert stream.sends({"id": 9, "type": "ping"}) == [{"type": "pong", "reply_to": 9}]


def test_twenty_bad_frames_in_a_minute_close_the_stream(workspace: Workspace, ben: Member) -> None:
    stream = ben.listens()
    for _ in range(19):
        stream.sends("{")
    assert not stream.closed
    workspace.clock.now += 61
    for _ in range(19):
        stream.sends('{"type":"sing"}')
    assert not stream.closed
    stream.sends("{")
    assert stream.closed


def test_over_100_frames_a_minute_is_said_and_then_closes_the_stream(new_room: NewRoom) -> None:
    workspace = Workspace(room=new_room(Settings(limits=True)))
    stream = workspace.ana.listens()
    for number in range(100):
        assert stream.sends({"id": number + 1, "type": "ping"})[0]["type"] == "pong"
    (answer,) = stream.sends({"id": 101, "type": "ping"})
    assert (answer["ok"], answer["error"]["code"]) == (False, "ratelimited")
    stream.sends({"id": 102, "type": "ping"})
    assert stream.closed


def test_a_frame_after_logout_is_refused_and_closes_the_stream(workspace: Workspace, ben: Member) -> None:
    stream = ben.listens()
    ben.does("auth.revoke")
    workspace.push.closed.clear()  # as if the close had been lost
    (answer,) = stream.sends({"id": 1, "type": "message", "channel": workspace.general, "text": "still here"})
    assert (answer["reply_to"], answer["error"]["code"]) == (1, "invalid_auth")
    assert stream.closed
    assert workspace.ana.texts(workspace.general) == []


def test_a_frame_after_removal_is_refused(ana: Member, ben: Member) -> None:
    channel = ana.channel("hidden", ben, private=True)
    stream = ben.listens()
    ana.does("conversations.kick", channel=channel, user=ben.id)
    stream.hears()
    (answer,) = stream.sends({"id": 1, "type": "message", "channel": channel, "text": "x"})
    assert answer["error"]["code"] == "channel_not_found"


def test_resume_says_reload_where_it_cannot_be_whole(ana: Member, ben: Member) -> None:
    channel = ana.channel("hidden", ben, private=True)
    epoch = ben.does("rtm.connect")["epoch"]
    stream = ben.listens()

    def resume(epoch: str, **streams: int) -> dict[str, Any]:
        frames = stream.sends({"id": 1, "type": "resume", "epoch": epoch, "streams": streams})
        return dict(frames[-1])

    assert resume("other", **{channel: 1})["reload"] is True
    assert resume(epoch, **{channel: 999})["reload"] is True
    assert resume(epoch, **{channel: -5})["reload"] is True
    assert "reload" not in resume(epoch, **{channel: 1})
    ana.does("conversations.kick", channel=channel, user=ben.id)
    gone = resume(epoch, **{channel: 1, ana.workspace.general: 1})
    assert channel not in gone["streams"]
    assert ana.workspace.general in gone["streams"]
    assert gone["reload"] is True


# -- the store ---------------------------------------------------------------------------------------------------------


def test_a_store_that_throttles_is_429_and_one_that_is_down_is_said(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    from roost.storage.table import StoreUnavailable, Throttled

    event = api_event("chat.postMessage", {"channel": workspace.general, "text": "x"}, token=workspace.ana.token)

    def failing(error: Exception) -> Callable[..., Any]:
        def raising(*_: object) -> None:
            raise error

        return raising

    with monkeypatch.context() as patch:
        patch.setattr(workspace.room.table, "transact", failing(Throttled("slow down")))
        status, headers, body = workspace.asks(event)
        assert (status, body) == (429, {"ok": False, "error": "ratelimited"})
        assert int(headers["Retry-After"]) >= 1
        patch.setattr(workspace.room.table, "transact", failing(StoreUnavailable("down")))
        status, _, body = workspace.asks(event)
        assert (status, body["error"], bool(body["request_id"])) == (200, "fatal_error", True)
        patch.setattr(workspace.room.table, "transact", failing(RuntimeError("a fault of ours, with text: secret")))
        status, _, body = workspace.asks(event)
        assert (status, body["error"], bool(body["request_id"])) == (200, "fatal_error", True)
        assert "secret" not in json.dumps(body)
    assert workspace.ana.texts(workspace.general) == []
    assert workspace.asks(event)[2]["ok"] is True
