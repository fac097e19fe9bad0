"""The deployed stack, in use: the blog post's conversation, and roles that hold what the functions need and no more."""

from __future__ import annotations

import contextlib
import json
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.deploy.stack import Stack
from tests.deploy.template import statements
from tests.end_to_end.test_blog_post import exchange


def test_two_people_talk_as_in_the_blog_post(stack: Stack) -> None:
    exchange(stack.socket_url)


def test_the_web_address_answers(stack: Stack) -> None:
    with urllib.request.urlopen(stack.web_url + "/", timeout=30) as page:
        assert "wscat" in page.read().decode()


# -- rights -----------------------------------------------------------------------------------------------------------


def hears(client: ClientConnection, text: str, seconds: float) -> None:
    """Wait for a frame that holds this text. Raises `Missing` otherwise."""
    deadline = time.monotonic() + seconds
    with contextlib.suppress(TimeoutError):
        while True:
            frame = str(client.recv(max(0.0, deadline - time.monotonic())))
            if text in frame:
                return
            assert "Something went wrong" not in frame, frame
    raise AssertionError(f"no {text!r}")


def chat(stack: Stack, seconds: float) -> None:
    """Everything that a socket can do. Each wait takes so long at most."""
    with socket(stack) as ana, socket(stack) as ben:
        channel = f"c{uuid.uuid4().hex[:12]}"
        for client in (ana, ben):
            client.send(f"/channel {channel}")
            hears(client, f"Changed to #{channel}", seconds)
        ben.send("/name ben")
        hears(ben, "Set username to ben", seconds)
        ben.send("hello")
        hears(ana, f"#{channel} ben: hello", seconds)
        ana.send("/history")
        hears(ana, f"#{channel} ben: hello", seconds)
        ana.send("/channels")
        hears(ana, f"#{channel}", seconds)
        ben.close()
        deadline = time.monotonic() + seconds
        while True:
            ana.send("/who")
            with contextlib.suppress(AssertionError):
                hears(ana, f"In #{channel}: anonymous (guest)", 1.0)
                return
            assert time.monotonic() < deadline, "ben is still there"


def socket(stack: Stack) -> ClientConnection:
    try:
        return connect(stack.socket_url)
    except InvalidStatus as refused:
        raise AssertionError("not let in") from refused


#: What uses each role's rights: a conversation that fails where one is missing. The logs are the exception: MiniStack
#: writes them itself.
USES: dict[str, Callable[[Stack, float], None]] = {"SocketRole": chat}


@dataclass(frozen=True, slots=True)
class Right:
    """One action of one statement of a role."""

    role: str
    statement: int
    action: str


UNPROVEN = ("dynamodb:BatchGetItem",)  # part of the Table port; no line of the text protocol needs it yet
RIGHTS = [
    Right(statement.role, statement.number, action)
    for statement in statements()
    for action in statement.actions
    if not action.startswith("logs:") and action not in UNPROVEN
]


def test_every_role_with_rights_is_used_here() -> None:
    assert {right.role for right in RIGHTS} == set(USES)


@pytest.mark.parametrize("role", USES)
def test_with_all_its_rights_everything_works(stack: Stack, role: str) -> None:
    USES[role](stack, 60.0)


@contextlib.contextmanager
def without(stack: Stack, right: Right) -> Iterator[None]:
    """The role as it is but for one right."""
    iam, role = stack.client("iam"), stack.physical(right.role)
    (name,) = iam.list_role_policies(RoleName=role)["PolicyNames"]
    whole = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
    cut: dict[str, Any] = json.loads(json.dumps(whole))
    statement = cut["Statement"][right.statement]
    actions = [statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"]
    statement["Action"] = [action for action in actions if action != right.action]
    if not statement["Action"]:
        del cut["Statement"][right.statement]
    iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(cut))
    try:
        yield
    finally:
        iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(whole))


@pytest.mark.parametrize("right", RIGHTS, ids=lambda right: f"{right.role} {right.action}")
def test_without_any_of_its_rights_something_fails(stack: Stack, right: Right) -> None:
    with without(stack, right), pytest.raises(AssertionError):
        USES[right.role](stack, 3.0)
