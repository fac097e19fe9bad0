"""The gateway: one port for HTTP, WebSocket, TLS and the management API, in front of one app's functions."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
import time
from dataclasses import dataclass, field

from roost.gateway import events
from roost.gateway.clients import Clients, Patience
from roost.gateway.connections import ConnectionsApi, Credentials
from roost.gateway.definition import Service
from roost.gateway.events import Request
from roost.gateway.front import Around, Front
from roost.gateway.functions import Functions
from roost.gateway.http import Exchange, HttpConnection, Response, json_response
from roost.gateway.http_api import HttpServer
from roost.gateway.issuers import Issuers
from roost.gateway.lambda_api import LambdaApi
from roost.gateway.rest_api import RestServer
from roost.gateway.sockets import Sockets
from roost.gateway.websocket_api import Limits, WebSocketServer

_BACKLOG = 4096  # a reconnect storm must not be refused by the kernel
_GRACE = 5.0  # seconds that functions have to answer when the gateway stops, and `$disconnect` after that


class GatewayError(Exception):
    """The gateway cannot start. `str()` is one line for a person."""


def listen(host: str, port: int) -> socket.socket:
    """A socket bound to this address; port 0 lets the system choose. Raises `GatewayError`."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise GatewayError(_cannot_listen(host, port, error)) from None


@dataclass(frozen=True, slots=True)
class Settings:
    """How the gateway runs, apart from the app."""

    names: tuple[str, ...] = ()  #: host names that clients may dial, besides localhost
    time_scale: float = 1.0  #: multiplies every time limit
    limits: Limits = field(default_factory=Limits)
    patience: Patience = field(default_factory=Patience)  #: with HTTP clients
    tls: ssl.SSLContext | None = None  #: also answer TLS on the port
    credentials: Credentials | None = None  #: management requests must be signed with this key
    connections_api: bool = True  #: serve the management API
    lambda_api: bool = False  #: let functions invoke each other over Lambda's own API
    log_events: bool = True  #: a log line per event
    skip_authorizers: bool = False  #: let HTTP requests through whose authorizer needs what is not here


