"""Functions in processes of their own, under AWS's runtime client `awslambdaric`: nothing is shared, as on Lambda.

No process outlives the gateway: each is the leader of a group, which is ended with it, and `isolated_process.py` ends
it even where the gateway was killed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import cast

from roost.gateway.context import function_arn, import_paths, variables
from roost.gateway.definition import DefinitionError, Function, Service
from roost.gateway.functions import (
    Failed,
    Invocation,
    LogError,
    Outcome,
    PooledFunctions,
    exited,
    log,
    log_failure,
    log_reload,
)
from roost.gateway.runtime_api import RuntimeApi

_EXIT_SECONDS = 2.0  # between SIGTERM and SIGKILL
_DRAIN_SECONDS = 1.0  # for the last output of a process that has ended, if something still holds its pipe
_LOOK_SECONDS = 0.5  # between two looks at an environment's sources
_MAX_SOURCES = 2_000  # files of a code root that are watched for changes
_MAX_FOLDERS = 2_000  # folders of a code root that are looked into for them
_MAX_LINE_BYTES = 65_536  # a longer line of output is logged in pieces
_LAUNCHER = Path(__file__).with_name("isolated_process.py")


class IsolatedFunctions(PooledFunctions):
    """Runs functions in processes of `python`, which must have awslambdaric.

    `environment` is added to every function's variables. `time_scale` shortens Lambda's time limits, for tests.
    """

    def __init__(
        self,
        service: Service,
        *,
        environment: Mapping[str, str] | None = None,
        max_environments: int = 10,
        time_scale: float = 1.0,
        python: Path = Path(sys.executable),
    ) -> None:
        super().__init__(service, max_environments=max_environments, time_scale=time_scale)
        self._added = environment or {}
        self._python = python
        self.lives: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Check that the runtime client is there. Raises `DefinitionError` if it is not."""
        await super().start()
        try:
            check = await asyncio.create_subprocess_exec(
                self._python, "-c", "import awslambdaric", stderr=asyncio.subprocess.DEVNULL
            )
        except OSError as error:
            raise DefinitionError(f"--isolated cannot run {self._python}: {error.strerror}") from None
        if await check.wait():
            raise DefinitionError(
                f"--isolated needs AWS's runtime client in {self._python}: `make setup` installs it, "
                f"and so does `{self._python} -m pip install awslambdaric`"
            )

    def make_environment(self, function: Function) -> _Environment:
        """A new process."""
        return _Environment(self, function, variables(function, self.service, self._added), self._python)

    async def stop(self) -> None:
        """Wait a little for what is running, then end every process and wait for its end."""
        await super().stop()
        while self.lives:
            await asyncio.wait(set(self.lives))


