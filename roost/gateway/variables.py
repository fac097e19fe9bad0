"""Serverless variables: `${self:…}`, `${opt:…}`, `${env:…}`, `${sls:…}`, `${file(…):…}`, `${param:…}`, `${aws:…}`.

Resolved on demand and by place, so that an unknown one in a part that nobody asks for stops nothing. Source: Serverless
Framework documentation, "Variables", and the older spelling in which a fallback needs no `${}`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from roost.gateway import yaml_file
from roost.gateway.definition import DefinitionError
from roost.gateway.yaml_file import List, Map, Problems

_INNERMOST = re.compile(r"\$\{((?:[a-zA-Z]+:(?!:)|file\(|strToBool\()[^${}]*)\}")
_WHOLE = re.compile(r"^\x00(\d+)\x00$")
_MARK = re.compile(r"\x00(\d+)\x00")
_SOURCE = re.compile(r"^(?P<source>[a-zA-Z]+):(?!:)(?P<address>.*)$", re.DOTALL)
_FILE = re.compile(r"^file\((?P<path>[^)]*)\)(?::(?P<address>.*))?$", re.DOTALL)
_BOOL = re.compile(r"^strToBool\((?P<text>.*)\)$", re.DOTALL)
_DEPTH = 60


class _Unresolved(Exception):  # told at its place by who asked
    pass


class Variables:
    """Resolves the variables of one file."""

    def __init__(
        self,
        document: Map,
        problems: Problems,
        *,
        stage: str | None,
        options: Mapping[str, str],
        environ: Mapping[str, str],
        overrides: Mapping[str, str],
    ) -> None:
        self._document = document
        self._problems = problems
        self._folder = problems.file.parent
        self._options = {**options, **({"stage": stage} if stage else {})}
        self._environ = dict(environ)
        self._overrides = overrides
        self._files: dict[Path, Any] = {}
        self._depth = 0
        self._sources: dict[str, Callable[[str], Any]] = {
            "self": self._self,
            "opt": lambda name: self._options.get(name),
            "env": lambda name: self._environ.get(name),
            "sls": self._sls,
            "aws": self._aws,
            "param": self._param,
        }
        self.stage, self.region = "dev", "us-east-1"  # the framework's own, while the file's are being found
        self.stage = str(stage or self._provider("stage") or self.stage)
        self._environ = {**self._dotenv(".env"), **self._dotenv(f".env.{self.stage}"), **self._environ}
        self.region = str(self._options.get("region") or self._provider("region") or self.region)

    def resolve(self, value: Any, line: int) -> Any:
        """A value with all its variables replaced; what cannot be is a problem at its line, and None."""
        if isinstance(value, str):
            return self._text(value, line) if "${" in value else value
        if isinstance(value, Map):
            resolved = Map()
            resolved.line, resolved.lines = value.line, value.lines
            for key, each in value.items():
                resolved[key] = self.resolve(each, value.line_of(key))
            return resolved
        if isinstance(value, list):
            resolved_list = List(
                self.resolve(each, value.line_of(index) if isinstance(value, List) else line)
                for index, each in enumerate(value)
            )
            resolved_list.line = getattr(value, "line", line)
            resolved_list.lines = getattr(value, "lines", [])
            return resolved_list
        if isinstance(value, dict):
            return {key: self.resolve(each, line) for key, each in value.items()}
        return value

    def get(self, holder: Any, key: str, default: Any = None) -> Any:
        """A member of a mapping, resolved."""
        if not isinstance(holder, dict) or holder.get(key) is None:
            return default
        line = holder.line_of(key) if isinstance(holder, Map) else 1
        value = self.resolve(holder[key], line)
        return default if value is None else value

    # -- one text ---------------------------------------------------------------------------------------------------

    def _text(self, text: str, line: int) -> Any:
        try:
            return self._replace(text)
        except _Unresolved as problem:
            if self._depth:
                raise  # told where the outermost one stands
            self._problems.add(line, str(problem))
        except DefinitionError as problem:  # an included file
            self._problems.add(line, str(problem))
        return None

    def _replace(self, text: str) -> Any:
        """Replace variables from the inside out. A text that is one variable becomes that variable's value."""
        if self._depth > _DEPTH:
            raise _Unresolved(f"`{text[:80]}` refers to itself")
        values: list[Any] = []
        self._depth += 1
        try:
            while match := _INNERMOST.search(text):
                values.append(self._variable(match.group(1), values))
                text = f"{text[: match.start()]}\x00{len(values) - 1}\x00{text[match.end() :]}"
        finally:
            self._depth -= 1
        whole = _WHOLE.match(text)
        if whole:
            return values[int(whole.group(1))]
        return _MARK.sub(lambda mark: _as_text(values[int(mark.group(1))]), text)

    def _variable(self, body: str, values: list[Any]) -> Any:
        """The first of a variable's alternatives that has a value."""
        shown = "${" + _MARK.sub(lambda mark: _as_text(values[int(mark.group(1))]), body) + "}"
        override = self._overrides.get(shown[2:-1].strip())
        if override is not None:
            return override
        null = False
        for alternative in _split(body):
            value, may_be_null = self._alternative(alternative, values)
            if value is not None:
                return value
            null = null or may_be_null
        if null:
            return None
        raise _Unresolved(f"cannot resolve {shown}: give it a value with --set '{shown[2:-1].strip()}=…' or a fallback")

    def _alternative(self, text: str, values: list[Any]) -> tuple[Any, bool]:
        """A value, and whether null would be one."""
        text = text.strip()
        whole = _WHOLE.match(text)
        if whole:
            return values[int(whole.group(1))], True
        text = _MARK.sub(lambda mark: _as_text(values[int(mark.group(1))]), text)
        if len(text) >= 2 and text[0] == text[-1] and text[0] in "'\"":
            return text[1:-1], True
        file, boolean, source = _FILE.match(text), _BOOL.match(text), _SOURCE.match(text)
        if boolean:
            return boolean["text"].strip().strip("'\"").lower() in ("true", "1", "yes"), True
        if file:
            return self._file(file["path"].strip(), file["address"]), False
        if source:
            reader = self._sources.get(source["source"])
            return (reader(source["address"].strip()), False) if reader else (None, False)
        return _literal(text)

    # -- sources ----------------------------------------------------------------------------------------------------

    def _self(self, address: str) -> Any:
        found = self._walk(self._document, address)
        if found is None and address == "provider.stage":
            return self.stage
        return self.region if found is None and address == "provider.region" else found

    def _walk(self, value: Any, address: str) -> Any:
        """Follow a dotted address, resolving on the way."""
        for name in filter(None, address.split(".")):
            value = self._shallow(value)
            if isinstance(value, dict):
                value = value.get(name)
            elif isinstance(value, list) and name.isdigit() and int(name) < len(value):
                value = value[int(name)]
            else:
                return None
        self._depth += 1
        try:
            if self._depth > _DEPTH:
                raise _Unresolved(f"`self:{address}` refers to itself")
            return self.resolve(value, self._document.line)
        finally:
            self._depth -= 1

    def _shallow(self, value: Any) -> Any:
        return self._replace(value) if isinstance(value, str) and "${" in value else value

    def _sls(self, name: str) -> Any:
        return {"stage": self.stage, "instanceId": "local"}.get(name)

    def _aws(self, name: str) -> Any:
        return {"region": self.region, "accountId": "123456789012", "partition": "aws"}.get(name)

    def _param(self, name: str) -> Any:
        stages = self._document.get("stages") or self._document.get("params") or {}
        for stage in (self.stage, "default"):
            params = stages.get(stage) if isinstance(stages, dict) else None
            if isinstance(params, dict) and isinstance(params.get("params"), dict):
                params = params["params"]
            if isinstance(params, dict) and name in params:
                return self.resolve(params[name], 1)
        return None

    def _file(self, path: str, address: str | None) -> Any:
        file = (self._folder / Path(path).expanduser()).resolve()
        if file not in self._files:
            if not file.is_file():
                return None
            self._files[file] = self._load(file)
        value = self._files[file]
        return self._walk(value, address) if address else self.resolve(value, 1)

    def _load(self, file: Path) -> Any:
        if file.suffix in (".yml", ".yaml"):
            return yaml_file.read(file)
        text = file.read_text(encoding="utf-8", errors="replace")
        if file.suffix == ".json":
            try:
                return json.loads(text)
            except ValueError as error:
                raise DefinitionError(f"{file}: not valid JSON: {error}") from None
        if file.suffix in (".js", ".cjs", ".mjs", ".ts"):
            raise _Unresolved(f"{file.name} is a program, which is not run here")
        return text.strip()

    def _provider(self, name: str) -> Any:
        provider = self._document.get("provider")
        if not isinstance(provider, dict) or provider.get(name) is None:
            return None
        self.stage = str(self._options.get("stage") or "dev")  # what `${sls:stage}` is while the stage itself is read
        self.region = "us-east-1"
        return self.get(provider, name)

    def _dotenv(self, name: str) -> dict[str, str]:
        file = self._folder / name
        if not file.is_file():
            return {}
        pairs = {}
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
            key, equals, value = line.strip().removeprefix("export ").partition("=")
            if equals and key.strip() and not key.startswith("#"):
                pairs[key.strip()] = value.strip().strip("'\"")
        return pairs


def _split(body: str) -> list[str]:
    """The alternatives between commas that are not in quotes or parentheses."""
    parts, depth, quote = [""], 0, ""
    for character in body:
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        elif character in "()":
            depth += 1 if character == "(" else -1
        elif character == "," and not depth:
            parts.append("")
            continue
        parts[-1] += character
    return parts


def _literal(text: str) -> tuple[Any, bool]:
    """A fallback without quotes: a number, true, false, null, else no value at all."""
    if text in ("true", "false"):
        return text == "true", True
    if text == "null":
        return None, True
    try:
        return int(text), True
    except ValueError:
        pass
    try:
        return float(text), True
    except ValueError:
        return (text, True) if text and re.fullmatch(r"[\w./-]+", text) else (None, False)


def _as_text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value) if isinstance(value, dict | list) else str(value)
