"""`roost gateway FILE`: from a file to a running gateway."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from roost.gateway import server
from roost.gateway.certificates import certificate
from roost.gateway.connections import Credentials
from roost.gateway.definition import DefinitionError, JwtAuthorizer, Service, Unplayed, check_handlers, find, load
from roost.gateway.functions import Functions
from roost.gateway.in_process import InProcessFunctions
from roost.gateway.isolated import IsolatedFunctions
from roost.gateway.packages import use_packages
from roost.gateway.sockets import Sockets
from roost.gateway.streams import Streams
from roost.gateway.tables import create_tables, without_endpoint

log = logging.getLogger("roost.gateway")


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says."""

    file: Path
    stage: str | None
    host: str
    port: int
    isolated: bool
    python: Path | None
    dynamodb: str | None
    overrides: Mapping[str, str]
    options: Mapping[str, str]
    environments: int
    time_scale: float
    signed: bool
    skip_authorizers: bool
    data: Path
    environ: Mapping[str, str]


async def run(options: Options, say: Callable[[str], None]) -> None:
    """Serve the app until SIGINT or SIGTERM. Raises `DefinitionError` or `GatewayError` before anything has started."""
    listener = server.listen(options.host, options.port)
    port = listener.getsockname()[1]
    name = f"[{options.host}]" if ":" in options.host else options.host
    name = "localhost" if options.host in ("0.0.0.0", "::") else name  # noqa: S104  compared, not bound
    base_url = f"http://{name}:{port}"
    service = load(
        options.file,
        stage=options.stage,
        options=options.options,
        environ=options.environ,
        overrides=options.overrides,
        base_url=base_url,
    )
    problems = check_handlers(service)
    if problems:
        raise DefinitionError("\n".join(problems))
    for warning in service.warnings:
        log.warning("%s", warning)
    if options.skip_authorizers and _skipped(service):
        log.warning(
            "--skip-authorizers: ANYBODY may call %s; tokens are believed unchecked", ", ".join(_skipped(service))
        )
    packages = use_packages(find(options.file).resolve().parent, options.environ)
    if packages is not None:
        say(packages)
    identity = certificate(options.data, [options.host])
    environment = {**identity.environment, **_endpoints(options, service, base_url)}
    endpoint = environment.get("AWS_ENDPOINT_URL_DYNAMODB") or options.environ.get("AWS_ENDPOINT_URL")
    if endpoint is None:
        missing = without_endpoint(service.tables, real_credentials=bool(options.environ.get("AWS_ACCESS_KEY_ID")))
        if missing:
            log.warning("%s", missing)
    for line in await asyncio.to_thread(create_tables, service.tables, endpoint=endpoint, region=service.region):
        say(line)
    settings = server.Settings(
        names=(name,),
        time_scale=options.time_scale,
        tls=identity.context,
        credentials=_credentials(options.environ) if options.signed else None,
        skip_authorizers=options.skip_authorizers,
        lambda_api=True,
    )
    if not options.isolated:
        os.environ.update(identity.environment)  # OpenSSL asks the process itself, whose functions run in it
    sockets = Sockets(asyncio.get_running_loop())
    functions = _functions(options, service, environment)
    gateway = server.Gateway(service, functions, sockets, listener, settings)
    await gateway.start()
    streams = None
    if endpoint is not None and service.streams:
        streams = Streams(service.streams, functions, endpoint=endpoint, region=service.region)
        await streams.start()
    say(_announcement(service, name, port))
    await _until_stopped()
    if streams is not None:
        await streams.stop()
    await gateway.stop()


def _skipped(service: Service) -> list[str]:
    """The routes that nobody guards once what cannot be played is skipped."""
    routes = [route for api in (service.http, service.rest) if api is not None for route in api.routes]
    skipped = [r.key for r in routes if r.api_key or isinstance(r.authorizer, JwtAuthorizer | Unplayed)]
    websocket = service.websocket is not None and isinstance(service.websocket.authorizer, Unplayed)
    return [*skipped, *(["$connect"] if websocket else [])]


def _functions(options: Options, service: Service, environment: Mapping[str, str]) -> Functions:
    most, scale = options.environments, options.time_scale
    if not options.isolated:
        return InProcessFunctions(service, environment=environment, max_environments=most, time_scale=scale)
    python = (options.python or Path(sys.executable)).absolute()  # functions start in other folders
    return IsolatedFunctions(service, environment=environment, max_environments=most, time_scale=scale, python=python)


def _endpoints(options: Options, service: Service, base_url: str) -> dict[str, str]:
    """Where the functions' AWS clients find what runs here."""
    endpoints = {"AWS_ENDPOINT_URL_LAMBDA": options.environ.get("AWS_ENDPOINT_URL_LAMBDA", base_url)}
    if service.websocket is not None:
        endpoints["AWS_ENDPOINT_URL_APIGATEWAYMANAGEMENTAPI"] = f"{base_url}/{service.websocket.stage}"
    dynamodb = options.dynamodb or options.environ.get("AWS_ENDPOINT_URL_DYNAMODB")
    if dynamodb:
        endpoints["AWS_ENDPOINT_URL_DYNAMODB"] = dynamodb
    return endpoints


def _credentials(environ: Mapping[str, str]) -> Credentials:
    """The key that the functions get: the user's own, or the made-up one of `context.py`."""
    return Credentials(environ.get("AWS_ACCESS_KEY_ID", "test"), environ.get("AWS_SECRET_ACCESS_KEY", "test"))


def _announcement(service: Service, name: str, port: int) -> str:
    lines = [f"{service.name} ({service.stage}) is running. Ctrl-C stops it."]
    if service.websocket is not None:
        stage = service.websocket.stage
        lines.append(f"  listening on ws://{name}:{port}/{stage}")
        lines.append(f"  @connections at http://{name}:{port}/{stage} and https://{name}:{port}/{stage}")
    if service.http is not None:
        prefix = "" if service.http.stage == "$default" else f"/{service.http.stage}"
        lines.append(f"  HTTP API at http://{name}:{port}{prefix}/")
    if service.rest is not None:
        lines.append(f"  REST API at http://{name}:{port}/{service.rest.stage}/")
    return "\n".join(lines)


async def _until_stopped() -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # Windows: Ctrl-C still raises KeyboardInterrupt
            loop.add_signal_handler(number, stop.set)
    await stop.wait()
