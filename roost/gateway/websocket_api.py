"""The WebSocket API: `$connect` before the handshake ends, a route for every message, `$disconnect` at the end.

Source of each rule: API Gateway developer guide, chapter "WebSocket APIs"; what the guide leaves open follows captures
of the real service (`docs/gateway.md` lists those).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import unquote

from websockets.datastructures import Headers
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.http11 import Request as HandshakeRequest
from websockets.http11 import Response as HandshakeResponse
from websockets.server import ServerProtocol

from roost.gateway import events
from roost.gateway.authorizers import Refused, identity_values, policy_verdict
from roost.gateway.definition import Authorizer, Route, Service, WebSocketApi
from roost.gateway.events import Request
from roost.gateway.functions import Failed, Functions, IntegrationTimeout, Outcome, Returned
from roost.gateway.http import Exchange, Response, json_response
from roost.gateway.ids import Ids
from roost.gateway.routing import RouteSelection
from roost.gateway.sockets import MESSAGE_BYTES, Sockets
from roost.gateway.websocket import Connection

log = logging.getLogger("roost.gateway")

#: Compression is offered without context takeover: no state stays with an idle connection.
_DEFLATE = [ServerPerMessageDeflateFactory(server_no_context_takeover=True, client_no_context_takeover=True)]

_LONGEST = Route("", "").timeout

_PROXY_KEYS = frozenset({"statusCode", "body", "headers", "multiValueHeaders", "isBase64Encoded"})


@dataclass(frozen=True, slots=True)
class Limits:
    """API Gateway's quotas; seconds and bytes."""

    idle: float = 600.0
    life: float = 7200.0
    integration: float = 29.0
    frame: int = 32 * 1024
    message: int = MESSAGE_BYTES

    def scaled(self, factor: float) -> Limits:
        """The same with every time multiplied by `factor`, for tests that cannot wait two hours."""
        return Limits(self.idle * factor, self.life * factor, self.integration * factor, self.frame, self.message)


