"""Push over API Gateway's @connections: hand-signed posts on kept-alive sockets, up to 200 in flight."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from urllib.parse import quote

from roost.aws.posting import Posting
from roost.aws.sign import Credentials, Signer
from roost.chat.ports import Outcome

MESSAGE_BYTES = 128 * 1024  # API Gateway: the largest message


class ConnectionsPush:
    """The Push port for one WebSocket API stage."""

    def __init__(self, endpoint: str, region: str, credentials: Callable[[], Credentials]) -> None:
        self._posting = Posting(endpoint)
        self._signer = Signer(credentials, "execute-api", region)

    def send(self, connections: Sequence[str], payload: str) -> Mapping[str, Outcome]:
        """Post to each; a receiver's failure is its own."""
        data = payload.encode()
        if len(data) > MESSAGE_BYTES:
            return dict.fromkeys(connections, Outcome.FAILED)
        statuses = self._posting.statuses(self._requests("POST", connections, data))
        pairs = zip(connections, statuses, strict=True)
        return {connection: _outcome(status) for connection, status in pairs if status != 200}

    def close(self, connection: str) -> None:
        """Close a connection, if it is still there."""
        self._posting.statuses(self._requests("DELETE", (connection,), b""))

    def close_sockets(self) -> None:
        """Close what is kept open to API Gateway."""
        self._posting.close()

    def _requests(self, method: str, connections: Sequence[str], data: bytes) -> Iterator[bytes]:
        posting = self._posting
        headers, authorize = self._signer.series(method, posting.host, data, time.time())
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        rest = f" HTTP/1.1\r\n{lines}content-length: {len(data)}\r\nauthorization: "
        for connection in connections:
            path = f"{posting.base}/@connections/{_encoded(connection)}"
            yield f"{method} {path}{rest}{authorize(path)}\r\n\r\n".encode() + data


def _encoded(connection: str) -> str:
    """As `quote`, which takes its time over the one character that API Gateway's ids have it encode."""
    encoded = connection.replace("=", "%3D")
    return encoded if encoded.replace("%3D", "").isalnum() else quote(connection, safe="")


def _outcome(status: int) -> Outcome:
    return Outcome.GONE if status == 410 else Outcome.FAILED
