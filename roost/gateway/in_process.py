"""Functions as threads of this process: fast, and a debugger works.

An environment is a thread with its own import of the function's modules, so globals live as long as on Lambda and one
call at a time sees them. What is shared: packages outside the code root, the working directory, and what
`importlib.import_module` loads during a call. Each thread sees the function's own `os.environ`; subprocesses that a
handler starts without `env=` still inherit the shell's. `--isolated` shares nothing.
"""

from __future__ import annotations

import asyncio
import builtins
import contextvars
import ctypes
import decimal
import importlib
import inspect
import json
import os
import queue
import sys
import threading
import types
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Any

from roost.gateway.context import Context, function_arn, import_paths, variables
from roost.gateway.definition import Function, Service
from roost.gateway.functions import (
    MAX_PAYLOAD_BYTES,
    Failed,
    Invocation,
    Outcome,
    PooledFunctions,
    Returned,
    log,
)

#: The environment in whose thread we are; threads that a handler starts inherit it.
_current: contextvars.ContextVar[_Environment | None] = contextvars.ContextVar("roost_environment", default=None)
_importing = threading.RLock()


class InProcessFunctions(PooledFunctions):
    """Runs functions in threads."""

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
        _install()

    def make_environment(self, function: Function) -> _Environment:
        """A new thread."""
        return _Environment(self, self._loop, function, variables(function, self.service, self._added))


class _Exited(SystemExit):
    """A handler called `os._exit`, which on Lambda ends its process."""


