"""Lambda authorizers: identity sources, and what their answers mean.

Sources: API Gateway developer guide, "Create an API Gateway API with Lambda REQUEST authorization" (WebSocket APIs) and
"Control access to HTTP APIs with AWS Lambda authorizers".
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from roost.gateway.definition import Authorizer
from roost.gateway.events import Request, query_pairs
from roost.gateway.functions import Failed, Outcome, Returned

_MAX_ANSWER = 8 * 1024  # API Gateway: the largest answer of an authorizer, bytes


@dataclass(frozen=True, slots=True)
class Refused:
    """The request may not go on. `status` is 401, 403 or 500."""

    status: int


@dataclass(frozen=True, slots=True)
class Allowed:
    """The request may go on; `context` is what events carry of the authorizer."""

    context: Mapping[str, Any]


def identity_values(sources: Sequence[str], request: Request, variables: Mapping[str, str]) -> list[str] | None:
    """The value of each identity source, or None where one is missing or empty: 401 without asking the function."""
    values = [_identity(source, request, variables) for source in sources]
    return None if any(not value for value in values) else [value for value in values if value]


def _identity(source: str, request: Request, variables: Mapping[str, str]) -> str | None:
    """`route.request.header.X` and `route.request.querystring.X`; `$request.header.X` in an HTTP API, and
    `method.request.header.X` in a REST API."""
    place, _, name = source.removeprefix("route.").removeprefix("method.").lstrip("$").rpartition(".")
    if place == "request.header":
        return request.header(name.lower())
    if place == "request.querystring":
        return dict(query_pairs(request.query)).get(name)
    if place == "stageVariables":
        return variables.get(name)
    return "present"  # context.X: always there


def policy_verdict(outcome: Outcome, method_arn: str, latency_ms: int) -> Allowed | Refused:
    """What an authorizer of `$connect` or of a REST API decided: a policy about `method_arn`, and context whose values
    become text."""
    if isinstance(outcome, Failed) and outcome.message == "Unauthorized":
        return Refused(401)
    if not isinstance(outcome, Returned):
        return Refused(500)
    if len(msgspec.json.encode(outcome.payload)) > _MAX_ANSWER:
        return Refused(500)
    context = _flat_context(outcome.payload)
    allowed = policy_allows(outcome.payload, method_arn)
    if context is None or allowed is None:
        return Refused(500)
    if not allowed:
        return Refused(403)
    principal = {"principalId": str(outcome.payload.get("principalId", ""))}
    return Allowed({**principal, "integrationLatency": latency_ms, **context})


def http_verdict(outcome: Outcome, authorizer: Authorizer, route_arn: str) -> Allowed | Refused:
    """What an authorizer of an HTTP API decided; here context keeps its JSON types."""
    if isinstance(outcome, Failed) and outcome.message == "Unauthorized":
        return Refused(401)
    if not isinstance(outcome, Returned) or not isinstance(outcome.payload, dict):
        return Refused(500)
    answer = outcome.payload
    allowed = answer.get("isAuthorized") if authorizer.simple else policy_allows(answer, route_arn)
    context = answer.get("context") or {}
    if not isinstance(allowed, bool) or not isinstance(context, dict):
        return Refused(500)
    return Allowed({"lambda": context}) if allowed else Refused(403)


def _flat_context(answer: Any) -> dict[str, str] | None:
    """Context entries as text, or None where the answer is invalid: nested values are not allowed."""
    context = answer.get("context") or {} if isinstance(answer, dict) else None
    if not isinstance(context, dict):
        return None
    flat: dict[str, str] = {}
    for name, value in context.items():
        if isinstance(value, bool):
            flat[name] = "true" if value else "false"
        elif isinstance(value, str | int | float):
            flat[name] = str(value)
        elif value is not None:
            return None
    return flat


def policy_allows(answer: Any, arn: str) -> bool | None:
    """Whether the policy allows `execute-api:Invoke` on `arn`; a deny wins. None: not a policy at all."""
    document = answer.get("policyDocument") if isinstance(answer, dict) else None
    statements = document.get("Statement") if isinstance(document, dict) else None
    if isinstance(statements, dict):
        statements = [statements]
    if not isinstance(statements, list) or not all(isinstance(each, dict) for each in statements):
        return None
    effects = {each.get("Effect") for each in statements if _concerns(each, arn)}
    return "Allow" in effects and "Deny" not in effects


def _concerns(statement: Mapping[str, Any], arn: str) -> bool:
    action = any(_matches(each, "execute-api:Invoke", ignore_case=True) for each in _texts(statement.get("Action")))
    return action and any(_matches(each, arn) for each in _texts(statement.get("Resource")))


def _texts(value: Any) -> Sequence[str]:
    if isinstance(value, str):
        return [value]
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


def _matches(pattern: str, text: str, *, ignore_case: bool = False) -> bool:
    """IAM's wildcards: `*` is any run of characters, `?` any one."""
    expression = "".join(".*" if c == "*" else "." if c == "?" else re.escape(c) for c in pattern)
    return re.fullmatch(expression, text, re.IGNORECASE | re.DOTALL if ignore_case else re.DOTALL) is not None
