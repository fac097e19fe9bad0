"""A running gateway in the test's own process, whose functions are plain callables, and clients for it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import uvloop

from roost.gateway import server
from roost.gateway.definition import Authorizer, Function, HttpApi, HttpRoute, Route, Service, WebSocketApi
from roost.gateway.functions import Done, Failed, IntegrationTimeout, Returned
from roost.gateway.sockets import Sockets

Handler = Callable[[dict[str, Any]], Any]
OK = {"statusCode": 200}


class Callables:
    """Functions that are callables of one argument, run on threads; every event is kept."""

    def __init__(self, handlers: Mapping[str, Handler]) -> None:
        self.handlers = dict(handlers)
        self.events: list[tuple[str, dict[str, Any]]] = []
        self._pool = ThreadPoolExecutor(16)

    async def start(self) -> None:
        self._loop = asyncio.get_running_loop()

    def invoke(self, function: str, event: Mapping[str, Any], done: Done, *, integration_timeout: float = 29.0) -> None:
        copy = json.loads(json.dumps(event))  # a real function gets JSON, not our objects
        self.events.append((function, copy))
        answered: list[bool] = []

        def once(outcome: Any) -> None:
            if not answered:
                answered.append(True)
                done(outcome)

        def work() -> None:
            try:
                outcome: Any = Returned(self.handlers[function](copy))
            except Exception as error:
                outcome = Failed(type(error).__name__, str(error))
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(once, outcome)

        self._loop.call_later(integration_timeout, once, IntegrationTimeout())
        self._pool.submit(work)

    async def stop(self) -> None:
        await asyncio.to_thread(self._pool.shutdown)

    def of(self, function: str) -> list[dict[str, Any]]:
        """The events that a function got, in order."""
        return [event for name, event in self.events if name == function]


class Running:
    """A gateway that serves on a thread of its own."""

    def __init__(self, service: Service, functions: Any, settings: server.Settings) -> None:
        self.functions = functions
        listener = server.listen("127.0.0.1", 0)
        self.port: int = listener.getsockname()[1]
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(service, functions, listener, settings))
        self._thread.start()
        assert self._ready.wait(10)

    def _run(self, service: Service, functions: Any, listener: socket.socket, settings: server.Settings) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._serve(service, functions, listener, settings))

    async def _serve(
        self, service: Service, functions: Any, listener: socket.socket, settings: server.Settings
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self.gateway = server.Gateway(service, functions, Sockets(self.loop), listener, settings)
        await self.gateway.start()
        self._ready.set()
        await self._stop.wait()
        await self.gateway.stop()

    def stop(self) -> None:
        """Stop it cleanly, as SIGTERM does."""
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/dev"

    def open_ids(self) -> list[str]:
        """Ids of the established connections."""
        return list(self.gateway.sockets.open)


def service(
    routes: Mapping[str, bool],
    *,
    authorizer: Authorizer | None = None,
    http: tuple[HttpRoute, ...] = (),
    expression: str = "$request.body.action",
    stage_variables: Mapping[str, str] = {},
) -> Service:
    """A service whose function for each route is named as the route; the value says whether it is two-way."""
    names = [*routes, *(route.function for route in http), *(["auth"] if authorizer else [])]
    functions = {name: Function(name, name, "m.f", Path()) for name in names}
    api = WebSocketApi(
        "a1b2c3d4e5",
        "chat",
        "dev",
        expression,
        {key: Route(key, key, two_way) for key, two_way in routes.items()},
        authorizer,
        stage_variables,
    )
    http_api = HttpApi("f6g7h8i9j0", "chat", "$default", http) if http else None
    return Service("chat", "dev", "eu-west-1", "123456789012", functions, api, http_api)


@contextlib.contextmanager
def running(
    declared: Service, handlers: Mapping[str, Handler], settings: server.Settings | None = None
) -> Iterator[Running]:
    """A gateway for the length of a `with` block."""
    gateway = Running(declared, Callables(handlers), settings or server.Settings(log_events=False))
    try:
        yield gateway
    finally:
        gateway.stop()


def eventually(condition: Callable[[], Any], seconds: float = 10.0) -> Any:
    """The first true value of `condition`, waited for."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError("it never became true")


def http(port: int, raw: bytes) -> bytes:
    """Send raw bytes, read until the server closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(raw)
        parts = []
        while part := client.recv(65536):
            parts.append(part)
    return b"".join(parts)
