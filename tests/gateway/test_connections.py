"""The @connections API answers an unmodified boto3 client as AWS does."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from roost.gateway import server
from roost.gateway.connections import Credentials
from tests.gateway.harness import OK, Running, eventually, http, running, service

ROUTES = {"$connect": False, "$disconnect": False, "$default": False}
HANDLERS = {name: lambda event: OK for name in ROUTES}


@pytest.fixture
def gateway() -> Iterator[Running]:
    with running(service(ROUTES), HANDLERS) as started:
        yield started


@pytest.fixture
def client(gateway: Running) -> Iterator[ClientConnection]:
    with connect(gateway.url, user_agent_header="ExampleClient/1.0") as connection:
        yield connection


def management(gateway: Running, path: str = "/dev", secret: str = "test") -> Any:
    return boto3.client(
        "apigatewaymanagementapi",
        endpoint_url=f"http://127.0.0.1:{gateway.port}{path}",
        region_name="eu-west-1",
        aws_access_key_id="test",
        aws_secret_access_key=secret,
        config=Config(retries={"total_max_attempts": 1}),
    )


def post(path: str, body: bytes) -> bytes:
    """A bare, unsigned POST."""
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + body


@pytest.mark.parametrize("path", ["/dev", "/dev/", ""])
def test_a_post_arrives_as_a_text_frame(gateway: Running, client: ClientConnection, path: str) -> None:
    (connection_id,) = gateway.open_ids()
    answer = management(gateway, path).post_to_connection(ConnectionId=connection_id, Data="grüße")
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert client.recv(10) == "grüße"


def test_posts_arrive_in_their_order(gateway: Running, client: ClientConnection) -> None:
    (connection_id,) = gateway.open_ids()
    api = management(gateway)
    for n in range(50):
        api.post_to_connection(ConnectionId=connection_id, Data=str(n))
    assert [client.recv(10) for _ in range(50)] == [str(n) for n in range(50)]


def test_128_kb_arrive_as_one_message_of_small_frames_and_one_byte_more_is_too_large(
    gateway: Running, client: ClientConnection
) -> None:
    (connection_id,) = gateway.open_ids()
    api = management(gateway)
    api.post_to_connection(ConnectionId=connection_id, Data=b"x" * 131072)
    parts = list(client.recv_streaming())
    assert ("".join(map(str, parts)), max(map(len, parts))) == ("x" * 131072, 32768)
    with pytest.raises(api.exceptions.PayloadTooLargeException):
        api.post_to_connection(ConnectionId=connection_id, Data=b"x" * 131073)


@pytest.mark.parametrize("call", ["post_to_connection", "get_connection", "delete_connection"])
def test_a_closed_or_unknown_connection_is_gone(gateway: Running, client: ClientConnection, call: str) -> None:
    (connection_id,) = gateway.open_ids()
    client.close()
    eventually(lambda: not gateway.open_ids())
    api = management(gateway)
    data = {"Data": b"x"} if call == "post_to_connection" else {}
    for gone in (connection_id, "AAAAAAAAAAAAAAA="):
        with pytest.raises(api.exceptions.GoneException):
            getattr(api, call)(ConnectionId=gone, **data)


def test_a_connection_cannot_be_posted_to_while_its_connect_runs() -> None:
    seen: list[str] = []

    def connecting(event: dict[str, Any]) -> dict[str, Any]:
        api = management(started[0])
        try:
            api.post_to_connection(ConnectionId=event["requestContext"]["connectionId"], Data=b"x")
        except api.exceptions.GoneException:
            seen.append("gone")
        return OK

    started: list[Running] = []
    with running(service(ROUTES), HANDLERS | {"$connect": connecting}) as gateway:
        started.append(gateway)
        with connect(gateway.url):
            assert seen == ["gone"]


def test_get_tells_when_and_who(gateway: Running, client: ClientConnection) -> None:
    (connection_id,) = gateway.open_ids()
    answer = management(gateway).get_connection(ConnectionId=connection_id)
    now = datetime.datetime.now(datetime.UTC)
    assert abs((now - answer["ConnectedAt"]).total_seconds()) < 60
    assert abs((now - answer["LastActiveAt"]).total_seconds()) < 60
    assert answer["Identity"] == {"SourceIp": "127.0.0.1", "UserAgent": "ExampleClient/1.0"}


def test_delete_closes_with_1000_and_disconnect_is_told(gateway: Running, client: ClientConnection) -> None:
    (connection_id,) = gateway.open_ids()
    answer = management(gateway).delete_connection(ConnectionId=connection_id)
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 204
    with pytest.raises(ConnectionClosed):
        client.recv(10)
    assert client.close_code == 1000
    (event,) = eventually(lambda: gateway.functions.of("$disconnect"))
    assert event["requestContext"]["disconnectStatusCode"] == 1000
    assert event["requestContext"]["disconnectReason"] == "Connection Closed Normally"


def test_a_wrong_stage_is_forbidden_and_a_malformed_id_a_bad_request(gateway: Running) -> None:
    for path, connection_id, code in (
        ("/prod", "AAAAAAAAAAAAAAA=", "ForbiddenException"),
        ("/dev", "nonsense", "BadRequestException"),
    ):
        with pytest.raises(ClientError) as error:
            management(gateway, path).post_to_connection(ConnectionId=connection_id, Data=b"x")
        assert error.value.response["Error"]["Code"] == code


def test_ids_and_the_at_sign_may_be_encoded_either_way(gateway: Running, client: ClientConnection) -> None:
    (connection_id,) = gateway.open_ids()
    for at in ("@", "%40"):
        for name in (connection_id, connection_id.replace("=", "%3D")):
            assert http(gateway.port, post(f"/dev/{at}connections/{name}", b"1")).startswith(b"HTTP/1.1 200 ")
            assert client.recv(10) == "1"


def test_bytes_that_are_no_text_are_refused(gateway: Running, client: ClientConnection) -> None:
    (connection_id,) = gateway.open_ids()
    with pytest.raises(ClientError) as error:
        management(gateway).post_to_connection(ConnectionId=connection_id, Data=b"\xff")
    assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_with_signatures_required_only_the_right_key_may_post() -> None:
    settings = server.Settings(log_events=False, credentials=Credentials("test", "test"))
    with running(service(ROUTES), HANDLERS, settings) as gateway, connect(gateway.url) as client:
        (connection_id,) = gateway.open_ids()
        management(gateway).post_to_connection(ConnectionId=connection_id, Data=b"signed")
        assert client.recv(10) == "signed"
        for refused in (management(gateway, secret="other"),):
            with pytest.raises(refused.exceptions.ForbiddenException):
                refused.post_to_connection(ConnectionId=connection_id, Data=b"x")
        assert http(gateway.port, post(f"/dev/@connections/{connection_id}", b"")).startswith(b"HTTP/1.1 403 ")


def test_a_client_that_does_not_read_is_limited_and_others_are_not(gateway: Running) -> None:
    with connect(gateway.url, max_queue=1) as slow:
        (slow_id,) = gateway.open_ids()
        slow.socket.setsockopt(1, 8, 4096)  # a small receive buffer, and nobody calls recv
        with connect(gateway.url) as fast:
            (fast_id,) = set(gateway.open_ids()) - {slow_id}
            api = management(gateway)
            with pytest.raises(api.exceptions.LimitExceededException):
                for _ in range(500):
                    api.post_to_connection(ConnectionId=slow_id, Data=b"x" * 100_000)
            api.post_to_connection(ConnectionId=fast_id, Data=b"still quick")
            assert fast.recv(10) == "still quick"
