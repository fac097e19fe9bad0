"""Pictures: their size, from their first bytes, and those that everybody may see: faces and emoji.

Nothing is decoded: what somebody uploaded is never unpacked here.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from roost.chat.errors import BadImage, FileNotFound, FileUploadsDisabled
from roost.chat.ports import Blobs
from roost.storage.ids import new_id

HEAD = 256 * 1024  # bytes within which a JPEG's size stands, behind what cameras put in front of it

_KEY_LENGTH = 27
_LIFE = 3600  # seconds that a link to the bytes is good


@dataclass(frozen=True, slots=True)
class Picture:
    """What a picture's first bytes say of it."""

    mimetype: str
    width: int
    height: int


class Pictures:
    """Pictures that whoever knows their key may see. A key cannot be guessed, and is never used again."""

    def __init__(self, blobs: Blobs | None) -> None:
        self._blobs = blobs

    def keep(self, data: bytes, most: int) -> str:
        """Keep a picture of at most so many pixels a side; its key. Raises `BadImage`."""
        picture = look_at(data[:HEAD])
        if picture is None or not (0 < picture.width <= most and 0 < picture.height <= most):
            raise BadImage
        key = f"{new_id('P')}{secrets.token_hex(8)}"
        self._store().put(key, data, mimetype=picture.mimetype)
        return key

    def url(self, key: str) -> str:
        """Where its bytes are to be had for some minutes. Raises `FileNotFound` for what is no key of a picture."""
        if not (key.startswith("P") and key.isalnum() and key.isascii() and len(key) == _KEY_LENGTH):
            raise FileNotFound
        return self._store().download(key, name="picture", seconds=_LIFE)

    def forget(self, key: str) -> None:
        """Take a picture away."""
        self._store().delete(key)

    def _store(self) -> Blobs:
        if self._blobs is None:
            raise FileUploadsDisabled
        return self._blobs


def look_at(head: bytes) -> Picture | None:
    """What these first bytes of a file say; None where they are not those of a PNG, JPEG, GIF or WebP."""
    if head.startswith(b"\x89PNG\r\n\x1a\n") and head[12:16] == b"IHDR" and len(head) >= 24:
        return Picture("image/png", _big(head[16:20]), _big(head[20:24]))
    if head[:6] in (b"GIF87a", b"GIF89a") and len(head) >= 10:
        return Picture("image/gif", _little(head[6:8]), _little(head[8:10]))
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP" and len(head) >= 30:
        return _webp(head)
    if head.startswith(b"\xff\xd8\xff"):
        return _jpeg(head)
    return None


def _big(data: bytes) -> int:
    return int.from_bytes(data, "big")


def _little(data: bytes) -> int:
    return int.from_bytes(data, "little")


def _webp(head: bytes) -> Picture | None:
    """Source: RFC 9649, the three kinds of first chunk."""
    kind = head[12:16]
    if kind == b"VP8X":
        return Picture("image/webp", _little(head[24:27]) + 1, _little(head[27:30]) + 1)
    if kind == b"VP8L":
        bits = _little(head[21:25])
        return Picture("image/webp", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    if kind == b"VP8 ":
        return Picture("image/webp", _little(head[26:28]) & 0x3FFF, _little(head[28:30]) & 0x3FFF)
    return None


def _jpeg(head: bytes) -> Picture | None:
    """Walk over the segments to the one that begins the picture. Source: ITU T.81, B.1.1.3."""
    at = 2
    while at + 9 < len(head):
        if head[at] != 0xFF:
            return None
        marker = head[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return Picture("image/jpeg", _big(head[at + 7 : at + 9]), _big(head[at + 5 : at + 7]))
        at += 2 + max(2, _big(head[at + 2 : at + 4]))
    return None
