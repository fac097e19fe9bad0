"""The queue on AWS: an SQS message brings each job back when it is due.

A message holds nothing but the job's id; the item in the table decides. `follow` gets what the table's stream brings
and sends a message for each job that begins to wait, be it new, failed or to be tried anew; `work` gets messages, does
what is due, and sends one anew for what is not: SQS waits 15 minutes at most, so a job for next week comes by now and
then until its time has come. What fails outside the job itself is left to SQS, which brings the message again. Nothing
is lost between any two of these steps: the stream is read until `follow` returns, and a message is there until `work`
has answered for it.
"""

from __future__ import annotations

import logging
import math
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from roost.aws.sign import Credentials, Signer, Sockets, Unreachable
from roost.storage.jobs import Job, Queue, waiting
from roost.storage.table import Item

log = logging.getLogger("roost.queue")

MAX_DELAY = 900  # seconds: SQS's own limit
_BATCH = 10  # SendMessageBatch: messages per call
_TRIES = 4
_PAUSE = 0.1  # seconds before the second try at most; doubled for each further one
_HEADERS = {"content-type": "application/x-amz-json-1.0", "x-amz-target": "AmazonSQS.SendMessageBatch"}
_OVERDUE = 3600  # seconds: by then a job was begun, unless its message is lost
_SPARE_MS = 5_000  # of a function's time: with less left no further job is begun


class QueueUnavailable(Exception):
    """SQS did not take a message. Sending it again is right."""


class _Body(msgspec.Struct, frozen=True):
    """What a message says."""

    job: str


@dataclass(frozen=True, slots=True)
class Record:
    """One message of a batch; `job` is None where it is none of ours."""

    message_id: str
    job: str | None


def decode_records(event: Mapping[str, Any]) -> list[Record]:
    """The messages of an event from SQS."""
    return [Record(record["messageId"], _job(record["body"])) for record in event["Records"]]


def _job(body: str) -> str | None:
    try:
        return msgspec.json.decode(body, type=_Body).job
    except msgspec.MsgspecError:
        return None


class SqsQueue:
    """The shell's half of the queue. Safe to use from several threads."""

    def __init__(
        self,
        url: str,
        *,
        endpoint: str,
        region: str,
        credentials: Callable[[], Credentials],
        clock: Callable[[], float] = time.time,
        max_delay: int = MAX_DELAY,
        timeout: float = 5.0,
    ) -> None:
        self._url = url
        self._sockets = Sockets(endpoint, timeout)
        self._signer = Signer(credentials, "sqs", region)
        self._clock = clock
        self._max_delay = max_delay

    def close(self) -> None:
        """Close idle sockets."""
        self._sockets.close()

    def follow(self, items: Iterable[Item]) -> None:
        """Send a message for each job that waits among these items, as the table's stream brings them.

        Raises `QueueUnavailable`; called again with the same items it sends some twice, which does no harm.
        """
        self.send(waiting(items))

    def work(
        self,
        event: Mapping[str, Any],
        queue: Queue,
        do: Callable[[Job], None],
        remaining_ms: Callable[[], int] = lambda: 1_000_000,
    ) -> dict[str, Any]:
        """Do the jobs that an event from SQS names; answers which messages SQS is to bring again.

        `remaining_ms` says how much of the function's time is left.
        """
        failed: list[str] = []
        for record in decode_records(event):
            if remaining_ms() < _SPARE_MS or not self._looked_at(record, queue, do):
                failed.append(record.message_id)
        return {"batchItemFailures": [{"itemIdentifier": message} for message in failed]}

    def _looked_at(self, record: Record, queue: Queue, do: Callable[[Job], None]) -> bool:
        if record.job is None:
            log.error("a message that is no job", extra={"fields": {"message": record.message_id}})
            return False
        try:
            due = queue.run(record.job, do)
            if due is not None:
                self.send([(record.job, due)])
        except Exception as error:  # noqa: BLE001  one message's trouble is its own
            log.warning("a job could not be taken or finished", extra={"fields": {"error": type(error).__name__}})
            return False
        return True

    def rescue(self, queue: Queue) -> int:
        """Send a message for each job that is long overdue; answers how many.

        For now and then: after an outage longer than the stream's day or the messages' life nobody else looks at them.
        """
        latest = round((self._clock() - _OVERDUE) * 1000)
        overdue = [(row.id, row.due) for row in queue.unfinished() if row.due < latest]
        self.send(overdue)
        return len(overdue)

    # -- SQS --------------------------------------------------------------------------------------------------------

    def send(self, jobs: Sequence[tuple[str, int]]) -> None:
        """A message for each job, to come back when it is due (epoch milliseconds) or as late as SQS can."""
        for start in range(0, len(jobs), _BATCH):
            self._send([self._entry(number, *job) for number, job in enumerate(jobs[start : start + _BATCH])])

    def _entry(self, number: int, job: str, due: int) -> dict[str, Any]:
        delay = min(self._max_delay, max(0, math.ceil(due / 1000 - self._clock())))
        return {
            "Id": str(number),
            "MessageBody": msgspec.json.encode(_Body(job)).decode(),
            "DelaySeconds": delay,
        }

    def _send(self, entries: list[dict[str, Any]]) -> None:
        """Send up to ten messages; those that are not taken again, a few times."""
        for attempt in range(_TRIES):
            if attempt:
                time.sleep(random.uniform(0, _PAUSE * 2**attempt))  # noqa: S311  full jitter, no secret
            failed = self._send_once(entries)
            if not failed:
                return
            entries = [entry for entry in entries if entry["Id"] in failed]
        raise QueueUnavailable(next(iter(failed.values())))

    def _send_once(self, entries: list[dict[str, Any]]) -> dict[str, str]:
        """Which of the messages were not taken, and why."""
        body = msgspec.json.encode({"QueueUrl": self._url, "Entries": entries})
        path = self._sockets.base + "/"
        signed = self._signer.headers("POST", self._sockets.host, path, _HEADERS, body)
        try:
            answer = self._sockets.request("POST", path, signed, body)
        except Unreachable as error:
            return dict.fromkeys((entry["Id"] for entry in entries), str(error))
        if answer.status != 200:
            return dict.fromkeys((entry["Id"] for entry in entries), f"SQS answered {answer.status}")
        refused = msgspec.json.decode(answer.body).get("Failed") or []
        return {each["Id"]: f"SQS answered {each.get('Code')}" for each in refused}
