"""The Web API's edge: an HTTP event in, Slack's answer out.

The order of what is refused: an unknown method, a token that is none, a kind of token or a scope that will not do, the
rate, and then what the method itself refuses.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

import msgspec

from roost.chat.chat import Chat
from roost.chat.errors import RateLimited, Refused
from roost.chat.limits import RateLimit
from roost.chat.people import Bearer
from roost.settings import Settings
from roost.slack import arguments
from roost.slack.call import Call
from roost.slack.errors import ApiError, TooFast
from roost.slack.methods import METHODS, TIERS, Method
from roost.storage.log import Busy
from roost.storage.table import Conflict, InvalidItem, StoreUnavailable, Throttled

_HEADERS = {"Content-Type": "application/json; charset=utf-8", "Cache-Control": "no-store"}
_encode = msgspec.json.Encoder().encode


class WebApi:
    """Answers `/api/{method}`."""

    def __init__(self, chat: Chat, settings: Settings) -> None:
        self._chat = chat
        self._settings = settings
        self._limits = {tier: RateLimit(calls, 60.0) for tier, calls in TIERS.items()} if settings.limits else {}

    def handle(self, event: Mapping[str, Any], name: str) -> dict[str, Any]:
        """The answer to a call, as a proxy response. Raises nothing but what nobody foresaw."""
        request_id = secrets.token_hex(8)
        headers = {**_HEADERS, "X-Slack-Req-Id": request_id}
        status = 200
        try:
            body = {"ok": True, **self._answer(event, name, headers)}
        except TooFast as refusal:
            status, headers["Retry-After"] = 429, str(refusal.seconds)
            body = {"ok": False, "error": "ratelimited"}
        except (Busy, Throttled, Conflict):
            status, headers["Retry-After"] = 429, "1"
            body = {"ok": False, "error": RateLimited.code}
        except ApiError as refusal:
            body = {"ok": False, "error": refusal.code, **refusal.more}
        except Refused as refusal:
            body = {"ok": False, "error": refusal.code}
        except InvalidItem:  # an id longer than any key, or more of something than an item holds
            body = {"ok": False, "error": "invalid_arguments"}
        except StoreUnavailable:
            body = {"ok": False, "error": "fatal_error", "request_id": request_id}
        return {"statusCode": status, "headers": headers, "body": _encode(body).decode()}

    def _answer(self, event: Mapping[str, Any], name: str, headers: dict[str, str]) -> dict[str, Any]:
        method = METHODS.get(name)
        if method is None:
            raise ApiError("unknown_method")
        values = arguments.read(event)
        bearer = self._bearer(event, values, method)
        if bearer is not None:
            self._admit(method, bearer, headers)
        self._check_rate(method, bearer, event)
        typed = arguments.typed(values, method.arguments, method.missing)
        return method.function(self._call(event, bearer, values), typed)

    def _bearer(self, event: Mapping[str, Any], values: dict[str, Any], method: Method) -> Bearer | None:
        """Whose token the call shows: in its header, or as an argument of a form."""
        given = values.pop("token", "")
        kind, _, shown = arguments.header(event, "authorization").partition(" ")
        token = shown.strip() if kind.lower() == "bearer" else ""
        if not token and isinstance(given, str) and arguments.content_type(event)[0] != "application/json":
            token = given.strip()
        if not token:
            if method.tokens:
                raise ApiError("not_authed")
            return None
        return self._chat.people.bearer(token)

    def _admit(self, method: Method, bearer: Bearer, headers: dict[str, str]) -> None:
        provided = ",".join(bearer.token.scopes)
        headers["X-OAuth-Scopes"] = provided
        headers["X-Accepted-OAuth-Scopes"] = ",".join(method.scopes)
        if method.tokens and bearer.token.kind not in method.tokens:
            raise ApiError("not_allowed_token_type")
        if bearer.token.scopes and method.scopes and not set(method.scopes) & set(bearer.token.scopes):
            raise ApiError("missing_scope", needed=",".join(method.scopes), provided=provided)

    def _check_rate(self, method: Method, bearer: Bearer | None, event: Mapping[str, Any]) -> None:
        limit = self._limits.get(method.tier)
        if limit is None:
            return
        who = bearer.digest if bearer is not None else event["requestContext"]["http"].get("sourceIp", "")
        now = self._chat.core.clock.now_us() / 1_000_000
        if not limit.allows(f"{who} {method.name}", now):
            raise TooFast(limit.wait(f"{who} {method.name}", now))

    def _call(self, event: Mapping[str, Any], bearer: Bearer | None, values: Mapping[str, Any]) -> Call:
        context = event["requestContext"]
        secure = arguments.header(event, "x-forwarded-proto") == "https"
        host = arguments.header(event, "host") or context["domainName"]
        url = self._settings.url or f"{'https' if secure else 'http'}://{host}/"
        socket_url = self._settings.socket_url or f"{'wss' if secure else 'ws'}://{host}/"
        return Call(self._chat, bearer, url, socket_url, context["http"].get("sourceIp", ""), values)
