"""YAML with places: every mapping and list knows the lines of what it holds, and CloudFormation's `!` tags are read as
the long forms they stand for (`!Ref X` is `{"Ref": "X"}`). Safe loading: nothing in a file can run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from roost.gateway.definition import DefinitionError


class Map(dict[Any, Any]):
    """A mapping that knows its lines."""

    line: int = 1
    lines: dict[Any, int]

    def line_of(self, key: Any) -> int:
        """Where a key stands."""
        return self.lines.get(key, self.line)


class List(list[Any]):
    """A list that knows its lines."""

    line: int = 1
    lines: list[int]

    def line_of(self, index: int) -> int:
        """Where an element stands."""
        return self.lines[index] if index < len(self.lines) else self.line


class Problems:
    """What is wrong with a file, gathered so that a person sees all of it at once."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.found: list[str] = []
        self.warnings: list[str] = []

    def add(self, line: int, text: str) -> None:
        """Something that stops the app."""
        self._note(self.found, line, text)

    def warn(self, line: int, text: str) -> None:
        """Something that is left out."""
        self._note(self.warnings, line, text)

    def _note(self, notes: list[str], line: int, text: str) -> None:
        note = f"{self.file}:{line}: {text}"
        if note not in notes:
            notes.append(note)

    def stop_if_any(self) -> None:
        """Raise what was found."""
        if self.found:
            raise DefinitionError("\n".join(self.found))


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, with our containers and with any `!Tag` read as a CloudFormation function.

    Plain scalars are those of YAML 1.2, as the Serverless Framework reads them: `yes` and `on` are text, `22:22` is no
    number, and a date is a name.
    """

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012  PyYAML's own way


_SCALARS = (
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    ("int", r"^(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$", "-+0123456789"),
    ("float", r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$", "-+.0123456789"),
    ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("merge", r"^(?:<<)$", "<"),
)
for _kind, _pattern, _first in _SCALARS:
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", re.compile(_pattern), list(_first))


def _mapping(loader: _Loader, node: yaml.MappingNode) -> Any:
    value = Map()
    value.line, value.lines = node.start_mark.line + 1, {}
    yield value
    loader.flatten_mapping(node)
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        if isinstance(key, list | dict):
            raise yaml.constructor.ConstructorError(None, None, "a key must be plain text", key_node.start_mark)
        value[key] = loader.construct_object(value_node, deep=True)
        value.lines[key] = key_node.start_mark.line + 1


def _sequence(loader: _Loader, node: yaml.SequenceNode) -> Any:
    value = List()
    value.line, value.lines = node.start_mark.line + 1, [each.start_mark.line + 1 for each in node.value]
    yield value
    value.extend(loader.construct_object(each, deep=True) for each in node.value)


def _integer(loader: _Loader, node: Any) -> int:
    text = str(loader.construct_scalar(node))
    return int(text, 0) if text.startswith(("0o", "0x")) else int(text)


def _tagged(loader: _Loader, tag: str, node: yaml.Node) -> Any:
    """`!Ref X`, `!GetAtt A.B`, `!Sub …`: the long form."""
    if isinstance(node, yaml.ScalarNode):
        inner: Any = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        inner = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.MappingNode)
        inner = loader.construct_mapping(node, deep=True)
    if tag == "GetAtt" and isinstance(inner, str):
        inner = inner.split(".", 1)
    value = Map({tag if tag in ("Ref", "Condition") else f"Fn::{tag}": inner})
    value.line = node.start_mark.line + 1
    value.lines = {}
    return value


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)
_Loader.add_constructor("tag:yaml.org,2002:seq", _sequence)
_Loader.add_multi_constructor("!", _tagged)
_Loader.add_constructor("tag:yaml.org,2002:int", _integer)


def read(path: Path) -> Any:
    """The document in a file. Raises `DefinitionError` with one line if there is none."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise DefinitionError(f"{path}: there is no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DefinitionError(f"{path}: cannot be read: {error}") from None
    return parse(text, path)


def parse(text: str, path: Path) -> Any:
    """The document in a text; `path` is what messages call it."""
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506  a subclass of SafeLoader
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise DefinitionError(f"{path}:{line}: not valid YAML: {error.problem or error.context}") from None
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        first = (str(error) or type(error).__name__).splitlines()[0]
        raise DefinitionError(f"{path}:1: not valid YAML: {first}") from None
