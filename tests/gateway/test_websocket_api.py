"""The WebSocket API plays API Gateway: events, refusals, frames, closes. Clients are the `websockets` library's."""

from __future__ import annotations

import contextlib
import dataclasses
import re
import socket
import struct
import time
from contextlib import AbstractContextManager
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from roost.gateway import server
from roost.gateway.definition import Authorizer, Route, Unplayed
from roost.gateway.websocket_api import Limits
from tests.gateway.harness import OK, Running, eventually, http, running, service

ALL = {"$connect": False, "$disconnect": False, "$default": False}
ID = re.compile(r"^[A-Za-z0-9_-]{15}=$")


def always(answer: Any) -> Any:
    return lambda event: answer


QUIET = {name: always(OK) for name in ("$connect", "$disconnect", "$default")}


def dial(gateway: Running, path: str = "/dev", **options: Any) -> AbstractContextManager[ClientConnection]:
    client: AbstractContextManager[ClientConnection] = connect(f"ws://127.0.0.1:{gateway.port}{path}", **options)
    return client


def after(seconds: float) -> Any:
    """A handler that takes its time."""

    def handler(event: dict[str, Any]) -> dict[str, int]:
        time.sleep(seconds)
        return OK

    return handler


def raise_(error: BaseException) -> Any:
    raise error


# -- events ---------------------------------------------------------------------------------------------------------


def test_connect_is_told_headers_query_and_context() -> None:
    with running(service(ALL), QUIET) as gateway:
        headers = {"X-Custom-thing": "1", "Cookie": "a=b", "Authorization": "x"}
        with dial(gateway, "/dev?token=t1&token=t2", additional_headers=headers, origin="https://chat.example"):
            (event,) = gateway.functions.of("$connect")
    context = event["requestContext"]
    assert context["routeKey"] == "$connect"
    assert context["eventType"] == "CONNECT"
    assert context["messageDirection"] == "IN"
    assert (context["stage"], context["apiId"]) == ("dev", "a1b2c3d4e5")
    assert context["domainName"] == f"127.0.0.1:{gateway.port}"
    assert ID.match(context["connectionId"])
    assert ID.match(context["requestId"])
    assert context["requestId"] == context["extendedRequestId"] != context["connectionId"]
    assert context["identity"]["sourceIp"] == "127.0.0.1"
    assert context["identity"]["userAgent"].startswith("Python/")
    assert re.fullmatch(r"\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000", context["requestTime"])
    assert abs(context["requestTimeEpoch"] - time.time() * 1000) < 60_000
    assert event["queryStringParameters"] == {"token": "t2"}
    assert event["multiValueQueryStringParameters"] == {"token": ["t1", "t2"]}
    assert event["headers"]["Origin"] == "https://chat.example"
    assert event["headers"]["X-Custom-Thing"] == "1"
    assert event["headers"]["Cookie"] == "a=b"
    assert event["headers"]["X-Forwarded-Proto"] == "http"
    assert event["headers"]["Sec-WebSocket-Version"] == "13"
    assert event["multiValueHeaders"]["Host"] == [f"127.0.0.1:{gateway.port}"]
    assert not {"Connection", "Upgrade", "Content-Length"} & event["headers"].keys()
    assert event["isBase64Encoded"] is False
    assert not {"body", "stageVariables"} & event.keys()
    assert not {"messageId", "authorizer", "accountId", "http"} & context.keys()


def test_without_a_query_the_query_keys_are_absent() -> None:
    with running(service(ALL), QUIET) as gateway, dial(gateway):
        (event,) = gateway.functions.of("$connect")
    assert not {"queryStringParameters", "multiValueQueryStringParameters"} & event.keys()


def test_a_message_event_has_exactly_the_keys_that_aws_sends() -> None:
    with running(service(ALL), QUIET) as gateway, dial(gateway) as client:
        client.send("hello")
        (event,) = eventually(lambda: gateway.functions.of("$default"))
        (connected,) = gateway.functions.of("$connect")
    assert event.keys() == {"requestContext", "body", "isBase64Encoded"}
    context, before = event["requestContext"], connected["requestContext"]
    assert event["body"] == "hello"
    assert context["routeKey"] == "$default"
    assert context["eventType"] == "MESSAGE"
    assert context["connectionId"] == before["connectionId"]
    assert context["connectedAt"] == before["connectedAt"]
    assert context["messageId"] != context["requestId"]
    assert context["messageId"][-7:] == context["connectionId"][-7:]
    assert context.keys() == before.keys() | {"messageId"}


