"""Roles hold what the functions need and no more: with any right taken away something fails."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.deploy.stack import BATCH, Stack
from tests.deploy.template import statements
from tests.deploy.uses import both_in_a_channel, found, hears, http, pushes, scheduled, sockets

#: What uses each role's rights.
USES: dict[str, Callable[[Stack, float], None]] = {
    "SocketRole": sockets,
    "HttpRole": http,
    "PushRole": pushes,
    "StreamRole": found,
    "WorkerRole": scheduled,
}

#: What Lambda itself does by a role, for the function: MiniStack does it without asking. And what makes S3 say that
#: nothing is there, instead of that it does not say: MiniStack always says.
UNASKED = {
    *((role, f"logs:{action}") for role in USES for action in ("CreateLogStream", "PutLogEvents")),
    ("PushRole", "sqs:SendMessage"),
    ("HttpRole", "s3:ListBucket"),
    *(
        ("StreamRole", f"dynamodb:{each}")
        for each in ("DescribeStream", "GetRecords", "GetShardIterator", "ListStreams")
    ),
    *(("WorkerRole", f"sqs:{each}") for each in ("DeleteMessage", "GetQueueAttributes", "ReceiveMessage")),
}

#: What has a test of its own below.
ELSEWHERE = {("HttpRole", "lambda:InvokeFunction"), ("WorkerRole", "lambda:InvokeFunction")}


@dataclass(frozen=True, slots=True)
class Right:
    """One action of one statement of a role."""

    role: str
    statement: int
    action: str


ALL = [Right(each.role, each.number, action) for each in statements() for action in each.actions]
RIGHTS = [right for right in ALL if (right.role, right.action) not in UNASKED | ELSEWHERE]


def the_right(role: str, action: str) -> Right:
    (found,) = (right for right in ALL if (right.role, right.action) == (role, action))
    return found


def test_every_right_is_used_here_or_not_asked_for() -> None:
    assert {(right.role, right.action) for right in ALL} >= UNASKED | ELSEWHERE
    assert {right.role for right in RIGHTS} == set(USES)


@pytest.mark.parametrize("role", USES)
def test_with_all_its_rights_everything_works(stack: Stack, role: str) -> None:
    USES[role](stack, 60.0)


@contextlib.contextmanager
def without(stack: Stack, right: Right) -> Iterator[None]:
    """The role as it is but for one right."""
    whole = stack.policy(right.role)
    cut: dict[str, Any] = json.loads(json.dumps(whole))
    statement = cut["Statement"][right.statement]
    actions = [statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"]
    taken = {right.action, BATCH} if right.action == "sqs:SendMessage" else {right.action}
    statement["Action"] = [action for action in actions if action not in taken]
    if not statement["Action"]:
        del cut["Statement"][right.statement]
    stack.allow(right.role, cut)
    try:
        yield
    finally:
        stack.allow(right.role, whole)


@pytest.mark.parametrize("right", RIGHTS, ids=lambda right: f"{right.role} {right.action}")
def test_without_any_of_its_rights_something_fails(stack: Stack, right: Right) -> None:
    if right.role in ("StreamRole", "WorkerRole"):
        USES[right.role](
            stack, 60.0
        )  # what an earlier refusal holds up has passed: MiniStack tries again after a while
    with without(stack, right), pytest.raises(AssertionError):
        USES[right.role](stack, 2.0)


def test_large_audiences_are_told_by_the_push_function_or_by_the_function_itself(crowded: Stack) -> None:
    mia, ben, channel = both_in_a_channel(crowded)
    with mia.stream() as first, ben.stream() as second:

        def all_hear(text: str, seconds: float, **when: str) -> None:
            mia.calls("chat.scheduleMessage" if when else "chat.postMessage", channel=channel, text=text, **when)
            for stream in (first, second):
                hears(stream, text, seconds)

        for stream in (first, second):
            hears(stream, '"hello"', 30.0)
        all_hear("by the push function", 30.0)
        all_hear("by the push function, on time", 30.0, post_at=soon())
        with without(crowded, the_right("PushRole", "execute-api:ManageConnections")):
            for when in ({}, {"post_at": soon()}):
                with pytest.raises(AssertionError):
                    all_hear("by the push function, which may not", 4.0, **when)
            with without(crowded, the_right("HttpRole", "lambda:InvokeFunction")):
                all_hear("by the function itself, which may not hand it over", 30.0)
            with without(crowded, the_right("WorkerRole", "lambda:InvokeFunction")):
                all_hear("by the worker itself, which may not hand it over", 30.0, post_at=soon())


def soon() -> str:
    return str(int(time.time()) + 2)
