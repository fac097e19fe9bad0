"""`conversations` and `users.conversations`, as Slack's reference has them."""

from __future__ import annotations

import pytest

from tests.slack.workspace import Member, Workspace

EVERY = "public_channel,private_channel,mpim,im"


@pytest.fixture
def cleo(workspace: Workspace) -> Member:
    return workspace.member("cleo")


# -- making ------------------------------------------------------------------------------------------------------------


def test_who_makes_a_channel_is_its_only_member(ana: Member, ben: Member) -> None:
    made = ana.does("conversations.create", name="plans")["channel"]
    assert made["id"][0] == "C"
    assert (made["name"], made["name_normalized"], made["creator"]) == ("plans", "plans", ana.id)
    flags = ("is_channel", "is_group", "is_im", "is_mpim", "is_private", "is_archived", "is_general", "is_member")
    assert [made[flag] for flag in flags] == [True, False, False, False, False, False, False, True]
    assert made["topic"] == made["purpose"] == {"value": "", "creator": "", "last_set": 0}
    assert ana.does("conversations.members", channel=made["id"])["members"] == [ana.id]
    assert ben.does("conversations.info", channel=made["id"])["channel"]["is_member"] is False


def test_general_is_there_and_everybody_is_in_it(workspace: Workspace, ana: Member, ben: Member) -> None:
    info = ben.does("conversations.info", channel=workspace.general, include_num_members=True)["channel"]
    assert (info["name"], info["is_general"], info["num_members"]) == ("general", True, 2)
    assert ben.is_refused("conversations.leave", channel=workspace.general) == "cant_leave_general"
    assert ana.is_refused("conversations.archive", channel=workspace.general) == "cant_archive_general"
    assert ana.is_refused("conversations.kick", channel=workspace.general, user=ben.id) == "cant_kick_from_general"


# -- lists -------------------------------------------------------------------------------------------------------------


def test_lists_hold_the_kinds_that_were_asked_for(ana: Member, ben: Member, cleo: Member) -> None:
    ana.channel("open")
    ana.channel("hidden", private=True)
    ana.direct(ben)
    ana.direct(ben, cleo)

    def kinds(who: Member, types: str | None) -> list[tuple[bool, bool, bool]]:
        found = who.does("conversations.list", types=types)["channels"]
        return sorted((each["is_private"], each["is_im"], each["is_mpim"]) for each in found)

    public, private, direct, group = (False,) * 3, (True, False, False), (True, True, False), (True, False, True)
    assert kinds(ana, None) == [public, public]
    assert kinds(ana, "private_channel") == [private]
    assert kinds(ana, EVERY) == sorted([public, public, private, direct, group])
    assert kinds(cleo, EVERY) == sorted([public, public, group])


def test_archived_ones_can_be_left_out(ana: Member) -> None:
    channel = ana.channel("old")
    ana.does("conversations.archive", channel=channel)
    assert channel in [each["id"] for each in ana.does("conversations.list")["channels"]]
    assert channel not in [each["id"] for each in ana.does("conversations.list", exclude_archived=True)["channels"]]


@pytest.mark.parametrize("limit", [1, 2, 3, 1000])
def test_pages_of_any_size_hold_every_channel_once(ana: Member, limit: int) -> None:
    made = {ana.channel(f"room-{number}") for number in range(7)} | {ana.workspace.general}
    found: list[str] = []
    cursor = ""
    while True:
        answer = ana.does("conversations.list", limit=limit, cursor=cursor)
        assert len(answer["channels"]) <= limit
        found += [each["id"] for each in answer["channels"]]
        cursor = answer["response_metadata"]["next_cursor"]
        if not cursor:
            break
    assert (len(found), set(found)) == (len(made), made)


def test_members_are_read_page_by_page(workspace: Workspace, ana: Member) -> None:
    everybody = {ana.id} | {workspace.member(f"m{number}").id for number in range(5)}
    first = ana.does("conversations.members", channel=workspace.general, limit=4)
    rest = ana.does(
        "conversations.members", channel=workspace.general, cursor=first["response_metadata"]["next_cursor"]
    )
    assert len(first["members"]) == 4
    assert {*first["members"], *rest["members"]} == everybody
    assert rest["response_metadata"]["next_cursor"] == ""


def test_what_others_belong_to_is_shown_as_far_as_one_may_know(ana: Member, ben: Member, cleo: Member) -> None:
    shared, secret = ana.channel("shared", ben, cleo, private=True), ana.channel("secret", ben, private=True)
    mine = [each["id"] for each in ben.does("users.conversations", types=EVERY)["channels"]]
    assert {shared, secret} <= set(mine)
    theirs = [each["id"] for each in cleo.does("users.conversations", user=ben.id, types=EVERY)["channels"]]
    assert shared in theirs
    assert secret not in theirs


