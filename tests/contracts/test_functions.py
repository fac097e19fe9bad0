"""What both runners of functions promise: in process, and isolated under AWS's own runtime client."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop

from roost.gateway.definition import Function, Service
from roost.gateway.functions import Failed, IntegrationTimeout, Outcome, PooledFunctions, Returned
from roost.gateway.in_process import InProcessFunctions
from roost.gateway.isolated import IsolatedFunctions

APP = """
import json, os, sys, time, threading
import helper

count = 0

def echo(event, context):
    return event

def counting(event, context):
    global count
    count += 1
    return [count, helper.loaded_by]

def about(event, context):
    c = context
    return {
        "request": c.aws_request_id, "name": c.function_name, "version": c.function_version,
        "memory": c.memory_limit_in_mb, "arn": c.invoked_function_arn, "group": c.log_group_name,
        "left": c.get_remaining_time_in_millis(), "identity": c.identity.cognito_identity_id if c.identity else None,
    }

def environment(event, context):
    seen = []
    thread = threading.Thread(target=lambda: seen.append(os.environ.get("GREETING")))
    thread.start(); thread.join()
    os.environ["MINE"] = "1"
    return {"all": dict(os.environ), "get": os.getenv("GREETING"), "thread": seen[0]}

def raising(event, context):
    raise ValueError("a reason for the log")

def unhelpful(event, context):
    class Odd(Exception):
        def __str__(self): raise RuntimeError
    raise Odd()

def sleeping(event, context):
    time.sleep(event["seconds"])
    return "slept"

def spinning(event, context):
    while True:
        pass

def exiting(event, context):
    sys.exit(3)

def vanishing(event, context):
    os._exit(4)

def recursing(event, context):
    return recursing(event, context)

def returning(event, context):
    return {"set": {1}, "none": None, "tuple": (1, "ä", 2.5), "large": "x" * 7_000_000}[event["what"]]

def lazily(event, context):
    import helper as again
    return again is helper

async def later(event, context):
    import asyncio
    await asyncio.sleep(0.01)
    return "later"

