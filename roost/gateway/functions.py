"""Running functions: what the server asks of whoever runs them, and what both runners share.

The runners stand beside: `in_process.py` (threads of this process) and `isolated.py` (AWS's own runtime client in
processes of their own). `roost serve` brings its own, which calls the chat without either.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
import uuid
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol

import msgspec

from roost.gateway.definition import Function, Service

log = logging.getLogger("roost.gateway.functions")

MAX_PAYLOAD_BYTES = 6_291_556  # Lambda: the largest event, and the largest answer, of a synchronous call
INIT_SECONDS = 10.0  # Lambda: how long a new environment may take before the function's own time limit begins
_STOP_SECONDS = 5.0  # how long calls may go on while the gateway stops


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

    def __init__(self, function: Function, done: Done) -> None:
        self.function = function
        self.event = b""  #: JSON
        self.request_id = str(uuid.uuid4())  #: what the handler sees as `context.aws_request_id`
        self.deadline = 0.0  #: when its time is over, epoch seconds; set when the handler begins
        self.limit: asyncio.TimerHandle | None = None  #: ends it when the function's own time is over
        self.patience: asyncio.TimerHandle | None = None  #: answers for it when the gateway's time is over
        self.ended = False  #: its environment is done with it
        self._done: Done | None = done

    @property
    def trace_id(self) -> str:
        """An X-Ray trace header, not sampled."""
        digits = self.request_id.replace("-", "")
        return f"Root=1-{int(time.time()):08x}-{digits[:24]};Parent={digits[16:]};Sampled=0"

    def answer(self, outcome: Outcome) -> None:
        """Tell the gateway, unless it was told or has given up."""
        if self._done is not None:
            done, self._done = self._done, None
            done(outcome)

    def end(self) -> None:
        """No time limit counts any more."""
        self.ended = True
        for timer in (self.limit, self.patience):
            if timer is not None:
                timer.cancel()


class Environment(Protocol):
    """An execution environment: runs one invocation at a time and keeps its globals between them."""

    @property
    def ready(self) -> bool:
        """Whether the handler begins as soon as `run` is called. If not, the pool's `began` must be called then."""

    def run(self, invocation: Invocation) -> None:
        """Begin. Ends in one call of the pool's `ended` or `not_run`, on the loop's thread."""

    def retire(self, *, at_once: bool) -> None:
        """Take it out of use: gently, or in the middle of a call."""

    def whereabouts(self) -> LogError | None:
        """Where the handler is now, as far as it can be seen from here."""


#: What `logging` takes as `exc_info`.
LogError = tuple[type[BaseException], BaseException, TracebackType | None]


