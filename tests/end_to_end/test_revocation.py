"""G13 on real sockets: who is revoked, signed out or deactivated is refused at once, and cut off within five seconds,
while others go on talking."""

from __future__ import annotations

import contextlib
import json
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.tools import ROOST, Server, roost_serve

REVOCATIONS = 100
AT_ONCE = 10
CUT_OFF = 5.0  # seconds: G13


class Person:
    """Somebody with a token, who calls methods over HTTP."""

    def __init__(self, server: Server, token: str) -> None:
        self.server = server
        self.token = token

    def calls(self, method: str, **arguments: str) -> dict[str, Any]:
        body = urllib.parse.urlencode(arguments).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.server.port}/api/{method}", body)
        request.add_header("Authorization", f"Bearer {self.token}")
        with urllib.request.urlopen(request, timeout=30) as answer:
            return dict(json.load(answer))

    def does(self, method: str, **arguments: str) -> dict[str, Any]:
        answer = self.calls(method, **arguments)
        assert answer["ok"], answer
        return answer

    def listens(self, opened: contextlib.ExitStack) -> ClientConnection:
        """Their event stream."""
        stream = opened.enter_context(connect(self.does("rtm.connect")["url"]))
        assert json.loads(stream.recv(30))["type"] == "hello"
        return stream

    def sits_down(self, opened: contextlib.ExitStack) -> ClientConnection:
        """Their text connection."""
        terminal = opened.enter_context(connect(self.server.url))
        terminal.send(f"/login {self.token}")
        while not str(terminal.recv(30)).startswith("Logged in as "):
            pass
        return terminal


def ends_within(connection: ClientConnection, deadline: float) -> None:
    """Read what is there until the connection is closed."""
    with pytest.raises(ConnectionClosed):
        while True:
            connection.recv(max(0.01, deadline - time.monotonic()))


@contextlib.contextmanager
def talking(person: Person) -> Iterator[None]:
    """Somebody talks all the time."""
    over = threading.Event()

    def talk() -> None:
        while not over.is_set():
            person.does("chat.postMessage", channel="#general", text="and so on")

    thread = threading.Thread(target=talk)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(30)


def administer(data: Path, *arguments: str) -> str:
    return subprocess.run(
        [ROOST, *arguments, "--data", data], check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def ana_and_ben(tmp_path: Path) -> Iterator[tuple[Person, Person]]:
    administer(tmp_path, "user", "add", "ana", "--role", "owner")
    administer(tmp_path, "user", "add", "ben")
    tokens = [administer(tmp_path, "token", "create", name) for name in ("ana", "ben")]
    with roost_serve(tmp_path) as server:
        yield Person(server, tokens[0]), Person(server, tokens[1])


def test_a_hundred_revocations_during_traffic(ana_and_ben: tuple[Person, Person]) -> None:
    ana, ben = ana_and_ben
    with talking(ana), contextlib.ExitStack() as opened:
        for round_ in range(REVOCATIONS // AT_ONCE):
            made = [ben.does("tokens.create") for _ in range(AT_ONCE)]
            devices = [Person(ben.server, each["token"]) for each in made]
            sockets = [
                device.listens(opened) if number % 2 else device.sits_down(opened)
                for number, device in enumerate(devices, round_)
            ]
            for each, device, socket in zip(made, devices, sockets, strict=True):
                ben.does("tokens.revoke", token_id=each["info"]["id"])
                deadline = time.monotonic() + CUT_OFF
                assert device.calls("auth.test")["error"] == "token_revoked"
                ends_within(socket, deadline)
    ben.does("auth.test")


def test_a_deactivated_member_hears_nothing_more(ana_and_ben: tuple[Person, Person]) -> None:
    ana, ben = ana_and_ben
    who = ben.does("auth.test")["user_id"]
    for _ in range(3):
        with talking(ana), contextlib.ExitStack() as opened:
            sockets = [ben.listens(opened) if number % 2 else ben.sits_down(opened) for number in range(10)]
            ana.does("users.admin.setInactive", user=who)
            deadline = time.monotonic() + CUT_OFF
            assert ben.calls("auth.test")["error"] == "account_inactive"
            secret = f"said after {who} had gone"
            ana.does("chat.postMessage", channel="#general", text=secret)
            for socket in sockets:
                heard = []
                with pytest.raises(ConnectionClosed):
                    while True:
                        heard.append(str(socket.recv(max(0.01, deadline - time.monotonic()))))
                assert not any(secret in frame for frame in heard)
        ana.does("users.admin.setActive", user=who)
        link = ana.does("users.admin.createPasswordLink", user=who)["code"]
        ben.token = ana.does("auth.resetPassword", code=link, password="a horse of his own")["token"]
