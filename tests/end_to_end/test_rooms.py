"""The rooms example through the gateway, from both of its files and both ways of running functions, by real clients."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from tests.tools import ROOT, Server, roost_gateway

ROOMS = ROOT / "examples" / "rooms"


@pytest.fixture(
    scope="module",
    params=[("serverless.yml", ()), ("template.yaml", ()), ("serverless.yml", ("--isolated",))],
    ids=["serverless.yml", "template.yaml", "isolated"],
)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    file, options = request.param
    with roost_gateway(ROOMS / file, tmp_path_factory.mktemp("data"), *options) as started:
        yield started
        assert "Traceback" not in started.stderr()


def ask(
    server: Server, method: str, path: str, body: Any = None, content_type: str = "application/json"
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    headers = {"Content-Type": content_type} if body is not None else {}
    connection.request(method, path, json.dumps(body) if body is not None else None, headers)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, content


def test_who_knows_the_token_comes_in_and_is_told_who_they_are(server: Server) -> None:
    with connect(f"{server.url}?token=open-sesame&user=ana") as ana:
        ana.send('{"action":"whoami"}')
        answer = json.loads(ana.recv(20))
    assert (answer["user"], answer["guest"]) == ("ana", "false")


@pytest.mark.parametrize(
    ("query", "status"),
    [("", 401), ("?token=", 401), ("?token=wrong", 403), ("?token=%C3%A9", 403)],
)
def test_who_does_not_is_refused(server: Server, query: str, status: int) -> None:
    with pytest.raises(InvalidStatus) as refused, connect(server.url + query):
        pass
    assert refused.value.response.status_code == status


def test_the_handler_picks_the_subprotocol(server: Server) -> None:
    with connect(
        f"{server.url}?token=open-sesame", subprotocols=[Subprotocol("other"), Subprotocol("rooms.v1")]
    ) as client:
        assert client.subprotocol == "rooms.v1"


def test_an_http_request_reaches_a_socket_through_boto3(server: Server) -> None:
    with connect(f"{server.url}?token=open-sesame") as client:
        client.send('{"action":"whoami"}')
        connection_id = json.loads(client.recv(20))["connection"]
        status, _, _ = ask(server, "POST", "/rooms/42/messages", {"to": connection_id, "text": "hi"})
        assert status == 202
        assert json.loads(client.recv(20)) == {"room": "42", "text": "hi"}
    status, _, body = ask(server, "POST", "/rooms/42/messages", {"to": connection_id, "text": "too late"})
    assert (status, json.loads(body)) == (404, {"message": "they have left"})


def test_a_body_of_any_content_type_is_understood(server: Server) -> None:
    """curl -d says application/x-www-form-urlencoded, which API Gateway hands over in base64."""
    message = {"to": "AAAAAAAAAAAAAAA=", "text": "hi"}
    status, _, _ = ask(server, "POST", "/rooms/42/messages", message, "application/x-www-form-urlencoded")
    assert status == 404


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (None, 400, "a message is"),
        ([], 400, "a message is"),
        ({"to": "AAAAAAAAAAAAAAA="}, 400, "a message is"),
        ({"to": 1, "text": "hi"}, 400, "a message is"),
        ({"to": "nonsense", "text": "hi"}, 400, "that is no connection id"),
        ({"to": "AAAAAAAAAAAAAAA=", "text": "x" * 131073}, 413, "at most 128 KB"),
    ],
)
def test_what_cannot_be_sent_is_said(server: Server, body: Any, status: int, said: str) -> None:
    answered, _, content = ask(server, "POST", "/rooms/42/messages", body)
    assert (answered, json.loads(content)["message"][: len(said)]) == (status, said)


def test_http_routes_are_found_and_answered(server: Server) -> None:
    assert json.loads(ask(server, "GET", "/rooms/a%20b?x=1&x=2")[2]) == {"room": "a b", "query": {"x": "1,2"}}
    status, headers, body = ask(server, "PUT", "/files/a/b.txt")
    assert (status, headers["set-cookie"], body) == (200, "seen=1; HttpOnly", b"PUT a/b.txt")
    assert ask(server, "GET", "/nowhere")[0] == 404


def test_an_unrouted_message_gets_the_forbidden_frame(server: Server) -> None:
    with connect(f"{server.url}?token=open-sesame") as client:
        client.send("hello")
        assert str(client.recv(20)).startswith('{"message": "Forbidden", "connectionId":"')


def test_the_same_port_answers_tls(server: Server, tmp_path: Path) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # who it is, test_certificates.py checks
    secure = server.url.replace("ws://", "wss://")
    with connect(f"{secure}?token=open-sesame", ssl=context) as client:
        client.send('{"action":"whoami"}')
        assert json.loads(client.recv(20))["user"] == "nobody"
