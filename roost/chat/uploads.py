"""The file in an HTTP body that somebody uploads, however their client packs it."""

from __future__ import annotations

import re

_BOUNDARY = re.compile(r'boundary=(?:"([^"]{1,200})"|([^\s;,"]{1,200}))', re.IGNORECASE)
_FILE_NAME = re.compile(rb"^content-disposition:[^\r\n]*;\s*filename\*?=", re.IGNORECASE | re.MULTILINE)
_HEAD_BYTES = 16 * 1024  # of one part


def uploaded(content_type: str, body: bytes) -> bytes | None:
    """The first file part of a multipart body; of any other body all of it, whatever type it claims to be.

    Clients differ: raw bytes called a form, raw bytes called a stream, multipart with any field name. None for a
    multipart body without a whole file in it.
    """
    if not content_type.strip().lower().startswith("multipart/form-data"):
        return body
    boundary = _BOUNDARY.search(content_type)
    return None if boundary is None else _first_file(body, (boundary[1] or boundary[2]).encode("latin-1", "replace"))


def _first_file(body: bytes, boundary: bytes) -> bytes | None:
    delimiter = b"--" + boundary
    start = 0 if body.startswith(delimiter) else body.find(b"\r\n" + delimiter)
    while start >= 0:
        line_end = body.find(b"\r\n", start + 2)  # past the line break that may stand before the delimiter
        head_end = body.find(b"\r\n\r\n", line_end)
        end = body.find(b"\r\n" + delimiter, head_end + 2)
        if line_end < 0 or not line_end <= head_end <= line_end + _HEAD_BYTES or end < 0:
            return None
        if _is_file(body[line_end:head_end]):
            return body[head_end + 4 : end]
        start = end
    return None


def _is_file(head: bytes) -> bool:
    return _FILE_NAME.search(head) is not None
