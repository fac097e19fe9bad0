"""What `roost gateway FILE` says before it serves."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from websockets.sync.client import connect

from tests.gateway.harness import eventually
from tests.tools import ministack, roost_gateway

FILE = """\
service: chat
provider: {name: aws, runtime: python3.12}
functions:
  all: {handler: all.handler, events: [websocket: $default]}
resources:
  Resources:
    Connections:
      Type: AWS::DynamoDB::Table
      Properties:
        TableName: connections-${sls:stage}
        AttributeDefinitions: [{AttributeName: id, AttributeType: S}]
        KeySchema: [{AttributeName: id, KeyType: HASH}]
"""


@pytest.fixture
def app(tmp_path: Path) -> Path:
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "all.py").write_text("def handler(event, context):\n    return {'statusCode': 200}\n")
    (folder / "serverless.yml").write_text(FILE)
    return folder / "serverless.yml"


@pytest.mark.parametrize(
    ("key", "where"), [("", "which refuses their made-up credentials"), ("AKIA1", "WITH YOUR OWN CREDENTIALS")]
)
def test_declared_tables_without_an_endpoint_are_named_in_one_line(app: Path, key: str, where: str) -> None:
    env = {"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": key}
    with roost_gateway(app, app.parent / "data", env=env) as running:
        eventually(lambda: "connections-dev" in running.stderr())
        lines = [line for line in running.stderr().splitlines() if "connections-dev" in line]
    assert len(lines) == 1
    assert where in lines[0]
    assert "--dynamodb URL" in lines[0]


def test_with_an_endpoint_they_are_made_there_and_nothing_is_warned_of(app: Path) -> None:
    with ministack() as endpoint, roost_gateway(app, app.parent / "data", "--dynamodb", endpoint) as running:
        assert "table connections-dev made" in running.stdout()
        assert "no DynamoDB" not in running.stderr()


CALLING = """\
import json, os
import boto3

def handler(event, context):
    name = os.environ["AWS_LAMBDA_FUNCTION_NAME"].replace("-all", "-other")
    answer = boto3.client("lambda").invoke(FunctionName=name, Payload=json.dumps({"n": 20}))
    return {"statusCode": 200, "body": answer["Payload"].read().decode()}

def other(event, context):
    return event["n"] + 1
"""


@pytest.mark.parametrize("how", [(), ("--isolated",), ("--signed",)], ids=["in process", "isolated", "signed"])
def test_functions_invoke_each_other(app: Path, how: tuple[str, ...]) -> None:
    (app.parent / "all.py").write_text(CALLING)
    app.write_text(
        "service: chat\nprovider: {name: aws, runtime: python3.12, timeout: 20}\nfunctions:\n"
        "  all:\n    handler: all.handler\n"
        "    events: [{websocket: {route: $default, routeResponseSelectionExpression: $default}}]\n"
        "  other: {handler: all.other}\n"
    )
    with roost_gateway(app, app.parent / "data", *how) as running, connect(running.url) as client:
        client.send("x")
        assert client.recv(20) == "21"


@pytest.mark.parametrize("how", [(), ("--isolated",)], ids=["in process", "isolated"])
@pytest.mark.parametrize("active", [True, False], ids=["active", "in the folder"])
def test_packages_of_the_apps_own_environment_are_found(app: Path, how: tuple[str, ...], active: bool) -> None:
    environment = app.parent / ("elsewhere" if active else ".venv")
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = environment / "lib" / version / "site-packages"
    packages.mkdir(parents=True)
    (environment / "pyvenv.cfg").write_text("home = /usr/bin\n")
    (packages / "only_there.py").write_text("WORD = 'found'\n")
    handler = (
        "import only_there\ndef handler(event, context):\n    return {'statusCode': 200, 'body': only_there.WORD}\n"
    )
    (app.parent / "all.py").write_text(handler)
    route = "websocket: { route: $default, routeResponseSelectionExpression: $default }"
    app.write_text(FILE.partition("resources:")[0].replace("websocket: $default", f"{{{route}}}"))
    env = {"VIRTUAL_ENV": str(environment) if active else ""}
    with roost_gateway(app, app.parent / "data", *how, env=env) as running, connect(running.url) as client:
        assert f"packages of {environment} are used" in running.stdout()
        client.send("x")
        assert client.recv(20) == "found"


def test_packages_of_another_python_are_left_alone(app: Path) -> None:
    environment = app.parent / "venv"
    (environment / "lib" / "python2.7" / "site-packages").mkdir(parents=True)
    (environment / "pyvenv.cfg").write_text("home = /usr/bin\n")
    with roost_gateway(app, app.parent / "data", env={"VIRTUAL_ENV": ""}) as running:
        assert f"packages of {environment} are NOT used" in running.stdout()
