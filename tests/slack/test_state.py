"""Old state and the events since are the new state: for every action, and however frames are lost, repeated and mixed
up on their way to a client that resumes."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from roost.chat.streams import MAX_REPLAY
from roost.settings import Settings
from tests.slack.state import State
from tests.slack.test_files import PNG, share, upload
from tests.slack.workspace import Json, Member, Stream, Workspace


class Scene:
    """A channel and a direct conversation of three people, with some history; `ben` watches."""

    def __init__(self) -> None:
        self.workspace = Workspace(settings=Settings(url="http://localhost:8000/"))  # of files, in events too
        self.ana, self.ben, self.cleo = self.workspace.ana, self.workspace.member("ben"), self.workspace.member("cleo")
        self.channel = self.ana.channel("plans", self.ben)
        self.hidden = self.ana.channel("hidden", self.ben, self.cleo, private=True)
        self.other = self.cleo.channel("other")
        self.direct = self.ana.direct(self.ben)
        self.tick()
        self.root = self.ana.posts(self.channel, "root")
        self.reply = self.ben.posts(self.channel, "reply", thread_ts=self.root)
        self.said = self.ana.posts(self.channel, "said")
        self.broadcast = self.ana.posts(self.channel, "both", thread_ts=self.root, reply_broadcast=True)
        self.pinned = self.ben.posts(self.channel, "pinned")
        self.ana.does("pins.add", channel=self.channel, timestamp=self.pinned)
        self.ana.does("reactions.add", channel=self.channel, timestamp=self.said, name="wave")
        self.whispered = self.ana.posts(self.direct, "psst")

    def tick(self) -> None:
        """Time passes, so that the ts of different channels differ."""
        self.workspace.clock.now += 1


Act = Callable[[Scene], Any]


def does(who: str, method: str, channel: str = "channel", **arguments: Any) -> Act:
    """An action; names of the scene's things stand for their ids."""

    def act(scene: Scene) -> Json:
        given = {name: getattr(scene, str(value).removeprefix("@")) if str(value)[:1] == "@" else value
                 for name, value in arguments.items()}  # fmt: skip
        given = {name: value.id if isinstance(value, Member) else value for name, value in given.items()}
        member: Member = getattr(scene, who)
        return member.does(method, channel=getattr(scene, channel), **given)

    return act


def both(*acts: Act) -> Act:
    """One after the other."""
    return lambda scene: [act(scene) for act in acts]


def thirty_react(scene: Scene) -> None:
    for number in range(30):
        person = scene.workspace.member(f"m{number}")
        person.does("conversations.join", channel=scene.channel)
        person.does("reactions.add", channel=scene.channel, timestamp=scene.said, name="tada")


def shares(scene: Scene, **more: Any) -> list[str]:
    """Ana shares two files; their ids."""
    files = [upload(scene.ana), upload(scene.ana, PNG, "dot.png")]
    share(scene.ana, scene.channel, *files, **more)
    return files


def bookmarks(scene: Scene) -> Json:
    """Ana adds a bookmark; how it is named in a call."""
    link = {"type": "link", "title": "x", "link": "https://x.example"}
    made = scene.ana.does("bookmarks.add", channel_id=scene.channel, **link)["bookmark"]
    return {"channel_id": scene.channel, "bookmark_id": made["id"]}


def wants(scene: Scene, name: str, value: str) -> Json:
    """Ben says how much he wants to hear."""
    return scene.ben.does("users.prefs.setNotifications", channel_id=scene.channel, name=name, value=value)


