"""The deployed stack, in use: the blog post's conversation, and roles that hold what the functions need and no more."""

from __future__ import annotations

import base64
import contextlib
import functools
import json
import os
import subprocess
import time
import urllib.error
import urllib.request
import uuid
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from tests.deploy.stack import REGION, Stack
from tests.deploy.template import statements
from tests.end_to_end.test_blog_post import exchange
from tests.tools import ROOST


def test_two_people_talk_as_in_the_blog_post(stack: Stack) -> None:
    exchange(stack.socket_url)


def test_the_web_address_says_where_the_sockets_are(stack: Stack) -> None:
    with urllib.request.urlopen(stack.web_url + "/", timeout=30) as page:
        assert f"npx wscat -c {stack.output('SocketUrl')}\n" in page.read().decode()


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


def socket(stack: Stack, query: str = "") -> ClientConnection:
    try:
        return connect(stack.socket_url + query)
    except InvalidStatus as refused:
        raise AssertionError("not let in") from refused


class Member:
    """Somebody with an account, who uses the Web API."""

    def __init__(self, stack: Stack, name: str) -> None:
        self._stack = stack
        table = f"dynamodb://{stack.output('TableName')}?endpoint={stack.endpoint}&region={REGION}"
        run_roost("user", "add", name, "--table", table)
        self.token = run_roost("token", "create", name, "--table", table)
        self.id = str(self.calls("auth.test")["user_id"])

    def calls(self, method: str, **arguments: str) -> dict[str, Any]:
        """Call a method, which must succeed."""
        request = urllib.request.Request(
            f"{self._stack.web_url}/api/{method}",
            json.dumps(arguments).encode(),
            {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json; charset=utf-8"},
        )
        try:
            with urllib.request.urlopen(request, timeout=40) as answer:
                answered: dict[str, Any] = json.load(answer)
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method}: {error.code} {error.read()!r}") from None
        assert answered["ok"] is True, (method, answered)
        return answered

    def stream(self) -> ClientConnection:
        """An event stream of theirs, opened."""
        ticket = str(self.calls("rtm.connect")["url"]).partition("?")[2]
        return socket(self._stack, "?" + ticket)


