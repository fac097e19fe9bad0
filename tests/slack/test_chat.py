"""`chat`: posting, editing, deleting, as Slack's reference has them."""

from __future__ import annotations

import pytest

from tests.slack.workspace import Member, Workspace

SECTION = {"type": "section", "block_id": "b1", "text": {"type": "mrkdwn", "text": "*Hi*"}}


@pytest.fixture
def channel(ana: Member, ben: Member) -> str:
    return ana.channel("plans", ben)


# -- posting -----------------------------------------------------------------------------------------------------------


def test_a_message_has_the_fields_that_every_message_has(ana: Member, channel: str) -> None:
    answer = ana.does("chat.postMessage", channel=channel, text="Hello &amp; <https://example.com|there>")
    message = {"type": "message", "user": ana.id, "team": ana.workspace.team, "ts": answer["ts"]}
    message["text"] = "Hello &amp; <https://example.com|there>"
    assert answer == {"ok": True, "channel": channel, "ts": answer["ts"], "message": message}
    assert ana.reads(channel)[0] == message


def test_a_channel_may_be_named_and_a_person_stand_for_their_conversation(ana: Member, ben: Member) -> None:
    channel = ana.channel("plans")
    for name in ("#plans", "plans", channel):
        assert ana.does("chat.postMessage", channel=name, text="x")["channel"] == channel
    direct = ana.does("chat.postMessage", channel=ben.id, text="psst")["channel"]
    assert direct == ana.direct(ben)
    assert ana.is_refused("chat.postMessage", channel="U0NOBODY", text="x") == "user_not_found"


def test_the_ts_of_a_channel_rise_whatever_the_clock_does(workspace: Workspace, ana: Member, channel: str) -> None:
    said = []
    for step in (0, 0, -600, 600, -1, 0):
        workspace.clock.now += step
        said.append(ana.posts(channel))
    assert said == sorted(set(said))


@pytest.mark.parametrize("how", ["form", "json", "multipart", "query"])
def test_blocks_attachments_and_metadata_come_back_as_they_were_sent(ana: Member, channel: str, how: str) -> None:
    metadata = {"event_type": "task", "event_payload": {"id": 7, "share": 0.5}}
    sent = {"blocks": [SECTION], "attachments": [{"text": "more", "color": "#fff"}], "metadata": metadata}
    answer = ana.does("chat.postMessage", how=how, channel=channel, text="Hi", **sent)
    shown = ana.reads(channel, include_all_metadata=True)[0]
    for message in (answer["message"], shown):
        assert (message["blocks"], message["metadata"]) == ([SECTION], metadata)
        assert message["attachments"] == [{"text": "more", "color": "#fff", "id": 1}]
    assert "metadata" not in ana.reads(channel)[0]


def test_blocks_without_an_id_are_given_one(ana: Member, channel: str) -> None:
    blocks = ana.does("chat.postMessage", how="json", channel=channel, blocks=[{"type": "divider"}] * 2)["message"][
        "blocks"
    ]
    ids = [each["block_id"] for each in blocks]
    assert all(ids)
    assert len(set(ids)) == 2


def test_bad_blocks_are_pointed_at(ana: Member, channel: str) -> None:
    answer = ana.calls("chat.postMessage", how="json", channel=channel, blocks=[SECTION, {"type": "singing"}])
    assert answer["error"] == "invalid_blocks"
    assert "[json-pointer:/blocks/1/type]" in answer["response_metadata"]["messages"][0]


def test_an_apps_message_says_which_app_it_is(workspace: Workspace, channel: str) -> None:
    robot = workspace.bot("robot")
    robot.does("conversations.join", channel=channel)
    message = robot.does(
        "chat.postMessage", channel=channel, text="beep", username="Robbie", icon_emoji=":robot_face:"
    )["message"]
    assert (message["user"], message["bot_id"], message["app_id"]) == (robot.id, "BROBOT", "AROBOT")
    assert (message["username"], message["icons"]) == ("Robbie", {"emoji": ":robot_face:"})
    assert message["bot_profile"]["id"] == "BROBOT"
    assert "subtype" not in message


def test_people_do_not_post_under_other_names(ana: Member, channel: str) -> None:
    message = ana.does("chat.postMessage", channel=channel, text="x", username="The Boss")["message"]
    assert "username" not in message


def test_me_messages_have_their_subtype(ana: Member, channel: str) -> None:
    answer = ana.does("chat.meMessage", channel=channel, text="waves")
    assert set(answer) == {"ok", "channel", "ts"}
    assert (ana.reads(channel)[0]["subtype"], ana.reads(channel)[0]["text"]) == ("me_message", "waves")


