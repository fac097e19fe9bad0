"""Threads that somebody follows, and where they were named."""

from __future__ import annotations

from typing import Any

from roost.storage import follows, members
from roost.storage.items import MembershipRow
from tests.slack.workspace import Member, Workspace


def reply(member: Member, channel: str, root: str, text: str = "reply") -> str:
    member.workspace.clock.now += 1
    return member.posts(channel, text, thread_ts=root)


def view(member: Member, **arguments: Any) -> list[tuple[str, list[str]]]:
    """The threads in somebody's inbox: the root's text, and the new replies."""
    threads = member.does("subscriptions.thread.getView", **arguments)["threads"]
    return [(each["root_msg"]["text"], [new["text"] for new in each["unread_replies"]]) for each in threads]


def test_who_began_a_thread_and_who_answers_follow_it(workspace: Workspace, ana: Member, ben: Member) -> None:
    general, mine, others = workspace.general, ana.listens(), ben.listens()
    root = ana.posts(general, "root")
    assert ana.does("subscriptions.thread.get", channel=general, thread_ts=root)["subscribed"] is False
    first = reply(ben, general, root, "first")
    (told,) = mine.hears("thread_subscribed")
    assert (told["subscription"]["thread_ts"], told["subscription"]["active"]) == (root, True)
    assert others.hears("thread_subscribed")[0]["subscription"]["last_read"] == first
    assert view(ana) == [("root", ["first"])]
    assert view(ben) == [("root", [])]
    reply(ana, general, root, "second")
    assert view(ana) == [("root", [])]
    assert view(ben) == [("root", ["second"])]
    cy = workspace.member("cy")
    assert view(cy) == []


def test_a_mark_is_shared_and_never_goes_back(workspace: Workspace, ana: Member, ben: Member) -> None:
    general = workspace.general
    root = ana.posts(general, "root")
    first, second = reply(ben, general, root, "first"), reply(ben, general, root, "second")
    stream = ana.listens()
    place = {"channel": general, "thread_ts": root}
    ana.does("subscriptions.thread.mark", ts=first, **place)
    assert stream.hears("thread_marked")[0]["subscription"]["last_read"] == first
    assert view(ana) == [("root", ["second"])]
    ana.does("subscriptions.thread.mark", ts="9999999999.000000", **place)
    assert ana.does("subscriptions.thread.mark", ts=first, **place)["subscription"]["last_read"] == second
    assert view(ana) == [("root", [])]
    assert ana.does("client.counts")["threads"]["has_unreads"] is False
    reply(ben, general, root)
    assert ana.does("client.counts")["threads"] == {"has_unreads": True, "unread_count": 1, "mention_count": 0}
    ana.does("subscriptions.thread.clearAll")
    assert ana.does("client.counts")["threads"]["has_unreads"] is False


def test_a_thread_is_followed_and_left_by_hand(workspace: Workspace, ana: Member, ben: Member) -> None:
    general, cy = workspace.general, workspace.member("cy")
    root = ana.posts(general, "root")
    reply(ben, general, root)
    place = {"channel": general, "thread_ts": root}
    cy.does("subscriptions.thread.add", **place)
    assert view(cy) == [("root", [])]
    reply(ben, general, root, "new")
    assert view(cy) == [("root", ["new"])]
    cy.does("subscriptions.thread.remove", **place)
    assert view(cy) == []
    assert cy.does("subscriptions.thread.get", **place)["subscribed"] is False
    ana.does("subscriptions.thread.remove", **place)
    reply(ben, general, root, "more")
    assert view(ana) == []


def test_the_inbox_goes_from_the_latest_answer_down_in_pages(workspace: Workspace, ana: Member, ben: Member) -> None:
    roots = [ana.posts(workspace.general, str(number)) for number in range(3)]
    for root in (roots[1], roots[0], roots[2]):
        reply(ben, workspace.general, root)
    first = ana.does("subscriptions.thread.getView", limit=2)
    assert [each["root_msg"]["text"] for each in first["threads"]] == ["2", "0"]
    assert (first["has_more"], first["new_threads_count"], first["total_unread_replies"]) == (True, 3, 2)
    assert [root for root, _ in view(ana, limit=2, current_ts=first["max_ts"])] == ["1"]


