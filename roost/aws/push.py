"""Push over API Gateway's @connections: hand-signed posts on kept-alive sockets, up to 200 in flight.

Concurrency lives in here, on threads, so that the core stays plain: a post is a wait on a socket, and 200 of them fit
well below a Lambda function's file descriptors.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

from roost.aws.sign import Credentials, Signer, Sockets, Unreachable
from roost.chat.ports import Outcome

IN_FLIGHT = 200
_TIMEOUT = 2.0  # seconds that one receiver may take


class ConnectionsPush:
    """The Push port for one WebSocket API stage."""

    def __init__(self, endpoint: str, region: str, credentials: Callable[[], Credentials]) -> None:
        self._sockets = Sockets(endpoint, _TIMEOUT)
        self._signer = Signer(credentials, "execute-api", region)
        self._pool = ThreadPoolExecutor(IN_FLIGHT, thread_name_prefix="push")

    def send(self, connections: Sequence[str], payload: str) -> Mapping[str, Outcome]:
        """Post to each; a receiver's failure is its own."""
        data = payload.encode()
        if len(connections) == 1:
            outcomes = [self._post(connections[0], data)]
        else:
            outcomes = list(self._pool.map(lambda connection: self._post(connection, data), connections))
        pairs = zip(connections, outcomes, strict=True)
        return {connection: outcome for connection, outcome in pairs if outcome is not Outcome.SENT}

    def close(self, connection: str) -> None:
        """Close a connection, if it is still there."""
        self._request("DELETE", connection, b"")

    def _post(self, connection: str, data: bytes) -> Outcome:
        status = self._request("POST", connection, data)
        if status == 200:
            return Outcome.SENT
        return Outcome.GONE if status == 410 else Outcome.FAILED

    def _request(self, method: str, connection: str, data: bytes) -> int:
        """The answer's status; 0 where none came."""
        path = f"{self._sockets.base}/@connections/{quote(connection, safe='')}"
        headers = self._signer.headers(method, self._sockets.host, path, {}, data, time.time())
        try:
            return self._sockets.request(method, path, headers, data).status
        except Unreachable:
            return 0
