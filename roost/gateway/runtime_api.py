"""The Lambda Runtime API, for one execution environment: what awslambdaric polls for events and posts answers to.

One port per environment, so that a poll says by its port which process it is; only that process knows the address.
Source: AWS Lambda developer guide, "Using the Lambda runtime API"; refusals are those of AWS's Runtime Interface
Emulator.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

import msgspec

from roost.gateway.functions import MAX_PAYLOAD_BYTES, Failed, Invocation, Outcome, Returned
from roost.gateway.http import Exchange, HttpConnection, Response, json_response

_PREFIX = "/2018-06-01/runtime/"
_HEAD_BYTES = 2 * 1024 * 1024  # the client puts a stack trace for X-Ray into a header


class Host(Protocol):
    """Who is told how calls end."""

    def call_ended(self, invocation: Invocation, outcome: Outcome) -> None:
        """The runtime answered."""

    def init_failed(self, failed: Failed) -> None:
        """The runtime could not import the handler, and is about to exit."""


class RuntimeApi:
    """Serves one runtime. Everything runs on the loop's thread."""

    def __init__(self, host: Host, arn: str) -> None:
        self._host = host
        self._arn = arn
        self._connections: set[HttpConnection] = set()
        self._server: asyncio.Server | None = None
        self._next: Exchange | None = None  # the poll that waits for an event
        self._due: Invocation | None = None  # the event that waits for a poll
        self._current: Invocation | None = None  # what the runtime is working on

    async def start(self) -> int:
        """Listen on a loopback port of the system's choice, and answer which."""
        loop = asyncio.get_running_loop()

        def connection() -> HttpConnection:
            return HttpConnection(self, self._connections, None, _HEAD_BYTES)

        self._server = await loop.create_server(connection, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    def give(self, invocation: Invocation) -> None:
        """Hand out an event, at the next poll."""
        self._due = invocation
        self._hand_over()

    def stop(self) -> None:
        """Listen no more and drop the runtime's connections, at which it exits."""
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.close()

    # -- requests ---------------------------------------------------------------------------------------------------

    def upgrade(self, exchange: Exchange) -> None:
        """There is no WebSocket here."""
        exchange.respond(_refusal(400, "InvalidRequest", "not a runtime request"))

    def request(self, exchange: Exchange) -> None:
        """A call of the runtime."""
        method, path = exchange.request.method, exchange.request.path
        action = path.removeprefix(_PREFIX)
        if method == "GET" and action == "invocation/next":
            self._next = exchange
            self._hand_over()
        elif method == "POST" and action == "init/error":
            self._host.init_failed(_failed(exchange.request.body))
            exchange.respond(json_response(202, {"status": "OK"}))
        elif method == "POST" and action.startswith("invocation/"):
            self._answer(exchange, *action.removeprefix("invocation/").partition("/")[::2])
        else:
            exchange.respond(_refusal(404, "InvalidRequest", "no such runtime call"))

    def _hand_over(self) -> None:
        if self._next is None or self._due is None:
            return
        exchange, invocation = self._next, self._due
        self._next = self._due = None
        self._current = invocation
        headers = (
            ("Content-Type", "application/json"),  # exactly this: the client takes anything else for bytes, or crashes
            ("Lambda-Runtime-Aws-Request-Id", invocation.request_id),
            ("Lambda-Runtime-Deadline-Ms", str(int(invocation.deadline * 1000))),
            ("Lambda-Runtime-Invoked-Function-Arn", self._arn),
        )
        exchange.respond(Response(200, headers, invocation.event))

    def _answer(self, exchange: Exchange, request_id: str, kind: str) -> None:
        invocation = self._current
        if kind not in ("response", "error"):
            exchange.respond(_refusal(404, "InvalidRequest", "no such runtime call"))
        elif invocation is None or invocation.request_id != request_id:
            exchange.respond(_refusal(400, "InvalidRequestID", "Invalid request ID"))
        elif len(exchange.request.body) > MAX_PAYLOAD_BYTES:
            message = f"Exceeded maximum allowed payload size ({MAX_PAYLOAD_BYTES} bytes)."
            exchange.respond(_refusal(413, "RequestEntityTooLarge", message))
            self._end(invocation, Failed("Function.ResponseSizeTooLarge", message))
        else:
            exchange.respond(json_response(202, {"status": "OK"}))
            body = exchange.request.body
            self._end(invocation, _failed(body) if kind == "error" else _returned(body))

    def _end(self, invocation: Invocation, outcome: Outcome) -> None:
        self._current = None
        self._host.call_ended(invocation, outcome)


def _returned(body: bytes) -> Outcome:
    try:
        return Returned(msgspec.json.decode(body))
    except msgspec.DecodeError as error:
        return Failed("Runtime.InvalidResponse", f"the answer is not JSON: {error}")


def _failed(body: bytes) -> Failed:
    try:
        value: Any = msgspec.json.decode(body)
    except msgspec.DecodeError:
        value = {}
    if not isinstance(value, dict):
        value = {}
    return Failed(str(value.get("errorType", "Runtime.Unknown")), str(value.get("errorMessage", "")))


def _refusal(status: int, kind: str, message: str) -> Response:
    return json_response(status, {"errorMessage": message, "errorType": kind})
