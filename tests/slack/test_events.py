"""Every change is told by an event that is what its schema says, with no field that nobody knows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.slack.event_schemas import SCHEMAS, check, kind_of
from tests.slack.test_state import ACTIONS, Scene, both, does
from tests.slack.workspace import Json

Act = Callable[[Scene], Any]


def calls(who: str, method: str, **arguments: Any) -> Act:
    return lambda scene: getattr(scene, who).does(
        method, **{name: value(scene) if callable(value) else value for name, value in arguments.items()}
    )


def group(scene: Scene) -> str:
    made = scene.ana.does("usergroups.create", name="Planners", handle="planners")
    return str(made["usergroup"]["id"])


def with_a_group(scene: Scene) -> None:
    made = group(scene)
    scene.ana.does("usergroups.users.update", usergroup=made, users=scene.ben.id)
    scene.ana.does("usergroups.update", usergroup=made, name="Schemers")
    scene.ana.does("usergroups.disable", usergroup=made)


def with_a_bookmark(scene: Scene) -> None:
    place = {"channel_id": scene.channel}
    made = scene.ana.does("bookmarks.add", title="Site", type="link", link="https://example.com/", **place)
    scene.ana.does("bookmarks.edit", bookmark_id=made["bookmark"]["id"], title="Page", **place)
    scene.ana.does("bookmarks.remove", bookmark_id=made["bookmark"]["id"], **place)


#: Beside the actions that change what `tests/slack/state.py` keeps.
MORE: dict[str, Act] = {
    "ephemeral": lambda scene: scene.ana.does(
        "chat.postEphemeral", channel=scene.channel, user=scene.ben.id, text="only for you"
    ),
    "bot": lambda scene: _bot_posts(scene),
    "presence": calls("ben", "users.setPresence", presence="away"),
    "dnd": calls("ben", "dnd.setSnooze", num_minutes=10),
    "prefs": calls("ben", "users.prefs.set", name="theme", value='"dark"'),
    "groups": with_a_group,
    "bookmarks": with_a_bookmark,
    "stars": both(does("ben", "stars.add", timestamp="@said"), does("ben", "stars.remove", timestamp="@said")),
    "group marks": both(
        lambda scene: setattr(scene, "group", scene.ana.direct(scene.ben, scene.cleo)),
        lambda scene: setattr(scene, "in_group", scene.ana.posts(scene.group, "x")),  # type: ignore[attr-defined]
        does("ben", "conversations.mark", "group", ts="@in_group"),
        does("ben", "conversations.close", "group"),
        does("ana", "chat.postMessage", "group", text="back"),
        does("ben", "conversations.mark", "hidden", ts="@said"),
    ),
    "threads": both(
        does("ben", "subscriptions.thread.add", thread_ts="@said"),
        does("ana", "chat.postMessage", text="r", thread_ts="@said"),
        does("ben", "subscriptions.thread.mark", thread_ts="@said", ts="@pinned"),
        does("ben", "subscriptions.thread.remove", thread_ts="@said"),
    ),
    "unread from here": does("ben", "conversations.markUnread", ts="@said"),
    "muted": lambda scene: scene.ben.does(
        "users.prefs.setNotifications", channel_id=scene.channel, name="muted", value="true"
    ),
    "team preference": calls("ana", "team.prefs.set", name="who_can_invite", value="admins"),
    "private comes back": both(
        does("ana", "conversations.archive", "hidden"), does("ana", "conversations.unarchive", "hidden")
    ),
}


def _bot_posts(scene: Scene) -> None:
    bot = scene.workspace.bot("robot")
    bot.does("conversations.join", channel=scene.channel)
    bot.does("chat.postMessage", channel=scene.channel, text="beep", username="Robot", icon_emoji=":robot_face:")


@pytest.mark.parametrize("action", [*ACTIONS, *MORE])
def test_every_event_is_what_its_schema_says(action: str) -> None:
    scene = Scene()
    streams = [person.listens() for person in (scene.ana, scene.ben, scene.cleo)]
    scene.tick()
    (ACTIONS | MORE)[action](scene)
    frames: list[Json] = [frame for stream in streams for frame in stream.hears()]
    assert frames
    for frame in frames:
        check(frame)


def test_the_schemas_are_those_of_events_that_happen() -> None:
    """What no action here makes is made by uploads and pictures, whose own tests they are in."""
    heard: set[str] = set()
    for act in (ACTIONS | MORE).values():
        scene = Scene()
        streams = [person.listens() for person in (scene.ana, scene.ben, scene.cleo)]
        streams[0].sends({"type": "presence_sub", "ids": [scene.ben.id]})
        act(scene)
        heard |= {kind_of(frame) for stream in streams for frame in stream.hears()}
    elsewhere = {"file_shared", "file_deleted", "emoji_changed"}
    assert set(SCHEMAS) - heard - elsewhere == set()


def test_an_edit_of_a_long_message_leaves_out_what_it_was() -> None:
    scene = Scene()
    ts = scene.ana.posts(scene.channel, "x" * 20_000)
    stream = scene.ben.listens()
    scene.ana.does("chat.update", channel=scene.channel, ts=ts, text="y" * 20_000)
    (frame,) = stream.hears("message")
    assert "previous_message" not in frame
    assert len(scene.workspace.push.to(stream.connection)[-1].encode()) < 32 * 1024


def test_a_text_of_escapes_is_measured_as_it_is_sent() -> None:
    scene = Scene()
    assert scene.ana.is_refused("chat.postMessage", channel=scene.channel, text="\x07" * 10_000) == "msg_too_long"
    scene.ana.posts(scene.channel, "\x07" * 5_000)