class PooledFunctions(ABC):
    """Runs each function in as many environments as it has calls at once, up to a limit; more wait in their order."""

    def __init__(self, service: Service, *, max_environments: int, time_scale: float) -> None:
        self.service = service
        self._max = max_environments
        self._time_scale = time_scale
        self._pools = {key: _Pool(function) for key, function in service.functions.items()}
        self._running: dict[Invocation, Environment] = {}
        self._stopped = False
        self._loop: asyncio.AbstractEventLoop

    @abstractmethod
    def make_environment(self, function: Function) -> Environment:
        """A new environment, which may still be getting ready."""

    async def start(self) -> None:
        """Get ready."""
        self._loop = asyncio.get_running_loop()

    def invoke(self, function: str, event: Mapping[str, Any], done: Done, *, integration_timeout: float = 29.0) -> None:
        """Call the function with this key and tell `done` how it ended."""
        pool = self._pools[function]
        invocation = Invocation(pool.function, done)
        refusal = self._refusal(invocation, event)
        if refusal is not None:
            self._loop.call_soon(invocation.answer, refusal)
            return
        invocation.patience = self._loop.call_later(integration_timeout, invocation.answer, IntegrationTimeout())
        pool.waiting.append(invocation)
        self._begin_next(pool)

    def _refusal(self, invocation: Invocation, event: Mapping[str, Any]) -> Failed | None:
        if self._stopped:
            return _stopping(invocation)
        try:
            invocation.event = msgspec.json.encode(event)
        except (TypeError, ValueError, RecursionError) as error:
            return Failed("InvalidRequestContent", f"the event is not JSON: {error}")
        if len(invocation.event) > MAX_PAYLOAD_BYTES:
            return Failed("RequestEntityTooLarge", f"the event has more than {MAX_PAYLOAD_BYTES} bytes")
        return None

    def _begin_next(self, pool: _Pool) -> None:
        """Begin the call that waits longest, if one does and an environment is free or there is room for one."""
        if not pool.waiting or self._stopped:
            return
        try:
            environment = self._free(pool)
        except RuntimeError as error:  # no more threads
            invocation = pool.waiting.popleft()
            invocation.end()
            self._loop.call_soon(invocation.answer, Failed("Runtime.InvalidEntrypoint", str(error)))
            return
        if environment is not None:
            self._begin(environment, pool.waiting.popleft())

    def _free(self, pool: _Pool) -> Environment | None:
        if pool.idle:
            return pool.idle.pop()
        if len(pool.environments) >= self._max:
            return None
        environment = self.make_environment(pool.function)
        pool.environments.append(environment)
        return environment

    def _begin(self, environment: Environment, invocation: Invocation) -> None:
        self._running[invocation] = environment
        if environment.ready:
            self.set_deadline(invocation)
            self._limit(environment, invocation, invocation.function.timeout)
        else:
            self._limit(environment, invocation, INIT_SECONDS + invocation.function.timeout)
        environment.run(invocation)

    def _limit(self, environment: Environment, invocation: Invocation, seconds: float) -> None:
        if invocation.limit is not None:
            invocation.limit.cancel()
        invocation.limit = self._loop.call_later(seconds * self._time_scale, self._timed_out, environment, invocation)

    def _timed_out(self, environment: Environment, invocation: Invocation) -> None:
        message = f"{invocation.request_id} Task timed out after {invocation.function.timeout:.2f} seconds"
        failed = Failed("Sandbox.Timedout", message)
        log_failure(invocation, failed, environment.whereabouts())
        self.ended(environment, invocation, failed, reusable=False)

    # -- told by environments ---------------------------------------------------------------------------------------

    def set_deadline(self, invocation: Invocation) -> None:
        """The handler begins now. On any thread."""
        invocation.deadline = time.time() + invocation.function.timeout * self._time_scale

    def began(self, environment: Environment, invocation: Invocation) -> None:
        """An environment has become ready, and its handler has begun: the function's own limit counts from now."""
        if not invocation.ended:
            self._limit(environment, invocation, invocation.function.timeout)

    def ended(self, environment: Environment, invocation: Invocation, outcome: Outcome, *, reusable: bool) -> None:
        """An environment is done with a call. A second end of one call is passed over."""
        if invocation.ended:
            return
        invocation.end()
        del self._running[invocation]
        pool = self._pools[invocation.function.key]
        if reusable:
            pool.idle.append(environment)
        else:
            self._drop(pool, environment, at_once=True)
        self._begin_next(pool)
        invocation.answer(outcome)

    def not_run(self, environment: Environment, invocation: Invocation) -> None:
        """An environment must not run its call, which another one will: a source has changed, or it is dead."""
        if invocation.ended:
            return
        del self._running[invocation]
        pool = self._pools[invocation.function.key]
        self._drop(pool, environment)
        pool.waiting.appendleft(invocation)
        self._begin_next(pool)

    def gone(self, environment: Environment, function: Function) -> None:
        """An idle environment has ended by itself."""
        pool = self._pools[function.key]
        with contextlib.suppress(ValueError):
            pool.idle.remove(environment)
        self._drop(pool, environment)

    @staticmethod
    def _drop(pool: _Pool, environment: Environment, *, at_once: bool = False) -> None:
        with contextlib.suppress(ValueError):
            pool.environments.remove(environment)
        environment.retire(at_once=at_once)

    # -- the end ----------------------------------------------------------------------------------------------------

    async def stop(self) -> None:
        """Wait a little for what is running, then end it; its callers are told so."""
        deadline = time.monotonic() + _STOP_SECONDS * self._time_scale
        while self._running and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        self._stopped = True
        for invocation, environment in list(self._running.items()):
            self.ended(environment, invocation, _stopping(invocation), reusable=False)
        for pool in self._pools.values():
            while pool.waiting:
                invocation = pool.waiting.popleft()
                invocation.end()
                invocation.answer(_stopping(invocation))
            for environment in list(pool.environments):
                self._drop(pool, environment)
            pool.idle.clear()


@dataclass(slots=True)
class _Pool:
    """The environments of one function."""

    function: Function
    environments: list[Environment] = field(default_factory=list)
    idle: list[Environment] = field(default_factory=list)
    waiting: deque[Invocation] = field(default_factory=deque)


def exited(request_id: str, status: int) -> Failed:
    """The failure of a runtime that ended in the middle of a call. A negative status is a signal's number."""
    if status == 0:
        how = "Runtime exited without providing a reason"
    elif status > 0:
        how = f"Runtime exited with error: exit status {status}"
    else:
        how = f"Runtime exited with error: signal: {(signal.strsignal(-status) or str(-status)).lower()}"
    return Failed("Runtime.ExitError", f"RequestId: {request_id} Error: {how}")


def _stopping(invocation: Invocation) -> Failed:
    return Failed("Runtime.ExitError", f"RequestId: {invocation.request_id} Error: the gateway is stopping")


def log_failure(invocation: Invocation, failed: Failed, error: LogError | None = None) -> None:
    """The one line about a failed call, followed by a traceback if there is one."""
    fields = {"function": invocation.function.key, "request_id": invocation.request_id}
    log.error("%s: %s", failed.type, failed.message, exc_info=error, extra={"fields": fields})


def log_reload(function: Function, file: str) -> None:
    """That an environment makes way for a new one."""
    log.info("reloading: %s has changed", file, extra={"fields": {"function": function.key}})
