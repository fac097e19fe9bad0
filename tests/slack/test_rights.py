"""Who may know what: every kind of person, every kind of conversation, every way in. What is hidden answers as if it
were not there, to the letter, whatever else is wrong with the call."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from roost.chat.roles import OPERATOR
from roost.local.sqlite import SqliteTable
from roost.slack.methods import METHODS
from roost.testing import MemoryTable
from tests.slack.workspace import Json, Member, Workspace

ACTORS = (
    "owner", "admin", "member in", "member out", "restricted in", "restricted out", "bot in", "bot out",
    "deactivated", "revoked", "guest", "nobody",
)  # fmt: skip
OBJECTS = ("public", "private", "archived", "direct", "group")
SECRET = "zebrafish"  # in everything that was said, and in the names of what is hidden
INSIDE = {"member in", "restricted in", "bot in"}
LOCKED_OUT = {"deactivated", "revoked", "nobody"}
PLACES = ("channel", "channel_id", "channels")  # arguments that name a conversation


class Scene:
    """One conversation with all that can be in one, and one person who looks at it."""

    def __init__(self, actor: str, kind: str) -> None:
        self.workspace = workspace = Workspace()
        self.ana, self.ben, self.cleo = workspace.ana, workspace.member("ben"), workspace.member("cleo")
        self.who = self._actor(actor)
        self.id = self._conversation(kind, actor)
        self.stream = self.who.listens() if actor not in {*LOCKED_OUT, "guest"} else None
        self.ts = self.ana.posts(self.id, f"{SECRET} root")
        self.reply = self.ben.posts(self.id, f"{SECRET} reply", thread_ts=self.ts)
        self.ana.does("reactions.add", channel=self.id, timestamp=self.ts, name=SECRET)
        self.ana.does("pins.add", channel=self.id, timestamp=self.ts)
        self.ana.does("chat.update", channel=self.id, ts=self.ts, text=f"{SECRET} edited")
        if kind == "archived":
            self.ana.does("conversations.archive", channel=self.id)
        if actor == "deactivated":
            workspace.chat.roles.deactivate(OPERATOR, self.who.id)
        if actor == "revoked":
            self.who.does("auth.revoke")

    def _actor(self, actor: str) -> Member:
        workspace = self.workspace
        if actor.startswith("bot"):
            return workspace.bot("actor")
        if actor in ("guest", "nobody"):
            return Member(workspace, "U0GUEST", "guest", "")
        role = actor.split()[0]
        return workspace.member("actor", role=role if role in ("owner", "admin", "restricted") else "member")

    def _conversation(self, kind: str, actor: str) -> str:
        inside = [self.who] if actor in INSIDE else []
        if kind == "direct":
            return self.ana.direct(self.ben)
        if kind == "group":
            return self.ana.direct(self.ben, self.cleo, *inside)
        name = "open" if kind == "public" else SECRET
        return self.ana.channel(name, self.ben, *inside, private=kind != "public")


def knows(actor: str, kind: str) -> str:
    """What an actor may know of a conversation: nothing, that it is there, or all that was said."""
    if actor in LOCKED_OUT or (kind == "direct") or (actor == "guest"):
        return "nothing"
    if actor in INSIDE:
        return "all"
    if kind != "public" or actor == "restricted out":
        return "nothing"
    return "name" if actor == "bot out" else "all"


PAIRS = [(actor, kind) for actor in ACTORS for kind in OBJECTS]
HIDDEN = [pair for pair in PAIRS if knows(*pair) == "nothing"]
OPEN = [pair for pair in PAIRS if knows(*pair) == "all"]


def takes_a_channel() -> Iterator[tuple[str, str, type[msgspec.Struct]]]:
    """Every method that takes a conversation, and in which argument."""
    for name, method in METHODS.items():
        for place in PLACES:
            if any(field.encode_name == place for field in msgspec.structs.fields(method.arguments)):
                yield name, place, method.arguments


def values(scene: Scene, method: str, kind: type[msgspec.Struct]) -> Json:
    """Arguments that would do, by their names."""
    good = {
        "ts": scene.ts, "timestamp": scene.ts, "message_ts": scene.ts, "text": "x", "user": scene.ben.id,
        "users": scene.cleo.id, "name": "tada" if method.startswith("reactions") else "renamed", "topic": "x",
        "purpose": "x", "title": "x", "type": "link", "link": "https://example.com/", "post_at": 1_800_001_000,
        "level": "all", "files": [{"id": "F0"}], "thread_ts": "",
    }  # fmt: skip
    names = {field.encode_name for field in msgspec.structs.fields(kind)}
    return {name: value for name, value in good.items() if name in names and value != ""}


NONSENSE = {
    "ts": "x", "timestamp": "x", "message_ts": "x", "text": "", "user": "U0", "users": "U0", "name": "No Name!",
    "topic": "x" * 300, "purpose": "x" * 300, "limit": "-1", "cursor": "x", "latest": "x", "oldest": "x",
    "blocks": "[{", "thread_ts": "x", "client_msg_id": "x", "post_at": "1", "level": "x", "title": "", "type": "x",
}  # fmt: skip
NOT_THERE = {"C": "C0NOTTHERE", "D": "D0NOTTHERE"}


@pytest.mark.parametrize(("actor", "kind"), HIDDEN)
def test_what_is_hidden_answers_every_method_as_if_it_were_not_there(actor: str, kind: str) -> None:
    scene = Scene(actor, kind)
    before = scene.workspace.chat.core.log.head(scene.id)
    for method, place, arguments in takes_a_channel():
        unknown = NOT_THERE[scene.id[0]]
        names = {field.encode_name for field in msgspec.structs.fields(arguments)}
        good = values(scene, method, arguments)
        bad = {name: value for name, value in NONSENSE.items() if name in names}
        for given in (good, good | bad, *(good | {name: bad[name]} for name in bad)):
            real = scene.who.calls(method, **(given | {place: scene.id}))
            none = scene.who.calls(method, **(given | {place: unknown}))
            assert alike(real, scene.id) == alike(none, unknown), (method, given)
            assert SECRET not in json.dumps(real)
    assert scene.workspace.chat.core.log.head(scene.id) == before


def alike(answer: Json, channel: str) -> str:
    """An answer without what no two answers have in common."""
    return json.dumps(answer).replace(channel, "THERE")


@pytest.mark.parametrize(("actor", "kind"), HIDDEN)
def test_what_is_hidden_is_in_no_list_and_cannot_be_named(actor: str, kind: str) -> None:
    scene = Scene(actor, kind)
    every = "public_channel,private_channel,mpim,im"
    for method, arguments in (
        ("conversations.list", {"types": every}),
        ("users.conversations", {"types": every}),
        ("users.conversations", {"types": every, "user": scene.ben.id}),
        ("users.list", {}),
        ("search.messages", {"query": SECRET}),
        ("search.all", {"query": SECRET}),
        ("reactions.list", {"user": scene.ana.id}),
        ("stars.list", {}),
        ("files.list", {}),
    ):
        answer = scene.who.calls(method, **arguments)
        assert scene.id not in json.dumps(answer), method
        assert SECRET not in json.dumps(answer).replace(f'"query":"{SECRET}"', "").replace(
            f'"query": "{SECRET}"', ""
        ), method
    for method in ("chat.postMessage", "chat.meMessage"):
        real = scene.who.calls(method, channel=f"#{SECRET}", text="x")
        assert real == scene.who.calls(method, channel="#not-there", text="x")


@pytest.mark.parametrize(("actor", "kind"), [pair for pair in PAIRS if pair[0] not in LOCKED_OUT | {"guest"}])
def test_streams_tell_members_alone_live_and_on_resume(actor: str, kind: str) -> None:
    scene = Scene(actor, kind)
    assert scene.stream is not None
    member = knows(actor, kind) == "all" and actor in INSIDE
    said = json.dumps(scene.stream.hears())
    assert (SECRET in said) is member
    assert member or kind == "public" or scene.id not in said
    epoch = scene.who.does("rtm.connect")["epoch"]
    frames = scene.stream.sends({"id": 1, "type": "resume", "epoch": epoch, "streams": {scene.id: 0}})
    assert (SECRET in json.dumps(frames)) is member
    assert (scene.id in frames[-1]["streams"]) is member
    heads = scene.stream.sends({"id": 2, "type": "heartbeat"})[0]["heads"]
    assert (scene.id in heads) is member
    for frame in (
        {"id": 3, "type": "message", "channel": scene.id, "text": "x"},
        {"id": 4, "type": "typing", "channel": scene.id},
    ):
        if knows(actor, kind) == "nothing":
            (answer,) = scene.stream.sends(frame)
            (none,) = scene.stream.sends(frame | {"channel": NOT_THERE[scene.id[0]]})
            assert answer == none


@pytest.mark.parametrize(("actor", "kind"), HIDDEN)
def test_text_connections_hear_nothing_of_what_is_hidden(actor: str, kind: str) -> None:
    scene = Scene(actor, kind)
    person = scene.workspace.room.enter("text")
    heard: list[str] = []
    for line in (f"/login {scene.who.token or 'none'}", f"/channel {SECRET}", f"/channel {scene.id.lower()}"):
        heard += person.says(line)
    if kind != "archived":
        scene.ana.posts(scene.id, f"{SECRET} again")
    for line in ("/history 50", "/who", "/channels"):
        heard += person.says(line)
    told = "\n".join(heard).replace(f"#{SECRET}:", "").replace(f"In #{SECRET}", "").replace(f"to #{SECRET}", "")
    assert f"{SECRET} " not in told
    assert f"ana: {SECRET}" not in told


@pytest.mark.parametrize(("actor", "kind"), [pair for pair in PAIRS if knows(*pair) == "name"])
def test_a_bot_outside_knows_a_public_channel_and_nothing_that_was_said(actor: str, kind: str) -> None:
    scene = Scene(actor, kind)
    assert scene.who.does("conversations.info", channel=scene.id)["channel"]["name"] == "open"
    for method, place, arguments in takes_a_channel():
        if method in ("conversations.join",):
            continue
        answer = scene.who.calls(method, **(values(scene, method, arguments) | {place: scene.id}))
        assert SECRET not in json.dumps(answer), method


@pytest.mark.parametrize(("actor", "kind"), OPEN)
def test_what_is_open_to_somebody_is_read_on_every_path(actor: str, kind: str) -> None:
    """Without this one, a chat that shows nothing to anybody would pass."""
    scene = Scene(actor, kind)
    who = scene.who
    assert f"{SECRET} edited" in json.dumps(who.does("conversations.history", channel=scene.id))
    thread = who.does("conversations.replies", channel=scene.id, ts=scene.ts)["messages"]
    assert [each["text"] for each in thread] == [f"{SECRET} edited", f"{SECRET} reply"]
    assert who.does("chat.getPermalink", channel=scene.id, message_ts=scene.reply)["permalink"]
    assert who.does("reactions.get", channel=scene.id, timestamp=scene.ts)["message"]["reactions"][0]["name"] == SECRET
    assert who.does("pins.list", channel=scene.id)["items"][0]["message"]["ts"] == scene.ts
    assert who.does("conversations.members", channel=scene.id)["members"]
    kinds = "public_channel,private_channel,mpim,im"
    assert scene.id in [each["id"] for each in who.does("conversations.list", types=kinds)["channels"]]


def test_the_matrix_is_as_large_as_it_is_meant_to_be() -> None:
    methods = len(list(takes_a_channel()))
    assert methods >= 27
    assert len(HIDDEN) * methods + len(OPEN) * 6 + len(PAIRS) * 5 >= 1_440


# -- removal while messages fly ----------------------------------------------------------------------------------------

MESSAGES = 1_000


@pytest.fixture(params=["sqlite", "shared"])
def busy(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Workspace]:
    """A workspace that several threads use at once: on SQLite, whose audience is kept in memory, and on a table that
    others write too."""
    if request.param == "shared":
        yield Workspace(MemoryTable(clock=lambda: 1_800_000_000.0, exclusive=False))
        return
    table = SqliteTable(tmp_path / "t.db", clock=lambda: 1_800_000_000.0)
    yield Workspace(table)
    table.close()


def test_nothing_reaches_a_removed_member_after_the_removal_is_acked(busy: Workspace) -> None:
    ana, ben = busy.ana, busy.member("ben")
    channel = ana.channel("hidden", ben, private=True)
    stream = ben.listens()
    person = busy.room.enter("text")
    person.says(f"/login {ben.token}")
    assert person.says("/channel hidden") == ["Changed to #hidden"]
    acked, after = threading.Event(), set[str]()
    numbers = iter(range(MESSAGES))
    lock = threading.Lock()
    halfway = threading.Event()

    def speak() -> None:
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            if number == MESSAGES // 2:
                halfway.set()
            text = f"number {number}."
            if acked.is_set():
                after.add(text)
            busy.room.clock.sleep(0.01)
            while not ana.calls("chat.postMessage", channel=channel, text=text)["ok"]:
                pass  # the channel is busy: said, and nothing stored

    speakers = [threading.Thread(target=speak) for _ in range(4)]
    for each in speakers:
        each.start()
    assert halfway.wait(60)
    while True:
        answer = ana.calls("conversations.kick", channel=channel, user=ben.id)
        if answer["ok"]:
            break
        assert answer["error"] == "ratelimited"
    acked.set()
    for each in speakers:
        each.join(120)
    frames = stream.hears()
    (left,) = [frame["seq"] for frame in frames if frame.get("type") == "member_left_channel"] or [None]
    heard = [frame for frame in frames if frame.get("stream") == channel]
    assert len(heard) > 100
    assert len(after) > 100
    assert not after & {frame.get("text") for frame in heard}
    assert left is None or all(frame["seq"] <= left for frame in heard)
    lines = person.hears()
    assert len(lines) > 100
    assert not [line for line in lines if line.rpartition(": ")[2] in after]
    assert len(ana.does("conversations.history", channel=channel, limit=999)["messages"]) == 999
