"""The gateway stops in order: what runs ends and is answered, what is new is refused, then the sockets close."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from roost.gateway import server
from roost.gateway.definition import HttpRoute, Service
from tests.gateway.harness import OK, Running, eventually, http, running, service

LOUD = server.Settings(log_events=False)


class Slow:
    """A handler that waits until the test lets it go on."""

    def __init__(self) -> None:
        self.began, self.go_on = threading.Event(), threading.Event()

    def __call__(self, event: dict[str, Any]) -> dict[str, Any]:
        self.began.set()
        assert self.go_on.wait(20)
        return {"statusCode": 200, "body": "done"}


def declared() -> Service:
    routes = {"$connect": False, "$disconnect": False, "$default": True, "slow": True}
    return service(routes, http=(HttpRoute("GET", "/slow", "http"),))


def handlers(slow: Slow) -> dict[str, Any]:
    quick = dict.fromkeys(("$connect", "$disconnect", "$default"), lambda event: OK)
    return {**quick, "slow": slow, "http": slow}


def dial(gateway: Running) -> ClientConnection:
    return connect(gateway.url, open_timeout=10)


def begin_to_stop(gateway: Running) -> threading.Thread:
    stopping = threading.Thread(target=gateway.stop)
    stopping.start()
    websocket = gateway.gateway._websocket
    assert websocket is not None
    eventually(lambda: websocket.stopping)
    return stopping


def test_a_running_call_ends_and_its_reply_arrives_before_the_close() -> None:
    slow = Slow()
    with running(declared(), handlers(slow), LOUD) as gateway, dial(gateway) as client:
        client.send('{"action":"slow"}')
        assert slow.began.wait(10)
        stopping = begin_to_stop(gateway)
        time.sleep(0.1)
        slow.go_on.set()
        assert client.recv(10) == "done"
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(10)
        stopping.join(20)
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1001, "Going away")
    assert len(gateway.functions.of("$disconnect")) == 1


def test_a_running_call_may_still_post_to_connections() -> None:
    slow = Slow()
    with running(declared(), handlers(slow), LOUD) as gateway, dial(gateway) as client:
        client.send('{"action":"slow"}')
        assert slow.began.wait(10)
        stopping = begin_to_stop(gateway)
        path = f"/dev/@connections/{gateway.open_ids()[0]}"
        post = f"POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 4\r\n\r\nlate"
        assert http(gateway.port, post.encode()).startswith(b"HTTP/1.1 200 ")
        assert client.recv(10) == "late"
        slow.go_on.set()
        stopping.join(20)


def test_a_running_http_request_is_answered() -> None:
    slow = Slow()
    with running(declared(), handlers(slow), LOUD) as gateway:
        answers: list[bytes] = []
        get = b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n"
        asking = threading.Thread(target=lambda: answers.append(http(gateway.port, get)))
        asking.start()
        assert slow.began.wait(10)
        stopping = begin_to_stop(gateway)
        slow.go_on.set()
        stopping.join(20)
        asking.join(20)
    assert answers[0].endswith(b"\r\n\r\ndone")


def test_what_is_new_is_refused_meanwhile() -> None:
    slow = Slow()
    with running(declared(), handlers(slow), LOUD) as gateway, dial(gateway) as client:
        client.send('{"action":"slow"}')
        assert slow.began.wait(10)
        stopping = begin_to_stop(gateway)
        client.send("hello")
        assert str(client.recv(10)).startswith('{"message": "Service Unavailable", "connectionId":"')
        with pytest.raises(InvalidStatus) as refused:
            dial(gateway)
        assert refused.value.response.status_code == 503
        get = b"GET /slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        assert http(gateway.port, get).startswith(b"HTTP/1.1 503 ")
        slow.go_on.set()
        stopping.join(20)
    assert gateway.functions.of("$default") == []


def test_a_call_that_does_not_end_holds_the_stop_up_for_a_while_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_GRACE", 0.3)
    slow = Slow()
    with running(declared(), handlers(slow), LOUD) as gateway, dial(gateway) as client:
        client.send('{"action":"slow"}')
        assert slow.began.wait(10)
        stopping = begin_to_stop(gateway)
        with pytest.raises(ConnectionClosed):
            client.recv(10)
        slow.go_on.set()
        stopping.join(20)
