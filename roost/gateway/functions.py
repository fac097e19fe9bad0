"""Running functions: what the server asks of whoever runs them, and what both runners share.

The runners stand beside: `in_process.py` (threads of this process) and `isolated.py` (AWS's own runtime client in
processes of their own). `roost serve` brings its own, which calls the chat without either.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import uuid
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from roost.gateway.definition import Function, Service

log = logging.getLogger("roost.gateway.functions")

MAX_PAYLOAD_BYTES = 6_291_556  # Lambda: the largest event, and the largest answer, of a synchronous call
_STOP_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Returned:
    """The handler returned. `payload` is its value after JSON, as API Gateway sees it."""

    payload: Any


@dataclass(frozen=True, slots=True)
class Failed:
    """The handler raised, crashed, could not be imported, returned what is not JSON, or ran over its own time limit.

    `type` and `message` are Lambda's errorType and errorMessage. Clients are never shown them.
    """

    type: str
    message: str


@dataclass(frozen=True, slots=True)
class IntegrationTimeout:
    """The gateway stopped waiting while the function was still running."""


Outcome = Returned | Failed | IntegrationTimeout

#: Called exactly once per invocation, on the event loop's thread.
Done = Callable[[Outcome], None]


class Functions(Protocol):
    """Runs functions. All methods are called on the event loop's thread."""

    async def start(self) -> None:
        """Get ready; raises `DefinitionError` if a handler cannot be found."""

    def invoke(self, function: str, event: Mapping[str, Any], done: Done, *, integration_timeout: float = 29.0) -> None:
        """Call the function with this key and tell `done` how it ended; never raises, never blocks.

        `integration_timeout` is in seconds. Invocations run side by side; no order is promised.
        """

    async def stop(self) -> None:
        """Wait a little for what is running, then end it."""


# -- what both runners share ------------------------------------------------------------------------------------------


class Invocation:
    """One call of a function on its way. Ends once; whatever comes later is passed over."""

    def __init__(self, function: Function, event: bytes, done: Done) -> None:
        self.function = function
        self.event = event  #: JSON
        self.request_id = str(uuid.uuid4())  #: what the handler sees as `context.aws_request_id`
        self.deadline = 0.0  #: epoch seconds; set when it begins to run
        self.timers: list[asyncio.TimerHandle] = []
        self.ended = False  #: its environment is done with it
        self._done: Done | None = done

    def answer(self, outcome: Outcome) -> None:
        """Tell the gateway, unless it was told or has given up."""
        if self._done is not None:
            done, self._done = self._done, None
            done(outcome)

    def cancel_timers(self) -> None:
        """No time limit counts any more."""
        for timer in self.timers:
            timer.cancel()


class Environment(Protocol):
    """An execution environment: runs one invocation at a time and keeps its globals between them."""

    def run(self, invocation: Invocation) -> None:
        """Begin. Ends in one call of the pool's `ended`, on the loop's thread."""

    def outdated(self) -> bool:
        """Whether a source that it was made from has changed."""

    def retire(self) -> None:
        """Take it out of use: at once, also in the middle of a call."""