def test_disconnect_is_told_code_reason_and_stub_headers() -> None:
    with running(service(ALL), QUIET) as gateway:
        with dial(gateway) as client:
            client.close(4001, "bye")
        (event,) = eventually(lambda: gateway.functions.of("$disconnect"))
    assert event["requestContext"]["disconnectStatusCode"] == 4001
    assert event["requestContext"]["disconnectReason"] == "bye"
    assert event["requestContext"]["eventType"] == "DISCONNECT"
    assert event["headers"] == {
        "Host": f"127.0.0.1:{gateway.port}",
        "x-api-key": "",
        "X-Forwarded-For": "",
        "x-restapi": "",
    }
    assert event["multiValueHeaders"]["x-restapi"] == [""]


def raw_socket(gateway: Running) -> socket.socket:
    """A socket that has done the handshake by hand."""
    client = socket.create_connection(("127.0.0.1", gateway.port), timeout=10)
    client.sendall(
        b"GET /dev HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    assert client.recv(4096).startswith(b"HTTP/1.1 101 ")
    return client


def masked(opcode: int, payload: bytes, *, fin: bool = True) -> bytes:
    head = bytes([(0x80 if fin else 0) | opcode])
    if len(payload) < 126:
        head += bytes([0x80 | len(payload)])
    elif len(payload) < 65536:
        head += bytes([0x80 | 126]) + struct.pack(">H", len(payload))
    else:
        head += bytes([0x80 | 127]) + struct.pack(">Q", len(payload))
    return head + b"\0\0\0\0" + payload


def test_a_close_frame_without_status_is_1005() -> None:
    with running(service(ALL), QUIET) as gateway:
        with raw_socket(gateway) as client:
            client.sendall(masked(8, b""))
            (event,) = eventually(lambda: gateway.functions.of("$disconnect"))
    assert event["requestContext"]["disconnectStatusCode"] == 1005
    assert event["requestContext"]["disconnectReason"] == "Client-side close frame status not set"


def test_a_lost_socket_is_1006() -> None:
    with running(service(ALL), QUIET) as gateway:
        raw_socket(gateway).close()
        (event,) = eventually(lambda: gateway.functions.of("$disconnect"))
    assert event["requestContext"]["disconnectStatusCode"] == 1006


def test_a_name_that_is_not_ours_never_becomes_the_domain_name() -> None:
    with running(service(ALL), QUIET) as gateway:
        raw_socket(gateway).close()  # says Host: x
        (event,) = eventually(lambda: gateway.functions.of("$connect"))
    assert event["requestContext"]["domainName"] == f"localhost:{gateway.port}"


def test_stage_variables_are_in_every_event() -> None:
    with running(service(ALL, stage_variables={"a": "1"}), QUIET) as gateway:
        with dial(gateway) as client:
            client.send("x")
        eventually(lambda: gateway.functions.of("$disconnect"))
    assert len(gateway.functions.events) == 3
    assert all(event["stageVariables"] == {"a": "1"} for _, event in gateway.functions.events)


# -- $connect -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (always({"statusCode": 403}), 403),
        (always({"statusCode": 400, "body": "no"}), 400),
        (always({"statusCode": 500}), 500),
        (always({"statusCode": "401"}), 401),
        (always(None), 502),
        (always("ok"), 502),
        (always({"statusCode": 200, "unknown": 1}), 502),
        (lambda event: raise_(ValueError("boom")), 502),
    ],
)
def test_a_refused_connect_is_the_status_of_the_handshake(answer: Any, status: int) -> None:
    with running(service(ALL), QUIET | {"$connect": answer}) as gateway:
        with pytest.raises(InvalidStatus) as refused, dial(gateway):
            pass
        assert refused.value.response.status_code == status
        assert b"boom" not in (refused.value.response.body or b"")
        assert gateway.open_ids() == []
        assert gateway.functions.of("$disconnect") == []


@pytest.mark.parametrize("path", ["/", "/dev", "/dev/", "/dev?x=1"])
def test_the_root_and_the_stage_open_a_socket(path: str) -> None:
    with running(service({"$default": False}), QUIET) as gateway, dial(gateway, path) as client:
        client.send("x")
        eventually(lambda: gateway.functions.of("$default"))


def test_an_unknown_stage_is_403() -> None:
    with running(service(ALL), QUIET) as gateway, pytest.raises(InvalidStatus) as refused, dial(gateway, "/prod"):
        pass
    assert refused.value.response.status_code == 403


