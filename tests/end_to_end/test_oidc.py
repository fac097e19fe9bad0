"""Signing in with a real OpenID Connect provider, in a browser's steps, against `roost serve`."""

from __future__ import annotations

import http.cookiejar
import json
import re
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from scripts import tools
from tests.tools import ROOST, Server, free_port, program, roost_serve

PASSWORD = "a horse of her own"


class Browser:
    """Follows redirects by hand, and keeps cookies."""

    def __init__(self) -> None:
        jar = http.cookiejar.CookieJar()
        self._opener = urllib.request.build_opener(_Stay, urllib.request.HTTPCookieProcessor(jar))

    def opens(self, url: str, **form: str) -> tuple[int, str, str]:
        """Status, the address of a redirect, and the page."""
        body = urllib.parse.urlencode(form).encode() if form else None
        try:
            answer = self._opener.open(url, body, timeout=30)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            where = urllib.parse.urljoin(url, answer.headers.get("Location", ""))
            return int(answer.status), where, answer.read().decode()

    def comes_back(self, start: str, login: str) -> str:
        """Sign in at the provider as somebody, and agree; the address at which the browser is sent back."""
        status, url, _ = self.opens(start)
        for _ in range(10):
            if "/oidc/callback" in url:
                return url
            status, next_, page = self.opens(url)
            if status == 200:  # a form of the provider
                (action,) = re.findall(r'action="([^"]+)"', page)
                (prompt,) = re.findall(r'name="prompt" value="(\w+)"', page)
                given = {"login": login, "password": "any"} if prompt == "login" else {}
                status, next_, _ = self.opens(urllib.parse.urljoin(url, action), prompt=prompt, **given)
            url = next_
        raise AssertionError(f"{status} {url}")


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


class Roost:
    """A server that knows the provider."""

    def __init__(self, server: Server) -> None:
        self.url = f"http://127.0.0.1:{server.port}/"
        self.owner = ""

    def calls(self, method: str, token: str = "", **arguments: str) -> dict[str, Any]:
        request = urllib.request.Request(f"{self.url}api/{method}", urllib.parse.urlencode(arguments).encode())
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        with urllib.request.urlopen(request, timeout=30) as answer:
            return dict(json.load(answer))

    def lets_in(self, login: str) -> dict[str, Any]:
        """Sign in by the provider from the first page to the session."""
        browser = Browser()
        status, url, page = browser.opens(browser.comes_back(f"{self.url}oidc/start", login))
        assert status == 302, page
        assert url.startswith(f"{self.url}signin#")
        code = url.partition("#")[2]
        answer = self.calls("auth.exchange", code=code)
        assert answer["ok"], answer
        assert self.calls("auth.exchange", code=code)["error"] == "invalid_code"
        return answer

    def keeps_out(self, login: str) -> str:
        """Sign in by the provider in vain; what the person is told."""
        browser = Browser()
        status, _, page = browser.opens(browser.comes_back(f"{self.url}oidc/start", login))
        assert status == 403
        return page


@pytest.fixture(scope="module")
def roost(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Roost]:
    data, port, provider = tmp_path_factory.mktemp("roost"), free_port(), free_port()
    for arguments in (("user", "add", "ana", "--role", "owner"), ("user", "add", "ben", "--email", "ben@example.com")):
        subprocess.run([ROOST, *arguments, "--data", data], check=True)
    made = subprocess.run([ROOST, "token", "create", "ana", "--data", data], check=True, capture_output=True, text=True)
    script = tools.NODE_PACKAGES / "oidc_provider.mjs"
    redirect = f"http://127.0.0.1:{port}/oidc/callback"
    with pytest.MonkeyPatch.context() as environ:
        environ.setenv("ROOST_OIDC_ISSUER", f"http://127.0.0.1:{provider}")
        environ.setenv("ROOST_OIDC_CLIENT_ID", "roost")
        environ.setenv("ROOST_OIDC_CLIENT_SECRET", "a secret: 100%")
        environ.setenv("ROOST_OIDC_DOMAINS", "example.org Example.NET")
        with program([tools.node(), script, str(provider), redirect]) as running:
            running.wait_for("listening", 60)
            with roost_serve(data, "--port", str(port)) as server:
                reached = Roost(server)
                reached.owner = made.stdout.strip()
                yield reached


