"""The Blobs port in a folder of the data directory.

A file is written beside its place, flushed to the disk, and renamed into it, so it is there whole or not at all. Its
name on the disk is the SHA-256 of its key and its type stands in front of its bytes: nothing that anybody wrote is part
of a path. What the port calls presigned URLs are paths of the server itself, signed with a secret that is kept in the
folder; `FolderBlobs.serve` answers them.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import hmac
import os
import re
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any
from urllib.parse import parse_qsl, urlencode

from roost.chat.ports import BlobMissing, BlobsUnavailable, BlobTooLarge, Stored, Upload, attachment, check_blob
from roost.chat.uploads import uploaded
from roost.local.waiting import elsewhere

PREFIX = "/files/"
MAX_BYTES = 10 * 1024 * 1024 - 16 * 1024  # an HTTP API's largest body, less what a form has around the file

_MAGIC = b"roost file 1\n"
_LEFT_OVER_SECONDS = 3600  # after which an unfinished write is taken for that of a process that died
_THREADS = 4
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")

Response = dict[str, Any]


class FolderBlobs:
    """The Blobs port. Safe to use from any number of threads, and from Tasks of an event loop."""

    max_bytes = MAX_BYTES

    def __init__(self, folder: Path, *, clock: Callable[[], float] = time.time) -> None:
        """Make the folder, or take it as it is. Raises `BlobsUnavailable`."""
        self._folder = folder
        self._unfinished = folder / "unfinished"
        self._clock = clock
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="files")
        try:
            self._unfinished.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._secret = _secret(folder / "secret")
            self._remove_left_over()
        except OSError as error:
            raise _unavailable(error) from error

    def close(self) -> None:
        """Finish what was begun."""
        self._pool.shutdown()

    # -- the port ---------------------------------------------------------------------------------------------------

    def upload(self, key: str, *, mimetype: str, size: int, seconds: int = 600) -> Upload:
        """Let somebody put a file here."""
        check_blob(key, mimetype=mimetype, size=size)
        if size > MAX_BYTES:
            raise BlobTooLarge(f"a file has at most {MAX_BYTES} bytes")
        return Upload(self._signed("PUT", key, {"type": mimetype, "size": str(size)}, seconds), {})

    def download(self, key: str, *, name: str, seconds: int = 600) -> str:
        """A path of this server that gives whoever has it the file."""
        check_blob(key)
        return self._signed("GET", key, {"as": attachment(name)}, seconds)

    def put(self, key: str, data: bytes, *, mimetype: str) -> None:
        """Store a file."""
        check_blob(key, mimetype=mimetype, size=len(data))
        if len(data) > MAX_BYTES:
            raise BlobTooLarge(f"a file has at most {MAX_BYTES} bytes")
        elsewhere(self._pool, lambda: self._put(key, data, mimetype))

    def get(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        """A file's bytes, or a part of them."""
        check_blob(key)
        return elsewhere(self._pool, lambda: self._get(key, start, length))

    def head(self, key: str) -> Stored | None:
        """What is under this key, or None."""
        check_blob(key)
        return elsewhere(self._pool, lambda: self._head(key))

    def delete(self, key: str) -> None:
        """Remove a file."""
        check_blob(key)
        elsewhere(self._pool, lambda: self._delete(key))

    # -- files ------------------------------------------------------------------------------------------------------

    def _path(self, key: str) -> Path:
        digest = hashlib.sha256(key.encode()).hexdigest()
        return self._folder / digest[:2] / digest[2:4] / digest

    def _put(self, key: str, data: bytes, mimetype: str) -> None:
        path = self._path(key)
        try:
            handle, unfinished = tempfile.mkstemp(dir=self._unfinished)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(_MAGIC + mimetype.encode() + b"\n" + data)
                    file.flush()
                    os.fsync(file.fileno())
                path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                Path(unfinished).replace(path)
            except BaseException:
                Path(unfinished).unlink(missing_ok=True)
                raise
            for folder in (path.parent, path.parent.parent, self._folder):  # the two above may be new as well
                _sync_folder(folder)
        except OSError as error:
            raise _unavailable(error) from error

    @contextlib.contextmanager
    def _opened(self, key: str) -> Iterator[tuple[IO[bytes], Stored]]:
        """A file at its first byte, and what is known of it. Raises `BlobMissing`."""
        try:
            with self._path(key).open("rb") as file:
                if file.readline(len(_MAGIC)) != _MAGIC:
                    raise BlobsUnavailable(f"{file.name} is not a file of Roost's")
                mimetype = file.readline(300).decode().rstrip("\n")
                yield file, Stored(os.fstat(file.fileno()).st_size - file.tell(), mimetype)
        except FileNotFoundError:
            raise BlobMissing(key) from None
        except OSError as error:
            raise _unavailable(error) from error

    def _get(self, key: str, start: int, length: int | None) -> bytes:
        with self._opened(key) as (file, _):
            file.seek(start, os.SEEK_CUR)
            return file.read(-1 if length is None else length)

    def _head(self, key: str) -> Stored | None:
        try:
            with self._opened(key) as (_, stored):
                return stored
        except BlobMissing:
            return None

    def _delete(self, key: str) -> None:
        path = self._path(key)
        try:
            path.unlink()
            _sync_folder(path.parent)
        except FileNotFoundError:
            return
        except OSError as error:
            raise _unavailable(error) from error

    def _remove_left_over(self) -> None:
        """What a process that died was writing. Another that lives may be writing, too: recent files stay."""
        for file in self._unfinished.iterdir():
            with contextlib.suppress(FileNotFoundError):  # its writer has finished it
                if file.stat().st_mtime < time.time() - _LEFT_OVER_SECONDS:
                    file.unlink()

    # -- signed paths -----------------------------------------------------------------------------------------------

    def _signed(self, method: str, key: str, terms: Mapping[str, str], seconds: int) -> str:
        query = urlencode({"expires": str(int(self._clock()) + seconds), **terms})
        return f"{PREFIX}{key}?{query}&signature={self._signature(method, key, query)}"

    def _signature(self, method: str, key: str, query: str) -> str:
        text = f"{method}\n{key}\n{query}".encode("utf-8", "replace")
        return hmac.new(self._secret, text, hashlib.sha256).hexdigest()

    def _terms(self, method: str, key: str, query: str) -> dict[str, str] | None:
        """What a signed query says; None if it is not ours, not for this, or too old."""
        terms, separator, signature = query.rpartition("&signature=")
        expected = self._signature(method, key, terms)
        if not separator or not hmac.compare_digest(expected.encode(), signature.encode("utf-8", "replace")):
            return None
        found = dict(parse_qsl(terms))
        return found if int(found["expires"]) > self._clock() else None

    def serve(self, event: Mapping[str, Any]) -> Response:
        """Answer an HTTP API event (payload 2.0) for a path below `PREFIX`.

        GET and HEAD give a file, PUT (bytes) and POST (a form, or bytes) store one. What is in a file never becomes a
        page of this server: it is saved, under its own type, without scripts.
        """
        method = event["requestContext"]["http"]["method"]
        key, query = event["rawPath"].removeprefix(PREFIX), event.get("rawQueryString", "")
        if method in ("GET", "HEAD"):
            terms = self._terms("GET", key, query)
            if terms is None:
                return _text(403, "This link is no longer good. Open the file in the chat again.")
            disposition = terms["as"]
            return elsewhere(self._pool, lambda: self._serve_file(key, disposition, event))
        if method in ("PUT", "POST"):
            terms = self._terms("PUT", key, query)
            if terms is None:
                return _text(403, "This link is no longer good. Upload the file again.")
            size, mimetype = int(terms["size"]), terms["type"]
            return elsewhere(self._pool, lambda: self._take_file(key, size, mimetype, event))
        return _text(405, "Method Not Allowed", {"Allow": "GET, HEAD, PUT, POST"})

    def _serve_file(self, key: str, disposition: str, event: Mapping[str, Any]) -> Response:
        try:
            with self._opened(key) as (file, stored):
                return _answer(file, stored, disposition, event)
        except BlobMissing:
            return _text(404, "There is no such file.")

    def _take_file(self, key: str, size: int, mimetype: str, event: Mapping[str, Any]) -> Response:
        try:
            body = event.get("body") or ""
            raw = base64.b64decode(body, validate=True) if event["isBase64Encoded"] else body.encode()
        except binascii.Error:
            return _text(400, "The body is not what it says.")
        data = uploaded(event.get("headers", {}).get("content-type", ""), raw)
        if data is None:
            return _text(400, "The form holds no file.")
        if len(data) != size:
            return _text(400, f"The file has {len(data)} bytes, not {size} as was said.")
        self._put(key, data, mimetype)
        return {"statusCode": 204}


