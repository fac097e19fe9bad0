"""`roost serve --table`: the laptop's gateway on the AWS data path, used by real clients. MiniStack in `make test`,
Amazon's DynamoDB Local in `make test-reference`."""

from __future__ import annotations

import contextlib
import json
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from roost.aws.sign import Credentials
from roost.local.dynamodb import Address, make_ready, open_table
from roost.storage.table import TableError
from roost.storage.workspace import open_workspace
from tests.end_to_end.test_blog_post import exchange
from tests.lines import said
from tests.tools import ROOST, Server, dynamodb_local, ministack, roost_serve, start_serve

KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}


@pytest.fixture(scope="module", params=["ministack", pytest.param("dynamodb-local", marks=pytest.mark.reference)])
def endpoint(request: pytest.FixtureRequest) -> Iterator[str]:
    with ministack() if request.param == "ministack" else dynamodb_local() as url:
        yield url


@pytest.fixture
def table(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of a table that is not there yet."""
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    return f"dynamodb://chat-{time.time_ns()}?endpoint={endpoint}&region=eu-west-1"


def test_the_blog_posts_exchange_happens_on_a_table(table: str, tmp_path: Path) -> None:
    with roost_serve(tmp_path, "--table", table) as server:
        server.wait_for("data ")
        assert table in server.stdout()
        exchange(server.url)
        assert server.stop() == 0
        assert server.stderr() == ""
    assert not (tmp_path / "roost.db").exists()


def test_the_lines_of_one_connection_keep_their_order(table: str, tmp_path: Path) -> None:
    said = [f"line {number}" for number in range(40)]
    with roost_serve(tmp_path, "--table", table) as server, connect(server.url) as ana, connect(server.url) as ben:
        ben.send("/who")
        ben.recv(20)
        for line in said:
            ana.send(line)
        assert [ben.recv(20) for _ in said] == [f"#general anonymous: {line}" for line in said]


def test_members_are_made_and_log_in_while_the_server_runs(table: str, tmp_path: Path) -> None:
    def run(*arguments: str) -> str:
        command = [str(ROOST), *arguments, "--table", table, "--data", str(tmp_path)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout

    with roost_serve(tmp_path, "--table", table) as server, connect(server.url) as ana:
        assert run("user", "add", "Ana") == "Ana is a member\n"
        token = json.loads(run("token", "create", "ana", "--json"))["token"]
        ana.send(f"/login {token}")
        assert ana.recv(20) == "Logged in as Ana"


def test_kills_in_mid_chat_lose_nothing_that_anybody_saw(table: str, tmp_path: Path) -> None:
    seen: list[str] = []
    for round_number in range(3):
        talk_until_killed(start_serve(tmp_path, "--table", table), round_number, seen)
    store = open_table(table, KEYS)
    stored = [row.text for _, row in said(store, open_workspace(store, 0).general)]
    store.close()
    assert len(seen) >= 30
    assert set(seen) <= set(stored)
    assert len(stored) == len(set(stored))
    assert [text for text in stored if text in set(seen)] == seen


def talk_until_killed(server: Server, round_number: int, seen: list[str]) -> None:
    """One speaks, another notes what arrives; at the tenth line the server is killed in the middle of it."""
    with connect(server.url) as listener, connect(server.url) as speaker:
        listener.send("/who")
        listener.recv(20)

        def speak() -> None:
            with contextlib.suppress(ConnectionClosed):
                for number in range(10_000):
                    speaker.send(f"r{round_number} line {number}")
                    time.sleep(0.001)

        speaking = threading.Thread(target=speak)
        speaking.start()
        try:
            for count in range(10_000):
                if count == 10:
                    server.kill()
                seen.append(str(listener.recv(20)).removeprefix("#general anonymous: "))
        except ConnectionClosed:
            speaking.join(20)
        finally:
            server.kill()


def test_without_an_endpoint_a_missing_table_is_said_and_not_made(endpoint: str) -> None:
    where = Address("nobody-made-this", endpoint, "eu-west-1", own_endpoint=False)
    for _ in range(2):
        with pytest.raises(TableError) as refused:
            make_ready(where, Credentials("test", "test"))
        assert str(refused.value) == "there is no table nobody-made-this in eu-west-1; make deploy makes one"


def test_what_answers_but_is_no_dynamodb_is_said_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    with roost_serve(tmp_path / "one") as server:
        table = f"dynamodb://chat?endpoint=http://127.0.0.1:{server.port}&region=eu-west-1"
        command = [str(ROOST), "serve", "--port", "0", "--table", table, "--data", str(tmp_path / "two")]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert answer.returncode == 1
    assert answer.stderr.startswith("roost: ")
    assert len(answer.stderr.splitlines()) == 1
