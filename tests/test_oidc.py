"""ID tokens that do not hold: each of their faults keeps somebody out."""

from __future__ import annotations

from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet, OctKey, RSAKey

from roost.oidc import SignIn, SignInFailed
from roost.settings import Oidc, Settings
from roost.testing import Room

KEY = RSAKey.generate_key(2048, {"kid": "one"}, private=True)
OTHER = RSAKey.generate_key(2048, {"kid": "one"}, private=True)
KEYS: dict[str, Any] = {"keys": [KEY.as_dict(private=False)]}


@pytest.fixture
def sign_in() -> SignIn:
    room = Room()
    return SignIn(room.app.chat, Settings(), Oidc("https://id.example.com", "roost", "secret"))


def claims(**changes: object) -> dict[str, Any]:
    now = 1_800_000_000
    held = {"iss": "https://id.example.com", "aud": "roost", "sub": "1", "nonce": "n", "iat": now, "exp": now + 60}
    return {name: value for name, value in {**held, **changes}.items() if value is not None}


def signed(given: dict[str, Any], key: RSAKey = KEY, kid: str = "one") -> str:
    return jwt.encode({"alg": "RS256", "kid": kid}, given, key)


def test_a_token_that_holds_is_taken(sign_in: SignIn) -> None:
    assert sign_in._decoded(signed(claims()), "n", KEYS)["sub"] == "1"
    assert sign_in._decoded(signed(claims(aud=["roost", "x"], azp="roost")), "n", KEYS)["sub"] == "1"


@pytest.mark.parametrize(
    "change",
    [
        {"iss": "https://id.example.com/"},
        {"iss": None},
        {"aud": "another"},
        {"aud": None},
        {"aud": ["roost", "x"], "azp": "x"},
        {"nonce": "another"},
        {"nonce": None},
        {"exp": 1_800_000_000 - 61},
        {"exp": None},
        {"exp": "never"},
        {"iat": 1_800_000_000 + 3600},
        {"sub": None},
    ],
)
def test_a_token_that_says_something_else_is_not(sign_in: SignIn, change: dict[str, Any]) -> None:
    with pytest.raises(SignInFailed):
        sign_in._decoded(signed(claims(**change)), "n", KEYS)


def test_a_token_that_somebody_else_signed_is_not(sign_in: SignIn) -> None:
    public = KEY.as_pem(private=False)
    forged = [
        signed(claims(), OTHER),
        jwt.encode({"alg": "HS256", "kid": "one"}, claims(), OctKey.import_key(b"k" * 64)),
        signed(claims())[:-4] + "AAAA",
        "eyJhbGciOiJub25lIn0." + signed(claims()).split(".")[1] + ".",
        "",
        "a.b.c",
        public.decode(),
    ]
    for token in forged:
        with pytest.raises((SignInFailed, LookupError)):
            sign_in._decoded(token, "n", KEYS)
    with pytest.raises(LookupError):  # so that the keys are fetched anew
        sign_in._decoded(signed(claims(), kid="two"), "n", {"keys": [*KEYS["keys"], *KeySet([]).as_dict()["keys"]]})


@pytest.mark.parametrize("url", ["http://id.example.com/", "file:///etc/passwd", "ftp://x/", "https:///", ""])
def test_a_provider_is_asked_over_tls_alone(sign_in: SignIn, url: str) -> None:
    with pytest.raises(SignInFailed):
        sign_in._ask(url)
