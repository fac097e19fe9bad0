"""Route selection expressions and HTTP paths choose as AWS does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roost.gateway.definition import HttpRoute
from roost.gateway.routing import HttpRoutes, RouteSelection


@pytest.mark.parametrize(
    ("expression", "body", "selected"),
    [
        ("$request.body.action", '{"action":"sendMessage"}', "sendMessage"),
        ("$request.body.action", '{"x":1}', ""),
        ("$request.body.action", '{"action":null}', ""),
        ("$request.body.action", "hello", None),
        ("$request.body.action", "", None),
        ("$request.body.action", "[1]", None),
        ("$request.body.action", '"text"', None),
        ("$request.body.service.op", '{"service":{"op":"a"}}', "a"),
        ("$request.body.service.op", '{"service":"a"}', ""),
        ("${request.body.a}-${request.body.nope}", '{"a":"join"}', "join-"),
        ("${request.body.a}/x", '{"a":1}', "1/x"),
        ("$request.body.action", '{"action":["a","b"]}', '["a", "b"]'),
        ("\\$default", "anything", "$default"),
        ("constant", "anything", "constant"),
        ("$request.body.action", '{action: "x"}', "x"),
        ("$request.body.action", '{"action":"send", body:"x"}', "send"),
        ("$request.body.action", '{"action":', None),
        ("$request.body.action", "{" * 5000, None),
        ("$request.body.action", '{"a":' + "[" * 3000 + "]" * 3000 + "}", None),
    ],
)
def test_an_expression_selects_the_route_that_aws_selects(expression: str, body: str, selected: str | None) -> None:
    assert RouteSelection(expression).select(body) == selected


@given(st.text())
def test_no_message_makes_route_selection_fail(body: str) -> None:
    selected = RouteSelection("$request.body.action").select(body)
    assert selected is None or isinstance(selected, str)


def routes(*keys: str) -> HttpRoutes:
    parsed = [key.split(" ") if " " in key else ["ANY", key] for key in keys]
    return HttpRoutes([HttpRoute(method, path, "f") for method, path in parsed])


@pytest.mark.parametrize(
    ("method", "path", "key", "parameters"),
    [
        ("GET", "/rooms/42", "GET /rooms/{id}", {"id": "42"}),
        ("GET", "/rooms/a%20b%2Fc", "GET /rooms/{id}", {"id": "a b/c"}),
        ("GET", "/rooms/all", "GET /rooms/all", {}),
        ("POST", "/rooms/all", "ANY /rooms/{id}", {"id": "all"}),
        ("GET", "/files/a/b/c", "ANY /files/{path+}", {"path": "a/b/c"}),
        ("GET", "/files/img/x", "GET /files/img/{rest+}", {"rest": "x"}),
        ("GET", "/nothing", "$default", {}),
        ("DELETE", "/", "$default", {}),
        ("GET", "/rooms/42/more", "$default", {}),
        ("GET", "/files", "$default", {}),
    ],
)
def test_an_http_request_takes_the_most_specific_route(
    method: str, path: str, key: str, parameters: dict[str, str]
) -> None:
    table = routes(
        "$default",
        "ANY /files/{path+}",
        "ANY /rooms/{id}",
        "GET /rooms/{id}",
        "GET /rooms/all",
        "GET /files/img/{rest+}",
    )
    found = table.match(method, path)
    assert found is not None
    assert (found[0].key, found[1]) == (key, parameters)


def test_without_a_default_route_an_unknown_path_has_none() -> None:
    assert routes("GET /a").match("GET", "/b") is None
    assert routes("GET /a").match("POST", "/a") is None
