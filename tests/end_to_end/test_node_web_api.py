"""Slack's own client for Node, unmodified, doing a day's work on `roost serve`; the work is `days_work.mjs`."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from scripts import tools
from tests.end_to_end.test_slack_sdk import open_office

WORK = Path(__file__).with_name("days_work.mjs")


def test_the_node_client_does_a_days_work(tmp_path: Path) -> None:
    office = open_office(tmp_path, serve=("--limits", "on"))
    try:
        command = [str(tools.node()), str(WORK), office.url, office.ana, office.ben]
        env = {"NODE_PACKAGES": str(tools.NODE_PACKAGES), "NO_COLOR": "1"}
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        saw = json.loads(done.stdout)
        assert 1 <= saw["told"] <= 60
        assert "Traceback" not in office.server.stderr()
    finally:
        office.server.kill()
