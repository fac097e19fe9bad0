"""The HTTP API: payload format 2.0 to the functions, their answers to the client.

Source: API Gateway developer guide, "Working with AWS Lambda proxy integrations for HTTP APIs".
"""

from __future__ import annotations

import base64
import binascii
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec

from roost.gateway import events
from roost.gateway.authorizers import Refused, http_verdict, identity_values
from roost.gateway.definition import Authorizer, Cors, HttpApi, HttpRoute, Service
from roost.gateway.events import Request
from roost.gateway.functions import Functions, IntegrationTimeout, Outcome, Returned
from roost.gateway.http import Exchange, Response, json_response
from roost.gateway.ids import Ids
from roost.gateway.routing import HttpRoutes

log = logging.getLogger("roost.gateway")

_KNOWN = frozenset({"statusCode", "body", "headers", "cookies", "isBase64Encoded", "multiValueHeaders"})
#: What the gateway itself writes; a function's own values for these would break the framing.
_FRAMING = frozenset({"content-length", "transfer-encoding", "connection", "date"})


class HttpServer:
    """Plays one HTTP API with one stage."""

    def __init__(
        self,
        api: HttpApi,
        service: Service,
        functions: Functions,
        domain_name: Callable[[Request], str],
        *,
        time_scale: float = 1.0,
        log_events: bool = True,
    ) -> None:
        self._api = api
        self._service = service
        self._functions = functions
        self._domain_name = domain_name
        self._time_scale = time_scale
        self._log_events = log_events
        self._routes = HttpRoutes(api.routes)
        self._ids = Ids()
        self.running = 0  #: requests that are not answered yet
        self.stopping = False  #: nothing new begins

    def request(self, exchange: Exchange) -> None:
        """Answer one request."""
        self.running += 1
        call = _Call(exchange, self._ids.new(), time.time(), time.monotonic())
        path = self._without_stage(exchange.request.path)
        if self.stopping:
            self._finish(call, json_response(503, {"message": "Service Unavailable"}))
            return
        if path is None:
            self._finish(call, json_response(404, {"message": "Not Found"}))
            return
        if self._api.cors is not None and _is_preflight(exchange.request):
            self._finish(call, Response(204))
            return
        match = self._routes.match(exchange.request.method, path)
        if match is None:
            self._finish(call, json_response(404, {"message": "Not Found"}))
            return
        route, parameters = match
        event = self._event(call, route, parameters)
        if route.authorizer is not None:
            self._authorize(call, route, route.authorizer, event)
        else:
            self._run(call, route, event)

    def _without_stage(self, path: str) -> str | None:
        if self._api.stage == "$default":
            return path
        prefix = f"/{self._api.stage}"
        if path == prefix:
            return "/"
        return path[len(prefix) :] if path.startswith(prefix + "/") else None

    def _event(self, call: _Call, route: HttpRoute, parameters: Mapping[str, str]) -> dict[str, Any]:
        request = call.exchange.request
        return events.http_event(
            request,
            route_key=route.key,
            path=events.decode_path(request.path),
            path_parameters=parameters,
            api_id=self._api.id,
            stage=self._api.stage,
            stage_variables=self._api.stage_variables,
            account_id=self._service.account,
            domain_name=self._domain_name(request),
            request_id=call.request_id,
            now=call.now,
        )

    def _authorize(self, call: _Call, route: HttpRoute, authorizer: Authorizer, event: dict[str, Any]) -> None:
        request = call.exchange.request
        sources = identity_values(authorizer, request, self._api.stage_variables)
        if sources is None:
            self._finish(call, json_response(401, {"message": "Unauthorized"}))
            return
        service, api = self._service, self._api
        arn = f"arn:aws:execute-api:{service.region}:{service.account}:{api.id}/{api.stage}/{request.method}"
        arn += events.decode_path(request.path)
        asked = {"version": "2.0", "type": "REQUEST", "routeArn": arn, "identitySource": sources}
        asked |= {key: value for key, value in event.items() if key not in ("version", "body", "isBase64Encoded")}
        done = partial(self._authorized, call, route, authorizer, event, arn)
        limit = 10.0 * self._time_scale  # HTTP APIs: the authorizer's own time limit
        self._functions.invoke(authorizer.function, asked, done, integration_timeout=limit)

    def _authorized(
        self, call: _Call, route: HttpRoute, authorizer: Authorizer, event: dict[str, Any], arn: str, outcome: Outcome
    ) -> None:
        verdict = http_verdict(outcome, authorizer, arn)
        if isinstance(verdict, Refused):
            words = {401: "Unauthorized", 403: "Forbidden"}.get(verdict.status, "Internal Server Error")
            self._finish(call, json_response(verdict.status, {"message": words}))
            return
        event["requestContext"]["authorizer"] = verdict.context
        self._run(call, route, event)

    def _run(self, call: _Call, route: HttpRoute, event: dict[str, Any]) -> None:
        done = partial(self._answered, call, route)
        limit = route.timeout * self._time_scale
        self._functions.invoke(route.function, event, done, integration_timeout=limit)

    def _answered(self, call: _Call, route: HttpRoute, outcome: Outcome) -> None:
        if isinstance(outcome, IntegrationTimeout):
            response = json_response(503, {"message": "Service Unavailable"})
        else:
            response = http_response(outcome)
        self._finish(call, response, route.key)

    def _finish(self, call: _Call, response: Response, route_key: str = "") -> None:
        self.running -= 1
        request = call.exchange.request
        headers = response.headers
        if self._api.cors is not None:
            headers = _with_cors(headers, self._api.cors, request)
        headers = (*headers, ("Apigw-Requestid", call.request_id))
        call.exchange.respond(Response(response.status, headers, response.body))
        if self._log_events:
            took = (time.monotonic() - call.began) * 1000
            fields = {"route": route_key or "-", "request": call.request_id, "path": request.path}
            log.info("%s %d in %.1f ms", request.method, response.status, took, extra={"fields": fields})


