"""The chat as Lambda functions: the entry points of roost/aws under AWS's own runtime client, DynamoDB emulated, pushes
through the @connections API. The conversation is the same as on the laptop."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from roost.app import ROUTES
from tests.end_to_end.test_blog_post import exchange
from tests.tools import ROOT, ministack, roost_gateway

HANDLER = "from roost.aws.functions import http, socket\n"
DEFINITION = """
service: roost
provider:
  name: aws
  runtime: python3.13
  region: eu-west-1
  environment: {{ ROOST_TABLE: !Ref Table, ROOST_GUESTS: 'on', ROOST_LIMITS: 'off', PYTHONPATH: {root} }}
functions:
  socket:
    handler: handler.socket
    timeout: 20
    events: [{events}]
resources:
  Resources:
    Table:
      Type: AWS::DynamoDB::Table
      Properties:
        TableName: roost-test
        BillingMode: PAY_PER_REQUEST
        AttributeDefinitions:
          - {{ AttributeName: PK, AttributeType: S }}
          - {{ AttributeName: SK, AttributeType: S }}
          - {{ AttributeName: G1PK, AttributeType: S }}
          - {{ AttributeName: G1SK, AttributeType: S }}
        KeySchema:
          - {{ AttributeName: PK, KeyType: HASH }}
          - {{ AttributeName: SK, KeyType: RANGE }}
        GlobalSecondaryIndexes:
          - IndexName: G1Index
            KeySchema: [{{ AttributeName: G1PK, KeyType: HASH }}, {{ AttributeName: G1SK, KeyType: RANGE }}]
            Projection: {{ ProjectionType: KEYS_ONLY }}
"""


@pytest.fixture(scope="module")
def emulated_aws() -> Iterator[str]:
    with ministack() as endpoint:
        yield endpoint


def test_two_people_talk_through_lambda_functions(tmp_path: Path, emulated_aws: str) -> None:
    (tmp_path / "handler.py").write_text(HANDLER)
    events = ", ".join(f"{{ websocket: {route} }}" for route in ROUTES)
    (tmp_path / "serverless.yml").write_text(DEFINITION.format(root=ROOT, events=events))
    file = tmp_path / "serverless.yml"
    with roost_gateway(file, tmp_path / "data", "--isolated", "--dynamodb", emulated_aws) as server:
        exchange(server.url)
        assert "Traceback" not in server.stderr()
