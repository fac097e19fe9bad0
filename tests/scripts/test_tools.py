"""What tests need is installed once, anew when its lock changes, and never left half done."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from scripts import tools

LOCKS = [tools.MINISTACK_LOCK, tools.SAM_LOCK, tools.CHECKOV_LOCK, tools.RUNTIME_LOCK, tools.JAVA_LOCK]
LOCKS += [folder / "package-lock.json" for folder in (tools.NODE_PACKAGES, tools.OSLS)]


class Installs:
    """A tool whose installing is counted."""

    def __init__(self, folder: Path) -> None:
        self.lock = folder / "tool.lock"
        self.lock.write_text("1.0")
        self.product = folder / "tool"
        self.count = 0
        self.fails = False

    def install(self) -> None:
        self.count += 1
        self.product.write_text("half")
        if self.fails:
            sys.exit("no network")
        self.product.write_text("whole")


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installs:
    made = Installs(tmp_path)
    monkeypatch.setattr(tools, "TOOLS", tmp_path / "tools")
    monkeypatch.setitem(tools.ALL, "tool", tools.Tool(made.lock.read_bytes, made.product, made.install))
    return made


def test_a_tool_is_installed_once(tool: Installs) -> None:
    tools.main(["tool"])
    tools.main(["tool", "tool"])
    assert tool.count == 1


def test_a_tool_is_installed_anew_when_its_lock_has_changed_or_it_was_removed(tool: Installs) -> None:
    tools.main(["tool"])
    tool.lock.write_text("2.0")
    tools.main(["tool"])
    assert tool.count == 2
    tool.product.unlink()
    tools.main(["tool"])
    assert tool.count == 3


def test_what_failed_half_way_is_done_anew_also_when_the_old_lock_is_back(tool: Installs) -> None:
    tools.main(["tool"])
    tool.lock.write_text("2.0")
    tool.fails = True
    with pytest.raises(SystemExit, match="no network"):
        tools.main(["tool"])
    tool.lock.write_text("1.0")
    tool.fails = False
    tools.main(["tool"])
    assert (tool.count, tool.product.read_text()) == (3, "whole")


def test_what_a_person_did_wrong_or_what_failed_is_one_line(tmp_path: Path) -> None:
    command = [sys.executable, str(tools.ROOT / "scripts" / "tools.py"), "node", "jvm"]
    answer = subprocess.run(command, capture_output=True, text=True)
    assert (answer.returncode, answer.stderr) == (
        1,
        "no such tool: jvm; there are node, ministack, sam, checkov, runtime, osls, dynamodb-local\n",
    )
    with pytest.raises(SystemExit, match="it ended with status 3"):
        tools._run([sys.executable, "-c", "raise SystemExit(3)"])


def test_an_archive_that_is_not_the_one_we_know_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.tgz").write_bytes(b"something else")
    with pytest.raises(SystemExit, match="is not what it was"):
        tools._check(tmp_path / "a.tgz")


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: f"{lock.parent.name}/{lock.name}")
def test_locks_pin_every_package_by_hash_and_name_no_host(lock: Path) -> None:
    text = lock.read_text()
    hashes = text.count("--hash=sha256:") or text.count('"integrity": "sha512-')
    packages = sum("==" in line for line in text.splitlines()) or text.count('"node_modules/')
    assert hashes >= packages > 0
    assert '"resolved"' not in text
    assert "--index-url" not in text