ACTIONS: dict[str, Act] = {
    "post": does("ana", "chat.postMessage", text="new"),
    "post of one's own": does("ben", "chat.postMessage", text="mine"),
    "post with blocks": does("ana", "chat.postMessage", text="b", blocks=[{"type": "divider"}], how="json"),
    "post with metadata": does(
        "ana", "chat.postMessage", text="m", metadata={"event_type": "t", "event_payload": {"a": 1.5}}, how="json"
    ),
    "post with attachments": does("ana", "chat.postMessage", text="a", attachments=[{"text": "x"}], how="json"),
    "me message": does("ana", "chat.meMessage", text="waves"),
    "direct message": does("ana", "chat.postMessage", "direct", text="hello"),
    "reply": does("ana", "chat.postMessage", text="r", thread_ts="@root"),
    "first reply": does("cleo", "chat.postMessage", "hidden", text="first in hidden"),
    "reply to what had none": does("ana", "chat.postMessage", text="r", thread_ts="@said"),
    "reply to the channel too": does("ben", "chat.postMessage", text="r", thread_ts="@root", reply_broadcast=True),
    "edit": does("ana", "chat.update", ts="@said", text="edited"),
    "edit of a root": does("ana", "chat.update", ts="@root", text="edited"),
    "edit of a reply": does("ben", "chat.update", ts="@reply", text="edited"),
    "edit of a broadcast": does("ana", "chat.update", ts="@broadcast", text="edited"),
    "delete": does("ana", "chat.delete", ts="@said"),
    "delete of a root": does("ana", "chat.delete", ts="@root"),
    "delete of a reply": does("ben", "chat.delete", ts="@reply"),
    "delete of a broadcast": does("ana", "chat.delete", ts="@broadcast"),
    "delete of all replies": both(
        does("ben", "chat.delete", ts="@reply"), does("ana", "chat.delete", ts="@broadcast")
    ),
    "delete of all replies, and one more": both(
        does("ben", "chat.delete", ts="@reply"),
        does("ana", "chat.delete", ts="@broadcast"),
        does("ana", "chat.postMessage", text="again", thread_ts="@root"),
    ),
    "delete of a whole thread": both(
        does("ana", "chat.delete", ts="@root"),
        does("ben", "chat.delete", ts="@reply"),
        does("ana", "chat.delete", ts="@broadcast"),
    ),
    "delete of what is pinned": does("ben", "chat.delete", ts="@pinned"),
    "react": does("ben", "reactions.add", timestamp="@said", name="tada"),
    "react alike": does("ben", "reactions.add", timestamp="@said", name="wave"),
    "react to a reply": does("ana", "reactions.add", timestamp="@reply", name="tada"),
    "react to a broadcast": does("ana", "reactions.add", timestamp="@broadcast", name="tada"),
    "take a reaction back": does("ana", "reactions.remove", timestamp="@said", name="wave"),
    "thirty react": thirty_react,
    "thirty react, and one oneself": both(thirty_react, does("ben", "reactions.add", timestamp="@said", name="tada")),
    "pin": does("ana", "pins.add", timestamp="@said"),
    "pin of a reply": does("ana", "pins.add", timestamp="@reply"),
    "unpin": does("ana", "pins.remove", timestamp="@pinned"),
    "topic": does("ana", "conversations.setTopic", topic="Plans"),
    "purpose": does("ana", "conversations.setPurpose", purpose="To plan"),
    "rename": does("ana", "conversations.rename", name="renamed"),
    "rename of a private one": does("ana", "conversations.rename", "hidden", name="renamed"),
    "archive": does("ana", "conversations.archive"),
    "archive and back": both(does("ana", "conversations.archive"), does("ana", "conversations.unarchive")),
    "archive of a private one": does("ana", "conversations.archive", "hidden"),
    "somebody joins": does("cleo", "conversations.join"),
    "somebody is invited": does("ana", "conversations.invite", users="@cleo"),
    "somebody leaves": does("cleo", "conversations.leave", "hidden"),
    "somebody is removed": does("ana", "conversations.kick", "hidden", user="@cleo"),
    "one joins": does("ben", "conversations.join", "other"),
    "one is invited": does("cleo", "conversations.invite", "other", users="@ben"),
    "one leaves": does("ben", "conversations.leave"),
    "one is removed": does("ana", "conversations.kick", "hidden", user="@ben"),
    "one is removed and comes back": both(
        does("ana", "conversations.kick", "hidden", user="@ben"),
        does("ana", "chat.postMessage", "hidden", text="without ben"),
        does("ana", "conversations.invite", "hidden", users="@ben"),
    ),
    "one makes a channel": lambda scene: scene.ben.channel("mine"),
    "one makes a private channel": lambda scene: scene.ben.channel("mine", scene.ana, private=True),
    "somebody else makes one": lambda scene: scene.cleo.channel("theirs"),
    "one opens a conversation": lambda scene: scene.ben.direct(scene.cleo),
    "somebody opens a conversation": lambda scene: scene.cleo.posts(scene.cleo.direct(scene.ben), "hello"),
    "a group conversation": lambda scene: scene.cleo.posts(scene.cleo.direct(scene.ben, scene.ana), "hello"),
    "mark": does("ben", "conversations.mark", ts="@said"),
    "mark of a direct one": does("ben", "conversations.mark", "direct", ts="@whispered"),
    "close": does("ben", "conversations.close", "direct"),
    "close and open": both(
        does("ben", "conversations.close", "direct"), lambda scene: scene.ben.direct(scene.ana)
    ),
    "close, and somebody writes": both(
        does("ben", "conversations.close", "direct"), does("ana", "chat.postMessage", "direct", text="still there?")
    ),
    "a message with files": lambda scene: shares(scene, initial_comment="look"),
    "files in a thread": lambda scene: shares(scene, thread_ts=scene.root),
    "a file is deleted": lambda scene: scene.ana.does("files.delete", file=shares(scene)[0]),
    "a message with files is deleted": lambda scene: (
        shares(scene),
        scene.ana.does("chat.delete", channel=scene.channel, ts=scene.ana.reads(scene.channel)[0]["ts"]),
    ),
    "a bookmark": lambda scene: bookmarks(scene),
    "a bookmark is changed": lambda scene: scene.ben.does("bookmarks.edit", title="new", **bookmarks(scene)),
    "a bookmark is removed": lambda scene: scene.ben.does("bookmarks.remove", **bookmarks(scene)),
    "muting": lambda scene: wants(scene, "muted", "true"),
    "a level": lambda scene: wants(scene, "desktop", "nothing"),
    "unread from here": does("ben", "conversations.markUnread", ts="@said"),
    "unread from here, and read": both(
        does("ben", "conversations.markUnread", ts="@said"), does("ben", "conversations.mark", ts="@pinned")
    ),
    "a new member": lambda scene: scene.workspace.member("dora"),
    "a member changes": lambda scene: scene.ana.does("users.admin.setAdmin", user=scene.cleo.id),
    "a member is deactivated": lambda scene: scene.ana.does("users.admin.setInactive", user=scene.cleo.id),
}  # fmt: skip

