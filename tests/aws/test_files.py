"""Files on AWS: the functions' own wiring to S3, with signatures enforced."""

from __future__ import annotations

import base64
import http.client
import json
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest

from roost.aws import functions
from roost.testing import http_event
from tests.contracts.test_blobs import multipart
from tests.engines import REGION, new_table
from tests.slack.workspace import api_event

BYTES = bytes(range(256)) * 100


@pytest.fixture(scope="module")
def token(enforcing_endpoint: str) -> Iterator[str]:
    """Somebody's token, while the functions' environment names a table and a bucket of an emulator."""
    bucket = f"files-{time.time_ns()}"
    make: Any = boto3.session.Session("test", "test", region_name=REGION).client
    client = make("s3", endpoint_url=enforcing_endpoint)
    client.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    client.close()
    environ = {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": REGION,
        "AWS_ENDPOINT_URL": enforcing_endpoint,
        "ROOST_TABLE": new_table(enforcing_endpoint, time.time)["name"],
        "ROOST_BUCKET": bucket,
        "ROOST_QUEUE_URL": "http://127.0.0.1:9/queue",
        "ROOST_CALLBACK_URL": "http://127.0.0.1:9",
    }
    caches = (functions._table, functions._jobs, functions._blobs, functions._app, functions._push)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environ.items():
            patch.setenv(name, value)
        for cache in caches:
            cache.cache_clear()
        people = functions._app("http://127.0.0.1:9").chat.people
        yield people.create_token(people.add("ana"), "user")
        blobs = functions._blobs()
        assert blobs is not None
        blobs.close()
        functions._table().close()
        for cache in caches:
            cache.cache_clear()


def call(method: str, token: str, **arguments: Any) -> dict[str, Any]:
    """The answer to a call that goes well."""
    answer = json.loads(functions.http(api_event(method, arguments, token=token), None)["body"])
    assert answer["ok"], answer
    return dict(answer)


def send(
    method: str, url: str, headers: dict[str, str], body: bytes = b""
) -> tuple[int, http.client.HTTPMessage, bytes]:
    """A request to the store itself."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=30)
    try:
        connection.request(method, f"{parts.path}?{parts.query}", body, headers)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def fetched(url: str, token: str) -> tuple[http.client.HTTPMessage, bytes]:
    """Follow the redirect of a file's URL, as a browser or `requests` does: the token stays behind."""
    event = http_event("GET", urlsplit(url).path)
    event["headers"] = {"authorization": f"Bearer {token}"}
    answer = functions.http(event, None)
    assert answer["statusCode"] == 302
    status, headers, body = send("GET", answer["headers"]["Location"], {})
    assert status == 200
    return headers, body


def share(token: str, file: str) -> dict[str, Any]:
    """Complete a file in #general; as the message there shows it."""
    general = call("conversations.list", token)["channels"][0]["id"]
    call("files.completeUploadExternal", token, files=[{"id": file}], channel_id=general)
    shown: dict[str, Any] = call("conversations.history", token, channel=general)["messages"][0]["files"][0]
    return shown


def test_a_file_goes_through_a_function(token: str) -> None:
    asked = call("files.getUploadURLExternal", token, filename="page.html", length=len(BYTES))
    event = http_event("POST", urlsplit(asked["upload_url"]).path)
    event["headers"] = {"content-type": "application/x-www-form-urlencoded"}
    event["body"], event["isBase64Encoded"] = base64.b64encode(BYTES).decode(), True
    assert functions.http(event, None)["body"] == f"OK - {len(BYTES)}"
    headers, body = fetched(share(token, asked["file_id"])["url_private"], token)
    assert body == BYTES
    assert headers["Content-Disposition"].startswith("attachment")
    assert headers["Cache-Control"].startswith("private")


def test_a_file_that_is_too_large_for_a_function_is_refused_and_goes_to_the_store_itself(token: str) -> None:
    large = bytes(4_500_000)
    arguments = {"filename": "large.bin", "length": len(large)}
    refused = functions.http(api_event("files.getUploadURLExternal", arguments, token=token), None)
    assert json.loads(refused["body"])["error"] == "file_too_large"
    asked = call("files.getUploadForm", token, **arguments)
    headers, body = multipart(asked["upload"]["fields"], large)
    assert send("POST", asked["upload"]["url"], headers, body)[0] in (200, 204)
    assert len(fetched(share(token, asked["file_id"])["url_private"], token)[1]) == len(large)


def test_what_is_deleted_is_gone_from_the_store(token: str) -> None:
    asked = call("files.getUploadForm", token, filename="x.txt", length=5)
    headers, body = multipart(asked["upload"]["fields"], b"hello")
    assert send("POST", asked["upload"]["url"], headers, body)[0] in (200, 204)
    share(token, asked["file_id"])
    call("files.delete", token, file=asked["file_id"])
    blobs = functions._blobs()
    assert blobs is not None
    assert blobs.head(asked["file_id"]) is None
