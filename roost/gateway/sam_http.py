"""HTTP APIs and REST APIs of a SAM template: `HttpApi` and `Api` events, `AWS::Serverless::HttpApi` and `::Api`, and
the plain `AWS::ApiGatewayV2::*` resources. Source: AWS SAM developer guide, "ApiFunctionAuth", "HttpApiAuth", "Api"."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from roost.gateway.definition import (
    AnyAuthorizer,
    Authorizer,
    Cors,
    Function,
    HttpApi,
    HttpRoute,
    JwtAuthorizer,
    RestApi,
    Stream,
    Unplayed,
    table_of,
)
from roost.gateway.serverless_http import cognito_issuer
from roost.gateway.yaml_file import Map, Problems

IMPLICIT_HTTP_API = "ServerlessHttpApi"
IMPLICIT_REST_API = "ServerlessRestApi"
_IMPLICIT_REST_STAGE = "Prod"
_REST_SECONDS = 29.0  # REST APIs: the longest integration

Settings = Mapping[str, Any]


class Template(Protocol):
    """The template that they stand in."""

    name: str
    region: str
    problems: Problems
    resources: dict[str, Map]
    api_ids: dict[str, str]

    def value(self, value: Any, line: int, what: str, default: Any = None) -> Any:
        """A value with CloudFormation's functions resolved."""

    def property(self, body: Map, name: str, default: Any = None, defaults: str = "") -> Any:
        """A resource's property."""

    def of_type(self, *kinds: str) -> Iterator[tuple[str, Map]]:
        """The resources of these types."""

    def of_api(self, kind: str, identity: str) -> Iterator[tuple[str, Map]]:
        """The resources of this type that belong to an API."""

    def stage_of(self, identity: str) -> tuple[str, dict[str, str]] | None:
        """The name and the variables of an API's declared stage."""

    def target(self, route: Map) -> tuple[str | None, Map]:
        """The function behind a route, and its integration."""

    def seconds(self, integration: Map, longest: float) -> float:
        """How long an integration may take."""

    def function_at(self, arn: Any) -> str | None:
        """The function that an ARN means."""


