"""What a serverless app declares, whichever file it came from: functions, routes, tables.

`load` reads a `serverless.yml` or a SAM `template.yaml` into a `Service`; the server and the function runners see only
this. Nothing here runs anything.
"""

from __future__ import annotations

import ast
import hashlib
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
    """A Lambda authorizer. `simple` and `payload` are used by HTTP APIs only, `token` by REST APIs only."""

    name: str
    function: str
    identity_sources: tuple[str, ...] = ()  #: `route.request.header.Auth`, …; for HTTP APIs `$request.header.Auth`, …
    simple: bool = False  #: answers {"isAuthorized": …} and no policy
    payload: str = "2.0"
    token: bool = False  #: of type TOKEN: gets the one identity source and no request
    pattern: str = ""  #: what that token must match, else 401 without asking the function


@dataclass(frozen=True, slots=True)
class JwtAuthorizer:
    """Checks tokens of an issuer: HTTP APIs' JWT authorizers, and REST APIs' Cognito ones."""

    name: str
    issuer: str
    audience: tuple[str, ...]  #: of which the token must name one; none: any
    identity_source: str = "$request.header.Authorization"
    scopes: tuple[str, ...] = ()  #: of which the token must carry one; none: any


@dataclass(frozen=True, slots=True)
class Unplayed:
    """An authorizer that cannot be played here: it lets nobody through unless the person who runs the app says so."""

    name: str


AnyAuthorizer = Authorizer | JwtAuthorizer | Unplayed


@dataclass(frozen=True, slots=True)
class Route:
    """A route of the WebSocket API."""

    key: str  #: `$connect`, `$disconnect`, `$default` or a custom key
    function: str
    two_way: bool = False  #: has a route response: the handler's body goes back to the client
    timeout: float = 29.0  #: seconds that the integration may take


@dataclass(frozen=True, slots=True)
class WebSocketApi:
    """A WebSocket API with one stage."""

    id: str
    name: str
    stage: str
    route_selection_expression: str
    routes: Mapping[str, Route]
    authorizer: Authorizer | Unplayed | None = None  #: of `$connect`
    stage_variables: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Cors:
    """CORS settings; the gateway answers preflights by them."""

    allow_origins: tuple[str, ...] = ()
    allow_methods: tuple[str, ...] = ()
    allow_headers: tuple[str, ...] = ()
    expose_headers: tuple[str, ...] = ()
    max_age: int | None = None
    allow_credentials: bool = False


@dataclass(frozen=True, slots=True)
class HttpRoute:
    """A route of an HTTP API or of a REST API.

    `method` is upper case or `ANY`; `path` may hold `{name}` and a last `{name+}`. The catch-all route of an HTTP API
    has method `ANY` and path `$default`.
    """

    method: str
    path: str
    function: str
    authorizer: AnyAuthorizer | None = None
    payload: str = "2.0"  #: or 1.0; HTTP APIs only
    timeout: float = 30.0  #: seconds that the integration may take
    cors: Cors | None = None  #: REST APIs only: preflights of this path are answered
    api_key: bool = False  #: REST APIs only: asks for an `x-api-key`

    @property
    def key(self) -> str:
        """The route key, as events carry it: `GET /rooms/{id}`, or `$default`."""
        return "$default" if self.path == "$default" else f"{self.method} {self.path}"


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
class RestApi:
    """A REST API with one stage, whose name is the first path segment."""

    id: str
    name: str
    stage: str
    routes: tuple[HttpRoute, ...]
    api_keys: tuple[str, ...] = ()  #: values that the file gives
    binary_types: tuple[str, ...] = ()  #: media types that travel as base64
    stage_variables: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DeclaredTable:
    """A DynamoDB table that the file declares. `properties` are CloudFormation's, resolved."""

    logical_id: str
    name: str
    properties: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Stream:
    """A function that gets the changes of a DynamoDB table."""

    function: str
    table: str  #: its name
    arn: str
    batch_size: int = 100
    position: str = "LATEST"  #: or TRIM_HORIZON


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
    rest: RestApi | None = None
    streams: tuple[Stream, ...] = ()
    warnings: tuple[str, ...] = ()  #: what was left out and does not stop the app, each with its place in the file


