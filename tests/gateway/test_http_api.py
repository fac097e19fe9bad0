"""The HTTP API: payload 2.0 events, answers, errors, CORS, and the wire underneath."""

from __future__ import annotations

import base64
import dataclasses
import gzip
import json
import socket
import time
from typing import Any

import pytest

from roost.gateway.definition import Authorizer, Cors, HttpRoute, Service
from tests.gateway.harness import OK, Running, http, running, service

ECHO = HttpRoute("ANY", "$default", "echo")


def with_routes(*routes: HttpRoute, cors: Cors | None = None) -> Service:
    declared = service({"$default": False}, http=routes)
    assert declared.http is not None
    return dataclasses.replace(declared, http=dataclasses.replace(declared.http, cors=cors))


def ask(gateway: Running, head: str, body: bytes = b"") -> tuple[int, dict[str, str], bytes]:
    """Send one request; `head` is its first line and headers without the usual ones."""
    lines = [*head.split("\n"), f"Content-Length: {len(body)}", "Connection: close"]
    if "host:" not in head.lower():
        lines.append(f"Host: localhost:{gateway.port}")
    raw = http(gateway.port, "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)
    answer_head, _, answer = raw.partition(b"\r\n\r\n")
    first, *headers = answer_head.decode("latin-1").split("\r\n")
    return int(first.split()[1]), {k.lower(): v for k, _, v in (line.partition(": ") for line in headers)}, answer


def answering(answer: Any) -> Any:
    return running(with_routes(ECHO), {"echo": lambda event: answer, "$default": lambda event: OK})


def event_for(head: str, body: bytes = b"", route: HttpRoute = ECHO) -> dict[str, Any]:
    with running(with_routes(route), {route.function: lambda event: event}) as gateway:
        status, _, answer = ask(gateway, head, body)
    assert status == 200
    event: dict[str, Any] = json.loads(answer)
    return event


def test_an_event_is_payload_2_0_to_the_letter() -> None:
    route = HttpRoute("POST", "/rooms/{id}", "room")
    head = "POST /rooms/4%202?a=1&a=2&b= HTTP/1.1\nContent-Type: application/json"
    head += "\nCookie: sid=abc; theme=dark\nX-A: 1\nX-A: 2"
    event = event_for(head, b'{"x":1}', route)
    context = event.pop("requestContext")
    port = event["headers"]["x-forwarded-port"]
    assert context.pop("requestId").endswith("=")
    assert abs(context.pop("timeEpoch") - time.time() * 1000) < 60_000
    assert context.pop("time").endswith(" +0000")
    assert context == {
        "accountId": "123456789012",
        "apiId": "f6g7h8i9j0",
        "domainName": f"localhost:{port}",
        "domainPrefix": f"localhost:{port}",
        "http": {
            "method": "POST",
            "path": "/rooms/4 2",
            "protocol": "HTTP/1.1",
            "sourceIp": "127.0.0.1",
            "userAgent": "",
        },
        "routeKey": "POST /rooms/{id}",
        "stage": "$default",
    }
    assert event.pop("headers").items() >= {"content-type": "application/json", "x-a": "1,2"}.items()
    assert event == {
        "version": "2.0",
        "routeKey": "POST /rooms/{id}",
        "rawPath": "/rooms/4 2",
        "rawQueryString": "a=1&a=2&b=",
        "cookies": ["sid=abc", "theme=dark"],
        "queryStringParameters": {"a": "1,2", "b": ""},
        "pathParameters": {"id": "4 2"},
        "body": '{"x":1}',
        "isBase64Encoded": False,
    }


def test_what_is_empty_is_absent() -> None:
    event = event_for("GET /x HTTP/1.1")
    assert not {"cookies", "queryStringParameters", "pathParameters", "stageVariables", "body"} & event.keys()
    assert "authorizer" not in event["requestContext"]


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "image/png", ""])
def test_a_body_that_is_no_known_text_arrives_as_base64(content_type: str) -> None:
    head = "POST / HTTP/1.1" + (f"\nContent-Type: {content_type}" if content_type else "")
    event = event_for(head, b"a=1\xff")
    assert event["isBase64Encoded"] is True
    assert base64.b64decode(event["body"]) == b"a=1\xff"


