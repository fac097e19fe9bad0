"""Functions as threads of this process: fast, and a debugger works.

An environment is a thread with its own import of the function's modules (`own_modules.py`) and its own view of the
process (`views.py`). What all share: installed packages, the standard library, and the working directory, which stays
the gateway's. A handler that is stopped while it waits in C code, say in `time.sleep`, keeps its thread until that
returns; nobody waits for it. `--isolated` shares nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import inspect
import queue
import sys
import threading
import types
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from roost.gateway import own_modules, views
from roost.gateway.answers import outcome_of
from roost.gateway.context import LambdaContext, function_arn, import_paths, variables
from roost.gateway.definition import Function, Service
from roost.gateway.functions import (
    Failed,
    Invocation,
    LogError,
    Outcome,
    PooledFunctions,
    exited,
    log_failure,
    log_reload,
)
from roost.gateway.own_modules import OwnModules
from roost.gateway.views import View

_LOOK_SECONDS = 0.5  # between two looks at an environment's sources
_PERSIST_SECONDS = 0.2  # after which a handler that has caught its own end is ended again
_PERSIST_TIMES = 50
_SIGINT = 2

Handler = Callable[[Any, LambdaContext], Any]


class InProcessFunctions(PooledFunctions):
    """Runs functions in threads.

    `environment` is added to every function's variables. `time_scale` shortens Lambda's time limits, for tests.
    """

    def __init__(
        self,
        service: Service,
        *,
        environment: Mapping[str, str] | None = None,
        max_environments: int = 10,
        time_scale: float = 1.0,
    ) -> None:
        super().__init__(service, max_environments=max_environments, time_scale=time_scale)
        self._added = environment or {}

    async def start(self) -> None:
        """Give each function its own view of the process."""
        await super().start()
        views.install()

    def make_environment(self, function: Function) -> _Environment:
        """A new thread. Raises `RuntimeError` where the system has no more."""
        return _Environment(self, self._loop, function, variables(function, self.service, self._added))


class _Retired(SystemExit):
    """Raised in the thread of an environment from outside, wherever it is."""


class _Environment:
    """A thread that runs one function."""

    def __init__(
        self, pool: InProcessFunctions, loop: asyncio.AbstractEventLoop, function: Function, environ: dict[str, str]
    ) -> None:
        self.ready = False
        self._pool = pool
        self._loop = loop
        self._function = function
        self._arn = function_arn(function, pool.service)
        modules = OwnModules(import_paths(function))
        self._view = View(environ, modules, function.code_root)
        self._handler: Handler | None = None
        self._runner: asyncio.Runner | None = None
        self._look_again = 0.0
        self._calls: queue.SimpleQueue[Invocation | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=f"function {function.key}", daemon=True)
        self._thread.start()

    # -- on the loop's thread ---------------------------------------------------------------------------------------

    def run(self, invocation: Invocation) -> None:
        """Begin a call."""
        self._calls.put(invocation)

    def retire(self, *, at_once: bool) -> None:
        """End the thread after its call, or in the middle of it as soon as it runs Python code."""
        self._calls.put(None)
        if at_once:
            self._interrupt(_PERSIST_TIMES)

    def _interrupt(self, times: int) -> None:
        """Raise `_Retired` in the thread, and again later if the handler's `except:` has caught it."""
        if not self._thread.is_alive():
            self._view.close_loop()  # its own end may have been interrupted
            return
        if not times or self._thread.ident is None:
            return
        thread = ctypes.c_ulong(self._thread.ident)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(thread, ctypes.py_object(_Retired))
        if self._runner is not None:
            self._wake(self._runner.get_loop())
        if self._view.event_loop is not None:
            self._wake(self._view.event_loop)
        self._loop.call_later(_PERSIST_SECONDS, self._interrupt, times - 1)

    @staticmethod
    def _wake(loop: asyncio.AbstractEventLoop) -> None:
        """A handler's loop waits in C; a call from outside makes it run Python code."""
        with contextlib.suppress(RuntimeError):  # closed meanwhile
            loop.call_soon_threadsafe(int)

    def whereabouts(self) -> LogError | None:
        """The handler's stack."""
        frame = sys._current_frames().get(self._thread.ident or 0)
        trace: types.TracebackType | None = None
        while frame is not None:
            trace = types.TracebackType(trace, frame, frame.f_lasti, frame.f_lineno)
            frame = frame.f_back
        return TimeoutError, TimeoutError("the handler was here when its time was over"), _handlers_part(trace)

    # -- in its own thread ------------------------------------------------------------------------------------------

    def _work(self) -> None:
        modules = self._view.modules
        try:
            self._view.thread = threading.current_thread()
            views.current.set(self._view)
            while (invocation := self._calls.get()) is not None:
                if not self._take(invocation):
                    return
        except _Retired:
            return
        except RuntimeError:
            if not self._loop.is_closed():
                raise
        finally:
            modules.withdraw()
            if self._runner is not None:
                self._runner.close()
            self._view.close_loop()

    def _take(self, invocation: Invocation) -> bool:
        """Run a call or hand it back; whether another may follow."""
        changed = self._changed_source()
        if changed is not None:
            log_reload(self._function, changed)
            self._view.modules.withdraw()
            self._loop.call_soon_threadsafe(self._pool.not_run, self, invocation)
            return False
        outcome, reusable = self._call(invocation)
        self._loop.call_soon_threadsafe(self._end, invocation, outcome, reusable)
        return reusable

    def _changed_source(self) -> str | None:
        now = self._loop.time()
        if now < self._look_again:
            return None
        self._look_again = now + _LOOK_SECONDS
        return self._view.modules.changed()

    def _end(self, invocation: Invocation, outcome: Outcome, reusable: bool) -> None:
        self._pool.ended(self, invocation, outcome, reusable=reusable)

    def _call(self, invocation: Invocation) -> tuple[Outcome, bool]:
        """The outcome of one call, and whether this environment can take another."""
        try:
            handler = self._handler or self._load(invocation)
            outcome = outcome_of(self._invoke(handler, invocation))
            if isinstance(outcome, Failed):
                log_failure(invocation, outcome)
            return outcome, True
        except _Retired:
            raise
        except _Init as failure:
            failed, error, reusable = failure.failed, failure.__cause__, False
        except Exception as raised:  # noqa: BLE001  whatever a handler raises is its function's failure
            failed, error, reusable = Failed(type(raised).__name__, _text_of(raised)), raised, True
        except BaseException as raised:  # noqa: BLE001  ends the process on Lambda, and so the environment here
            failed, error, reusable = exited(invocation.request_id, _exit_status(raised)), raised, False
        log_failure(invocation, failed, None if error is None else _log_error(error))
        return failed, reusable

    def _invoke(self, handler: Handler, invocation: Invocation) -> object:
        view = self._view
        view.request_id = invocation.request_id
        view.environ["_X_AMZN_TRACE_ID"] = invocation.trace_id
        view.modules.stand()
        context = LambdaContext(view.environ, self._arn, invocation.request_id, invocation.deadline)
        value = handler(msgspec.json.decode(invocation.event), context)
        return self._await(value) if inspect.isawaitable(value) else value

    def _await(self, awaitable: Any) -> Any:
        async def wait() -> Any:
            return await awaitable

        if self._runner is None:
            self._runner = asyncio.Runner()
        return self._runner.run(wait())

    def _load(self, invocation: Invocation) -> Handler:
        """The handler, from a fresh import. Raises `_Init` with Lambda's error type."""
        self._view.request_id = invocation.request_id
        handler = self._import_handler()
        self._handler = handler
        self._pool.set_deadline(invocation)
        self._loop.call_soon_threadsafe(self._begin, invocation)
        return handler

    def _begin(self, invocation: Invocation) -> None:
        self.ready = True
        self._pool.began(self, invocation)

    def _import_handler(self) -> Handler:
        """As awslambdaric's `_get_handler`, with its words."""
        name, dot, attribute = self._function.handler.rpartition(".")
        if not dot:
            reason = "not enough values to unpack (expected 2, got 1)"
            raise _Init(Failed("Runtime.MalformedHandlerName", f"Bad handler '{self._function.handler}': {reason}"))
        if name.partition(".")[0] in sys.builtin_module_names:
            problem = f"Cannot use built-in module {name} as a handler module"
            raise _Init(Failed("Runtime.BuiltInModuleConflict", problem))
        try:
            module = self._view.modules.import_module(name.replace("/", "."))
        except SyntaxError as error:
            problem = f"Syntax error in module '{name}': {error}"
            raise _Init(Failed("Runtime.UserCodeSyntaxError", problem)) from error
        except ImportError as error:
            problem = f"Unable to import module '{name}': {error}"
            raise _Init(Failed("Runtime.ImportModuleError", problem)) from error
        except Exception as error:
            raise _Init(Failed(type(error).__name__, _text_of(error))) from error
        try:
            handler: Handler = getattr(module, attribute)
        except AttributeError:
            problem = f"Handler '{attribute}' missing on module '{name}'"
            raise _Init(Failed("Runtime.HandlerNotFound", problem)) from None
        return handler