class WebSocketServer:
    """Plays one WebSocket API with one stage."""

    def __init__(
        self,
        api: WebSocketApi,
        service: Service,
        functions: Functions,
        sockets: Sockets,
        limits: Limits,
        domain_name: Callable[[Request], str],
        *,
        log_events: bool = True,
        skip_authorizers: bool = False,
    ) -> None:
        self._skip_authorizers = skip_authorizers
        self._api = api
        self._service = service
        self._functions = functions
        self._sockets = sockets
        self._limits = limits
        self._domain_name = domain_name
        self._log_events = log_events
        self._ids = Ids()
        self._selection = RouteSelection(api.route_selection_expression)
        self._connect = api.routes.get("$connect")
        self._disconnect = api.routes.get("$disconnect")
        self._default = api.routes.get("$default")
        self._custom = {key: route for key, route in api.routes.items() if not key.startswith("$")}
        self._connect_arn = f"arn:aws:execute-api:{service.region}:{service.account}:{api.id}/{api.stage}/$connect"
        self._variables = {"stageVariables": dict(api.stage_variables)} if api.stage_variables else {}
        self._second = 0
        self._request_time = ""
        self.running = 0  #: handshakes and messages that functions have not answered yet
        self.stopping = False  #: nothing new begins

    def serves(self, path: str) -> bool:
        """Whether a WebSocket may be opened at this path: the root, or the stage."""
        return unquote(path).strip("/") in ("", self._api.stage)

    # -- the handshake ----------------------------------------------------------------------------------------------

    def upgrade(self, exchange: Exchange) -> None:
        """Answer a request for a WebSocket, which waits for the authorizer and for `$connect`."""
        request = exchange.request
        if not self.serves(request.path):
            exchange.respond(json_response(403, {"message": "Forbidden"}))
            return
        if self.stopping:
            exchange.respond(json_response(503, {"message": "Service Unavailable"}))
            return
        protocol = ServerProtocol(extensions=_DEFLATE)
        response = protocol.accept(_handshake(request))
        if response.status_code != 101:
            exchange.respond(Response(response.status_code, _refusal_headers(response), bytes(response.body or b"")))
            return
        context = events.connection_context(
            request,
            api_id=self._api.id,
            stage=self._api.stage,
            domain_name=self._domain_name(request),
            connection_id=self._ids.new(),
            connected_at=int(time.time() * 1000),
        )
        opening = _Opening(exchange, protocol, response, context, self._call())
        self.running += 1
        authorizer = self._api.authorizer
        if isinstance(authorizer, Authorizer):
            self._authorize(opening, authorizer)
        elif authorizer is not None and not self._skip_authorizers:
            self._refuse(opening, 401)
        else:
            self._run_connect(opening)

    def _authorize(self, opening: _Opening, authorizer: Authorizer) -> None:
        if identity_values(authorizer.identity_sources, opening.exchange.request, self._api.stage_variables) is None:
            self._refuse(opening, 401)
            return
        event = events.authorizer_event(
            opening.exchange.request, opening.context, opening.call, self._connect_arn, self._api.stage_variables
        )
        done = partial(self._authorized, opening, time.monotonic())
        self._functions.invoke(authorizer.function, event, done, integration_timeout=self._limits.integration)

    def _authorized(self, opening: _Opening, began: float, outcome: Outcome) -> None:
        verdict = policy_verdict(outcome, self._connect_arn, int((time.monotonic() - began) * 1000))
        if isinstance(verdict, Refused):
            self._refuse(opening, verdict.status)
            return
        opening.context["authorizer"] = verdict.context
        self._run_connect(opening)

    def _run_connect(self, opening: _Opening) -> None:
        if self._connect is None:
            self._accept(opening, {})
            return
        event = events.connect_event(opening.exchange.request, opening.context, opening.call) | self._variables
        done = partial(self._connected, opening)
        self._functions.invoke(self._connect.function, event, done, integration_timeout=self._patience(self._connect))

    def _connected(self, opening: _Opening, outcome: Outcome) -> None:
        answer = proxy_answer(outcome)
        if answer is None:
            self._refuse(opening, 502)
        elif not 200 <= answer.status < 300:
            self._refuse(opening, answer.status)
        else:
            self._accept(opening, answer.headers)

    def _refuse(self, opening: _Opening, status: int) -> None:
        self.running -= 1
        connection_id, request_id = opening.context["connectionId"], opening.call["requestId"]
        if opening.exchange.alive:
            if status >= 500:
                body = events.server_frame("Internal server error", connection_id, request_id).encode()
                response = Response(status, (("Content-Type", "application/json"),), body)
            else:
                words = {401: "Unauthorized", 403: "Forbidden"}.get(status)
                response = json_response(status, {"message": words}) if words else Response(status)
            opening.exchange.respond(response)
        self._say("refused %d", status, connection=connection_id, route="$connect")

    def _accept(self, opening: _Opening, headers: Mapping[str, str]) -> None:
        self.running -= 1
        if not opening.exchange.alive:  # left while `$connect` ran: connected for the app, and gone at once
            self._invoke_disconnect(opening.context, *events.LOST)
            return
        subprotocol = headers.get("sec-websocket-protocol")
        if subprotocol:
            opening.response.headers["Sec-WebSocket-Protocol"] = subprotocol.replace("\r", "").replace("\n", "")
        connection = Connection(
            self._sockets,
            self,
            opening.exchange.connection.transport,
            opening.context,
            opening.protocol.extensions,
            (self._limits.message, self._limits.frame),
        )
        self._sockets.opened(connection)
        self._say("connected", connection=connection.id, route="$connect")
        opening.exchange.switch(opening.response.serialize(), connection)

    # -- messages ---------------------------------------------------------------------------------------------------

    def message(self, connection: Connection, text: str) -> None:
        """Run the route that a message selects; without one the client gets the Forbidden frame."""
        if self.stopping:
            self._server_frame(connection, "Service Unavailable", self._call()["requestId"])
            return
        key = self._selection.select(text)
        route = (self._custom.get(key) if key is not None else None) or self._default
        if key == "$default":
            route = self._default
        call = self._call()
        if route is None:
            self._server_frame(connection, "Forbidden", call["requestId"])
            self._say("forbidden: no route", connection=connection.id, route=str(key))
            return
        call["messageId"] = self._ids.message(connection.id)
        event = events.message_event(route.key, text, connection.context, call)
        if self._variables:
            event |= self._variables
        connection.began()
        self.running += 1
        done = partial(self._answered, connection, route, call["requestId"], time.monotonic())
        self._functions.invoke(route.function, event, done, integration_timeout=self._patience(route))

    def _answered(self, connection: Connection, route: Route, request_id: str, began: float, outcome: Outcome) -> None:
        connection.done()
        self.running -= 1
        answer = proxy_answer(outcome)
        if answer is None:
            timed_out = isinstance(outcome, IntegrationTimeout)
            words = "Endpoint request timed out" if timed_out else "Internal server error"
            self._server_frame(connection, words, request_id)
        elif route.two_way and answer.body:
            self._sockets.post((connection.id,), answer.body.encode("utf-8", "replace"))
        if self._log_events:
            took = (time.monotonic() - began) * 1000
            status = answer.status if answer is not None else _fault(outcome)
            self._say("%s in %.1f ms", status, took, connection=connection.id, route=route.key, request=request_id)

    def _server_frame(self, connection: Connection, words: str, request_id: str) -> None:
        frame = events.server_frame(words, connection.id, request_id)
        self._sockets.post((connection.id,), frame.encode())

    # -- the end ----------------------------------------------------------------------------------------------------

    def ended(self, connection: Connection, code: int, reason: str) -> None:
        """A connection is over: nobody can post to it any more, and `$disconnect` runs."""
        self._sockets.open.pop(connection.id, None)
        self._sockets.congested.discard(connection.id)
        self._say("disconnected %d %s", code, reason, connection=connection.id, route="$disconnect")
        self._invoke_disconnect(connection.context, code, reason)

    def _invoke_disconnect(self, context: Mapping[str, Any], code: int, reason: str) -> None:
        if self._disconnect is not None:
            event = events.disconnect_event(code, reason, context, self._call()) | self._variables
            limit = self._patience(self._disconnect)
            self._functions.invoke(self._disconnect.function, event, _nothing, integration_timeout=limit)

    def sweep(self) -> None:
        """Close what was idle or open for too long, and what does not read. Called several times per idle limit."""
        now = self._sockets.loop.time()
        for connection in list(self._sockets.open.values()):
            too_old = now - connection.opened > self._limits.life
            if too_old or now - connection.active > self._limits.idle:
                connection.close(*events.GOING_AWAY)
            elif connection.id in self._sockets.congested and now - connection.congested_since > _CONGESTED_SECONDS:
                connection.close(1008, "The client reads too slowly")

    def _patience(self, route: Route) -> float:
        """How long its function may take: the limit, or the part of it that the route has."""
        return self._limits.integration * min(1.0, route.timeout / _LONGEST)

    # -- small things -----------------------------------------------------------------------------------------------

    def _call(self) -> dict[str, Any]:
        """What `requestContext` says of one request."""
        now = time.time()
        second = int(now)
        if second != self._second:
            self._second, self._request_time = second, events.request_time(now)
        request_id = self._ids.new()
        return {
            "requestId": request_id,
            "extendedRequestId": request_id,
            "requestTime": self._request_time,
            "requestTimeEpoch": int(now * 1000),
        }

    def _say(self, message: str, *values: object, **fields: str) -> None:
        if self._log_events:
            log.info(message, *values, extra={"fields": fields})


