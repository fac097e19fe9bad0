"""Push over the local gateway's own sockets."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import TypeVar

from roost.chat.ports import Outcome, Share
from roost.gateway.sockets import MESSAGE_BYTES, Refusal, Sockets

T = TypeVar("T")

#: Policy violation: the chat closes only connections that lost their right to be there. API Gateway leaves no choice
#: of the code and closes with 1000.
_CLOSED = (1008, "Policy Violation")
_OUTCOMES = {Refusal.GONE: Outcome.GONE, Refusal.BUSY: Outcome.FAILED}


class GatewayPush:
    """The Push port. Make it on the event loop's thread; from there a push is a few list appends."""

    def __init__(self, sockets: Sockets) -> None:
        self._sockets = sockets
        self._thread = threading.get_ident()

    def send(self, connections: Sequence[str], payload: str) -> Mapping[str, Outcome]:
        """Queue one frame for each connection; what is queued leaves in one write per connection and loop turn."""
        data = payload.encode()
        if len(data) > MESSAGE_BYTES:
            return dict.fromkeys(connections, Outcome.FAILED)
        refused = self._on_loop(lambda: self._sockets.post(connections, data))
        return {connection: _OUTCOMES[refusal] for connection, refusal in refused.items()}

    def spread(self, share: Share) -> Sequence[Share]:
        """Nothing is quicker than this process."""
        return (share,)

    def send_first(self, connection: str, payload: str) -> None:
        """Send now, or right behind the handshake where that has not left yet."""
        data = payload.encode()
        if len(data) <= MESSAGE_BYTES:
            self._on_loop(lambda: self._sockets.post_first(connection, data))

    def close(self, connection: str) -> None:
        """Close a connection, if it is still there."""
        self._on_loop(lambda: self._close(connection))

    def _close(self, connection: str) -> None:
        there = self._sockets.open.get(connection)
        if there is not None:
            there.close(*_CLOSED)

    def _on_loop(self, function: Callable[[], T]) -> T:
        if threading.get_ident() == self._thread:
            return function()
        answer: Future[T] = Future()
        self._sockets.loop.call_soon_threadsafe(lambda: answer.set_result(function()))
        return answer.result()
