"""What people do with a deployed stack: for each function a conversation that needs all of its rights.

Each takes how long it may wait for anything, and raises AssertionError where something does not happen.
"""

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
from collections.abc import Callable, Mapping
from typing import Any

from websockets.exceptions import InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.deploy.stack import REGION, Stack
from tests.tools import ROOST


def hears(client: ClientConnection, text: str, seconds: float) -> None:
    """Wait for a frame that holds this text."""
    deadline = time.monotonic() + seconds
    with contextlib.suppress(TimeoutError):
        while True:
            frame = str(client.recv(max(0.0, deadline - time.monotonic())))
            if text in frame:
                return
            assert "Something went wrong" not in frame, frame
    raise AssertionError(f"no {text!r}")


def eventually(look: Callable[[], bool], seconds: float, what: str) -> None:
    """Look again and again until it is so."""
    deadline = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


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
        answered = self.asks(method, **arguments)
        assert answered["ok"] is True, (method, answered)
        return answered

    def asks(self, method: str, **arguments: str) -> dict[str, Any]:
        """Call a method."""
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


def both_in_a_channel(stack: Stack) -> tuple[Member, Member, str]:
    """Mia and Ben, members of a new channel."""
    mia, ben = member(stack, "mia"), member(stack, "ben")
    channel = str(mia.calls("conversations.create", name=f"c{uuid.uuid4().hex[:12]}")["channel"]["id"])
    ben.calls("conversations.join", channel=channel)
    return mia, ben, channel


# -- the socket function ----------------------------------------------------------------------------------------------


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


# -- the HTTP function ------------------------------------------------------------------------------------------------


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


def http(stack: Stack, seconds: float) -> None:
    """Everything that the HTTP function does."""
    web_api(stack, seconds)
    files(stack)


def files(stack: Stack) -> None:
    """A file is brought, found missing where it was not, fetched and deleted."""
    mia, _, channel = both_in_a_channel(stack)
    expected = mia.calls("files.getUploadURLExternal", filename="a.txt", length="5")
    file = str(expected["file_id"])
    done = {"files": json.dumps([{"id": file}]), "channel_id": channel}
    assert mia.asks("files.completeUploadExternal", **done)["error"] == "file_update_failed"
    where = str(expected["upload_url"]).removeprefix(stack.output("WebUrl"))
    fetch(urllib.request.Request(f"{stack.web_url}/{where}", b"bytes", {"Content-Type": "text/plain"}))
    (shared,) = mia.calls("files.completeUploadExternal", **done)["files"]
    link = str(shared["url_private"]).removeprefix(stack.output("WebUrl"))
    asked = urllib.request.Request(f"{stack.web_url}/{link}")
    asked.add_unredirected_header("Authorization", f"Bearer {mia.token}")
    assert fetch(asked) == b"bytes"
    mia.calls("files.delete", file=file)
    kept = stack.client("s3").list_objects_v2(Bucket=stack.output("BucketName")).get("Contents", [])
    assert file not in {each["Key"] for each in kept}, "still there"


def fetch(request: urllib.request.Request) -> bytes:
    """What is there, redirected or not."""
    try:
        with urllib.request.urlopen(request, timeout=40) as answer:
            body: bytes = answer.read()
            return body
    except urllib.error.HTTPError as error:
        raise AssertionError(f"{request.full_url}: {error.code} {error.read()!r}") from None


# -- the push function ------------------------------------------------------------------------------------------------


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
        now, nobody = time.time_ns() // 1_000_000, a_gone_stream(stack, seat["channel"]["S"])
        receivers = {seat["PK"]["S"].removeprefix("N#"): int(seat["since"]["N"]), nobody: now - 60_000}
        share = {"type": "share", "channel": seat["channel"]["S"], "receivers": receivers}
        once = {**share, "name": uuid.uuid4().hex, "time": now, "frame": packed("once")}
        push(stack, once)
        hears(ana, "once", seconds)
        eventually(lambda: not is_there(stack, nobody), seconds, "the gone one is still there")
        push(stack, once)
        time.sleep(1.0)
        push(stack, {**share, "name": uuid.uuid4().hex, "time": now - 60_000, "frame": packed("late")})
        with contextlib.suppress(TimeoutError):
            assert ana.recv(seconds) == "late", "told twice"
            return
        raise AssertionError("not told")


