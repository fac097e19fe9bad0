"""The gateway events that handlers receive, to the letter, and the words that go back.

Shapes are those of real captures: a key that has no value is absent, never null. Sources: API Gateway developer guide,
"Set up a WebSocket API integration request" and "Working with AWS Lambda proxy integrations for HTTP APIs".
"""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote_plus

#: Closes that the gateway itself makes or sees, with the reason that `$disconnect` is told.
NO_STATUS = (1005, "Client-side close frame status not set")
DELETED = (1000, "Connection Closed Normally")
GOING_AWAY = (1001, "Going away")
LOST = (1006, "")

#: Request headers that the `$connect` handler does not see; its authorizer does.
_HOP = frozenset({"connection", "upgrade", "content-length"})

#: What the gateway itself writes; a function's own values for these would break the framing.
FRAMING = frozenset({"content-length", "transfer-encoding", "connection", "date"})

#: What an HTTP API hands over as text; anything else arrives as base64.
_TEXT_TYPES = ("text/", "application/json", "application/xml", "application/javascript")


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request as it came in. Header names keep the client's spelling; values are decoded as Latin-1."""

    method: str
    target: str  #: as sent: path, still percent-encoded, and perhaps `?query`
    version: str  #: "1.1"
    headers: tuple[tuple[str, str], ...]
    body: bytes
    source_ip: str
    scheme: str  #: http or https
    port: int

    @property
    def path(self) -> str:
        """The path as sent, still percent-encoded."""
        return self.target.partition("?")[0]

    @property
    def query(self) -> str:
        """The query string as sent, without its `?`."""
        return self.target.partition("?")[2]

    def header(self, name: str) -> str | None:
        """The last value of a header, by its lower-case name."""
        value = None
        for key, each in self.headers:
            if key.lower() == name:
                value = each
        return value


def canonical(name: str) -> str:
    """A header name with HTTP's usual capitals: `user-agent` becomes `User-Agent`, `sec-websocket-key` likewise."""
    known = {"sec-websocket-key": "Sec-WebSocket-Key", "sec-websocket-version": "Sec-WebSocket-Version"}
    known |= {"sec-websocket-extensions": "Sec-WebSocket-Extensions"}
    known |= {"sec-websocket-protocol": "Sec-WebSocket-Protocol"}
    lower = name.lower()
    return known.get(lower) or "-".join(part.capitalize() for part in lower.split("-"))


def request_time(epoch: float) -> str:
    """Common Log Format in UTC: `05/Aug/2026:09:14:03 +0000`."""
    parts = time.gmtime(epoch)
    month = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")[parts.tm_mon - 1]
    return f"{parts.tm_mday:02}/{month}/{parts.tm_year}:{parts.tm_hour:02}:{parts.tm_min:02}:{parts.tm_sec:02} +0000"


# -- WebSocket API --------------------------------------------------------------------------------------------------


def connection_context(
    request: Request, *, api_id: str, stage: str, domain_name: str, connection_id: str, connected_at: int
) -> dict[str, Any]:
    """The part of `requestContext` that stays the same for all events of one connection."""
    identity = {"sourceIp": request.source_ip}
    agent = request.header("user-agent")
    if agent is not None:
        identity = {"userAgent": agent, "sourceIp": request.source_ip}
    return {
        "messageDirection": "IN",
        "stage": stage,
        "connectedAt": connected_at,
        "identity": identity,
        "domainName": domain_name,
        "apiId": api_id,
        "connectionId": connection_id,
    }


def connect_event(request: Request, context: Mapping[str, Any], call: Mapping[str, Any]) -> dict[str, Any]:
    """CONNECT. `context` is the connection's, `call` what is this request's: `requestId`, `requestTime`, …"""
    headers = [(name, value) for name, value in forwarded(request) if name.lower() not in _HOP]
    event: dict[str, Any] = {
        "headers": dict(headers),
        "multiValueHeaders": gather(headers),
        **_query_maps(request.query),
        "requestContext": {"routeKey": "$connect", "eventType": "CONNECT", **call, **context},
        "isBase64Encoded": False,
    }
    return event


def authorizer_event(
    request: Request, context: Mapping[str, Any], call: Mapping[str, Any], method_arn: str, variables: Mapping[str, str]
) -> dict[str, Any]:
    """What a REQUEST authorizer of `$connect` gets: all headers, and the ARN that its policy must allow."""
    headers = list(forwarded(request))
    if request.header("content-length") is None:
        headers.append(("content-length", "0"))
    query = _query_maps(request.query)
    return {
        "type": "REQUEST",
        "methodArn": method_arn,
        "headers": dict(headers),
        "multiValueHeaders": gather(headers),
        "queryStringParameters": query.get("queryStringParameters", {}),
        "multiValueQueryStringParameters": query.get("multiValueQueryStringParameters", {}),
        "stageVariables": dict(variables),
        "requestContext": {"routeKey": "$connect", "eventType": "CONNECT", **call, **context},
    }


def message_event(route_key: str, body: str, context: Mapping[str, Any], call: Mapping[str, Any]) -> dict[str, Any]:
    """MESSAGE. `call` also holds the `messageId`."""
    return {
        "requestContext": {"routeKey": route_key, "eventType": "MESSAGE", **call, **context},
        "body": body,
        "isBase64Encoded": False,
    }


def disconnect_event(code: int, reason: str, context: Mapping[str, Any], call: Mapping[str, Any]) -> dict[str, Any]:
    """DISCONNECT, with the four stub headers that AWS sends."""
    headers = {"Host": context["domainName"], "x-api-key": "", "X-Forwarded-For": "", "x-restapi": ""}
    return {
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "requestContext": {
            "routeKey": "$disconnect",
            "disconnectStatusCode": code,
            "disconnectReason": reason,
            "eventType": "DISCONNECT",
            **call,
            **context,
        },
        "isBase64Encoded": False,
    }


