"""The HTTP API: payload format 2.0, or 1.0 for routes that ask for it, to the functions, their answers to the client.

Source: API Gateway developer guide, "Working with AWS Lambda proxy integrations for HTTP APIs".
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

import msgspec

from roost.gateway import events, payload_1_0
from roost.gateway.authorizers import Allowed, Refused, http_verdict
from roost.gateway.definition import Authorizer, Cors, HttpApi, HttpRoute
from roost.gateway.events import Request, plain
from roost.gateway.front import Around, Call, Front
from roost.gateway.functions import IntegrationTimeout, Outcome, Returned
from roost.gateway.http import Response, json_response
from roost.gateway.issuers import Claims

_KNOWN = frozenset({"statusCode", "body", "headers", "cookies", "isBase64Encoded", "multiValueHeaders"})
_TEXT = "text/plain;charset=utf-8"


class HttpServer(Front):
    """Plays one HTTP API with one stage."""

    def __init__(self, api: HttpApi, around: Around) -> None:
        super().__init__(around, api.routes, api.stage, api.stage_variables)
        self._api = api

    @property
    def api_id(self) -> str:
        """The API's id."""
        return self._api.id

    def preflight(self, request: Request, path: str) -> Response | None:
        """By the API's CORS settings, whatever routes there are."""
        return Response(204) if self._api.cors is not None and is_preflight(request) else None

    def no_route(self) -> Response:
        """404."""
        return json_response(404, {"message": "Not Found"})

    def event(self, call: Call, route: HttpRoute, path: str, parameters: Mapping[str, str]) -> dict[str, Any]:
        """Payload 2.0 or 1.0."""
        return (
            self._event_1_0(call, route, parameters) if route.payload == "1.0" else self._event(call, route, parameters)
        )

    def _event(self, call: Call, route: HttpRoute, parameters: Mapping[str, str]) -> dict[str, Any]:
        request = call.exchange.request
        return events.http_event(
            request,
            route_key=route.key,
            path=events.decode_path(request.path),
            path_parameters=parameters,
            api_id=self._api.id,
            stage=self._api.stage,
            stage_variables=self._api.stage_variables,
            account_id=self.around.service.account,
            domain_name=self.around.domain_name(request),
            request_id=call.request_id,
            now=call.now,
        )

    def _event_1_0(self, call: Call, route: HttpRoute, parameters: Mapping[str, str]) -> dict[str, Any]:
        request = call.exchange.request
        whole = events.decode_path(request.path)
        place = payload_1_0.Place(
            resource=route.path,
            path=whole,
            full_path=whole,
            parameters=parameters,
            api_id=self._api.id,
            stage=self._api.stage,
            stage_variables=self._api.stage_variables,
            account_id=self.around.service.account,
            domain_name=self.around.domain_name(request),
        )
        event = {"version": "1.0", **payload_1_0.proxy_event(request, place, call.request_id, call.now)}
        event["requestContext"] |= {"resourceId": None, "requestId": call.request_id}
        event["requestContext"]["authorizer"] = {"claims": None, "scopes": None}
        return event | events.http_body(request)

    def question(self, call: Call, route: HttpRoute, event: dict[str, Any], arn: str, sources: list[str]) -> Any:
        """Of the authorizer's own payload format, whatever the route's."""
        assert isinstance(route.authorizer, Authorizer)
        parameters = event.get("pathParameters") or {}
        if route.authorizer.payload == "1.0":
            joined = ",".join(sources)
            asked = payload_1_0.authorizer_event(self._event_1_0(call, route, parameters), arn, sources)
            return {"version": "1.0", **asked, "identitySource": joined, "authorizationToken": joined}
        asked = {"version": "2.0", "type": "REQUEST", "routeArn": arn, "identitySource": sources}
        told = self._event(call, route, parameters)
        return asked | {key: value for key, value in told.items() if key not in ("version", "body", "isBase64Encoded")}

    def verdict(self, outcome: Outcome, authorizer: Authorizer, arn: str, began: float) -> Allowed | Refused:
        """A simple answer or a policy."""
        return http_verdict(outcome, authorizer, arn)

    def claims(self, route: HttpRoute, claims: Claims) -> dict[str, Any]:
        """Under `jwt`, or flat in payload 1.0."""
        told = {"claims": dict(claims.claims), "scopes": list(claims.scopes) if claims.scopes else None}
        return told if route.payload == "1.0" else {"jwt": told}

    def refusal(self, status: int) -> Response:
        """A word each."""
        words = {401: "Unauthorized", 403: "Forbidden"}.get(status, "Internal Server Error")
        return json_response(status, {"message": words}, {"WWW-Authenticate": "Bearer"} if status == 401 else None)

    def answer(self, route: HttpRoute, request: Request, outcome: Outcome) -> Response:
        """503 after the time limit, 500 for what failed or is malformed."""
        if isinstance(outcome, IntegrationTimeout):
            return json_response(503, {"message": "Service Unavailable"})
        if route.payload != "1.0":
            return http_response(outcome)
        payload = outcome.payload if isinstance(outcome, Returned) else None
        response = payload_1_0.proxy_response(payload, binary=True, default_type=_TEXT)
        return response or json_response(500, {"message": "Internal Server Error"})

    def headers(self, call: Call, response: Response) -> tuple[tuple[str, str], ...]:
        """With CORS, and the request's id."""
        headers = response.headers
        if self._api.cors is not None:
            headers = with_cors(headers, self._api.cors, call.exchange.request)
        return (*headers, ("Apigw-Requestid", call.request_id))


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
    pairs = [(str(k), plain(v)) for k, v in headers.items() if v is not None and str(k).lower() not in events.FRAMING]
    if content and not any(name.lower() == "content-type" for name, _ in pairs):
        pairs.append(("Content-Type", _TEXT))
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


def is_preflight(request: Request) -> bool:
    """Whether a browser asks what it may ask."""
    asks = request.header("access-control-request-method") is not None
    return request.method == "OPTIONS" and request.header("origin") is not None and asks


def with_cors(headers: tuple[tuple[str, str], ...], cors: Cors, request: Request) -> tuple[tuple[str, str], ...]:
    """The gateway's CORS headers in place of the function's."""
    kept = tuple((name, value) for name, value in headers if not name.lower().startswith("access-control-"))
    origin = request.header("origin")
    allowed = origin is not None and any(origin_matches(each, origin) for each in cors.allow_origins)
    if origin is None or not allowed:
        return kept
    any_origin = "*" in cors.allow_origins and not cors.allow_credentials
    added = [("Access-Control-Allow-Origin", "*" if any_origin else origin)]
    if cors.allow_credentials:
        added.append(("Access-Control-Allow-Credentials", "true"))
    if cors.expose_headers:
        added.append(("Access-Control-Expose-Headers", ",".join(cors.expose_headers)))
    if is_preflight(request):
        if cors.allow_methods:
            added.append(("Access-Control-Allow-Methods", ",".join(cors.allow_methods)))
        if cors.allow_headers:
            added.append(("Access-Control-Allow-Headers", ",".join(cors.allow_headers)))
        if cors.max_age is not None:
            added.append(("Access-Control-Max-Age", str(cors.max_age)))
    return (*kept, *added)


def origin_matches(pattern: str, origin: str) -> bool:
    """Whether an origin is allowed; a pattern may hold one `*`."""
    if pattern in ("*", origin):
        return True
    head, star, tail = pattern.partition("*")
    return bool(star) and origin.startswith(head) and origin.endswith(tail) and len(origin) >= len(head) + len(tail)
