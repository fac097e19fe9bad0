"""Signature Version 4 and kept-alive sockets: how Roost calls AWS without loading a service model.

One signed JSON call costs a few hashes and one write on a socket that is already open. Source of the signing rules: AWS
General Reference, "Signature Version 4 signing process"; a test compares every signature with botocore's.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import select
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlsplit


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
    """No whole answer came: the request may or may not have been carried out."""


class Signer:
    """Signs requests for one service and region. Safe to share between threads."""

    def __init__(self, credentials: Callable[[], Credentials], service: str, region: str) -> None:
        self._credentials = credentials
        self._service = service
        self._region = region
        self._key: tuple[str, str, bytes] = ("", "", b"")  # day, secret, the key derived from them

    def headers(
        self, method: str, host: str, path: str, headers: Mapping[str, str], body: bytes, now: float | None = None
    ) -> dict[str, str]:
        """`headers` with what a signed request needs. `path` is percent-encoded as it is sent, without a query."""
        credentials = self._credentials()
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
        signed = {name.lower(): value for name, value in headers.items()} | {"host": host, "x-amz-date": stamp}
        if credentials.token:
            signed["x-amz-security-token"] = credentials.token
        names = ";".join(sorted(signed))
        lines = "".join(f"{name}:{signed[name].strip()}\n" for name in sorted(signed))
        encoded_again = quote(path, safe="/-_.~")
        canonical = f"{method}\n{encoded_again}\n\n{lines}\n{names}\n{hashlib.sha256(body).hexdigest()}"
        scope = f"{stamp[:8]}/{self._region}/{self._service}/aws4_request"
        text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        key = self._signing_key(stamp[:8], credentials.secret_key)
        signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
        credential = f"{credentials.access_key}/{scope}"
        signed["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}"
        )
        return signed

    def _signing_key(self, day: str, secret: str) -> bytes:
        if self._key[:2] != (day, secret):
            key = f"AWS4{secret}".encode()
            for part in (day, self._region, self._service, "aws4_request"):
                key = hmac.new(key, part.encode(), hashlib.sha256).digest()
            self._key = (day, secret, key)
        return self._key[2]


class Sockets:
    """Kept-alive connections to one endpoint, as many as are in use at once. Safe to share between threads."""

    def __init__(self, endpoint: str, timeout: float) -> None:
        parts = urlsplit(endpoint)
        self.host = parts.netloc
        self.base = parts.path.rstrip("/")
        self._secure = parts.scheme == "https"
        self._timeout = timeout
        self._idle: list[http.client.HTTPConnection] = []
        self._lock = threading.Lock()
        self._context = ssl.create_default_context() if self._secure else None

    def request(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Send one request and read its whole answer. Raises `Unreachable`."""
        connection = self._take()
        try:
            connection.request(method, path, body, dict(headers))
            response = connection.getresponse()
            answer = Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise Unreachable(f"{type(error).__name__}: {error}") from error
        if response.will_close:
            connection.close()
        else:
            with self._lock:
                self._idle.append(connection)
        return answer

    def close(self) -> None:
        """Close what is idle."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _take(self) -> http.client.HTTPConnection:
        while True:
            with self._lock:
                connection = self._idle.pop() if self._idle else None
            if connection is None:
                return self._connect()
            if connection.sock is not None and not select.select([connection.sock], [], [], 0)[0]:
                return connection
            connection.close()  # readable while nothing is due: the other side has closed it

    def _connect(self) -> http.client.HTTPConnection:
        if self._context is not None:
            return http.client.HTTPSConnection(self.host, timeout=self._timeout, context=self._context)
        return http.client.HTTPConnection(self.host, timeout=self._timeout)
