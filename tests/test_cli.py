"""The command line: what it prints, how it stops, and one clear line for everything that goes wrong."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from roost import __version__
from tests.tools import ROOST, ROOT, Program, roost_gateway, roost_serve, start_serve


def run(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ROOST, *map(str, arguments)], capture_output=True, text=True, timeout=30, cwd=cwd, check=False
    )


def one_line(*arguments: str | Path) -> str:
    """What a command that fails says: one line, and nothing else."""
    answer = run(*arguments)
    assert answer.returncode == 1
    assert "Traceback" not in answer.stderr
    assert len(answer.stderr.strip().splitlines()) == 1
    return answer.stderr.strip()


def test_serve_prints_what_to_open(tmp_path: Path) -> None:
    with roost_serve(tmp_path) as server:
        server.wait_for("data ")
        printed = server.stdout()
    assert "Roost is running. Ctrl-C stops it." in printed
    assert f"npx wscat -c ws://127.0.0.1:{server.port}" in printed
    assert f"http://127.0.0.1:{server.port}/" in printed
    assert str(tmp_path / "roost.db") in printed


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_is_clean_and_loses_nothing(tmp_path: Path, number: signal.Signals) -> None:
    server = start_serve(tmp_path)
    with connect(server.url) as ana, connect(server.url) as ben:
        for n in range(50):
            ana.send(f"line {n}")
        for n in range(50):
            assert ben.recv(10) == f"#general anonymous: line {n}"
        assert server.stop(number) == 0
        with pytest.raises(ConnectionClosed):
            ben.recv(10)
        assert ben.close_code == 1001
    assert server.stderr() == ""
    with roost_serve(tmp_path) as again, connect(again.url) as reader:
        reader.send("/history 50")
        assert len(str(reader.recv(10)).splitlines()) == 50
        reader.send("/who")
        assert reader.recv(10) == "In #general: anonymous (guest)"  # who was there before the stop is not


def test_after_a_crash_nobody_is_thought_to_be_there_still(tmp_path: Path) -> None:
    server = start_serve(tmp_path)
    with connect(server.url) as ana, connect(server.url):
        ana.send("/channel random")
        ana.recv(10)
        server.kill()
    with roost_serve(tmp_path) as again, connect(again.url) as reader:
        for channel in ("general", "random"):
            reader.send(f"/channel {channel}")
            reader.recv(10)
            reader.send("/who")
            assert reader.recv(10) == f"In #{channel}: anonymous (guest)"


def test_a_second_server_on_the_same_data_says_so_and_stops(tmp_path: Path) -> None:
    with roost_serve(tmp_path):
        said = one_line("serve", "--port", "0", "--data", tmp_path)
    assert said == f"roost: another Roost has the data in {tmp_path}; stop it, or name other data"


def test_a_port_in_use_is_said(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert f"port {port} on 127.0.0.1 is in use" in one_line("serve", "--port", port, "--data", tmp_path)
        file = ROOT / "examples" / "rooms" / "serverless.yml"
        assert f"port {port} on 127.0.0.1 is in use" in one_line("gateway", file, "--port", port, "--data", tmp_path)


def test_data_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    (tmp_path / "roost.db").write_text("not a database " * 100)
    assert "is not a database" in one_line("serve", "--port", "0", "--data", tmp_path)


@pytest.mark.parametrize(
    ("file", "content", "said"),
    [
        ("nope.yml", None, "nope.yml: there is no such file"),
        ("a.yml", "a: [", "a.yml:1: not valid YAML"),
        (
            "b.yml",
            "service: x\nprovider: {name: aws}\nfunctions: {f: {handler: gone.f}}\n",
            "handler gone.f: no such file",
        ),
        (
            "c.yml",
            "service: x\nprovider: {name: aws}\nfunctions: {f: {handler: m.f, timeout: -1}}\n",
            "c.yml:3: timeout",
        ),
    ],
)
def test_a_definition_that_cannot_be_used_is_said(tmp_path: Path, file: str, content: str | None, said: str) -> None:
    if content is not None:
        (tmp_path / file).write_text(content)
    assert said in one_line("gateway", tmp_path / file, "--port", "0", "--data", tmp_path)


def test_members_and_tokens_are_made_while_the_server_is_stopped(tmp_path: Path) -> None:
    assert run("user", "add", "Ana", "--data", tmp_path).stdout == "Ana is a member\n"
    assert one_line("user", "add", "ana", "--data", tmp_path) == "roost: That name belongs to a member. Choose another."
    assert [each["name"] for each in json.loads(run("user", "list", "--json", "--data", tmp_path).stdout)] == ["Ana"]
    token = json.loads(run("token", "create", "ana", "--json", "--data", tmp_path).stdout)["token"]
    assert re.fullmatch(r"xoxp-roost-[0-9a-f]{64}", token)
    assert one_line("token", "create", "nobody", "--data", tmp_path) == "roost: There is no such person."
    with roost_serve(tmp_path) as server, connect(server.url) as ana:
        assert "another Roost has the data" in one_line("user", "list", "--data", tmp_path)
        ana.send(f"/login {token}")
        assert ana.recv(10) == "Logged in as Ana"


def test_guests_are_off_where_others_can_reach_the_server(tmp_path: Path) -> None:
    server = Program([ROOST, "serve", "--host", "0.0.0.0", "--port", "0", "--data", tmp_path])
    try:
        server.wait_for("Guests are off, since other machines can reach this server")
    finally:
        server.kill()


def test_a_usual_limit_on_open_files_does_not_limit_the_chat(tmp_path: Path) -> None:
    command = f"ulimit -S -n 64; exec {ROOST} serve --port 0 --data {tmp_path}"
    server = Program(["sh", "-c", command])
    try:
        url = server.wait_for(r"ws://[\d.:]+")[0]
        with contextlib.ExitStack() as stack:
            people = [stack.enter_context(connect(url)) for _ in range(120)]
            people[0].send("hello everybody")
            assert {person.recv(10) for person in people[1:]} == {"#general anonymous: hello everybody"}
    finally:
        server.kill()


def test_nobody_can_push_through_the_chats_server(tmp_path: Path) -> None:
    with roost_serve(tmp_path) as server:
        for path in ("/roost/@connections/AAAAAAAAAAAAAAA=", "/@connections/AAAAAAAAAAAAAAA="):
            request = urllib.request.Request(f"http://127.0.0.1:{server.port}{path}", b"x", method="POST")
            with pytest.raises(urllib.error.HTTPError, match="404"):
                urllib.request.urlopen(request, timeout=5)


def test_log_lines_are_json_when_asked(tmp_path: Path) -> None:
    with roost_serve(tmp_path, "--verbose", "--json-logs") as server:
        with connect(server.url) as client:
            client.send("private words")
            client.send("/help")
            client.recv(10)
        server.stop()
    entries = [json.loads(line) for line in server.stderr().splitlines()]
    assert {entry["message"].split()[0] for entry in entries} >= {"connected", "200", "disconnected"}
    assert all({"time", "level", "logger", "connection", "route"} <= entry.keys() for entry in entries)
    assert "private words" not in server.stderr()  # no content in logs


def test_the_gateway_says_a_line_per_event_that_a_person_can_read(tmp_path: Path) -> None:
    file = ROOT / "examples" / "rooms" / "serverless.yml"
    with roost_gateway(file, tmp_path) as server:
        with connect(f"{server.url}?token=open-sesame") as client:
            client.send('{"action":"whoami"}')
            client.recv(10)
        server.stop()
    lines = server.stderr().splitlines()
    assert any(re.match(r"\d\d:\d\d:\d\d connected  connection=\S+ route=\$connect", line) for line in lines)
    assert any(re.match(r"\d\d:\d\d:\d\d 200 in [\d.]+ ms  connection=\S+ route=whoami", line) for line in lines)
    assert any("disconnected 1000" in line for line in lines)


def test_the_version_and_the_help_are_there() -> None:
    assert run("--version").stdout == f"roost, version {__version__}\n"
    for command in ((), ("serve",), ("gateway",), ("user", "add"), ("token", "create")):
        assert "Usage: roost" in run(*command, "--help").stdout


# -- people -----------------------------------------------------------------------------------------------------------


def test_people_are_administered_from_the_command_line(tmp_path: Path) -> None:
    def asks(*arguments: str) -> Any:
        answer = run(*arguments, "--json", "--data", tmp_path)
        assert answer.returncode == 0, answer.stderr
        return json.loads(answer.stdout)

    assert asks("user", "setup-link", "--url", "https://chat.example.com")["url"].startswith(
        "https://chat.example.com/setup#"
    )
    ana = asks("user", "add", "ana", "--email", "Ana@Example.com", "--role", "owner")
    assert ana["role"] == "owner"
    asks("user", "add", "ben")
    assert asks("user", "role", "ben", "admin")["role"] == "admin"
    assert asks("user", "deactivate", "ben")["deleted"]
    assert {each["name"]: (each["role"], each["email"], each["deleted"]) for each in asks("user", "list")} == {
        "ana": ("owner", "ana@example.com", False),
        "ben": ("admin", "", True),
    }
    assert not asks("user", "reactivate", "ben")["deleted"]
    asks("token", "create", "ben", "--label", "build", "--scopes", "chat:write, channels:read")
    (token,) = asks("token", "list", "ben")
    assert (token["label"], token["scopes"]) == ("build", ["chat:write", "channels:read"])
    assert asks("token", "revoke", "ben", token["id"])["revoked"]
    assert asks("token", "list", "ben") == []
    assert "/password#" in asks("user", "password-link", "ana")["url"]


def test_what_cannot_be_done_to_people_is_one_line(tmp_path: Path) -> None:
    place = ("--data", tmp_path)
    run("user", "add", "ana", "--role", "owner", *place)
    assert "has an owner" in one_line("user", "setup-link", *place)
    assert "own the workspace" in one_line("user", "deactivate", "ana", *place)
    assert "own the workspace" in one_line("user", "role", "ana", "member", *place)
    assert "no such person" in one_line("user", "deactivate", "ben", *place)
    assert "no such token" in one_line("token", "revoke", "ana", "KX", *place)
    assert "e-mail" in one_line("user", "add", "ben", "--email", "x", *place)
