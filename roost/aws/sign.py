"""Signature Version 4 and kept-alive sockets: how Roost calls AWS without loading a service model.

One signed JSON call costs a few hashes and one write on a socket that is already open. Source of the signing rules: AWS
General Reference, "Signature Version 4 signing process"; a test compares every signature with botocore's.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import re
import select
import socket
import ssl
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec


@dataclass(frozen=True, slots=True)
class Credentials:
    """A key to sign with. `token` is set for temporary keys, as a Lambda function's role gets them."""

    access_key: str
    secret_key: str
    token: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, read to its end."""

    status: int
    headers: Mapping[str, str]  #: names in lower case
    body: bytes


class Unreachable(Exception):
    """No whole answer came. Unless `sent`, the request did not leave us whole, so it was surely not carried out."""

    def __init__(self, error: Exception, *, sent: bool) -> None:
        super().__init__(f"{type(error).__name__}: {error}")
        self.sent = sent


_RESERVED = re.compile(r"[^A-Za-z0-9/_.~-]")
_GAP = "\0"  # stands where a path will stand


def _encoded(character: re.Match[str]) -> str:
    return f"%{ord(character[0]):02X}"


class Signer:
    """Signs requests for one service and region. Safe to share between threads.

    A path is given percent-encoded as it is sent, and a query (`a=1&b=2`) too, without its question mark. S3 differs
    from all other services: the path is signed as it is instead of encoded once more, and the body's hash is a header.
    """

    def __init__(self, credentials: Callable[[], Credentials], service: str, region: str) -> None:
        self._credentials = credentials
        self._service = service
        self._region = region
        self._key: tuple[str, str, bytes] = ("", "", b"")  # day, secret, the key derived from them

    def headers(
        self,
        method: str,
        host: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        now: float | None = None,
        query: str = "",
    ) -> dict[str, str]:
        """`headers` with what a signed request needs."""
        credentials = self._credentials()
        stamp = _stamp(now)
        content = hashlib.sha256(body).hexdigest()
        signed = {name.lower(): value for name, value in headers.items()} | {"host": host, "x-amz-date": stamp}
        if self._service == "s3":
            signed["x-amz-content-sha256"] = content
        if credentials.token:
            signed["x-amz-security-token"] = credentials.token
        names = ";".join(sorted(signed))
        signature = self._signature(credentials, stamp, _canonical(method, self._path(path), query, signed, content))
        credential = f"{credentials.access_key}/{self._scope(stamp)}"
        signed["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}"
        )
        return signed

    def series(
        self, method: str, host: str, body: bytes, now: float | None = None
    ) -> tuple[dict[str, str], Callable[[str], str]]:
        """For many requests that differ only in their path: the headers that they share, and what makes the
        Authorization header for each path. Good for some minutes. Not for S3."""
        credentials = self._credentials()
        stamp = _stamp(now)
        shared = {"host": host, "x-amz-date": stamp}
        if credentials.token:
            shared["x-amz-security-token"] = credentials.token
        names, scope = ";".join(shared), self._scope(stamp)
        begin, _, end = _canonical(method, _GAP, "", shared, hashlib.sha256(body).hexdigest()).partition(_GAP)
        before = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n"
        key = self._signing_key(stamp[:8], credentials.secret_key)
        head = f"AWS4-HMAC-SHA256 Credential={credentials.access_key}/{scope}, SignedHeaders={names}, Signature="

        def authorization(path: str) -> str:
            encoded = _RESERVED.sub(_encoded, path)  # as `quote` does, in a quarter of its time
            digest = hashlib.sha256(f"{begin}{encoded}{end}".encode()).hexdigest()
            return head + hmac.digest(key, f"{before}{digest}".encode(), "sha256").hex()

        return shared, authorization

    def presigned(
        self, method: str, host: str, path: str, seconds: int, query: str = "", now: float | None = None
    ) -> str:
        """A query that lets whoever has it make this one request to S3 for some time, with any body."""
        credentials = self._credentials()
        stamp = _stamp(now)
        parameters = {
            "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
            "X-Amz-Credential": f"{credentials.access_key}/{self._scope(stamp)}",
            "X-Amz-Date": stamp,
            "X-Amz-Expires": str(seconds),
            "X-Amz-SignedHeaders": "host",
        }
        if credentials.token:
            parameters["X-Amz-Security-Token"] = credentials.token
        whole = "&".join(
            filter(None, [query, *(f"{name}={quote(value, safe='')}" for name, value in parameters.items())])
        )
        canonical = _canonical(method, self._path(path), whole, {"host": host}, "UNSIGNED-PAYLOAD")
        return f"{whole}&X-Amz-Signature={self._signature(credentials, stamp, canonical)}"

    def form(
        self, fields: Mapping[str, str], conditions: Sequence[Any], seconds: int, now: float | None = None
    ) -> dict[str, str]:
        """`fields` with a signed policy that lets whoever has them send exactly this form to S3, with a file that meets
        the further conditions, for some time.

        Source: Amazon S3 API reference, "Creating a POST policy".
        """
        credentials = self._credentials()
        moment = time.time() if now is None else now
        stamp = _stamp(moment)
        exact = {
            **fields,
            "x-amz-algorithm": "AWS4-HMAC-SHA256",
            "x-amz-credential": f"{credentials.access_key}/{self._scope(stamp)}",
            "x-amz-date": stamp,
        }
        if credentials.token:
            exact["x-amz-security-token"] = credentials.token
        expiration = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment + seconds))
        document = {"expiration": expiration, "conditions": [*({name: exact[name]} for name in exact), *conditions]}
        policy = base64.b64encode(msgspec.json.encode(document))
        key = self._signing_key(stamp[:8], credentials.secret_key)
        return {
            **exact,
            "policy": policy.decode(),
            "x-amz-signature": hmac.new(key, policy, hashlib.sha256).hexdigest(),
        }

    def _path(self, path: str) -> str:
        return path if self._service == "s3" else quote(path, safe="/-_.~")

    def _scope(self, stamp: str) -> str:
        return f"{stamp[:8]}/{self._region}/{self._service}/aws4_request"

    def _signature(self, credentials: Credentials, stamp: str, canonical: str) -> str:
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        text = f"AWS4-HMAC-SHA256\n{stamp}\n{self._scope(stamp)}\n{digest}"
        key = self._signing_key(stamp[:8], credentials.secret_key)
        return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()

    def _signing_key(self, day: str, secret: str) -> bytes:
        known = self._key  # one value, so that another thread cannot change it between the look and the use
        if known[:2] != (day, secret):
            key = f"AWS4{secret}".encode()
            for part in (day, self._region, self._service, "aws4_request"):
                key = hmac.new(key, part.encode(), hashlib.sha256).digest()
            known = self._key = (day, secret, key)
        return known[2]


def _stamp(now: float | None) -> str:
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))


def _canonical(method: str, path: str, query: str, headers: Mapping[str, str], content: str) -> str:
    """The request as it is signed: parameters and headers in order, blanks in headers single."""
    ordered = "&".join(f"{name}={value}" for name, _, value in sorted(part.partition("=") for part in query.split("&")))
    names = sorted(headers)
    lines = "".join(f"{name}:{' '.join(headers[name].split())}\n" for name in names)
    return f"{method}\n{path}\n{ordered if query else ''}\n{lines}\n{';'.join(names)}\n{content}"


_IDLE = 30.0  # seconds after which an idle socket is not used again: the other side, or a NAT, may have dropped it
_LONGEST, _MOST = 64 * 1024, 100  # bytes of an answer's header, headers of an answer


@functools.cache
def tls_context() -> ssl.SSLContext:
    """What every client here trusts. Made once: reading the authorities takes a function 20 ms of a processor."""
    return ssl.create_default_context()


def _close_all(idle: list[tuple[_Connection, float]]) -> None:
    while idle:
        idle.pop()[0].close()


class Sockets:
    """Kept-alive connections to one endpoint, as many as are in use at once. Safe to share between threads."""

    def __init__(self, endpoint: str, timeout: float) -> None:
        parts = urlsplit(endpoint)
        self.host = parts.netloc
        self.base = parts.path.rstrip("/")
        self._secure = parts.scheme == "https"
        self._name, self._port = parts.hostname or "", parts.port or (443 if self._secure else 80)
        self._timeout = timeout
        self._idle: list[tuple[_Connection, float]] = []  # with the time since when
        weakref.finalize(self, _close_all, self._idle)
        self._lock = threading.Lock()

    def request(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, timeout: float | None = None
    ) -> Answer:
        """Send one request and read its whole answer. `timeout` is for each wait, in seconds. Raises `Unreachable`."""
        connection: _Connection | None = None
        sent = False
        try:
            connection = self._take(self._timeout if timeout is None else timeout)
            connection.send(method, path, {"host": self.host, **headers}, body)
            sent = True
            answer, usable = connection.answer(method)
        except (OSError, ValueError) as error:  # ValueError: what came is no HTTP
            if connection is not None:
                connection.close()
            self.close()  # whatever ended this one has likely ended those that lie idle
            raise Unreachable(error, sent=sent) from error
        if usable:
            with self._lock:
                self._idle.append((connection, time.time()))
        else:
            connection.close()
        return answer

    def close(self) -> None:
        """Close what is idle."""
        with self._lock:
            _close_all(self._idle)

    def _take(self, timeout: float) -> _Connection:
        while True:
            with self._lock:
                connection, since = self._idle.pop() if self._idle else (None, 0.0)
            if connection is None:
                return self._new(timeout)
            if connection.is_usable(time.time() - since):
                connection.sock.settimeout(timeout)
                return connection
            connection.close()

    def _new(self, timeout: float) -> _Connection:
        sock = socket.create_connection((self._name, self._port), timeout)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return _Connection(tls_context().wrap_socket(sock, server_hostname=self._name) if self._secure else sock)
        except BaseException:
            sock.close()
            raise


class _Connection:
    """HTTP/1.1 on one socket, as much of it as AWS's services speak.

    `http.client` does this and more, but takes the e-mail package with it, a sixth of all that a function imports.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._stream = sock.makefile("rb")

    def is_usable(self, age: float) -> bool:
        """Whether it was idle for a short time only, and is silent: readable while nothing is due means closed.

        By the wall clock, which goes on while a Lambda environment is frozen.
        """
        return 0 <= age < _IDLE and not select.select([self.sock], [], [], 0)[0]

    def send(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> None:
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self.sock.sendall(f"{method} {path} HTTP/1.1\r\n{lines}content-length: {len(body)}\r\n\r\n".encode() + body)

    def answer(self, method: str) -> tuple[Answer, bool]:
        """A whole answer, and whether another request may follow. Raises `OSError`, or `ValueError` for no HTTP."""
        status = 100
        while 100 <= status < 200:
            version, status, headers = self._head()
        usable = version == b"HTTP/1.1" and headers.get("connection", "").lower() != "close"
        if method == "HEAD" or status in (204, 304):
            body = b""
        elif headers.get("transfer-encoding", "").lower() == "chunked":
            body = self._chunks()
        elif "content-length" in headers:
            body = self._exactly(int(headers["content-length"]))
        else:
            body, usable = self._stream.read(), False
        return Answer(status, headers, body), usable

    def close(self) -> None:
        self._stream.close()
        self.sock.close()

    def _head(self) -> tuple[bytes, int, dict[str, str]]:
        version, status, *_ = self._line().split(b" ", 2)
        headers: dict[str, str] = {}
        while line := self._line():
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
            if len(headers) > _MOST:
                raise ValueError("too many headers")
        return version, int(status), headers

    def _line(self) -> bytes:
        line = self._stream.readline(_LONGEST)
        if not line.endswith(b"\n"):
            raise ConnectionError("the answer was cut off")
        return line.rstrip(b"\r\n")

    def _chunks(self) -> bytes:
        parts = []
        while size := int(self._line().partition(b";")[0], 16):
            parts.append(self._exactly(size))
            self._line()
        while self._line():
            continue  # trailers
        return b"".join(parts)

    def _exactly(self, size: int) -> bytes:
        data = self._stream.read(size)
        if len(data) < size:
            raise ConnectionError("the answer was cut off")
        return data
