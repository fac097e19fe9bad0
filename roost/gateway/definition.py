"""What a serverless app declares, whichever file it came from: functions, routes, tables.

`load` reads a `serverless.yml` or a SAM `template.yaml` into a `Service`; the server and the function runners see only
this. Nothing here runs anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Function:
    """A Lambda function."""

    key: str  #: its name in the file: what routes refer to
    name: str  #: its deployed name, AWS_LAMBDA_FUNCTION_NAME
    handler: str  #: `module.function`, relative to `code_root`
    code_root: Path  #: absolute; the working directory and first on `sys.path`, as LAMBDA_TASK_ROOT is
    runtime: str = "python3.13"
    timeout: float = 6.0  #: seconds
    memory: int = 1024  #: MB
    environment: Mapping[str, str] = field(default_factory=dict)
    layers: tuple[Path, ...] = ()  #: folders that stand in for /opt; their `python/` is importable


@dataclass(frozen=True, slots=True)
class Authorizer:
    """A Lambda authorizer, REQUEST type. `simple` and `payload` are used by HTTP APIs only."""

    name: str
    function: str
    identity_sources: tuple[str, ...] = ()  #: `route.request.header.Auth`, …; for HTTP APIs `$request.header.Auth`, …
    simple: bool = False  #: answers {"isAuthorized": …} and no policy
    payload: str = "2.0"


@dataclass(frozen=True, slots=True)
class Route:
    """A route of the WebSocket API."""

    key: str  #: `$connect`, `$disconnect`, `$default` or a custom key
    function: str
    two_way: bool = False  #: has a route response: the handler's body goes back to the client


@dataclass(frozen=True, slots=True)
class WebSocketApi:
    """A WebSocket API with one stage."""

    id: str
    name: str
    stage: str
    route_selection_expression: str
    routes: Mapping[str, Route]
    authorizer: Authorizer | None = None  #: of `$connect`
    stage_variables: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HttpRoute:
    """A route of the HTTP API. `method` is upper case or `ANY`; `path` may hold `{name}` and a last `{name+}`.

    The catch-all route has method `ANY` and path `$default`.
    """

    method: str
    path: str
    function: str
    authorizer: Authorizer | None = None
    payload: str = "2.0"
    timeout: float = 30.0  #: seconds that the integration may take

    @property
    def key(self) -> str:
        """The route key, as events carry it: `GET /rooms/{id}`, or `$default`."""
        return "$default" if self.path == "$default" else f"{self.method} {self.path}"


@dataclass(frozen=True, slots=True)
class Cors:
    """An HTTP API's CORS settings; the gateway answers preflights by them."""

    allow_origins: tuple[str, ...] = ()
    allow_methods: tuple[str, ...] = ()
    allow_headers: tuple[str, ...] = ()
    expose_headers: tuple[str, ...] = ()
    max_age: int | None = None
    allow_credentials: bool = False


@dataclass(frozen=True, slots=True)
class HttpApi:
    """An HTTP API with one stage."""

    id: str
    name: str
    stage: str  #: `$default` or a real name, which is then the first path segment
    routes: tuple[HttpRoute, ...]
    cors: Cors | None = None
    stage_variables: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DeclaredTable:
    """A DynamoDB table that the file declares. `properties` are CloudFormation's, resolved."""

    logical_id: str
    name: str
    properties: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Service:
    """A whole app."""

    name: str
    stage: str
    region: str
    account: str
    functions: Mapping[str, Function]
    websocket: WebSocketApi | None
    http: HttpApi | None
    tables: tuple[DeclaredTable, ...] = ()
    warnings: tuple[str, ...] = ()  #: what was left out and does not stop the app, each with its place in the file


class DefinitionError(Exception):
    """The file cannot be used. `str()` is one line or several, each `FILE:LINE: what is wrong`."""
