"""`serverless.yml` into a `Service`. Source: Serverless Framework documentation, "Serverless.yml reference" and the AWS
events "Websocket" and "HTTP API"; defaults are the framework's."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from roost.gateway.definition import (
    DeclaredTable,
    Function,
    Given,
    Service,
    Stream,
    api_id,
    table_of,
)
from roost.gateway.intrinsics import ACCOUNT, NO_VALUE, Stack, Unresolved
from roost.gateway.local_urls import local_urls
from roost.gateway.serverless_http import HttpApiEvents, RestEvents
from roost.gateway.serverless_websocket import WebSocketEvents
from roost.gateway.variables import Variables
from roost.gateway.yaml_file import List, Map, Problems

_DEFAULT_RUNTIME = "python3.13"
_SECTIONS = frozenset({"Resources", "Conditions", "Mappings", "Outputs", "extensions", "Description"})


def read(document: Map, path: Path, given: Given) -> Service:
    """The service that a document describes. Raises `DefinitionError` with every problem."""
    return _Reader(document, path, given).service()


class _Reader:
    def __init__(self, document: Map, path: Path, given: Given) -> None:
        self.document = document
        self._given = given
        self._root = path.resolve().parent
        self.problems = Problems(path)
        self.variables = Variables(
            document,
            self.problems,
            stage=given.stage,
            options=given.options,
            environ=given.environ,
            overrides=given.overrides,
        )
        name = self.variables.get(document, "service")
        self.name = str(name.get("name", "app") if isinstance(name, dict) else name or "app")
        line = document.line_of("provider")
        provider = document.get("provider")
        if isinstance(provider, str):
            provider = self.variables.resolve(provider, line)
        if provider is not None and not isinstance(provider, dict) and provider != "aws":
            self.problems.add(line, "provider must be a mapping")
        self.provider: Mapping[str, Any] = provider if isinstance(provider, dict) else {}
        self._websocket_id = api_id(self.name, self.variables.stage, "websocket")
        self._http_id = api_id(self.name, self.variables.stage, "http")
        self._rest_id = api_id(self.name, self.variables.stage, "rest")
        self._has_pseudo_parameters = "serverless-pseudo-parameters" in str(document.get("plugins"))
        self._declared = self._declared_functions()
        self.stack = self._make_stack()

    def service(self) -> Service:
        """Everything, or every problem."""
        functions = {key: self._function(key, body, line) for key, body, line in self._python_functions()}
        websocket = WebSocketEvents(self, functions).api(self._websocket_id)
        http = HttpApiEvents(self, functions).api(self._http_id)
        rest = RestEvents(self, functions).api(self._rest_id)
        tables = self._tables()
        self._events_not_served()
        if not functions:
            self.problems.add(self.document.line_of("functions"), "there is no Python function")
        self.problems.stop_if_any()
        return Service(
            name=self.name,
            stage=self.variables.stage,
            region=self.variables.region,
            account=ACCOUNT,
            functions=functions,
            websocket=websocket,
            http=http,
            rest=rest,
            streams=tuple(self._streams(functions)),
            tables=tables,
            warnings=tuple(self.problems.warnings),
        )

    # -- functions --------------------------------------------------------------------------------------------------

    def _declared_functions(self) -> list[tuple[str, Map, int]]:
        """Every function as (key, body, line); `functions` may be a mapping, a list of them, or an include."""
        value = self.document.get("functions")
        line = self.document.line_of("functions")
        found: list[tuple[str, Map, int]] = []
        for group in value if isinstance(value, list) else [value]:
            if isinstance(group, str):
                group = self.variables.resolve(group, line)
            if group is None:
                continue
            if not isinstance(group, Map):
                self.problems.add(line, "functions must be a mapping of names to functions")
                continue
            for key, body in group.items():
                at = group.line_of(key)
                if isinstance(body, str):
                    body = self.variables.resolve(body, at)
                if isinstance(body, Map):
                    found.append((str(key), body, at))
                else:
                    self.problems.add(at, f"function {key} has no handler")
        return found

    def _python_functions(self) -> Iterator[tuple[str, Map, int]]:
        for key, body, line in self._declared:
            if "image" in body and "handler" not in body:
                self.problems.warn(line, f"function {key} is a container image: left out, with its routes")
                continue
            if str(body.get("handler")).startswith("wsgi_handler.") and not (self._root / "wsgi_handler.py").is_file():
                self.problems.warn(line, f"function {key}: serverless-wsgi makes its handler when it packs: left out")
                continue
            runtime = str(self.get(body, "runtime") or self.get(self.provider, "runtime") or _DEFAULT_RUNTIME)
            if not runtime.startswith("python"):
                self.problems.warn(line, f"function {key} runs on {runtime}: left out, with its routes")
            else:
                yield key, body, line

    def _function(self, key: str, body: Map, line: int) -> Function:
        handler = self.get(body, "handler")
        if not isinstance(handler, str) or not handler:
            self.problems.add(line, f"function {key} has no handler")
            handler = "missing.handler"
        root, handler = self._code_root(body, handler)
        return Function(
            key=key,
            name=str(self.get(body, "name") or f"{self.name}-{self.variables.stage}-{key}"),
            handler=handler,
            code_root=root,
            runtime=str(self.get(body, "runtime") or self.get(self.provider, "runtime") or _DEFAULT_RUNTIME),
            timeout=float(self._number(body, "timeout", 6)),
            memory=int(self._number(body, "memorySize", 1024)),
            environment=self._environment(key, body),
            layers=self._layers(key, body),
        )

    def _code_root(self, body: Map, handler: str) -> tuple[Path, str]:
        """Where a function's code begins: the service's folder, or the `module` that serverless-python-requirements
        knows, in which handlers are then relative."""
        module = self.get(body, "module")
        if isinstance(module, str) and (self._root / module).is_dir():
            return self._root / module, handler.removeprefix(f"{module}/").removeprefix("./")
        return self._root, handler.removeprefix("./")

    def _number(self, body: Map, name: str, default: int) -> float:
        value = self.get(body, name, self.get(self.provider, name, default))
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = 0
        if isinstance(value, bool) or not 0 < number <= 10_240:
            self.problems.add(body.line_of(name), f"{name} must be a number above 0, not {value!r}")
            return default
        return number

    def _environment(self, key: str, body: Map) -> dict[str, str]:
        """The provider's variables and the function's own, which win; null drops one."""
        merged: dict[str, str] = {}
        for holder in (self.provider, body):
            variables = holder.get("environment")
            line = holder.line_of("environment") if isinstance(holder, Map) else 1
            if isinstance(variables, str):
                variables = self.variables.resolve(variables, line)
            for group in variables if isinstance(variables, list) else [variables]:
                if isinstance(group, str):
                    group = self.variables.resolve(group, line)
                if group is None:
                    continue
                if not isinstance(group, dict):
                    self.problems.add(line, f"environment of {key} must be a mapping")
                    continue
                self._merge_environment(merged, group)
        return merged

    def _merge_environment(self, merged: dict[str, str], group: Mapping[Any, Any]) -> None:
        for name, value in group.items():
            name = str(name)
            line = group.line_of(name) if isinstance(group, Map) else 1
            if name in self._given.overrides:
                merged[name] = self._given.overrides[name]
                continue
            before = len(self.problems.found)
            resolved = self._value(value, line, name)
            if resolved is None or resolved is NO_VALUE:
                if len(self.problems.found) == before:
                    merged.pop(name, None)
            elif isinstance(resolved, dict | list):
                self.problems.add(line, f"environment variable {name} must be text, not a {type(resolved).__name__}")
            else:
                merged[name] = self._local(_text(resolved))

    def _value(self, value: Any, line: int, name: str) -> Any:
        """A value with variables and functions resolved; a problem says how to give it one."""
        try:
            return self.stack.value(self._pseudo_parameters(self.variables.resolve(value, line)))
        except Unresolved as problem:
            self.problems.add(line, f"{name}: cannot resolve {problem}: give it a value with --set {name}=…")
            return None

    def _pseudo_parameters(self, value: Any) -> Any:
        """`#{AWS::Region}` and `#{LogicalId}`, which the plug-in serverless-pseudo-parameters makes `Fn::Sub` of."""
        if isinstance(value, str) and "#{" in value and self._has_pseudo_parameters:
            return {"Fn::Sub": value.replace("#{", "${")}
        if isinstance(value, list):
            return [self._pseudo_parameters(each) for each in value]
        if isinstance(value, dict):
            return {key: self._pseudo_parameters(each) for key, each in value.items()}
        return value

    def _local(self, text: str) -> str:
        stages = {self._websocket_id: self.variables.stage, self._http_id: "", self._rest_id: self.variables.stage}
        return local_urls(text, self._given.base_url, stages)

    def _layers(self, key: str, body: Map) -> tuple[Path, ...]:
        holder: Any = body if body.get("layers") is not None else self.provider
        layers = self.get(holder, "layers", [])
        line = holder.line_of("layers") if isinstance(holder, Map) else 1
        own = self._own_layers()
        found = []
        for layer in layers if isinstance(layers, list) else [layers]:
            name = layer.get("Ref") if isinstance(layer, dict) else None
            if name in own:
                found.append(own[name])
            else:
                self.problems.warn(line, f"layer of {key} is not here: packages already installed stand in for it")
        return tuple(found)

    def _own_layers(self) -> dict[str, Path]:
        layers = self.document.get("layers")
        found = {}
        if isinstance(layers, dict):
            for name, body in layers.items():
                path = self.get(body, "path") if isinstance(body, dict) else None
                if isinstance(path, str) and (self._root / path).is_dir():
                    found[f"{_logical(str(name))}LambdaLayer"] = self._root / path
        return found

    # -- events -----------------------------------------------------------------------------------------------------

    def events(self, kind: str, functions: Mapping[str, Function]) -> Iterator[tuple[str, Any, int]]:
        """Every event of a kind as (function, its value resolved, line)."""
        for key, body, _ in self._declared:
            if key not in functions:
                continue
            events = body.get("events")
            if isinstance(events, str):
                events = self.variables.resolve(events, body.line_of("events"))
            if not isinstance(events, list):
                continue
            for index, event in enumerate(events):
                at = events.line_of(index) if isinstance(events, List) else body.line_of("events")
                if isinstance(event, str):
                    event = {event: None}
                if isinstance(event, dict) and kind in event:
                    yield key, event, at

    def _events_not_served(self) -> None:
        served = {"websocket", "httpApi", "http", "stream"}
        for key, body, _ in self._declared:
            events = body.get("events")
            for index, event in enumerate(events if isinstance(events, list) else []):
                kinds = [event] if isinstance(event, str) else list(event) if isinstance(event, dict) else []
                if kinds and not served & set(map(str, kinds)):
                    line = events.line_of(index) if isinstance(events, List) else body.line_of("events")
                    self.problems.warn(line, f"event {kinds[0]} of {key} is not served here")

    def _streams(self, functions: Mapping[str, Function]) -> Iterator[Stream]:
        for key, event, line in self.events("stream", functions):
            value = self.variables.resolve(event["stream"], line)
            body = value if isinstance(value, dict) and "arn" in value else {"arn": value}
            try:
                arn = self.stack.value(body["arn"])
            except Unresolved:
                arn = None
            table = table_of(arn)
            if table is None:
                self.problems.warn(line, f"event stream of {key} is not served here: it is of no DynamoDB table")
                continue
            position = str(body.get("startingPosition", "TRIM_HORIZON"))
            yield Stream(key, table, str(arn), int(body.get("batchSize", 10)), position)

    def function_at(self, value: Any, functions: Mapping[str, Function]) -> str | None:
        """The function of this file that a name or an ARN means, or None. Raises `Unresolved`."""
        if isinstance(value, str) and value in functions:
            return value
        last = str(self.stack.value(value)).rpartition(":")[2]
        return next((key for key, function in functions.items() if last in (key, function.name)), None)

    # -- resources --------------------------------------------------------------------------------------------------

    def _section(self, name: str) -> dict[str, Any]:
        """What all parts of `resources` declare under `Resources`, `Conditions` or `Mappings`; variables in it are
        resolved only where somebody asks."""
        parts = self.document.get("resources")
        merged: dict[str, Any] = {}
        for part in parts if isinstance(parts, list) else [parts]:
            if isinstance(part, str):
                part = self.variables.resolve(part, self.document.line_of("resources"))
            if not isinstance(part, dict):
                continue
            bare = name == "Resources" and not part.keys() & _SECTIONS  # a part may be the resources themselves
            section = part if bare else part.get(name)
            if isinstance(section, str):
                section = self.variables.resolve(section, self.document.line_of("resources"))
            if isinstance(section, dict):
                merged |= {str(logical): body for logical, body in section.items() if isinstance(body, dict)}
        return merged

    def _make_stack(self) -> Stack:
        name, stage = self.name, self.variables.stage
        raw = self._section("Resources")
        referable = {
            logical: self.variables.resolve(body, 1) if _has_name(body) else body for logical, body in raw.items()
        }
        base = self._given.base_url
        functions = {key: f"{name}-{stage}-{key}" for key, _, _ in self._declared}
        known = {"WebsocketsApi": self._websocket_id, "HttpApi": self._http_id, "HttpApiStage": "$default"}
        known |= {"WebsocketsDeploymentStage": stage, "ApiGatewayRestApi": self._rest_id}
        known |= {f"{_logical(key)}LambdaFunction": physical for key, physical in functions.items()}
        arn = f"arn:aws:lambda:{self.variables.region}:{ACCOUNT}:function:"
        attributes = {(f"{_logical(key)}LambdaFunction", "Arn"): arn + each for key, each in functions.items()}
        websocket = base.replace("http", "wss", 1)
        attributes |= {("WebsocketsApi", "ApiEndpoint"): websocket, ("HttpApi", "ApiEndpoint"): base}
        attributes[("IamRoleLambdaExecution", "Arn")] = f"arn:aws:iam::{ACCOUNT}:role/{name}-{stage}-lambdaRole"
        return Stack(
            f"{name}-{stage}",
            self.variables.region,
            referable,
            overrides=self._given.overrides,
            conditions=_Resolved(self._section("Conditions"), self.variables),
            mappings=_Resolved(self._section("Mappings"), self.variables),
            known=known,
            attributes=attributes,
        )

    def _tables(self) -> tuple[DeclaredTable, ...]:
        tables = []
        for logical, body in self.stack.resources.items():
            if isinstance(body, dict) and body.get("Type") == "AWS::DynamoDB::Table":
                try:
                    if "Condition" in body and not self.stack.value({"Condition": body["Condition"]}):
                        continue
                    properties = self.stack.value(body.get("Properties") or {})
                    tables.append(DeclaredTable(logical, self.stack.physical_name(logical), properties))
                except Unresolved as problem:
                    self.problems.add(getattr(body, "line", 1), f"table {logical}: cannot resolve {problem}")
        return tuple(tables)

    def get(self, holder: Any, key: str, default: Any = None) -> Any:
        return self.variables.get(holder, key, default)


class _Resolved(Mapping[str, Any]):
    """A section whose entries have their variables resolved when somebody asks for them: nobody may."""

    def __init__(self, section: Mapping[str, Any], variables: Variables) -> None:
        self._section = section
        self._variables = variables

    def __getitem__(self, name: str) -> Any:
        return self._variables.resolve(self._section[name], getattr(self._section[name], "line", 1))

    def __iter__(self) -> Iterator[str]:
        return iter(self._section)

    def __len__(self) -> int:
        return len(self._section)


def _has_name(body: Mapping[str, Any]) -> bool:
    """Whether a resource is one that functions refer to by name: its variables must resolve, others' need not."""
    return str(body.get("Type", "")).split("::")[1:2] in (["DynamoDB"], ["SQS"], ["SNS"], ["S3"], ["Kinesis"])


def _logical(key: str) -> str:
    """A function's or layer's part of a logical id: `my-fn_1` is `MyDashfnUnderscore1`."""
    text = re.sub(r"[^A-Za-z0-9]", "", key.replace("-", "Dash").replace("_", "Underscore"))
    return text[:1].upper() + text[1:]


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