class DefinitionError(Exception):
    """The file cannot be used. `str()` is one line or several, each `FILE:LINE: what is wrong`."""


def load(
    path: Path,
    *,
    stage: str | None = None,
    options: Mapping[str, str] | None = None,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, str] | None = None,
    base_url: str = "http://localhost:8000",
) -> Service:
    """Read a `serverless.yml` or a SAM `template.yaml`.

    `options` answer `${opt:…}`, `environ` answers `${env:…}`; `overrides` give a value to what only the cloud knows: an
    environment variable's name, a logical id, `LogicalId.Attribute`, or the text of a variable such as `ssm:/a/b`.
    `base_url` is where the gateway will listen. Raises `DefinitionError` with every problem, each at its place.
    """
    from roost.gateway import sam_template, serverless_yml, yaml_file

    path = find(Path(path))
    document = yaml_file.read(path)
    if not isinstance(document, yaml_file.Map):
        raise DefinitionError(f"{path}:1: neither a serverless.yml nor a SAM template: it holds no mapping")
    given = Given(stage, options or {}, environ or {}, overrides or {}, base_url)
    if "provider" in document or "functions" in document:
        return serverless_yml.read(document, path, given)
    if "Resources" in document:
        return sam_template.read(document, path, given)
    raise DefinitionError(f"{path}:1: neither a serverless.yml (no functions) nor a SAM template (no Resources)")


_NAMES = ("serverless.yml", "serverless.yaml", "serverless.json", "template.yaml", "template.yml", "template.json")
_PROGRAMS = frozenset({".ts", ".js", ".cjs", ".mjs"})


def find(path: Path) -> Path:
    """The file that is meant: itself, or that of a folder. Raises `DefinitionError`."""
    if path.suffix in _PROGRAMS:
        raise DefinitionError(f"{path} is a program, which is not run here: `serverless print` makes a file of it")
    if not path.is_dir():
        return path
    found = next((path / name for name in _NAMES if (path / name).is_file()), None)
    if found is None:
        raise DefinitionError(f"{path}: there is no serverless.yml and no template.yaml in this folder")
    return found


@dataclass(frozen=True, slots=True)
class Given:
    """What `load` was told from outside the file."""

    stage: str | None
    options: Mapping[str, str]
    environ: Mapping[str, str]
    overrides: Mapping[str, str]
    base_url: str


def table_of(stream_arn: object) -> str | None:
    """The table whose stream an ARN names: `arn:…:table/NAME/stream/…`."""
    _, found, rest = str(stream_arn).partition(":table/")
    return rest.partition("/stream/")[0] if found and "/stream/" in rest else None


def api_id(service: str, stage: str, kind: str) -> str:
    """A stable API id of AWS's form: ten lower-case letters and digits."""
    digest = hashlib.sha256(f"{service}/{stage}/{kind}".encode()).digest()
    return "".join("abcdefghijklmnopqrstuvwxyz0123456789"[byte % 36] for byte in digest[:10])


def handler_file(function: Function) -> Path | None:
    """The file that a handler string names, or None. `a/b.c` and `a.b.c` are `a/b.py`, or the package `a/b`."""
    module = function.handler.rpartition(".")[0].replace(".", "/")
    for candidate in (function.code_root / f"{module}.py", function.code_root / module / "__init__.py"):
        if module and candidate.is_file():
            return candidate
    return None


def check_handlers(service: Service) -> list[str]:
    """What stands against each handler: no such file, or nothing of that name in it. Files are parsed, not run."""
    problems = []
    for function in service.functions.values():
        name = function.handler.rpartition(".")[2]
        file = handler_file(function)
        if file is None:
            problems.append(
                f"function {function.key}: handler {function.handler}: no such file in {function.code_root}"
            )
        elif not _defines(file, name):
            problems.append(f"function {function.key}: handler {function.handler}: {file} defines no {name}")
    return problems


def _defines(file: Path, name: str) -> bool:
    """Whether a file seems to define a name. One that cannot be parsed passes: its error shows, with its line, when it
    is called."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError):
        return True
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name == name:
            return True
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id == name:
            return True
        imports = node.names if isinstance(node, ast.Import | ast.ImportFrom) else []
        if any((alias.asname or alias.name).partition(".")[0] in (name, "*") for alias in imports):
            return True
    return False
