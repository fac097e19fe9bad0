"""The REST API: payload 1.0 events, answers, refusals, authorizers, CORS."""

from __future__ import annotations

import base64
import dataclasses
import json
import threading
from collections.abc import Mapping
from typing import Any

import pytest

from roost.gateway import server
from roost.gateway.definition import Authorizer, Cors, HttpRoute, RestApi, Service, Unplayed
from tests.gateway.harness import OK, Running, http, running, service
from tests.gateway.test_http_api import ask

ECHO = HttpRoute("ANY", "/rooms/{id}", "echo")
QUIET = server.Settings(log_events=False)


def rest(*routes: HttpRoute, http: tuple[HttpRoute, ...] = (), **more: Any) -> Service:
    declared = service({"$default": False}, http=(*http, *routes))
    api = RestApi("r1s2t3u4v5", "chat", "dev", routes, **more)
    http_api = dataclasses.replace(declared.http, routes=http) if declared.http is not None and http else None
    return dataclasses.replace(declared, http=http_api, rest=api)


def serving(declared: Service, answer: Any = None, **handlers: Any) -> Any:
    def echo(event: dict[str, Any]) -> Any:
        return {"statusCode": 200, "body": json.dumps(event)} if answer is None else answer

    every = {"echo": echo, "$default": lambda event: OK, **handlers}
    settings = handlers.pop("settings", QUIET)
    return running(declared, every, settings)


def event_of(gateway: Running, head: str, body: bytes = b"") -> dict[str, Any]:
    status, _, answer = ask(gateway, head, body)
    assert status == 200, answer
    event: dict[str, Any] = json.loads(answer)
    return event


def test_an_event_is_payload_1_0_with_nulls_where_nothing_is() -> None:
    with serving(rest(ECHO)) as gateway:
        event = event_of(gateway, "GET /dev/rooms/4%202 HTTP/1.1\nUser-Agent: Example")
    context = event.pop("requestContext")
    assert event.pop("headers").items() >= {"User-Agent": "Example", "X-Forwarded-Proto": "http"}.items()
    assert event.pop("multiValueHeaders")["User-Agent"] == ["Example"]
    assert event == {
        "resource": "/rooms/{id}",
        "path": "/rooms/4 2",
        "httpMethod": "GET",
        "queryStringParameters": None,
        "multiValueQueryStringParameters": None,
        "pathParameters": {"id": "4 2"},
        "stageVariables": None,
        "body": None,
        "isBase64Encoded": False,
    }
    assert (context["stage"], context["apiId"], context["path"]) == ("dev", "r1s2t3u4v5", "/dev/rooms/4 2")
    assert (context["resourcePath"], context["httpMethod"]) == ("/rooms/{id}", "GET")
    assert (context["accountId"], context["protocol"]) == ("123456789012", "HTTP/1.1")
    identity = context["identity"]
    assert (identity.pop("sourceIp"), identity.pop("userAgent")) == ("127.0.0.1", "Example")
    assert set(identity.values()) == {None}
    assert "authorizer" not in context
    assert "version" not in event


def test_queries_and_bodies_come_whole() -> None:
    with serving(rest(ECHO)) as gateway:
        event = event_of(gateway, "POST /dev/rooms/1?a=1&a=2&b= HTTP/1.1\nContent-Type: x/y", "naïve".encode())
    assert event["queryStringParameters"] == {"a": "2", "b": ""}
    assert event["multiValueQueryStringParameters"] == {"a": ["1", "2"], "b": [""]}
    assert (event["body"], event["isBase64Encoded"]) == ("naïve", False)


def test_binary_media_types_travel_as_base64_both_ways() -> None:
    answer = {"statusCode": 200, "isBase64Encoded": True, "body": base64.b64encode(b"\0\xff").decode()}
    declared = rest(ECHO, binary_types=("image/png",))
    with serving(declared) as gateway:
        event = event_of(gateway, "POST /dev/rooms/1 HTTP/1.1\nContent-Type: image/png", b"\0\xff")
    assert (base64.b64decode(event["body"]), event["isBase64Encoded"]) == (b"\0\xff", True)
    with serving(declared, answer) as gateway:
        assert ask(gateway, "GET /dev/rooms/1 HTTP/1.1\nAccept: image/png")[2] == b"\0\xff"
        assert ask(gateway, "GET /dev/rooms/1 HTTP/1.1")[2] == b"AP8="
    with serving(rest(ECHO, binary_types=("*/*",)), answer) as gateway:
        assert ask(gateway, "GET /dev/rooms/1 HTTP/1.1")[2] == b"\0\xff"