# -- coming and going --------------------------------------------------------------------------------------------------


def test_joining_twice_is_only_a_warning(ana: Member, ben: Member) -> None:
    channel = ana.channel("plans")
    assert "warning" not in ben.does("conversations.join", channel=channel)
    again = ben.does("conversations.join", channel=channel)
    assert (again["warning"], again["response_metadata"]) == (
        "already_in_channel",
        {"warnings": ["already_in_channel"]},
    )


def test_leaving_what_one_is_not_in_says_so(ana: Member, ben: Member) -> None:
    channel = ana.channel("plans")
    answer = ben.calls("conversations.leave", channel=channel)
    assert (answer["ok"], answer["not_in_channel"]) == (False, True)
    hidden = ana.channel("hidden", private=True)
    assert ana.is_refused("conversations.leave", channel=hidden) == "last_member"


def test_an_invitation_of_several_names_each_that_failed(ana: Member, ben: Member, cleo: Member) -> None:
    channel = ana.channel("plans", ben)
    answer = ana.calls("conversations.invite", channel=channel, users=[ben.id, cleo.id, "U0"])
    assert answer["ok"] is False
    assert answer["errors"] == [
        {"user": ben.id, "ok": False, "error": "already_in_channel"},
        {"user": "U0", "ok": False, "error": "user_not_found"},
    ]
    forced = ana.workspace.member("dora")
    answer = ana.does("conversations.invite", channel=channel, users=[forced.id, "U0"], force=True)
    assert [each["user"] for each in answer["errors"]] == ["U0"]


def test_who_was_removed_is_outside(ana: Member, ben: Member) -> None:
    channel = ana.channel("plans", ben)
    assert ben.is_refused("conversations.kick", channel=channel, user=ben.id) == "cant_kick_self"
    ana.does("conversations.kick", channel=channel, user=ben.id)
    assert ana.is_refused("conversations.kick", channel=channel, user=ben.id) == "not_in_channel"
    assert ben.is_refused("chat.postMessage", channel=channel, text="x") == "not_in_channel"


# -- describing --------------------------------------------------------------------------------------------------------


def test_topic_purpose_and_name_are_noted_in_the_channel(ana: Member) -> None:
    channel = ana.channel("plans")
    ana.does("conversations.setTopic", channel=channel, topic="A & B")
    ana.does("conversations.setPurpose", channel=channel, purpose="To plan")
    renamed = ana.does("conversations.rename", channel=channel, name="schemes")["channel"]
    assert (renamed["name"], renamed["previous_names"]) == ("schemes", ["plans"])
    assert renamed["topic"] == {"value": "A & B", "creator": ana.id, "last_set": ana.workspace.chat.core.now}
    notes = {each["subtype"]: each for each in ana.reads(channel)}
    assert notes["channel_topic"]["topic"] == "A & B"
    assert notes["channel_purpose"]["purpose"] == "To plan"
    assert (notes["channel_name"]["old_name"], notes["channel_name"]["name"]) == ("plans", "schemes")


def test_a_name_is_free_again_once_it_is_left(ana: Member, ben: Member) -> None:
    channel = ana.channel("plans", ben)
    assert ben.is_refused("conversations.rename", channel=channel, name="mine") == "not_authorized"
    ana.does("conversations.rename", channel=channel, name="schemes")
    ben.channel("plans")
    assert ana.is_refused("conversations.rename", channel=channel, name="plans") == "name_taken"


def test_an_archived_channel_is_read_only(ana: Member, ben: Member) -> None:
    channel = ana.channel("plans", ben)
    ts = ana.posts(channel, "before")
    ana.does("conversations.archive", channel=channel)
    assert ana.is_refused("conversations.archive", channel=channel) == "already_archived"
    for method, more in (
        ("chat.postMessage", {"text": "x"}),
        ("chat.update", {"ts": ts, "text": "x"}),
        ("reactions.add", {"timestamp": ts, "name": "tada"}),
        ("pins.add", {"timestamp": ts}),
        ("conversations.setTopic", {"topic": "x"}),
        ("conversations.join", {}),
    ):
        assert ana.is_refused(method, channel=channel, **more) == "is_archived", method
    assert ben.texts(channel) == ["before"]
    ana.does("conversations.unarchive", channel=channel)
    assert ana.is_refused("conversations.unarchive", channel=channel) == "not_archived"
    ana.posts(channel, "after")


# -- direct conversations ----------------------------------------------------------------------------------------------


