"""Event streams: presence, typing, what each event holds, goodbye, and what is told to whom."""

from __future__ import annotations

from typing import Any

import pytest

from roost.stream import MAX_TYPING, lifetime
from roost.testing import socket_event
from tests.slack.workspace import Json, Member, Stream, Workspace


@pytest.fixture
def workspace() -> Workspace:
    return Workspace()


@pytest.fixture
def ana(workspace: Workspace) -> Member:
    return workspace.ana


@pytest.fixture
def ben(workspace: Workspace) -> Member:
    return workspace.member("ben")


def presence(user: Member, how: str) -> Json:
    return {"type": "presence_change", "user": user.id, "presence": how}


def without_time(frames: list[Json]) -> list[Json]:
    return [{name: value for name, value in frame.items() if name != "event_ts"} for frame in frames]


# -- frames ------------------------------------------------------------------------------------------------------------


def test_a_ping_echoes_what_it_held(ana: Member) -> None:
    stream = ana.listens()
    assert stream.sends({"id": 7, "type": "ping", "time": 1, "foo": ["bar"]}) == [
        {"type": "pong", "reply_to": 7, "time": 1, "foo": ["bar"]}
    ]


def test_a_message_is_answered_and_reaches_everybody_once(workspace: Workspace, ana: Member, ben: Member) -> None:
    streams = [ana.listens(), ana.listens(), ben.listens()]
    frame = {"id": 1, "type": "message", "channel": workspace.general, "text": "hello"}
    frames = streams[0].sends(frame)
    (reply,) = [each for each in frames if "reply_to" in each]
    assert (reply["ok"], reply["reply_to"], reply["text"]) == (True, 1, "hello")
    heard = [[each for each in frames if each.get("type") == "message"], *(each.hears() for each in streams[1:])]
    assert [[each["ts"] for each in frames] for frames in heard] == [[reply["ts"]]] * 3
    assert heard[2][0]["seq"] == workspace.chat.core.log.head(workspace.general).seq


def test_the_same_client_msg_id_by_frame_is_one_message(workspace: Workspace, ana: Member) -> None:
    stream = ana.listens()
    mine = "6f1e7c9a-3d0b-4c57-9a70-2f6c4f7b8d11"
    frame = {"id": 1, "type": "message", "channel": workspace.general, "text": "hello", "client_msg_id": mine}
    first, again = stream.sends(frame), stream.sends(frame)
    assert [each["ts"] for each in first if "reply_to" in each] == [each["ts"] for each in again]
    assert ana.texts(workspace.general) == ["hello"]


# -- typing ------------------------------------------------------------------------------------------------------------


def test_typing_is_told_to_the_others_of_a_small_channel(ana: Member, ben: Member) -> None:
    channel = ana.channel("plans", ben)
    mine, theirs = ana.listens(), ben.listens()
    assert mine.sends({"id": 1, "type": "typing", "channel": channel}) == []
    assert theirs.hears() == [{"type": "user_typing", "channel": channel, "user": ana.id}]
    mine.sends({"id": 2, "type": "typing", "channel": channel, "thread_ts": "1.000000"})
    assert theirs.hears()[0]["thread_ts"] == "1.000000"


def test_typing_is_told_in_channels_of_up_to_twenty(workspace: Workspace, ana: Member) -> None:
    channel = ana.channel("plans")
    for number in range(MAX_TYPING - 1):
        other = workspace.member(f"m{number}")
        other.does("conversations.join", channel=channel)
    mine, theirs = ana.listens(), other.listens()
    mine.sends({"id": 1, "type": "typing", "channel": channel})
    assert len(theirs.hears("user_typing")) == 1
    workspace.member("one-more").does("conversations.join", channel=channel)
    mine.sends({"id": 1, "type": "typing", "channel": channel})
    assert theirs.hears("user_typing") == []


# -- presence ----------------------------------------------------------------------------------------------------------