class _Environment:
    """A process that runs one function, and the Runtime API that it talks to."""

    def __init__(self, pool: IsolatedFunctions, function: Function, environ: dict[str, str], python: Path) -> None:
        self._pool = pool
        self._function = function
        self._environ = environ
        self._python = python
        self._api = RuntimeApi(self, function_arn(function, pool.service))
        self._current: Invocation | None = None
        self._request_id = ""  # of the call that its output belongs to: it may be read after the answer
        self._failure: Failed | None = None  # why the handler could not be imported
        self._has_polled = False
        self._process: _Process | None = None
        self._retired = False
        self._sources: dict[str, tuple[int, int]] = {}
        self._look_again = 0.0
        self._tasks: set[asyncio.Task[None]] = set()
        life = asyncio.create_task(self._live())
        pool.lives.add(life)
        life.add_done_callback(pool.lives.discard)

    @property
    def ready(self) -> bool:
        """Never known before a look at the sources: `began` is called whenever the runtime gets its event."""
        return False

    def run(self, invocation: Invocation) -> None:
        """Begin a call, as soon as the runtime asks for one, unless a source has changed."""
        self._current = invocation
        if not self._has_polled or time.monotonic() < self._look_again:
            self._api.give(invocation)
        else:
            task = asyncio.create_task(self._look(invocation))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _look(self, invocation: Invocation) -> None:
        """Give the event to this process or, after a change, to a new one."""
        self._look_again = time.monotonic() + _LOOK_SECONDS
        sources = await asyncio.to_thread(_sources, self._function)  # may take a while in a large folder
        changed = next((name for name, stamp in sources.items() if self._sources.get(name) != stamp), None)
        changed = changed or next(iter(self._sources.keys() - sources.keys()), None)
        if self._current is not invocation or self._retired:
            return  # it has ended otherwise
        if changed is None:
            self._api.give(invocation)
        else:
            log_reload(self._function, changed)
            self._current = None
            self._pool.not_run(self, invocation)

    def retire(self, *, at_once: bool) -> None:
        """End the process: Lambda kills what runs out of time; at the end of the gateway it is asked to end first."""
        self._retired = True
        self._current = None
        if self._process is not None:
            self._process.end(signal.SIGKILL if at_once else signal.SIGTERM)

    def whereabouts(self) -> LogError | None:
        """Another process's stack cannot be seen."""
        return None

    # -- told by the Runtime API ------------------------------------------------------------------------------------

    def polled(self) -> None:
        """The handler has been imported."""
        self._has_polled = True

    def call_begins(self, invocation: Invocation) -> None:
        """The runtime gets the event."""
        self._request_id = invocation.request_id
        self._pool.set_deadline(invocation)
        self._pool.began(self, invocation)

    def call_ended(self, invocation: Invocation, outcome: Outcome) -> None:
        """The runtime answered."""
        self._current = None
        too_large = False
        if isinstance(outcome, Failed) and not invocation.ended:
            log_failure(invocation, outcome)
            too_large = outcome.type == "Function.ResponseSizeTooLarge"
        self._pool.ended(self, invocation, outcome, reusable=not too_large)  # at a refusal the client exits

    def init_failed(self, failed: Failed) -> None:
        """The handler cannot be imported; the process is about to exit, and its exit ends the call."""
        self._failure = failed

    # -- the process ------------------------------------------------------------------------------------------------

    async def _live(self) -> None:
        """Start the process, and notice its end."""
        try:
            self._sources = await asyncio.to_thread(_sources, self._function)
            self._look_again = time.monotonic() + _LOOK_SECONDS
            address = await self._api.start()
            if not self._retired:
                await self._run_process(address)
        except OSError as error:
            self._failure = Failed("Runtime.InvalidEntrypoint", str(error))
            self._exited(1)
        finally:
            self._api.stop()

    async def _run_process(self, address: str) -> None:
        loop = asyncio.get_running_loop()
        program = [str(self._python), "-c", _LAUNCHER.read_text(), str(os.getpid()), self._function.handler]
        _, process = await loop.subprocess_exec(
            lambda: _Process(self._say),
            *program,
            cwd=self._function.code_root,
            env=self._environ | self._runtime(address),
            stdin=subprocess.DEVNULL if sys.platform == "linux" else subprocess.PIPE,  # the launcher says why
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._process = process
        if self._retired:
            process.end(signal.SIGKILL)
        self._exited(await process.ended)

    def _runtime(self, address: str) -> dict[str, str]:
        paths = [str(path) for path in import_paths(self._function)]
        paths += [path for path in self._environ.get("PYTHONPATH", "").split(os.pathsep) if path]
        return {
            "AWS_LAMBDA_RUNTIME_API": address,
            "PYTHONPATH": os.pathsep.join(paths),
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def _say(self, line: str) -> None:
        """Log a line of the function's output."""
        request = {"request_id": self._request_id} if self._request_id else {}
        log.info("%s", line, extra={"fields": {"function": self._function.key, **request}})

    def _exited(self, status: int) -> None:
        invocation, self._current = self._current, None
        if invocation is None or invocation.ended:
            self._pool.gone(self, self._function)
        elif self._has_polled and not self._api.gave(invocation):
            self._pool.not_run(self, invocation)  # it was dead already
        else:
            outcome = self._failure or exited(invocation.request_id, status)
            log_failure(invocation, outcome)
            self._pool.ended(self, invocation, outcome, reusable=False)


class _Process(asyncio.SubprocessProtocol):
    """A process and its group: its output line by line, and its end."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.SubprocessTransport
        self._rest = b""
        self._has_exited = False
        self.ended: asyncio.Future[int] = self._loop.create_future()  #: its status; negative for a signal

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It has started."""
        self._transport = cast(asyncio.SubprocessTransport, transport)  # uvloop's has the methods, not the base class

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """It has written. AWS's client ends the lines of a traceback with a carriage return."""
        *lines, self._rest = (self._rest + data).replace(b"\r", b"\n").split(b"\n")
        for line in lines:
            self._pass_on(line)
        if len(self._rest) > _MAX_LINE_BYTES:
            self._pass_on(self._rest)
            self._rest = b""

    def _pass_on(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace").replace("\xa0", " ").rstrip()  # AWS's client indents with such spaces
        if text:
            self._say(text)

    def process_exited(self) -> None:
        """It has ended. What it started must not outlive it, nor keep its output open."""
        self._has_exited = True
        self._kill_group(signal.SIGKILL)
        self._loop.call_later(_DRAIN_SECONDS, self._transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        """It has ended, and its output, too."""
        self._pass_on(self._rest)
        if not self.ended.done():
            self.ended.set_result(self._transport.get_returncode() or 0)

    def end(self, number: signal.Signals) -> None:
        """Send a signal to the whole group, and kill it a little later."""
        if not self._has_exited:
            self._kill_group(number)
            self._loop.call_later(_EXIT_SECONDS, self._kill_if_there)

    def _kill_if_there(self) -> None:
        if not self._has_exited:
            self._kill_group(signal.SIGKILL)

    def _kill_group(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # nobody of it is left
            os.killpg(self._transport.get_pid(), number)


def _sources(function: Function) -> dict[str, tuple[int, int]]:
    """The Python files of the code root and their stamps; hidden folders and installed packages are passed over."""
    stamps: dict[str, tuple[int, int]] = {}
    for count, (folder, folders, files) in enumerate(os.walk(function.code_root)):
        folders[:] = sorted(
            name for name in folders if not name.startswith((".", "node_modules", "site-packages", "__"))
        )
        for name in files:
            if name.endswith(".py"):
                with contextlib.suppress(OSError):  # gone since
                    status = (Path(folder) / name).stat()
                    stamps[str(Path(folder) / name)] = (status.st_mtime_ns, status.st_size)
        if len(stamps) > _MAX_SOURCES or count > _MAX_FOLDERS:
            break
    return stamps
