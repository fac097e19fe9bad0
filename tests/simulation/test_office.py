"""Every act of a member, with something happening at every call of the store that it makes: it happens whole or not at
all, what is answered is true, and doing it again leads to where it should have led."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any

import pytest

from tests.simulation.office import Office, connect, disconnect, frame, uuid
from tests.simulation.stage import (
    Happening,
    conflict,
    crash_after,
    crash_before,
    fails_after,
    fails_before,
    throttled,
)

Act = Callable[[Office], Any]


def call(who: str, method: str, **arguments: Any) -> Act:
    """A call of somebody; an argument that is an attribute of the office is looked up there."""

    def act(office: Office) -> Any:
        given = {name: getattr(office, value[1:]) if _named(value) else value for name, value in arguments.items()}
        return getattr(office, who).calls(method, **given)

    return act


def _named(value: Any) -> bool:
    return isinstance(value, str) and value.startswith("@")


def invite(office: Office) -> Any:
    return office.ana.calls("conversations.invite", channel=office.project, users=[office.cem.id])


def kick(office: Office) -> Any:
    return office.ana.calls("conversations.kick", channel=office.project, user=office.ben.id)


def open_direct(office: Office) -> Any:
    return office.ana.calls("conversations.open", users=[office.cem.id])


def say_on_a_stream(office: Office) -> Any:
    return frame(office, "ben", type="message", id=7, channel=office.project, text="on a stream", client_msg_id=uuid(9))


#: The acts, and the codes that doing one again may be answered with where it was done already.
ACTS: dict[str, tuple[Act, tuple[str, ...]]] = {
    "post": (call("ben", "chat.postMessage", channel="@project", text="one more", client_msg_id=uuid(8)), ()),
    "post in secret": (call("ben", "chat.postMessage", channel="@secret", text="sh", client_msg_id=uuid(8)), ()),
    "reply": (
        call("ana", "chat.postMessage", channel="@project", text="yes", thread_ts="@root", client_msg_id=uuid(8)),
        (),
    ),
    "reply, said to all": (
        call(
            "ana", "chat.postMessage",
            channel="@project", text="yes", thread_ts="@root", client_msg_id=uuid(8), reply_broadcast=True,
        ),
        (),
    ),
    "post on a stream": (say_on_a_stream, ()),
    "edit": (call("ana", "chat.update", channel="@project", ts="@plain", text="better"), ()),
    "delete": (call("ana", "chat.delete", channel="@project", ts="@plain"), ("message_not_found",)),
    "delete a root": (call("ana", "chat.delete", channel="@project", ts="@root"), ("message_not_found",)),
    "delete a reply": (call("ben", "chat.delete", channel="@project", ts="@reply"), ("message_not_found",)),
    "react": (
        call("ana", "reactions.add", channel="@project", timestamp="@plain", name="eyes"), ("already_reacted",),
    ),
    "react too": (
        call("ana", "reactions.add", channel="@project", timestamp="@root", name="tada"), ("already_reacted",),
    ),
    "react no more": (
        call("ben", "reactions.remove", channel="@project", timestamp="@root", name="tada"), ("no_reaction",),
    ),
    "pin": (call("ben", "pins.add", channel="@project", timestamp="@plain"), ("already_pinned",)),
    "unpin": (call("ben", "pins.remove", channel="@project", timestamp="@root"), ("no_pin", "not_pinned")),
    "create": (call("ben", "conversations.create", name="fresh"), ("name_taken",)),
    "create in private": (call("ben", "conversations.create", name="fresh", is_private=True), ("name_taken",)),
    "join": (call("cem", "conversations.join", channel="@project"), ()),
    "leave": (call("ben", "conversations.leave", channel="@project"), ("not_in_channel",)),
    "leave a private one": (call("ben", "conversations.leave", channel="@secret"), ("channel_not_found",)),
    "invite": (invite, ("already_in_channel",)),
    "kick": (kick, ("not_in_channel",)),
    "rename": (call("ana", "conversations.rename", channel="@project", name="projects"), ()),
    "topic": (call("ben", "conversations.setTopic", channel="@project", topic="work"), ()),
    "archive": (call("ana", "conversations.archive", channel="@project"), ("already_archived",)),
    "unarchive": (call("ana", "conversations.unarchive", channel="@old"), ("not_archived",)),
    "open a direct one": (open_direct, ()),
    "mark as read": (call("ben", "conversations.mark", channel="@project", ts="@plain"), ()),
    "connect": (lambda office: connect(office, office.cem), ()),
    "disconnect": (lambda office: disconnect(office, "ben"), ()),
    "resume": (
        lambda office: frame(office, "ben", type="resume", id=3, epoch="another", streams={office.project: 1}), (),
    ),
    "heartbeat": (lambda office: frame(office, "ben", type="heartbeat", id=4), ()),
    "history": (call("ben", "conversations.history", channel="@project"), ()),
}  # fmt: skip
HAPPENINGS: dict[str, Happening] = {
    "a crash before": crash_before,
    "a crash after": crash_after,
    "throttled": throttled,
    "conflict": conflict,
    "a failure before": fails_before,
    "a failure after": fails_after,
}
WRITES = frozenset({"put", "update", "delete", "transact"})
TO_READS = ("a crash before", "throttled", "a failure before")  # the others come to the same
#: What is done again is told twice, which is no harm: a topic that is set again, a mark that stands.
TOLD_AGAIN = frozenset({"edit", "rename", "topic"})
DOUBTFUL = frozenset({"fatal_error"})
REFUSED = frozenset({"ratelimited"})
KINDS = {"one process": True, "many functions": False}


@pytest.mark.parametrize("kind", [pytest.param("one process", marks=pytest.mark.release), "many functions"])
@pytest.mark.parametrize("name", ACTS)
def test_whatever_happens_an_act_is_whole_or_was_not(name: str, kind: str) -> None:
    (act, _), one_process = ACTS[name], KINDS[kind]
    office = Office(one_process=one_process)
    before = office.everything()
    office.begin_again()
    office.table.arm(0, None)
    assert act(office)["ok"]
    calls, after = list(office.table.calls), office.everything()
    stored = next((at for at, each in enumerate(calls, 1) if each in ("transact", "update")), len(calls))
    for at, call_ in enumerate(calls, 1):
        for happening in HAPPENINGS if call_ in WRITES else TO_READS:
            office.begin_again()
            try:
                one_happening(office, name, at, HAPPENINGS[happening], before, after, stored=stored)
            except AssertionError as error:
                error.add_note(f"{happening} call {at} of {calls}")
                raise


def one_happening(
    office: Office, name: str, at: int, happens: Happening, before: str, after: str, *, stored: int
) -> None:
    """`stored` is the call that stores the act: what fails later, in reading what to answer, undoes nothing."""
    act, already = ACTS[name]
    office.table.arm(at, happens)
    answer = office.does(act)
    office.table.disarm()
    now = office.everything()
    if answer is None or answer.get("error") in DOUBTFUL:
        assert now in (before, after), difference(now, before, after)
    elif answer["ok"]:
        assert now == after, difference(now, after)
    else:
        assert answer["error"] in REFUSED, answer
        assert now == (before if at <= stored else after), difference(now, before if at <= stored else after)
    again = office.does(act)
    assert again["ok"] or again["error"] in already, again
    if name not in TOLD_AGAIN:
        assert office.everything() == after, difference(office.everything(), after)


def difference(now: str, *expected: str) -> str:
    """The least of the differences."""
    found = [list(difflib.unified_diff(each.split("\n"), now.split("\n"), lineterm="", n=1)) for each in expected]
    return "\n".join(min(found, key=len)[:60])