class _Environment:
    """A thread that runs one function."""

    def __init__(
        self,
        pool: InProcessFunctions,
        loop: asyncio.AbstractEventLoop,
        function: Function,
        environ: dict[str, str],
    ) -> None:
        self.environ = environ
        self.modules: dict[str, types.ModuleType] = {}  # the code root's, as this environment imported them
        self._pool = pool
        self._loop = loop
        self._function = function
        self._roots = [str(folder) for folder in import_paths(function)]
        self._arn = function_arn(function, pool.service)
        self._handler: Callable[[Any, Context], Any] | None = None
        self._runner: asyncio.Runner | None = None
        self._sources: dict[str, tuple[int, int]] = {}
        self._calls: queue.SimpleQueue[Invocation | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=f"function {function.key}", daemon=True)
        self._thread.start()

    # -- from the loop's thread -------------------------------------------------------------------------------------

    def run(self, invocation: Invocation) -> None:
        """Begin a call."""
        self._calls.put(invocation)

    def outdated(self) -> bool:
        """Whether a source has changed since it was imported."""
        return any(_stamp(file) != stamp for file, stamp in self._sources.items())

    def retire(self) -> None:
        """End the thread: after its call, or in the middle of it where it runs Python code."""
        self._calls.put(None)
        if self._thread.ident is not None and self._thread.is_alive():
            thread = ctypes.c_ulong(self._thread.ident)
            ctypes.pythonapi.PyThreadState_SetAsyncExc(thread, ctypes.py_object(SystemExit))

    # -- in its own thread ------------------------------------------------------------------------------------------

    def _work(self) -> None:
        _current.set(self)
        try:
            while (invocation := self._calls.get()) is not None:
                outcome, reusable = self._call(invocation)
                try:
                    self._loop.call_soon_threadsafe(self._end, invocation, outcome, reusable)
                except RuntimeError:  # the loop has closed: nobody waits any more
                    return
                if not reusable:
                    return
        except SystemExit:
            return  # retired
        finally:
            if self._runner is not None:
                self._runner.close()

    def _end(self, invocation: Invocation, outcome: Outcome, reusable: bool) -> None:
        self._pool.ended(self, invocation, outcome, reusable=reusable)

    def _call(self, invocation: Invocation) -> tuple[Outcome, bool]:
        """The outcome of one call, and whether this environment can take another."""
        try:
            if self._handler is None:
                self._handler = self._load()
            return self._invoke(self._handler, invocation), True
        except _Init as failure:
            self._log(invocation, failure.failed, failure.__cause__)
            return failure.failed, False
        except (SystemExit, KeyboardInterrupt) as error:
            message = f"RequestId: {invocation.request_id} Error: Runtime exited with error: exit status 1"
            failed = Failed("Runtime.ExitError", message)
            self._log(invocation, failed, error)
            return failed, False
        except BaseException as error:  # noqa: BLE001  whatever a handler raises is its function's failure
            failed = Failed(type(error).__name__, _text_of(error))
            self._log(invocation, failed, error)
            return failed, True

    def _invoke(self, handler: Callable[[Any, Context], Any], invocation: Invocation) -> Outcome:
        context = Context(self.environ, self._arn, invocation.request_id, invocation.deadline)
        value = handler(json.loads(invocation.event), context)
        if inspect.isawaitable(value):
            value = self._await(value)
        try:
            text = json.dumps(value, default=_decimal)
        except (TypeError, ValueError, RecursionError) as error:
            failed = Failed("Runtime.MarshalError", f"Unable to marshal response: {error}")
            self._log(invocation, failed, None)
            return failed
        if len(text) > MAX_PAYLOAD_BYTES:
            return Failed("Function.ResponseSizeTooLarge", f"the answer has more than {MAX_PAYLOAD_BYTES} bytes")
        return Returned(json.loads(text))

    def _await(self, awaitable: Any) -> Any:
        async def wait() -> Any:
            return await awaitable

        if self._runner is None:
            self._runner = asyncio.Runner()
        return self._runner.run(wait())

    # -- importing --------------------------------------------------------------------------------------------------

    def _load(self) -> Callable[[Any, Context], Any]:
        """The handler, from a fresh import. Raises `_Init` with Lambda's error type."""
        name, dot, attribute = self._function.handler.rpartition(".")
        if not dot or not name:
            raise _Init(Failed("Runtime.MalformedHandlerName", f"Bad handler '{self._function.handler}'"))
        name = name.replace("/", ".")
        try:
            module = self.importing(lambda: importlib.import_module(name), fresh=True)
        except SyntaxError as error:
            message = f"Syntax error in module '{name}': {error}"
            raise _Init(Failed("Runtime.UserCodeSyntaxError", message)) from error
        except ImportError as error:
            message = f"Unable to import module '{name}': {error}"
            raise _Init(Failed("Runtime.ImportModuleError", message)) from error
        except Exception as error:
            raise _Init(Failed(type(error).__name__, _text_of(error))) from error
        handler = getattr(module, attribute, None)
        if handler is None:
            message = f"Handler '{attribute}' missing on module '{name}'"
            raise _Init(Failed("Runtime.HandlerNotFound", message))
        if not callable(handler):
            raise _Init(Failed("TypeError", f"'{type(handler).__name__}' object is not callable"))
        found: Callable[[Any, Context], Any] = handler
        return found

    def importing(self, action: Callable[[], Any], *, fresh: bool = False) -> Any:
        """Do an import with this environment's own modules in place, and keep what it loads from the code root.

        Afterwards they stay in `sys.modules` until another environment imports: something must stand there for code
        that looks itself up.
        """
        with _importing:
            for module in [name for name, module in sys.modules.items() if self._ours(module)]:
                del sys.modules[module]
            if not fresh:
                sys.modules.update(self.modules)
            before, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # a quick edit must not find old bytecode
            sys.path[:] = [*self._roots, *(path for path in sys.path if path not in self._roots)]
            importlib.invalidate_caches()
            try:
                return action()
            finally:
                sys.dont_write_bytecode = before
                self.modules = {name: module for name, module in sys.modules.items() if self._ours(module)}
                self._note_sources()

    def shares(self, name: str) -> bool:
        """Whether an import of this name finds what all environments share."""
        module = sys.modules.get(name.partition(".")[0])
        return module is not None and not self._ours(module)

    def _ours(self, module: object) -> bool:
        """Whether a module comes from the code root or a layer; an installed package inside it counts as shared."""
        file = getattr(module, "__file__", None)
        places = [file] if file else list(getattr(module, "__path__", None) or ())
        inside = any(place.startswith(root + os.sep) for place in map(str, places) for root in self._roots)
        return inside and not any("site-packages" in str(place) for place in places)

    def _note_sources(self) -> None:
        files = [getattr(module, "__file__", None) for module in self.modules.values()]
        self._sources = {file: self._sources.get(file) or _stamp(file) for file in files if file}

    def _log(self, invocation: Invocation, failed: Failed, error: BaseException | None) -> None:
        """Log a failure with the handler's part of the traceback."""
        fields = {"function": self._function.key, "request": invocation.request_id}
        information = None
        if error is not None:
            trace = error.__traceback__
            while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
                trace = trace.tb_next
            information = (type(error), error, trace)
        log.error("%s: %s", failed.type, failed.message, exc_info=information, extra={"fields": fields})