class Gateway:
    """Serves one app. Everything runs on one event loop's thread."""

    def __init__(
        self, service: Service, functions: Functions, sockets: Sockets, listener: socket.socket, settings: Settings
    ) -> None:
        self.service = service
        self.sockets = sockets
        self._functions = functions
        self._settings = settings
        self._listener = listener
        self._port: int = listener.getsockname()[1]
        self._names = {"localhost", "127.0.0.1", "[::1]", *(name.lower() for name in settings.names)}
        self._loop = sockets.loop
        self._clients = Clients(_most_waiting())
        self._patience = settings.patience.scaled(settings.time_scale)
        limits = settings.limits.scaled(settings.time_scale)
        self._websocket = self._websocket_server(limits)
        around = self._around()
        self._http = HttpServer(service.http, around) if service.http is not None else None
        self._rest = (
            RestServer(service.rest, around, at_root=service.http is None) if service.rest is not None else None
        )
        stage = service.websocket.stage if service.websocket else ""
        self._connections_api = ConnectionsApi(self.sockets, stage, settings.credentials)
        self._lambda_api = LambdaApi(service, functions, settings.credentials) if settings.lambda_api else None
        self._server: asyncio.Server | None = None
        self._sweep_every = max(0.02, min(5.0, limits.idle / 20, self._patience.head / 4))
        self._sweeper: asyncio.TimerHandle | None = None

    def _websocket_server(self, limits: Limits) -> WebSocketServer | None:
        api, names, log = self.service.websocket, self._domain_name, self._settings.log_events
        if api is None:
            return None
        return WebSocketServer(
            api,
            self.service,
            self._functions,
            self.sockets,
            limits,
            names,
            log_events=log,
            skip_authorizers=self._settings.skip_authorizers,
        )

    def _around(self) -> Around:
        """What HTTP APIs and REST APIs stand in."""
        settings = self._settings
        return Around(
            self.service,
            self._functions,
            self._domain_name,
            time_scale=settings.time_scale,
            log_events=settings.log_events,
            skip_authorizers=settings.skip_authorizers,
            issuers=Issuers(skip=settings.skip_authorizers),
        )

    async def start(self) -> None:
        """Get the functions ready, then take clients. Raises `DefinitionError` from the functions."""
        await self._functions.start()
        self._server = await self._loop.create_server(self._connection, sock=self._listener, backlog=_BACKLOG)
        self._sweep()

    async def stop(self) -> None:
        """Refuse what is new, let running functions end and answer, close every socket with 1001, let `$disconnect`
        run: each within a few seconds.

        The port stays open meanwhile, since a function that runs may post to `@connections`.
        """
        await self._drain()
        if self._sweeper is not None:
            self._sweeper.cancel()
        if self._server is not None:
            self._server.close()
        for connection in list(self.sockets.open.values()):
            connection.close(*events.GOING_AWAY)
        await asyncio.sleep(0)  # the close frames leave at the end of this turn
        await asyncio.wait_for(self._functions.stop(), _GRACE * 2)
        self._clients.close()
        await asyncio.sleep(0)

    async def _drain(self) -> None:
        apis: list[WebSocketServer | Front] = [
            api for api in (self._websocket, self._http, self._rest) if api is not None
        ]
        for api in apis:
            api.stopping = True
        deadline = self._loop.time() + _GRACE
        while any(api.running for api in apis) and self._loop.time() < deadline:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0)  # what they answered last leaves at the end of this turn

    # -- requests -----------------------------------------------------------------------------------------------------

    def _connection(self) -> HttpConnection:
        return HttpConnection(self, self._clients, self._settings.tls)

    def upgrade(self, exchange: Exchange) -> None:
        """A client asks for a WebSocket."""
        if self._websocket is None:
            exchange.respond(json_response(403, {"message": "Forbidden"}))
        else:
            self._websocket.upgrade(exchange)

    def request(self, exchange: Exchange) -> None:
        """A plain HTTP request: the management API, Lambda's, the REST API's stage, or the HTTP API."""
        request = exchange.request
        if self._settings.connections_api and self._websocket is not None and ConnectionsApi.claims(request.path):
            exchange.respond(self._connections_api.answer(request, time.time()))
        elif self._lambda_api is not None and LambdaApi.claims(request.path):
            self._lambda_api.request(exchange)
        elif self._rest is not None and self._rest.serves(request.path):
            self._rest.request(exchange)
        elif self._http is not None:
            self._http.request(exchange)
        elif self._websocket is not None and self._websocket.serves(request.path):
            exchange.respond(Response(426, (("Upgrade", "websocket"),), b"This is a WebSocket API.\n"))
        else:
            exchange.respond(json_response(403, {"message": "Forbidden"}))

    def _domain_name(self, request: Request) -> str:
        """The host that the client dialled, with the port: apps post to `https://{domainName}/{stage}`.

        Only names that are known to be ours, since a client could write any `Host`, and the app's data would follow it.
        """
        dialled = request.header("host") or ""
        host, _, port = dialled.rpartition(":") if not dialled.endswith("]") else (dialled, "", "")
        name = (host if port.isdigit() else dialled).lower()
        if name in self._names:
            return f"{name}:{self._port}"
        return f"localhost:{self._port}"

    def _sweep(self) -> None:
        self._sweeper = self._loop.call_later(self._sweep_every, self._sweep)
        if self._websocket is not None:
            self._websocket.sweep()
        self._clients.sweep(self._loop.time(), self._patience)


def _most_waiting() -> int:
    """How many clients may wait at once: half of the files that this process may have, so that those who talk have the
    other half."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return 8_192
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return 8_192 if files == resource.RLIM_INFINITY else max(64, min(8_192, files // 2))


def _cannot_listen(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE or "address already in use" in str(error).lower():
        return f"port {port} on {host} is in use by another program; choose another with --port"
    if error.errno == errno.EACCES:
        return f"this user may not listen on port {port}; choose one above 1023 with --port"
    return f"cannot listen on {host} port {port}: {error.strerror or error}"
