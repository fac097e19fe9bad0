"""Which route a message or a request takes: route selection expressions, and the paths of an HTTP API."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from roost.gateway.definition import HttpRoute
from roost.gateway.events import decode_path

_PART = re.compile(r"\$\{request\.body\.([^}]*)\}|\$request\.body\.([\w.\-\[\]]+)|\\(\$)|([^$\\]+|[$\\])")
_UNQUOTED_KEY = re.compile(r"([{,]\s*)([A-Za-z_$][\w$-]*)(\s*:)")

_decode = msgspec.json.Decoder(type=dict[str, Any]).decode


class RouteSelection:
    """A route selection expression: `$request.body.action`, `${request.body.a}-x`, or a constant.

    Source: API Gateway developer guide, "API Gateway WebSocket API route selection expressions". A path missing in the
    body gives an empty text; what is not text becomes text. `select` answers None where the body is not a JSON object
    and the expression needs one: such a message goes to `$default`.
    """

    def __init__(self, expression: str) -> None:
        self._parts: list[tuple[str, tuple[str, ...]]] = []  # (literal, ()) or ("", path)
        for match in _PART.finditer(expression):
            path = match.group(1) or match.group(2)
            if path is not None:
                self._parts.append(("", tuple(path.split("."))))
            else:
                self._parts.append((match.group(3) or match.group(4), ()))
        self._constant = "".join(literal for literal, _ in self._parts) if not any(p for _, p in self._parts) else None

    def select(self, body: str) -> str | None:
        """The route key that this message asks for, or None."""
        if self._constant is not None:
            return self._constant
        value = parse_object(body)
        if value is None:
            return None
        return "".join(literal if not path else _text(_follow(value, path)) for literal, path in self._parts)


def parse_object(body: str) -> dict[str, Any] | None:
    """The JSON object in a message, or None. As AWS's parser does, it lets keys stand without quotes."""
    if body.lstrip()[:1] != "{":
        return None
    try:
        return _decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
        return _lenient(body)


def _lenient(body: str) -> dict[str, Any] | None:
    try:
        value = json.loads(_UNQUOTED_KEY.sub(r'\1"\2"\3', body))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _follow(value: Any, path: Sequence[str]) -> Any:
    for name in path:
        if not isinstance(value, dict) or name not in value:
            return None
        value = value[name]
    return value


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


class HttpRoutes:
    """The routes of an HTTP API, matched as AWS does: the full route, then a greedy one, then `$default`; an exact
    method before `ANY`. Source: API Gateway developer guide, "Routes for HTTP APIs"."""

    def __init__(self, routes: Sequence[HttpRoute]) -> None:
        self._default = next((route for route in routes if route.path == "$default"), None)
        self._routes = [(route, _segments(route.path)) for route in routes if route.path != "$default"]
        self._routes.sort(key=lambda entry: _rank(entry[0], entry[1]))

    def match(self, method: str, path: str) -> tuple[HttpRoute, Mapping[str, str]] | None:
        """The route of a request and its path parameters. `path` is percent-encoded and without the stage."""
        segments = path.strip("/").split("/") if path.strip("/") else []
        for route, pattern in self._routes:
            if route.method in (method, "ANY"):
                parameters = _bind(pattern, segments)
                if parameters is not None:
                    return route, parameters
        return (self._default, {}) if self._default is not None else None


def _segments(path: str) -> list[str]:
    return path.strip("/").split("/") if path.strip("/") else []


def _rank(route: HttpRoute, pattern: Sequence[str]) -> tuple[Any, ...]:
    """Full routes first, literal segments before variables, longer greedy prefixes first, methods before ANY."""
    greedy = bool(pattern) and pattern[-1].endswith("+}")
    kinds = tuple(1 if segment.startswith("{") else 0 for segment in pattern)
    return (greedy, -len(pattern) if greedy else 0, kinds, route.method == "ANY")


def _bind(pattern: Sequence[str], segments: Sequence[str]) -> dict[str, str] | None:
    parameters: dict[str, str] = {}
    for index, part in enumerate(pattern):
        if part.startswith("{") and part.endswith("+}"):
            if index >= len(segments):
                return None
            parameters[part[1:-2]] = decode_path("/".join(segments[index:]))
            return parameters
        if index >= len(segments):
            return None
        if part.startswith("{") and part.endswith("}"):
            parameters[part[1:-1]] = decode_path(segments[index])
        elif part != decode_path(segments[index]):
            return None
    return parameters if len(segments) == len(pattern) else None
