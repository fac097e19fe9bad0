"""The queue's half on AWS: messages as boto3 reads them, batches that fail in part, an SQS that refuses.

That the whole of it does jobs is in `tests/contracts/test_queue.py`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from roost.aws.sign import Credentials
from roost.aws.sqs import QueueUnavailable, Record, SqsQueue, decode_records
from roost.aws.stream import Change
from roost.aws.stream import decode_records as decode_stream
from roost.storage.jobs import Job, Queue
from roost.storage.table import Item, StoreUnavailable
from roost.testing import FakeClock, MemoryTable
from tests.aws.servers import FaultyServer, Reply, Request, listening

NOW = 1_800_000_000.0


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with listening() as faulty:
        yield faulty


@pytest.fixture
def sqs(server: FaultyServer) -> Iterator[SqsQueue]:
    key = Credentials("test", "test")
    made = SqsQueue("https://q", endpoint=server.url, region="eu-west-1", credentials=lambda: key, clock=lambda: NOW)
    yield made
    made.close()


@pytest.fixture
def sent(server: FaultyServer) -> list[dict[str, Any]]:
    """The entries that SQS took."""
    entries: list[dict[str, Any]] = []

    def take(request: Request) -> Reply:
        assert request.headers["x-amz-target"] == "AmazonSQS.SendMessageBatch"
        asked = json.loads(request.body)
        assert asked["QueueUrl"] == "https://q"
        entries.extend(asked["Entries"])
        return Reply(200, json.dumps({"Successful": [], "Failed": []}).encode())

    server.handler = take
    return entries


def event(*bodies: str) -> dict[str, Any]:
    return {"Records": [{"messageId": f"m{number}", "body": body} for number, body in enumerate(bodies)]}


def message(job: str) -> str:
    return json.dumps({"job": job})


def test_boto3_reads_what_we_send(ministack_endpoint: str) -> None:
    import boto3

    session = boto3.session.Session("test", "test", region_name="eu-west-1")
    make: Any = session.client
    client = make("sqs", endpoint_url=ministack_endpoint)
    url = client.create_queue(QueueName=f"read-{time.time_ns()}")["QueueUrl"]
    key = Credentials("test", "test")
    ours = SqsQueue(url, endpoint=ministack_endpoint, region="eu-west-1", credentials=lambda: key)
    ours.send([(f"Q{number}", 0) for number in range(23)])
    ours.send([("later", round((time.time() + 60) * 1000))])
    bodies: set[str] = set()
    while len(bodies) < 23:
        got = client.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=2)
        bodies |= {each["Body"] for each in got["Messages"]}
    assert bodies == {f'{{"job":"Q{number}"}}' for number in range(23)}
    attributes = client.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert attributes["ApproximateNumberOfMessagesDelayed"] == "1"
    ours.close()
    client.close()


@pytest.mark.parametrize(("seconds", "delay"), [(-5, 0), (0, 0), (0.001, 1), (59.2, 60), (900, 900), (10_000_000, 900)])
def test_a_message_waits_as_long_as_it_must_and_sqs_can(
    sqs: SqsQueue, sent: list[dict[str, Any]], seconds: float, delay: int
) -> None:
    sqs.send([("Q1", round((NOW + seconds) * 1000))])
    assert [entry["DelaySeconds"] for entry in sent] == [delay]


def test_the_stream_brings_messages_for_what_waits_and_for_nothing_else(
    sqs: SqsQueue, sent: list[dict[str, Any]]
) -> None:
    due = round(NOW * 1000) + 3000
    waiting: Item = {"PK": "O#JOBS", "kind": "x", "fields": {}, "due": due}
    sqs.follow(
        [
            {**waiting, "SK": "new", "id": "new"},
            {**waiting, "SK": "failed", "id": "failed", "tries": 2, "error": "x"},
            {**waiting, "SK": "running", "id": "running", "tries": 1, "running": True},
            {**waiting, "SK": "parked", "id": "parked", "parked": True},
            {**waiting, "SK": "done", "id": "done", "done": True},
            {"PK": "L#C1#202611", "SK": "000000000001"},
        ]
    )
    assert [(json.loads(entry["MessageBody"])["job"], entry["DelaySeconds"]) for entry in sent] == [
        ("new", 3),
        ("failed", 3),
    ]


def test_nothing_to_send_asks_nobody(sqs: SqsQueue, server: FaultyServer) -> None:
    sqs.follow([])
    assert server.accepted == 0


def test_only_what_was_refused_is_sent_again(sqs: SqsQueue, server: FaultyServer) -> None:
    asked: list[list[str]] = []

    def refuse(request: Request) -> Reply:
        asked.append([entry["Id"] for entry in json.loads(request.body)["Entries"]])
        failed = [{"Id": "1", "Code": "ServiceUnavailable", "SenderFault": False}] if len(asked) < 3 else []
        return Reply(200, json.dumps({"Failed": failed}).encode())

    server.handler = refuse
    sqs.send([("Q1", 0), ("Q2", 0), ("Q3", 0)])
    assert asked == [["0", "1", "2"], ["1"], ["1"]]


def test_an_sqs_that_stays_away_is_said(sqs: SqsQueue, server: FaultyServer) -> None:
    server.answers = [None, Reply(503), Reply(500), Reply(403)]
    with pytest.raises(QueueUnavailable, match="403"):
        sqs.send([("Q1", 0)])


def test_a_batch_fails_in_part(sqs: SqsQueue, sent: list[dict[str, Any]]) -> None:
    clock = FakeClock(NOW)
    table = MemoryTable(clock=lambda: clock.now)
    queue = Queue(table, clock.now_us)
    for job, seconds in (("fine", 0), ("broken", 0), ("early", 50)):
        queue.put(Job(job, "x"), NOW + seconds)
    done: list[str] = []

    def do(job: Job) -> None:
        done.append(job.id)
        if job.id == "broken":
            raise ValueError

    answer = sqs.work(
        event(message("fine"), message("broken"), message("early"), "{}", message("gone"), "no"), queue, do
    )
    assert done == ["fine", "broken"]  # the failure is in the item, and the stream brings it
    assert answer == {"batchItemFailures": [{"itemIdentifier": "m3"}, {"itemIdentifier": "m5"}]}
    assert [(json.loads(entry["MessageBody"])["job"], entry["DelaySeconds"]) for entry in sent] == [("early", 50)]


def test_a_store_that_is_down_leaves_its_message_to_sqs(sqs: SqsQueue) -> None:
    class Down(MemoryTable):
        def get(self, key: object) -> None:
            raise StoreUnavailable("down")

    answer = sqs.work(event(message("Q1")), Queue(Down(), FakeClock().now_us), lambda job: None)
    assert answer == {"batchItemFailures": [{"itemIdentifier": "m0"}]}


def test_an_early_job_whose_message_cannot_be_sent_on_is_left_to_sqs(sqs: SqsQueue, server: FaultyServer) -> None:
    server.handler = lambda request: Reply(500)
    clock = FakeClock(NOW)
    queue = Queue(MemoryTable(clock=lambda: clock.now), clock.now_us)
    queue.put(Job("Q1", "x"), NOW + 50)
    answer = sqs.work(event(message("Q1")), queue, lambda job: None)
    assert answer == {"batchItemFailures": [{"itemIdentifier": "m0"}]}


def test_a_function_short_of_time_begins_nothing_more(sqs: SqsQueue) -> None:
    clock = FakeClock(NOW)
    queue = Queue(MemoryTable(clock=lambda: clock.now), clock.now_us)
    for job in ("Q1", "Q2"):
        queue.put(Job(job, "x"))
    done: list[str] = []
    left = [20_000, 4_000]
    answer = sqs.work(event(message("Q1"), message("Q2")), queue, lambda job: done.append(job.id), lambda: left.pop(0))
    assert done == ["Q1"]
    assert answer == {"batchItemFailures": [{"itemIdentifier": "m1"}]}


def test_jobs_whose_messages_were_lost_get_new_ones(sqs: SqsQueue, sent: list[dict[str, Any]]) -> None:
    clock = FakeClock(NOW - 5000)
    queue = Queue(MemoryTable(clock=lambda: clock.now), clock.now_us)
    queue.put(Job("forgotten", "x"))
    queue.put(Job("late", "x"), NOW - 3000)
    queue.put(Job("tomorrow", "x"), NOW + 86_400)
    queue.put(Job("done", "x"))
    queue.run("done", lambda job: None)
    clock.now = NOW
    assert sqs.rescue(queue) == 1
    assert [json.loads(entry["MessageBody"])["job"] for entry in sent] == ["forgotten"]


def test_records_are_read() -> None:
    assert decode_records(event(message("Q1"), '{"job": 5}', "")) == [
        Record("m0", "Q1"),
        Record("m1", None),
        Record("m2", None),
    ]


def test_a_streams_records_are_items_in_order_without_what_was_removed() -> None:
    image = {"PK": {"S": "p"}, "SK": {"S": "s"}, "n": {"N": "5"}, "b": {"B": "AP8="}}
    records = [
        {"eventName": "INSERT", "dynamodb": {"SequenceNumber": "1", "NewImage": image}},
        {"eventName": "REMOVE", "dynamodb": {"SequenceNumber": "2", "Keys": {}}},
        {"eventName": "MODIFY", "dynamodb": {"SequenceNumber": "3", "NewImage": {**image, "SK": {"S": "t"}}}},
    ]
    item: Item = {"PK": "p", "SK": "s", "n": 5, "b": b"\x00\xff"}
    assert decode_stream({"Records": records}) == [Change("1", item), Change("3", {**item, "SK": "t"})]