def run_roost(*arguments: str) -> str:
    """The command's output, as the account's owner."""
    key = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
    done = subprocess.run([ROOST, *arguments], env={**os.environ, **key}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@functools.cache
def member(stack: Stack, name: str) -> Member:
    """A member of the deployed stack, the same for every test."""
    return Member(stack, name)


def web_api(stack: Stack, seconds: float) -> None:
    """What the HTTP function does by each of its rights."""
    mia, ben = member(stack, "mia"), member(stack, "ben")
    channel = str(mia.calls("conversations.create", name=f"c{uuid.uuid4().hex[:12]}")["channel"]["id"])
    ben.calls("conversations.join", channel=channel)
    mia.calls("users.list")
    assert channel in {each["id"] for each in mia.calls("users.conversations")["channels"]}
    with ben.stream() as stream:
        hears(stream, '"hello"', 30.0)
        said = mia.calls("chat.postMessage", channel=channel, text="by HTTP")
        hears(stream, "by HTTP", seconds)
        mia.calls("reactions.add", channel=channel, timestamp=str(said["ts"]), name="wave")
        mia.calls("reactions.remove", channel=channel, timestamp=str(said["ts"]), name="wave")
        assert "by HTTP" in json.dumps(mia.calls("conversations.history", channel=channel))
    ben.calls("conversations.leave", channel=channel)


def sockets(stack: Stack, seconds: float) -> None:
    """What the socket function does by each of its rights: for lines of text and for event streams."""
    chat(stack, seconds)
    mia, ben = member(stack, "mia"), member(stack, "ben")
    channel = str(mia.calls("conversations.create", name=f"c{uuid.uuid4().hex[:12]}")["channel"]["id"])
    ben.calls("conversations.join", channel=channel)
    with mia.stream() as first, ben.stream() as second:
        for stream in (first, second):
            hears(stream, '"hello"', seconds)
        first.send(json.dumps({"id": 1, "type": "message", "channel": channel, "text": "by a stream"}))
        hears(second, "by a stream", seconds)


def test_a_revoked_token_ends_its_streams(stack: Stack) -> None:
    leaving = Member(stack, "leaving")
    with leaving.stream() as stream:
        hears(stream, '"hello"', 30.0)
        leaving.calls("auth.revoke")
        with pytest.raises(ConnectionClosed):
            stream.recv(30)


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


def shares(stack: Stack, seconds: float) -> None:
    """The push function is given shares of an audience, one of them twice, one late; a member's stream is gone."""
    with socket(stack) as ana:
        channel = f"c{uuid.uuid4().hex[:12]}"
        ana.send(f"/channel {channel}")
        hears(ana, f"Changed to #{channel}", 30.0)
        client, table = stack.client("dynamodb"), stack.output("TableName")
        seats = client.scan(TableName=table, ConsistentRead=True)["Items"]
        (seat,) = [seat for seat in seats if seat.get("channel_name") == {"S": channel}]
        now, nobody, user = time.time_ns() // 1_000_000, f"{uuid.uuid4().hex[:15]}=", f"U{uuid.uuid4().hex[:9]}"
        stream = {"PK": {"S": f"N#{nobody}"}, "SK": {"S": "META"}}
        for item in (
            {"PK": {"S": f"C#{seat['channel']['S']}"}, "SK": {"S": f"M#{user}"}},
            {"PK": {"S": f"P#{user}"}, "SK": {"S": "META"}, f"c_{nobody}": {"N": str(now - 60_000)}},
            {**seat, **stream, "user": {"S": user}, "kind": {"S": "stream"}},
        ):
            client.put_item(TableName=table, Item=item)
        receivers = {seat["PK"]["S"].removeprefix("N#"): int(seat["since"]["N"]), nobody: now - 60_000}
        share = {"type": "share", "channel": seat["channel"]["S"], "receivers": receivers}
        once = {**share, "name": uuid.uuid4().hex, "time": now, "frame": packed("once")}
        push(stack, once)
        hears(ana, "once", seconds)
        deadline = time.monotonic() + seconds
        while "Item" in client.get_item(TableName=table, Key=stream, ConsistentRead=True):
            assert time.monotonic() < deadline, "the gone one is still there"
            time.sleep(0.1)
        push(stack, once)
        time.sleep(1.0)
        push(stack, {**share, "name": uuid.uuid4().hex, "time": now - 60_000, "frame": packed("late")})
        with contextlib.suppress(TimeoutError):
            assert ana.recv(seconds) == "late", "told twice"
            return
        raise AssertionError("not told")


def packed(frame: str) -> str:
    return base64.b64encode(zlib.compress(frame.encode())).decode()


def pushes(stack: Stack, seconds: float) -> None:
    """Everything that the push function is told to do."""
    first_frame(stack, seconds)
    shares(stack, seconds)


def push(stack: Stack, event: Mapping[str, Any]) -> None:
    name = stack.physical("Push")
    stack.client("lambda").invoke(FunctionName=name, InvocationType="Event", Payload=json.dumps(event).encode())


def test_what_the_push_function_gives_up_is_among_the_dead_letters(stack: Stack) -> None:
    push(stack, {"type": "nothing that it knows"})
    queue = stack.client("sqs").receive_message(QueueUrl=stack.physical("DeadLetters"), WaitTimeSeconds=20)
    assert json.loads(queue["Messages"][0]["Body"])["requestPayload"] == {"type": "nothing that it knows"}


#: What uses each role's rights: something that fails where one is missing.
USES: dict[str, Callable[[Stack, float], None]] = {"SocketRole": sockets, "HttpRole": web_api, "PushRole": pushes}

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


@dataclass(frozen=True, slots=True)
class Right:
    """One action of one statement of a role."""

    role: str
    statement: int
    action: str


ALL = [Right(each.role, each.number, action) for each in statements() for action in each.actions]
RIGHTS = [right for right in ALL if (right.role, right.action) not in OF_LAMBDA]


def test_every_right_is_used_here_or_by_lambda() -> None:
    assert {(right.role, right.action) for right in ALL} >= OF_LAMBDA
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
