"""Where S3's forms and URLs lead, and what its failures become; `tests/contracts/test_blobs.py` has the rest."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from roost.aws.s3 import S3Blobs
from roost.aws.sign import Credentials
from roost.chat.ports import BlobsUnavailable, InvalidBlob
from tests.aws.servers import FaultyServer, Reply, listening

HOST = "roost-files.s3.eu-west-1.amazonaws.com"
KEY = Credentials("AKIDEXAMPLE", "secret")


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with listening() as faulty:
        yield faulty
        assert faulty.answers == []


@pytest.fixture
def blobs(server: FaultyServer) -> Iterator[S3Blobs]:
    blobs = S3Blobs("b", region="eu-west-1", credentials=lambda: KEY, endpoint=server.url)
    yield blobs
    blobs.close()


def error(status: int, code: str) -> Reply:
    return Reply(status, f"<Error><Code>{code}</Code><Message>x</Message></Error>".encode())


def test_a_url_goes_to_the_buckets_own_address() -> None:
    blobs = S3Blobs("roost-files", region="eu-west-1", credentials=lambda: KEY)
    assert blobs.download("F1", name="x").startswith(f"https://{HOST}/F1?response-cache-control=private")
    assert blobs.upload("F1", mimetype="text/plain", size=1).url == f"https://{HOST}/"


def test_what_slows_down_or_breaks_is_tried_again(server: FaultyServer, blobs: S3Blobs) -> None:
    server.answers = [error(503, "SlowDown"), None, Reply(200, b"ok")]
    assert blobs.get("F1") == b"ok"


def test_what_stays_broken_is_said(server: FaultyServer, blobs: S3Blobs) -> None:
    server.answers = [None, error(503, "SlowDown"), error(500, "InternalError")]
    with pytest.raises(BlobsUnavailable, match="500 InternalError"):
        blobs.get("F1")


def test_what_is_forbidden_is_not_tried_again(server: FaultyServer, blobs: S3Blobs) -> None:
    server.answers = [error(403, "AccessDenied")]
    with pytest.raises(BlobsUnavailable, match="403 AccessDenied"):
        blobs.put("F1", b"x", mimetype="text/plain")


def test_what_is_wrong_is_said_to_be_ours(server: FaultyServer, blobs: S3Blobs) -> None:
    server.answers = [error(400, "InvalidArgument")]
    with pytest.raises(InvalidBlob, match="400 InvalidArgument"):
        blobs.get("F1")
