"""On the laptop what was said is found a moment later, and after a crash as well."""

from __future__ import annotations

import json
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from roost.local import admin
from tests.gateway.harness import eventually
from tests.tools import Server, roost_serve


def call(server: Server, token: str, method: str, **arguments: str) -> dict[str, Any]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{server.port}/api/{method}",
        urllib.parse.urlencode(arguments).encode(),
        {"Authorization": f"Bearer {token}"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def texts(server: Server, token: str, query: str) -> list[str]:
    found = call(server, token, "search.messages", query=query, sort="timestamp")
    return [match["text"] for match in found["messages"]["matches"]]


def test_what_was_said_is_found_a_moment_later_and_after_a_kill(tmp_path: Path) -> None:
    with admin.opened(tmp_path) as chat:
        token = chat.people.create_token(chat.people.add("Ana"), "user")
    with roost_serve(tmp_path) as server:
        assert call(server, token, "chat.postMessage", channel="general", text="the first needle")["ok"]
        eventually(lambda: texts(server, token, "needle") == ["the first needle"])
        assert call(server, token, "chat.postMessage", channel="general", text="the second needle")["ok"]
        server.process.kill()  # before it was indexed
        server.process.wait()
    with roost_serve(tmp_path) as server:
        eventually(lambda: texts(server, token, "needle") == ["the second needle", "the first needle"])