def a_gone_stream(stack: Stack, channel: str) -> str:
    """A stream of a member of a channel that nobody has told us to be over; answers its connection."""
    client, table = stack.client("dynamodb"), stack.output("TableName")
    nobody, user = f"{uuid.uuid4().hex[:15]}=", f"U{uuid.uuid4().hex[:9]}"
    since = {"N": str(time.time_ns() // 1_000_000 - 60_000)}
    seat = {"user": {"S": user}, "name": {"S": ""}, "guest": {"BOOL": False}, "since": since, "kind": {"S": "stream"}}
    for item in (
        {"PK": {"S": f"C#{channel}"}, "SK": {"S": f"M#{user}"}},
        {"PK": {"S": f"P#{user}"}, "SK": {"S": "META"}, f"c_{nobody}": since},
        {"PK": {"S": f"N#{nobody}"}, "SK": {"S": "META"}, "channel": {"S": ""}, "channel_name": {"S": ""}, **seat},
    ):
        client.put_item(TableName=table, Item=item)
    return nobody


def is_there(stack: Stack, connection: str) -> bool:
    """Whether the table has a connection."""
    key = {"PK": {"S": f"N#{connection}"}, "SK": {"S": "META"}}
    client = stack.client("dynamodb")
    return "Item" in client.get_item(TableName=stack.output("TableName"), Key=key, ConsistentRead=True)


def packed(frame: str) -> str:
    return base64.b64encode(zlib.compress(frame.encode())).decode()


def pushes(stack: Stack, seconds: float) -> None:
    """Everything that the push function is told to do."""
    first_frame(stack, seconds)
    shares(stack, seconds)


def push(stack: Stack, event: Mapping[str, Any]) -> None:
    name = stack.physical("Push")
    stack.client("lambda").invoke(FunctionName=name, InvocationType="Event", Payload=json.dumps(event).encode())


# -- the stream's and the queue's -------------------------------------------------------------------------------------


def found(stack: Stack, seconds: float) -> None:
    """What was said is found, and a job has a message in the queue, once the table's stream has brought them."""
    mia, _, channel = both_in_a_channel(stack)
    word = f"w{uuid.uuid4().hex}"
    mia.calls("chat.postMessage", channel=channel, text=f"a {word} for the search")
    eventually(lambda: is_indexed(stack, word), seconds, word)
    assert word in json.dumps(mia.calls("search.messages", query=word)["messages"]["matches"])
    waiting = delayed(stack)
    at = int(time.time()) + 3600
    scheduled = mia.calls("chat.scheduleMessage", channel=channel, text="in an hour", post_at=str(at))
    eventually(lambda: delayed(stack) > waiting, seconds, "no message for the job")
    mia.calls("chat.deleteScheduledMessage", channel=channel, scheduled_message_id=scheduled["scheduled_message_id"])


def is_indexed(stack: Stack, word: str) -> bool:
    """Whether a word is among the keys of the table: to search again and again would be too many calls a minute."""
    items = stack.client("dynamodb").scan(TableName=stack.output("TableName"), ConsistentRead=True)["Items"]
    return any(word in item["PK"]["S"] + item["SK"]["S"] for item in items)


def delayed(stack: Stack) -> int:
    """How many of the queue's messages wait for their time."""
    name = "ApproximateNumberOfMessagesDelayed"
    answer = stack.client("sqs").get_queue_attributes(QueueUrl=stack.physical("Jobs"), AttributeNames=[name])
    return int(answer["Attributes"][name])


def scheduled(stack: Stack, seconds: float) -> None:
    """What is scheduled is said when its time has come, and comes by again where it has not."""
    mia, ben, channel = both_in_a_channel(stack)
    with ben.stream() as stream:
        hears(stream, '"hello"', 30.0)
        nobody = a_gone_stream(stack, channel)
        mia.calls("chat.scheduleMessage", channel=channel, text="on time", post_at=str(int(time.time()) + 2))
        hears(stream, "on time", seconds + 2)
        eventually(lambda: not is_there(stack, nobody), seconds, "the gone one is still there")
    erased(stack, seconds)
    later = mia.calls("chat.scheduleMessage", channel=channel, text="in an hour", post_at=str(int(time.time()) + 3600))
    eventually(lambda: bool(jobs(stack, later)), 30.0, "no job")
    waiting = delayed(stack)
    (job,) = jobs(stack, later)
    stack.client("sqs").send_message(QueueUrl=stack.physical("Jobs"), MessageBody=json.dumps({"job": job}))
    eventually(lambda: delayed(stack) > waiting, seconds, "no further message for the job")


def erased(stack: Stack, seconds: float) -> None:
    """What a deletion that died on the way left of a file is taken away by its job."""
    file, bucket = f"F{uuid.uuid4().hex[:10].upper()}", stack.output("BucketName")
    stack.client("s3").put_object(Bucket=bucket, Key=file, Body=b"bytes")
    fields = {"user": {"S": "U1"}, "id": {"S": file}, "at": {"N": "0"}}
    key = {"PK": {"S": "O#JOBS"}, "SK": {"S": f"erase-{file}"}}
    job = {"id": {"S": f"erase-{file}"}, "kind": {"S": "erase_file"}, "fields": {"M": fields}, "due": {"N": "1000"}}
    stack.client("dynamodb").put_item(TableName=stack.output("TableName"), Item=key | job)

    def gone() -> bool:
        kept = stack.client("s3").list_objects_v2(Bucket=bucket).get("Contents", [])
        return file not in {each["Key"] for each in kept}

    eventually(gone, seconds, "still there")


def jobs(stack: Stack, answer: Mapping[str, Any]) -> list[str]:
    """The jobs of a scheduled message."""
    items = stack.client("dynamodb").scan(TableName=stack.output("TableName"), ConsistentRead=True)["Items"]
    mine = [
        item for item in items if item["PK"]["S"] == "O#JOBS" and answer["scheduled_message_id"] in json.dumps(item)
    ]
    return [str(item["SK"]["S"]) for item in mine]