class PooledFunctions(ABC):
    """Runs each function in as many environments as it has calls at once, up to a limit; more wait in their order."""

    def __init__(self, service: Service, *, max_environments: int, time_scale: float) -> None:
        self.service = service
        self._max = max_environments
        self._time_scale = time_scale
        self._pools = {key: _Pool(function) for key, function in service.functions.items()}
        self._loop: asyncio.AbstractEventLoop
        self._running = 0

    @abstractmethod
    def make_environment(self, function: Function) -> Environment:
        """A new environment, which may still be getting ready."""

    async def start(self) -> None:
        """Get ready."""
        self._loop = asyncio.get_running_loop()

    def invoke(self, function: str, event: Mapping[str, Any], done: Done, *, integration_timeout: float = 29.0) -> None:
        """Call the function with this key and tell `done` how it ended."""
        pool = self._pools[function]
        body = msgspec.json.encode(event)
        invocation = Invocation(pool.function, body, done)
        if len(body) > MAX_PAYLOAD_BYTES:
            invocation.answer(Failed("RequestEntityTooLarge", f"the event has more than {MAX_PAYLOAD_BYTES} bytes"))
            return
        give_up = self._loop.call_later(integration_timeout, invocation.answer, IntegrationTimeout())
        invocation.timers.append(give_up)
        self._running += 1
        environment = self._free(pool)
        if environment is None:
            pool.waiting.append(invocation)
        else:
            self._begin(pool, environment, invocation)

    def _free(self, pool: _Pool) -> Environment | None:
        """An environment that can take a call now, made if there is room for one more."""
        if pool.idle and self._changed(pool):
            log.info("reloading: a source changed", extra={"fields": {"function": pool.function.key}})
            for outdated in pool.idle:
                self._drop(pool, outdated)
            pool.idle.clear()
        if pool.idle:
            return pool.idle.pop()
        if len(pool.environments) >= self._max:
            return None
        environment = self.make_environment(pool.function)
        pool.environments.append(environment)
        return environment

    def _changed(self, pool: _Pool) -> bool:
        now = time.monotonic()
        if now < pool.look_again:
            return False
        pool.look_again = now + 0.5
        return any(environment.outdated() for environment in pool.idle)

    def _begin(self, pool: _Pool, environment: Environment, invocation: Invocation) -> None:
        limit = invocation.function.timeout * self._time_scale
        invocation.deadline = time.time() + limit
        invocation.timers.append(self._loop.call_later(limit, self._timed_out, environment, invocation))
        environment.run(invocation)

    def _timed_out(self, environment: Environment, invocation: Invocation) -> None:
        seconds = invocation.function.timeout
        message = f"{invocation.request_id} Task timed out after {seconds:.2f} seconds"
        self._log_failure(invocation, Failed("Sandbox.Timedout", message))
        self.ended(environment, invocation, Failed("Sandbox.Timedout", message), reusable=False)

    def ended(self, environment: Environment, invocation: Invocation, outcome: Outcome, *, reusable: bool) -> None:
        """An environment is done with a call. On the loop's thread; a second end of one call is passed over."""
        if invocation.ended:
            return
        invocation.ended = True
        invocation.cancel_timers()
        self._running -= 1
        pool = self._pools[invocation.function.key]
        if reusable:
            pool.idle.append(environment)
        else:
            self._drop(pool, environment)
        invocation.answer(outcome)
        if pool.waiting:
            free = self._free(pool)
            if free is not None:
                self._begin(pool, free, pool.waiting.popleft())

    def _drop(self, pool: _Pool, environment: Environment) -> None:
        with contextlib.suppress(ValueError):
            pool.environments.remove(environment)
        environment.retire()

    def gone(self, environment: Environment, function: Function) -> None:
        """An idle environment has ended by itself."""
        pool = self._pools[function.key]
        with contextlib.suppress(ValueError):
            pool.idle.remove(environment)
        self._drop(pool, environment)

    async def stop(self) -> None:
        """Wait a little for what is running, then end it."""
        deadline = time.monotonic() + _STOP_SECONDS
        while self._running and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        for pool in self._pools.values():
            for environment in list(pool.environments):
                self._drop(pool, environment)

    @staticmethod
    def _log_failure(invocation: Invocation, failure: Failed) -> None:
        fields = {"function": invocation.function.key, "request": invocation.request_id}
        log.error("%s: %s", failure.type, failure.message, extra={"fields": fields})


class _Pool:
    """The environments of one function."""

    def __init__(self, function: Function) -> None:
        self.function = function
        self.environments: list[Environment] = []
        self.idle: list[Environment] = []
        self.waiting: deque[Invocation] = deque()
        self.look_again = 0.0  #: when sources may be looked at again, monotonic seconds
