"""The Blobs port over S3: hand-signed requests, URLs and forms; no service model.

Every call may be repeated, since each sets or reads a whole file: what throttles, fails or gets no answer is tried
again a few times. The role needs `s3:ListBucket` besides the obvious, or S3 answers 403 for a file that is not there.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, urlencode

from roost.aws.sign import Answer, Credentials, Signer, Sockets, Unreachable
from roost.chat.ports import (
    BlobMissing,
    BlobsError,
    BlobsUnavailable,
    BlobTooLarge,
    InvalidBlob,
    Stored,
    Upload,
    attachment,
    check_blob,
)

MAX_BYTES = 1024 * 1024 * 1024  # as in Slack; S3 itself takes 5 GB from a form

_TRIES = 3
_PAUSE = 0.1  # seconds before the second try at most; doubled for each further one
_TRY_AGAIN = frozenset({500, 502, 503, 504})


class S3Blobs:
    """The Blobs port for one bucket. Safe to use from several threads."""

    def __init__(
        self,
        bucket: str,
        *,
        region: str,
        credentials: Callable[[], Credentials],
        endpoint: str | None = None,
        max_bytes: int = MAX_BYTES,
        timeout: float = 10.0,
    ) -> None:
        """`endpoint` is that of an emulator, which has its buckets below it; Amazon's have names of their own."""
        self._base = f"{endpoint.rstrip('/')}/{bucket}" if endpoint else f"https://{bucket}.s3.{region}.amazonaws.com"
        self._bucket = bucket
        self._sockets = Sockets(self._base, timeout)
        self._signer = Signer(credentials, "s3", region)
        self.max_bytes = max_bytes

    def close(self) -> None:
        """Close idle sockets."""
        self._sockets.close()

    def upload(self, key: str, *, mimetype: str, size: int, seconds: int = 600) -> Upload:
        """A form that goes to the bucket itself."""
        self._check_size(key, mimetype, size)
        fields = {"key": key, "Content-Type": mimetype}
        conditions: list[Any] = [{"bucket": self._bucket}, ["content-length-range", size, size]]
        return Upload(self._base + "/", self._signer.form(fields, conditions, seconds))

    def download(self, key: str, *, name: str, seconds: int = 600) -> str:
        """A URL of the bucket's own."""
        check_blob(key)
        terms = {"response-cache-control": "private, max-age=3600", "response-content-disposition": attachment(name)}
        query = urlencode(terms, quote_via=quote, safe="")
        return (
            f"{self._base}/{key}?{self._signer.presigned('GET', self._sockets.host, self._path(key), seconds, query)}"
        )

    def put(self, key: str, data: bytes, *, mimetype: str) -> None:
        """Store a file."""
        self._check_size(key, mimetype, len(data))
        self._call("PUT", key, {"content-type": mimetype}, data)

    def get(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        """A file's bytes, or a part of them."""
        check_blob(key)
        if length == 0:
            self._found(key, self._call("HEAD", key, {}, b""))
            return b""
        whole = start == 0 and length is None
        last = "" if length is None else start + length - 1
        headers = {} if whole else {"range": f"bytes={start}-{last}"}
        return self._found(key, self._call("GET", key, headers, b"")).body

    def head(self, key: str) -> Stored | None:
        """What is under this key, or None."""
        check_blob(key)
        answer = self._call("HEAD", key, {}, b"")
        if answer.status == 404:
            return None
        return Stored(int(answer.headers["content-length"]), answer.headers["content-type"])

    def delete(self, key: str) -> None:
        """Remove a file."""
        check_blob(key)
        self._call("DELETE", key, {}, b"")

    def _check_size(self, key: str, mimetype: str, size: int) -> None:
        check_blob(key, mimetype=mimetype, size=size)
        if size > self.max_bytes:
            raise BlobTooLarge(f"a file has at most {self.max_bytes} bytes")

    def _path(self, key: str) -> str:
        return f"{self._sockets.base}/{key}"

    @staticmethod
    def _found(key: str, answer: Answer) -> Answer:
        if answer.status == 404:
            raise BlobMissing(key)
        return answer

    def _call(self, method: str, key: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """One call's answer: done, or that there is nothing. Raises the port's errors."""
        error: BlobsError = BlobsUnavailable("")
        for attempt in range(_TRIES):
            if attempt:
                time.sleep(random.uniform(0, _PAUSE * 2**attempt))  # noqa: S311  full jitter, no secret
            path = self._path(key)
            signed = self._signer.headers(method, self._sockets.host, path, headers, body)
            try:
                answer = self._sockets.request(method, path, signed, body)
            except Unreachable as unreachable:
                error = BlobsUnavailable(str(unreachable))
                continue
            if answer.status in (200, 204, 206, 404):
                return answer
            if answer.status == 416:  # the range begins beyond the end
                return Answer(200, {}, b"")
            error = _error(answer)
            if answer.status not in _TRY_AGAIN:
                break
        raise error


def _error(answer: Answer) -> BlobsError:
    code = answer.body.partition(b"<Code>")[2].partition(b"</Code>")[0].decode("ascii", "replace")
    sentence = f"S3 answered {answer.status} {code}".strip()
    return InvalidBlob(sentence) if answer.status == 400 else BlobsUnavailable(sentence)
