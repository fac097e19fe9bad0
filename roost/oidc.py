"""Signing in with an identity provider: OpenID Connect's authorization code flow with PKCE, any issuer by discovery.

Nothing is stored while somebody is at the provider. A cookie holds a random secret; `state`, `nonce` and the PKCE
verifier are hashes of it, so that an answer is taken only in the browser that asked, for what it asked. The ID token is
verified by joserfc against the issuer's keys.

Who comes is a member if the issuer's subject was linked to one before, or if the provider has verified an address that
a member has. Whoever is new needs an address of an allowed domain, or an invite for that very address.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from roost.chat.chat import Chat
from roost.chat.errors import Refused
from roost.settings import Oidc, Settings
from roost.slack.arguments import header

log = logging.getLogger("roost.oidc")

START = "/oidc/start"
CALLBACK = "/oidc/callback"
_COOKIE = "roost-oidc"
_COOKIE_LIFE = 600  # seconds that somebody may take at the provider
_TIMEOUT = 5.0  # seconds that the provider may take for one answer
_MAX_ANSWER = 1_000_000  # bytes
_KEYS_LIFE = 3600  # seconds that its keys and addresses are taken for true
_LEEWAY = 60  # seconds that its clock may be off
_ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"]


class SignInFailed(Exception):
    """The provider, or what it says, does not let anybody in. `why` is a sentence for the person."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


@dataclass(frozen=True, slots=True)
class _Provider:
    """What an issuer says of itself."""

    authorize: str
    token: str
    userinfo: str
    basic: bool  #: the client shows its secret in a header
    keys: Mapping[str, Any]
    until: int


