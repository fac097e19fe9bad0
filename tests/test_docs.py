"""The documentation is true: links lead somewhere, everything public is described, nothing is described that is not."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import click
import msgspec
import pytest

from roost import cli
from roost.frames import VALID_COMMANDS
from roost.storage import items
from tests.tools import ROOT

PAGES = [
    *sorted((ROOT / "docs").rglob("*.md")),
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
]
PAGES += sorted((ROOT / "examples").rglob("README.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_and_named_files_lead_somewhere(page: Path) -> None:
    text = page.read_text()
    for link in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (page.parent / link).exists(), link
    for path in re.findall(r"`((?:roost|tests|docs|bench|scripts|examples)/[\w./-]*)`", text):
        assert (ROOT / path).exists() or path == "bench/results/", path


def commands(group: click.Group, words: tuple[str, ...] = ("roost",)) -> list[tuple[str, click.Command]]:
    found: list[tuple[str, click.Command]] = []
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            found += commands(command, (*words, name))
        else:
            found.append((" ".join((*words, name)), command))
    return found


def test_every_command_is_described_somewhere() -> None:
    text = " ".join(" ".join(page.read_text().split()) for page in PAGES)
    for words, command in commands(cli.main):
        assert words in text, words
        assert command.help, words
        for option in command.params:
            if isinstance(option, click.Option) and option.help is None:
                assert option.name in ("port",), f"{words} --{option.name} has no help"


def test_every_option_of_serve_is_on_the_page_about_running() -> None:
    text = (ROOT / "docs" / "running.md").read_text()
    (serve,) = [command for words, command in commands(cli.main) if words == "roost serve"]
    for option in serve.params:
        assert option.opts[0] in text
        assert not isinstance(option.envvar, str) or option.envvar in text


def test_every_kind_of_item_is_on_the_storage_page() -> None:
    text = (ROOT / "docs" / "storage.md").read_text()
    rows = [name for name, each in vars(items).items() if isinstance(each, type) and issubclass(each, msgspec.Struct)]
    assert len(rows) > 9
    for name in rows:
        assert name == "Row" or f"`{name}`" in text, name


def test_every_text_command_is_on_the_protocol_page() -> None:
    text = (ROOT / "docs" / "protocol.md").read_text()
    for command in re.findall(r"/\w+", VALID_COMMANDS):
        assert f"> {command}" in text or f"`{command}" in text, command


def test_every_public_function_and_class_has_a_docstring() -> None:
    missing = []
    for file in sorted((ROOT / "roost").rglob("*.py")):
        tree = ast.parse(file.read_text())
        if ast.get_docstring(tree) is None:
            missing.append(str(file))
        missing += [f"{file}: {name}" for name, node in public(tree) if ast.get_docstring(node) is None]
    assert missing == []


def public(tree: ast.Module) -> list[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]]:
    """Functions, classes and methods without an underscore. Overridden protocol methods of asyncio are described."""
    found: list[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]] = []
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            found.append((node.name, node))
            if isinstance(node, ast.ClassDef):
                for inner in node.body:
                    if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef) and not inner.name.startswith("_"):
                        found.append((f"{node.name}.{inner.name}", inner))
    return found


def test_the_project_speaks_only_of_itself() -> None:
    words = re.compile(r"/(?:home|root|Users)/\w+/|pypi\.org/simple|registry\.npmjs")
    for page in [*PAGES, ROOT / "Makefile", ROOT / "pyproject.toml", *ROOT.glob("*.lock")]:
        assert not words.search(page.read_text()), page
