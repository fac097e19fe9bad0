"""Asynchronous invocations of a Lambda function: hand-signed, several at once, nothing waited for but that Lambda has
taken them over. Lambda then runs them at least once, and again after an error."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from urllib.parse import quote

from roost.aws.posting import Posting
from roost.aws.sign import Credentials, Signer

MAX_BYTES = 256 * 1024  # Lambda: the largest event of an asynchronous invocation
_ACCEPTED = 202
_SECONDS = 3.0  # that one call may take


class Invoker:
    """Invokes one function."""

    def __init__(self, function: str, *, endpoint: str, region: str, credentials: Callable[[], Credentials]) -> None:
        self._posting = Posting(endpoint, limit=_SECONDS)
        self._path = f"{self._posting.base}/2015-03-31/functions/{quote(function, safe='')}/invocations"
        self._signer = Signer(credentials, "lambda", region)

    def invoke(self, events: Sequence[bytes]) -> list[bool]:
        """Hand over each event (JSON, at most 256 KB); whether Lambda surely has it."""
        return [status == _ACCEPTED for status in self._posting.statuses(self._requests(events))]

    def close(self) -> None:
        """Close idle sockets."""
        self._posting.close()

    def _requests(self, events: Sequence[bytes]) -> Iterator[bytes]:
        for event in events:
            asked = {"x-amz-invocation-type": "Event"}
            headers = self._signer.headers("POST", self._posting.host, self._path, asked, event)
            lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            yield f"POST {self._path} HTTP/1.1\r\n{lines}content-length: {len(event)}\r\n\r\n".encode() + event
