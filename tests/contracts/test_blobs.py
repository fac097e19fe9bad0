"""What every engine of the Blobs port promises, and what whoever has one of its URLs can and cannot do."""

from __future__ import annotations

import http.client
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, Protocol
from urllib.parse import urljoin, urlsplit

import pytest

from roost.aws.s3 import S3Blobs
from roost.aws.sign import Credentials
from roost.chat.ports import BlobMissing, Blobs, BlobTooLarge, InvalidBlob, Stored, Upload, attachment
from roost.gateway.definition import HttpRoute
from roost.local.folder import FolderBlobs
from roost.testing import MemoryBlobs
from tests.gateway.harness import running, service

BYTES = bytes(range(256)) * 4 + b"\r\n--boundary\r\n\r\n\0"


class Reply(NamedTuple):
    status: int
    headers: Mapping[str, str]  #: names in lower case
    body: bytes


class Engine(Protocol):
    """A store, and somebody outside who has its URLs."""

    blobs: Blobs

    def post(self, upload: Upload, data: bytes) -> int:
        """Upload as a browser's form does; the status."""

    def fetch(self, url: str, headers: Mapping[str, str] = {}) -> Reply:
        """Follow a URL."""

    def wait(self, seconds: float) -> None:
        """Let URLs grow old."""


def request(url: str, method: str, headers: Mapping[str, str], body: bytes | None = None) -> Reply:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=30)
    try:
        connection.request(method, f"{parts.path}?{parts.query}", body, dict(headers))
        answer = connection.getresponse()
        return Reply(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())
    finally:
        connection.close()


def multipart(fields: Mapping[str, str], data: bytes, boundary: str = "boundary") -> tuple[dict[str, str], bytes]:
    """A browser's form: headers and body."""
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="x.bin"\r\n'
    parts.append(head.encode() + b"Content-Type: text/html\r\n\r\n" + data + f"\r\n--{boundary}--\r\n".encode())
    return {"Content-Type": f"multipart/form-data; boundary={boundary}"}, b"".join(parts)


class Memory:
    def __init__(self) -> None:
        self.now = time.time()
        self.memory = MemoryBlobs(clock=lambda: self.now)
        self.blobs: Blobs = self.memory

    def post(self, upload: Upload, data: bytes) -> int:
        return 204 if self.memory.receive(upload, data) else 403

    def fetch(self, url: str, headers: Mapping[str, str] = {}) -> Reply:
        found = self.memory.fetch(url)
        if found is None:
            return Reply(404, {}, b"")
        data, stored, disposition = found
        start, _, end = headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")
        part = data[int(start) : int(end) + 1 if end else None]
        status = 206 if "Range" in headers else 200
        return Reply(status, {"content-type": stored.mimetype, "content-disposition": disposition}, part)

    def wait(self, seconds: float) -> None:
        self.now += seconds


class Web:
    """An engine whose URLs are followed over HTTP. `base` is what those that begin with / are relative to."""

    def __init__(self, blobs: Blobs, base: str, wait: Callable[[float], None]) -> None:
        self.blobs = blobs
        self.base = base
        self.wait = wait

    def post(self, upload: Upload, data: bytes) -> int:
        headers, body = multipart(upload.fields, data, secrets.token_hex(16))
        return request(urljoin(self.base, upload.url), "POST", headers, body).status

    def fetch(self, url: str, headers: Mapping[str, str] = {}) -> Reply:
        return request(urljoin(self.base, url), "GET", headers)


