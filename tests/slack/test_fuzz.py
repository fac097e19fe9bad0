"""Calls made of anything: no answer but 200 and 429, none that is not Slack's, no `fatal_error`, nothing that another
person said. 20,000 calls in `make test`, 100,000 in `make test-release`; and hypothesis, from the argument structs."""

from __future__ import annotations

import json
import logging
import random
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from roost.slack.methods import METHODS
from tests.slack.workspace import Json, Member, Workspace, api_event

CALLS = 1_000  # of one workspace
SECRET = "zebrafish"
NAMES = sorted({field.encode_name for each in METHODS.values() for field in msgspec.structs.fields(each.arguments)})
#: Of these somebody's tokens may be gone afterwards, and with them all that is left to try.
ENDINGS = {"auth.revoke", "auth.signout", "auth.signoutEverywhere"}


class Scene:
    """People, and all that they may know the ids of."""

    def __init__(self) -> None:
        self.workspace = workspace = Workspace()
        self.people = [workspace.ana, workspace.member("ben"), workspace.bot("robot"),
                       workspace.member("rita", role="restricted")]  # fmt: skip
        ana, ben = self.people[:2]
        self.channels = [workspace.general, ana.channel("plans", ben), ana.direct(ben), ana.channel("old")]
        outsiders = (workspace.member("xena", role="owner"), workspace.member("yuri"))
        self.hidden = outsiders[0].channel("hidden", outsiders[1], private=True)
        outsiders[0].posts(self.hidden, SECRET)
        self.ts = [ana.posts(self.channels[1], f"{number}") for number in range(3)]
        self.ts.append(ben.posts(self.channels[1], "reply", thread_ts=self.ts[0]))
        ana.does("conversations.archive", channel=self.channels[3])
        self.members = {person.id for person in (*self.people, *outsiders)}

    def known(self) -> list[str]:
        """What may stand anywhere."""
        return [*self.channels, self.hidden, *self.ts, *self.members, self.workspace.team]


ODD: list[Any] = [
    "", " ", "x", "0", "1", "-1", "true", "null", "[]", "{}", "[[", '{"a":1}', "C0", "U0", "#general", "@ben", "\0",
    "😀" * 50, "x" * 300, "x" * 41_000, "9" * 30, "1.5", "1e9", "1700000000.000001", "../../etc/passwd", "' OR 1=1--",
    "C#general#META", "%00", "a,b,c", ",,,", "\u202e", "tada", "plans", "public_channel,im", "auto", "away",
    "in 20 minutes", "https://example.com/", "ana@example.com", "\ud800", 0, 1, -1, 10**20, 1.5, True, False, None,
    [], {}, [1], ["U0"], {"$ne": 1}, [[[[]]]], [{"type": "divider"}], [{"type": "section"}], [{"id": "F0"}], [None],
    {"event_type": "x", "event_payload": {}}, {"real_name": "R"}, {"status_expiration": "x"},
]  # fmt: skip


def call(chance: random.Random, scene: Scene, method: str) -> Json:
    """Arguments by their own names, mostly ids that are there, and sometimes any others."""
    kind = METHODS[method].arguments
    known = scene.known()
    names = [field.encode_name for field in msgspec.structs.fields(kind)]
    made: Json = {}
    for name in names:
        if chance.random() < 0.75:
            made[name] = chance.choice(known) if chance.random() < 0.4 else chance.choice(ODD)
    if "channel" in names and chance.random() < 0.6:
        made["channel"] = chance.choice(scene.channels)
    if chance.random() < 0.1:
        made[chance.choice(NAMES)] = chance.choice(ODD)
    return made


def event(chance: random.Random, method: str, arguments: Json, token: str) -> Json:
    """The call, in any of the four places, now and then broken on its way."""
    how = chance.choice(("form", "json", "query", "multipart"))
    try:
        made = api_event(method, arguments, token=token, how=how, verb=chance.choice(("POST", "GET")))
    except UnicodeEncodeError:  # half a character fits JSON alone
        made = api_event(method, arguments, token=token, how="json")
    if chance.random() < 0.05:
        made["body"] = "".join(chance.choice('{}[]",:=&%\r\n-x0') for _ in range(chance.randrange(60)))
        made["isBase64Encoded"] = chance.random() < 0.2
    if chance.random() < 0.03:
        made["headers"]["content-type"] = chance.choice(("", "text/plain", "application/json", "multipart/form-data"))
    return made


def check(scene: Scene, made: Json, who: Member) -> Json:
    """Send it; what is answered is Slack's."""
    answer = scene.workspace.app.handle(made)
    assert answer["statusCode"] in (200, 429), (made, answer)
    assert answer["headers"]["Content-Type"] == "application/json; charset=utf-8"
    body: Json = json.loads(answer["body"])
    assert isinstance(body["ok"], bool)
    assert body["ok"] or (isinstance(body["error"], str) and body["error"] != "fatal_error"), (made, body)
    assert SECRET not in answer["body"]
    assert "Traceback" not in answer["body"]
    return body


def run(seed: int) -> None:
    chance = random.Random(seed)
    scene = Scene()
    methods = sorted(set(METHODS) - ENDINGS)
    for _ in range(CALLS):
        who = chance.choice(scene.people)
        method = chance.choice(methods)
        arguments = call(chance, scene, method)
        body = check(scene, event(chance, method, arguments, who.token), who)
        if not body["ok"] and body["error"] in ("token_revoked", "account_inactive", "invalid_auth"):
            who.token = renewed(scene, who)
    logs = [scene.workspace.chat.core.log.head(channel) for channel in scene.channels]
    assert all(head.seq > 0 for head in logs[:2])


def renewed(scene: Scene, who: Member) -> str:
    """Another token for somebody who was signed out, or deactivated, by chance."""
    chat = scene.workspace.chat
    chat.people.change(who.id, lambda row: msgspec.structs.replace(row, deactivated=False))
    return chat.people.create_token(chat.people.row(who.id), "user")


@pytest.mark.parametrize("seed", range(20))
def test_calls_made_of_anything_are_answered_as_slack_would(seed: int, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        run(seed)
    assert [record for record in caplog.records if record.name == "roost.app"] == []


@pytest.mark.release
@pytest.mark.parametrize("seed", range(20, 120))
def test_many_more_calls_made_of_anything(seed: int) -> None:
    run(seed)


# -- from the argument structs -----------------------------------------------------------------------------------------

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def arguments_of(kind: type[msgspec.Struct], known: list[str]) -> st.SearchStrategy[Json]:
    """Arguments that a struct has: of its own types, ids that are there, and anything else."""
    made = {}
    for field in msgspec.structs.fields(kind):
        own = st.from_type(field.type) if field.type in (str, int, bool) else st.text(max_size=20)
        made[field.encode_name] = own | st.sampled_from(known) | ANYTHING
    return st.fixed_dictionaries({}, optional=made)


@pytest.mark.parametrize("method", sorted(set(METHODS) - ENDINGS))
def test_a_method_takes_whatever_its_arguments_could_be(method: str) -> None:
    scene = Scene()
    who = scene.people[1]

    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(arguments_of(METHODS[method].arguments, scene.known()))
    def holds(arguments: Json) -> None:
        check(scene, api_event(method, arguments, token=who.token, how="json"), who)

    holds()
