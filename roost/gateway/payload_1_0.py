"""Payload format 1.0: events and answers as REST APIs have them, and HTTP APIs that ask for them.

Here, unlike in all other events, what is empty is null. Sources: API Gateway developer guide, "Set up Lambda proxy
integrations in API Gateway" (REST), "Working with AWS Lambda proxy integrations for HTTP APIs" (format 1.0), "Input to
an API Gateway Lambda authorizer".
"""

from __future__ import annotations

import base64
import binascii
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from roost.gateway import events
from roost.gateway.events import Request
from roost.gateway.http import Response

_KNOWN = frozenset({"statusCode", "body", "headers", "multiValueHeaders", "isBase64Encoded"})
_NOBODY = (
    *("cognitoIdentityPoolId", "accountId", "cognitoIdentityId", "caller", "principalOrgId", "accessKey"),
    *("cognitoAuthenticationType", "cognitoAuthenticationProvider", "userArn", "user"),
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a request has arrived."""

    resource: str  #: the route's path: `/rooms/{id}`
    path: str  #: the request's, without the stage, decoded
    full_path: str  #: the same as the client sent it, with the stage
    parameters: Mapping[str, str]
    api_id: str
    stage: str
    stage_variables: Mapping[str, str]
    account_id: str
    domain_name: str


def proxy_event(request: Request, place: Place, request_id: str, now: float) -> dict[str, Any]:
    """The event of a REST API, without its body."""
    headers = list(events.forwarded(request))
    pairs = events.query_pairs(request.query)
    return {
        "resource": place.resource,
        "path": place.path,
        "httpMethod": request.method,
        "headers": dict(headers),
        "multiValueHeaders": events.gather(headers),
        "queryStringParameters": dict(pairs) or None,
        "multiValueQueryStringParameters": events.gather(pairs) or None,
        "pathParameters": dict(place.parameters) or None,
        "stageVariables": dict(place.stage_variables) or None,
        "requestContext": _context(request, place, request_id, now),
        "body": None,
        "isBase64Encoded": False,
    }


def _context(request: Request, place: Place, request_id: str, now: float) -> dict[str, Any]:
    return {
        "resourceId": uuid.uuid5(uuid.NAMESPACE_URL, place.resource).hex[:6],
        "resourcePath": place.resource,
        "httpMethod": request.method,
        "extendedRequestId": request_id,
        "requestTime": events.request_time(now),
        "path": place.full_path,
        "accountId": place.account_id,
        "protocol": f"HTTP/{request.version}",
        "stage": place.stage,
        "domainPrefix": place.domain_name.partition(".")[0],
        "requestTimeEpoch": int(now * 1000),
        "requestId": str(uuid.uuid4()),
        "identity": {
            **dict.fromkeys(_NOBODY),
            "sourceIp": request.source_ip,
            "userAgent": request.header("user-agent"),
        },
        "domainName": place.domain_name,
        "apiId": place.api_id,
    }


def with_body(event: Mapping[str, Any], request: Request, *, binary: bool) -> dict[str, Any]:
    """The event with its body: as base64 where the API takes its media type for binary, else as text."""
    if not request.body:
        return dict(event)
    if binary:
        return {**event, "body": base64.b64encode(request.body).decode(), "isBase64Encoded": True}
    return {**event, "body": request.body.decode("utf-8", "replace")}


def authorizer_event(
    event: Mapping[str, Any], method_arn: str, sources: list[str], *, token: bool = False
) -> dict[str, Any]:
    """What an authorizer gets: only its token, or the request without a body."""
    if token:
        return {"type": "TOKEN", "methodArn": method_arn, "authorizationToken": sources[0]}
    asked = {key: event[key] or {} for key in event if key not in ("body", "isBase64Encoded", "version")}
    return {**asked, "type": "REQUEST", "methodArn": method_arn}


def proxy_response(payload: object, *, binary: bool, default_type: str) -> Response | None:
    """A function's answer as a response, or None where it is malformed. `binary`: base64 is decoded."""
    if not isinstance(payload, dict) or payload.keys() - _KNOWN:
        return None
    status, body = payload.get("statusCode", 200), payload.get("body")
    status = int(status) if isinstance(status, str) and status.isdigit() else status
    if not isinstance(status, int) or isinstance(status, bool) or not 100 <= status <= 599:
        return None
    pairs = _headers(payload.get("headers") or {}, payload.get("multiValueHeaders") or {})
    if pairs is None or not isinstance(body, str | None):
        return None
    content = (body or "").encode("utf-8", "replace")
    if binary and payload.get("isBase64Encoded") is True:
        try:
            content = base64.b64decode(content, validate=True)
        except (binascii.Error, ValueError):
            return None
    if not any(name.lower() == "content-type" for name, _ in pairs):
        pairs.append(("Content-Type", default_type))
    return Response(status, tuple(pairs), content)


def _headers(single: Any, several: Any) -> list[tuple[str, str]] | None:
    """Both maps in one list; a pair that is in both stands once."""
    if not isinstance(single, dict) or not isinstance(several, dict):
        return None
    pairs: list[tuple[str, str]] = []
    for name, values in several.items():
        if not isinstance(values, list):
            return None
        pairs += [(str(name), events.plain(value)) for value in values]
    for name, value in single.items():
        if isinstance(value, dict | list):
            return None
        pair = (str(name), events.plain(value))
        if value is not None and pair not in pairs:
            pairs.append(pair)
    return [(name, value) for name, value in pairs if name.lower() not in events.FRAMING]
