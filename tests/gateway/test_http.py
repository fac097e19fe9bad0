"""HTTP connections end: who waits or sends without end, or does not read, is closed, and all others are served."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect

from roost.gateway import server
from roost.gateway.certificates import certificate
from roost.gateway.clients import Patience
from roost.gateway.definition import HttpRoute
from tests.gateway.harness import OK, Running, eventually, http, running, service
from tests.tools import roost_serve

QUICK = Patience(head=0.4, body=0.4, idle=0.4, unread=0.4)
HEAD = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
GET = b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n"
LAST = b"GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
UPGRADE = (
    b"GET /dev HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def path_of(event: dict[str, Any]) -> Any:
    """Answers its path; `/slow…` takes a while, `/large` is a large answer."""
    if event["rawPath"].startswith("/slow"):
        time.sleep(0.3)
    return "x" * 30_000_000 if event["rawPath"] == "/large" else event["rawPath"]


@contextlib.contextmanager
def gateway(patience: Patience = QUICK, tls: ssl.SSLContext | None = None) -> Iterator[Running]:
    declared = service({"$default": False}, http=(HttpRoute("ANY", "$default", "path"),))
    settings = server.Settings(log_events=False, patience=patience, tls=tls)
    with running(declared, {"path": path_of, "$default": lambda event: OK}, settings) as started:
        yield started


def client(to: Running) -> socket.socket:
    return socket.create_connection(("127.0.0.1", to.port), timeout=10)


def read_all(connection: socket.socket) -> bytes:
    """What comes until the other side closes or resets."""
    parts = []
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


def bodies(raw: bytes) -> list[bytes]:
    return [part.partition(b"\r\n\r\n")[2] for part in raw.split(b"HTTP/1.1 ")[1:]]


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    return certificate(tmp_path_factory.mktemp("tls"), ["localhost"]).context


# -- who waits --------------------------------------------------------------------------------------------------------

UNFINISHED = {
    "nothing": b"",
    "half a request line": b"GET / HT",
    "half a header": b"GET / HTTP/1.1\r\nHo",
    "half a body": HEAD % 9 + b"abc",
    "no body": HEAD % 9,
    "half a chunk": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc",
    "one byte of TLS": b"\x16",
    "one request, then nothing": GET % b"/",
    "one request, then half of one": GET % b"/" + b"GET / HT",
}


@pytest.mark.parametrize("sent", UNFINISHED.values(), ids=UNFINISHED.keys())
def test_a_connection_that_never_finishes_a_request_is_closed(sent: bytes, tls: ssl.SSLContext) -> None:
    with gateway(tls=tls) as running, client(running) as connection:
        connection.sendall(sent)
        assert len(bodies(read_all(connection))) == sent.count(b"GET / HTTP/1.1\r\nHost")
        eventually(lambda: not running.gateway._clients.all)


def test_a_finished_tls_handshake_that_asks_for_nothing_is_closed(tls: ssl.SSLContext) -> None:
    context = ssl._create_unverified_context()
    with gateway(tls=tls) as running, client(running) as raw:
        with context.wrap_socket(raw, server_hostname="localhost", suppress_ragged_eofs=True) as connection:
            assert connection.recv(10) == b""
        eventually(lambda: not running.gateway._clients.all)


def test_bytes_that_drip_do_not_keep_a_connection_open() -> None:
    with gateway() as running, client(running) as connection, pytest.raises(OSError, match=r"reset|pipe"):
        connection.sendall(HEAD % 100_000)
        for _ in range(200):
            connection.sendall(b"x")
            time.sleep(0.05)


def test_a_slow_body_that_goes_on_is_waited_for() -> None:
    with gateway() as running, client(running) as connection:
        connection.sendall(b"POST /slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 300000\r\n\r\n")
        for _ in range(15):  # longer than a body without progress may take
            connection.sendall(b"x" * 20_000)
            time.sleep(0.05)
        assert bodies(read_all(connection)) == [b'"/slow"']


def test_a_slow_function_is_waited_for() -> None:
    with gateway(Patience(head=0.1, body=0.1, idle=0.1, unread=0.1)) as running, client(running) as connection:
        connection.sendall(GET % b"/slow")
        assert bodies(read_all(connection)) == [b'"/slow"']


def test_who_does_not_read_an_answer_is_dropped() -> None:
    with gateway() as running, client(running) as connection:
        connection.sendall(GET % b"/large")
        eventually(lambda: running.functions.events)
        eventually(lambda: not running.gateway._clients.all)


def test_who_reads_slowly_gets_everything() -> None:
    with gateway(dataclasses.replace(QUICK, unread=3.0)) as running, client(running) as connection:
        connection.sendall(GET % b"/large")
        received = 0
        while received < 30_000_000 and (part := connection.recv(1_000_000)):
            received += len(part)
            time.sleep(0.15)  # longer than 3 seconds in all
    assert received > 30_000_000


def test_a_flood_of_idle_connections_does_not_stop_others() -> None:
    with gateway(Patience()) as running, contextlib.ExitStack() as flood:
        clients = running.gateway._clients
        clients._most_waiting = 20
        idle = [flood.enter_context(client(running)) for _ in range(60)]
        eventually(lambda: len(clients.all) <= 20)
        assert bodies(http(running.port, LAST)) == [b'"/last"']
        assert read_all(idle[0]) == b""  # who has waited longest made room
        idle[-1].sendall(LAST)
        assert bodies(read_all(idle[-1])) == [b'"/last"']


def test_bodies_on_their_way_may_not_fill_the_memory() -> None:
    with gateway(Patience()) as running, client(running) as first, client(running) as second:
        running.gateway._clients._most_held = 1_000
        first.sendall(HEAD % 2000 + b"x" * 900)
        eventually(lambda: running.gateway._clients.held == 900)
        second.sendall(HEAD % 2000 + b"x" * 900)
        assert read_all(second).startswith(b"HTTP/1.1 503 ")
        eventually(lambda: running.gateway._clients.held == 900)
        first.close()
        eventually(lambda: running.gateway._clients.held == 0)


def test_time_limits_scale_with_all_others() -> None:
    settings = server.Settings(log_events=False, time_scale=0.01)
    with running(service({"$default": False}), {"$default": lambda event: OK}, settings) as started:
        began = time.monotonic()
        with client(started) as connection:
            assert read_all(connection) == b""
    assert time.monotonic() - began < 8


@pytest.mark.release
def test_roost_serve_closes_who_never_asks_for_anything(tmp_path: Path) -> None:
    """With the limits that people get."""
    with roost_serve(tmp_path) as server:
        silent = [socket.create_connection(("127.0.0.1", server.port), timeout=40) for _ in range(3)]
        silent[1].sendall(b"GET / HT")
        silent[2].sendall(HEAD % 9 + b"abc")
        with connect(server.url) as talking:
            assert [read_all(connection) for connection in silent] == [b"", b"", b""]
            talking.send("/help")
            assert str(talking.recv(10)).startswith("Valid commands")
        for connection in silent:
            connection.close()


# -- what is sent at once ---------------------------------------------------------------------------------------------


def test_requests_sent_at_once_are_answered_in_their_order_and_one_after_another() -> None:
    with gateway() as running:
        answer = http(running.port, GET % b"/slow/1" + GET % b"/2" + GET % b"/slow/3" + LAST)
        assert bodies(answer) == [b'"/slow/1"', b'"/2"', b'"/slow/3"', b'"/last"']


def test_a_websocket_can_be_asked_for_right_behind_a_request() -> None:
    frame = b"\x89\x80\0\0\0\0"  # a ping
    with gateway() as running, client(running) as connection:
        connection.sendall(GET % b"/slow" + UPGRADE + frame)
        received = b""
        while not received.endswith(b"\x8a\x00"):  # its pong
            received += connection.recv(65536)
        assert received.index(b'"/slow"') < received.index(b"101 Switching Protocols")


def test_what_cannot_be_read_is_refused_after_the_answer_to_what_could() -> None:
    with gateway() as running:
        answer = http(running.port, GET % b"/slow" + b"nonsense\r\n\r\n")
        assert bodies(answer)[0] == b'"/slow"'
        assert answer.count(b"HTTP/1.1 400 ") == 1


def test_another_protocol_than_websocket_is_passed_over_and_the_connection_closed() -> None:
    with gateway(Patience()) as running:
        raw = b"GET /a HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n" + GET % b"/never"
        answer = http(running.port, GET % b"/slow" + raw)
        assert bodies(answer) == [b'"/slow"', b'"/a"']


def test_a_header_line_without_end_is_refused() -> None:
    with gateway(Patience()) as running, client(running) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nX: ")
        with contextlib.suppress(OSError):
            for _ in range(100):
                connection.sendall(b"x" * 10_000)
                time.sleep(0.005)
        eventually(lambda: not running.gateway._clients.all, 5)