class _Init(Exception):
    """The function cannot be made ready."""

    def __init__(self, failed: Failed) -> None:
        super().__init__(failed.message)
        self.failed = failed


def _exit_status(error: BaseException) -> int:
    """The status with which a process ends of an exception; negative for a signal."""
    if isinstance(error, KeyboardInterrupt):
        return -_SIGINT
    if not isinstance(error, SystemExit):
        return 1
    if error.code is None:
        return 0
    return error.code & 0xFF if isinstance(error.code, int) else 1


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001  an exception whose text raises is still only a failure
        return type(error).__name__


# -- what of a traceback is the handler's ----------------------------------------------------------------------------

_MACHINERY = frozenset({own_modules.__file__, views.__file__})


def _log_error(error: BaseException) -> LogError:
    """An exception with those it came from, without the runner's part of their tracebacks."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        cause.__traceback__ = _handlers_part(cause.__traceback__)
        cause = cause.__cause__ or cause.__context__
    return type(error), error, error.__traceback__


def _handlers_part(trace: types.TracebackType | None) -> types.TracebackType | None:
    """What follows the runner's last frame, without the frames of imports."""
    frames: list[types.TracebackType] = []
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if file == __file__:
            frames.clear()
        elif file not in _MACHINERY and not file.startswith("<frozen importlib"):
            frames.append(trace)
        trace = trace.tb_next
    kept: types.TracebackType | None = None
    for each in reversed(frames):
        kept = types.TracebackType(kept, each.tb_frame, each.tb_lasti, each.tb_lineno)
    return kept
