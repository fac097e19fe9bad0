"""What `roost gateway FILE` says before it serves."""

from __future__ import annotations

from pathlib import Path

import pytest

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