#: How long a client may leave its full buffer unread.
_CONGESTED_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class _Opening:
    """A handshake that waits for the functions."""

    exchange: Exchange
    protocol: ServerProtocol
    response: HandshakeResponse
    context: dict[str, Any]
    call: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ProxyAnswer:
    """A Lambda proxy response that is one."""

    status: int
    headers: Mapping[str, str]  #: names in lower case
    body: str


_PLAIN_OK = {"statusCode": 200}  # what nearly every handler returns for a message
_OK_ANSWER = ProxyAnswer(200, {}, "")


def proxy_answer(outcome: Outcome) -> ProxyAnswer | None:
    """The proxy response in an outcome, or None where the function failed or answered anything else."""
    if type(outcome) is Returned and outcome.payload == _PLAIN_OK:
        return _OK_ANSWER
    if not isinstance(outcome, Returned) or not isinstance(outcome.payload, dict):
        return None
    payload = outcome.payload
    status = _status(payload.get("statusCode", 200))
    headers, body = payload.get("headers") or {}, payload.get("body")
    if payload.keys() - _PROXY_KEYS or status is None or not isinstance(headers, dict):
        return None
    if body is not None and not isinstance(body, str):
        return None
    return ProxyAnswer(status, {str(k).lower(): str(v) for k, v in headers.items()}, body or "")


def _status(value: object) -> int | None:
    """Numbers, and text that is one, as AWS takes them."""
    if isinstance(value, str) and value.isdigit():
        value = int(value)
    valid = isinstance(value, int) and not isinstance(value, bool) and 100 <= value <= 599
    return value if valid and isinstance(value, int) else None


def _fault(outcome: Outcome) -> str:
    if isinstance(outcome, Failed):
        return f"failed: {outcome.type}"
    return "timed out" if isinstance(outcome, IntegrationTimeout) else "failed: not a proxy response"


def _nothing(outcome: Outcome) -> None:
    """`$disconnect` answers nobody."""


def _handshake(request: Request) -> HandshakeRequest:
    headers = Headers()
    for name, value in request.headers:
        headers[name] = value
    return HandshakeRequest(request.target, headers, method=request.method, protocol=f"HTTP/{request.version}")


def _refusal_headers(response: HandshakeResponse) -> tuple[tuple[str, str], ...]:
    ours = {"date", "connection", "content-length"}
    return tuple((name, value) for name, value in response.headers.raw_items() if name.lower() not in ours)
