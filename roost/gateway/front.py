"""What HTTP APIs and REST APIs share: a request's way from its route past the authorizer to the function and back."""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from roost.gateway.authorizers import Allowed, Refused, identity_values
from roost.gateway.definition import Authorizer, HttpRoute, JwtAuthorizer, Service, Unplayed
from roost.gateway.events import Request, decode_path
from roost.gateway.functions import Functions, Outcome
from roost.gateway.http import Exchange, Response, json_response
from roost.gateway.ids import Ids
from roost.gateway.issuers import BadToken, Claims, Issuers
from roost.gateway.routing import HttpRoutes

log = logging.getLogger("roost.gateway")

_AUTHORIZER_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Around:
    """What an API stands in."""

    service: Service
    functions: Functions
    domain_name: Callable[[Request], str]
    time_scale: float = 1.0
    log_events: bool = True
    skip_authorizers: bool = False  #: let through whose authorizer cannot be played
    issuers: Issuers = field(default_factory=Issuers)


@dataclass(frozen=True, slots=True)
class Call:
    """One request on its way through."""

    exchange: Exchange
    request_id: str
    now: float  #: epoch seconds
    began: float  #: monotonic seconds


class Front(ABC):
    """Plays one API with one stage."""

    def __init__(
        self, around: Around, routes: Sequence[HttpRoute], stage: str, stage_variables: Mapping[str, str]
    ) -> None:
        self.around = around
        self.routes = HttpRoutes(routes)
        self.stage = stage
        self.stage_variables = stage_variables
        self._ids = Ids()
        self.running = 0  #: requests that are not answered yet
        self.stopping = False  #: nothing new begins

    # -- what the kinds of API differ in ----------------------------------------------------------------------------

    @abstractmethod
    def preflight(self, request: Request, path: str) -> Response | None:
        """The answer to a preflight that no function is asked about."""

    @abstractmethod
    def no_route(self) -> Response:
        """The answer to a request for which there is no route."""

    @abstractmethod
    def event(self, call: Call, route: HttpRoute, path: str, parameters: Mapping[str, str]) -> dict[str, Any]:
        """The event for the function."""

    @abstractmethod
    def question(self, call: Call, route: HttpRoute, event: dict[str, Any], arn: str, sources: list[str]) -> Any:
        """The event for the route's authorizer."""

    @abstractmethod
    def verdict(self, outcome: Outcome, authorizer: Authorizer, arn: str, began: float) -> Allowed | Refused:
        """What the authorizer decided."""

    @abstractmethod
    def claims(self, route: HttpRoute, claims: Claims) -> dict[str, Any]:
        """`requestContext.authorizer` of a request whose token holds."""

    @abstractmethod
    def refusal(self, status: int) -> Response:
        """The answer where an authorizer let nobody through: 401, 403 or 500."""

    @abstractmethod
    def answer(self, route: HttpRoute, request: Request, outcome: Outcome) -> Response:
        """The response for a function's outcome."""

    @abstractmethod
    def headers(self, call: Call, response: Response) -> tuple[tuple[str, str], ...]:
        """The response's headers, with the API's own."""

    @property
    @abstractmethod
    def api_id(self) -> str:
        """The API's id."""

    # -- a request's way --------------------------------------------------------------------------------------------

    def request(self, exchange: Exchange) -> None:
        """Answer one request."""
        self.running += 1
        call = Call(exchange, self._ids.new(), time.time(), time.monotonic())
        if self.stopping:
            self.finish(call, json_response(503, {"message": "Service Unavailable"}))
            return
        request = exchange.request
        path = self.without_stage(request.path)
        match = None if path is None else self.routes.match(request.method, path)
        response = None if path is None else self.preflight(request, path)
        if response is not None:
            self.finish(call, response)
        elif path is None or match is None:
            self.finish(call, self.no_route())
        else:
            route, parameters = match
            self.authorize(call, route, self.event(call, route, path, parameters))

    def without_stage(self, path: str) -> str | None:
        """The path within the stage, or None if it is another's."""
        if self.stage == "$default":
            return path
        prefix = f"/{self.stage}"
        if path == prefix:
            return "/"
        return path[len(prefix) :] if path.startswith(prefix + "/") else None

    def authorize(self, call: Call, route: HttpRoute, event: dict[str, Any]) -> None:
        """Go on to the function if the route's authorizer has nothing against it."""
        authorizer = route.authorizer
        if authorizer is None or (isinstance(authorizer, Unplayed) and self.around.skip_authorizers):
            self._run(call, route, event)
        elif isinstance(authorizer, JwtAuthorizer):
            self._check_token(call, route, authorizer, event)
        elif isinstance(authorizer, Authorizer):
            self._ask(call, route, authorizer, event)
        else:
            self.finish(call, self.refusal(401), route.key)

    def _check_token(self, call: Call, route: HttpRoute, authorizer: JwtAuthorizer, event: dict[str, Any]) -> None:
        sources = identity_values((authorizer.identity_source,), call.exchange.request, self.stage_variables)
        token = sources[0] if sources else ""
        if not token and not self.around.skip_authorizers:
            self.finish(call, self.refusal(401), route.key)
            return
        scheme, _, rest = token.partition(" ")
        token = rest.strip() if scheme.lower() == "bearer" else token
        self.around.issuers.check(authorizer, token, partial(self._checked, call, route, event))

    def _checked(self, call: Call, route: HttpRoute, event: dict[str, Any], outcome: Claims | BadToken) -> None:
        if isinstance(outcome, BadToken):
            if self.around.log_events:
                log.info("token refused: %s", outcome, extra={"fields": {"route": route.key}})
            self.finish(call, self.refusal(outcome.status), route.key)
            return
        event["requestContext"]["authorizer"] = self.claims(route, outcome)
        self._run(call, route, event)

    def _ask(self, call: Call, route: HttpRoute, authorizer: Authorizer, event: dict[str, Any]) -> None:
        request, service = call.exchange.request, self.around.service
        sources = identity_values(authorizer.identity_sources, request, self.stage_variables)
        if sources is None:
            self.finish(call, self.refusal(401), route.key)
            return
        path = self.without_stage(request.path) or "/"
        arn = f"arn:aws:execute-api:{service.region}:{service.account}:{self.api_id}/{self.stage}/{request.method}"
        arn += decode_path(path)
        asked = self.question(call, route, event, arn, sources)
        done = partial(self._asked, call, route, event, arn)
        limit = _AUTHORIZER_SECONDS * self.around.time_scale
        self.around.functions.invoke(authorizer.function, asked, done, integration_timeout=limit)

    def _asked(self, call: Call, route: HttpRoute, event: dict[str, Any], arn: str, outcome: Outcome) -> None:
        assert isinstance(route.authorizer, Authorizer)
        verdict = self.verdict(outcome, route.authorizer, arn, call.began)
        if isinstance(verdict, Refused):
            self.finish(call, self.refusal(verdict.status), route.key)
            return
        event["requestContext"]["authorizer"] = verdict.context
        self._run(call, route, event)

    def _run(self, call: Call, route: HttpRoute, event: dict[str, Any]) -> None:
        done = partial(self._answered, call, route)
        limit = route.timeout * self.around.time_scale
        self.around.functions.invoke(route.function, event, done, integration_timeout=limit)

    def _answered(self, call: Call, route: HttpRoute, outcome: Outcome) -> None:
        self.finish(call, self.answer(route, call.exchange.request, outcome), route.key)

    def finish(self, call: Call, response: Response, route_key: str = "") -> None:
        """Answer the request."""
        self.running -= 1
        request = call.exchange.request
        call.exchange.respond(Response(response.status, self.headers(call, response), response.body))
        if self.around.log_events:
            took = (time.monotonic() - call.began) * 1000
            fields = {"route": route_key or "-", "request": call.request_id, "path": request.path}
            log.info("%s %d in %.1f ms", request.method, response.status, took, extra={"fields": fields})
