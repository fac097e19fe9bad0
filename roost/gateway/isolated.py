"""Functions in processes of their own, under AWS's runtime client `awslambdaric`: nothing is shared, as on Lambda."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from roost.gateway.context import function_arn, import_paths, variables
from roost.gateway.definition import DefinitionError, Function, Service
from roost.gateway.functions import Failed, Invocation, Outcome, PooledFunctions, Returned, log
from roost.gateway.runtime_api import RuntimeApi

_EXIT_SECONDS = 2.0  # between SIGTERM and SIGKILL
_SOURCES = 2_000  # files of a code root that are watched for changes at most


class IsolatedFunctions(PooledFunctions):
    """Runs functions in processes."""

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
        self.ending: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Check that the runtime client is there. Raises `DefinitionError` if it is not."""
        await super().start()
        check = await asyncio.create_subprocess_exec(
            self._python, "-c", "import awslambdaric", stderr=asyncio.subprocess.DEVNULL
        )
        if await check.wait():
            raise DefinitionError('--isolated needs AWS\'s runtime client: pip install "roost[isolated]"')

    def make_environment(self, function: Function) -> _Environment:
        """A new process."""
        environ = variables(function, self.service, self._added)
        return _Environment(self, function, environ, self._python)

    async def stop(self) -> None:
        """Wait a little for what is running, then end every process."""
        await super().stop()
        while self.ending:
            await asyncio.wait(set(self.ending))


class _Environment:
    """A process that runs one function, and the Runtime API that it talks to."""

    def __init__(self, pool: IsolatedFunctions, function: Function, environ: dict[str, str], python: Path) -> None:
        self._pool = pool
        self._function = function
        self._environ = environ
        self._python = python
        self._api = RuntimeApi(self, function_arn(function, pool.service))
        self._current: Invocation | None = None
        self._failure: Failed | None = None  # why the handler could not be imported
        self._process: asyncio.subprocess.Process | None = None
        self._retired = False
        self._sources = _sources(function)
        self._life = asyncio.create_task(self._live())
        pool.ending.add(self._life)
        self._life.add_done_callback(pool.ending.discard)

    def run(self, invocation: Invocation) -> None:
        """Begin a call, as soon as the runtime asks for one."""
        self._current = invocation
        self._api.give(invocation)

    def outdated(self) -> bool:
        """Whether a file under the code root has changed."""
        return _sources(self._function) != self._sources

    def retire(self) -> None:
        """End the process."""
        self._retired = True
        self._signal(signal.SIGTERM)
        asyncio.get_running_loop().call_later(_EXIT_SECONDS, self._signal, signal.SIGKILL)

    # -- told by the Runtime API ------------------------------------------------------------------------------------

    def call_ended(self, invocation: Invocation, outcome: Outcome) -> None:
        """The runtime answered."""
        self._current = None
        if isinstance(outcome, Failed):
            self._log(invocation, outcome)
        too_large = isinstance(outcome, Failed) and outcome.type == "Function.ResponseSizeTooLarge"
        self._pool.ended(self, invocation, outcome, reusable=not too_large)  # refused answers end the client

    def init_failed(self, failed: Failed) -> None:
        """The handler cannot be imported; the process is about to exit, and its exit ends the call."""
        self._failure = failed

    # -- the process ------------------------------------------------------------------------------------------------

    async def _live(self) -> None:
        """Start the process, pass its output to the log, and notice its end."""
        try:
            port = await self._api.start()
            self._process = process = await asyncio.create_subprocess_exec(
                self._python,
                "-m",
                "awslambdaric",
                self._function.handler,
                cwd=self._function.code_root,
                env=self._environ | self._runtime(port),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )
            if self._retired:
                self._signal(signal.SIGKILL)
            await self._pass_on_output(process)
            self._exited(await process.wait())
        except OSError as error:
            self._failure = Failed("Runtime.InvalidEntrypoint", str(error))
            self._exited(1)
        finally:
            self._api.stop()

    def _runtime(self, port: int) -> dict[str, str]:
        paths = [str(path) for path in import_paths(self._function)]
        paths += [path for path in self._environ.get("PYTHONPATH", "").split(os.pathsep) if path]
        return {
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{port}",
            "PYTHONPATH": os.pathsep.join(paths),
            "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    async def _pass_on_output(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        while True:
            try:
                line = await process.stdout.readline()
            except ValueError:  # a line over the reader's limit: it goes on after it
                continue
            if not line:
                return
            text = line.decode("utf-8", "replace").rstrip()
            if text:
                log.info("%s", text, extra={"fields": {"function": self._function.key}})

    def _exited(self, status: int) -> None:
        invocation, self._current = self._current, None
        if invocation is None:
            self._pool.gone(self, self._function)
            return
        how = f"exit status {status}" if status >= 0 else f"signal: {signal.Signals(-status).name}"
        message = f"RequestId: {invocation.request_id} Error: Runtime exited with error: {how}"
        outcome = self._failure or Failed("Runtime.ExitError", message)
        if not invocation.ended:
            self._log(invocation, outcome)
        self._pool.ended(self, invocation, outcome, reusable=False)

    def _signal(self, number: signal.Signals) -> None:
        process = self._process
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, number)

    def _log(self, invocation: Invocation, outcome: Failed | Returned | Outcome) -> None:
        assert isinstance(outcome, Failed)
        fields = {"function": self._function.key, "request": invocation.request_id}
        log.error("%s: %s", outcome.type, outcome.message, extra={"fields": fields})


def _sources(function: Function) -> dict[str, tuple[int, int]]:
    """The Python files of the code root and their stamps; hidden folders and installed packages are passed over."""
    stamps: dict[str, tuple[int, int]] = {}
    for folder, folders, files in os.walk(function.code_root):
        folders[:] = [name for name in folders if not name.startswith((".", "node_modules", "site-packages", "__"))]
        for name in files:
            if name.endswith(".py") and len(stamps) < _SOURCES:
                with contextlib.suppress(OSError):
                    status = (Path(folder) / name).stat()
                    stamps[str(Path(folder) / name)] = (status.st_mtime_ns, status.st_size)
    return stamps
