"""The entry points that DynamoDB's stream and SQS call: a scheduled message goes by way of both."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from boto3.dynamodb.types import TypeSerializer

from roost.aws import functions
from tests.engines import REGION, new_table
from tests.slack.workspace import api_event


@pytest.fixture
def queue(ministack_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An SQS queue, for which the functions' environment is set."""
    sqs: Any = boto3.session.Session("test", "test", region_name=REGION).client("sqs", endpoint_url=ministack_endpoint)
    made = boto3.session.Session("test", "test", region_name=REGION).resource("sqs", endpoint_url=ministack_endpoint)
    url = sqs.create_queue(QueueName=f"jobs-{time.time_ns()}")["QueueUrl"]
    environ = {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": REGION,
        "AWS_ENDPOINT_URL": ministack_endpoint,
        "ROOST_TABLE": new_table(ministack_endpoint, time.time)["name"],
        "ROOST_QUEUE_URL": url,
        "ROOST_CALLBACK_URL": "http://127.0.0.1:9",
    }
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    caches = (functions._table, functions._jobs, functions._sqs, functions._app, functions._push)
    for cache in caches:
        cache.cache_clear()
    yield made.Queue(url)
    functions._table().close()
    functions._sqs().close()
    sqs.close()
    made.meta.client.close()
    for cache in caches:
        cache.cache_clear()


class Context:
    """What Lambda gives a function besides the event."""

    def get_remaining_time_in_millis(self) -> int:
        return 60_000


def test_a_scheduled_message_is_posted_by_way_of_the_stream_and_sqs(queue: Any) -> None:
    chat = functions._app("http://127.0.0.1:9").chat
    row = chat.people.add("ana")
    token, general = chat.people.create_token(row, "user"), chat.core.workspace.general
    at = int(time.time()) + 2
    arguments = {"channel": general, "text": "later", "post_at": at}
    assert json.loads(functions.http(api_event("chat.scheduleMessage", arguments, token=token), None)["body"])["ok"]
    (job,) = functions._jobs().unfinished()
    (item,) = functions._table().query("O#JOBS").items
    serialize = TypeSerializer().serialize
    image = {name: serialize(value) for name, value in item.items()}
    functions.stream({"Records": [{"dynamodb": {"SequenceNumber": "1", "NewImage": image}}]}, None)
    (message,) = queue.receive_messages(WaitTimeSeconds=10)
    assert json.loads(message.body) == {"job": job.id}
    event = {"Records": [{"messageId": message.message_id, "body": message.body}]}
    time.sleep(max(0, at - time.time()))
    assert functions.queue(event, Context()) == {"batchItemFailures": []}
    shown = json.loads(
        functions.http(api_event("conversations.history", {"channel": general}, token=token), None)["body"]
    )
    assert shown["messages"][0]["text"] == "later"
