"""Two unmodified wscat clients reproduce the blog post's exchange to the byte, through everything that can serve it."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from roost.local.sqlite import SqliteTable
from roost.storage.workspace import open_workspace
from tests.lines import said
from tests.tools import (
    ROOT,
    Server,
    Wscat,
    dynamodb_local,
    ministack,
    roost_gateway,
    roost_serve,
    start_serve,
    wscat,
)

HELP = "Valid commands: /help, /name [NAME], /channel [CHAN_NAME]"
APP = ROOT / "examples" / "blog-post" / "serverless.yml"


@pytest.fixture(scope="module")
def emulated_aws() -> Iterator[str]:
    with ministack() as endpoint:
        yield endpoint


def exchange(url: str) -> None:
    """The conversation of the blog post."""
    with wscat(url) as ana, wscat(url) as ben:
        ana.type("/name ana")
        ana.hears("Set username to ana")
        ben.type("hello")
        ana.hears("#general anonymous: hello")
        ben.type("/name bz")
        ben.hears("Set username to bz")
        ben.type("hello again")
        ana.hears("#general bz: hello again")
        ana.type("hi bz!")
        ben.hears("#general ana: hi bz!")
        ana.type("/channel random")
        ana.hears("Changed to #random")
        ben.type('{"action":"command","data":"fetchChannels"}')
        ben.hears('{"channelsList": ["general", "random"]}')
        ben.type("is anybody here?")
        ben.type("/channel #random")
        ben.hears("Changed to #random")
        ana.type("over here")
        ben.hears("#random ana: over here")
        ana.type("/help")
        ana.shows(HELP)
        assert ana.said()[:3] == ["Set username to ana", "#general anonymous: hello", "#general bz: hello again"]
        assert not any("is anybody here?" in line for line in ana.said())
        assert not any("bz:" in line for line in ben.said())  # nobody hears themselves


def test_through_roost_serve(tmp_path: Path) -> None:
    with roost_serve(tmp_path) as server:
        exchange(server.url)


@pytest.mark.parametrize("how", [(), ("--isolated",)], ids=["in process", "isolated"])
def test_through_its_own_functions_with_an_emulated_dynamodb(
    tmp_path: Path, emulated_aws: str, how: tuple[str, ...]
) -> None:
    stage = "isolated" if how else "inprocess"  # a table of its own
    with roost_gateway(APP, tmp_path, "--dynamodb", emulated_aws, "--stage", stage, *how) as server:
        exchange(server.url)
        assert "Traceback" not in server.stderr()


def test_one_endpoint_for_all_of_aws_in_the_shell_is_enough(tmp_path: Path, emulated_aws: str) -> None:
    variables = {"AWS_ENDPOINT_URL": emulated_aws}
    with roost_gateway(APP, tmp_path, "--stage", "variable", env=variables) as server:
        exchange(server.url)
        assert "Traceback" not in server.stderr()


def test_over_tls_by_a_client_that_is_given_the_authority(tmp_path: Path, emulated_aws: str) -> None:
    with roost_gateway(APP, tmp_path, "--dynamodb", emulated_aws, "--stage", "tls") as server:
        secure = server.url.replace("ws://", "wss://")
        with wscat(secure, "--ca", str(tmp_path / "authority.pem")) as ana, wscat(server.url) as ben:
            ana.type("encrypted")
            ben.hears("#general anonymous: encrypted")


@pytest.mark.reference
@pytest.mark.parametrize("how", [(), ("--isolated",)], ids=["in process", "isolated"])
def test_through_its_own_functions_with_amazons_dynamodb_local(tmp_path: Path, how: tuple[str, ...]) -> None:
    with dynamodb_local() as endpoint, roost_gateway(APP, tmp_path, "--dynamodb", endpoint, *how) as server:
        exchange(server.url)


def test_what_was_delivered_is_there_after_a_kill_in_mid_chat(tmp_path: Path) -> None:
    server = start_serve(tmp_path)
    try:
        with wscat(server.url) as ana, wscat(server.url) as ben:
            typing = threading.Thread(target=type_on, args=(ana,))
            typing.start()
            ben.hears("#general anonymous: line 20;")
            server.kill()
            typing.join(20)
            heard = ben.said()
        assert len(heard) > 20
        server = start_serve(tmp_path)
        with wscat(server.url) as ana:
            ana.type("/history 200")
            for line in heard:
                ana.shows(line)
    finally:
        server.kill()


def type_on(client: Wscat) -> None:
    """Type many lines, or until wscat has ended."""
    with contextlib.suppress(OSError):
        for number in range(150):
            client.type(f"line {number};")


def test_twenty_kills_lose_nothing_that_anybody_saw(tmp_path: Path) -> None:
    seen: set[str] = set()
    for round_number in range(20):
        before = len(seen)
        talk_until_killed(start_serve(tmp_path), round_number, seen)
        assert len(seen) > before
    table = SqliteTable(tmp_path / "roost.db")
    workspace = open_workspace(table, 0)
    stored = [row.text for _, row in said(table, workspace.general)]
    table.close()
    assert seen <= set(stored)
    assert len(stored) == len(set(stored))


def talk_until_killed(server: Server, round_number: int, seen: set[str]) -> None:
    """One speaks, another notes what arrives, until the server is killed in the middle of it: a little after the first
    line has arrived, however long that takes here."""
    ready = threading.Event()
    killer = threading.Timer(0.05 + 0.01 * round_number, server.kill)

    def listen() -> None:
        try:
            with connect(server.url) as listener:
                listener.send("/who")
                listener.recv(10)
                ready.set()
                seen.add(str(listener.recv(30)).removeprefix("#general anonymous: "))
                killer.start()
                while True:
                    seen.add(str(listener.recv(10)).removeprefix("#general anonymous: "))
        except (ConnectionClosed, TimeoutError, OSError):
            return

    thread = threading.Thread(target=listen)
    thread.start()
    try:
        with connect(server.url) as speaker:
            assert ready.wait(30)
            for number in range(100_000):
                speaker.send(f"r{round_number} line {number}")
                if number % 8 == 7:
                    time.sleep(0.002)
    except (ConnectionClosed, OSError):
        pass
    killer.join()
    thread.join(15)
