"""One conversation with one app, through our gateway and through an emulated AWS: do handlers get the same events?

`tests/events/` holds an event of each kind as API Gateway sends it (ids and hosts are made up). Our gateway's must have
its keys and types, no more and no fewer. MiniStack's may differ in what `MINISTACK` lists, and in nothing else: where
two independent players and a record agree, the record is read rightly.
"""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import urllib.request
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import boto3
import pytest
from websockets.sync.client import connect
from websockets.typing import Origin

from tests.gateway.harness import eventually
from tests.tools import ROOT, roost_gateway

APP = ROOT / "tests" / "gateway" / "apps" / "recorder"
RECORDED = {path.stem: json.loads(path.read_text()) for path in sorted((ROOT / "tests" / "events").glob("*.json"))}
KINDS = ("authorizer", "connect", "message", "disconnect", "http_2_0", "rest_1_0")
REGION = "eu-west-1"

#: Maps whose keys are the client's or the app's choice: only the types of their values count.
_FREE = frozenset(
    {"headers", "multiValueHeaders", "queryStringParameters", "multiValueQueryStringParameters", "pathParameters"}
    | {"stageVariables"}
)

#: What MiniStack 1.5.33 leaves out, and what it adds.
_UNTOLD = {"requestContext.messageDirection", "requestContext.authorizer.integrationLatency"}
_NOBODY = {
    f"identity.{name}" for name, value in RECORDED["rest_1_0"]["requestContext"]["identity"].items() if not value
}
MINISTACK: Mapping[str, tuple[set[str], set[str]]] = {
    "connect": (_UNTOLD, {"body"}),
    "message": (_UNTOLD, set()),
    "disconnect": (_UNTOLD | {"headers.*", "multiValueHeaders.*"}, {"body"}),
    "http_2_0": ({"cookies", "requestContext.domainPrefix"}, set()),
    "rest_1_0": ({f"requestContext.{name}" for name in ("domainName", "domainPrefix", *_NOBODY)}, {"version"}),
}


def shape(value: Any, name: str = "") -> dict[str, str]:
    """Each key with its type: `{"requestContext.stage": "str", "headers.*": "str", …}`; null is `NoneType`."""
    last = name.rpartition(".")[2]
    if isinstance(value, dict) and last in _FREE:
        return {f"{name}.*": kind for each in value.values() for kind in set(shape(each).values())}
    if isinstance(value, dict):
        inner = (shape(each, f"{name}.{key}" if name else key) for key, each in value.items())
        return {key: kind for part in inner for key, kind in part.items()}
    if isinstance(value, list):
        return {name: f"list of {' or '.join(sorted({type(each).__name__ for each in value}))}"}
    return {name: type(value).__name__}


class Kept:
    """The events that the app has kept."""

    def __init__(self, endpoint: str, table: str) -> None:
        self._dynamodb = client("dynamodb", endpoint)
        self._table = table

    def all(self) -> list[dict[str, Any]]:
        items = self._dynamodb.scan(TableName=self._table, ConsistentRead=True)["Items"]
        return [json.loads(item["event"]["S"]) for item in items]

    def by_kind(self) -> dict[str, dict[str, Any]]:
        return {kind_of(event): event for event in self.all()}


def kind_of(event: Mapping[str, Any]) -> str:
    if event.get("type") == "REQUEST":
        return "authorizer"
    kind = event["requestContext"].get("eventType")
    if kind == "MESSAGE" and event["requestContext"]["routeKey"] == "$default":
        return "default"
    return str(kind).lower() if kind else "http_2_0" if event.get("version") == "2.0" else "rest_1_0"


def client(service: str, endpoint: str) -> Any:
    session: Any = boto3.session.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name=REGION)
    return session.client(service, endpoint_url=endpoint)


