"""What a person's own clients ask: counts, how much they want to hear, and where they want to begin again."""

from __future__ import annotations

from typing import Any

import pytest

from tests.slack.workspace import Member, Workspace


def count(member: Member, channel: str) -> dict[str, Any]:
    """What `client.counts` says of a conversation."""
    answer = member.does("client.counts")
    lists = answer["channels"] + answer["mpims"] + answer["ims"]
    (found,) = [each for each in lists if each["id"] == channel]
    return dict(found)


def unread(member: Member, channel: str) -> tuple[int, int]:
    found = count(member, channel)
    return found["unread_count"], found["mention_count"]


def read_all(member: Member, channel: str) -> None:
    member.does("conversations.mark", channel=channel, ts=member.reads(channel)[0]["ts"])


def test_what_is_unread_and_what_of_it_names_one(workspace: Workspace, ana: Member, ben: Member) -> None:
    general = workspace.general
    ana.posts(general, "zero")
    read_all(ben, general)
    assert unread(ben, general) == (0, 0)
    for text in ("one", f"two <@{ben.id}>", "three <!channel>", "four <!here|here>", f"five <@{ana.id}>"):
        ana.posts(general, text)
    assert unread(ben, general) == (5, 3)
    assert count(ben, general)["has_unreads"] is True
    read_all(ben, general)
    assert unread(ben, general) == (0, 0)


def test_where_much_is_unread_mentions_are_counted_from_their_notes(
    workspace: Workspace, ana: Member, ben: Member
) -> None:
    general = workspace.general
    read_all(ben, general)
    for number in range(60):
        ana.posts(general, f"{number} <@{ben.id}>" if number % 20 == 0 else str(number))
    assert unread(ben, general) == (60, 3)


def test_all_that_is_unread_in_a_direct_conversation_counts(ana: Member, ben: Member) -> None:
    direct = ana.direct(ben)
    ana.posts(direct, "psst")
    ana.posts(direct, "hey")
    assert unread(ben, direct) == (2, 2)
    assert unread(ana, direct) == (0, 0)


def test_unread_from_here_is_a_mark_of_its_own(workspace: Workspace, ana: Member, ben: Member) -> None:
    general, stream = workspace.general, ben.listens()
    posted = [ana.posts(general, str(number)) for number in range(4)]
    read_all(ben, general)
    before = count(ben, general)["last_read"]
    stream.hears()
    ben.does("conversations.markUnread", channel=general, ts=posted[1])
    assert stream.hears("channel_unread_from")[0]["ts"] == posted[1]
    assert unread(ben, general) == (3, 0)
    found = count(ben, general)
    assert (found["last_read"], found["unread_from"]) == (before, posted[1])
    shown = ben.does("conversations.info", channel=general)["channel"]
    assert (shown["unread_from"], shown["unread_count"]) == (posted[1], 3)
    ben.does("conversations.mark", channel=general, ts=posted[0])
    assert unread(ben, general) == (3, 0)
    ben.does("conversations.mark", channel=general, ts=posted[3])
    assert unread(ben, general) == (0, 0)
    assert "unread_from" not in count(ben, general)
    assert stream.hears("channel_unread_from")[0]["ts"] == ""


def test_reading_on_clears_it_too(workspace: Workspace, ana: Member, ben: Member) -> None:
    general = workspace.general
    first = ana.posts(general, "1")
    read_all(ben, general)
    ben.does("conversations.markUnread", channel=general, ts=first)
    second = ana.posts(general, "2")
    assert unread(ben, general) == (2, 0)
    ben.does("conversations.mark", channel=general, ts=second)
    assert unread(ben, general) == (0, 0)


def test_marking_unread_that_is_refused(workspace: Workspace, ana: Member, ben: Member) -> None:
    general, plans = workspace.general, ana.channel("plans", private=True)
    method, root = "conversations.markUnread", ana.posts(general)
    workspace.clock.now += 1
    reply = ana.posts(general, thread_ts=root)
    assert ben.is_refused(method, channel=plans, ts=ana.posts(plans)) == "channel_not_found"
    assert ben.is_refused(method, channel=general, ts="1.000001") == "message_not_found"
    assert ben.is_refused(method, channel=general, ts=reply) == "message_not_found"
    assert ben.is_refused(method, channel=general, ts="x") == "bad_timestamp"
    assert ben.is_refused(method, channel=ana.channel("random"), ts=root) == "not_in_channel"


@pytest.mark.parametrize(
    ("name", "value", "muted", "level"),
    [
        ("muted", "true", True, "default"),
        ("muted", True, True, "default"),
        ("muted", "0", False, "default"),
        ("desktop", "nothing", False, "nothing"),
        ("desktop", "mentions_dms", False, "mentions"),
        ("desktop", "everything", False, "all"),
        ("desktop", "default", False, "default"),
    ],
)
def test_how_much_one_wants_to_hear(
    workspace: Workspace, ana: Member, ben: Member, name: str, value: str | bool, muted: bool, level: str
) -> None:
    mine, others = ben.listens(), ana.listens()
    ben.does("users.prefs.setNotifications", channel_id=workspace.general, name=name, value=value)
    wanted = {"is_muted": muted, "notification_level": level}
    assert wanted.items() <= count(ben, workspace.general).items()
    assert wanted.items() <= mine.hears("channel_notifications_changed")[0].items()
    assert count(ana, workspace.general)["is_muted"] is False
    assert others.hears() == []


@pytest.mark.parametrize(("name", "value"), [("muted", "perhaps"), ("desktop", "true"), ("mobile", "all")])
def test_what_cannot_be_wanted(workspace: Workspace, ana: Member, name: str, value: str) -> None:
    arguments = {"channel_id": workspace.general, "name": name, "value": value}
    assert ana.is_refused("users.prefs.setNotifications", **arguments) == "invalid_arguments"