not_callable = 3
"""


class Runner:
    """A runner on a loop of its own, called from the test as if it were synchronous."""

    def __init__(self, root: Path, kind: type[Any], timeout: float = 10.0, environments: int = 3) -> None:
        names = ["echo", "counting", "about", "environment", "raising", "unhelpful", "sleeping", "spinning", "exiting"]
        names += ["vanishing", "recursing", "returning", "lazily", "later", "not_callable", "missing"]
        self.root = root
        functions = {name: self.function(name, f"app.{name}", timeout) for name in names}
        functions["nowhere"] = self.function("nowhere", "no_such_module.handler", timeout)
        functions["broken"] = self.function("broken", "broken.handler", timeout)
        functions["malformed"] = self.function("malformed", "handler", timeout)
        functions["nested"] = self.function("nested", "folder/inner.handler", timeout)
        service = Service("s", "dev", "eu-west-1", "123456789012", functions, None, None)
        self._runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        self.functions: PooledFunctions = kind(service, environment={"ADDED": "yes"}, max_environments=environments)
        self._runner.run(self.functions.start())

    def function(self, name: str, handler: str, timeout: float) -> Function:
        environment = {"GREETING": "hello"}
        return Function(name, f"s-dev-{name}", handler, self.root, timeout=timeout, memory=512, environment=environment)

    def call(self, name: str, event: Any = None, **options: float) -> Outcome:
        return self.together([(name, event)], **options)[0]

    def together(self, calls: list[tuple[str, Any]], **options: float) -> list[Outcome]:
        """All calls at once; their outcomes in the order of the calls."""

        async def run() -> list[Outcome]:
            loop = asyncio.get_running_loop()
            futures = [loop.create_future() for _ in calls]
            for (name, event), future in zip(calls, futures, strict=True):
                self.functions.invoke(name, event or {}, future.set_result, **options)
            return await asyncio.wait_for(asyncio.gather(*futures), 30)

        return self._runner.run(run())

    def close(self) -> None:
        self._runner.run(self.functions.stop())
        self._runner.close()


@pytest.fixture(params=[InProcessFunctions, IsolatedFunctions], ids=["in process", "isolated"])
def kind(request: pytest.FixtureRequest) -> type[Any]:
    chosen: type[Any] = request.param
    return chosen


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "helper.py").write_text("import threading\nloaded_by = id(threading.current_thread())\n")
    (tmp_path / "broken.py").write_text("def handler(event, context:\n")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "inner.py").write_text("def handler(event, context):\n    return 'inner'\n")
    return tmp_path


@pytest.fixture
def make(root: Path, kind: type[Any]) -> Iterator[Callable[..., Runner]]:
    made: list[Runner] = []

    def runner(**options: Any) -> Runner:
        made.append(Runner(root, kind, **options))
        return made[-1]

    yield runner
    for each in made:
        each.close()


def test_a_handler_gets_the_event_and_its_return_value_goes_back(make: Callable[..., Runner]) -> None:
    runner = make()
    event = {"text": "grüße \U0001f600", "list": [1, None, True], "nested": {"a": 1.5}}
    assert runner.call("echo", event) == Returned(event)
    assert runner.call("nested") == Returned("inner")


def test_globals_live_in_one_environment_and_only_there(make: Callable[..., Runner]) -> None:
    runner = make()
    first = runner.call("counting")
    assert isinstance(first, Returned)
    assert first.payload[0] == 1
    assert runner.call("counting") == Returned([2, first.payload[1]])
    runner.call("echo")
    assert runner.call("counting") == Returned([3, first.payload[1]])


def test_calls_at_once_run_in_environments_of_their_own_and_more_than_the_limit_wait(
    make: Callable[..., Runner],
) -> None:
    runner = make(environments=2)
    runner.together([("sleeping", {"seconds": 0})] * 2)
    began = time.monotonic()
    assert runner.together([("sleeping", {"seconds": 0.4})] * 4) == [Returned("slept")] * 4
    took = time.monotonic() - began
    assert 0.75 < took < 1.5  # two by two: neither one by one nor all at once


def test_the_context_tells_what_lambda_tells(make: Callable[..., Runner]) -> None:
    outcome = make().call("about")
    assert isinstance(outcome, Returned)
    about = outcome.payload
    assert len(about.pop("request")) == 36
    assert 8_000 < about.pop("left") <= 10_000
    assert about == {
        "name": "s-dev-about",
        "version": "$LATEST",
        "memory": "512",
        "arn": "arn:aws:lambda:eu-west-1:123456789012:function:s-dev-about",
        "group": "/aws/lambda/s-dev-about",
        "identity": None,
    }


def test_a_function_sees_its_own_environment_and_nothing_of_the_shell(
    make: Callable[..., Runner], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_SHELL", "x")
    outcome = make().call("environment")
    assert isinstance(outcome, Returned)
    seen = outcome.payload["all"]
    assert (outcome.payload["get"], outcome.payload["thread"]) == ("hello", "hello")
    assert "SECRET_OF_THE_SHELL" not in seen
    assert seen["ADDED"] == "yes"
    assert seen["AWS_LAMBDA_FUNCTION_NAME"] == "s-dev-environment"
    assert seen["AWS_REGION"] == "eu-west-1"
    assert seen["LAMBDA_TASK_ROOT"]
    assert seen["AWS_ACCESS_KEY_ID"]


@pytest.mark.parametrize(
    ("name", "kind_of_error"),
    [
        ("raising", "ValueError"),
        ("unhelpful", "Odd"),
        ("exiting", "Runtime.ExitError"),
        ("vanishing", "Runtime.ExitError"),
        ("recursing", "RecursionError"),
        ("missing", "Runtime.HandlerNotFound"),
        ("nowhere", "Runtime.ImportModuleError"),
        ("broken", "Runtime.UserCodeSyntaxError"),
        ("malformed", "Runtime.MalformedHandlerName"),
        ("not_callable", "TypeError"),
    ],
)
def test_every_way_to_fail_is_a_failure_of_this_call_alone(
    make: Callable[..., Runner], name: str, kind_of_error: str, kind: type[Any]
) -> None:
    runner = make()
    outcome = runner.call(name)
    assert isinstance(outcome, Failed)
    if not (kind is IsolatedFunctions and name == "unhelpful"):  # AWS's own client dies of it, and says so in its way
        assert outcome.type == kind_of_error
    assert isinstance(runner.call(name), Failed)
    assert runner.call("echo", {"a": 1}) == Returned({"a": 1})


def test_a_failure_is_logged_with_its_request_and_its_lines(
    make: Callable[..., Runner], caplog: pytest.LogCaptureFixture, kind: type[Any]
) -> None:
    logging.getLogger("roost").propagate = True
    make().call("raising")
    record = next(r for r in caplog.records if r.levelno == logging.ERROR)
    assert record.fields["function"] == "raising"  # type: ignore[attr-defined]  # set by extra=
    assert len(record.fields["request_id"]) == 36  # type: ignore[attr-defined]
    assert "a reason for the log" in record.getMessage()
    assert "app.py" in caplog.text or kind is IsolatedFunctions


def test_a_function_over_its_time_limit_is_stopped_and_replaced(make: Callable[..., Runner]) -> None:
    runner = make(timeout=0.7)
    outcome = runner.call("spinning")
    assert isinstance(outcome, Failed)
    assert outcome.type == "Sandbox.Timedout"
    assert outcome.message.endswith("Task timed out after 0.70 seconds")
    assert runner.call("echo", {"a": 1}) == Returned({"a": 1})
    assert isinstance(runner.call("sleeping", {"seconds": 2}), Failed)


def test_the_gateway_gives_up_before_a_function_that_is_slower_than_it_waits(make: Callable[..., Runner]) -> None:
    runner = make()
    runner.call("sleeping", {"seconds": 0})
    assert runner.call("sleeping", {"seconds": 0.6}, integration_timeout=0.2) == IntegrationTimeout()
    assert runner.call("sleeping", {"seconds": 0}) == Returned("slept")


@pytest.mark.parametrize(
    ("what", "outcome"),
    [
        ("none", Returned(None)),
        ("tuple", Returned([1, "ä", 2.5])),
        ("set", "Runtime.MarshalError"),
        ("large", "Function.ResponseSizeTooLarge"),
    ],
)
def test_a_return_value_is_what_json_makes_of_it(make: Callable[..., Runner], what: str, outcome: Any) -> None:
    answer = make().call("returning", {"what": what})
    assert answer == outcome or (isinstance(answer, Failed) and answer.type == outcome)


def test_an_event_over_6_mb_is_refused(make: Callable[..., Runner]) -> None:
    outcome = make().call("echo", {"x": "y" * 7_000_000})
    assert isinstance(outcome, Failed)
    assert outcome.type == "RequestEntityTooLarge"


def test_a_changed_source_is_used_at_the_next_call(make: Callable[..., Runner], root: Path) -> None:
    runner = make()
    (root / "broken.py").write_text("def handler(event, context):\n    return 1\n")
    assert runner.call("broken") == Returned(1)
    time.sleep(0.6)  # a look at the sources every half second is enough for a person
    (root / "broken.py").write_text("def handler(event, context):\n    return 2\n")
    assert runner.call("broken") == Returned(2)


def test_an_import_during_a_call_finds_the_environments_own_module(make: Callable[..., Runner]) -> None:
    assert make().call("lazily") == Returned(True)


def test_an_async_handler_is_awaited_in_process(make: Callable[..., Runner], kind: type[Any]) -> None:
    outcome = make().call("later")
    if kind is InProcessFunctions:
        assert outcome == Returned("later")
    else:  # Lambda itself does not await: the coroutine cannot become JSON
        assert isinstance(outcome, Failed)
        assert outcome.type == "Runtime.MarshalError"


def test_stopping_ends_what_still_runs(root: Path, kind: type[Any]) -> None:
    runner = Runner(root, kind, timeout=60)
    outcomes: list[Outcome] = []

    async def begin() -> None:
        runner.functions.invoke("sleeping", {"seconds": 30}, outcomes.append)
        await asyncio.sleep(0.5)

    runner._runner.run(begin())
    began = time.monotonic()
    runner.close()
    assert time.monotonic() - began < 12


def test_many_quick_calls_all_end(make: Callable[..., Runner]) -> None:
    outcomes = make().together([("echo", {"n": n}) for n in range(300)])
    assert outcomes == [Returned({"n": n}) for n in range(300)]
