"""A runner of functions on a loop of its own, called from a test as if it were synchronous."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import uvloop

from roost.gateway.definition import Function, Service
from roost.gateway.functions import Failed, Outcome, PooledFunctions, Returned

APPS = Path(__file__).parent / "apps"
LAYER = APPS / "layer"


def app(folder: Path) -> Path:
    """A copy of the sample functions, which the test may edit."""
    root = folder / "functions"
    shutil.copytree(APPS / "functions", root, ignore=shutil.ignore_patterns("__pycache__"))
    return root


class Runner:
    """Runs the handlers of a code root. A function's key is its handler, or in `app.py` just the handler's name.

    `kind` is the class of runner; `options` are its own. What `calls` counts is how often callers were told an outcome.
    """

    def __init__(self, kind: type[Any], root: Path, *keys: str, timeout: float = 10.0, **options: Any) -> None:
        self.root = root
        self.timeout = timeout
        self.calls = 0
        functions = {key: self._function(key) for key in keys}
        service = Service("s", "dev", "eu-west-1", "123456789012", functions, None, None)
        self._runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        self.functions: PooledFunctions = kind(service, environment={"ADDED": "yes"}, **options)
        self._runner.run(self.functions.start())

    def _function(self, key: str) -> Function:
        handler = key if "." in key or ":" in key else f"app.{key}"
        return Function(
            key,
            f"s-dev-{key}",
            handler.removeprefix(":"),
            self.root,
            timeout=self.timeout,
            memory=512,
            environment={"GREETING": "hello", "AWS_REGION": "overridden"},
            layers=(LAYER,),
        )

    def call(self, key: str, event: Any = None, **options: float) -> Outcome:
        """One call and its outcome."""
        return self.together([(key, event)], **options)[0]

    def value(self, key: str, event: Any = None) -> Any:
        """What a call returned."""
        outcome = self.call(key, event)
        assert isinstance(outcome, Returned), outcome
        return outcome.payload

    def failure(self, key: str, event: Any = None) -> Failed:
        """How a call failed."""
        outcome = self.call(key, event)
        assert isinstance(outcome, Failed), outcome
        return outcome

    def together(self, calls: list[tuple[str, Any]], **options: float) -> list[Outcome]:
        """All calls at once; their outcomes in the order of the calls."""

        async def run() -> list[Outcome]:
            return await asyncio.wait_for(asyncio.gather(*self.begin(calls, **options)), 40)

        return self._runner.run(run())

    def begin(self, calls: list[tuple[str, Any]], **options: float) -> list[asyncio.Future[Outcome]]:
        """Futures of the outcomes. On the runner's loop."""
        loop = asyncio.get_running_loop()
        futures: list[asyncio.Future[Outcome]] = [loop.create_future() for _ in calls]

        def done(future: asyncio.Future[Outcome]) -> Callable[[Outcome], None]:
            def told(outcome: Outcome) -> None:
                self.calls += 1
                future.set_result(outcome)

            return told

        for (key, event), future in zip(calls, futures, strict=True):
            self.functions.invoke(key, {} if event is None else event, done(future), **options)
        return futures

    def run(self, work: Any) -> Any:
        """Run a coroutine on the runner's loop."""
        return self._runner.run(work)

    def close(self) -> None:
        """Stop it, as at the end of the gateway."""
        self._runner.run(self.functions.stop())
        self._runner.close()


@contextlib.contextmanager
def runner(kind: type[Any], root: Path, *keys: str, timeout: float = 10.0, **options: Any) -> Iterator[Runner]:
    """A runner for the length of a `with` block."""
    made = Runner(kind, root, *keys, timeout=timeout, **options)
    try:
        yield made
    finally:
        made.close()


def messages(records: list[Any], function: str) -> list[str]:
    """What was logged about a function."""
    return [r.getMessage() for r in records if getattr(r, "fields", {}).get("function") == function]
