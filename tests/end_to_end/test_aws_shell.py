"""The chat as Lambda functions: the folder that would be uploaded, under AWS's own runtime client, from the template
that would be deployed; DynamoDB emulated, pushes through the @connections API. The conversation is the laptop's."""

from __future__ import annotations

import hashlib
import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from roost.app import ROUTE_SELECTION_EXPRESSION, ROUTES
from roost.aws.dynamodb import table_definition
from roost.gateway.definition import check_handlers, load
from scripts.build_lambda import build
from tests.end_to_end.test_blog_post import exchange
from tests.tools import ROOT, ministack, roost_gateway

TEMPLATE = ROOT / "deploy" / "template.yaml"


@pytest.fixture(scope="module")
def emulated_aws() -> Iterator[str]:
    with ministack() as endpoint:
        yield endpoint


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template beside a folder that was built for this machine, laid out as in the project."""
    folder = tmp_path_factory.mktemp("stack")
    build(folder / "build" / "lambda", local=True)
    (folder / "deploy").mkdir()
    (folder / "deploy" / "template.yaml").write_text(TEMPLATE.read_text())
    return folder / "deploy" / "template.yaml"


def test_two_people_talk_through_lambda_functions(stack: Path, emulated_aws: str, tmp_path: Path) -> None:
    options = ("--isolated", "--dynamodb", emulated_aws, "--set", "Guests=on", "--set", "ROOST_LIMITS=off")
    with roost_gateway(stack, tmp_path, *options) as server:
        exchange(server.url)
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/", timeout=30) as page:
            assert "wscat" in page.read().decode()
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/api/chat.postMessage", timeout=30) as answer:
            assert json.load(answer) == {"ok": False, "error": "not_authed"}
        assert "Traceback" not in server.stderr()


def test_the_template_and_the_shells_agree_on_routes_and_table(stack: Path) -> None:
    service = load(stack)
    assert check_handlers(service) == []
    assert service.websocket is not None
    assert set(service.websocket.routes) == set(ROUTES)
    assert service.websocket.route_selection_expression == ROUTE_SELECTION_EXPRESSION
    (table,) = service.tables
    expected = table_definition("x")
    for part in ("KeySchema", "GlobalSecondaryIndexes", "AttributeDefinitions", "BillingMode"):
        assert table.properties[part] == expected[part]
    assert table.properties["TimeToLiveSpecification"] == {"AttributeName": "x", "Enabled": True}


def test_two_builds_are_the_same_and_small(stack: Path, tmp_path: Path) -> None:
    first, second = stack.parent.parent / "build" / "lambda", build(tmp_path / "again", local=True)
    assert contents(first) == contents(second)
    assert sum(path.stat().st_size for path in second.rglob("*")) < 10 * 1024 * 1024
    assert not list(second.rglob("sqlite.py"))


def contents(folder: Path) -> dict[str, tuple[str, float]]:
    """Every file with the hash of what is in it and its time."""
    return {
        str(path.relative_to(folder)): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime)
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_build_for_lambda_is_for_its_processor(tmp_path: Path) -> None:
    (library,) = build(tmp_path / "lambda", local=False).rglob("*.so")
    machine = int.from_bytes(library.read_bytes()[18:20], "little")
    assert machine == 183  # ELF's number for AArch64
    assert "cpython-313" in library.name
