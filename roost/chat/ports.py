"""What the core asks of the world, besides the Table. Each shell brings its own."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol, TypeVar
from urllib.parse import quote

T = TypeVar("T")


class Outcome(Enum):
    """What became of one push to one connection."""

    SENT = "sent"  #: taken over; not a proof that the client has it
    GONE = "gone"  #: no such connection: closed, or still connecting
    FAILED = "failed"  #: throttled, buffer full, too large, timed out, refused: this time it gets nothing


@dataclass(frozen=True, slots=True)
class Share:
    """A frame for a large audience, or for a part of it that was handed to another process."""

    channel: str  #: whose it is; empty where it is no channel's
    payload: str
    receivers: Mapping[str, int]  #: connection → since when, in milliseconds, by the gateway
    time: int  #: when the gateway got what caused the frame, in milliseconds
    name: str = ""  #: set once it was handed over: by this name it is delivered only once


class Push(Protocol):
    """Sends frames to connections. Never raises for a receiver's fault."""

    def send(self, connections: Sequence[str], payload: str) -> Mapping[str, Outcome]:
        """Send one text frame (at most 128 KB as UTF-8) to each connection; answer those that did not take it.

        An empty answer means that all took it. Two calls from one thread reach a connection that both name in their
        order, where the transport can promise it: the local gateway can, API Gateway cannot.
        """

    def spread(self, share: Share) -> Sequence[Share]:
        """Have other processes deliver a large audience's shares, where that is quicker; answer what is left over.

        An engine that can send to any number answers the share itself. One with a name may be in other hands, too.
        """

    def send_first(self, connection: str, payload: str) -> None:
        """Send one text frame to a connection whose opening may still be under way, as soon as it is established.

        For what a client is to hear right after it was let in, before it says anything: where `$connect` runs, a plain
        `send` would find it gone. Dropped where the connection is refused or leaves. It may arrive twice.
        """

    def close(self, connection: str) -> None:
        """Close a connection, if it is still there."""


class Clock(Protocol):
    """The time, and taking it. It may step backwards."""

    def now_us(self) -> int:
        """Microseconds since the epoch."""

    def sleep(self, seconds: float) -> None:
        """Let time pass for the caller alone."""

    def aside(self, function: Callable[[], T]) -> T:
        """Do what takes long, a password's hash or a question to another server, without holding up anybody else."""


# -- files ----------------------------------------------------------------------------------------------------------


class BlobsError(Exception):
    """A store of files refused or failed something."""


class InvalidBlob(BlobsError):
    """A key, a type or a size that no store takes. Trying again is wrong."""


class BlobMissing(BlobsError):
    """There is nothing under this key."""


class BlobTooLarge(BlobsError):
    """More bytes than the store takes at once: see `Blobs.max_bytes`."""


class BlobsUnavailable(BlobsError):
    """The store could not be reached or failed; what was asked may or may not have happened. Trying again is right."""


@dataclass(frozen=True, slots=True)
class Upload:
    """Where somebody without a right of their own may put one file, for a while.

    They POST a multipart form to `url`: these fields, and after them the file in a field named `file`. Any 2xx answer
    means that it is stored.
    """

    url: str
    fields: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Stored:
    """What is known of a stored file."""

    size: int
    mimetype: str


class Blobs(Protocol):
    """A store of files under keys of our making. Every method may block, and may be called from any thread.

    What was put is there for every `get` and `head` that begins later, and survives a crash. A file is there whole or
    not at all; one that is put again is replaced.
    """

    @property
    def max_bytes(self) -> int:
        """The largest file that can be uploaded."""

    def upload(self, key: str, *, mimetype: str, size: int, seconds: int = 600) -> Upload:
        """Let somebody put a file of exactly this size and this type, within so many seconds. Asks nobody.

        Raises `BlobTooLarge`.
        """

    def download(self, key: str, *, name: str, seconds: int = 600) -> str:
        """A URL that gives whoever has it the file, for so many seconds. Asks nobody, not even whether it is there.

        The file comes with its type, is never shown as a page (`attachment(name)`), and ranges of it can be had. The
        URL may begin with `/`: then it is on the server's own address.
        """

    def put(self, key: str, data: bytes, *, mimetype: str) -> None:
        """Store a file. Raises `BlobTooLarge`."""

    def get(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        """A file's bytes, or at most `length` of them from `start` on. Raises `BlobMissing`."""

    def head(self, key: str) -> Stored | None:
        """What is under this key, or None."""

    def delete(self, key: str) -> None:
        """Remove a file; that it is not there is no error."""


_BLOB_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
_BLOB_TYPE = re.compile(r"[A-Za-z0-9][\w.+-]{0,63}/[A-Za-z0-9][\w.+-]{0,127}(; ?charset=[\w.-]{1,40})?", re.ASCII)
_NAME_BYTES = 200  # of a name in a header: with its percent signs encoded again it fits into any URL


def check_blob(key: str, *, mimetype: str | None = None, size: int = 0) -> None:
    """Raise `InvalidBlob` unless every store can hold a file under this key, of this type and size."""
    if not _BLOB_KEY.fullmatch(key):
        raise InvalidBlob("a key is 1 to 128 letters, digits, _ and -")
    if mimetype is not None and not _BLOB_TYPE.fullmatch(mimetype):
        raise InvalidBlob("a type is like text/plain, perhaps with a charset")
    if size < 0:
        raise InvalidBlob("a size is not negative")


def attachment(name: str) -> str:
    """The `Content-Disposition` under which a browser saves a file by this name, whatever stands in it.

    Source: RFC 6266, with the plain form for clients that know no other.
    """
    clean = "".join(" " if each in '/\\:"' or not each.isprintable() else each for each in name)
    cut = clean.encode("utf-8", "ignore")[:_NAME_BYTES].decode("utf-8", "ignore").strip(" .") or "file"
    plain = "".join(each if each.isascii() and each != "%" else "_" for each in cut)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(cut, safe='')}"
