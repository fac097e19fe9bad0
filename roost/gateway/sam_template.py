"""A SAM `template.yaml` into a `Service`: `AWS::Serverless::*` resources, and the plain `AWS::ApiGatewayV2::*` ones
that WebSocket apps declare by hand. Source: AWS SAM developer guide, "AWS SAM resource and property types"."""

from __future__ import annotations

import atexit
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from roost.gateway.definition import (
    Authorizer,
    DeclaredTable,
    Function,
    Given,
    Route,
    Service,
    Unplayed,
    WebSocketApi,
    api_id,
)
from roost.gateway.intrinsics import ACCOUNT, Stack, Unresolved
from roost.gateway.local_urls import local_urls
from roost.gateway.sam_http import IMPLICIT_HTTP_API, IMPLICIT_REST_API, HttpApis
from roost.gateway.yaml_file import Map, Problems

_FUNCTIONS = ("AWS::Serverless::Function", "AWS::Lambda::Function")
_TABLES = ("AWS::DynamoDB::Table", "AWS::DynamoDB::GlobalTable", "AWS::Serverless::SimpleTable")
_LAYERS = ("AWS::Serverless::LayerVersion", "AWS::Lambda::LayerVersion")
_NOT_SERVED = ("AWS::ApiGateway::RestApi", "AWS::Serverless::Application", "AWS::CloudFormation::Stack")
_FUNCTION_ARN = re.compile(r":function:([A-Za-z0-9_-]+)")


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
        self.resources: dict[str, Map] = {}
        for logical, body in resources.items():
            if isinstance(body, Map):
                body.line = resources.line_of(logical)
                self.resources[str(logical)] = body
        shared = document.get("Globals")
        self.shared: Mapping[str, Any] = shared if isinstance(shared, dict) else {}
        self.name = self._root.name or "app"
        self.region = given.options.get("region") or given.environ.get("AWS_REGION") or "us-east-1"
        self._by_name: dict[str, str] = {}  # functions' keys by their deployed names
        self._stage = given.stage or "dev"
        self._parameters = {**(document.get("Parameters") or {})}
        for name in ("Stage", "StageName", "Env", "Environment"):  # --stage fills what templates call it
            if given.stage and name in self._parameters:
                self._parameters[name] = {"Default": given.stage}
        self.api_ids = {logical: api_id(self.name, "sam", logical) for logical in self._apis()}
        self._stack = self._make_stack(document)

    def service(self) -> Service:
        """Everything, or every problem."""
        functions = dict(self._functions())
        self._by_name = {function.name: key for key, function in functions.items()}
        websocket = self._websocket()
        apis = HttpApis(self, functions)
        http, rest, streams = apis.http(), apis.rest(), tuple(apis.streams())
        apis.not_served()
        for logical, body in self.of_type(*_NOT_SERVED):
            self.problems.warn(body.line, f"{logical} ({body['Type']}) is not served here")
        tables = tuple(self._tables())
        if not functions:
            self.problems.add(1, "there is no Python function")
        self.problems.stop_if_any()
        return Service(
            name=self.name,
            stage=websocket.stage if websocket else self._stage,
            region=self.region,
            account=ACCOUNT,
            functions=functions,
            websocket=websocket,
            http=http,
            rest=rest,
            streams=streams,
            tables=tables,
            warnings=tuple(self.problems.warnings),
        )

    # -- resolving --------------------------------------------------------------------------------------------------

    def _make_stack(self, document: Map) -> Stack:
        known: dict[str, str] = dict(self.api_ids)
        attributes: dict[tuple[str, str], str] = {}
        for logical, identity in self.api_ids.items():
            websocket = self.resources.get(logical, Map()).get("Type") == "AWS::Serverless::WebSocketApi"
            base = self._given.base_url
            attributes[logical, "ApiEndpoint"] = base.replace("http", "wss", 1) if websocket else base
            attributes[logical, "ApiId"] = identity
        for logical, body in self.resources.items():
            kind = str(body.get("Type"))
            if kind.startswith("AWS::ApiGatewayV2::") and kind != "AWS::ApiGatewayV2::Api":
                known[logical] = logical  # what other resources of the template refer to
            if kind == "AWS::ApiGatewayV2::Stage":
                name = (body.get("Properties") or {}).get("StageName")
                known[logical] = name if isinstance(name, str) else logical
        return Stack(
            self.name,
            self.region,
            self.resources,
            overrides=self._given.overrides,
            parameters=self._parameters,
            conditions=document.get("Conditions") or {},
            mappings=document.get("Mappings") or {},
            known=known,
            attributes=attributes,
        )

    def value(self, value: Any, line: int, what: str, default: Any = None) -> Any:
        """A value with CloudFormation's functions resolved; a problem says how to give it one."""
        try:
            resolved = self._stack.value(value)
        except Unresolved as problem:
            self.problems.add(
                line, f"{what}: cannot resolve {problem}: give it a value with --set {problem.override or what}=…"
            )
            return default
        return default if resolved is None else resolved

    def property(self, body: Map, name: str, default: Any = None, defaults: str = "") -> Any:
        """A property, else that of the template's `Globals`, else the default."""
        properties = body.get("Properties")
        line = properties.line_of(name) if isinstance(properties, Map) else body.line
        value = properties.get(name) if isinstance(properties, dict) else None
        if value is None and defaults:
            value = (self.shared.get(defaults) or {}).get(name)
        return default if value is None else self.value(value, line, name, default)

    def of_type(self, *kinds: str) -> Iterator[tuple[str, Map]]:
        """The resources of these types whose condition holds."""
        for logical, body in self.resources.items():
            if body.get("Type") in kinds:
                condition = body.get("Condition")
                if condition is None or self.value({"Condition": condition}, body.line, "Condition", True):
                    yield logical, body

    def _apis(self) -> Iterator[str]:
        declared = ("AWS::Serverless::WebSocketApi", "AWS::Serverless::HttpApi", "AWS::Serverless::Api")
        kinds = (*declared, "AWS::ApiGatewayV2::Api")
        yield from (logical for logical, body in self.resources.items() if body.get("Type") in kinds)
        yield from (IMPLICIT_HTTP_API, IMPLICIT_REST_API)

    # -- functions --------------------------------------------------------------------------------------------------

    def _functions(self) -> Iterator[tuple[str, Function]]:
        for logical, body in self.of_type(*_FUNCTIONS):
            runtime = str(self.property(body, "Runtime", "python3.13", "Function"))
            if self.property(body, "PackageType") == "Image" or not runtime.startswith("python"):
                self.problems.warn(body.line, f"function {logical} does not run Python: left out, with its routes")
                continue
            root = self._code_root(logical, body)
            handler = self.property(body, "Handler", None, "Function")
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
            timeout=float(self.property(body, "Timeout", 3, "Function")),
            memory=int(self.property(body, "MemorySize", 128, "Function")),
            environment=self._environment(body),
            layers=self._layers(logical, body),
        )

    def _code_root(self, logical: str, body: Map) -> Path | None:
        uri = self.property(body, "CodeUri", None, "Function") or self.property(body, "Code")
        inline = self.property(body, "InlineCode") or (uri.get("ZipFile") if isinstance(uri, dict) else None)
        if isinstance(inline, str):
            return _folder_of(inline)
        metadata = body.get("Metadata")
        if isinstance(metadata, dict) and metadata.get("aws:asset:property") == "Code":
            uri = metadata.get("aws:asset:path")  # CDK: the folder in cdk.out that it would upload
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
        for holder in ((self.shared.get("Function") or {}).get("Environment"), own):
            variables = holder.get("Variables") if isinstance(holder, dict) else None
            for name, value in variables.items() if isinstance(variables, dict) else []:
                line = variables.line_of(name) if isinstance(variables, Map) else body.line
                override = self._given.overrides.get(str(name))
                resolved = override if override is not None else self.value(value, line, str(name))
                if resolved is not None:
                    text = str(resolved).lower() if isinstance(resolved, bool) else str(resolved)
                    stages = dict.fromkeys(self.api_ids.values(), "")
                    merged[str(name)] = local_urls(text, self._given.base_url, stages)
        return merged

    def _layers(self, logical: str, body: Map) -> tuple[Path, ...]:
        properties = body.get("Properties")
        layers = properties.get("Layers") if isinstance(properties, dict) else None
        found = []
        for layer in layers if isinstance(layers, list) else []:
            name = layer.get("Ref") if isinstance(layer, dict) else None
            declared = self.resources.get(str(name), Map())
            uri = self.property(declared, "ContentUri") if declared.get("Type") in _LAYERS else None
            if isinstance(uri, str) and (self._root / uri).is_dir():
                found.append((self._root / uri).resolve())
            else:
                why = "packages already installed stand in for it"
                self.problems.warn(body.line, f"layer of {logical} is not here: {why}")
        return tuple(found)

    # -- WebSocket API ----------------------------------------------------------------------------------------------

    def _websocket(self) -> WebSocketApi | None:
        found = [*self.of_type("AWS::Serverless::WebSocketApi")]
        plain = [
            (logical, body)
            for logical, body in self.of_type("AWS::ApiGatewayV2::Api")
            if self.property(body, "ProtocolType") == "WEBSOCKET"
        ]
        for logical, body in (found + plain)[1:]:
            self.problems.warn(body.line, f"{logical} is a second WebSocket API: only the first is served")
        if found:
            return self._serverless_websocket(*found[0])
        return self._plain_websocket(*plain[0]) if plain else None

    def _serverless_websocket(self, logical: str, body: Map) -> WebSocketApi:
        routes: dict[str, Route] = {}
        declared = self.property(body, "Routes", {})
        for key, route in declared.items() if isinstance(declared, dict) else []:
            function = self.function_at((route or {}).get("FunctionArn"))
            if function is None:
                self.problems.warn(body.line, f"route {key} names no Python function of this template: left out")
            else:
                two_way = (route or {}).get("RouteResponseSelectionExpression") == "$default"
                routes[str(key)] = Route(str(key), function, two_way)
        auth = self.property(body, "Auth", {}) or {}
        authorizer: Authorizer | Unplayed | None = None
        if auth.get("AuthType") == "AWS_IAM":
            authorizer = self._unplayed("AWS_IAM", body.line)
        elif auth:
            authorizer = self._authorizer(auth.get("AuthArn"), auth.get("IdentitySource"), body)
        return WebSocketApi(
            id=self.api_ids[logical],
            name=str(self.property(body, "Name", logical)),
            stage=str(self.property(body, "StageName", self._stage)),
            route_selection_expression=str(self.property(body, "RouteSelectionExpression", "$request.body.action")),
            routes=routes,
            authorizer=authorizer,
            stage_variables={str(k): str(v) for k, v in self.property(body, "StageVariables", {}).items()},
        )

    def _plain_websocket(self, logical: str, body: Map) -> WebSocketApi:
        identity = self.api_ids[logical]
        routes: dict[str, Route] = {}
        authorizer: Authorizer | Unplayed | None = None
        for name, route in self.of_api("AWS::ApiGatewayV2::Route", identity):
            key = str(self.property(route, "RouteKey", ""))
            function, integration = self.target(route)
            if function is None:
                self.problems.warn(route.line, f"route {name} ({key}) leads to no Python function here: left out")
                continue
            two_way = self.property(route, "RouteResponseSelectionExpression") == "$default"
            routes[key] = Route(key, function, two_way, self.seconds(integration, 29.0))
            kind = self.property(route, "AuthorizationType", "NONE")
            if key == "$connect" and kind == "CUSTOM":
                authorizer = self._plain_authorizer(str(self.property(route, "AuthorizerId", "")))
            elif key == "$connect" and kind != "NONE":
                authorizer = self._unplayed(kind, route.line)
        stage, variables = self.stage_of(identity) or (self._stage, {})
        return WebSocketApi(
            id=identity,
            name=str(self.property(body, "Name", logical)),
            stage=stage,
            route_selection_expression=str(self.property(body, "RouteSelectionExpression", "$request.body.action")),
            routes=routes,
            authorizer=authorizer,
            stage_variables=variables,
        )

    def of_api(self, kind: str, identity: str) -> Iterator[tuple[str, Map]]:
        """The resources of this type that belong to an API."""
        for logical, body in self.of_type(kind):
            if self.property(body, "ApiId") == identity:
                yield logical, body

    def stage_of(self, identity: str) -> tuple[str, dict[str, str]] | None:
        """The name and the variables of an API's declared stage."""
        for _, body in self.of_api("AWS::ApiGatewayV2::Stage", identity):
            variables = self.property(body, "StageVariables", {})
            return str(self.property(body, "StageName", self._stage)), {str(k): str(v) for k, v in variables.items()}
        return None

    def target(self, route: Map) -> tuple[str | None, Map]:
        """The function behind `integrations/{Integration}`, and that."""
        target = str(self.property(route, "Target", ""))
        integration = self.resources.get(target.removeprefix("integrations/"), Map())
        return self.function_at(self.property(integration, "IntegrationUri")), integration

    def seconds(self, integration: Map, longest: float) -> float:
        """How long an integration may take."""
        return float(self.property(integration, "TimeoutInMillis", longest * 1000)) / 1000

    def _unplayed(self, kind: str, line: int) -> Unplayed:
        refusal = "$connect answers 401 unless --skip-authorizers is given"
        self.problems.warn(line, f"AUTHORIZER {kind} cannot be played here, since nobody has an account: {refusal}")
        return Unplayed(kind)

    def _plain_authorizer(self, logical: str) -> Authorizer | None:
        body = self.resources.get(logical)
        if body is None:
            self.problems.add(1, f"authorizer {logical} is not declared")
            return None
        uri, sources = self.property(body, "AuthorizerUri"), self.property(body, "IdentitySource", [])
        authorizer = self._authorizer(uri, sources, body)
        if authorizer is not None and self.property(body, "EnableSimpleResponses") is True:
            return Authorizer(logical, authorizer.function, authorizer.identity_sources, simple=True)
        return authorizer

    def _authorizer(self, arn: Any, sources: Any, body: Map) -> Authorizer | None:
        function = self.function_at(arn)
        if function is None:
            self.problems.add(body.line, "the authorizer is no Python function of this template")
            return None
        listed = [sources] if isinstance(sources, str) else sources or []
        return Authorizer(function, function, tuple(map(str, listed)))

    def function_at(self, arn: Any) -> str | None:
        """The function in an ARN or an integration URI."""
        match = _FUNCTION_ARN.search(str(arn))
        return self._by_name.get(match[1]) if match else self._by_name.get(str(arn))

    # -- tables -----------------------------------------------------------------------------------------------------

    def _tables(self) -> Iterator[DeclaredTable]:
        for logical, body in self.of_type(*_TABLES):
            properties = self.value(body.get("Properties") or {}, body.line, logical, {})
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


def _folder_of(source: str) -> Path:
    """A folder, for as long as this process lives, with a source that stands in a template, as Lambda names it."""
    folder = Path(tempfile.mkdtemp(prefix="roost-inline-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / "index.py").write_text(source, encoding="utf-8")
    return folder
