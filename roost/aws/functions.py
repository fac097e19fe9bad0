"""AWS's shell: wires DynamoDB and @connections into an App; the Lambda entry points, each thin.

Clients are made on the first event and kept for the life of the execution environment. Nothing heavy is imported at
start: no boto3, no botocore.
"""

from __future__ import annotations

import functools
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from roost.app import App
from roost.aws.dynamodb import DynamoTable
from roost.aws.invoke import Invoker
from roost.aws.push import ConnectionsPush, First, Job
from roost.aws.s3 import S3Blobs
from roost.aws.sign import Credentials, tls_context
from roost.aws.sqs import SqsQueue
from roost.aws.stream import Change, decode_records
from roost.settings import Settings
from roost.storage.jobs import Queue

log = logging.getLogger("roost.aws")
T = TypeVar("T")

tls_context()  # now, since a function that is being started has a whole processor


_UPLOAD_BYTES = 4_400_000  # of a file that comes through a function, whose event holds 6 MB with the file as base64


class LambdaClock:
    """The Clock port on Lambda."""

    def now_us(self) -> int:
        """Microseconds since the epoch."""
        return time.time_ns() // 1000

    def sleep(self, seconds: float) -> None:
        """Let time pass; an execution environment has one event at a time."""
        time.sleep(seconds)

    def aside(self, function: Callable[[], T]) -> T:
        """Do what takes long, at once."""
        return function()


def credentials() -> Credentials:
    """The role's temporary key, which Lambda keeps fresh in the environment."""
    environ = os.environ
    return Credentials(environ["AWS_ACCESS_KEY_ID"], environ["AWS_SECRET_ACCESS_KEY"], environ.get("AWS_SESSION_TOKEN"))


def _endpoint(service: str) -> str:
    """Where a service is; an emulator's address comes from the variables that AWS's own tools take it from."""
    environ = os.environ
    named = environ.get(f"AWS_ENDPOINT_URL_{service.upper()}") or environ.get("AWS_ENDPOINT_URL")
    return named or f"https://{service}.{environ['AWS_REGION']}.amazonaws.com"


@functools.cache
def _push(callback: str) -> ConnectionsPush:
    region, function = os.environ["AWS_REGION"], os.environ.get("ROOST_PUSH_FUNCTION")
    invoker = None
    if function:
        invoker = Invoker(function, endpoint=_endpoint("lambda"), region=region, credentials=credentials)
    return ConnectionsPush(callback, region, credentials, invoker)


@functools.cache
def _table() -> DynamoTable:
    environ = os.environ
    endpoint, region = _endpoint("dynamodb"), environ["AWS_REGION"]
    return DynamoTable(environ["ROOST_TABLE"], endpoint=endpoint, region=region, credentials=credentials)


@functools.cache
def _jobs() -> Queue:
    return Queue(_table(), LambdaClock().now_us)


@functools.cache
def _sqs() -> SqsQueue:
    url, region = os.environ["ROOST_QUEUE_URL"], os.environ["AWS_REGION"]
    return SqsQueue(url, endpoint=_endpoint("sqs"), region=region, credentials=credentials)


@functools.cache
def _blobs() -> S3Blobs | None:
    """Where files are; None where the deployment has no bucket."""
    environ = os.environ
    bucket, region = environ.get("ROOST_BUCKET"), environ["AWS_REGION"]
    endpoint = environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL")
    return S3Blobs(bucket, region=region, credentials=credentials, endpoint=endpoint) if bucket else None


@functools.cache
def _app(callback: str) -> App:
    return App(
        _table(),
        _push(callback),
        LambdaClock(),
        Settings.from_environment(os.environ),
        queue=_jobs(),
        blobs=_blobs(),
        upload_bytes=_UPLOAD_BYTES,
    )


def socket(event: Mapping[str, Any], context: object) -> dict[str, Any]:
    """Every route of the WebSocket API."""
    request = event["requestContext"]
    pattern = os.environ.get("ROOST_CALLBACK", "https://{domainName}/{stage}")
    callback = pattern.format(domainName=request["domainName"], stage=request["stage"], apiId=request["apiId"])
    return _app(callback).handle(event)


def http(event: Mapping[str, Any], context: object) -> dict[str, Any]:
    """Every route of the HTTP API. `ROOST_CALLBACK_URL` is the WebSocket API's, whose sockets it pushes to."""
    return _app(os.environ["ROOST_CALLBACK_URL"]).handle(event)


def push(event: Mapping[str, Any], context: Any) -> None:
    """What other functions leave to this one, invoked asynchronously: a share of a large audience, a first frame."""
    callback = os.environ["ROOST_CALLBACK_URL"]
    job = msgspec.convert(event, Job)
    if isinstance(job, First):
        _push(callback).send_until_there(job)
    else:
        _app(callback).deliver(job.share(), context.get_remaining_time_in_millis() / 1000)


def stream(event: Mapping[str, Any], context: object) -> dict[str, Any]:
    """What the table's stream brings, in its order: jobs that begin to wait get an SQS message each, logs are indexed.

    All at once, since that is cheaper; where it fails, one by one, to answer from which change on the stream is to come
    again. Harmless when repeated.
    """
    changes = decode_records(event)
    if _followed(changes):
        return {"batchItemFailures": []}
    failed = next((change.sequence_number for change in changes if not _followed([change])), None)
    return {"batchItemFailures": [] if failed is None else [{"itemIdentifier": failed}]}


def _followed(changes: Sequence[Change]) -> bool:
    items = [change.item for change in changes]
    try:
        _sqs().follow(items)
        _app(os.environ["ROOST_CALLBACK_URL"]).follow(items)
    except Exception as error:  # noqa: BLE001  whatever it is, the stream brings it again
        log.warning("changes were not followed", extra={"fields": {"error": type(error).__name__, "count": len(items)}})
        return False
    return True


def queue(event: Mapping[str, Any], context: Any) -> dict[str, Any]:
    """Jobs that SQS says may be due; answers which messages it is to bring again."""
    app = _app(os.environ["ROOST_CALLBACK_URL"])
    return _sqs().work(event, _jobs(), app.do, context.get_remaining_time_in_millis)