@pytest.mark.parametrize(
    ("answer", "status", "content_type", "body"),
    [
        ({"a": 1}, 200, "application/json", b'{"a":1}'),
        ("text", 200, "application/json", b'"text"'),
        ([1], 200, "application/json", b"[1]"),
        ({"statusCode": 201, "body": "made"}, 201, "text/plain;charset=utf-8", b"made"),
        ({"statusCode": "404", "headers": {"content-type": "text/html"}, "body": "<p>"}, 404, "text/html", b"<p>"),
        ({"statusCode": 200, "isBase64Encoded": True, "body": "AP8="}, 200, "text/plain;charset=utf-8", b"\0\xff"),
        ({"statusCode": "many"}, 500, "application/json", b'{"message":"Internal Server Error"}'),
        ({"statusCode": 200, "headers": {"x": ["a"]}}, 500, "application/json", b'{"message":"Internal Server Error"}'),
        ({"statusCode": 200, "headers": {"content-type": "x/y", "n": 1, "t": True, "no": None}}, 200, "x/y", b""),
        (
            {"statusCode": 200, "isBase64Encoded": True, "body": "%"},
            500,
            "application/json",
            b'{"message":"Internal Server Error"}',
        ),
    ],
)
def test_what_a_function_returns_becomes_the_response(answer: Any, status: int, content_type: str, body: bytes) -> None:
    with answering(answer) as gateway:
        got_status, headers, got_body = ask(gateway, "GET / HTTP/1.1")
    assert (got_status, headers["content-type"], got_body) == (status, content_type, body)
    assert headers["apigw-requestid"].endswith("=")


