"""HTTP events of a `serverless.yml`: `httpApi` (HTTP API) and `http` (REST API), with their authorizers and CORS.

Source: Serverless Framework documentation, AWS events "HTTP API" and "REST API"; defaults are the framework's.
"""

from __future__ import annotations

import re
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
    Unplayed,
)
from roost.gateway.intrinsics import Stack, Unresolved
from roost.gateway.variables import Variables
from roost.gateway.yaml_file import Map, Problems

_METHODS = frozenset({"ANY", "GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})
_AUTHORIZER_KEYS = frozenset({"name", "arn", "authorizerId", "type"})
_PROXY = frozenset({"lambda-proxy", "lambda_proxy", "aws-proxy", "aws_proxy"})
_POOL = re.compile(r"(?:userpool/|\bcognito-idp\.[\w-]+\.amazonaws\.com/)([\w-]+_[A-Za-z0-9]+)")
_HEADERS = ("Content-Type", "X-Amz-Date", "Authorization", "X-Api-Key", "X-Amz-Security-Token")
_REST_SECONDS = 29.0  # REST APIs: the longest integration

Functions = Mapping[str, Function]


class File(Protocol):
    """The file that the events stand in."""

    name: str
    document: Map
    provider: Mapping[str, Any]
    problems: Problems
    variables: Variables
    stack: Stack

    def get(self, holder: Any, key: str, default: Any = None) -> Any:
        """A value with its variables resolved."""

    def events(self, kind: str, functions: Functions) -> Iterator[tuple[str, Any, int]]:
        """Every event of a kind as (function, event, line)."""

    def function_at(self, value: Any, functions: Functions) -> str | None:
        """The function of this file that a name or an ARN means, or None. Raises `Unresolved`."""


def cognito_issuer(arn: object, region: str) -> str | None:
    """The issuer of a user pool's tokens, by the pool's ARN."""
    match = _POOL.search(str(arn))
    return f"https://cognito-idp.{region}.amazonaws.com/{match[1]}" if match else None


class _Events:
    """What both kinds of event share."""

    def __init__(self, file: File, functions: Functions) -> None:
        self.file = file
        self.functions = functions

    def settings(self, name: str) -> Mapping[str, Any]:
        """`provider.httpApi` or `provider.apiGateway`."""
        value = self.file.get(self.file.provider, name, {})
        return value if isinstance(value, dict) else {}

    def method_and_path(self, key: str, kind: str, body: Mapping[str, Any], line: int) -> tuple[str, str] | None:
        """`GET /rooms`, in one text or in two."""
        text = str(body.get("path", "")).strip()
        method = str(body.get("method") or "").upper()
        if not method and " " in text:
            method, _, text = text.partition(" ")
        method, text = method.upper().replace("*", "ANY"), text.strip()
        if text in ("*", "$default") and kind == "httpApi":
            return "ANY", "$default"
        if not method or (not text and kind == "httpApi"):
            self.file.problems.add(line, f"{kind} event of {key} needs a method and a path, such as 'GET /rooms'")
            return None
        if method not in _METHODS:
            self.file.problems.add(line, f"{kind} event of {key}: {method} is not a method")
            return None
        return method, text if text.startswith("/") else f"/{text}"

    def body(self, key: str, kind: str, event: Mapping[str, Any], line: int) -> Mapping[str, Any] | None:
        """An event's value as a mapping."""
        value = self.file.variables.resolve(event[kind], line)
        if value is None:
            hint = "its keys stand at the wrong indentation" if len(event) > 1 else "it names no route"
            self.file.problems.add(line, f"{kind} event of {key} is empty: {hint}")
        return value if isinstance(value, dict) else None if value is None else {"path": value}

    def unplayed(self, name: object, why: str, line: int) -> Unplayed:
        """An authorizer that lets nobody through, said loudly."""
        refusal = "its routes answer 401 unless --skip-authorizers is given"
        self.file.problems.warn(line, f"AUTHORIZER {name} cannot be played here, {why}: {refusal}")
        return Unplayed(str(name))

    def function_at(self, value: Any) -> str | None:
        """The function of this file that an authorizer names."""
        try:
            return self.file.function_at(value, self.functions)
        except Unresolved:
            return None

    def resolved(self, value: Any) -> Any:
        """A value, or None where only the cloud knows it."""
        try:
            return self.file.stack.value(value)
        except Unresolved:
            return None


# -- httpApi ----------------------------------------------------------------------------------------------------------


class HttpApiEvents(_Events):
    """Reads `httpApi` events."""

    def api(self, identity: str) -> HttpApi | None:
        """The HTTP API, if there is one."""
        routes: dict[str, HttpRoute] = {}
        for key, event, line in self.file.events("httpApi", self.functions):
            route = self._route(key, event, line)
            if route is None:
                continue
            if route.key in routes:
                self.file.problems.add(line, f"httpApi route {route.key} is declared twice")
            routes[route.key] = route
        if not routes:
            return None
        settings = self.settings("httpApi")
        name = settings.get("name") or f"{self.file.variables.stage}-{self.file.name}"
        return HttpApi(identity, str(name), "$default", tuple(routes.values()), _http_cors(settings))

    def _route(self, key: str, event: Mapping[str, Any], line: int) -> HttpRoute | None:
        body = self.body(key, "httpApi", event, line)
        if body is None:
            return None
        place = self.method_and_path(key, "httpApi", body, line)
        if place is None:
            return None
        return HttpRoute(*place, key, self._authorizer(body.get("authorizer"), line), self._payload(key))

    def _payload(self, key: str) -> str:
        """Of the function, or of all."""
        declared = self.file.document.get("functions")
        own = self.file.get(declared.get(key), "httpApi", {}) if isinstance(declared, dict) else {}
        payload = own.get("payload") if isinstance(own, dict) else None
        return "1.0" if str(payload or self.settings("httpApi").get("payload", "2.0")) == "1.0" else "2.0"

    def _authorizer(self, value: Any, line: int) -> AnyAuthorizer | None:
        if value is None:
            return None
        used = {"name": value} if isinstance(value, str) else value if isinstance(value, dict) else {}
        name = used.get("name")
        if str(used.get("type") or name).lower() == "aws_iam" or "id" in used:
            return self.unplayed(name or used.get("type") or "by id", "since nobody has an account", line)
        declared = self.settings("httpApi").get("authorizers", {})
        body = declared.get(name) if isinstance(declared, dict) else None
        if not isinstance(body, dict):
            where = "is not declared under provider.httpApi.authorizers"
            self.file.problems.add(line, f"httpApi authorizer {name or value} {where}")
            return None
        if body.get("type", "jwt") != "request":
            return self._jwt(str(name), body, used, line)
        function = self.function_at(body.get("functionName") or body.get("functionArn"))
        if function is None:
            return self.unplayed(name, "since its function is not in this file", line)
        return Authorizer(
            str(name),
            function,
            _texts(body.get("identitySource", "$request.header.Authorization")),
            simple=body.get("enableSimpleResponses") is True,
            payload=str(body.get("payloadVersion", "2.0")),
        )

    def _jwt(self, name: str, body: Mapping[str, Any], used: Mapping[str, Any], line: int) -> AnyAuthorizer:
        issuer, audience = self.resolved(body.get("issuerUrl")), self.resolved(body.get("audience"))
        if not isinstance(issuer, str):
            return self.unplayed(name, "since its issuer is not known", line)
        source = _texts(body.get("identitySource", "$request.header.Authorization"))[0]
        return JwtAuthorizer(name, issuer, _texts(audience), source, _texts(used.get("scopes")))


def _http_cors(settings: Mapping[str, Any]) -> Cors | None:
    cors = settings.get("cors")
    if cors is True:
        return Cors(("*",), ("OPTIONS", "GET", "POST", "PUT", "PATCH", "DELETE"), _HEADERS)
    if not isinstance(cors, dict):
        return None
    return Cors(
        allow_origins=_texts(cors.get("allowedOrigins", "*")),
        allow_methods=_texts(cors.get("allowedMethods", "*")),
        allow_headers=_texts(cors.get("allowedHeaders", "*")),
        expose_headers=_texts(cors.get("exposedResponseHeaders")),
        max_age=cors.get("maxAge"),
        allow_credentials=cors.get("allowCredentials") is True,
    )


# -- http -------------------------------------------------------------------------------------------------------------


class RestEvents(_Events):
    """Reads `http` events."""

    def api(self, identity: str) -> RestApi | None:
        """The REST API, if there is one."""
        routes: dict[str, HttpRoute] = {}
        for key, event, line in self.file.events("http", self.functions):
            route = self._route(key, event, line)
            if route is not None:
                routes[route.key] = route
        if not routes:
            return None
        settings, stage = self.settings("apiGateway"), self.file.variables.stage
        return RestApi(
            id=identity,
            name=str(self.file.get(self.file.provider, "apiName", f"{stage}-{self.file.name}")),
            stage=stage,
            routes=tuple(routes.values()),
            api_keys=tuple(self._keys(settings)),
            binary_types=_texts(settings.get("binaryMediaTypes")),
        )

    def _route(self, key: str, event: Mapping[str, Any], line: int) -> HttpRoute | None:
        body = self.body(key, "http", event, line)
        place = self.method_and_path(key, "http", body, line) if body is not None else None
        if body is None or place is None:
            return None
        integration = str(body.get("integration", "lambda-proxy")).lower()
        if integration not in _PROXY or body.get("async") is True:
            kind = "async" if body.get("async") is True else f"integration {integration}"
            self.file.problems.warn(line, f"http event of {key}: {kind} is not served here")
            return None
        private = body.get("private") is True
        if private and not [*self._keys(self.settings("apiGateway"))]:
            refusal = "its routes answer 403 unless --skip-authorizers is given"
            self.file.problems.warn(line, f"{key} asks for an API KEY, of which the file gives no value: {refusal}")
        return HttpRoute(
            *place,
            key,
            self._authorizer(body.get("authorizer"), line),
            timeout=_REST_SECONDS,
            cors=_rest_cors(body.get("cors")),
            api_key=private,
        )

    def _keys(self, settings: Mapping[str, Any]) -> Iterator[str]:
        """The values that the file itself gives; for a name alone AWS makes one up."""
        groups = self.file.get(settings, "apiKeys") or self.file.get(self.file.provider, "apiKeys") or []
        for group in groups if isinstance(groups, list) else []:
            inner = group.values() if isinstance(group, dict) and "value" not in group else [[group]]
            for keys in inner:
                for key in keys if isinstance(keys, list) else []:
                    value = key.get("value") if isinstance(key, dict) else None
                    if isinstance(value, str):
                        yield value

    def _authorizer(self, value: Any, line: int) -> AnyAuthorizer | None:
        if value is None:
            return None
        body = value if isinstance(value, dict) and value.keys() & _AUTHORIZER_KEYS else {"arn": value}
        kind, arn = str(body.get("type", "")).lower(), self.resolved(body.get("arn"))
        name = body.get("name") or arn or kind or "by id"
        if "aws_iam" in (kind, str(name).lower()):
            return self.unplayed("aws_iam", "since nobody has an account", line)
        issuer = cognito_issuer(arn, self.file.variables.region)
        if issuer is not None:
            header = _header(body.get("identitySource"))[0]
            return JwtAuthorizer(str(name), issuer, (), header, _texts(body.get("scopes")))
        function = self.function_at(body.get("arn") or body.get("name"))
        if function is None or kind == "cognito_user_pools":
            return self.unplayed(name, "since it is no function of this file", line)
        return Authorizer(
            str(name),
            function,
            _header(body.get("identitySource")),
            token=kind != "request",
            pattern=str(body.get("identityValidationExpression") or ""),
        )


def _header(source: Any) -> tuple[str, ...]:
    """Identity sources; `method.request.header.Authorization` by default."""
    sources = [part.strip() for text in _texts(source) for part in text.split(",") if part.strip()]
    return tuple(sources) or ("method.request.header.Authorization",)


def _rest_cors(cors: Any) -> Cors | None:
    headers = (*_HEADERS, "X-Amz-User-Agent", "X-Amzn-Trace-Id")
    if cors is True:
        return Cors(("*",), (), headers)
    if not isinstance(cors, dict):
        return None
    named = cors.get("headers")
    return Cors(
        allow_origins=_texts(cors.get("origins") or cors.get("origin") or "*"),
        allow_methods=_texts(cors.get("methods")),
        allow_headers=_texts(named) or headers,
        expose_headers=_texts(cors.get("exposedHeaders")),
        max_age=cors.get("maxAge"),
        allow_credentials=cors.get("allowCredentials") is True,
    )


def _texts(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    return tuple(map(str, value)) if isinstance(value, list) else (str(value),)