def test_the_handler_chooses_the_subprotocol() -> None:
    answer = {"statusCode": 200, "headers": {"sec-websocket-protocol": "b", "X-Other": "dropped"}}
    with running(service(ALL), QUIET | {"$connect": always(answer)}) as gateway:
        with dial(gateway, subprotocols=["a", "b"]) as client:
            assert client.subprotocol == "b"
            assert client.response is not None
            assert "X-Other" not in client.response.headers
        (event,) = gateway.functions.of("$connect")
    assert re.sub(" ", "", event["headers"]["Sec-WebSocket-Protocol"]) == "a,b"


def test_no_subprotocol_is_chosen_by_itself() -> None:
    with running(service(ALL), QUIET) as gateway, dial(gateway, subprotocols=["a"]) as client:
        assert client.subprotocol is None


# -- authorizers ----------------------------------------------------------------------------------------------------

AUTHORIZED = Authorizer("auth", "auth", ("route.request.querystring.token",))


def allow(event: dict[str, Any]) -> dict[str, Any]:
    statement = {"Action": "execute-api:Invoke", "Effect": "Allow", "Resource": event["methodArn"]}
    return {"principalId": "u", "policyDocument": {"Statement": [statement]}, "context": {"n": 3}}


def test_the_authorizers_context_is_in_every_event_of_the_connection() -> None:
    with running(service(ALL, authorizer=AUTHORIZED), QUIET | {"auth": allow}) as gateway:
        with dial(gateway, "/dev?token=x") as client:
            client.send("x")
            eventually(lambda: gateway.functions.of("$default"))
        eventually(lambda: gateway.functions.of("$disconnect"))
    (asked,) = gateway.functions.of("auth")
    assert asked["type"] == "REQUEST"
    assert asked["methodArn"] == "arn:aws:execute-api:eu-west-1:123456789012:a1b2c3d4e5/dev/$connect"
    assert {"Connection", "Upgrade", "content-length"} <= asked["headers"].keys()
    for name in ALL:
        (event,) = gateway.functions.of(name)
        authorizer = event["requestContext"]["authorizer"]
        assert authorizer.pop("integrationLatency") >= 0
        assert authorizer == {"principalId": "u", "n": "3"}


def test_a_missing_identity_source_is_401_without_asking() -> None:
    with running(service(ALL, authorizer=AUTHORIZED), QUIET | {"auth": allow}) as gateway:
        with pytest.raises(InvalidStatus) as refused, dial(gateway, "/dev?token="):
            pass
        assert refused.value.response.status_code == 401
        assert gateway.functions.events == []


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (lambda event: raise_(Exception("Unauthorized")), 401),
        (lambda event: raise_(KeyError("x")), 500),
        (always({"isAuthorized": True}), 500),
        (always({"principalId": "u", "policyDocument": {"Statement": []}}), 403),
    ],
)
def test_an_authorizer_that_does_not_allow_refuses(answer: Any, status: int) -> None:
    with running(service(ALL, authorizer=AUTHORIZED), QUIET | {"auth": answer}) as gateway:
        with pytest.raises(InvalidStatus) as refused, dial(gateway, "/dev?token=x"):
            pass
        assert refused.value.response.status_code == status
        assert gateway.functions.of("$connect") == []


# -- messages -------------------------------------------------------------------------------------------------------


def test_a_message_goes_to_the_route_it_names_and_else_to_default() -> None:
    routes = ALL | {"send": False}
    with running(service(routes), QUIET | {"send": always(OK)}) as gateway, dial(gateway) as client:
        client.send('{"action":"send"}')
        client.send('{"action":"nope"}')
        client.send('{"action":"$disconnect"}')
        eventually(lambda: len(gateway.functions.of("$default")) == 2)
        assert len(gateway.functions.of("send")) == 1
        assert gateway.functions.of("$disconnect") == []
        assert {e["requestContext"]["routeKey"] for e in gateway.functions.of("$default")} == {"$default"}


def server_frame(client: ClientConnection, words: str, gateway: Running) -> None:
    frame = client.recv(10)
    assert isinstance(frame, str)
    (connection_id,) = gateway.open_ids()
    match = re.fullmatch(r'\{"message": "(.*)", "connectionId":"(.*)", "requestId":"(.*)"\}', frame)
    assert match is not None
    assert (match[1], match[2]) == (words, connection_id)
    assert ID.match(match[3])


def test_without_a_route_the_client_gets_the_forbidden_frame_and_stays() -> None:
    with running(service({"send": False}), {"send": always(OK)}) as gateway, dial(gateway) as client:
        client.send("hello")
        server_frame(client, "Forbidden", gateway)
        client.send("hello")
        server_frame(client, "Forbidden", gateway)