def test_each_cookie_is_a_header_of_its_own_and_no_header_can_forge_another() -> None:
    answer = {
        "statusCode": 200,
        "cookies": ["a=1", "b=2"],
        "headers": {"x-a": "1\r\nX-Forged: 1", "content-length": "9"},
    }
    with answering(answer) as gateway:
        raw = http(gateway.port, b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert raw.count(b"Set-Cookie: ") == 2
    assert b"\r\nX-Forged" not in raw
    assert b"Content-Length: 0" in raw


def test_a_compressed_file_arrives_as_it_was_packed_with_its_caching_headers() -> None:
    packed = gzip.compress(b"<html>" * 1000)
    headers = {
        "content-type": "text/html; charset=utf-8",
        "content-encoding": "gzip",
        "cache-control": "public, max-age=31536000, immutable",
        "etag": '"abc"',
        "last-modified": "Wed, 05 Aug 2026 09:14:03 GMT",
        "vary": "accept-encoding",
    }
    cookies = ["sid=abc; HttpOnly; Secure; SameSite=Lax; Path=/", "theme=dark"]
    answer = {
        "statusCode": 200,
        "headers": headers,
        "cookies": cookies,
        "body": base64.b64encode(packed).decode(),
        "isBase64Encoded": True,
    }
    with answering(answer) as gateway:
        raw = http(gateway.port, b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert raw.partition(b"\r\n\r\n")[2] == packed
        status, got, body = ask(gateway, "HEAD / HTTP/1.1")
    head = raw.partition(b"\r\n\r\n")[0].decode().split("\r\n")
    assert [line for line in head if line.startswith("Set-Cookie: ")] == [f"Set-Cookie: {c}" for c in cookies]
    assert got.items() >= {**headers, "content-length": str(len(packed))}.items()
    assert (status, body) == (200, b"")


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_that_may_have_no_body_has_none_and_the_next_request_is_read(status: int) -> None:
    answer = {"statusCode": status, "headers": {"etag": '"abc"'}, "body": "stray"}
    with answering(answer) as gateway:
        ask_twice = b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        raw = http(gateway.port, ask_twice)
    assert raw.count(b"HTTP/1.1 %d " % status) == 2
    assert b"stray" not in raw
    assert b"content-length" not in raw.lower()
    assert raw.count(b'etag: "abc"') == 2


def test_a_raising_function_is_500_without_a_word_of_why() -> None:
    def handler(event: dict[str, Any]) -> None:
        raise ValueError("secret reason")

    with running(with_routes(ECHO), {"echo": handler}) as gateway:
        status, _, body = ask(gateway, "GET / HTTP/1.1")
    assert (status, body) == (500, b'{"message":"Internal Server Error"}')


def test_a_slow_function_is_503() -> None:
    route = HttpRoute("GET", "/slow", "slow", timeout=0.1)
    with running(with_routes(route), {"slow": lambda event: time.sleep(0.5)}) as gateway:
        status, _, body = ask(gateway, "GET /slow HTTP/1.1")
    assert (status, body) == (503, b'{"message":"Service Unavailable"}')


def test_an_unknown_path_is_404() -> None:
    with running(with_routes(HttpRoute("GET", "/a", "echo")), {"echo": lambda event: OK}) as gateway:
        status, _, body = ask(gateway, "GET /b HTTP/1.1")
    assert (status, body) == (404, b'{"message":"Not Found"}')


@pytest.mark.parametrize(
    ("head", "answer", "status"),
    [
        ("GET /a HTTP/1.1", {"isAuthorized": True}, 401),
        ("GET /a HTTP/1.1\nAuthorization: x", {"isAuthorized": False}, 403),
        ("GET /a HTTP/1.1\nAuthorization: x", {"nonsense": 1}, 500),
        ("GET /a HTTP/1.1\nAuthorization: x", {"isAuthorized": True, "context": {"n": 3}}, 200),
    ],
)
def test_an_authorizer_guards_a_route(head: str, answer: Any, status: int) -> None:
    authorizer = Authorizer("a", "auth", ("$request.header.Authorization",), simple=True)
    route = HttpRoute("GET", "/a", "echo", authorizer)
    with running(with_routes(route), {"echo": lambda event: event, "auth": lambda event: answer}) as gateway:
        got, _, body = ask(gateway, head)
    assert got == status
    if status == 200:
        assert json.loads(body)["requestContext"]["authorizer"] == {"lambda": {"n": 3}}


def test_preflight_is_answered_by_the_gateway_and_cors_headers_are_its_own() -> None:
    cors = Cors(("https://a.example",), ("GET", "POST"), ("content-type",), max_age=60)
    answer = {"statusCode": 200, "headers": {"access-control-allow-origin": "https://evil.example"}}
    with running(with_routes(ECHO, cors=cors), {"echo": lambda event: answer}) as gateway:
        preflight = "OPTIONS / HTTP/1.1\nOrigin: https://a.example\nAccess-Control-Request-Method: POST"
        status, headers, _ = ask(gateway, preflight)
        assert (status, gateway.functions.events) == (204, [])
        assert headers["access-control-allow-methods"] == "GET,POST"
        _, headers, _ = ask(gateway, "GET / HTTP/1.1\nOrigin: https://a.example")
        assert headers["access-control-allow-origin"] == "https://a.example"
        _, headers, _ = ask(gateway, "GET / HTTP/1.1\nOrigin: https://evil.example")
        assert "access-control-allow-origin" not in headers


# -- payload 1.0 ------------------------------------------------------------------------------------------------------

OLD = HttpRoute("POST", "/rooms/{id}", "echo", payload="1.0")


def test_a_route_may_ask_for_payload_1_0() -> None:
    def echo(event: dict[str, Any]) -> Any:
        return {"statusCode": 200, "body": json.dumps(event)}

    with running(with_routes(OLD), {"echo": echo}) as gateway:
        head = "POST /rooms/4%202?a=1&a=2 HTTP/1.1\nContent-Type: application/json\nCookie: a=1"
        status, _, body = ask(gateway, head, b'{"x":1}')
    event = json.loads(body)
    context = event.pop("requestContext")
    assert status == 200
    assert event.pop("headers").items() >= {"Content-Type": "application/json", "Cookie": "a=1"}.items()
    assert event.pop("multiValueHeaders")["Cookie"] == ["a=1"]
    assert event == {
        "version": "1.0",
        "resource": "/rooms/{id}",
        "path": "/rooms/4 2",
        "httpMethod": "POST",
        "queryStringParameters": {"a": "2"},
        "multiValueQueryStringParameters": {"a": ["1", "2"]},
        "pathParameters": {"id": "4 2"},
        "stageVariables": None,
        "body": '{"x":1}',
        "isBase64Encoded": False,
    }
    assert (context["resourcePath"], context["stage"], context["resourceId"]) == ("/rooms/{id}", "$default", None)
    assert context["authorizer"] == {"claims": None, "scopes": None}
    assert context["requestId"] == context["extendedRequestId"]


@pytest.mark.parametrize(
    ("answer", "status", "cookies"),
    [
        ({"statusCode": 200, "multiValueHeaders": {"Set-Cookie": ["a=1", "b=2"]}}, 200, 2),
        ({"statusCode": 200, "isBase64Encoded": True, "body": "%"}, 500, 0),
        ({"message": "no proxy response"}, 500, 0),
        (None, 500, 0),
    ],
)
def test_its_answers_are_proxy_responses_and_nothing_else(answer: Any, status: int, cookies: int) -> None:
    with running(with_routes(OLD), {"echo": lambda event: answer}) as gateway:
        raw = http(gateway.port, b"POST /rooms/1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
    assert raw.startswith(b"HTTP/1.1 %d " % status)
    assert raw.count(b"Set-Cookie: ") == cookies


@pytest.mark.parametrize("payload", ["1.0", "2.0"])
def test_an_authorizer_is_asked_in_its_own_payload_whatever_the_routes(payload: str) -> None:
    authorizer = Authorizer("a", "auth", ("$request.header.X", "$request.querystring.q"), simple=True, payload=payload)
    for route in (OLD, dataclasses.replace(OLD, payload="2.0")):
        guarded = dataclasses.replace(route, authorizer=authorizer)
        handlers = {"echo": lambda event: OK, "auth": lambda event: {"isAuthorized": True}}
        with running(with_routes(guarded), handlers) as gateway:
            assert ask(gateway, "POST /rooms/1?q=2 HTTP/1.1\nX: 1")[0] == 200
            (asked,) = gateway.functions.of("auth")
        assert (asked["version"], asked["type"]) == (payload, "REQUEST")
        assert "body" not in asked
        arn = asked["routeArn" if payload == "2.0" else "methodArn"]
        assert arn == "arn:aws:execute-api:eu-west-1:123456789012:f6g7h8i9j0/$default/POST/rooms/1"
        assert asked["identitySource"] == (["1", "2"] if payload == "2.0" else "1,2")


# -- the wire -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost x\r\n\r\n", 400),
        (b"GET /" + b"a" * 4100 + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 11000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + b"X: a\r\n" * 200 + b"\r\n", 431),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    ],
)
def test_a_request_against_the_rules_gets_one_clear_status_and_the_gateway_lives(raw: bytes, status: int) -> None:
    with answering({"statusCode": 200}) as gateway:
        assert http(gateway.port, raw).startswith(b"HTTP/1.1 %d " % status)
        assert ask(gateway, "GET / HTTP/1.1")[0] == 200


def test_a_chunked_body_over_the_limit_is_cut_off() -> None:
    with answering({"statusCode": 200}) as gateway, socket.create_connection(("127.0.0.1", gateway.port)) as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        chunk = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
        with pytest.raises(OSError, match=r"reset|pipe"):
            for _ in range(50):
                client.sendall(chunk)


def test_one_connection_carries_many_requests_in_order() -> None:
    with running(with_routes(ECHO), {"echo": lambda event: event["rawPath"]}) as gateway:
        raw = b"".join(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % n for n in range(20))
        raw += b"GET /last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        answer = http(gateway.port, raw)
    bodies = [part.partition(b"\r\n\r\n")[2] for part in answer.split(b"HTTP/1.1 200 OK")[1:]]
    assert bodies == [b'"/%d"' % n for n in range(20)] + [b'"/last"']


def test_head_has_no_body_and_100_continue_is_sent() -> None:
    with answering({"statusCode": 200, "body": "hello"}) as gateway:
        status, headers, body = ask(gateway, "HEAD / HTTP/1.1")
        assert (status, headers["content-length"], body) == (200, "5", b"")
        raw = b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx"
        assert http(gateway.port, raw).startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK")