class SignIn:
    """Answers `/oidc/start` and `/oidc/callback`, where a provider is set."""

    def __init__(self, chat: Chat, settings: Settings, oidc: Oidc) -> None:
        self._chat = chat
        self._settings = settings
        self._oidc = oidc
        self._known: _Provider | None = None

    def handle(self, event: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to an HTTP event of one of the two addresses."""
        url = self._url(event)
        try:
            if event["rawPath"] == START:
                return self._start(url)
            return self._callback(event, url)
        except SignInFailed as failure:
            log.warning("somebody could not sign in", extra={"fields": {"why": failure.why}})
            return _page(403, f"Signing in did not work. {failure.why}")
        except Refused as refusal:
            return _page(403, f"Signing in did not work. {refusal.sentence}")

    def _url(self, event: Mapping[str, Any]) -> str:
        secure = header(event, "x-forwarded-proto") == "https"
        host = header(event, "host") or event["requestContext"]["domainName"]
        return self._settings.url or f"{'https' if secure else 'http'}://{host}/"

    def _start(self, url: str) -> dict[str, Any]:
        secret, provider = secrets.token_urlsafe(32), self._provider()
        challenge = hashlib.sha256(_of(secret, "verifier").encode()).digest()
        asked = {
            "response_type": "code",
            "client_id": self._oidc.client_id,
            "redirect_uri": url.rstrip("/") + CALLBACK,
            "scope": "openid email profile",
            "state": _of(secret, "state"),
            "nonce": _of(secret, "nonce"),
            "code_challenge": base64.urlsafe_b64encode(challenge).decode().rstrip("="),
            "code_challenge_method": "S256",
        }
        joint = "&" if urlsplit(provider.authorize).query else "?"
        return _redirect(f"{provider.authorize}{joint}{urlencode(asked)}", _cookie(url, secret, _COOKIE_LIFE))

    def _callback(self, event: Mapping[str, Any], url: str) -> dict[str, Any]:
        given = event.get("queryStringParameters") or {}
        secret = _cookies(event).get(_name(url), "")
        if not secret or not hmac.compare_digest(_of(secret, "state").encode(), str(given.get("state", "")).encode()):
            raise SignInFailed("It was begun in another browser, or long ago. Try again.")
        if not given.get("code"):
            raise SignInFailed("The provider did not agree.")
        claims = self._claims(str(given["code"]), secret, url)
        code = self._chat.accounts.let_in(
            self._oidc.issuer,
            str(claims["sub"]),
            _address(claims),
            str(claims.get("name", ""))[:80],
            self._oidc.domains,
        )
        return _redirect(f"{url}signin#{code}", _cookie(url, "", 0))

    # -- asking the provider ----------------------------------------------------------------------------------------

    def _provider(self, *, anew: bool = False) -> _Provider:
        now = self._chat.core.now
        if self._known is None or anew or self._known.until <= now:
            issuer = self._oidc.issuer
            said = self._ask(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
            if said.get("issuer") != issuer:
                raise SignInFailed("The provider is not the one that was set.")
            methods = said.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
            self._known = _Provider(
                str(said.get("authorization_endpoint", "")),
                str(said.get("token_endpoint", "")),
                str(said.get("userinfo_endpoint", "")),
                "client_secret_basic" in methods,
                self._ask(str(said.get("jwks_uri", ""))),
                now + _KEYS_LIFE,
            )
        return self._known

    def _claims(self, code: str, secret: str, url: str) -> dict[str, Any]:
        """What the provider says of who came, verified."""
        provider, oidc = self._provider(), self._oidc
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": url.rstrip("/") + CALLBACK,
            "code_verifier": _of(secret, "verifier"),
        }
        headers = {}
        if provider.basic and oidc.client_secret:
            pair = f"{quote(oidc.client_id, safe='')}:{quote(oidc.client_secret, safe='')}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        else:
            form |= {"client_id": oidc.client_id, "client_secret": oidc.client_secret}
        tokens = self._ask(provider.token, form, headers)
        claims = self._verified(str(tokens.get("id_token", "")), _of(secret, "nonce"))
        if "email" not in claims and provider.userinfo:
            bearer = {"Authorization": f"Bearer {tokens.get('access_token', '')}"}
            more = self._ask(provider.userinfo, None, bearer)
            if more.get("sub") == claims["sub"]:  # OpenID Connect Core 5.3.2
                claims = {**more, **claims}
        return claims

    def _verified(self, token: str, nonce: str) -> dict[str, Any]:
        try:
            return self._decoded(token, nonce, self._provider().keys)
        except LookupError:  # a key that is new
            try:
                return self._decoded(token, nonce, self._provider(anew=True).keys)
            except LookupError:
                raise SignInFailed("What the provider says is not signed by it.") from None

    def _decoded(self, token: str, nonce: str, keys: Mapping[str, Any]) -> dict[str, Any]:
        """The claims of an ID token. Raises `LookupError` where its key is not among these."""
        from joserfc import jwt  # here, since few functions' lives need it, and it brings cryptography with it
        from joserfc.errors import InvalidKeyIdError, JoseError
        from joserfc.jwk import KeySet

        try:
            found = jwt.decode(token, KeySet.import_key_set(dict(keys)), algorithms=_ALGORITHMS)  # type: ignore[arg-type]
            registry = jwt.JWTClaimsRegistry(
                now=self._chat.core.now,
                leeway=_LEEWAY,
                iss={"essential": True, "value": self._oidc.issuer},
                aud={"essential": True, "value": self._oidc.client_id},
                sub={"essential": True},
                exp={"essential": True},
                iat={"essential": True},
                nonce={"essential": True, "value": nonce},
            )
            registry.validate(found.claims)
        except InvalidKeyIdError:
            raise LookupError from None
        except (JoseError, ValueError, TypeError, KeyError):
            raise SignInFailed("What the provider says does not hold.") from None
        claims: dict[str, Any] = found.claims
        if claims.get("azp", self._oidc.client_id) != self._oidc.client_id:
            raise SignInFailed("What the provider says is for somebody else.")
        return claims

    def _ask(
        self, url: str, form: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """Ask the provider for JSON: no redirects, and neither for long nor for much. Raises `SignInFailed`."""
        parts = urlsplit(url)
        alike = parts.scheme == urlsplit(self._oidc.issuer).scheme == "http"  # a provider on this machine, for tests
        if (parts.scheme != "https" and not alike) or not parts.hostname:
            raise SignInFailed("The provider has no secure address.")
        body = None if form is None else urlencode(form).encode()
        shown = {"Accept": "application/json", **(headers or {})}
        from roost.fetching import fetched

        try:
            answer = self._chat.core.clock.aside(lambda: fetched(url, body, shown, seconds=_TIMEOUT, most=_MAX_ANSWER))
            said = json.loads(answer)
        except (OSError, ValueError, RecursionError):
            raise SignInFailed("The provider does not answer.") from None
        if not isinstance(said, dict):
            raise SignInFailed("The provider does not answer as it should.")
        return said


def _address(claims: Mapping[str, Any]) -> str:
    """The address that the provider has verified."""
    email = claims.get("email")
    if not isinstance(email, str) or claims.get("email_verified") is not True:
        raise SignInFailed("The provider has verified no e-mail address of yours.")
    return email


def _of(secret: str, what: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(f"roost {what} {secret}".encode()).digest()).decode().rstrip("=")


def _name(url: str) -> str:
    return f"__Host-{_COOKIE}" if url.startswith("https://") else _COOKIE


def _cookie(url: str, secret: str, seconds: int) -> str:
    secure = " Secure;" if url.startswith("https://") else ""
    return f"{_name(url)}={secret}; Path=/; Max-Age={seconds}; HttpOnly;{secure} SameSite=Lax"


def _cookies(event: Mapping[str, Any]) -> dict[str, str]:
    pairs = (cookie.partition("=") for cookie in event.get("cookies") or ())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _redirect(url: str, cookie: str) -> dict[str, Any]:
    headers = {"Location": url, "Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
    return {"statusCode": 302, "headers": headers, "cookies": [cookie], "body": ""}


def _page(status: int, text: str) -> dict[str, Any]:
    headers = {"Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff"}
    return {"statusCode": status, "headers": {**headers, "Cache-Control": "no-store"}, "body": f"{text}\n"}
