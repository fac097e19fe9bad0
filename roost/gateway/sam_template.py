"""A SAM `template.yaml` into a `Service`: `AWS::Serverless::*` resources, and the plain `AWS::ApiGatewayV2::*` ones
that WebSocket apps declare by hand. Source: AWS SAM developer guide, "AWS SAM resource and property types"."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from roost.gateway.definition import (
    Authorizer,
    Cors,
    DeclaredTable,
    Function,
    Given,
    HttpApi,
    HttpRoute,
    Route,
    Service,
    WebSocketApi,
    api_id,
)
from roost.gateway.intrinsics import ACCOUNT, Stack, Unresolved
from roost.gateway.local_urls import local_urls
from roost.gateway.yaml_file import Map, Problems

_FUNCTIONS = ("AWS::Serverless::Function", "AWS::Lambda::Function")
_TABLES = ("AWS::DynamoDB::Table", "AWS::DynamoDB::GlobalTable", "AWS::Serverless::SimpleTable")
_LAYERS = ("AWS::Serverless::LayerVersion", "AWS::Lambda::LayerVersion")
_FUNCTION_ARN = re.compile(r":function:([A-Za-z0-9_-]+)")
_IMPLICIT_HTTP_API = "ServerlessHttpApi"


def read(document: Map, path: Path, given: Given) -> Service:
    """The service that a template describes. Raises `DefinitionError` with every problem."""
    return _Reader(document, path, given).service()


class _Reader:
    def __init__(self, document: Map, path: Path, given: Given) -> None:
        self._given = given
        self._root = path.resolve().parent
        self.problems = Problems(path)
        declared = document.get("Resources")
        resources = declared if isinstance(declared, Map) else Map()
        self._resources: dict[str, Map] = {}
        for logical, body in resources.items():
            if isinstance(body, Map):
                body.line = resources.line_of(logical)
                self._resources[str(logical)] = body
        shared = document.get("Globals")
        self._globals: Mapping[str, Any] = shared if isinstance(shared, dict) else {}
        self._name = self._root.name or "app"
        self._region = given.options.get("region") or given.environ.get("AWS_REGION") or "us-east-1"
        self._stage = given.stage or "dev"
        self._parameters = {**(document.get("Parameters") or {})}
        for name in ("Stage", "StageName", "Env", "Environment"):  # --stage fills what templates call it
            if given.stage and name in self._parameters:
                self._parameters[name] = {"Default": given.stage}
        self._api_ids = {logical: api_id(self._name, "sam", logical) for logical in self._apis()}
        self._stack = self._make_stack(document)

    def service(self) -> Service:
        """Everything, or every problem."""
        functions = dict(self._functions())
        by_name = {function.name: key for key, function in functions.items()}
        websocket = self._websocket(by_name)
        http = self._http(functions, by_name)
        tables = tuple(self._tables())
        if not functions:
            self.problems.add(1, "there is no Python function")
        self.problems.stop_if_any()
        return Service(
            name=self._name,
            stage=websocket.stage if websocket else self._stage,
            region=self._region,
            account=ACCOUNT,
            functions=functions,
            websocket=websocket,
            http=http,
            tables=tables,
            warnings=tuple(self.problems.warnings),
        )

    # -- resolving --------------------------------------------------------------------------------------------------

    def _make_stack(self, document: Map) -> Stack:
        known: dict[str, str] = dict(self._api_ids)
        attributes: dict[tuple[str, str], str] = {}
        for logical, identity in self._api_ids.items():
            websocket = self._resources.get(logical, Map()).get("Type") == "AWS::Serverless::WebSocketApi"
            base = self._given.base_url
            attributes[logical, "ApiEndpoint"] = base.replace("http", "ws", 1) if websocket else base
            attributes[logical, "ApiId"] = identity
        for logical, body in self._resources.items():
            kind = str(body.get("Type"))
            if kind.startswith("AWS::ApiGatewayV2::") and kind != "AWS::ApiGatewayV2::Api":
                known[logical] = logical  # what other resources of the template refer to
            if kind == "AWS::ApiGatewayV2::Stage":
                name = (body.get("Properties") or {}).get("StageName")
                known[logical] = name if isinstance(name, str) else logical
        return Stack(
            self._name,
            self._region,
            self._resources,
            overrides=self._given.overrides,
            parameters=self._parameters,
            conditions=document.get("Conditions") or {},
            mappings=document.get("Mappings") or {},
            known=known,
            attributes=attributes,
        )

    def _value(self, value: Any, line: int, what: str, default: Any = None) -> Any:
        try:
            resolved = self._stack.value(value)
        except Unresolved as problem:
            self.problems.add(line, f"{what}: cannot resolve {problem}: give it a value with --set")
            return default
        return default if resolved is None else resolved

    def _property(self, body: Map, name: str, default: Any = None, defaults: str = "") -> Any:
        """A property, else that of the template's `Globals`, else the default."""
        properties = body.get("Properties")
        line = properties.line_of(name) if isinstance(properties, Map) else body.line
        value = properties.get(name) if isinstance(properties, dict) else None
        if value is None and defaults:
            value = (self._globals.get(defaults) or {}).get(name)
        return default if value is None else self._value(value, line, name, default)

    def _of_type(self, *kinds: str) -> Iterator[tuple[str, Map]]:
        for logical, body in self._resources.items():
            if body.get("Type") in kinds:
                condition = body.get("Condition")
                if condition is None or self._value({"Condition": condition}, body.line, "Condition", True):
                    yield logical, body

    def _apis(self) -> Iterator[str]:
        kinds = ("AWS::Serverless::WebSocketApi", "AWS::Serverless::HttpApi", "AWS::ApiGatewayV2::Api")
        yield from (logical for logical, body in self._resources.items() if body.get("Type") in kinds)
        yield _IMPLICIT_HTTP_API

    # -- functions --------------------------------------------------------------------------------------------------

    def _functions(self) -> Iterator[tuple[str, Function]]:
        for logical, body in self._of_type(*_FUNCTIONS):
            runtime = str(self._property(body, "Runtime", "python3.13", "Function"))
            if self._property(body, "PackageType") == "Image" or not runtime.startswith("python"):
                self.problems.warn(body.line, f"function {logical} does not run Python: left out, with its routes")
                continue
            root = self._code_root(logical, body)
            handler = self._property(body, "Handler", None, "Function")
            if not isinstance(handler, str):
                self.problems.add(body.line, f"function {logical} has no Handler")
                continue
            if root is not None:
                yield logical, self._function(logical, body, runtime, root, handler)

    def _function(self, logical: str, body: Map, runtime: str, root: Path, handler: str) -> Function:
        return Function(
            key=logical,
            name=self._stack.physical_name(logical),
            handler=handler,
            code_root=root,
            runtime=runtime,
            timeout=float(self._property(body, "Timeout", 3, "Function")),
            memory=int(self._property(body, "MemorySize", 128, "Function")),
            environment=self._environment(body),
            layers=self._layers(logical, body),
        )

    def _code_root(self, logical: str, body: Map) -> Path | None:
        uri = self._property(body, "CodeUri", None, "Function") or self._property(body, "Code")
        if uri is None:
            uri = "."
        folder = (self._root / uri).resolve() if isinstance(uri, str) else None
        if folder is None or not folder.is_dir():
            self.problems.add(body.line, f"function {logical}: CodeUri {uri!r} is not a folder here")
            return None
        return folder

    def _environment(self, body: Map) -> dict[str, str]:
        merged: dict[str, str] = {}
        own = body.get("Properties", {}).get("Environment") if isinstance(body.get("Properties"), dict) else None
        for holder in ((self._globals.get("Function") or {}).get("Environment"), own):
            variables = holder.get("Variables") if isinstance(holder, dict) else None
            for name, value in variables.items() if isinstance(variables, dict) else []:
                line = variables.line_of(name) if isinstance(variables, Map) else body.line
                override = self._given.overrides.get(str(name))
                resolved = override if override is not None else self._value(value, line, str(name))
                if resolved is not None:
                    text = str(resolved).lower() if isinstance(resolved, bool) else str(resolved)
                    stages = dict.fromkeys(self._api_ids.values(), "")
                    merged[str(name)] = local_urls(text, self._given.base_url, stages)
        return merged

    def _layers(self, logical: str, body: Map) -> tuple[Path, ...]:
        properties = body.get("Properties")
        layers = properties.get("Layers") if isinstance(properties, dict) else None
        found = []
        for layer in layers if isinstance(layers, list) else []:
            name = layer.get("Ref") if isinstance(layer, dict) else None
            declared = self._resources.get(str(name), Map())
            uri = self._property(declared, "ContentUri") if declared.get("Type") in _LAYERS else None
            if isinstance(uri, str) and (self._root / uri).is_dir():
                found.append((self._root / uri).resolve())
            else:
                why = "packages already installed stand in for it"
                self.problems.warn(body.line, f"layer of {logical} is not here: {why}")
        return tuple(found)

    # -- WebSocket API ----------------------------------------------------------------------------------------------

    def _websocket(self, by_name: Mapping[str, str]) -> WebSocketApi | None:
        found = [*self._of_type("AWS::Serverless::WebSocketApi")]
        plain = [
            (logical, body)
            for logical, body in self._of_type("AWS::ApiGatewayV2::Api")
            if self._property(body, "ProtocolType") == "WEBSOCKET"
        ]
        for logical, body in (found + plain)[1:]:
            self.problems.warn(body.line, f"{logical} is a second WebSocket API: only the first is served")
        if found:
            return self._serverless_websocket(*found[0], by_name)
        return self._plain_websocket(*plain[0], by_name) if plain else None

    def _serverless_websocket(self, logical: str, body: Map, by_name: Mapping[str, str]) -> WebSocketApi:
        routes: dict[str, Route] = {}
        declared = self._property(body, "Routes", {})
        for key, route in declared.items() if isinstance(declared, dict) else []:
            function = self._function_of((route or {}).get("FunctionArn"), by_name)
            if function is None:
                self.problems.add(body.line, f"route {key} names no Python function of this template")
            else:
                two_way = (route or {}).get("RouteResponseSelectionExpression") == "$default"
                routes[str(key)] = Route(str(key), function, two_way)
        auth = self._property(body, "Auth", {}) or {}
        authorizer = self._authorizer(auth.get("AuthArn"), auth.get("IdentitySource"), body, by_name) if auth else None
        return WebSocketApi(
            id=self._api_ids[logical],
            name=str(self._property(body, "Name", logical)),
            stage=str(self._property(body, "StageName", self._stage)),
            route_selection_expression=str(self._property(body, "RouteSelectionExpression", "$request.body.action")),
            routes=routes,
            authorizer=authorizer,
            stage_variables={str(k): str(v) for k, v in self._property(body, "StageVariables", {}).items()},
        )

    def _plain_websocket(self, logical: str, body: Map, by_name: Mapping[str, str]) -> WebSocketApi:
        identity = self._api_ids[logical]
        routes: dict[str, Route] = {}
        authorizer: Authorizer | None = None
        for name, route in self._of_api("AWS::ApiGatewayV2::Route", identity):
            key = str(self._property(route, "RouteKey", ""))
            function = self._target(route, by_name)
            if function is None:
                self.problems.add(route.line, f"route {name} ({key}) leads to no Python function of this template")
                continue
            two_way = self._property(route, "RouteResponseSelectionExpression") == "$default"
            routes[key] = Route(key, function, two_way)
            if key == "$connect" and self._property(route, "AuthorizationType") == "CUSTOM":
                authorizer = self._plain_authorizer(str(self._property(route, "AuthorizerId", "")), by_name)
        stage, variables = self._plain_stage(identity)
        return WebSocketApi(
            id=identity,
            name=str(self._property(body, "Name", logical)),
            stage=stage,
            route_selection_expression=str(self._property(body, "RouteSelectionExpression", "$request.body.action")),
            routes=routes,
            authorizer=authorizer,
            stage_variables=variables,
        )

    def _of_api(self, kind: str, identity: str) -> Iterator[tuple[str, Map]]:
        for logical, body in self._of_type(kind):
            if self._property(body, "ApiId") == identity:
                yield logical, body

    def _plain_stage(self, identity: str) -> tuple[str, dict[str, str]]:
        for _, body in self._of_api("AWS::ApiGatewayV2::Stage", identity):
            variables = self._property(body, "StageVariables", {})
            return str(self._property(body, "StageName", self._stage)), {str(k): str(v) for k, v in variables.items()}
        return self._stage, {}

    def _target(self, route: Map, by_name: Mapping[str, str]) -> str | None:
        """The function behind `integrations/{Integration}`."""
        target = str(self._property(route, "Target", ""))
        integration = self._resources.get(target.removeprefix("integrations/"))
        return self._function_of(self._property(integration, "IntegrationUri"), by_name) if integration else None

    def _plain_authorizer(self, logical: str, by_name: Mapping[str, str]) -> Authorizer | None:
        body = self._resources.get(logical)
        if body is None:
            self.problems.add(1, f"authorizer {logical} is not declared")
            return None
        uri, sources = self._property(body, "AuthorizerUri"), self._property(body, "IdentitySource", [])
        authorizer = self._authorizer(uri, sources, body, by_name)
        if authorizer is not None and self._property(body, "EnableSimpleResponses") is True:
            return Authorizer(logical, authorizer.function, authorizer.identity_sources, simple=True)
        return authorizer

    def _authorizer(self, arn: Any, sources: Any, body: Map, by_name: Mapping[str, str]) -> Authorizer | None:
        function = self._function_of(arn, by_name)
        if function is None:
            self.problems.add(body.line, "the authorizer is no Python function of this template")
            return None
        listed = [sources] if isinstance(sources, str) else sources or []
        return Authorizer(function, function, tuple(map(str, listed)))

    @staticmethod
    def _function_of(arn: Any, by_name: Mapping[str, str]) -> str | None:
        """The function in an ARN or an integration URI."""
        match = _FUNCTION_ARN.search(str(arn))
        return by_name.get(match[1]) if match else by_name.get(str(arn))

    # -- HTTP API ---------------------------------------------------------------------------------------------------

    def _http(self, functions: Mapping[str, Function], by_name: Mapping[str, str]) -> HttpApi | None:
        routes = [*self._event_routes(functions, by_name)]
        logical, body = _IMPLICIT_HTTP_API, Map()
        for name, declared in self._of_type("AWS::Serverless::HttpApi", "AWS::ApiGatewayV2::Api"):
            if self._property(declared, "ProtocolType", "HTTP") == "HTTP":
                logical, body = name, declared
                routes += self._plain_routes(self._api_ids[name], by_name)
        if not routes:
            return None
        stage = self._property(body, "StageName") if body else None
        if body.get("Type") == "AWS::ApiGatewayV2::Api":
            stage = self._plain_stage_or_default(self._api_ids[logical])
        cors = self._property(body, "CorsConfiguration") if body else None
        return HttpApi(
            id=self._api_ids[logical],
            name=str(self._property(body, "Name", self._name) if body else self._name),
            stage=str(stage or "$default"),
            routes=tuple(routes),
            cors=_cors(cors),
        )

    def _plain_stage_or_default(self, identity: str) -> str:
        declared = any(self._of_api("AWS::ApiGatewayV2::Stage", identity))
        return self._plain_stage(identity)[0] if declared else "$default"

    def _event_routes(self, functions: Mapping[str, Function], by_name: Mapping[str, str]) -> Iterator[HttpRoute]:
        for key in functions:
            events = (self._resources[key].get("Properties") or {}).get("Events")
            for name, event in events.items() if isinstance(events, dict) else []:
                kind = event.get("Type") if isinstance(event, dict) else None
                line = events.line_of(name) if isinstance(events, Map) else 1
                if kind != "HttpApi":
                    self.problems.warn(line, f"event {name} of {key} ({kind}) is not served here")
                    continue
                properties = self._value(event.get("Properties") or {}, line, f"event {name}", {})
                path = str(properties.get("Path", "$default"))
                method = (
                    str(properties.get("Method", "ANY"))
                    .upper()
                    .replace("*", "ANY")
                    .replace("X-AMAZON-APIGATEWAY-ANY-METHOD", "ANY")
                )
                authorizer = self._event_authorizer(properties.get("Auth"), by_name, line)
                yield HttpRoute("ANY" if path == "$default" else method, path, key, authorizer)

    def _event_authorizer(self, auth: Any, by_name: Mapping[str, str], line: int) -> Authorizer | None:
        name = auth.get("Authorizer") if isinstance(auth, dict) else None
        if name in (None, "NONE"):
            return None
        for _, body in self._of_type("AWS::Serverless::HttpApi"):
            declared = (self._property(body, "Auth", {}) or {}).get("Authorizers", {}).get(name)
            if isinstance(declared, dict) and "FunctionArn" in declared:
                identity = declared.get("Identity") or {}
                sources = [f"$request.header.{header}" for header in identity.get("Headers", ["Authorization"])]
                found = self._authorizer(declared["FunctionArn"], sources, body, by_name)
                simple = declared.get("EnableSimpleResponses") is True
                return found and Authorizer(str(name), found.function, found.identity_sources, simple=simple)
        self.problems.warn(line, f"authorizer {name} is no function, which is not done here: everybody is let through")
        return None

    def _plain_routes(self, identity: str, by_name: Mapping[str, str]) -> Iterator[HttpRoute]:
        for name, route in self._of_api("AWS::ApiGatewayV2::Route", identity):
            key, function = str(self._property(route, "RouteKey", "")), self._target(route, by_name)
            if function is None:
                self.problems.add(route.line, f"route {name} ({key}) leads to no Python function of this template")
                continue
            authorizer = None
            if self._property(route, "AuthorizationType") == "CUSTOM":
                authorizer = self._plain_authorizer(str(self._property(route, "AuthorizerId", "")), by_name)
            method, _, path = key.partition(" ") if " " in key else ("ANY", "", "$default")
            yield HttpRoute(method.upper(), path, function, authorizer)

    # -- tables -----------------------------------------------------------------------------------------------------

    def _tables(self) -> Iterator[DeclaredTable]:
        for logical, body in self._of_type(*_TABLES):
            properties = self._value(body.get("Properties") or {}, body.line, logical, {})
            if body.get("Type") == "AWS::Serverless::SimpleTable":
                properties = _simple_table(properties)
            yield DeclaredTable(logical, self._stack.physical_name(logical), properties)


def _simple_table(properties: Mapping[str, Any]) -> dict[str, Any]:
    """`AWS::Serverless::SimpleTable` as the table it stands for."""
    key = properties.get("PrimaryKey") or {}
    name = key.get("Name", "id")
    kind = {"String": "S", "Number": "N", "Binary": "B"}.get(str(key.get("Type", "String")), "S")
    return {
        "AttributeDefinitions": [{"AttributeName": name, "AttributeType": kind}],
        "KeySchema": [{"AttributeName": name, "KeyType": "HASH"}],
        "BillingMode": "PAY_PER_REQUEST",
    }


def _cors(value: Any) -> Cors | None:
    if value is True:
        return Cors(("*",), ("*",), ("*",))
    if not isinstance(value, dict):
        return None

    def texts(name: str) -> tuple[str, ...]:
        return tuple(map(str, value.get(name) or ()))

    return Cors(
        texts("AllowOrigins"),
        texts("AllowMethods"),
        texts("AllowHeaders"),
        texts("ExposeHeaders"),
        value.get("MaxAge"),
        value.get("AllowCredentials") is True,
    )