@pytest.mark.parametrize(
    "answer",
    [
        lambda event: raise_(ValueError("boom")),
        always(None),
        always([]),
        always("text"),
        always({"statusCode": 200, "message": "x"}),
        always({"statusCode": 200, "body": {"a": 1}}),
        always({"statusCode": "many"}),
    ],
)
def test_a_failing_function_gives_the_internal_server_error_frame(answer: Any) -> None:
    with running(service(ALL), QUIET | {"$default": answer}) as gateway, dial(gateway) as client:
        client.send("hello")
        server_frame(client, "Internal server error", gateway)


def test_a_slow_function_gives_the_timed_out_frame() -> None:
    slow = QUIET | {"$default": after(0.5)}
    limits = server.Settings(log_events=False, limits=Limits(integration=0.1))
    with running(service(ALL), slow, limits) as gateway, dial(gateway) as client:
        client.send("hello")
        server_frame(client, "Endpoint request timed out", gateway)


def test_only_a_two_way_route_answers_with_the_body() -> None:
    answer = always({"statusCode": 500, "body": "répons"})
    with running(service(ALL | {"ask": True, "tell": False}), QUIET | {"ask": answer, "tell": answer}) as gateway:
        with dial(gateway) as client:
            client.send('{"action":"tell"}')
            client.send('{"action":"ask"}')
            assert client.recv(10) == "répons"
            with pytest.raises(TimeoutError):
                client.recv(0.2)


def test_an_empty_two_way_body_sends_nothing() -> None:
    with running(service({"$default": True}), {"$default": always({"statusCode": 200, "body": ""})}) as gateway:
        with dial(gateway) as client:
            client.send("x")
            with pytest.raises(TimeoutError):
                client.recv(0.2)


def test_messages_of_one_connection_run_side_by_side() -> None:
    def handler(event: dict[str, Any]) -> dict[str, Any]:
        time.sleep(0.4 if event["body"] == "slow" else 0)
        return {"statusCode": 200, "body": event["body"]}

    with running(service({"$default": True}), {"$default": handler}) as gateway, dial(gateway) as client:
        client.send("slow")
        client.send("fast")
        assert [client.recv(10), client.recv(10)] == ["fast", "slow"]


# -- frames and limits ----------------------------------------------------------------------------------------------


def closed_with(client: ClientConnection) -> int | None:
    with pytest.raises(ConnectionClosed) as closed:
        client.recv(10)
    return closed.value.rcvd.code if closed.value.rcvd else None


def test_a_binary_frame_closes_with_1003() -> None:
    with running(service(ALL), QUIET) as gateway, dial(gateway) as client:
        client.send(b"\0\1")
        assert closed_with(client) == 1003
        eventually(lambda: gateway.functions.of("$disconnect"))
        assert gateway.functions.of("$default") == []


@pytest.mark.parametrize("compression", [None, "deflate"])
def test_a_frame_of_32_kb_passes_and_one_byte_more_closes_with_1009(compression: str | None) -> None:
    with running(service(ALL), QUIET) as gateway, dial(gateway, compression=compression) as client:
        client.send("x" * 32768)
        eventually(lambda: gateway.functions.of("$default"))
        client.send("x" * 32769)
        assert closed_with(client) == 1009


def test_a_fragmented_message_may_have_128_kb() -> None:
    with running(service(ALL), QUIET) as gateway:
        with dial(gateway, compression=None) as client:
            client.send(["y" * 32768] * 4)
            (event,) = eventually(lambda: gateway.functions.of("$default"))
            assert event["body"] == "y" * 131072
            client.send(["y" * 32768] * 4 + ["y"])
            assert closed_with(client) == 1009


def test_text_that_is_not_utf8_closes_with_1007() -> None:
    with running(service(ALL), QUIET) as gateway, raw_socket(gateway) as client:
        client.sendall(masked(1, b"\xff\xfe"))
        frame = client.recv(100)
        assert (frame[0], struct.unpack(">H", frame[2:4])) == (0x88, (1007,))
        (event,) = eventually(lambda: gateway.functions.of("$disconnect"))
    assert event["requestContext"]["disconnectStatusCode"] == 1007


def test_a_ping_is_answered_and_reaches_no_function() -> None:
    with running(service(ALL), QUIET) as gateway, dial(gateway) as client:
        assert client.ping().wait(10)
        assert [name for name, _ in gateway.functions.events] == ["$connect"]