def test_presence_is_told_to_those_who_look(workspace: Workspace, ana: Member, ben: Member) -> None:
    other = workspace.member("cleo").listens()
    looking = ana.listens()
    assert without_time(looking.sends({"type": "presence_sub", "ids": [ben.id]})) == [presence(ben, "away")]
    first = ben.listens()
    assert without_time(looking.hears()) == [presence(ben, "active")]
    second = ben.listens()
    first.ends()
    assert looking.hears() == []
    second.ends()
    assert without_time(looking.hears()) == [presence(ben, "away")]
    assert other.hears("presence_change") == []


def test_who_says_that_they_are_away_is_away_wherever_they_are_looked_at(ana: Member, ben: Member) -> None:
    looking, theirs = ana.listens(), ben.listens()
    looking.sends({"type": "presence_sub", "ids": [ben.id]})
    ben.does("users.setPresence", presence="away")
    assert without_time(looking.hears()) == [presence(ben, "away")]
    assert without_time(theirs.hears()) == [{"type": "manual_presence_change", "presence": "away"}]
    ben.listens()
    assert [frame["presence"] for frame in looking.hears()] in ([], ["away"])
    ben.does("users.setPresence", presence="auto")
    assert without_time(looking.hears())[-1] == presence(ben, "active")
    assert ana.does("users.getPresence", user=ben.id)["presence"] == "active"


def test_a_subscription_replaces_the_one_before(workspace: Workspace, ana: Member, ben: Member) -> None:
    cleo = workspace.member("cleo")
    looking = ana.listens()
    looking.sends({"type": "presence_sub", "ids": [ben.id]})
    assert without_time(looking.sends({"type": "presence_sub", "ids": [cleo.id, "U0NOBODY"]})) == [
        presence(cleo, "away")
    ]
    ben.listens()
    assert looking.hears() == []
    cleo.listens()
    assert without_time(looking.hears()) == [presence(cleo, "active")]


def test_who_no_longer_looks_hears_nothing_and_leaves_nothing_behind(
    workspace: Workspace, ana: Member, ben: Member
) -> None:
    looking = ana.listens()
    before = len(workspace.room.table.everything())
    looking.sends({"type": "presence_sub", "ids": [ben.id, ana.id]})
    looking.sends({"type": "presence_sub", "ids": []})
    ben.listens()
    assert looking.hears() == []
    looking.sends({"type": "presence_sub", "ids": [ben.id]})
    looking.ends()
    kinds = {str(item["PK"]).partition("#")[0] for item in workspace.room.table.everything()}
    assert "PW" not in kinds
    assert len(workspace.room.table.everything()) <= before + 2


def test_a_query_is_answered_once(ana: Member, ben: Member) -> None:
    stream = ana.listens()
    frames = stream.sends({"type": "presence_query", "ids": [ben.id, ana.id, ben.id]})
    assert without_time(frames) == [presence(ben, "away"), presence(ana, "active")]
    ben.listens()
    assert stream.hears() == []


# -- personal events ---------------------------------------------------------------------------------------------------


def test_what_concerns_one_person_reaches_their_own_clients_alone(ana: Member, ben: Member) -> None:
    one, two, other = ben.listens(), ben.listens(), ana.listens()
    channel = ana.channel("plans", ben, private=True)
    ts = ana.posts(channel)
    ben.does("conversations.mark", channel=channel, ts=ts)
    ana.does("conversations.kick", channel=channel, user=ben.id)
    kinds = ("group_joined", "group_marked", "group_left")
    for stream in (one, two):
        assert [frame["type"] for frame in stream.hears(*kinds)] == list(kinds)
    assert [frame["type"] for frame in other.hears(*kinds)] == ["group_joined"]  # ana's own, of the channel she made


def test_a_direct_conversation_comes_and_goes_and_comes_back(ana: Member, ben: Member) -> None:
    stream = ben.listens()
    direct = ana.direct(ben)
    (created,) = stream.hears("im_created")
    assert (created["user"], created["channel"]["id"], created["channel"]["user"]) == (ana.id, direct, ana.id)
    ben.does("conversations.close", channel=direct)
    assert [frame["channel"] for frame in stream.hears("im_close")] == [direct]
    assert ben.does("conversations.info", channel=direct)["channel"]["is_open"] is False
    ana.posts(direct, "are you there?")
    assert [frame["type"] for frame in stream.hears("im_open", "message")] == ["message", "im_open"]
    assert ben.does("conversations.info", channel=direct)["channel"]["is_open"] is True