class HttpApis:
    """Reads a template's HTTP API and REST API."""

    def __init__(self, template: Template, functions: Mapping[str, Function]) -> None:
        self._template = template
        self._functions = functions

    # -- HTTP API -----------------------------------------------------------------------------------------------------

    def http(self) -> HttpApi | None:
        """The HTTP API, if there is one."""
        template = self._template
        logical, body = IMPLICIT_HTTP_API, Map()
        routes: list[HttpRoute] = []
        for name, declared in template.of_type("AWS::Serverless::HttpApi", "AWS::ApiGatewayV2::Api"):
            if template.property(declared, "ProtocolType", "HTTP") == "HTTP":
                logical, body = name, declared
                routes += self._plain_routes(template.api_ids[name])
        auth = self._settings(body, "Auth", "HttpApi")
        routes = [*self._http_routes(auth), *routes]
        if not routes:
            return None
        identity = template.api_ids[logical]
        declared_stage = template.stage_of(identity)
        stage = template.property(body, "StageName") or (declared_stage[0] if declared_stage else "$default")
        cors = template.property(body, "CorsConfiguration", None, "HttpApi")
        return HttpApi(
            id=identity,
            name=str(template.property(body, "Name", template.name)),
            stage=str(stage),
            routes=tuple(routes),
            cors=_http_cors(cors),
        )

    def _settings(self, body: Map, name: str, kind: str) -> Settings:
        value = self._template.property(body, name, {}, kind)
        return value if isinstance(value, dict) else {}

    def _events(self, kind: str) -> Iterator[tuple[str, str, Settings, int]]:
        """Every event of a type as (function, event's name, properties, line)."""
        for key in self._functions:
            events = (self._template.resources[key].get("Properties") or {}).get("Events")
            for name, event in events.items() if isinstance(events, dict) else []:
                if isinstance(event, dict) and event.get("Type") == kind:
                    line = events.line_of(name) if isinstance(events, Map) else 1
                    properties = self._template.value(event.get("Properties") or {}, line, f"event {name}", {})
                    yield key, str(name), properties, line

    def streams(self) -> Iterator[Stream]:
        """The functions that get the changes of tables."""
        for key, name, properties, line in self._events("DynamoDB"):
            table = table_of(properties.get("Stream"))
            if table is None:
                self._template.problems.warn(line, f"event {name} of {key} is not served here: it is of no table")
                continue
            position = str(properties.get("StartingPosition", "TRIM_HORIZON"))
            yield Stream(key, table, str(properties["Stream"]), int(properties.get("BatchSize", 100)), position)

    def not_served(self) -> None:
        """Warn of events of other types."""
        for key in self._functions:
            events = (self._template.resources[key].get("Properties") or {}).get("Events")
            for name, event in events.items() if isinstance(events, dict) else []:
                kind = event.get("Type") if isinstance(event, dict) else None
                if kind not in ("HttpApi", "Api", "DynamoDB"):
                    line = events.line_of(name) if isinstance(events, Map) else 1
                    self._template.problems.warn(line, f"event {name} of {key} ({kind}) is not served here")

    def _http_routes(self, auth: Settings) -> Iterator[HttpRoute]:
        for key, _, properties, line in self._events("HttpApi"):
            path = str(properties.get("Path", "$default"))
            authorizer = self._http_authorizer(properties.get("Auth"), auth, line)
            payload = "1.0" if str(properties.get("PayloadFormatVersion")) == "1.0" else "2.0"
            method = "ANY" if path == "$default" else _method(properties)
            limit = float(properties.get("TimeoutInMillis", 30_000)) / 1000
            yield HttpRoute(method, path, key, authorizer, payload, limit)

    def _http_authorizer(self, used: Any, auth: Settings, line: int) -> AnyAuthorizer | None:
        used = used if isinstance(used, dict) else {}
        name = used.get("Authorizer") or auth.get("DefaultAuthorizer")
        if name in (None, "NONE"):
            return None
        declared = (auth.get("Authorizers") or {}).get(name)
        if not isinstance(declared, dict):
            return self._unplayed(name, "since it is no function of this template", line)
        source = declared.get("IdentitySource", "$request.header.Authorization")
        jwt = declared.get("JwtConfiguration")
        if isinstance(jwt, dict):
            scopes = used.get("AuthorizationScopes") or declared.get("AuthorizationScopes")
            return _jwt(str(name), jwt.get("issuer"), jwt.get("audience"), source, scopes)
        function = self._template.function_at(declared.get("FunctionArn"))
        if function is None:
            return self._unplayed(name, "since it is no function of this template", line)
        identity = declared.get("Identity") or {}
        sources = [f"$request.header.{header}" for header in identity.get("Headers") or ()]
        sources += [f"$request.querystring.{query}" for query in identity.get("QueryStrings") or ()]
        return Authorizer(
            str(name),
            function,
            tuple(sources) or ("$request.header.Authorization",),
            simple=declared.get("EnableSimpleResponses") is True,
            payload=str(declared.get("AuthorizerPayloadFormatVersion", "2.0")),
        )

    def _plain_routes(self, identity: str) -> Iterator[HttpRoute]:
        template = self._template
        for name, route in template.of_api("AWS::ApiGatewayV2::Route", identity):
            key = str(template.property(route, "RouteKey", ""))
            function, integration = template.target(route)
            if function is None:
                template.problems.warn(route.line, f"route {name} ({key}) leads to no Python function here: left out")
                continue
            payload = "1.0" if str(template.property(integration, "PayloadFormatVersion")) == "1.0" else "2.0"
            method, _, path = key.partition(" ") if " " in key else ("ANY", "", "$default")
            limit = template.seconds(integration, 30.0)
            yield HttpRoute(method.upper(), path, function, self._plain_authorizer(route), payload, limit)

    def _plain_authorizer(self, route: Map) -> AnyAuthorizer | None:
        template = self._template
        kind, name = template.property(route, "AuthorizationType", "NONE"), template.property(route, "AuthorizerId", "")
        body = template.resources.get(str(name), Map())
        if kind == "NONE":
            return None
        source = template.property(body, "IdentitySource", "$request.header.Authorization")
        jwt = template.property(body, "JwtConfiguration", {})
        if kind == "JWT" and jwt:
            scopes = template.property(route, "AuthorizationScopes")
            return _jwt(str(name), jwt.get("Issuer"), jwt.get("Audience"), source, scopes)
        function = template.function_at(template.property(body, "AuthorizerUri"))
        if kind != "CUSTOM" or function is None:
            return self._unplayed(name or kind, "since it is no function of this template", route.line)
        return Authorizer(
            str(name),
            function,
            _texts(source),
            simple=template.property(body, "EnableSimpleResponses") is True,
            payload=str(template.property(body, "AuthorizerPayloadFormatVersion", "2.0")),
        )

    # -- REST API -----------------------------------------------------------------------------------------------------

    def rest(self) -> RestApi | None:
        """The REST API, if there is one."""
        template = self._template
        logical, body = IMPLICIT_REST_API, Map()
        for name, declared in template.of_type("AWS::Serverless::Api"):
            logical, body = name, declared
        auth = self._settings(body, "Auth", "Api")
        cors = _rest_cors(template.property(body, "Cors", None, "Api"))
        routes = tuple(self._rest_routes(auth, cors))
        if not routes:
            return None
        return RestApi(
            id=template.api_ids[logical],
            name=str(template.property(body, "Name", template.name)),
            stage=str(template.property(body, "StageName", _IMPLICIT_REST_STAGE)),
            routes=routes,
            binary_types=tuple(each.replace("~1", "/") for each in _texts(self._binary_types(body))),
            stage_variables={k: str(v) for k, v in self._settings(body, "Variables", "Api").items()},
        )

    def _binary_types(self, body: Map) -> Any:
        return self._template.property(body, "BinaryMediaTypes", None, "Api")

    def _rest_routes(self, auth: Settings, cors: Cors | None) -> Iterator[HttpRoute]:
        for key, _, properties, line in self._events("Api"):
            own = properties.get("Auth") or {}
            authorizer = self._rest_authorizer(own.get("Authorizer"), auth, line)
            api_key = own.get("ApiKeyRequired", auth.get("ApiKeyRequired")) is True
            if api_key:
                refusal = "its routes answer 403 unless --skip-authorizers is given"
                self._template.problems.warn(
                    line, f"{key} asks for an API KEY, which a template does not hold: {refusal}"
                )
            path = str(properties.get("Path", "/"))
            yield HttpRoute(
                _method(properties), path, key, authorizer, timeout=_REST_SECONDS, cors=cors, api_key=api_key
            )

    def _rest_authorizer(self, name: Any, auth: Settings, line: int) -> AnyAuthorizer | None:
        name = name or auth.get("DefaultAuthorizer")
        if name in (None, "NONE"):
            return None
        declared = (auth.get("Authorizers") or {}).get(name)
        if not isinstance(declared, dict):
            return self._unplayed(name, "since nobody has an account", line)
        identity = declared.get("Identity") or {}
        pools = declared.get("UserPoolArn")
        issuer = cognito_issuer(pools[0] if isinstance(pools, list) else pools, self._template.region)
        header = f"method.request.header.{identity.get('Header', 'Authorization')}"
        if issuer is not None:
            return JwtAuthorizer(str(name), issuer, (), header, _texts(declared.get("AuthorizationScopes")))
        function = self._template.function_at(declared.get("FunctionArn"))
        if function is None:
            return self._unplayed(name, "since it is no function of this template", line)
        if declared.get("FunctionPayloadType", "TOKEN") == "TOKEN":
            pattern = str(identity.get("ValidationExpression") or "")
            return Authorizer(str(name), function, (header,), token=True, pattern=pattern)
        sources = [f"method.request.header.{each}" for each in identity.get("Headers") or ()]
        sources += [f"method.request.querystring.{each}" for each in identity.get("QueryStrings") or ()]
        return Authorizer(str(name), function, tuple(sources))

    def _unplayed(self, name: object, why: str, line: int) -> Unplayed:
        refusal = "its routes answer 401 unless --skip-authorizers is given"
        self._template.problems.warn(line, f"AUTHORIZER {name} cannot be played here, {why}: {refusal}")
        return Unplayed(str(name))


