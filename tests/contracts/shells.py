"""The shells that do jobs: each looks at a queue in its own way, and is started and stopped like a process."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

import boto3

from roost.aws.sqs import SqsQueue
from roost.aws.stream import decode_records
from roost.local.queue import Worker
from roost.local.waiting import Hub
from roost.storage.jobs import Job, Queue
from roost.storage.table import Table
from roost.testing import do_due
from tests.engines import REGION, TEST_KEY

Do = Callable[[Job], None]


class Shell(Protocol):
    """Does jobs between `start` and `stop`."""

    table: Table

    def start(self, queue: Queue, do: Do) -> None:
        """Begin to look."""

    def stop(self) -> None:
        """Stop looking, once what runs has ended."""


class Plain:
    """Looks again and again, on one thread."""

    def __init__(self, table: Table) -> None:
        self.table = table

    def start(self, queue: Queue, do: Do) -> None:
        self._stopped = threading.Event()

        def run() -> None:
            while not self._stopped.wait(0.01):
                do_due(queue, do)

        self._thread = threading.Thread(target=run)
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()


class Laptop:
    """The laptop's worker on an event loop of its own."""

    def __init__(self, table: Table) -> None:
        self.table = table

    def start(self, queue: Queue, do: Do) -> None:
        started = threading.Event()

        async def serve() -> None:
            self._loop = asyncio.get_running_loop()
            self._stopped = asyncio.Event()
            worker = Worker(queue, self.table, do, Hub(self._loop), poll_seconds=0.05)
            worker.start()
            started.set()
            await self._stopped.wait()
            await worker.stop()

        self._thread = threading.Thread(target=lambda: asyncio.run(serve()))
        self._thread.start()
        assert started.wait(10)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join()


class Aws:
    """The two functions of the AWS shell, with what Lambda does around them: it reads the stream and the queue, hands
    over batches, and keeps what was not answered for. SQS brings a message again after a second."""

    def __init__(self, endpoint: str, table: Table, stream: str, max_delay: int = 900) -> None:
        self.table = table
        self._endpoint = endpoint
        self._stream = stream
        name = f"jobs-{time.time_ns()}"
        with self._client("sqs") as client:
            attributes = {"VisibilityTimeout": "1"}
            self._url = client.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
        self.sqs = SqsQueue(
            self._url, endpoint=endpoint, region=REGION, credentials=lambda: TEST_KEY, max_delay=max_delay
        )

    def start(self, queue: Queue, do: Do) -> None:
        self._stopped = threading.Event()
        self.failures: list[str] = []
        targets: list[Callable[[], None]] = [self._follow, lambda: self._work(queue, do), lambda: self._work(queue, do)]
        self._threads = [threading.Thread(target=target) for target in targets]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def _follow(self) -> None:
        with self._client("dynamodbstreams") as client:
            (shard,) = client.describe_stream(StreamArn=self._stream)["StreamDescription"]["Shards"]
            where = {"StreamArn": self._stream, "ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
            iterator = client.get_shard_iterator(**where)["ShardIterator"]
            while not self._stopped.wait(0.05):
                answer = client.get_records(ShardIterator=iterator)
                self.sqs.follow(change.item for change in decode_records(answer))
                iterator = answer["NextShardIterator"]

    def _work(self, queue: Queue, do: Do) -> None:
        with self._client("sqs") as client:
            while not self._stopped.is_set():
                got = client.receive_message(QueueUrl=self._url, MaxNumberOfMessages=10, WaitTimeSeconds=1)
                messages = got.get("Messages", [])
                records = [{"messageId": each["MessageId"], "body": each["Body"]} for each in messages]
                answer = self.sqs.work({"Records": records}, queue, do)
                failed = {each["itemIdentifier"] for each in answer["batchItemFailures"]}
                self.failures += failed
                for each in messages:
                    if each["MessageId"] not in failed:
                        client.delete_message(QueueUrl=self._url, ReceiptHandle=each["ReceiptHandle"])

    def _client(self, service: str) -> Any:
        session = boto3.session.Session(TEST_KEY.access_key, TEST_KEY.secret_key, region_name=REGION)
        make: Any = session.client
        return contextlib.closing(make(service, endpoint_url=self._endpoint))
