"""Push over API Gateway's @connections: hand-signed posts on kept-alive sockets, up to 200 in flight.

What this process cannot do itself goes to the push function, by asynchronous invocations: the shares of an audience of
more than two thousand, and the frame that follows a connection's opening, since `$connect` must have returned before
API Gateway takes one.
"""

from __future__ import annotations

import logging
import random
import secrets
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from urllib.parse import quote

import msgspec

from roost.aws.invoke import MAX_BYTES, Invoker
from roost.aws.posting import Posting
from roost.aws.sign import Credentials, Signer
from roost.chat.ports import Outcome, Share

log = logging.getLogger("roost.aws")

MESSAGE_BYTES = 128 * 1024  # API Gateway: the largest message
SHARE = 2_500  # receivers that one invocation of the push function is given
_PAUSES = (0.25, 0.5, 1.0)  # seconds at most before what the account's limit refused is posted again
_OWN_FAULT = 20  # so many 429s at once may be readers whose buffers are full; more are the account's limit
_FIRST_PAUSE = 0.02  # seconds before a first frame is tried again; doubled for each further try
_FIRST_TRIES = 9  # in all about ten seconds, after which a connection that is not there was not let in


class First(msgspec.Struct, frozen=True, tag="first"):
    """A frame for a connection that is being opened."""

    connection: str
    payload: str


class HandedShare(msgspec.Struct, frozen=True, tag="share"):
    """A share as it travels."""

    name: str
    channel: str
    time: int
    frame: bytes  #: compressed, so that what JSON has to escape does not swell
    receivers: dict[str, int]

    def share(self) -> Share:
        """As it was cut."""
        return Share(self.channel, zlib.decompress(self.frame).decode(), self.receivers, self.time, self.name)


Job = First | HandedShare  #: what the push function is invoked with


class ConnectionsPush:
    """The Push port for one WebSocket API stage. Without an `invoker` all audiences are served here, and there are no
    first frames."""

    def __init__(
        self, endpoint: str, region: str, credentials: Callable[[], Credentials], invoker: Invoker | None = None
    ) -> None:
        self._posting = Posting(endpoint)
        self._signer = Signer(credentials, "execute-api", region)
        self._invoker = invoker

    def send(self, connections: Sequence[str], payload: str) -> Mapping[str, Outcome]:
        """Post to each; a receiver's failure is its own."""
        data = payload.encode()
        if len(data) > MESSAGE_BYTES:
            return dict.fromkeys(connections, Outcome.FAILED)
        statuses = self._post(connections, data)
        for pause in _PAUSES:
            throttled = [connection for connection, status in statuses.items() if status == 429]
            if len(throttled) <= _OWN_FAULT:
                break
            time.sleep(random.uniform(pause / 2, pause))  # noqa: S311  jitter, no secret
            statuses |= self._post(throttled, data)
        return {connection: _outcome(status) for connection, status in statuses.items() if status != 200}

    def _post(self, connections: Sequence[str], data: bytes) -> dict[str, int]:
        statuses = self._posting.statuses(self._requests("POST", connections, data))
        return dict(zip(connections, statuses, strict=True))

    def spread(self, share: Share) -> Sequence[Share]:
        """Hand shares of at most 2,500 receivers to the push function; what it may not have got is left to do here."""
        if self._invoker is None:
            return (share,)
        count = -(-len(share.receivers) // SHARE)
        cut = [piece for part in _parts(share, count) for piece in _fitting(part)]
        handed = self._invoker.invoke([event for _, event in cut])
        return [part for (part, _), taken in zip(cut, handed, strict=True) if not taken]

    def send_first(self, connection: str, payload: str) -> None:
        """Have the push function send it."""
        event = msgspec.json.encode(First(connection, payload))  # one that is too large is refused by Lambda
        if self._invoker is None or not all(self._invoker.invoke([event])):
            log.warning("a first frame was not sent")

    def send_until_there(self, first: First) -> None:
        """Send a first frame, again and again while its connection is not there: the push function's side of it."""
        for attempt in range(_FIRST_TRIES):
            if not self.send((first.connection,), first.payload):
                return
            time.sleep(_FIRST_PAUSE * 2**attempt)

    def close(self, connection: str) -> None:
        """Close a connection, if it is still there."""
        self._posting.statuses(self._requests("DELETE", (connection,), b""))

    def close_sockets(self) -> None:
        """Close what is kept open to API Gateway and to Lambda."""
        self._posting.close()
        if self._invoker is not None:
            self._invoker.close()

    def _requests(self, method: str, connections: Sequence[str], data: bytes) -> Iterator[bytes]:
        posting = self._posting
        headers, authorization = self._signer.series(method, posting.host, data)
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        rest = f" HTTP/1.1\r\n{lines}content-length: {len(data)}\r\nauthorization: "
        for connection in connections:
            path = f"{posting.base}/@connections/{_encoded(connection)}"
            yield f"{method} {path}{rest}{authorization(path)}\r\n\r\n".encode() + data


def _parts(share: Share, count: int) -> Iterator[Share]:
    """A share in parts of the same size, each with a name of its own."""
    receivers = list(share.receivers.items())
    size = -(-len(receivers) // count)
    for start in range(0, len(receivers), size):
        yield replace(share, receivers=dict(receivers[start : start + size]), name=secrets.token_hex(16))


def _fitting(share: Share) -> Iterator[tuple[Share, bytes]]:
    """A share as the event that carries it, or several where one would be too large."""
    frame = zlib.compress(share.payload.encode())
    event = msgspec.json.encode(HandedShare(share.name, share.channel, share.time, frame, dict(share.receivers)))
    if len(event) <= MAX_BYTES:
        yield share, event
    else:
        for part in _parts(share, 2):
            yield from _fitting(part)


def _encoded(connection: str) -> str:
    """As `quote`, which takes its time over the one character that API Gateway's ids have it encode."""
    encoded = connection.replace("=", "%3D")
    return encoded if encoded.replace("%3D", "").isalnum() else quote(connection, safe="")


def _outcome(status: int) -> Outcome:
    return Outcome.GONE if status == 410 else Outcome.FAILED
