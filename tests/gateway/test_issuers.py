"""Tokens of an issuer: a real one that signs with RSA, served over HTTP, and everything that is wrong with tokens."""

from __future__ import annotations

import base64
import http.server
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from roost.gateway import server
from roost.gateway.definition import HttpRoute, JwtAuthorizer
from tests.gateway.harness import Running, running
from tests.gateway.test_http_api import ask, with_routes


def text(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


class Issuer:
    """Signs tokens, and says over HTTP with which key."""

    def __init__(self) -> None:
        self.key = rsa.generate_private_key(65537, 2048)
        self.kid = "one"
        self.asked = 0
        self.down = False
        issuer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.asked += 1
                self.send_response(500 if issuer.down else 200)
                self.end_headers()
                if self.path == "/.well-known/openid-configuration":
                    self.wfile.write(json.dumps({"jwks_uri": f"{issuer.url}/keys"}).encode())
                else:
                    self.wfile.write(json.dumps({"keys": [issuer.public()]}).encode())

            def log_message(self, *args: Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def public(self) -> dict[str, str]:
        numbers = self.key.public_key().public_numbers()
        n, e = (text(x.to_bytes((x.bit_length() + 7) // 8, "big")) for x in (numbers.n, numbers.e))
        return {"kty": "RSA", "kid": self.kid, "use": "sig", "n": n, "e": e}

    def token(self, *, head: dict[str, Any] | None = None, **claims: Any) -> str:
        header = {"alg": "RS256", "kid": self.kid, "typ": "JWT"} | (head or {})
        whole = {"iss": self.url, "sub": "u-17", "aud": "app", "exp": int(time.time()) + 60, "iat": time.time() - 1}
        whole |= claims
        parts = [
            text(json.dumps(part).encode()) for part in (header, {k: v for k, v in whole.items() if v is not None})
        ]
        signed = ".".join(parts)
        return f"{signed}.{text(self.key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    made = Issuer()
    yield made
    made.close()


def guarded(issuer: Issuer, *scopes: str, payload: str = "2.0", skip: bool = False) -> Any:
    authorizer = JwtAuthorizer("users", issuer.url, ("app",), scopes=scopes)
    route = HttpRoute("GET", "/a", "echo", authorizer, payload)
    settings = server.Settings(log_events=False, skip_authorizers=skip)

    def echo(event: dict[str, Any]) -> Any:
        return {"statusCode": 200, "body": json.dumps(event["requestContext"].get("authorizer"))}

    return running(with_routes(route), {"echo": echo}, settings)


def get(gateway: Running, token: str | None) -> tuple[int, Any]:
    head = "GET /a HTTP/1.1" + (f"\nAuthorization: {token}" if token is not None else "")
    status, _, body = ask(gateway, head)
    return status, json.loads(body)


def test_a_token_that_holds_reaches_the_function_as_claims_of_text(issuer: Issuer) -> None:
    said: dict[str, Any] = {"cognito:groups": ["a", "b"], "admin": True, "scope": "read write"}
    token = issuer.token(**said)
    with guarded(issuer, "read", "other") as gateway:
        for shown in (f"Bearer {token}", token):
            status, told = get(gateway, shown)
            assert status == 200
            assert told["jwt"]["scopes"] == ["read"]
            claims = told["jwt"]["claims"]
            assert (claims["sub"], claims["admin"], claims["cognito:groups"]) == ("u-17", "true", "[a b]")
            assert claims["exp"].isdigit()
    assert issuer.asked == 2  # its configuration and its keys, once


def test_in_payload_1_0_claims_stand_flat(issuer: Issuer) -> None:
    with guarded(issuer, payload="1.0") as gateway:
        status, told = get(gateway, issuer.token())
    assert (status, told["claims"]["sub"], told["scopes"]) == (200, "u-17", None)


@pytest.mark.parametrize(
    ("claims", "head", "status"),
    [
        ({"exp": 1}, {}, 401),
        ({"exp": None}, {}, 401),
        ({"exp": "soon"}, {}, 401),
        ({"nbf": time.time() + 600}, {}, 401),
        ({"iat": time.time() + 600}, {}, 401),
        ({"iss": "https://evil.example"}, {}, 401),
        ({"aud": "other"}, {}, 401),
        ({"aud": None}, {}, 401),
        ({"aud": None, "client_id": "app"}, {}, 403),  # nothing wrong but the scope
        ({"aud": ["other", "app"]}, {}, 403),
        ({}, {"alg": "none"}, 401),
        ({}, {"alg": "HS256"}, 401),
        ({}, {"kid": "unknown"}, 401),
        ({"scope": "write"}, {}, 403),
        ({"scp": ["read"]}, {}, 200),
    ],
)
def test_a_token_with_anything_wrong_is_refused(
    issuer: Issuer, claims: dict[str, Any], head: dict[str, Any], status: int
) -> None:
    with guarded(issuer, "read") as gateway:
        assert get(gateway, issuer.token(head=head, **claims))[0] == status


@pytest.mark.parametrize("token", [None, "", "x", "a.b.c", "..", "Bearer ", "e30.e30.", "\xff.\xff.\xff"])
def test_what_is_no_token_is_refused(issuer: Issuer, token: str | None) -> None:
    with guarded(issuer) as gateway:
        status, body = get(gateway, token)
        assert (status, body) == (401, {"message": "Unauthorized"})
        assert gateway.functions.events == []


def test_a_token_whose_text_was_changed_is_refused(issuer: Issuer) -> None:
    head, _, signature = issuer.token().split(".")
    forged = text(json.dumps({"iss": issuer.url, "aud": "app", "exp": 9e9, "sub": "boss"}).encode())
    with guarded(issuer) as gateway:
        assert get(gateway, f"{head}.{forged}.{signature}")[0] == 401


def test_where_the_issuer_does_not_answer_nobody_gets_in(issuer: Issuer) -> None:
    issuer.down = True
    with guarded(issuer) as gateway:
        assert get(gateway, issuer.token())[0] == 401
        assert get(gateway, issuer.token())[0] == 401
    assert issuer.asked == 1  # not once per request


def test_a_new_key_is_asked_for(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("roost.gateway.issuers._AGAIN_SECONDS", 0.0)
    with guarded(issuer) as gateway:
        assert get(gateway, issuer.token())[0] == 200
        issuer.key, issuer.kid = rsa.generate_private_key(65537, 2048), "two"
        assert get(gateway, issuer.token())[0] == 200


def test_when_the_person_says_so_tokens_are_believed(issuer: Issuer) -> None:
    issuer.down = True
    with guarded(issuer, "read", skip=True) as gateway:
        status, told = get(gateway, issuer.token(exp=1))
        assert (status, told["jwt"]["claims"]["sub"]) == (200, "u-17")
        assert get(gateway, None)[0] == 200
    assert issuer.asked == 0