def talk(websocket: str, http: str, rest: str) -> None:
    """What a client says, on either side."""
    headers = {"X-Custom": "1", "Cookie": "a=b"}
    url = f"{websocket}?token=t1&token=t2"
    with connect(url, additional_headers=headers, origin=Origin("https://chat.example"), open_timeout=30) as socket:
        for text in ('{"action":"say","text":"hi"}', "hello"):
            socket.send(text)
            assert socket.recv(30) == "kept"
    sent = {"Content-Type": "application/json", "Cookie": "sid=abc; theme=dark"}
    for address in (f"{http}/rooms/42", f"{rest}/rest/42"):
        request = urllib.request.Request(f"{address}?a=1&a=2", data=b'{"x":1}', headers=sent)
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert answer.read() == b"kept"


Addresses = tuple[str, str, str, str]  # of the WebSocket API, the HTTP API, the REST API; the table's name


# -- the two players --------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def in_our_gateway(endpoint: str, folder: Path, *how: str) -> Iterator[Addresses]:
    app, stage = folder / "app", "isolated" if how else "inside"
    shutil.copytree(APP, app)
    options = ("--dynamodb", endpoint, "--stage", stage, *how)
    with roost_gateway(app / "serverless.yml", folder / "data", *options) as running:
        base = f"http://127.0.0.1:{running.port}"
        yield running.url, base, f"{base}/{stage}", f"{stage}-events"


@contextlib.contextmanager
def in_ministack(endpoint: str, folder: Path) -> Iterator[Addresses]:
    table = "ministack-events"
    client("dynamodb", endpoint).create_table(
        TableName=table,
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    record, authorize = (deploy(endpoint, table, name) for name in ("handler", "authorize"))
    apis = client("apigatewayv2", endpoint)
    websocket = api(apis, "WEBSOCKET", record, ("$disconnect", "$default", "say"), "dev")
    authorizer = apis.create_authorizer(
        ApiId=websocket,
        Name="authorize",
        AuthorizerType="REQUEST",
        AuthorizerUri=f"arn:aws:apigateway:{REGION}:lambda:path/2015-03-31/functions/{authorize}/invocations",
        IdentitySource=["route.request.querystring.token"],
    )["AuthorizerId"]
    integration = apis.get_integrations(ApiId=websocket)["Items"][0]["IntegrationId"]
    apis.create_route(
        ApiId=websocket,
        RouteKey="$connect",
        Target=f"integrations/{integration}",
        AuthorizationType="CUSTOM",
        AuthorizerId=authorizer,
    )
    http = api(apis, "HTTP", record, ("POST /rooms/{id}",), "$default")
    rest = f"{endpoint}/restapis/{rest_api(endpoint, record)}/dev/_user_request_"
    base = f"{endpoint}/_aws/execute-api"
    yield f"{base.replace('http', 'ws')}/{websocket}/dev", f"{base}/{http}/$default", rest, table


def deploy(endpoint: str, table: str, name: str) -> str:
    """Upload the app's source as a function; its ARN."""
    package = io.BytesIO()
    with zipfile.ZipFile(package, "w") as archive:
        archive.write(APP / "recorder.py", "recorder.py")
    function = client("lambda", endpoint).create_function(
        FunctionName=name,
        Runtime="python3.12",
        Role="arn:aws:iam::000000000000:role/any",
        Handler=f"recorder.{name}",
        Code={"ZipFile": package.getvalue()},
        Timeout=20,
        Environment={"Variables": {"EVENTS": table, "AWS_ENDPOINT_URL": endpoint}},
    )
    return str(function["FunctionArn"])


def api(apis: Any, protocol: str, function: str, routes: tuple[str, ...], stage: str) -> str:
    """An API whose routes all lead to a function; its id."""
    selection = {"RouteSelectionExpression": "$request.body.action"} if protocol == "WEBSOCKET" else {}
    identity = str(apis.create_api(Name=protocol, ProtocolType=protocol, **selection)["ApiId"])
    payload = {"PayloadFormatVersion": "2.0"} if protocol == "HTTP" else {}
    integration = apis.create_integration(
        ApiId=identity, IntegrationType="AWS_PROXY", IntegrationUri=function, **payload
    )["IntegrationId"]
    for route in routes:
        apis.create_route(ApiId=identity, RouteKey=route, Target=f"integrations/{integration}")
    apis.create_stage(ApiId=identity, StageName=stage, AutoDeploy=True)
    return identity


def rest_api(endpoint: str, function: str) -> str:
    """A REST API with the one resource `/rest/{id}`; its id."""
    apis = client("apigateway", endpoint)
    identity = str(apis.create_rest_api(name="rest")["id"])
    resource = apis.get_resources(restApiId=identity)["items"][0]["id"]
    for part in ("rest", "{id}"):
        resource = apis.create_resource(restApiId=identity, parentId=resource, pathPart=part)["id"]
    method = {"restApiId": identity, "resourceId": resource, "httpMethod": "POST"}
    apis.put_method(**method, authorizationType="NONE")
    uri = f"arn:aws:apigateway:{REGION}:lambda:path/2015-03-31/functions/{function}/invocations"
    apis.put_integration(**method, type="AWS_PROXY", integrationHttpMethod="POST", uri=uri)
    apis.create_deployment(restApiId=identity, stageName="dev")
    return identity


# -- what must hold ---------------------------------------------------------------------------------------------------

PLAYERS: Mapping[str, Any] = {
    "in process": in_our_gateway,
    "isolated": lambda endpoint, folder: in_our_gateway(endpoint, folder, "--isolated"),
    "ministack": in_ministack,
}


@pytest.fixture(scope="module", params=PLAYERS)
def player(
    request: pytest.FixtureRequest, ministack_endpoint: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, dict[str, dict[str, Any]]]]:
    """A player's name, and the event of each kind that the app got from it."""
    folder = tmp_path_factory.mktemp("player")
    with PLAYERS[request.param](ministack_endpoint, folder) as (websocket, http, rest, table):
        talk(websocket, http, rest)
        kept = Kept(ministack_endpoint, table)
        eventually(lambda: len(kept.all()) == len(KINDS) + 1, 30)
        yield request.param, kept.by_kind()