def test_an_idle_connection_is_closed_with_1001_and_a_talking_one_lives_on() -> None:
    limits = server.Settings(log_events=False, limits=Limits(idle=0.5))
    with running(service(ALL), QUIET, limits) as gateway, dial(gateway) as talking, dial(gateway) as idle:
        for _ in range(8):
            time.sleep(0.15)
            talking.send("x")
        assert closed_with(idle) == 1001
        (event,) = eventually(lambda: gateway.functions.of("$disconnect"))
        assert event["requestContext"]["disconnectReason"] == "Going away"
        talking.send("still here")


def test_a_connection_lives_no_longer_than_its_limit() -> None:
    limits = server.Settings(log_events=False, limits=Limits(life=0.7))
    with running(service(ALL), QUIET, limits) as gateway, dial(gateway) as client:
        began = time.monotonic()
        with pytest.raises(ConnectionClosed):
            while time.monotonic() - began < 20:
                client.send("x")
                time.sleep(0.01)
        assert client.close_code == 1001


def test_stopping_closes_every_socket_with_1001_and_runs_disconnect() -> None:
    with running(service(ALL), QUIET) as gateway, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(dial(gateway)) for _ in range(5)]
        gateway.stop()
        assert [closed_with(client) for client in clients] == [1001] * 5
        assert len(gateway.functions.of("$disconnect")) == 5


def test_a_client_that_leaves_during_connect_is_disconnected_for_the_app() -> None:
    slow = QUIET | {"$connect": after(0.3)}
    with running(service(ALL), slow) as gateway:
        client = socket.create_connection(("127.0.0.1", gateway.port))
        client.sendall(
            b"GET /dev HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        eventually(lambda: gateway.functions.of("$connect"))
        client.close()
        (event,) = eventually(lambda: gateway.functions.of("$disconnect"))
        assert event["requestContext"]["disconnectStatusCode"] == 1006
        assert gateway.open_ids() == []


def test_a_thousand_messages_in_one_burst_all_arrive() -> None:
    with running(service(ALL), QUIET) as gateway, raw_socket(gateway) as client:
        client.sendall(b"".join(masked(1, str(n).encode()) for n in range(1000)))
        eventually(lambda: len(gateway.functions.of("$default")) == 1000)
        assert {event["body"] for event in gateway.functions.of("$default")} == {str(n) for n in range(1000)}


def test_a_plain_get_is_told_to_upgrade() -> None:
    with running(service(ALL), QUIET) as gateway:
        answer = http(gateway.port, b"GET /dev HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 426 ")


def test_a_connection_lost_in_the_turn_of_a_post_takes_nobody_elses_share_with_it() -> None:
    """A reset that is noticed between a post and the one write per turn: the others of that post get it."""
    with running(service(ALL), QUIET) as gateway, dial(gateway) as lost, dial(gateway) as other:
        ids = eventually(lambda: gateway.open_ids() if len(gateway.open_ids()) == 2 else None)
        sockets = gateway.gateway.sockets
        connections = [sockets.open[each] for each in ids]

        def in_one_turn() -> None:
            connections[0]._transport.abort()
            gateway.loop.call_soon(sockets.post, ids, b"to both")  # before the loss is told
            sockets.post(ids, b"in the same turn")

        gateway.loop.call_soon_threadsafe(in_one_turn)
        assert other.recv(10) == "in the same turn"
        other.send("still here")
        eventually(lambda: len(gateway.functions.of("$default")) == 1)
        del lost


def test_an_authorizer_that_cannot_be_played_lets_nobody_in_unless_the_person_says_so() -> None:
    declared = service(ALL)
    assert declared.websocket is not None
    guarded = dataclasses.replace(
        declared, websocket=dataclasses.replace(declared.websocket, authorizer=Unplayed("AWS_IAM"))
    )
    with running(guarded, QUIET) as gateway:
        with pytest.raises(InvalidStatus) as refused:
            dial(gateway)
        assert refused.value.response.status_code == 401
        assert gateway.functions.events == []
    with running(guarded, QUIET, server.Settings(log_events=False, skip_authorizers=True)) as gateway, dial(gateway):
        assert len(gateway.functions.of("$connect")) == 1


def test_a_route_may_have_less_time_than_the_limit() -> None:
    declared = service(ALL)
    assert declared.websocket is not None
    routes = {**declared.websocket.routes, "$default": Route("$default", "$default", timeout=0.2)}
    hurried = dataclasses.replace(declared, websocket=dataclasses.replace(declared.websocket, routes=routes))
    with running(hurried, {**QUIET, "$default": after(2.0)}) as gateway, dial(gateway) as client:
        client.send("x")
        assert str(client.recv(10)).startswith('{"message": "Endpoint request timed out"')