class _Init(Exception):  # the function cannot be made ready
    def __init__(self, failed: Failed) -> None:
        super().__init__(failed.message)
        self.failed = failed


def _stamp(file: str) -> tuple[int, int]:
    try:
        status = Path(file).stat()
    except OSError:
        return (0, 0)
    return status.st_mtime_ns, status.st_size


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001  an exception whose text raises is still only a failure
        return type(error).__name__


def _decimal(value: object) -> float:
    """Decimals become numbers, as in awslambdaric; boto3's DynamoDB resource hands them out."""
    if isinstance(value, decimal.Decimal):
        return float(value)
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


# -- each function's view of the process ------------------------------------------------------------------------------


class _Environ(MutableMapping[str, str]):
    """`os.environ`, which is the function's own in its threads and the process's everywhere else."""

    def __init__(self, process: MutableMapping[str, str]) -> None:
        self._process = process

    def _target(self) -> MutableMapping[str, str]:
        environment = _current.get()
        return self._process if environment is None else environment.environ

    def __getitem__(self, name: str) -> str:
        return self._target()[name]

    def __setitem__(self, name: str, value: str) -> None:
        if not isinstance(name, str) or not isinstance(value, str):
            raise TypeError(f"str expected, not {type(value if isinstance(name, str) else name).__name__}")
        self._target()[name] = value

    def __delitem__(self, name: str) -> None:
        del self._target()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._target()))

    def __len__(self) -> int:
        return len(self._target())

    def __repr__(self) -> str:
        return f"environ({dict(self)!r})"

    def __or__(self, other: Mapping[str, str]) -> dict[str, str]:
        return {**self, **other}

    def __ror__(self, other: Mapping[str, str]) -> dict[str, str]:
        return {**other, **self}

    def copy(self) -> dict[str, str]:
        """A plain dict of it."""
        return dict(self)


_installed = False


def _install() -> None:
    """Make `os.environ`, `import`, `os._exit` and new threads know in whose environment they are; once per process."""
    global _installed
    if _installed:
        return
    _installed = True
    os.environ = _Environ(os.environ)  # type: ignore[assignment]  # noqa: B003  a view of it, not another environment
    process_import, process_exit, start = builtins.__import__, os._exit, threading.Thread.start

    def importing(name: str, *arguments: Any, **named: Any) -> Any:
        environment = _current.get()
        if environment is None or _importing._is_owned() or environment.shares(name):  # type: ignore[attr-defined]  # RLock
            return process_import(name, *arguments, **named)
        return environment.importing(lambda: process_import(name, *arguments, **named))

    def exiting(status: int) -> Any:
        if _current.get() is None:
            process_exit(status)
        raise _Exited(status)

    def starting(thread: threading.Thread) -> None:
        if _current.get() is not None:
            context, work = contextvars.copy_context(), thread.run
            thread.run = lambda: context.run(work)  # type: ignore[method-assign]  # the thread's own context would be empty
        start(thread)

    builtins.__import__ = importing
    os._exit = exiting
    threading.Thread.start = starting  # type: ignore[method-assign, assignment]  # every way of starting a thread ends here
