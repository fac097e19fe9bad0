"""The @connections management API: what boto3's `apigatewaymanagementapi` client calls.

`POST`, `GET` and `DELETE` on `/{stage}/@connections/{id}`, or at the root. Errors carry `x-amzn-ErrorType`, without
which boto3 raises a plain `ClientError` where code expects `GoneException`.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import quote, unquote

from roost.gateway.events import DELETED, Request, query_pairs
from roost.gateway.http import Response, json_response
from roost.gateway.sockets import MESSAGE_BYTES, Refusal, Sockets

_PATH = re.compile(r"^(?:/(?P<stage>[^/]+))?/(?:@|%40)connections/(?P<id>[^/]+)/?$", re.IGNORECASE)
_ID = re.compile(r"^[A-Za-z0-9_-]{15}=$")
_CLOCK_SKEW = timedelta(minutes=5)  # what AWS allows a signature to be off


@dataclass(frozen=True, slots=True)
class Credentials:
    """The key that requests must be signed with."""

    access_key: str
    secret_key: str


class ConnectionsApi:
    """Answers management requests for the open sockets of one stage."""

    def __init__(self, sockets: Sockets, stage: str, credentials: Credentials | None = None) -> None:
        self._sockets = sockets
        self._stage = stage
        self._credentials = credentials

    @staticmethod
    def claims(path: str) -> bool:
        """Whether this request path is the management API's."""
        return _PATH.match(path) is not None

    def answer(self, request: Request, wall_clock: float) -> Response:
        """Do what the request asks. `wall_clock` is the time now, seconds since the epoch."""
        match = _PATH.match(request.path)
        assert match is not None
        stage, connection_id = match["stage"], unquote(match["id"])
        if stage is not None and unquote(stage) != self._stage:
            return _error(403, "ForbiddenException", "Forbidden")
        if self._credentials is not None:
            refusal = check_signature(request, self._credentials, datetime.fromtimestamp(wall_clock, UTC))
            if refusal is not None:
                return _error(403, "ForbiddenException", refusal)
        if not _ID.match(connection_id):
            return _error(400, "BadRequestException", f"Invalid connectionId: {connection_id}")
        if request.method == "POST":
            return self._post(connection_id, request.body)
        if request.method == "GET":
            return self._get(connection_id, wall_clock)
        if request.method == "DELETE":
            return self._delete(connection_id)
        return json_response(405, {"message": "Method Not Allowed"}, {"Allow": "GET, POST, DELETE"})

    def _post(self, connection_id: str, data: bytes) -> Response:
        if len(data) > MESSAGE_BYTES:
            return _error(413, "PayloadTooLargeException", "Message too long")
        try:
            data.decode()
        except UnicodeDecodeError:
            return _error(400, "BadRequestException", "The data is not UTF-8 text")
        refusal = self._sockets.post((connection_id,), data).get(connection_id)
        if refusal is Refusal.GONE:
            return _gone()
        if refusal is Refusal.BUSY:
            return _error(429, "LimitExceededException", "The client's buffer is full")
        return Response(200)

    def _get(self, connection_id: str, wall_clock: float) -> Response:
        connection = self._sockets.open.get(connection_id)
        if connection is None:
            return _gone()
        idle = self._sockets.loop.time() - connection.active
        identity = connection.context["identity"]
        return json_response(
            200,
            {
                "connectedAt": _timestamp(connection.context["connectedAt"] / 1000),
                "lastActiveAt": _timestamp(wall_clock - idle),
                "identity": {"sourceIp": identity["sourceIp"], "userAgent": identity.get("userAgent", "")},
            },
        )

    def _delete(self, connection_id: str) -> Response:
        connection = self._sockets.open.get(connection_id)
        if connection is None:
            return _gone()
        connection.close(*DELETED)
        return Response(204)


def _gone() -> Response:
    return Response(410, (("x-amzn-ErrorType", "GoneException"),))


def _error(status: int, kind: str, message: str) -> Response:
    return json_response(status, {"message": message}, {"x-amzn-ErrorType": kind})


def _timestamp(epoch: float) -> str:
    return datetime.fromtimestamp(epoch, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


# -- signatures -----------------------------------------------------------------------------------------------------

_AUTHORIZATION = re.compile(
    r"^AWS4-HMAC-SHA256 Credential=(?P<key>[^/]+)/(?P<date>\d{8})/(?P<region>[^/]+)/(?P<service>[\w-]+)/aws4_request, ?"
    r"SignedHeaders=(?P<signed>[^,]+), ?Signature=(?P<signature>[0-9a-f]{64})$"
)


def check_signature(
    request: Request, credentials: Credentials, now: datetime, service: str = "execute-api"
) -> str | None:
    """What is wrong with a request's Signature Version 4, or None.

    Source: AWS General Reference, "Signature Version 4 signing process"; the canonical path is the sent path, encoded
    once more.
    """
    match = _AUTHORIZATION.match(request.header("authorization") or "")
    if match is None or match["service"] != service:
        return "Missing Authentication Token"
    if match["key"] != credentials.access_key:
        return "The security token included in the request is invalid."
    stamp = request.header("x-amz-date") or ""
    try:
        signed_at = datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return "Missing Authentication Token"
    if abs(now - signed_at) > _CLOCK_SKEW:
        return "Signature expired"
    scope = f"{match['date']}/{match['region']}/{service}/aws4_request"
    digest = hashlib.sha256(_canonical_request(request, match["signed"].split(";")).encode()).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}"
    key = _signing_key(credentials.secret_key, match["date"], match["region"], service)
    expected = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected, match["signature"]):
        return "The request signature we calculated does not match the signature you provided."
    return None


def _canonical_request(request: Request, signed: list[str]) -> str:
    values: Mapping[str, str] = {name: " ".join((request.header(name) or "").split()) for name in signed}
    headers = "".join(f"{name}:{value}\n" for name, value in values.items())
    query = "&".join(sorted(f"{quote(k, safe='-_.~')}={quote(v, safe='-_.~')}" for k, v in query_pairs(request.query)))
    body = request.header("x-amz-content-sha256") or hashlib.sha256(request.body).hexdigest()
    return "\n".join((request.method, quote(request.path, safe="/-_.~"), query, headers, ";".join(signed), body))


def _signing_key(secret: str, date: str, region: str, service: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key
