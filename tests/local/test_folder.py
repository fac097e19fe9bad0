"""What the folder of files does beyond the Blobs port: paths that the server signs and serves, what is on the disk."""

from __future__ import annotations

import base64
import os
import stat
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from roost.chat.ports import BlobsUnavailable, Upload
from roost.local.folder import FolderBlobs
from tests.contracts.test_blobs import Hand, multipart

BYTES = b"0123456789"


@pytest.fixture
def clock() -> Hand:
    return Hand()


@pytest.fixture
def blobs(tmp_path: Path, clock: Hand) -> FolderBlobs:
    return FolderBlobs(tmp_path / "files", clock=clock)


def asked(
    blobs: FolderBlobs, method: str, url: str, headers: dict[str, str] | None = None, body: bytes | str | None = None
) -> dict[str, Any]:
    """The answer to one request; the body in bytes travels as base64."""
    parts = urlsplit(url)
    encoded = base64.b64encode(body).decode() if isinstance(body, bytes) else body
    event = {
        "rawPath": parts.path,
        "rawQueryString": parts.query,
        "headers": headers or {},
        "requestContext": {"http": {"method": method}},
        "isBase64Encoded": isinstance(body, bytes),
        **({} if body is None else {"body": encoded}),
    }
    return blobs.serve(event)


def put(blobs: FolderBlobs, upload: Upload, headers: dict[str, str], body: bytes | str, method: str = "POST") -> int:
    return int(asked(blobs, method, upload.url, headers, body)["statusCode"])


# -- uploads ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["PUT", "POST"])
@pytest.mark.parametrize("kind", ["application/octet-stream", "application/x-www-form-urlencoded", ""])
def test_raw_bytes_are_a_file_whatever_they_are_called(blobs: FolderBlobs, method: str, kind: str) -> None:
    data = b"a=b&c=%00\xff\r\n"
    upload = blobs.upload("F1", mimetype="image/png", size=len(data))
    assert put(blobs, upload, {"content-type": kind}, data, method) == 204
    assert blobs.get("F1") == data


def test_a_body_that_travels_as_text_is_a_file(blobs: FolderBlobs) -> None:
    assert put(blobs, blobs.upload("F1", mimetype="text/plain", size=6), {"content-type": "text/plain"}, "grüß") == 204
    assert blobs.get("F1") == "grüß".encode()


def test_a_form_without_a_file_is_refused(blobs: FolderBlobs) -> None:
    upload = blobs.upload("F1", mimetype="text/plain", size=1)
    headers = {"content-type": "multipart/form-data; boundary=b"}
    whole = b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\ny\r\n--b--\r\n'
    for body in (whole, b"", b"--b", b"--b\r\n\r\n", b"\r\n--b\r\n", b"--b--\r\n", whole[:-8]):
        assert put(blobs, upload, headers, body) == 400
    assert put(blobs, upload, {"content-type": "multipart/form-data"}, b"x") == 400
    assert put(blobs, upload, {}, "", "PUT") == 400
    assert blobs.head("F1") is None


def test_a_body_that_is_not_base64_is_refused(blobs: FolderBlobs) -> None:
    event = {
        "rawPath": "/files/F1",
        "rawQueryString": urlsplit(blobs.upload("F1", mimetype="text/plain", size=1).url).query,
        "requestContext": {"http": {"method": "PUT"}},
        "isBase64Encoded": True,
        "body": "~~",
    }
    assert blobs.serve(event)["statusCode"] == 400


def test_fields_before_the_file_are_passed_over(blobs: FolderBlobs) -> None:
    headers, body = multipart({"token": "xoxb", "note": "filename"}, b"data")
    upload = blobs.upload("F1", mimetype="text/plain", size=4)
    assert put(blobs, upload, {"content-type": headers["Content-Type"].replace("boundary=", "Boundary=")}, body) == 204


def test_a_link_cannot_be_changed(blobs: FolderBlobs, clock: Hand) -> None:
    upload = blobs.upload("F1", mimetype="image/png", size=10)
    for old, new in (("size=10", "size=11"), ("png", "gif"), ("F1", "F2"), ("expires=1", "expires=2"), ("?", "?a=1&")):
        changed = Upload(upload.url.replace(old, new, 1), {})
        assert changed.url != upload.url
        assert put(blobs, changed, {}, bytes(11 if "11" in new else 10)) == 403
    download = blobs.download("F1", name="x")
    for url in (
        upload.url,
        download + "0",
        download.split("&signature")[0],
        "/files/F1",
        "/files/F1?signature=",
        "/files/",
    ):
        assert asked(blobs, "GET", url)["statusCode"] == 403
    assert asked(blobs, "GET", download)["statusCode"] == 404  # ours, but there is no file yet


def test_another_folder_signs_otherwise_and_the_same_one_as_before(tmp_path: Path, blobs: FolderBlobs) -> None:
    blobs.put("F1", BYTES, mimetype="text/plain")
    url = blobs.download("F1", name="x")
    assert asked(FolderBlobs(tmp_path / "files"), "GET", url)["statusCode"] == 200
    assert asked(FolderBlobs(tmp_path / "others"), "GET", url)["statusCode"] == 403


@pytest.mark.parametrize("method", ["DELETE", "PATCH", "OPTIONS"])
def test_other_verbs_are_refused(blobs: FolderBlobs, method: str) -> None:
    answer = asked(blobs, method, blobs.download("F1", name="x"))
    assert answer["statusCode"] == 405
    assert answer["headers"]["Allow"] == "GET, HEAD, PUT, POST"