def _answer(file: IO[bytes], stored: Stored, disposition: str, event: Mapping[str, Any]) -> Response:
    """A file, or the part of it that was asked for."""
    headers = {
        "Content-Type": stored.mimetype,
        "Content-Disposition": disposition,
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "private, max-age=3600",
        "Accept-Ranges": "bytes",
    }
    asked = event.get("headers", {})
    part = None if "if-range" in asked else _part(asked.get("range", ""), stored.size)
    if part is None:
        start, length, status = 0, stored.size, 200
    else:
        start, length = part
        status = 206 if length else 416
        headers["Content-Range"] = f"bytes {f'{start}-{start + length - 1}' if length else '*'}/{stored.size}"
    file.seek(start, os.SEEK_CUR)
    data = b"" if event["requestContext"]["http"]["method"] == "HEAD" else file.read(length)
    return {
        "statusCode": status,
        "headers": headers,
        "body": base64.b64encode(data).decode(),
        "isBase64Encoded": True,
    }


def _secret(path: Path) -> bytes:
    """The key that paths are signed with: random, made once, for the owner's eyes."""
    if not path.exists():
        new = path.with_suffix(".new")
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(secrets.token_bytes(32))
            file.flush()
            os.fsync(file.fileno())
        new.rename(path)
    return path.read_bytes()


def _sync_folder(folder: Path) -> None:
    """Make the names in a folder durable, where the system can: Windows cannot, and keeps them by itself."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _part(header: str, size: int) -> tuple[int, int] | None:
    """Start and length of the part that a Range header asks for; length 0: there is none; None: everything.

    Source: RFC 9110, section 14. More than one range is passed over, as it may be.
    """
    match = _RANGE.fullmatch(header.strip())
    if match is None or match[0] == "bytes=-":
        return None
    if not match[1]:
        length = min(int(match[2]), size)
        return size - length, length
    start, end = int(match[1]), int(match[2]) if match[2] else size - 1
    if match[2] and end < start:
        return None
    return start, max(0, min(end, size - 1) - start + 1)


def _text(status: int, sentence: str, headers: Mapping[str, str] | None = None) -> Response:
    plain = {"Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff"}
    return {"statusCode": status, "headers": {**plain, **(headers or {})}, "body": sentence + "\n"}


def _unavailable(error: OSError) -> BlobsUnavailable:
    return BlobsUnavailable(f"the folder of files failed: {error.strerror or error}")