@pytest.mark.parametrize(
    ("answer", "status", "body"),
    [
        ({"statusCode": 201, "body": "made"}, 201, b"made"),
        ({"statusCode": "404"}, 404, b""),
        ({"statusCode": 200, "cookies": ["a=1"]}, 502, b'{"message":"Internal server error"}'),
        ({"statusCode": 200, "body": {"a": 1}}, 502, b'{"message":"Internal server error"}'),
        ({"message": "hello"}, 502, b'{"message":"Internal server error"}'),
        ("text", 502, b'{"message":"Internal server error"}'),
        (None, 502, b'{"message":"Internal server error"}'),
    ],
)
def test_what_a_function_returns_becomes_the_response(answer: Any, status: int, body: bytes) -> None:
    with serving(rest(ECHO), echo=lambda event: answer) as gateway:
        got, headers, content = ask(gateway, "GET /dev/rooms/1 HTTP/1.1")
    assert (got, headers["content-type"], content) == (status, "application/json", body)


def test_headers_and_multi_value_headers_are_merged() -> None:
    answer = {
        "statusCode": 200,
        "headers": {"X-A": "1", "Set-Cookie": "a=1", "Content-Type": "text/html"},
        "multiValueHeaders": {"Set-Cookie": ["a=1", "b=2"]},
    }
    with serving(rest(ECHO), answer) as gateway:
        raw = ask_raw(gateway, "GET /dev/rooms/1 HTTP/1.1")
    assert [line for line in raw if line.startswith("Set-Cookie")] == ["Set-Cookie: a=1", "Set-Cookie: b=2"]
    assert {"X-A: 1", "Content-Type: text/html"} <= set(raw)