@pytest.mark.parametrize("kind", KINDS)
def test_an_event_has_the_keys_and_types_of_the_recorded_one(
    player: tuple[str, dict[str, dict[str, Any]]], kind: str
) -> None:
    name, got = player
    expected = shape(RECORDED[kind])
    missing, added = MINISTACK.get(kind, (set(), set())) if name == "ministack" else (set(), set())
    actual = shape(got[kind])
    assert {key: actual[key] for key in actual.keys() - added} == {
        key: expected[key] for key in expected.keys() - missing
    }
    assert actual.keys() >= added, "MiniStack has become more like AWS: shorten the list"
    assert not actual.keys() & missing, "MiniStack has become more like AWS: shorten the list"


def test_what_stays_the_same_for_a_connection_does(player: tuple[str, dict[str, dict[str, Any]]]) -> None:
    _, got = player
    contexts = [got[kind]["requestContext"] for kind in ("connect", "message", "default", "disconnect")]
    for name in ("connectionId", "apiId", "domainName", "stage", "identity"):
        assert len({json.dumps(context[name]) for context in contexts}) == 1, name
    assert len({context["requestId"] for context in contexts}) == 4
    assert [context["routeKey"] for context in contexts] == ["$connect", "say", "$default", "$disconnect"]
    assert got["message"]["body"] == '{"action":"say","text":"hi"}'
    assert got["connect"]["queryStringParameters"] == {"token": "t2"}
    assert got["connect"]["multiValueQueryStringParameters"] == {"token": ["t1", "t2"]}


def test_an_http_request_is_told_alike(player: tuple[str, dict[str, dict[str, Any]]]) -> None:
    _, got = player
    event = got["http_2_0"]
    assert (event["version"], event["routeKey"], event["rawPath"]) == ("2.0", "POST /rooms/{id}", "/rooms/42")
    assert (event["rawQueryString"], event["queryStringParameters"]) == ("a=1&a=2", {"a": "1,2"})
    assert (event["pathParameters"], event["body"], event["isBase64Encoded"]) == ({"id": "42"}, '{"x":1}', False)