def test_a_direct_conversation_is_one_whoever_opens_it(ana: Member, ben: Member) -> None:
    first = ana.does("conversations.open", users=ben.id)
    assert set(first) == {"ok", "channel"}
    assert set(first["channel"]) == {"id"}
    again = ben.does("conversations.open", users=ana.id, return_im=True)
    assert (again["no_op"], again["already_open"]) == (True, True)
    assert (again["channel"]["id"], again["channel"]["user"]) == (first["channel"]["id"], ana.id)
    assert "name" not in again["channel"]
    assert ana.does("conversations.open", channel=first["channel"]["id"])["no_op"] is True


def test_a_group_conversation_is_one_of_the_same_people(ana: Member, ben: Member, cleo: Member) -> None:
    made = ana.direct(ben, cleo)
    assert cleo.direct(ana, ben) == made
    assert ana.direct(ben) != made
    info = ana.does("conversations.info", channel=made)["channel"]
    assert (info["is_mpim"], info["is_private"], info["is_im"]) == (True, True, False)
    nine = [ana.workspace.member(f"m{number}").id for number in range(9)]
    assert ana.is_refused("conversations.open", users=nine) == "too_many_users"


def test_nothing_is_made_where_it_is_not_wanted(ana: Member, ben: Member) -> None:
    assert ana.is_refused("conversations.open", users=ben.id, prevent_creation=True) == "channel_not_found"
    made = ana.direct(ben)
    assert ana.does("conversations.open", users=ben.id, prevent_creation=True)["channel"]["id"] == made


def test_a_direct_conversation_is_closed_for_oneself(ana: Member, ben: Member) -> None:
    direct = ana.direct(ben)
    assert "no_op" not in ana.does("conversations.close", channel=direct)
    again = ana.does("conversations.close", channel=direct)
    assert (again["no_op"], again["already_closed"]) == (True, True)
    assert ana.does("conversations.info", channel=direct)["channel"]["is_open"] is False
    assert ben.does("conversations.info", channel=direct)["channel"]["is_open"] is True
    channel = ana.channel("plans")
    assert ana.is_refused("conversations.close", channel=channel) == "method_not_supported_for_channel_type"
    for method in ("conversations.join", "conversations.leave", "conversations.archive", "conversations.unarchive"):
        assert ana.is_refused(method, channel=direct) == "method_not_supported_for_channel_type"


# -- reading -----------------------------------------------------------------------------------------------------------


def test_unread_counts_are_of_what_others_said_since(ana: Member, ben: Member) -> None:
    channel = ana.channel("plans", ben)

    def unread(who: Member) -> int:
        return int(who.does("conversations.info", channel=channel)["channel"]["unread_count"])

    last = ana.posts(channel)
    ben.does("conversations.mark", channel=channel, ts=last)
    assert unread(ben) == 0
    gone, kept = ana.posts(channel), ana.posts(channel)
    ben.posts(channel, "mine")
    ana.posts(channel, "in a thread", thread_ts=last)
    assert unread(ben) == 2
    ana.does("chat.delete", channel=channel, ts=gone)
    assert unread(ben) == 1
    ben.does("conversations.mark", channel=channel, ts=kept)
    assert unread(ben) == 0


def test_history_between_two_ts(ana: Member) -> None:
    channel = ana.channel("plans")
    said = [ana.posts(channel, f"{number}") for number in range(5)]

    def between(**part: object) -> list[str]:
        return [each["ts"] for each in reversed(ana.reads(channel, **part))]

    assert between(oldest=said[1], latest=said[3]) == [said[2]]
    assert between(oldest=said[1], latest=said[3], inclusive=True) == said[1:4]
    assert between(oldest=said[2]) == said[3:]
    page = ana.does("conversations.history", channel=channel, oldest=said[0], limit=2)
    assert ([each["ts"] for each in page["messages"]], page["has_more"]) == ([said[4], said[3]], True)


def test_a_thread_by_its_root_or_any_reply(ana: Member, ben: Member) -> None:
    channel = ana.channel("plans", ben)
    root = ana.posts(channel, "root")
    replies = [ben.posts(channel, f"{number}", thread_ts=root) for number in range(3)]
    for ts in (root, replies[1]):
        thread = ana.does("conversations.replies", channel=channel, ts=ts)["messages"]
        assert [each["ts"] for each in thread] == [root, *replies]
    assert {each["parent_user_id"] for each in thread[1:]} == {ana.id}
    alone = ana.posts(channel, "alone")
    assert [each["ts"] for each in ana.does("conversations.replies", channel=channel, ts=alone)["messages"]] == [alone]
