"""The chat over real posts to @connections that fail in every way: who is at fault loses their own frame at most."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from urllib.parse import unquote

import pytest

from roost.app import App
from roost.aws.push import ConnectionsPush
from roost.aws.sign import Credentials
from roost.settings import Settings
from roost.storage.items import socket_key
from roost.testing import FakeClock, MemoryTable, socket_event
from tests.aws.servers import FaultyServer, Reply, Request, listening

WELL = [f"L0SM9cOF{number:03}cCIhw=" for number in range(40)]
REFUSALS = {"429": 429, "403": 403, "413": 413, "500": 500, "503": 503, "gone": 410, "connecting": 410}
FAULTY = [*REFUSALS, "hangs", "hangs up"]


class Gateway:
    """@connections, as each receiver has it."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str, float]] = []
        self.faulty = True
        self.server: FaultyServer
        self._lock = threading.Lock()

    def __call__(self, request: Request) -> Reply | None:
        connection = unquote(request.path.rpartition("/")[2])
        if self.faulty and connection in REFUSALS:
            return Reply(REFUSALS[connection])
        if self.faulty and connection == "hangs":
            self.server.stopped.wait(60)
        if self.faulty and connection == "hangs up":
            return None
        with self._lock:
            self.heard.append((connection, request.body.decode(), time.monotonic()))
        return Reply(200, b"")


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    made = Gateway()
    with listening(made) as made.server:
        yield made


def test_any_faulty_receiver_harms_itself_alone(gateway: Gateway, request: pytest.FixtureRequest) -> None:
    """G9, G10, G11"""
    clock = FakeClock()
    table = MemoryTable(clock=lambda: clock.now, exclusive=False)
    push = ConnectionsPush(f"{gateway.server.url}/prod", "eu-west-1", lambda: Credentials("test", "test"))
    request.addfinalizer(push.close_sockets)
    app = App(table, push, clock, Settings())

    def enter(connection: str) -> None:
        app.handle(socket_event("CONNECT", connection, time=clock.now_us() // 1000))

    def say(text: str) -> None:
        app.handle(socket_event("MESSAGE", WELL[0], text, time=clock.now_us() // 1000))

    for connection in [*WELL, *FAULTY]:
        if connection == "connecting":
            continue
        enter(connection)
    clock.now += 11
    enter("connecting")

    began = time.monotonic()
    say("one")
    took = time.monotonic() - began
    assert {(who, frame) for who, frame, _ in gateway.heard} == {
        (who, "#general anonymous: one") for who in WELL[1:]
    }, "and nothing to who said it: it is stored, whoever could not be told"
    assert len(gateway.heard) == len(WELL) - 1
    assert max(moment for _, _, moment in gateway.heard) - began < 1.5, "who is well waited for who is not"
    assert took < 10
    assert table.get(socket_key("gone")) is None
    assert all(table.get(socket_key(who)) for who in [*WELL, *FAULTY] if who != "gone")

    gateway.faulty = False
    gateway.heard.clear()
    say("two")
    expected = [who for who in [*WELL[1:], *FAULTY] if who != "gone"]
    assert sorted(who for who, _, _ in gateway.heard) == sorted(expected)
    push.close_sockets()