@dataclass(frozen=True, slots=True)
class _Call:
    """One request on its way through."""

    exchange: Exchange
    request_id: str
    now: float  #: epoch seconds
    began: float  #: monotonic seconds


def http_response(outcome: Outcome) -> Response:
    """A function's answer as an HTTP response. Anything without a `statusCode` is a JSON body with status 200."""
    if not isinstance(outcome, Returned):
        return json_response(500, {"message": "Internal Server Error"})
    payload = outcome.payload
    if not isinstance(payload, dict) or "statusCode" not in payload:
        return Response(200, (("Content-Type", "application/json"),), msgspec.json.encode(payload))
    return _formatted(payload) or json_response(500, {"message": "Internal Server Error"})


def _formatted(payload: Mapping[str, Any]) -> Response | None:
    status, body = payload["statusCode"], payload.get("body")
    if isinstance(status, str) and status.isdigit():
        status = int(status)
    headers, cookies = payload.get("headers") or {}, payload.get("cookies") or []
    if not isinstance(status, int) or isinstance(status, bool) or not 100 <= status <= 599:
        return None
    if not isinstance(headers, dict) or not isinstance(cookies, list) or payload.keys() - _KNOWN:
        return None
    if any(isinstance(value, dict | list) for value in headers.values()):
        return None
    content = _body(body, encoded=payload.get("isBase64Encoded") is True)
    if content is None:
        return None
    pairs = [(str(k), _plain(v)) for k, v in headers.items() if v is not None and str(k).lower() not in _FRAMING]
    if content and not any(name.lower() == "content-type" for name, _ in pairs):
        pairs.append(("Content-Type", "text/plain;charset=utf-8"))
    pairs += [("Set-Cookie", str(cookie)) for cookie in cookies]
    return Response(status, tuple(pairs), content)


def _body(body: Any, *, encoded: bool) -> bytes | None:
    if body is None:
        return b""
    if not isinstance(body, str):
        return msgspec.json.encode(body) if isinstance(body, dict | list | int | float | bool) else None
    if not encoded:
        return body.encode("utf-8", "replace")
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        return None


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _is_preflight(request: Request) -> bool:
    asks = request.header("access-control-request-method") is not None
    return request.method == "OPTIONS" and request.header("origin") is not None and asks


def _with_cors(headers: tuple[tuple[str, str], ...], cors: Cors, request: Request) -> tuple[tuple[str, str], ...]:
    """The gateway's CORS headers in place of the function's."""
    kept = tuple((name, value) for name, value in headers if not name.lower().startswith("access-control-"))
    origin = request.header("origin")
    allowed = origin is not None and any(_origin_matches(each, origin) for each in cors.allow_origins)
    if origin is None or not allowed:
        return kept
    any_origin = "*" in cors.allow_origins and not cors.allow_credentials
    added = [("Access-Control-Allow-Origin", "*" if any_origin else origin)]
    if cors.allow_credentials:
        added.append(("Access-Control-Allow-Credentials", "true"))
    if cors.expose_headers:
        added.append(("Access-Control-Expose-Headers", ",".join(cors.expose_headers)))
    if _is_preflight(request):
        if cors.allow_methods:
            added.append(("Access-Control-Allow-Methods", ",".join(cors.allow_methods)))
        if cors.allow_headers:
            added.append(("Access-Control-Allow-Headers", ",".join(cors.allow_headers)))
        if cors.max_age is not None:
            added.append(("Access-Control-Max-Age", str(cors.max_age)))
    return (*kept, *added)


def _origin_matches(pattern: str, origin: str) -> bool:
    if pattern in ("*", origin):
        return True
    head, star, tail = pattern.partition("*")
    return bool(star) and origin.startswith(head) and origin.endswith(tail) and len(origin) >= len(head) + len(tail)