def test_people_of_an_allowed_domain_become_members_and_come_back_as_the_same(roost: Roost) -> None:
    first, again = roost.lets_in("dora@example.net"), roost.lets_in("dora@example.net")
    assert (first["user"]["name"], first["user"]["real_name"]) == ("dora", "Somebody New")
    assert first["user"]["profile"]["email"] == "dora@example.net"
    assert again["user"]["id"] == first["user"]["id"]
    assert roost.calls("auth.test", again["token"])["user_id"] == first["user"]["id"]


def test_others_need_an_invite_for_their_address(roost: Roost) -> None:
    assert "Nobody has invited that address" in roost.keeps_out("eve@example.com")
    made = roost.calls("conversations.create", roost.owner, name="guests")["channel"]["id"]
    roost.calls("invites.create", roost.owner, email="eve@example.com", role="restricted", channels=made)
    eve = roost.lets_in("eve@example.com")
    assert eve["user"]["is_restricted"]
    assert [each["name"] for each in roost.calls("users.conversations", eve["token"])["channels"]] == ["guests"]


def test_an_address_that_the_provider_has_not_verified_lets_nobody_in(roost: Roost) -> None:
    assert "verified no e-mail address" in roost.keeps_out("unverified@example.org")


def test_whoever_claimed_an_address_before_its_owner_came_is_out(roost: Roost) -> None:
    ben = next(each for each in roost.calls("users.list", roost.owner)["members"] if each["name"] == "ben")
    code = roost.calls("users.admin.createPasswordLink", roost.owner, user=ben["id"])["code"]
    claimed = roost.calls("auth.resetPassword", code=code, password=PASSWORD)["token"]
    program_ = roost.calls("tokens.create", claimed)["token"]
    assert roost.lets_in("ben@example.com")["user"]["id"] == ben["id"]
    for token in (claimed, program_):
        assert roost.calls("auth.test", token)["error"] == "token_revoked"
    assert roost.calls("auth.signin", email="ben@example.com", password=PASSWORD)["error"] == "invalid_auth"
    session = roost.lets_in("ben@example.com")["token"]
    roost.lets_in("ben@example.com")
    assert roost.calls("auth.test", session)["ok"]  # only the first time


def test_a_deactivated_member_is_kept_out(roost: Roost) -> None:
    flo = roost.lets_in("flo@example.org")["user"]["id"]
    roost.calls("users.admin.setInactive", roost.owner, user=flo)
    assert "deactivated" in roost.keeps_out("flo@example.org")


def test_an_answer_is_taken_in_the_browser_that_asked_alone(roost: Roost) -> None:
    """Or somebody could be signed in as somebody else without knowing."""
    asked, other = Browser(), Browser()
    url = asked.comes_back(f"{roost.url}oidc/start", "dora@example.org")
    other.opens(f"{roost.url}oidc/start")
    for browser in (Browser(), other):
        status, _, page = browser.opens(url)
        assert (status, "another browser" in page) == (403, True)
    status, _, page = asked.opens(re.sub(r"code=[^&]*", "code=guessed", url))
    assert (status, "does not answer" in page) == (403, True)
    assert asked.opens(re.sub(r"code=[^&]*&?", "", url))[0] == 403
    assert asked.opens(url)[0] == 302
    assert asked.opens(url)[0] == 403  # once


def test_without_a_provider_there_is_nothing_to_sign_in_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ROOST_OIDC_ISSUER", raising=False)
    with roost_serve(tmp_path) as server:
        assert Browser().opens(f"http://127.0.0.1:{server.port}/oidc/start")[0] == 404