#: How frames travel: as they are, twice, backwards, or not at all, in which case the client resumes.
WAYS: dict[str, Callable[[list[Json]], list[Json]]] = {
    "in order": lambda frames: frames,
    "twice": lambda frames: [frame for frame in frames for _ in range(2)],
    "all again": lambda frames: [*frames, *frames],
    "backwards": lambda frames: frames[::-1],
    "every second one lost": lambda frames: frames[::2],
    "all lost": lambda frames: [],
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("action", ACTIONS)
def test_old_state_and_events_are_the_new_state(action: str, way: str) -> None:
    scene = Scene()
    stream = scene.ben.listens()
    state = State(scene.ben).load(stream)
    scene.tick()
    ACTIONS[action](scene)
    frames = stream.hears()
    for frame in WAYS[way](frames):
        state.hear(frame)
    if way not in ("in order", "twice", "all again"):
        state.catch_up(stream)
    fresh = State(scene.ben).load(scene.ben.listens())
    assert state.shown() == fresh.shown()
    assert state.holes == {}
    assert frames or action in ("somebody else makes one",)


@pytest.mark.parametrize("seed", range(12))
def test_a_busy_day_over_a_bad_line_loses_nothing_and_shows_nothing_twice(seed: int) -> None:
    """30 % of the frames lost, 20 % twice, 20 % late; the client resumes now and then."""
    chance = random.Random(seed)
    scene = Scene()
    stream = scene.ben.listens()
    state = State(scene.ben).load(stream)
    late: list[Json] = []
    for _ in range(60):
        scene.tick()
        something(chance, scene)
        for frame in stream.hears():
            if chance.random() < 0.3:
                continue
            if chance.random() < 0.2:
                late.append(frame)
                continue
            for _ in range(2 if chance.random() < 0.2 else 1):
                state.hear(frame)
        while late and chance.random() < 0.5:
            state.hear(late.pop(chance.randrange(len(late))))
        if chance.random() < 0.1:
            state.catch_up(stream)
    state.catch_up(stream)
    for frame in late:
        state.hear(frame)
    fresh = State(scene.ben).load(scene.ben.listens())
    assert state.shown() == fresh.shown()


def something(chance: random.Random, scene: Scene) -> None:
    """Anybody does anything; what is refused is refused."""
    who = chance.choice((scene.ana, scene.ben, scene.cleo))
    channel = chance.choice((scene.channel, scene.channel, scene.hidden, scene.direct, scene.other))
    known = [each["ts"] for each in who.calls("conversations.history", channel=channel, limit=8).get("messages", [])]
    ts = chance.choice(known) if known else "1700000000.000001"
    emoji = chance.choice(("wave", "tada"))
    calls: list[tuple[str, Json]] = [
        ("chat.postMessage", {"text": f"{chance.random()}"}),
        ("chat.postMessage", {"text": "reply", "thread_ts": ts}),
        ("chat.postMessage", {"text": "both", "thread_ts": ts, "reply_broadcast": True}),
        ("chat.update", {"ts": ts, "text": f"edited {chance.random()}"}),
        ("chat.delete", {"ts": ts}),
        ("reactions.add", {"timestamp": ts, "name": emoji}),
        ("reactions.remove", {"timestamp": ts, "name": emoji}),
        ("pins.add", {"timestamp": ts}),
        ("pins.remove", {"timestamp": ts}),
        ("conversations.setTopic", {"topic": f"{chance.random()}"}),
        ("conversations.join", {}),
        ("conversations.leave", {}),
        ("conversations.invite", {"users": scene.cleo.id}),
        ("conversations.mark", {"ts": ts}),
        ("conversations.close", {}),
    ]
    method, arguments = chance.choice(calls)
    who.calls(method, channel=channel, **arguments)


# -- resume ------------------------------------------------------------------------------------------------------------


def resumed(stream: Stream, channel: str, epoch: str, seq: int) -> tuple[list[int], Json]:
    frames = stream.sends({"id": 5, "type": "resume", "epoch": epoch, "streams": {channel: seq}})
    return [frame["seq"] for frame in frames[:-1]], frames[-1]


def test_resume_is_whole_or_says_so_wherever_it_begins() -> None:
    """A thousand events, and a cut at every one of them."""
    scene = Scene()
    for number in range(1_000):
        scene.ana.posts(scene.channel, f"{number}")
    stream = scene.ben.listens()
    epoch = scene.ben.does("rtm.connect")["epoch"]
    head = scene.workspace.chat.core.log.head(scene.channel).seq
    for seq in range(head + 1):
        heard, answer = resumed(stream, scene.channel, epoch, seq)
        if answer.get("reload"):
            assert head - seq > MAX_REPLAY
            assert (heard, answer["streams"]) == ([], {})
        else:
            assert heard == list(range(seq + 1, head + 1))
            assert answer["streams"] == {scene.channel: head}


def test_resume_says_so_where_the_log_has_expired() -> None:
    scene = Scene()
    stream = scene.ben.listens()
    epoch = scene.ben.does("rtm.connect")["epoch"]
    scene.workspace.clock.now += 31 * 86_400
    stream = scene.ben.listens()
    heard, answer = resumed(stream, scene.channel, epoch, 1)
    assert (heard, answer["reload"]) == ([], True)


def test_a_push_that_was_missed_shows_in_the_next_heartbeat() -> None:
    scene = Scene()
    stream = scene.ben.listens()
    state = State(scene.ben).load(stream)
    scene.ana.posts(scene.channel, "never pushed")
    stream.hears()  # lost
    heads = stream.sends({"id": 1, "type": "heartbeat"})[0]["heads"]
    assert heads[scene.channel] > state.places[scene.channel]
    state.catch_up(stream)
    assert "never pushed" in [each["text"] for each in state.messages[scene.channel].values()]