def ask_raw(gateway: Running, head: str) -> list[str]:
    answer = http(gateway.port, f"{head}\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    return answer.partition(b"\r\n\r\n")[0].decode().split("\r\n")


def test_no_route_is_a_missing_token_as_on_aws() -> None:
    with serving(rest(ECHO)) as gateway:
        status, headers, body = ask(gateway, "GET /dev/nothing HTTP/1.1")
    assert (status, body) == (403, b'{"message":"Missing Authentication Token"}')
    assert headers["x-amzn-errortype"] == "MissingAuthenticationTokenException"


def test_a_slow_function_is_504() -> None:
    never = threading.Event()
    route = HttpRoute("GET", "/slow", "slow", timeout=0.1)
    with serving(rest(route), slow=lambda event: never.wait(1)) as gateway:
        status, _, body = ask(gateway, "GET /dev/slow HTTP/1.1")
    assert (status, body) == (504, b'{"message":"Endpoint request timed out"}')


def test_it_stands_at_its_stage_and_at_the_root_where_no_http_api_is() -> None:
    proxy = HttpRoute("ANY", "/{proxy+}", "echo")
    with serving(rest(proxy)) as gateway:
        assert event_of(gateway, "GET /dev/a/b HTTP/1.1")["pathParameters"] == {"proxy": "a/b"}
        event = event_of(gateway, "GET /a/b HTTP/1.1")
        assert (event["path"], event["requestContext"]["path"]) == ("/a/b", "/a/b")
    beside = HttpRoute("ANY", "$default", "http")
    with serving(rest(proxy, http=(beside,)), http=lambda event: {"version": event["version"]}) as gateway:
        assert event_of(gateway, "GET /dev/a HTTP/1.1")["path"] == "/a"
        assert event_of(gateway, "GET /a HTTP/1.1") == {"version": "2.0"}


# -- who may ----------------------------------------------------------------------------------------------------------


def policy(effect: str, resource: str, **context: Any) -> dict[str, Any]:
    statement = {"Action": "execute-api:Invoke", "Effect": effect, "Resource": resource}
    return {"principalId": "u", "policyDocument": {"Statement": [statement]}, "context": context}


TOKEN = Authorizer("a", "auth", ("method.request.header.Authorization",), token=True)
REQUEST = dataclasses.replace(TOKEN, token=False)
GUARDED = "GET /dev/rooms/1 HTTP/1.1\nAuthorization: x"


def guarded(authorizer: Authorizer) -> Service:
    declared = rest(dataclasses.replace(ECHO, authorizer=authorizer))
    return dataclasses.replace(
        declared, functions={**declared.functions, "auth": dataclasses.replace(declared.functions["echo"], key="auth")}
    )


@pytest.mark.parametrize("authorizer", [TOKEN, REQUEST], ids=["token", "request"])
def test_an_authorizer_is_asked_and_its_context_reaches_the_function(authorizer: Authorizer) -> None:
    with serving(guarded(authorizer), auth=lambda event: policy("Allow", event["methodArn"], level=3)) as gateway:
        told = event_of(gateway, GUARDED)["requestContext"]["authorizer"]
        (asked,) = gateway.functions.of("auth")
    assert told.pop("integrationLatency") >= 0
    assert told == {"principalId": "u", "level": "3"}
    assert asked["methodArn"] == "arn:aws:execute-api:eu-west-1:123456789012:r1s2t3u4v5/dev/GET/rooms/1"
    if authorizer.token:
        assert asked == {"type": "TOKEN", "methodArn": asked["methodArn"], "authorizationToken": "x"}
    else:
        assert (asked["type"], asked["httpMethod"], asked["pathParameters"]) == ("REQUEST", "GET", {"id": "1"})
        assert asked["queryStringParameters"] == {}
        assert "body" not in asked


def raising(words: str) -> Any:
    def handler(event: Mapping[str, Any]) -> Any:
        raise ValueError(words)

    return handler


@pytest.mark.parametrize(
    ("head", "answer", "status"),
    [
        (GUARDED.partition("\n")[0], lambda event: policy("Allow", "*"), 401),
        (GUARDED, lambda event: policy("Deny", "*"), 403),
        (GUARDED, lambda event: policy("Allow", "arn:aws:execute-api:*:*:*/prod/*"), 403),
        (GUARDED, raising("Unauthorized"), 401),
        (GUARDED, raising("other"), 500),
        (GUARDED, lambda event: {"isAuthorized": True}, 500),
    ],
)
def test_whom_an_authorizer_does_not_allow_gets_no_further(head: str, answer: Any, status: int) -> None:
    with serving(guarded(TOKEN), auth=answer) as gateway:
        assert ask(gateway, head)[0] == status
        assert gateway.functions.of("echo") == []


def test_a_token_that_is_not_of_its_form_is_not_even_asked_about() -> None:
    declared = guarded(dataclasses.replace(TOKEN, pattern="^Bearer .+$"))
    with serving(declared, auth=lambda event: policy("Allow", "*")) as gateway:
        assert ask(gateway, GUARDED)[0] == 401
        assert gateway.functions.of("auth") == []
        assert ask(gateway, GUARDED.replace(": x", ": Bearer x"))[0] == 200


def test_a_form_that_is_no_expression_here_lets_nobody_through() -> None:
    with serving(guarded(dataclasses.replace(TOKEN, pattern="(")), auth=lambda event: policy("Allow", "*")) as gateway:
        assert ask(gateway, GUARDED)[0] == 401


def test_a_private_route_wants_one_of_the_keys() -> None:
    declared = rest(dataclasses.replace(ECHO, api_key=True), api_keys=("secret",))
    with serving(declared) as gateway:
        assert ask(gateway, "GET /dev/rooms/1 HTTP/1.1")[0] == 403
        assert ask(gateway, "GET /dev/rooms/1 HTTP/1.1\nX-Api-Key: other")[0] == 403
        assert ask(gateway, "GET /dev/rooms/1 HTTP/1.1\nX-Api-Key: secret")[0] == 200


def test_what_cannot_be_authorized_here_is_refused_unless_the_person_says_otherwise() -> None:
    declared = rest(dataclasses.replace(ECHO, authorizer=Unplayed("aws_iam")))
    with serving(declared) as gateway:
        assert ask(gateway, "GET /dev/rooms/1 HTTP/1.1")[0] == 401
        assert gateway.functions.events == []
    with serving(declared, settings=server.Settings(log_events=False, skip_authorizers=True)) as gateway:
        assert ask(gateway, "GET /dev/rooms/1 HTTP/1.1")[0] == 200


# -- CORS -------------------------------------------------------------------------------------------------------------


def test_a_preflight_is_answered_for_paths_that_ask_for_it() -> None:
    cors = Cors(("*",), (), ("Content-Type", "Authorization"))
    routes = (HttpRoute("GET", "/a", "echo", cors=cors), HttpRoute("POST", "/a", "echo", cors=cors), ECHO)
    with serving(rest(*routes)) as gateway:
        status, headers, _ = ask(gateway, "OPTIONS /dev/a HTTP/1.1\nOrigin: https://x.example")
        assert (status, headers["access-control-allow-origin"]) == (200, "*")
        assert headers["access-control-allow-methods"] == "OPTIONS,GET,POST"
        assert headers["access-control-allow-headers"] == "Content-Type,Authorization"
        assert gateway.functions.events == []
        _, headers, _ = ask(gateway, "GET /dev/a HTTP/1.1\nOrigin: https://x.example")
        assert "access-control-allow-origin" not in headers  # that is the function's to say
        assert ask(gateway, "OPTIONS /dev/rooms/1 HTTP/1.1")[0] == 200  # asked of the function
        assert len(gateway.functions.of("echo")) == 2


def test_of_several_origins_the_asking_one_is_named() -> None:
    cors = Cors(("https://a.example", "https://b.example"), (), (), max_age=60, allow_credentials=True)
    with serving(rest(HttpRoute("ANY", "/a", "echo", cors=cors))) as gateway:
        _, headers, _ = ask(gateway, "OPTIONS /dev/a HTTP/1.1\nOrigin: https://b.example")
        assert headers["access-control-allow-origin"] == "https://b.example"
        assert headers["access-control-allow-credentials"] == "true"
        assert headers["access-control-max-age"] == "60"
        assert headers["access-control-allow-methods"] == "OPTIONS,DELETE,GET,HEAD,PATCH,POST,PUT"
        _, headers, _ = ask(gateway, "OPTIONS /dev/a HTTP/1.1\nOrigin: https://evil.example")
        assert headers["access-control-allow-origin"] == "https://a.example"
