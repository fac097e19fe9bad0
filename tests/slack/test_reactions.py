"""`reactions` and `pins`, as Slack's reference has them."""

from __future__ import annotations

import pytest

from tests.slack.workspace import Json, Member, Workspace


@pytest.fixture
def channel(ana: Member, ben: Member) -> str:
    return ana.channel("plans", ben)


def reactions(who: Member, channel: str) -> dict[str, Json]:
    """The reactions to the newest message, as history has them."""
    return {each["name"]: each for each in who.reads(channel)[0].get("reactions", [])}


def test_a_reaction_is_counted_and_named(ana: Member, ben: Member, channel: str) -> None:
    ts = ana.posts(channel)
    ana.does("reactions.add", channel=channel, timestamp=ts, name="tada")
    ben.does("reactions.add", channel=channel, timestamp=ts, name=":tada:")
    ben.does("reactions.add", channel=channel, timestamp=ts, name="thumbsup::skin-tone-3")
    assert reactions(ana, channel) == {
        "tada": {"name": "tada", "count": 2, "users": [ana.id, ben.id]},
        "thumbsup::skin-tone-3": {"name": "thumbsup::skin-tone-3", "count": 1, "users": [ben.id]},
    }
    ana.does("reactions.remove", channel=channel, timestamp=ts, name="tada")
    ben.does("reactions.remove", channel=channel, timestamp=ts, name="tada")
    assert set(reactions(ana, channel)) == {"thumbsup::skin-tone-3"}
    assert ana.is_refused("reactions.remove", channel=channel, timestamp=ts, name="tada") == "no_reaction"


def test_one_is_always_named_among_many_who_reacted(workspace: Workspace, ana: Member, channel: str) -> None:
    ts = ana.posts(channel)
    people = [workspace.member(f"m{number}") for number in range(30)]
    for person in people:
        person.does("conversations.join", channel=channel)
    ts = ana.posts(channel)
    for person in people:
        person.does("reactions.add", channel=channel, timestamp=ts, name="tada")
    last = people[-1]
    message = next(each for each in last.reads(channel) if each["ts"] == ts)
    assert message["reactions"][0]["count"] == 30
    assert last.id in message["reactions"][0]["users"]
    assert last.id not in next(each for each in ana.reads(channel) if each["ts"] == ts)["reactions"][0]["users"]
    everybody = ana.does("reactions.get", channel=channel, timestamp=ts)["message"]["reactions"][0]
    assert (everybody["count"], set(everybody["users"])) == (30, {person.id for person in people})


def test_a_reply_is_reacted_to_and_pinned_as_well(ana: Member, ben: Member, channel: str) -> None:
    root = ana.posts(channel)
    reply = ben.posts(channel, "reply", thread_ts=root)
    ana.does("reactions.add", channel=channel, timestamp=reply, name="eyes")
    ana.does("pins.add", channel=channel, timestamp=reply)
    shown = ana.does("conversations.replies", channel=channel, ts=root)["messages"][1]
    assert (shown["reactions"][0]["name"], shown["pinned_to"]) == ("eyes", [channel])


def test_pins_are_listed_newest_first(workspace: Workspace, ana: Member, ben: Member, channel: str) -> None:
    first, second = ana.posts(channel, "1"), ben.posts(channel, "2")
    for ts in (second, first):
        workspace.clock.now += 1
        ben.does("pins.add", channel=channel, timestamp=ts)
    items = ana.does("pins.list", channel=channel)["items"]
    assert [each["message"]["ts"] for each in items] == [first, second]
    assert {each["created_by"] for each in items} == {ben.id}
    assert ana.is_refused("pins.add", channel=channel, timestamp=first) == "already_pinned"
    ana.does("pins.remove", channel=channel, timestamp=first)
    assert ana.is_refused("pins.remove", channel=channel, timestamp=first) == "no_pin"
    ana.does("chat.delete", channel=channel, ts=second)
    assert ana.does("pins.list", channel=channel)["items"] == []
