"""The deployed stack, in use."""

from __future__ import annotations

import json
import urllib.request

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin

from tests.deploy.stack import Stack
from tests.deploy.uses import Member, hears, push


def test_the_web_address_says_where_the_sockets_are(stack: Stack) -> None:
    with urllib.request.urlopen(stack.web_url + "/", timeout=30) as page:
        assert f"npx wscat -c {stack.output('SocketUrl')}\n" in page.read().decode()


def test_pages_of_the_web_address_may_open_sockets_and_others_may_not(stack: Stack) -> None:
    with connect(stack.socket_url, origin=Origin(stack.output("WebUrl").rstrip("/"))):
        pass
    with pytest.raises(InvalidStatus):
        connect(stack.socket_url, origin=Origin("https://elsewhere.example"), legacy=True)


def test_a_revoked_token_ends_its_streams(stack: Stack) -> None:
    leaving = Member(stack, "leaving")
    with leaving.stream() as stream:
        hears(stream, '"hello"', 30.0)
        leaving.calls("auth.revoke")
        with pytest.raises(ConnectionClosed):
            stream.recv(30)


def test_what_the_push_function_gives_up_is_among_the_dead_letters(stack: Stack) -> None:
    push(stack, {"type": "nothing that it knows"})
    sqs, url = stack.client("sqs"), stack.physical("DeadLetters")
    given_up: list[object] = []
    while {"type": "nothing that it knows"} not in given_up:  # other tests leave theirs there, too
        messages = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=20, MaxNumberOfMessages=10).get("Messages")
        assert messages, given_up
        given_up += [json.loads(message["Body"])["requestPayload"] for message in messages]
