"""Imports point inward: the core knows no engine, no gateway and no AWS; the gateway knows nothing of chat."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.tools import ROOT

#: What the modules of each part may import of Roost, besides themselves.
ALLOWED = {
    "roost/storage": {"roost.storage"},
    "roost/chat": {"roost.chat", "roost.storage"},
    "roost/gateway": {"roost.gateway"},
    "roost/cost": {"roost.cost", "roost.storage.table"},
    "roost/app.py": {
        "roost.oidc",
        "roost.pages",
        "roost.chat",
        "roost.storage",
        "roost.frames",
        "roost.stream",
        "roost.slack",
        "roost.settings",
    },
    "roost/slack": {"roost.slack", "roost.chat", "roost.storage", "roost.settings"},
    "roost/stream.py": {"roost.slack", "roost.chat", "roost.storage"},
    "roost/frames.py": {"roost.chat", "roost.storage"},
    "roost/oidc.py": {"roost.chat", "roost.fetching", "roost.settings", "roost.slack.arguments"},
    "roost/fetching.py": set(),
    "roost/pages.py": set(),
    "roost/settings.py": set(),
    "roost/aws": {"roost.aws", "roost.app", "roost.chat.ports", "roost.settings"}
    | {"roost.storage.table", "roost.storage.jobs"},
    "roost/local": {"roost.local", "roost.app", "roost.chat", "roost.gateway", "roost.settings", "roost.storage"}
    | {"roost.cost", "roost.frames"}  # the meter
    | {"roost.aws.dynamodb", "roost.aws.sign"},  # `--table`: the AWS shell's engine under the laptop's gateway
}


@pytest.mark.parametrize("part", ALLOWED)
def test_imports_point_inward(part: str) -> None:
    path = ROOT / part
    for file in [path] if path.is_file() else sorted(path.rglob("*.py")):
        for name in imports(file):
            assert any(name == each or name.startswith(f"{each}.") for each in ALLOWED[part]), f"{file} imports {name}"


def imports(file: Path) -> set[str]:
    """What a file imports of Roost."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if name.partition(".")[0] == "roost"}


def test_the_core_is_plain_synchronous_code() -> None:
    for folder in ("roost/chat", "roost/storage"):
        for file in (ROOT / folder).rglob("*.py"):
            tree = ast.parse(file.read_text())
            assert not any(isinstance(node, ast.AsyncFunctionDef | ast.Await) for node in ast.walk(tree)), file
            assert "threading" not in file.read_text(), file