# -- the end of a connection -------------------------------------------------------------------------------------------


def test_streams_are_asked_to_be_replaced_each_at_its_own_time() -> None:
    lives = [lifetime(f"connection{number}") for number in range(500)]
    assert min(lives) >= 100 * 60
    assert max(lives) <= 115 * 60
    assert len(set(lives)) > 250


def test_an_old_stream_hears_goodbye_once_and_its_successor_misses_nothing(
    workspace: Workspace, ana: Member, ben: Member
) -> None:
    channel = ana.channel("plans", ben)
    old = ben.listens()
    workspace.clock.now += lifetime(old.connection) - 1
    assert [frame["type"] for frame in old.sends({"id": 1, "type": "ping"})] == ["pong"]
    workspace.clock.now += 1
    assert [frame["type"] for frame in old.sends({"id": 2, "type": "ping"})] == ["pong", "goodbye"]
    assert [frame["type"] for frame in old.sends({"id": 3, "type": "ping"})] == ["pong"]
    new = ben.listens()
    ts = ana.posts(channel, "while both are open")
    old.ends()
    later = ana.posts(channel, "when one is left")
    assert [frame["ts"] for frame in old.hears("message")] == [ts]
    assert [frame["ts"] for frame in new.hears("message")] == [ts, later]


class Watcher:
    """A client that replaces its connection when it is asked to, and notes what it shows."""

    def __init__(self, member: Member, channel: str) -> None:
        self._member = member
        self._channel = channel
        self._seq = member.workspace.chat.core.log.head(channel).seq
        self._stream = member.listens()
        self._old: Stream | None = None
        self.shown: list[str] = []

    def hear(self, frames: list[Json]) -> None:
        """Show what is new; nothing may be missing before it."""
        for frame in frames:
            if frame.get("stream") == self._channel and frame["seq"] > self._seq:
                assert frame["seq"] == self._seq + 1
                self._seq = frame["seq"]
                self.shown.append(frame["ts"])

    def beats(self) -> None:
        """Send a heartbeat, and open a second connection when told that this one is old."""
        frames = self._stream.sends({"id": 1, "type": "heartbeat"})
        self.hear(frames)
        assert frames[-1] == {"type": "goodbye"}
        self._old, self._stream = self._stream, self._member.listens()

    def lets_go(self) -> None:
        """The new one is live: close the old one."""
        assert self._old is not None
        self.hear(self._old.hears())
        self._old.ends()
        self.hear(self._stream.hears())


@pytest.mark.parametrize(("people", "lives"), [(1, 1_000), (50, 20)])
def test_the_two_hour_limit_is_invisible(workspace: Workspace, ana: Member, people: int, lives: int) -> None:
    """Each life of each connection is ended before its time: every message is shown to everybody once, in order."""
    others = [workspace.member(f"m{number}") for number in range(people)]
    channel = ana.channel("plans", *others)
    watchers, said = [Watcher(each, channel) for each in others], list[str]()
    for _ in range(lives):
        said.append(ana.posts(channel, "one is open"))
        workspace.clock.now += 115 * 60 + 1
        for watcher in watchers:
            watcher.beats()
        said.append(ana.posts(channel, "both are open"))
        for watcher in watchers:
            watcher.lets_go()
    assert all(watcher.shown == said for watcher in watchers)


def test_a_stream_that_is_refused_leaves_nothing_behind(workspace: Workspace, ben: Member) -> None:
    ben.listens().ends()  # makes the item that lists theirs
    before = len(workspace.room.table.everything())
    assert Stream(ben, "x").opens("never-issued") == 401
    workspace.app.handle(socket_event("DISCONNECT", "x"))
    assert len(workspace.room.table.everything()) == before


def test_frames_fit_the_limit_of_a_push(workspace: Workspace, ana: Member) -> None:
    stream = ana.listens()
    workspace.ana.posts(workspace.general, "x" * 30_000)
    frames: list[Any] = workspace.push.to(stream.connection)
    assert max(len(frame.encode()) for frame in frames) < 32 * 1024
