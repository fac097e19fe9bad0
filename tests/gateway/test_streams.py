"""Functions get the changes of a table, as on AWS: in order, again after a failure, and push them to their sockets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.sync.client import connect

from roost.gateway.definition import Stream
from tests.gateway.test_definition import read
from tests.tools import ministack, roost_gateway

FILE = """\
service: chat
provider: { name: aws, runtime: python3.12, timeout: 20, environment: { TABLE: !Ref Lines } }
functions:
  write: { handler: app.write, events: [ websocket: $default ] }
  tell:
    handler: app.tell
    events:
      - stream: { type: dynamodb, arn: !GetAtt Lines.StreamArn, batchSize: 2, startingPosition: LATEST }
resources:
  Resources:
    Lines:
      Type: AWS::DynamoDB::Table
      Properties:
        TableName: ${sls:stage}-lines
        AttributeDefinitions: [{ AttributeName: id, AttributeType: S }]
        KeySchema: [{ AttributeName: id, KeyType: HASH }]
        StreamSpecification: { StreamViewType: NEW_IMAGE }
"""
APP = """\
import os
import boto3

def write(event, context):
    context_, text = event["requestContext"], event["body"]
    item = {"id": {"S": text}, "to": {"S": context_["connectionId"]}, "raw": {"B": b"x"}}
    boto3.client("dynamodb").put_item(TableName=os.environ["TABLE"], Item=item)
    return {"statusCode": 200}

failed = []

def tell(event, context):
    records = event["Records"]
    if not failed:
        failed.append(True)
        raise ValueError("the first time")
    client = boto3.client("apigatewaymanagementapi")
    for record in records:
        image = record["dynamodb"]["NewImage"]
        assert record["eventSourceARN"].endswith("-lines/stream/2026-01-01T00:00:00.000")
        assert record["dynamodb"]["ApproximateCreationDateTime"] > 1_700_000_000
        told = f'{record["eventName"]} {image["id"]["S"]} {image["raw"]["B"]} of {len(records) <= 2}'
        client.post_to_connection(ConnectionId=image["to"]["S"], Data=told)
    return {}
"""


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with ministack() as emulator:
        yield emulator


@pytest.mark.parametrize("how", [(), ("--isolated",)], ids=["in process", "isolated"])
def test_what_is_written_is_told_by_the_function_at_the_stream(
    tmp_path: Path, endpoint: str, how: tuple[str, ...]
) -> None:
    (tmp_path / "serverless.yml").write_text(FILE)
    (tmp_path / "app.py").write_text(APP)
    stage = "isolated" if how else "inside"
    options = ("--dynamodb", endpoint, "--stage", stage, *how)
    with roost_gateway(tmp_path / "serverless.yml", tmp_path / "data", *options) as running:
        with connect(running.url) as client:
            client.send("0")
            first = client.recv(40)
            for number in range(1, 6):
                client.send(str(number))
            others = [client.recv(40) for _ in range(5)]
        assert running.stop() == 0
        assert "the first time" in running.stderr()
    assert first == "INSERT 0 eA== of True"
    assert sorted(others) == [f"INSERT {number} eA== of True" for number in range(1, 6)]


def test_streams_are_read_from_both_kinds_of_file(tmp_path: Path) -> None:
    arn = "arn:aws:dynamodb:us-east-1:123456789012:table/dev-lines/stream/2026-01-01T00:00:00.000"
    service = read(tmp_path, FILE)
    assert service.streams == (Stream("tell", "dev-lines", arn, 2, "LATEST"),)
    other = FILE.replace("arn: !GetAtt Lines.StreamArn", "arn: arn:aws:kinesis:us-east-1:1:stream/x")
    assert any("it is of no DynamoDB table" in line for line in read(tmp_path, other).warnings)
    template = """
    Resources:
      T: { Type: AWS::DynamoDB::Table, Properties: { TableName: t } }
      F:
        Type: AWS::Serverless::Function
        Properties:
          Handler: index.f
          InlineCode: "def f(e, c): ..."
          Events:
            S: { Type: DynamoDB, Properties: { Stream: !GetAtt T.StreamArn, StartingPosition: LATEST } }
    """
    (stream,) = read(tmp_path, template, "template.yaml").streams
    assert (stream.function, stream.table, stream.batch_size, stream.position) == ("F", "t", 100, "LATEST")
