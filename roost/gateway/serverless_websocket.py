"""`websocket` events of a `serverless.yml`, with their authorizer.

Source: Serverless Framework documentation, AWS event "Websocket"; defaults are the framework's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from roost.gateway.definition import Authorizer, Route, WebSocketApi
from roost.gateway.intrinsics import Unresolved
from roost.gateway.serverless_http import File, Functions

#: The framework's variables; `$request.body.x` and `${request.body.x}` are API Gateway's.
_VARIABLE = re.compile(r"\$\{\w+[:(]")


class WebSocketEvents:
    """Reads `websocket` events."""

    def __init__(self, file: File, functions: Functions) -> None:
        self._file = file
        self._functions = functions

    def api(self, identity: str) -> WebSocketApi | None:
        """The WebSocket API, if there is one."""
        file, routes = self._file, dict[str, Route]()
        authorizer: Authorizer | None = None
        for key, event, line in file.events("websocket", self._functions):
            body = self._body(key, event, line)
            if body is None:
                continue
            route = str(body["route"])
            if route in routes:
                file.problems.warn(line, f"route {route} is declared twice: {key} wins over {routes[route].function}")
            routes[route] = Route(route, key, two_way=self._two_way(body, key, line))
            if route == "$connect":
                authorizer = self._authorizer(body.get("authorizer"), line)
            elif body.get("authorizer") is not None:
                file.problems.warn(line, f"authorizer of {key}: only $connect is authorized")
        if not routes:
            return None
        stage = file.variables.stage
        return WebSocketApi(
            id=identity,
            name=str(file.get(file.provider, "websocketsApiName", f"{stage}-{file.name}-websockets")),
            stage=stage,
            route_selection_expression=self._selection(),
            routes=routes,
            authorizer=authorizer,
        )

    def _body(self, key: str, event: Mapping[str, Any], line: int) -> Mapping[str, Any] | None:
        """An event's value as a mapping that has a route."""
        body = self._file.variables.resolve(event["websocket"], line)
        if body is None:
            hint = "its keys stand at the wrong indentation" if len(event) > 1 else "it names no route"
            self._file.problems.add(line, f"websocket event of {key} is empty: {hint}")
            return None
        body = {"route": body} if isinstance(body, str) else body
        route = body.get("route") if isinstance(body, dict) else None
        if isinstance(route, str) and route:
            whole: Mapping[str, Any] = body
            return whole
        self._file.problems.add(line, f"websocket event of {key} needs a route")
        return None

    def _selection(self) -> str:
        for name in ("websocketsApiRouteSelectionExpression", "websocketApiRouteSelectionExpression"):
            value = self._file.provider.get(name)
            if isinstance(value, str):
                return str(self._file.get(self._file.provider, name)) if _VARIABLE.search(value) else value
        return "$request.body.action"

    def _two_way(self, body: Mapping[str, Any], key: str, line: int) -> bool:
        value = body.get("routeResponseSelectionExpression")
        if value not in (None, "$default"):
            text = f"routeResponseSelectionExpression of {key} can only be $default, not {value!r}"
            self._file.problems.add(line, text)
        return value is not None

    def _authorizer(self, value: Any, line: int) -> Authorizer | None:
        if value is None:
            return None
        body = value if isinstance(value, dict) and value.keys() & {"name", "arn"} else {"arn": value}
        function = self._function(body.get("arn") or body.get("name"), line)
        sources = body.get("identitySource", ["route.request.header.Auth"])
        sources = [sources] if isinstance(sources, str) else sources
        sources = [part.strip() for source in sources for part in str(source).split(",")]
        return Authorizer(str(body.get("name") or function), function, tuple(sources)) if function else None

    def _function(self, value: Any, line: int) -> str | None:
        """The function that a name or an ARN means; a problem if there is none."""
        try:
            found = self._file.function_at(value, self._functions)
        except Unresolved as problem:
            self._file.problems.add(line, f"authorizer: cannot resolve {problem}")
            return None
        if found is None:
            self._file.problems.add(line, f"authorizer {value}: no function of this name is declared here")
        return found
