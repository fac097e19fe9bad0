"""The Lambda Runtime API, for one execution environment: what awslambdaric polls for events and posts answers to.

One port for each environment, chosen by the system, on the loopback interface: a poll says by its port which process it
is. One port for all, with a token in the path, would be cheaper, but the client can only be told HOST:PORT, since it
opens a connection to just that for `init/error`. A web page cannot poll: what browsers send is refused.

Source: AWS Lambda developer guide, "Using the Lambda runtime API"; refusals are those of AWS's Runtime Interface
Emulator.
"""

from __future__ import annotations

import asyncio
import re
from typing import Any, Protocol

import msgspec

from roost.gateway.answers import decoded
from roost.gateway.clients import Clients
from roost.gateway.functions import MAX_PAYLOAD_BYTES, Failed, Invocation, Outcome
from roost.gateway.http import Exchange, HttpConnection, Response, json_response

_PREFIX = "/2018-06-01/runtime/"
_ANSWER = re.compile(r"invocation/[^/]+/(response|error)")
_HEAD_BYTES = 2 * 1024 * 1024  # the client puts a stack trace for X-Ray into a header
_BODY_BYTES = 256 * 1024 * 1024  # an answer is read before it is found too large: the refusal ends its call, too


class Host(Protocol):
    """Who is told how calls go. Everything runs on the loop's thread."""

    def polled(self) -> None:
        """The runtime asks for an event: it is ready."""

    def call_begins(self, invocation: Invocation) -> None:
        """The runtime is about to get this event; `invocation.deadline` must be set after this."""

    def call_ended(self, invocation: Invocation, outcome: Outcome) -> None:
        """The runtime answered."""

    def init_failed(self, failed: Failed) -> None:
        """The runtime could not import the handler, and is about to exit."""


class RuntimeApi:
    """Serves one runtime."""

    def __init__(self, host: Host, arn: str) -> None:
        self._host = host
        self._arn = arn
        self._address = ""
        self._clients = Clients()
        self._server: asyncio.Server | None = None
        self._next: Exchange | None = None  # the poll that waits for an event
        self._due: Invocation | None = None  # the event that waits for a poll
        self._current: Invocation | None = None  # what the runtime is working on
        self._answered: str | None = None  # the request whose answer came last

    async def start(self) -> str:
        """Listen on a loopback port of the system's choice, and answer `HOST:PORT`."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._connect, "127.0.0.1", 0)
        self._address = "{}:{}".format(*self._server.sockets[0].getsockname())
        return self._address

    def _connect(self) -> HttpConnection:
        return HttpConnection(self, self._clients, None, max_head_bytes=_HEAD_BYTES, max_body_bytes=_BODY_BYTES)

    @property
    def polling(self) -> bool:
        """Whether the runtime waits for an event."""
        return self._next is not None and self._next.alive

    def give(self, invocation: Invocation) -> None:
        """Hand out an event, now or at the next poll."""
        self._due = invocation
        self._hand_over()

    def gave(self, invocation: Invocation) -> bool:
        """Whether the runtime has this event."""
        return self._due is not invocation

    def stop(self) -> None:
        """Listen no more and drop the runtime's connections, at which it exits once it is idle."""
        if self._server is not None:
            self._server.close()
        self._clients.close()

    # -- requests ---------------------------------------------------------------------------------------------------

    def upgrade(self, exchange: Exchange) -> None:
        """There is no WebSocket here."""
        exchange.respond(_refusal(404, "InvalidRequest", "no such runtime call"))

    def request(self, exchange: Exchange) -> None:
        """A call of the runtime."""
        request = exchange.request
        from_browser = any(request.header(name) for name in ("origin", "sec-fetch-mode", "referer"))
        if from_browser or request.header("host") != self._address:
            exchange.respond(_refusal(403, "InvalidRequest", "not from a runtime"))
            return
        action = request.path.removeprefix(_PREFIX) if request.path.startswith(_PREFIX) else ""
        if request.method == "GET" and action == "invocation/next":
            self._poll(exchange)
        elif request.method == "POST" and action == "init/error":
            self._host.init_failed(_failed(request.body))
            exchange.respond(_ACCEPTED)
        elif request.method == "POST" and _ANSWER.fullmatch(action):
            self._answer(exchange, *action.split("/")[1:])
        else:
            exchange.respond(_refusal(404, "InvalidRequest", "no such runtime call"))

    def _poll(self, exchange: Exchange) -> None:
        if self._current is not None or self.polling:
            exchange.respond(_wrong_state("Ready"))
            return
        self._next = exchange
        self._host.polled()
        self._hand_over()

    def _hand_over(self) -> None:
        if self._next is None or not self._next.alive or self._due is None:
            return
        exchange, invocation = self._next, self._due
        self._next = self._due = None
        self._current = invocation
        self._host.call_begins(invocation)
        headers = (
            ("Content-Type", "application/json"),  # exactly this: the client takes anything else for bytes, or crashes
            ("Lambda-Runtime-Aws-Request-Id", invocation.request_id),
            ("Lambda-Runtime-Deadline-Ms", str(int(invocation.deadline * 1000))),
            ("Lambda-Runtime-Invoked-Function-Arn", self._arn),
            ("Lambda-Runtime-Trace-Id", invocation.trace_id),
        )
        exchange.respond(Response(200, headers, invocation.event))

    def _answer(self, exchange: Exchange, request_id: str, kind: str) -> None:
        invocation, body = self._current, exchange.request.body
        if invocation is None and request_id == self._answered:
            exchange.respond(_wrong_state("InvocationResponse"))
        elif invocation is None or invocation.request_id != request_id:
            exchange.respond(_refusal(400, "InvalidRequestID", "Invalid request ID"))
        elif len(body) > MAX_PAYLOAD_BYTES:
            exchange.respond(_TOO_LARGE)
            self._end(_too_large())
        else:
            exchange.respond(_ACCEPTED)
            self._end(_failed(body) if kind == "error" else decoded(body))

    def _end(self, outcome: Outcome) -> None:
        invocation, self._current = self._current, None
        if invocation is not None:
            self._answered = invocation.request_id
            self._host.call_ended(invocation, outcome)


def _failed(body: bytes) -> Failed:
    try:
        value: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        value = {}
    if not isinstance(value, dict):
        value = {}
    return Failed(str(value.get("errorType", "Runtime.Unknown")), str(value.get("errorMessage", "")))


def _too_large() -> Failed:
    message = f"Response payload size exceeded maximum allowed payload size ({MAX_PAYLOAD_BYTES} bytes)."
    return Failed("Function.ResponseSizeTooLarge", message)


def _refusal(status: int, kind: str, message: str) -> Response:
    return json_response(status, {"errorMessage": message, "errorType": kind})


def _wrong_state(call: str) -> Response:
    return _refusal(403, "InvalidStateTransition", f"State transition is not allowed: {call}")


_ACCEPTED = json_response(202, {"status": "OK"})
_TOO_LARGE = _refusal(
    413, "RequestEntityTooLarge", f"Exceeded maximum allowed payload size ({MAX_PAYLOAD_BYTES} bytes)."
)
