"""The pages behind links: what they are, and that what they send is what the Web API takes."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import urllib.parse
import urllib.request
from pathlib import Path

import msgspec
import pytest

from roost import pages
from roost.slack.methods import METHODS
from roost.testing import Room, http_event
from tests.tools import roost_serve


@pytest.mark.parametrize("path", pages.PAGES)
def test_a_page_sends_what_its_method_takes(path: str) -> None:
    answer = Room().app.handle(http_event("GET", path))
    assert answer["statusCode"] == 200
    assert answer["headers"]["Content-Type"].startswith("text/html")
    (method,) = re.findall(r'data-method="([\w.]+)"', answer["body"])
    sent = {*re.findall(r'<input name="(\w+)"', answer["body"]), *re.findall(r'body.set\("(\w+)"', answer["body"])}
    known = {field.encode_name: field.required for field in msgspec.structs.fields(METHODS[method].arguments)}
    assert {name for name, required in known.items() if required} <= sent
    assert sent - {"tz"} <= known.keys()


def test_nothing_but_its_own_script_runs_on_a_page() -> None:
    answer = Room().app.handle(http_event("GET", "/setup"))
    (script,) = re.findall(r"<script>(.*?)</script>", answer["body"], re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = answer["headers"]["Content-Security-Policy"]
    assert f"script-src 'sha256-{digest}';" in policy
    assert policy.startswith("default-src 'none';")
    assert Room().app.handle(http_event("POST", "/setup"))["statusCode"] in (404, 405)


def test_the_first_start_prints_the_link_that_makes_the_owner(tmp_path: Path) -> None:
    with roost_serve(tmp_path) as server:
        link = server.wait_for(r"(http://\S+/setup)#(\S{43})")
        with urllib.request.urlopen(link[1], timeout=30) as page:
            assert b"Set up Roost" in page.read()
        form = {"code": link[2], "email": "ana@example.com", "password": "a horse of her own", "name": "ana"}
        url = f"http://127.0.0.1:{server.port}/api/auth.signup"
        with urllib.request.urlopen(url, urllib.parse.urlencode(form).encode(), timeout=30) as answer:
            assert json.load(answer)["user"]["is_owner"]
        with urllib.request.urlopen(url, urllib.parse.urlencode(form).encode(), timeout=30) as answer:
            assert json.load(answer) == {"ok": False, "error": "invalid_code"}
        assert link[2] not in server.stderr()
    with roost_serve(tmp_path) as again:
        again.wait_for("data ")
        assert "/setup#" not in again.stdout()
