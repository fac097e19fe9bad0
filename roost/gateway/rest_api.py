"""The REST API: payload format 1.0 to the functions, their answers to the client, and a REST API's own refusals.

Served at `/{stage}/…` as on AWS, and at the root, as behind a custom domain, where no HTTP API is. Sources: API Gateway
developer guide, "Set up Lambda proxy integrations in API Gateway", "Use API Gateway Lambda authorizers", "Gateway
response types for API Gateway".
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any

from roost.gateway import payload_1_0
from roost.gateway.authorizers import Allowed, Refused, policy_verdict
from roost.gateway.definition import Authorizer, Cors, HttpRoute, RestApi
from roost.gateway.events import Request, decode_path, trace_id
from roost.gateway.front import Around, Call, Front
from roost.gateway.functions import IntegrationTimeout, Outcome, Returned
from roost.gateway.http import Response, json_response
from roost.gateway.http_api import origin_matches
from roost.gateway.issuers import Claims

_METHODS = ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")


class RestServer(Front):
    """Plays one REST API with one stage."""

    def __init__(self, api: RestApi, around: Around, *, at_root: bool) -> None:
        super().__init__(around, api.routes, api.stage, api.stage_variables)
        self._api = api
        self._at_root = at_root

    @property
    def api_id(self) -> str:
        """The API's id."""
        return self._api.id

    def serves(self, path: str) -> bool:
        """Whether a request path is this API's."""
        return self.without_stage(path) is not None

    def without_stage(self, path: str) -> str | None:
        """The path within the stage; at the root, any path."""
        inner = super().without_stage(path)
        return path if inner is None and self._at_root else inner

    def preflight(self, request: Request, path: str) -> Response | None:
        """Of paths that ask for CORS: what the framework's mock OPTIONS method answers."""
        if request.method != "OPTIONS":
            return None
        own = self.routes.match("OPTIONS", path)
        if own is not None and own[0].method == "OPTIONS":
            return None
        found = [match[0] for method in _METHODS if (match := self.routes.match(method, path)) and match[0].cors]
        if not found or found[0].cors is None:
            return None
        methods = dict.fromkeys(method for route in found for method in _methods(route))
        return Response(200, _preflight_headers(found[0].cors, ("OPTIONS", *methods), request))

    def no_route(self) -> Response:
        """A REST API knows no 404."""
        return _refusal(403, "MissingAuthenticationTokenException", "Missing Authentication Token")

    def event(self, call: Call, route: HttpRoute, path: str, parameters: Mapping[str, str]) -> dict[str, Any]:
        """Payload 1.0."""
        request = call.exchange.request
        place = payload_1_0.Place(
            resource=route.path,
            path=decode_path(path),
            full_path=decode_path(request.path),
            parameters=parameters,
            api_id=self._api.id,
            stage=self._api.stage,
            stage_variables=self._api.stage_variables,
            account_id=self.around.service.account,
            domain_name=self.around.domain_name(request),
        )
        event = payload_1_0.proxy_event(request, place, call.request_id, call.now)
        return payload_1_0.with_body(event, request, binary=self._is_binary(request.header("content-type")))

    def authorize(self, call: Call, route: HttpRoute, event: dict[str, Any]) -> None:
        """An API key is asked for before an authorizer."""
        key = call.exchange.request.header("x-api-key")
        if route.api_key and key not in self._api.api_keys and not self.around.skip_authorizers:
            self.finish(call, self.refusal(403), route.key)
            return
        authorizer = route.authorizer
        if isinstance(authorizer, Authorizer) and authorizer.pattern and not self._token_matches(authorizer, call):
            self.finish(call, self.refusal(401), route.key)
            return
        super().authorize(call, route, event)

    @staticmethod
    def _token_matches(authorizer: Authorizer, call: Call) -> bool:
        name = authorizer.identity_sources[0].rpartition(".")[2].lower()
        try:
            return re.fullmatch(authorizer.pattern, call.exchange.request.header(name) or "") is not None
        except re.error:  # AWS reads Java's expressions: what is none here lets nobody through
            return False

    def question(self, call: Call, route: HttpRoute, event: dict[str, Any], arn: str, sources: list[str]) -> Any:
        """TOKEN or REQUEST."""
        assert isinstance(route.authorizer, Authorizer)
        return payload_1_0.authorizer_event(event, arn, sources, token=route.authorizer.token)

    def verdict(self, outcome: Outcome, authorizer: Authorizer, arn: str, began: float) -> Allowed | Refused:
        """A policy about the method, with a flat context."""
        return policy_verdict(outcome, arn, int((time.monotonic() - began) * 1000))

    def claims(self, route: HttpRoute, claims: Claims) -> dict[str, Any]:
        """As Cognito authorizers tell them."""
        return {"claims": dict(claims.claims)}

    def refusal(self, status: int) -> Response:
        """A gateway response each."""
        if status == 401:
            return _refusal(401, "UnauthorizedException", "Unauthorized")
        if status == 403:
            return _refusal(403, "ForbiddenException", "Forbidden")
        return _refusal(500, "AuthorizerConfigurationException", None)

    def answer(self, route: HttpRoute, request: Request, outcome: Outcome) -> Response:
        """504 after the time limit, 502 for what failed or is malformed."""
        if isinstance(outcome, IntegrationTimeout):
            return _refusal(504, "InternalServerErrorException", "Endpoint request timed out")
        accept = (request.header("accept") or "").partition(",")[0]
        payload = outcome.payload if isinstance(outcome, Returned) else None
        response = payload_1_0.proxy_response(payload, binary=self._is_binary(accept), default_type="application/json")
        return response or _refusal(502, "InternalServerErrorException", "Internal server error")

    def headers(self, call: Call, response: Response) -> tuple[tuple[str, str], ...]:
        """With the request's ids."""
        ids = (("x-amzn-RequestId", call.request_id), ("x-amz-apigw-id", call.request_id))
        return (*response.headers, *ids, ("X-Amzn-Trace-Id", trace_id()))

    def _is_binary(self, media_type: str | None) -> bool:
        """Whether a media type is one of the API's binary ones; `*/*` is all of them."""
        name = (media_type or "").partition(";")[0].strip().lower()
        return any(each in ("*/*", "*~1*") or each.lower() == name for each in self._api.binary_types)


def _methods(route: HttpRoute) -> tuple[str, ...]:
    return _METHODS if route.method == "ANY" else (route.method,)


def _preflight_headers(cors: Cors, methods: tuple[str, ...], request: Request) -> tuple[tuple[str, str], ...]:
    origin = request.header("origin") or ""
    allowed = next((each for each in cors.allow_origins if origin_matches(each, origin)), None)
    shown = "*" if allowed == "*" else origin if allowed else cors.allow_origins[0] if cors.allow_origins else "*"
    headers = [
        ("Access-Control-Allow-Origin", shown),
        ("Access-Control-Allow-Headers", ",".join(cors.allow_headers)),
        ("Access-Control-Allow-Methods", ",".join(cors.allow_methods or methods)),
    ]
    if cors.allow_credentials:
        headers.append(("Access-Control-Allow-Credentials", "true"))
    if cors.expose_headers:
        headers.append(("Access-Control-Expose-Headers", ",".join(cors.expose_headers)))
    if cors.max_age is not None:
        headers.append(("Access-Control-Max-Age", str(cors.max_age)))
    return tuple(headers)


def _refusal(status: int, kind: str, message: str | None) -> Response:
    return json_response(status, {"message": message}, {"x-amzn-ErrorType": kind})
