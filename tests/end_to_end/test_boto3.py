"""boto3 as functions on AWS use it, unchanged: it finds the connections of `roost gateway`, trusts its certificate, and
gets API Gateway's own errors. In process and isolated, signed and unsigned."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.tools import Server, roost_gateway

HANDLER = '''
import json
import boto3
from botocore.exceptions import ClientError

def ok(event, context):
    return {"statusCode": 200}

def call(event, context):
    """Do what the message says with boto3, and tell how it ended."""
    request, here = json.loads(event["body"]), event["requestContext"]
    built = f"https://{here['domainName']}/{here['stage']}"
    api = boto3.client("apigatewaymanagementapi", endpoint_url=built if request["address"] == "built" else None)
    named = {"ConnectionId": request.get("to") or here["connectionId"]}
    if request["call"] == "post_to_connection":
        named["Data"] = b"x" * request["size"]
    try:
        answer = getattr(api, request["call"])(**named)
    except ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        return {"statusCode": 200, "body": json.dumps({"error": type(error).__name__, "status": status})}
    status = answer.pop("ResponseMetadata")["HTTPStatusCode"]
    told = {"status": status, "answer": answer, "me": here["connectionId"], "url": built}
    return {"statusCode": 200, "body": json.dumps(told, default=str)}
'''
DEFINITION = """
service: probe
provider: { name: aws, runtime: python3.13, region: eu-west-1, timeout: 20 }
functions:
  ok: { handler: app.ok, events: [websocket: $connect, websocket: $disconnect, websocket: $default] }
  call: { handler: app.call, events: [websocket: { route: call, routeResponseSelectionExpression: $default }] }
"""
NOBODY = "AAAAAAAAAAAAAAA="


def write_app(folder: Path) -> Path:
    (folder / "app.py").write_text(HANDLER)
    file = folder / "serverless.yml"
    file.write_text(DEFINITION)
    return file


@pytest.fixture(
    scope="module", params=[(), ("--isolated",), ("--signed",), ("--isolated", "--signed")], ids=lambda o: "".join(o)
)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("app")
    with roost_gateway(write_app(folder), folder / "data", *request.param) as started:
        yield started
        assert "Traceback" not in started.stderr()


@pytest.fixture(params=["built", "variables"])
def address(request: pytest.FixtureRequest) -> str:
    """`built`: `https://{domainName}/{stage}` from the event. `variables`: boto3's own `AWS_ENDPOINT_URL_…`."""
    return str(request.param)


@pytest.fixture
def client(server: Server) -> Iterator[ClientConnection]:
    with connect(server.url, max_size=None) as connection:
        yield connection


def ask(client: ClientConnection, **request: Any) -> None:
    """Let a function call boto3."""
    client.send(json.dumps({"action": "call", **request}))


def answer(client: ClientConnection) -> dict[str, Any]:
    """How the call ended."""
    ended: dict[str, Any] = json.loads(client.recv(30))
    return ended


@pytest.mark.parametrize("size", [1, 131_072])
def test_a_post_arrives(client: ClientConnection, address: str, size: int) -> None:
    ask(client, call="post_to_connection", address=address, size=size)
    assert client.recv(30) == "x" * size
    assert answer(client)["status"] == 200


def test_a_byte_over_128_kb_is_payload_too_large(client: ClientConnection, address: str) -> None:
    ask(client, call="post_to_connection", address=address, size=131_073)
    assert answer(client) == {"error": "PayloadTooLargeException", "status": 413}


def test_a_get_tells_when_and_who(client: ClientConnection, address: str) -> None:
    ask(client, call="get_connection", address=address)
    got = answer(client)["answer"]
    assert got.keys() == {"ConnectedAt", "LastActiveAt", "Identity"}
    assert got["Identity"]["SourceIp"] == "127.0.0.1"
    assert got["Identity"]["UserAgent"].startswith("Python/")


@pytest.mark.parametrize("call", ["post_to_connection", "get_connection", "delete_connection"])
def test_a_connection_that_is_not_there_is_gone(client: ClientConnection, address: str, call: str) -> None:
    ask(client, call=call, address=address, size=1, to=NOBODY)
    assert answer(client) == {"error": "GoneException", "status": 410}


def test_a_delete_closes_another_connection_with_1000(server: Server, client: ClientConnection, address: str) -> None:
    with connect(server.url) as other:
        ask(other, call="get_connection", address=address)
        ask(client, call="delete_connection", address=address, to=answer(other)["me"])
        assert answer(client)["status"] == 204
        with pytest.raises(ConnectionClosed):
            other.recv(30)
        assert (other.close_code, other.close_reason) == (1000, "Connection Closed Normally")


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


@pytest.mark.parametrize("options", [(), ("--isolated",)], ids=["in process", "isolated"])
@pytest.mark.parametrize("dialled", ["localhost", "127.0.0.1", *(["[::1]"] if has_ipv6() else [])])
def test_whatever_name_was_dialled_is_in_the_address_and_in_the_certificate(
    tmp_path: Path, dialled: str, options: tuple[str, ...]
) -> None:
    host = dialled.strip("[]")
    with roost_gateway(write_app(tmp_path), tmp_path / "data", "--host", host, "--stage", "prod", *options) as server:
        with connect(f"ws://{dialled}:{server.port}/prod") as client:
            ask(client, call="post_to_connection", address="built", size=3)
            assert client.recv(30) == "xxx"
            assert answer(client)["url"] == f"https://{dialled}:{server.port}/prod"
