"""The part of Lambda's own API that functions call each other with: what boto3's `lambda` client does at `invoke`.

Sources: AWS Lambda API reference, "Invoke"; what is asynchronous is tried once here, where AWS tries three times.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import unquote

import msgspec

from roost.gateway.connections import Credentials, check_signature
from roost.gateway.definition import Service
from roost.gateway.functions import Failed, Functions, IntegrationTimeout, Outcome, Returned
from roost.gateway.http import Exchange, Response, json_response

_PATH = re.compile(r"^/2015-03-31/functions/(?P<function>[^/]+)/invocations/?$")
_LONGEST = 900.0  # seconds; the function's own limit ends it before that


class LambdaApi:
    """Answers `Invoke` for the functions of one service."""

    def __init__(self, service: Service, functions: Functions, credentials: Credentials | None = None) -> None:
        self._by_name = {function.name: key for key, function in service.functions.items()}
        self._functions = functions
        self._credentials = credentials

    @staticmethod
    def claims(path: str) -> bool:
        """Whether this request path is Lambda's."""
        return _PATH.match(path) is not None

    def request(self, exchange: Exchange) -> None:
        """Answer one request."""
        request = exchange.request
        refusal = self._refusal(exchange)
        if refusal is not None:
            exchange.respond(refusal)
            return
        match = _PATH.match(request.path)
        assert match is not None
        name = unquote(match["function"])
        key = self._by_name.get(_name(name))
        if key is None:
            exchange.respond(_error(404, "ResourceNotFoundException", f"Function not found: {name}"))
            return
        try:
            event: Any = msgspec.json.decode(request.body) if request.body else {}
        except msgspec.DecodeError as error:
            message = f"Could not parse request body into json: {error}"
            exchange.respond(_error(400, "InvalidRequestContentException", message))
            return
        self._invoke(exchange, key, event)

    def _refusal(self, exchange: Exchange) -> Response | None:
        """A page in somebody's browser must not call functions; with credentials, only who has them may."""
        request = exchange.request
        if request.method != "POST":
            return json_response(405, {"message": "Method Not Allowed"}, {"Allow": "POST"})
        if any(request.header(name) for name in ("origin", "sec-fetch-mode", "referer")):
            return _error(403, "AccessDeniedException", "not for browsers")
        if self._credentials is not None:
            wrong = check_signature(request, self._credentials, datetime.fromtimestamp(time.time(), UTC), "lambda")
            return _error(403, "AccessDeniedException", wrong) if wrong is not None else None
        return None

    def _invoke(self, exchange: Exchange, key: str, event: Any) -> None:
        kind = exchange.request.header("x-amz-invocation-type") or "RequestResponse"
        if kind == "DryRun":
            exchange.respond(Response(204))
        elif kind == "Event":
            exchange.respond(Response(202))
            self._functions.invoke(key, event, _nothing, integration_timeout=_LONGEST)
        else:
            self._functions.invoke(key, event, partial(_answer, exchange), integration_timeout=_LONGEST)


def _name(text: str) -> str:
    """The function's name in a name, a partial or a whole ARN, with or without a qualifier."""
    parts = text.split(":")
    if "function" in parts[:-1]:
        return parts[parts.index("function") + 1]
    return parts[0]


def _answer(exchange: Exchange, outcome: Outcome) -> None:
    executed = (("Content-Type", "application/json"), ("X-Amz-Executed-Version", "$LATEST"))
    if isinstance(outcome, Returned):
        exchange.respond(Response(200, executed, msgspec.json.encode(outcome.payload)))
        return
    failed = _told(outcome) if isinstance(outcome, Failed) else {"errorMessage": "Task timed out"}
    exchange.respond(Response(200, (*executed, ("X-Amz-Function-Error", "Unhandled")), msgspec.json.encode(failed)))


def _told(failed: Failed) -> Mapping[str, str]:
    return {"errorMessage": failed.message, "errorType": failed.type}


def _nothing(outcome: Failed | Returned | IntegrationTimeout) -> None:
    """Nobody waits; a failure has been logged."""


def _error(status: int, kind: str, message: str) -> Response:
    return json_response(status, {"Type": "User", "Message": message}, {"x-amzn-ErrorType": kind})