def test_an_ephemeral_message_is_seen_by_one_and_stored_nowhere(
    workspace: Workspace, ana: Member, ben: Member, channel: str
) -> None:
    theirs, other = ben.listens(), ana.listens()
    head = workspace.chat.core.log.head(channel)
    answer = ana.does("chat.postEphemeral", channel=channel, user=ben.id, text="only you")
    (frame,) = theirs.hears()
    assert (frame["text"], frame["is_ephemeral"], frame["ts"]) == ("only you", True, answer["message_ts"])
    assert other.hears() == []
    assert workspace.chat.core.log.head(channel) == head
    cleo = workspace.member("cleo")
    assert ana.is_refused("chat.postEphemeral", channel=channel, user=cleo.id, text="x") == "user_not_in_channel"


# -- threads -----------------------------------------------------------------------------------------------------------


def test_a_root_counts_its_replies(ana: Member, ben: Member, channel: str) -> None:
    root = ana.posts(channel, "root")
    assert "thread_ts" not in ana.reads(channel)[0]
    first, second = ben.posts(channel, "1", thread_ts=root), ana.posts(channel, "2", thread_ts=root)
    shown = ana.reads(channel)[0]
    assert (shown["thread_ts"], shown["reply_count"], shown["latest_reply"]) == (root, 2, second)
    assert (shown["reply_users"], shown["reply_users_count"]) == ([ben.id, ana.id], 2)
    ana.does("chat.delete", channel=channel, ts=second)
    shown = ana.reads(channel)[0]
    assert (shown["reply_count"], shown["latest_reply"]) == (1, first)
    ben.does("chat.delete", channel=channel, ts=first)
    assert "reply_count" not in ana.reads(channel)[0]


def test_a_deleted_root_leaves_a_trace_as_long_as_it_has_replies(ana: Member, ben: Member, channel: str) -> None:
    root = ana.posts(channel, "secret")
    reply = ben.posts(channel, "reply", thread_ts=root)
    ana.does("chat.delete", channel=channel, ts=root)
    shown = ana.reads(channel)[0]
    assert (shown["ts"], shown["subtype"], shown["user"]) == (root, "tombstone", "USLACKBOT")
    assert "secret" not in str(ana.reads(channel))
    ben.does("chat.delete", channel=channel, ts=reply)
    assert root not in [each["ts"] for each in ana.reads(channel)]


# -- changing ----------------------------------------------------------------------------------------------------------


def test_an_edit_is_marked(ana: Member, ben: Member, channel: str) -> None:
    ts = ana.posts(channel, "one", blocks=[SECTION])
    answer = ana.does("chat.update", channel=channel, ts=ts, text="two")
    assert (answer["channel"], answer["ts"], answer["text"]) == (channel, ts, "two")
    shown = ben.reads(channel)[0]
    assert (shown["ts"], shown["text"], shown["edited"]["user"]) == (ts, "two", ana.id)
    assert "blocks" not in shown
    ana.does("chat.update", how="json", channel=channel, ts=ts, blocks=[SECTION])
    shown = ben.reads(channel)[0]
    assert (shown["text"], shown["blocks"]) == ("two", [SECTION])


def test_what_the_chat_notes_itself_cannot_be_edited(ana: Member, channel: str) -> None:
    note = ana.reads(channel)[0]
    assert note["subtype"] == "channel_join"
    assert ana.is_refused("chat.update", channel=channel, ts=note["ts"], text="x") == "cant_update_message"


def test_admins_delete_what_others_said_and_nobody_edits_it(ana: Member, ben: Member, channel: str) -> None:
    ts = ben.posts(channel)
    assert ana.is_refused("chat.update", channel=channel, ts=ts, text="x") == "cant_update_message"
    assert ana.does("chat.delete", channel=channel, ts=ts) == {"ok": True, "channel": channel, "ts": ts}
    assert ben.texts(channel) == []


def test_a_permalink_names_the_thread_of_a_reply(ana: Member, channel: str) -> None:
    root = ana.posts(channel)
    reply = ana.posts(channel, "reply", thread_ts=root)
    link = ana.does("chat.getPermalink", channel=channel, message_ts=root)["permalink"]
    assert link.endswith(f"/archives/{channel}/p{root.replace('.', '')}")
    link = ana.does("chat.getPermalink", channel=channel, message_ts=reply)["permalink"]
    assert link.endswith(f"/p{reply.replace('.', '')}?thread_ts={root}&cid={channel}")