def test_threads_of_a_conversation_that_one_has_left_are_gone(workspace: Workspace, ana: Member, ben: Member) -> None:
    plans = ana.channel("plans", ben, private=True)
    root = ana.posts(plans, "secret")
    reply(ben, plans, root)
    ben.does("subscriptions.thread.mark", channel=plans, thread_ts=root, ts=root)
    ana.does("conversations.kick", channel=plans, user=ben.id)
    assert view(ben) == []
    assert ben.is_refused("subscriptions.thread.get", channel=plans, thread_ts=root) == "channel_not_found"
    assert ben.is_refused("subscriptions.thread.add", channel=plans, thread_ts=root) == "channel_not_found"


def test_what_is_no_thread(workspace: Workspace, ana: Member) -> None:
    root = ana.posts(workspace.general)
    answer = reply(ana, workspace.general, root)
    for wrong, code in ((answer, "thread_not_found"), ("1.000001", "thread_not_found"), ("x", "bad_timestamp")):
        assert ana.is_refused("subscriptions.thread.add", channel=workspace.general, thread_ts=wrong) == code


# -- mentions ---------------------------------------------------------------------------------------------------------


def named(member: Member, **arguments: Any) -> list[str]:
    return [each["message"]["text"] for each in member.does("activity.mentions", **arguments)["mentions"]]


def test_who_is_named_finds_it_and_nobody_else(workspace: Workspace, ana: Member, ben: Member) -> None:
    general, outside = workspace.general, workspace.member("cy", role="restricted")
    ana.posts(general, f"for <@{ben.id}>, <@{ben.id}|ben> and <@{outside.id}>")
    ana.posts(general, "for <!channel> and <!here>")
    root = ana.posts(general, f"I am <@{ana.id}>")
    workspace.clock.now += 1
    blocks = [{"type": "section", "text": {"type": "mrkdwn", "text": f"<@{ben.id}>"}}]
    ana.posts(general, "blocks", blocks=blocks, thread_ts=root)
    assert named(ben) == ["blocks", f"for <@{ben.id}>, <@{ben.id}|ben> and <@{outside.id}>"]
    assert (named(ana), named(outside)) == ([], [])


def test_a_mention_goes_with_its_message_and_with_the_right_to_read_it(
    workspace: Workspace, ana: Member, ben: Member
) -> None:
    plans = ana.channel("plans", ben, private=True)
    ana.posts(plans, f"secret <@{ben.id}>")
    gone = ana.posts(workspace.general, f"gone <@{ben.id}>")
    ana.does("chat.delete", channel=workspace.general, ts=gone)
    assert len(named(ben)) == 1
    ana.does("conversations.kick", channel=plans, user=ben.id)
    assert named(ben) == []


def test_mentions_are_paged(workspace: Workspace, ana: Member, ben: Member) -> None:
    for number in range(5):
        ana.posts(workspace.general, f"{number} <@{ben.id}>")
    first = ben.does("activity.mentions", limit=3)
    cursor = first["response_metadata"]["next_cursor"]
    assert [each[0] for each in named(ben, limit=3)] == ["4", "3", "2"]
    assert [each[0] for each in named(ben, limit=3, cursor=cursor)] == ["1", "0"]
    assert ana.is_refused("activity.mentions", cursor=cursor) == "invalid_cursor"


def test_the_first_hundred_are_notified(workspace: Workspace, ana: Member) -> None:
    table, people = workspace.room.table, [f"U{number}" for number in range(102)]
    for user in people:
        table.put(members.joining(workspace.general, MembershipRow(user=user, since=0)).item)
    ana.posts(workspace.general, " ".join(f"<@{user}>" for user in people))
    reached = [bool(follows.mentions(table, user, "", 1)[0]) for user in people]
    assert reached == [True] * 100 + [False] * 2