def _method(properties: Settings) -> str:
    method = str(properties.get("Method", "ANY")).upper().replace("*", "ANY")
    return "ANY" if method == "X-AMAZON-APIGATEWAY-ANY-METHOD" else method


def _jwt(name: str, issuer: Any, audience: Any, source: Any, scopes: Any) -> JwtAuthorizer:
    return JwtAuthorizer(name, str(issuer), _texts(audience), _texts(source)[0], _texts(scopes))


def _http_cors(value: Any) -> Cors | None:
    if value is True:
        return Cors(("*",), ("*",), ("*",))
    if not isinstance(value, dict):
        return None
    return Cors(
        allow_origins=_texts(value.get("AllowOrigins")),
        allow_methods=_texts(value.get("AllowMethods")),
        allow_headers=_texts(value.get("AllowHeaders")),
        expose_headers=_texts(value.get("ExposeHeaders")),
        max_age=value.get("MaxAge"),
        allow_credentials=value.get("AllowCredentials") is True,
    )


def _rest_cors(value: Any) -> Cors | None:
    """Every value is a text within quotes: `AllowOrigin: "'*'"`."""
    if isinstance(value, str):
        return Cors((value.strip("'"),))
    if not isinstance(value, dict):
        return None

    def split(name: str, default: str = "") -> tuple[str, ...]:
        text = str(value.get(name, default)).strip("'")
        return tuple(part.strip() for part in text.split(",") if part.strip())

    age = str(value.get("MaxAge", "")).strip("'")
    return Cors(
        split("AllowOrigin", "*"),
        split("AllowMethods"),
        split("AllowHeaders"),
        max_age=int(age) if age.isdigit() else None,
        allow_credentials=value.get("AllowCredentials") is True,
    )


def _texts(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    return tuple(map(str, value)) if isinstance(value, list) else (str(value),)
