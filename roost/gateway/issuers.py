"""Tokens of identity providers: JWT authorizers of HTTP APIs, Cognito authorizers of REST APIs.

Keys come from the issuer itself, over its OpenID configuration, and are kept for two hours, as API Gateway keeps them.
Where they cannot be had nobody gets in. Source: API Gateway developer guide, "Control access to HTTP APIs with JWT
authorizers": RSA signatures only; `iss`, `aud` or `client_id`, `exp`, `nbf`, `iat`, and one of a route's scopes.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from roost.gateway.definition import JwtAuthorizer

log = logging.getLogger("roost.gateway")

_KEEP_SECONDS = 7200.0
_AGAIN_SECONDS = 10.0  # between two questions to one issuer, whatever tokens come in
_TIMEOUT = 3.0
_MAX_BYTES = 1024 * 1024
_HASHES = {"RS256": "SHA256", "RS384": "SHA384", "RS512": "SHA512"}

Keys = Mapping[str, Mapping[str, Any]]  # JSON web keys by their id


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token that holds says, every value as text, as events carry it."""

    claims: Mapping[str, str]
    scopes: tuple[str, ...] | None  #: the route's scopes that it carries; None where the route asks for none


class BadToken(Exception):
    """Whoever shows this may not go on. `status` is 401 or 403."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


Done = Callable[[Claims | BadToken], None]


@dataclass(slots=True)
class _Issuer:
    keys: Keys = field(default_factory=dict)
    asked: float = -_KEEP_SECONDS  #: monotonic seconds
    waiting: list[Callable[[], None]] = field(default_factory=list)
    asking: asyncio.Task[None] | None = None


class Issuers:
    """Checks tokens. Used on the loop's thread; issuers are asked on others."""

    def __init__(self, *, skip: bool = False) -> None:
        self._skip = skip  # believe every token, as the person who runs the app asked for
        self._issuers: dict[str, _Issuer] = {}

    def check(self, authorizer: JwtAuthorizer, token: str, done: Done) -> None:
        """Tell `done` what the token is worth, now or once the issuer has answered."""
        if self._skip:
            done(Claims(_texts(_unverified(token)), None))
            return
        issuer = self._issuers.setdefault(authorizer.issuer, _Issuer())
        age = time.monotonic() - issuer.asked
        known = _part(token, 0).get("kid") in issuer.keys
        if (known and age < _KEEP_SECONDS) or (age < _AGAIN_SECONDS and issuer.asking is None):
            done(_outcome(token, authorizer, issuer.keys))
            return
        issuer.waiting.append(lambda: done(_outcome(token, authorizer, issuer.keys)))
        if issuer.asking is None:
            issuer.asking = asyncio.get_running_loop().create_task(self._ask(authorizer.issuer, issuer))

    async def _ask(self, url: str, issuer: _Issuer) -> None:
        try:
            issuer.keys = await asyncio.to_thread(_fetch_keys, url)
        except (OSError, ValueError, msgspec.MsgspecError) as error:
            log.warning("tokens of %s cannot be checked, nobody gets in: %s", url, error)
        issuer.asked = time.monotonic()
        issuer.asking = None
        waiting, issuer.waiting = issuer.waiting, []
        for check in waiting:
            check()


def _fetch_keys(issuer: str) -> Keys:
    document = _fetch(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
    keys = _fetch(str(document["jwks_uri"])).get("keys") if "jwks_uri" in document else None
    if not isinstance(keys, list):
        raise ValueError("it names no keys")  # noqa: TRY004  what it sent is wrong, not what we passed
    return {str(key.get("kid")): key for key in keys if isinstance(key, dict) and key.get("kty") == "RSA"}


def _fetch(url: str) -> dict[str, Any]:
    if not url.startswith(("https://", "http://")):
        raise ValueError(f"{url} is no web address")
    with urllib.request.urlopen(url, timeout=_TIMEOUT) as answer:  # noqa: S310  checked above
        return msgspec.json.decode(answer.read(_MAX_BYTES), type=dict[str, Any])


# -- one token --------------------------------------------------------------------------------------------------------


def _outcome(token: str, authorizer: JwtAuthorizer, keys: Keys) -> Claims | BadToken:
    try:
        return verify(token, authorizer, keys, time.time())
    except BadToken as bad:
        return bad


def verify(token: str, authorizer: JwtAuthorizer, keys: Keys, now: float) -> Claims:
    """What a token says, if it holds at this time. Raises `BadToken`."""
    header, claims = _part(token, 0), _part(token, 1)
    key = keys.get(str(header.get("kid")))
    if key is None or header.get("alg") not in _HASHES or not _signed(token, key, str(header["alg"])):
        raise BadToken(401, "the signature is not the issuer's")
    if str(claims.get("iss")).rstrip("/") != authorizer.issuer.rstrip("/"):
        raise BadToken(401, "another issuer")
    named = claims.get("aud") or claims.get("client_id")
    if authorizer.audience and not set(authorizer.audience) & set(named if isinstance(named, list) else [named]):
        raise BadToken(401, "for another audience")
    if not _is_time(claims.get("exp"), default=0) > now:
        raise BadToken(401, "expired")
    if max(_is_time(claims.get("nbf"), default=0), _is_time(claims.get("iat"), default=0)) > now:
        raise BadToken(401, "not valid yet")
    carried = str(claims.get("scope") or " ".join(map(str, claims.get("scp") or ()))).split()
    scopes = tuple(scope for scope in authorizer.scopes if scope in carried)
    if authorizer.scopes and not scopes:
        raise BadToken(403, "without a scope of this route")
    return Claims(_texts(claims), scopes or None)


def _is_time(value: object, *, default: float) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else default


def _signed(token: str, key: Mapping[str, Any], algorithm: str) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding, rsa

    signed, _, signature = token.rpartition(".")
    try:
        numbers = rsa.RSAPublicNumbers(_number(key["e"]), _number(key["n"]))
        digest = getattr(hashes, _HASHES[algorithm])()
        numbers.public_key().verify(_decode(signature), signed.encode(), padding.PKCS1v15(), digest)
    except (InvalidSignature, ValueError, KeyError, TypeError):
        return False
    return True


def _number(text: str) -> int:
    return int.from_bytes(_decode(text), "big")


def _decode(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def _part(token: str, index: int) -> dict[str, Any]:
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        return msgspec.json.decode(_decode(parts[index]), type=dict[str, Any])
    except (ValueError, msgspec.MsgspecError):
        return {}


def _unverified(token: str) -> dict[str, Any]:
    return _part(token, 1)


def _texts(claims: Mapping[str, Any]) -> dict[str, str]:
    """Every claim as text: `[a b]` for a list, `true` for a boolean."""
    return {name: _text(value) for name, value in claims.items()}


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return f"[{' '.join(map(_text, value))}]"
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