# -- downloads --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked_for", "status", "part", "content_range"),
    [
        ("bytes=0-3", 206, b"0123", "bytes 0-3/10"),
        ("bytes=8-", 206, b"89", "bytes 8-9/10"),
        ("bytes=-3", 206, b"789", "bytes 7-9/10"),
        ("bytes=-30", 206, BYTES, "bytes 0-9/10"),
        ("bytes=5-500", 206, b"56789", "bytes 5-9/10"),
        ("bytes=10-", 416, b"", "bytes */10"),
        ("bytes=-0", 416, b"", "bytes */10"),
        ("bytes=4-3", 200, BYTES, None),
        ("bytes=0-1,3-4", 200, BYTES, None),
        ("bytes=-", 200, BYTES, None),
        ("lines=1-2", 200, BYTES, None),
        ("bytes=9999999999999999999-", 200, BYTES, None),
        ("", 200, BYTES, None),
    ],
)
def test_ranges(blobs: FolderBlobs, asked_for: str, status: int, part: bytes, content_range: str | None) -> None:
    blobs.put("F1", BYTES, mimetype="text/plain")
    answer = asked(blobs, "GET", blobs.download("F1", name="x"), {"range": asked_for})
    assert answer["statusCode"] == status
    assert base64.b64decode(answer["body"]) == part
    assert answer["headers"].get("Content-Range") == content_range


def test_a_part_of_a_file_that_may_have_changed_is_all_of_it(blobs: FolderBlobs) -> None:
    blobs.put("F1", BYTES, mimetype="text/plain")
    headers = {"range": "bytes=0-3", "if-range": '"x"'}
    assert asked(blobs, "GET", blobs.download("F1", name="x"), headers)["statusCode"] == 200


def test_a_page_or_a_picture_with_a_script_runs_nowhere(blobs: FolderBlobs) -> None:
    blobs.put("F1", b"<svg onload=alert(1)>", mimetype="image/svg+xml")
    headers = asked(blobs, "GET", blobs.download("F1", name="x.svg"))["headers"]
    assert headers["Content-Disposition"].startswith("attachment;")
    assert headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"].startswith("private")


def test_head_says_all_but_the_bytes(blobs: FolderBlobs) -> None:
    blobs.put("F1", BYTES, mimetype="text/plain")
    answer = asked(blobs, "HEAD", blobs.download("F1", name="x"))
    assert (answer["statusCode"], answer["body"]) == (200, "")
    assert answer["headers"]["Content-Type"] == "text/plain"


# -- the disk ---------------------------------------------------------------------------------------------------------


def test_nothing_on_the_disk_is_named_by_a_key_or_readable_by_others(blobs: FolderBlobs, tmp_path: Path) -> None:
    blobs.put("FSECRET", BYTES, mimetype="text/plain")
    paths = sorted((tmp_path / "files").rglob("*"))
    assert not [path for path in paths if "FSECRET" in str(path)]
    assert {stat.S_IMODE(path.stat().st_mode) for path in paths if path.is_file()} == {0o600}
    assert stat.S_IMODE((tmp_path / "files" / "unfinished").stat().st_mode) == 0o700
    depth = max(len(path.relative_to(tmp_path / "files").parts) for path in paths)
    assert depth == 3  # two levels of folders and the file


def test_what_a_dead_process_left_is_removed_and_what_a_live_one_writes_is_not(tmp_path: Path) -> None:
    folder = tmp_path / "files" / "unfinished"
    folder.mkdir(parents=True)
    (folder / "old").write_bytes(b"x")
    os.utime(folder / "old", (time.time() - 7200, time.time() - 7200))
    (folder / "new").write_bytes(b"x")
    FolderBlobs(tmp_path / "files")
    assert [path.name for path in folder.iterdir()] == ["new"]


def test_a_file_that_is_written_over_is_never_seen_in_part(blobs: FolderBlobs) -> None:
    files = [bytes([number]) * 200_000 for number in range(20)]
    blobs.put("F1", files[0], mimetype="text/plain")

    def write() -> None:
        for data in files:
            blobs.put("F1", data, mimetype="text/plain")

    writer = threading.Thread(target=write)
    writer.start()
    seen = 0
    while writer.is_alive() or not seen:
        assert blobs.get("F1") in files
        seen += 1
    writer.join()


def test_a_disk_that_fails_is_said_so_and_leaves_nothing(blobs: FolderBlobs, tmp_path: Path) -> None:
    unfinished = tmp_path / "files" / "unfinished"
    unfinished.rmdir()
    unfinished.write_bytes(b"")  # where a folder should be
    with pytest.raises(BlobsUnavailable):
        blobs.put("F1", BYTES, mimetype="text/plain")
    assert blobs.head("F1") is None
    with pytest.raises(BlobsUnavailable):
        FolderBlobs(tmp_path / "files")


def test_a_file_of_somebody_else_is_not_served(blobs: FolderBlobs, tmp_path: Path) -> None:
    blobs.put("F1", BYTES, mimetype="text/plain")
    (file,) = [path for path in (tmp_path / "files").rglob("*") if len(path.name) == 64]
    file.write_bytes(b"something else")
    with pytest.raises(BlobsUnavailable):
        blobs.get("F1")