def server_frame(message: str, connection_id: str, request_id: str) -> str:
    """A text frame that the gateway itself sends, to the byte; note AWS's spacing."""
    return f'{{"message": "{message}", "connectionId":"{connection_id}", "requestId":"{request_id}"}}'


def forwarded(request: Request) -> Iterable[tuple[str, str]]:
    """The client's headers with usual capitals, and what AWS's front adds, in the order of their names."""
    headers = [(canonical(name), value) for name, value in request.headers]
    headers = [(name, value) for name, value in headers if not name.startswith("X-Forwarded-")]
    headers.append(("X-Amzn-Trace-Id", trace_id()))
    headers.append(("X-Forwarded-For", request.source_ip))
    headers.append(("X-Forwarded-Port", str(request.port)))
    headers.append(("X-Forwarded-Proto", request.scheme))
    return sorted(headers, key=lambda header: header[0])


def trace_id() -> str:
    """An X-Ray root: `Root=1-66b0c1d2-0a1b2c3d4e5f60718293a4b5`."""
    return f"Root=1-{int(time.time()):08x}-{secrets.token_hex(12)}"


def gather(headers: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """All values of each name, in order."""
    gathered: dict[str, list[str]] = {}
    for name, value in headers:
        gathered.setdefault(name, []).append(value)
    return gathered


def _query_maps(query: str) -> dict[str, Any]:
    """The two query maps, or nothing at all without a query. The plain map keeps the last of repeated values."""
    pairs = query_pairs(query)
    if not pairs:
        return {}
    return {"queryStringParameters": dict(pairs), "multiValueQueryStringParameters": gather(pairs)}


def query_pairs(query: str) -> list[tuple[str, str]]:
    """The decoded parameters in order; blank values are kept."""
    return parse_qsl(query, keep_blank_values=True, errors="replace")


# -- HTTP API, payload format 2.0 -----------------------------------------------------------------------------------


def http_event(
    request: Request,
    *,
    route_key: str,
    path: str,
    path_parameters: Mapping[str, str],
    api_id: str,
    stage: str,
    stage_variables: Mapping[str, str],
    account_id: str,
    domain_name: str,
    request_id: str,
    now: float,
) -> dict[str, Any]:
    """An HTTP API event. `path` is `rawPath`: with the stage if it has a name, decoded once as AWS does."""
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": route_key,
        "rawPath": path,
        "rawQueryString": request.query,
    }
    headers, cookies = _http_headers(request, domain_name)
    if cookies:
        event["cookies"] = cookies
    event["headers"] = headers
    pairs = query_pairs(request.query)
    if pairs:
        event["queryStringParameters"] = {name: ",".join(values) for name, values in gather(pairs).items()}
    event["requestContext"] = {
        "accountId": account_id,
        "apiId": api_id,
        "domainName": domain_name,
        "domainPrefix": domain_name.partition(".")[0],
        "http": {
            "method": request.method,
            "path": path,
            "protocol": f"HTTP/{request.version}",
            "sourceIp": request.source_ip,
            "userAgent": request.header("user-agent") or "",
        },
        "requestId": request_id,
        "routeKey": route_key,
        "stage": stage,
        "time": request_time(now),
        "timeEpoch": int(now * 1000),
    }
    if path_parameters:
        event["pathParameters"] = dict(path_parameters)
    if stage_variables:
        event["stageVariables"] = dict(stage_variables)
    event.update(http_body(request))
    return event


def _http_headers(request: Request, domain_name: str) -> tuple[dict[str, str], list[str]]:
    """Lower-case names, repeats joined with a comma; cookies apart, one entry each."""
    gathered: dict[str, list[str]] = {}
    cookies: list[str] = []
    for name, value in request.headers:
        lower = name.lower()
        if lower == "cookie":
            cookies += [part.strip() for part in value.split(";") if part.strip()]
        elif not lower.startswith("x-forwarded-") and lower not in ("connection", "transfer-encoding"):
            gathered.setdefault(lower, []).append(value)
    gathered.setdefault("host", [domain_name])
    gathered["x-amzn-trace-id"] = [trace_id()]
    gathered["x-forwarded-for"] = [request.source_ip]
    gathered["x-forwarded-port"] = [str(request.port)]
    gathered["x-forwarded-proto"] = [request.scheme]
    return {name: ",".join(gathered[name]) for name in sorted(gathered)}, cookies


def http_body(request: Request) -> dict[str, Any]:
    """An HTTP API's `body`, absent where there is none, and whether it is base64."""
    if not request.body:
        return {"isBase64Encoded": False}
    content_type = (request.header("content-type") or "").strip().lower()
    if content_type.startswith(_TEXT_TYPES):
        try:
            return {"body": request.body.decode(), "isBase64Encoded": False}
        except UnicodeDecodeError:
            pass  # declared as text but is not: it travels whole, as bytes do
    return {"body": base64.b64encode(request.body).decode(), "isBase64Encoded": True}


def plain(value: object) -> str:
    """A header's value as text: functions also give numbers and booleans."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def decode_path(path: str) -> str:
    """A percent-encoded path as text; bytes that are no UTF-8 become U+FFFD."""
    return unquote_plus(path.replace("+", "%2B"), errors="replace")


def header_pairs(headers: Sequence[tuple[bytes, bytes]]) -> tuple[tuple[str, str], ...]:
    """Raw header lines as text."""
    return tuple((name.decode("latin-1"), value.decode("latin-1").strip()) for name, value in headers)
