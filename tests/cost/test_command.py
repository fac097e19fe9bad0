"""`roost cost`, beside a server that runs, after it was killed, and for a team that does not exist yet."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import connect

from roost import cli
from roost.cost import report
from roost.cost.estimate import Assumptions
from tests.tools import ROOST, ROOT, roost_serve, start_serve


def run(*arguments: str | Path) -> str:
    """What the command prints."""
    command = [str(ROOST), "cost", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


def metered(data: Path) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(run("--data", data, "--json"))
    return answer


def messages(answer: dict[str, Any]) -> int:
    return sum(each["events"] for each in answer["actions"] if each["action"] == "message")


def talk(url: str, lines: int) -> None:
    """Two people; one says so many lines to the other, and one in another channel."""
    with connect(url) as ana, connect(url) as ben:
        ben.send("/who")
        ben.recv(20)
        for number in range(lines):
            ana.send(f"line {number}")
            ben.recv(20)
        ana.send("/channel random")
        ana.recv(20)
        ana.send("alone here")
        ana.send("/history")
        ana.recv(20)


def test_use_is_shown_while_the_server_runs_and_after_kills_and_stops(tmp_path: Path) -> None:
    assert run("--data", tmp_path).startswith("Nothing was metered in 20")
    server = start_serve(tmp_path)
    try:
        with connect(server.url):  # and who stays
            talk(server.url, 20)
            deadline = time.monotonic() + 30
            while messages(metered(tmp_path)) < 21 and time.monotonic() < deadline:
                time.sleep(0.5)
        assert messages(metered(tmp_path)) == 21
    finally:
        server.kill()
    assert messages(metered(tmp_path)) == 21
    with roost_serve(tmp_path) as again:
        talk(again.url, 5)
        assert again.stop() == 0
        assert again.stderr() == ""
    answer = metered(tmp_path)
    assert messages(answer) == 21 + 6
    channels = {each["name"]: each for each in answer["channels"]}
    assert channels["general"]["changes"] == 25
    assert channels["random"]["changes"] == 3  # it was made, and two lines
    actions = {each["action"]: each for each in answer["actions"]}
    assert actions["message"]["write_units"] == 27 * 8
    assert actions["message"]["pushes"] == 20 * 2 + 5
    assert actions["connect"]["events"] == 5
    assert answer["quantities"]["ws_minutes"] > 0
    assert answer["quantities"]["table_gb_months"] > 0
    assert 0 < answer["after_first_year_free"] <= answer["after_always_free"] <= answer["total"] < 0.01
    text = run("--data", tmp_path)
    assert "#general" in text
    assert "list prices of 2026-10" in text


def test_an_estimate_needs_no_data() -> None:
    text = run("--people", "50", "--messages", "32")
    assert "35,200 messages a month, each to 20 others" in text
    assert "$2.32" in text
    answer = json.loads(run("--people", "500", "--json"))
    assert answer["total"] == pytest.approx(34.9, rel=0.03)
    assert answer["assumptions"]["receivers"] == pytest.approx(45)
    assert json.loads(run("--receivers", "40", "--json"))["assumptions"]["people"] == 50


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--month", "soon"), "is not YYYY-MM"),
        (("--people", "0"), "--people"),
        (("--ping-minutes", "0"), "--ping-minutes"),
        (("--messages", "-1"), "--messages"),
    ],
)
def test_what_makes_no_sense_is_said(arguments: tuple[str, ...], said: str) -> None:
    command = [str(ROOST), "cost", *arguments]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert answer.returncode == 2
    assert said in answer.stderr


def test_every_assumption_is_an_option_and_on_the_page_with_its_default() -> None:
    page = (ROOT / "docs" / "cost.md").read_text()
    fields = Assumptions.__dataclass_fields__
    assert cli._ASSUMPTIONS.keys() == fields.keys()
    for name, field in fields.items():
        default = "by size" if field.default is None else f"{field.default:g}"
        assert f"| `--{name.replace('_', '-')}` | {default} |" in page, name


def test_the_pages_table_is_the_estimate() -> None:
    page = (ROOT / "docs" / "cost.md").read_text()
    for people in (10, 50, 500):
        answer = report.estimated(Assumptions(people=people))
        row = (
            f"| {people} people | {people * 32 * 22:,} | ${answer['total']:.2f} | ${answer['after_always_free']:.2f} |"
        )
        assert row in page, row
