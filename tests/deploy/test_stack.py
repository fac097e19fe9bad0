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
from websockets.typing import Origin

from tests.deploy.stack import Stack
from tests.deploy.template import statements
from tests.end_to_end.test_blog_post import exchange


def test_two_people_talk_as_in_the_blog_post(stack: Stack) -> None:
    exchange(stack.socket_url)


def test_the_web_address_answers(stack: Stack) -> None:
    with urllib.request.urlopen(stack.web_url + "/", timeout=30) as page:
        assert "wscat" in page.read().decode()


def test_pages_of_the_web_address_may_open_sockets_and_others_may_not(stack: Stack) -> None:
    with connect(stack.socket_url, origin=Origin(stack.output("WebUrl").rstrip("/"))):
        pass
    with pytest.raises(InvalidStatus):
        connect(stack.socket_url, origin=Origin("https://elsewhere.example"), legacy=True)


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


def first_frame(stack: Stack, seconds: float) -> None:
    """The push function is told to send the first frame of a connection."""
    with socket(stack) as ana:
        ana.send("/who")
        hears(ana, "In #general: ", 30.0)
        seats = stack.client("dynamodb").scan(TableName=stack.output("TableName"), ConsistentRead=True)["Items"]
        newest = max(
            (seat for seat in seats if seat["PK"]["S"].startswith("N#")), key=lambda seat: int(seat["since"]["N"])
        )
        push(stack, {"type": "first", "connection": newest["PK"]["S"].removeprefix("N#"), "payload": "welcome"})
        hears(ana, "welcome", seconds)


def push(stack: Stack, event: dict[str, str]) -> None:
    name = stack.physical("Push")
    stack.client("lambda").invoke(FunctionName=name, InvocationType="Event", Payload=json.dumps(event).encode())


def test_what_the_push_function_gives_up_is_among_the_dead_letters(stack: Stack) -> None:
    push(stack, {"type": "nothing that it knows"})
    queue = stack.client("sqs").receive_message(QueueUrl=stack.physical("DeadLetters"), WaitTimeSeconds=20)
    assert json.loads(queue["Messages"][0]["Body"])["requestPayload"] == {"type": "nothing that it knows"}


#: What uses each role's rights: something that fails where one is missing.
USES: dict[str, Callable[[Stack, float], None]] = {"SocketRole": chat, "PushRole": first_frame}

#: What Lambda itself does by a role, for the function: MiniStack does it without asking.
OF_LAMBDA = {
    ("SocketRole", "logs:CreateLogStream"),
    ("SocketRole", "logs:PutLogEvents"),
    ("HttpRole", "logs:CreateLogStream"),
    ("HttpRole", "logs:PutLogEvents"),
    ("PushRole", "logs:CreateLogStream"),
    ("PushRole", "logs:PutLogEvents"),
    ("PushRole", "sqs:SendMessage"),
}
#: What a role has for what the core asks of its ports, and no line of the text protocol needs yet.
NOT_YET = {("SocketRole", "dynamodb:BatchGetItem"), ("SocketRole", "lambda:InvokeFunction")}


@dataclass(frozen=True, slots=True)
class Right:
    """One action of one statement of a role."""

    role: str
    statement: int
    action: str


ALL = [Right(each.role, each.number, action) for each in statements() for action in each.actions]
RIGHTS = [right for right in ALL if (right.role, right.action) not in OF_LAMBDA | NOT_YET]


def test_every_right_is_used_here_by_lambda_or_soon() -> None:
    assert {(right.role, right.action) for right in ALL} >= OF_LAMBDA | NOT_YET
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