class Hand:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture(scope="module")
def bucket(enforcing_endpoint: str) -> Iterator[S3Blobs]:
    import boto3

    session = boto3.session.Session("test", "test", region_name="eu-west-1")
    client = session.client("s3", endpoint_url=enforcing_endpoint)
    client.create_bucket(Bucket="roost-files", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    client.close()
    key = Credentials("test", "test")
    blobs = S3Blobs(
        "roost-files", region="eu-west-1", credentials=lambda: key, endpoint=enforcing_endpoint, max_bytes=2**24
    )
    yield blobs
    blobs.close()


@pytest.fixture(params=["memory", "folder", "s3"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    if request.param == "memory":
        yield Memory()
    elif request.param == "folder":
        clock = Hand()
        blobs = FolderBlobs(tmp_path / "files", clock=clock)
        declared = service({}, http=(HttpRoute("ANY", "$default", "files"),))
        with running(declared, {"files": blobs.serve}) as gateway:
            yield Web(blobs, f"http://127.0.0.1:{gateway.port}/", clock.wait)
        blobs.close()
    else:
        yield Web(request.getfixturevalue("bucket"), "", time.sleep)


@pytest.fixture
def blobs(engine: Engine) -> Blobs:
    return engine.blobs


@pytest.fixture
def key() -> str:
    return f"F{secrets.token_hex(6)}"


# -- bytes ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"", b"x", BYTES, bytes(300_000)], ids=len)
def test_what_was_put_is_read_back_exactly(blobs: Blobs, key: str, data: bytes) -> None:
    blobs.put(key, data, mimetype="application/x-thing")
    assert blobs.get(key) == data
    assert blobs.head(key) == Stored(len(data), "application/x-thing")


def test_parts_of_a_file_are_read(blobs: Blobs, key: str) -> None:
    blobs.put(key, b"0123456789", mimetype="text/plain; charset=utf-8")
    assert blobs.get(key, 3) == b"3456789"
    assert blobs.get(key, 3, 4) == b"3456"
    assert blobs.get(key, 8, 100) == b"89"
    assert blobs.get(key, 10) == b""
    assert blobs.get(key, 100, 5) == b""
    assert blobs.get(key, 2, 0) == b""


def test_what_is_not_there_is_missing(blobs: Blobs, key: str) -> None:
    assert blobs.head(key) is None
    for part in ((), (3,), (0, 0)):
        with pytest.raises(BlobMissing):
            blobs.get(key, *part)


def test_a_file_that_is_put_again_is_replaced(blobs: Blobs, key: str) -> None:
    blobs.put(key, b"longer than the next", mimetype="text/plain")
    blobs.put(key, b"short", mimetype="image/png")
    assert blobs.get(key) == b"short"
    assert blobs.head(key) == Stored(5, "image/png")


def test_a_deleted_file_is_gone_and_deleting_nothing_is_fine(blobs: Blobs, key: str) -> None:
    blobs.put(key, b"x", mimetype="text/plain")
    blobs.delete(key)
    blobs.delete(key)
    assert blobs.head(key) is None


def test_keys_that_differ_only_in_case_are_different(blobs: Blobs, key: str) -> None:
    blobs.put("a" + key, b"small", mimetype="text/plain")
    blobs.put("A" + key, b"large", mimetype="text/plain")
    assert blobs.get("a" + key) == b"small"


@pytest.mark.parametrize("wrong", ["", ".", "..", "../x", "a/b", "/etc/passwd", "a\0b", "é", "-rf", "x" * 129, "a b"])
def test_a_key_is_never_a_path(blobs: Blobs, wrong: str) -> None:
    for call in (
        lambda: blobs.put(wrong, b"x", mimetype="text/plain"),
        lambda: blobs.get(wrong),
        lambda: blobs.head(wrong),
        lambda: blobs.delete(wrong),
        lambda: blobs.upload(wrong, mimetype="text/plain", size=1),
        lambda: blobs.download(wrong, name="x"),
    ):
        with pytest.raises(InvalidBlob):
            call()


@pytest.mark.parametrize("wrong", ["", "text", "text/plain\r\nX: y", "text/plain; a=b", "té/x", "text/plain\n"])
def test_a_type_is_never_a_header_of_its_own(blobs: Blobs, key: str, wrong: str) -> None:
    with pytest.raises(InvalidBlob):
        blobs.put(key, b"x", mimetype=wrong)
    with pytest.raises(InvalidBlob):
        blobs.upload(key, mimetype=wrong, size=1)


def test_too_much_is_refused_before_anything_happens(blobs: Blobs, key: str) -> None:
    with pytest.raises(BlobTooLarge):
        blobs.upload(key, mimetype="text/plain", size=blobs.max_bytes + 1)
    with pytest.raises(BlobTooLarge):
        blobs.put(key, bytes(blobs.max_bytes + 1), mimetype="text/plain")
    assert blobs.head(key) is None


def test_many_write_one_file_and_it_is_one_of_theirs_whole(blobs: Blobs, key: str) -> None:
    files = [bytes([number]) * 50_000 for number in range(8)]
    threads = [
        threading.Thread(target=blobs.put, args=(key, data), kwargs={"mimetype": "text/plain"}) for data in files
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert blobs.get(key) in files


# -- uploads by others ------------------------------------------------------------------------------------------------


def test_a_form_uploads_a_file_under_the_type_that_was_said(engine: Engine, key: str) -> None:
    upload = engine.blobs.upload(key, mimetype="image/png", size=len(BYTES))
    assert engine.post(upload, BYTES) == 204
    assert engine.blobs.get(key) == BYTES
    assert engine.blobs.head(key) == Stored(len(BYTES), "image/png")


@pytest.mark.parametrize("difference", [-1, 1])
def test_another_size_than_was_said_is_refused(engine: Engine, key: str, difference: int) -> None:
    upload = engine.blobs.upload(key, mimetype="image/png", size=len(BYTES) + difference)
    assert 400 <= engine.post(upload, BYTES) < 500
    assert engine.blobs.head(key) is None


def test_an_upload_that_comes_too_late_is_refused(engine: Engine, key: str) -> None:
    upload = engine.blobs.upload(key, mimetype="image/png", size=1, seconds=1)
    engine.wait(2.1)
    assert engine.post(upload, b"x") in (400, 403)
    assert engine.blobs.head(key) is None


def test_an_upload_is_for_one_key(engine: Engine, key: str) -> None:
    upload = engine.blobs.upload(key, mimetype="image/png", size=1)
    other = "Z" + key[1:]
    fields = {name: value.replace(key, other) for name, value in upload.fields.items()}
    assert 400 <= engine.post(Upload(upload.url.replace(key, other), fields), b"x") < 500
    assert engine.blobs.head(other) is None


def test_a_download_does_not_let_upload(engine: Engine, key: str) -> None:
    url = engine.blobs.download(key, name="x")
    assert 400 <= engine.post(Upload(url, {}), b"x") < 500
    assert engine.blobs.head(key) is None


# -- downloads by others ----------------------------------------------------------------------------------------------


def test_a_url_gives_the_file_to_save_and_not_to_show(engine: Engine, key: str) -> None:
    engine.blobs.put(key, BYTES, mimetype="text/html")
    reply = engine.fetch(engine.blobs.download(key, name='grüße "<>/..\\\r\n日本.html'))
    assert (reply.status, reply.body) == (200, BYTES)
    assert reply.headers["content-type"] == "text/html"
    assert reply.headers["content-disposition"].startswith('attachment; filename="gr__e ')
    assert "filename*=UTF-8''gr%C3%BC%C3%9Fe" in reply.headers["content-disposition"]


def test_a_part_is_fetched(engine: Engine, key: str) -> None:
    engine.blobs.put(key, b"0123456789", mimetype="text/plain")
    url = engine.blobs.download(key, name="x")
    reply = engine.fetch(url, {"Range": "bytes=2-4"})
    assert (reply.status, reply.body) == (206, b"234")
    assert engine.fetch(url, {"Range": "bytes=7-"}).body == b"789"


def test_a_url_grows_old(engine: Engine, key: str) -> None:
    engine.blobs.put(key, b"secret", mimetype="text/plain")
    url = engine.blobs.download(key, name="x", seconds=1)
    engine.wait(2.1)
    reply = engine.fetch(url)
    assert reply.status in (403, 404)
    assert b"secret" not in reply.body


def test_a_url_is_for_one_file(engine: Engine, key: str) -> None:
    other = "Z" + key[1:]
    engine.blobs.put(key, b"mine", mimetype="text/plain")
    engine.blobs.put(other, b"theirs", mimetype="text/plain")
    url = engine.blobs.download(key, name="x")
    assert engine.fetch(url).body == b"mine"
    for forged in (url.replace(key, other), url.split("?")[0].replace(key, other)):
        reply = engine.fetch(forged)
        assert reply.status in (403, 404)
        assert b"theirs" not in reply.body


def test_a_deleted_file_cannot_be_fetched(engine: Engine, key: str) -> None:
    engine.blobs.put(key, b"x", mimetype="text/plain")
    url = engine.blobs.download(key, name="x")
    engine.blobs.delete(key)
    assert engine.fetch(url).status == 404


# -- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("report.pdf", "attachment; filename=\"report.pdf\"; filename*=UTF-8''report.pdf"),
        ("../../etc/passwd", "attachment; filename=\"etc passwd\"; filename*=UTF-8''etc%20passwd"),
        ("", "attachment; filename=\"file\"; filename*=UTF-8''file"),
        ("...", "attachment; filename=\"file\"; filename*=UTF-8''file"),
        ("50%.txt", "attachment; filename=\"50_.txt\"; filename*=UTF-8''50%25.txt"),
        ("\ud800x\0", "attachment; filename=\"x\"; filename*=UTF-8''x"),
    ],
)
def test_a_name_is_only_a_name(name: str, expected: str) -> None:
    assert attachment(name) == expected


def test_a_long_name_fits_into_a_header() -> None:
    assert len(attachment("日" * 300 + ".txt")) < 1000
    assert attachment("\u202egpj.exe").isascii()
