"""What both runners of functions promise: in process, and isolated under AWS's own runtime client."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from roost.gateway.functions import Failed, IntegrationTimeout, Outcome, Returned
from roost.gateway.in_process import InProcessFunctions
from roost.gateway.isolated import IsolatedFunctions
from tests.gateway.runners import Runner, app

Make = Callable[..., Runner]

ATTRIBUTES = [
    "aws_request_id",
    "client_context",
    "function_name",
    "function_version",
    "get_remaining_time_in_millis",
    "identity",
    "invoked_function_arn",
    "log",
    "log_group_name",
    "log_stream_name",
    "memory_limit_in_mb",
    "tenant_id",
    "w3c",
]


@pytest.fixture(params=[InProcessFunctions, IsolatedFunctions], ids=["in process", "isolated"])
def kind(request: pytest.FixtureRequest) -> type[Any]:
    chosen: type[Any] = request.param
    return chosen


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return app(tmp_path)


@pytest.fixture
def make(root: Path, kind: type[Any]) -> Iterator[Make]:
    made: list[Runner] = []

    def runner(*keys: str, **options: Any) -> Runner:
        made.append(Runner(kind, root, *keys, **options))
        return made[-1]

    yield runner
    for each in made:
        each.close()


@pytest.fixture(autouse=True)
def logs(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(logging.getLogger("roost"), "propagate", True)
    caplog.set_level(logging.INFO, "roost")


# -- events and answers ----------------------------------------------------------------------------------------------


def test_a_handler_gets_the_event_and_its_return_value_goes_back(make: Make) -> None:
    event = {"text": "grüße \U0001f600 \u2028", "list": [1, None, True], "nested": {"a": 1.5, "": 2**53 + 1}}
    assert make("echo").call("echo", event) == Returned(event)


@pytest.mark.parametrize(
    ("what", "value"),
    [
        ("none", None),
        ("tuple", [1, "ä", 2.5]),
        ("named tuple", [{"statusCode": 200, "body": "x"}]),
        ("bytes inside", {"body": "abc"}),
        ("bytes", {"statusCode": 200}),
        ("decimals", [1.1, 12345678901234567890123, 100.0]),
        ("keys", {"1": "a", "null": "b", "1.5": "c"}),
        ("large", "x" * 6_200_000),
    ],
)
def test_a_return_value_is_what_lambdas_json_makes_of_it(make: Make, what: str, value: Any) -> None:
    assert make("returning").call("returning", {"what": what}) == Returned(value)


@pytest.mark.parametrize(
    ("what", "kind_of_error"),
    [
        ("set", "Runtime.MarshalError"),
        ("object", "Runtime.MarshalError"),
        ("circle", "Runtime.MarshalError"),
        ("tuple as key", "Runtime.MarshalError"),
        ("nan", "Runtime.InvalidResponse"),
        ("infinity", "Runtime.InvalidResponse"),
        ("bytes that are not json", "Runtime.InvalidResponse"),
        ("too large", "Function.ResponseSizeTooLarge"),
        ("far too large", "Function.ResponseSizeTooLarge"),
    ],
)
def test_a_return_value_that_cannot_be_passed_on_is_a_failure(make: Make, what: str, kind_of_error: str) -> None:
    runner = make("returning")
    assert runner.failure("returning", {"what": what}).type == kind_of_error
    assert runner.call("returning", {"what": "none"}) == Returned(None)


def test_an_event_over_6_mb_is_refused(make: Make) -> None:
    runner = make("echo")
    assert runner.failure("echo", {"x": "y" * 6_300_000}).type == "RequestEntityTooLarge"
    assert runner.failure("echo", {"x": object()}).type == "InvalidRequestContent"
    assert len(runner.value("echo", {"x": "y" * 6_200_000})["x"]) == 6_200_000


def test_an_async_handler_is_awaited_in_process(make: Make, kind: type[Any]) -> None:
    outcome = make("later").call("later")
    if kind is InProcessFunctions:
        assert outcome == Returned("later")
    else:  # Lambda itself does not await: the coroutine cannot become JSON
        assert isinstance(outcome, Failed)
        assert outcome.type == "Runtime.MarshalError"


PROGRAMS = """
import asyncio, multiprocessing, os
async def soon():
    await asyncio.sleep(0.01)
    return "soon"
def loop(event, context):
    return asyncio.get_event_loop().run_until_complete(soon())
def runs(event, context):
    return asyncio.run(soon())
def fork(event, context):
    child = os.fork()
    if child == 0:
        os._exit(7)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
def speak(pipe):
    pipe.send("from a child")
def child(event, context):
    ours, theirs = multiprocessing.get_context("fork").Pipe()
    process = multiprocessing.get_context("fork").Process(target=speak, args=(theirs,))
    process.start()
    said = ours.recv()
    process.join()
    return [said, process.exitcode]
"""


@pytest.mark.parametrize(
    ("name", "value"), [("loop", "soon"), ("runs", "soon"), ("fork", 7), ("child", ["from a child", 0])]
)
def test_a_handler_may_use_an_event_loop_and_children_of_its_own(
    make: Make, root: Path, name: str, value: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A loop as in a main thread; a child ends with its own status, and only itself."""
    (root / "programs.py").write_text(PROGRAMS)
    runner = make(f"programs.{name}")
    assert [runner.value(f"programs.{name}") for _ in range(2)] == [value, value]
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


# -- environments ----------------------------------------------------------------------------------------------------


def test_globals_live_in_one_environment_and_only_there(make: Make) -> None:
    runner = make("counting", "echo")
    _, where = runner.value("counting")
    assert runner.value("counting") == [2, where]
    runner.call("echo")
    assert runner.value("counting") == [3, where]


def test_calls_at_once_run_in_environments_of_their_own_and_more_than_the_limit_wait(make: Make) -> None:
    runner = make("sleeping", "counting", max_environments=2)
    runner.together([("sleeping", {"seconds": 0})] * 2)
    began = time.monotonic()
    assert runner.together([("sleeping", {"seconds": 0.4})] * 4) == [Returned("slept")] * 4
    assert time.monotonic() - began >= 0.8  # two by two
    outcomes = [outcome.payload for outcome in runner.together([("counting", None)] * 12)]  # type: ignore[union-attr]
    assert len({tuple(where) for _, where in outcomes}) <= 2
    assert len({(count, *where) for count, where in outcomes}) == 12  # nobody's count was seen twice


def test_two_calls_do_run_at_once(make: Make) -> None:
    runner = make("sleeping")
    runner.together([("sleeping", {"seconds": 0.1})] * 4)

    async def all_four() -> float:
        began = time.monotonic()
        await asyncio.gather(*runner.begin([("sleeping", {"seconds": 1})] * 4))
        return time.monotonic() - began

    assert runner.run(all_four()) < 3  # one by one it would be four


def test_calls_that_wait_begin_in_their_order(make: Make) -> None:
    runner = make("counting", max_environments=1)
    outcomes = runner.together([("counting", None)] * 20)
    assert [outcome.payload[0] for outcome in outcomes] == list(range(1, 21))  # type: ignore[union-attr]


def test_many_quick_calls_all_end(make: Make) -> None:
    runner = make("echo")
    outcomes = runner.together([("echo", {"n": n}) for n in range(300)])
    assert outcomes == [Returned({"n": n}) for n in range(300)]
    assert runner.calls == 300


def test_the_context_tells_what_lambda_tells(make: Make) -> None:
    runner = make("about")
    about = runner.value("about")
    assert 8_000 < about.pop("left") <= 10_000
    request, stream = about.pop("request"), about.pop("stream")
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", request)
    assert re.fullmatch(r"\d{4}/\d\d/\d\d/\[\$LATEST\][0-9a-f]{32}", stream)
    assert re.fullmatch(r"Root=1-[0-9a-f]{8}-[0-9a-f]{24};Parent=[0-9a-f]{16};Sampled=0", about.pop("trace"))
    assert about.pop("shown").startswith(f"LambdaContext([aws_request_id={request},log_group_name=/aws/lambda/")
    assert about == {
        "name": "s-dev-about",
        "version": "$LATEST",
        "memory": "512",
        "arn": "arn:aws:lambda:eu-west-1:123456789012:function:s-dev-about",
        "group": "/aws/lambda/s-dev-about",
        "identity": [None, None],
        "others": [None, None, {}],
        "attributes": ATTRIBUTES,
    }
    assert runner.value("about")["request"] != request


def test_a_function_sees_its_own_variables_and_nothing_of_the_shell(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_THE_SHELL", "x")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://localhost:1")
    seen = make("environment").value("environment")
    assert (seen["get"], seen["thread"]) == ("hello", "hello")
    variables = seen["all"]
    assert "SECRET_OF_THE_SHELL" not in variables
    assert "SECRET_OF_THE_SHELL" not in seen["child"]
    assert "GREETING" in seen["child"]
    assert variables["ADDED"] == "yes"
    assert (variables["MINE"], variables["MERGED"]) == ("1", "2")
    assert variables["AWS_ENDPOINT_URL_S3"] == "http://localhost:1"
    assert variables["AWS_LAMBDA_FUNCTION_NAME"] == "s-dev-environment"
    assert variables["AWS_REGION"] == "eu-west-1"  # the platform wins over the file
    assert variables["_HANDLER"] == "app.environment"
    assert {"LAMBDA_TASK_ROOT", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "TZ"} < variables.keys()


def test_boto3_in_a_handler_finds_region_endpoint_and_credentials(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_APIGATEWAYMANAGEMENTAPI", "http://localhost:8000/dev")
    assert make("clients").value("clients") == ["eu-west-1", "http://localhost:8000/dev"]


# -- importing -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("handler", "value"),
    [
        ("folder/inner/chat.handler", "inner"),
        ("folder.inner.chat.handler", "inner"),
        ("circle/one.handler", ["one", "two"]),
        ("circle/two.names", TypeError),
        ("threads.handler", ["inner"] * 4),
        ("colorsys.handler", True),
        ("layered", "layer"),
        ("lazily", [True, True, "inner"]),
        ("pickling", 3),
        ("pooled", "hello"),
    ],
)
def test_modules_are_found_as_lambda_finds_them(make: Make, handler: str, value: Any) -> None:
    outcome = make(handler).call(handler)
    assert outcome == Returned(value) or (isinstance(outcome, Failed) and outcome.type == value.__name__)


def test_a_changed_source_is_used_at_the_next_call(make: Make, root: Path, caplog: pytest.LogCaptureFixture) -> None:
    runner = make("counting", "raising")
    assert [runner.value("counting")[0] for _ in range(2)] == [1, 2]
    helper = root / "helper.py"
    helper.write_text(helper.read_text().replace("os.getpid(), id(threading.current_thread())", "'new'"))
    time.sleep(0.6)  # a look at the sources every half second is enough for a person
    assert runner.value("counting") == [1, ["new"]]
    assert any("helper.py has changed" in record.getMessage() for record in caplog.records)


def test_a_change_that_keeps_size_and_second_is_seen(make: Make, root: Path) -> None:
    runner = make("quick.handler")
    for answer in ("1", "2", "3"):
        (root / "quick.py").write_text(f"def handler(event, context):\n    return {answer}\n")
        assert runner.value("quick.handler") == int(answer)
        time.sleep(0.55)


def test_an_import_that_failed_is_tried_again_with_the_next_call(make: Make, root: Path) -> None:
    runner = make("lacks_a_package.handler", "unwritten.handler")
    failure = runner.failure("lacks_a_package.handler")
    assert failure.type == "Runtime.ImportModuleError"
    assert failure.message == "Unable to import module 'lacks_a_package': No module named 'no_such_package'"
    (root / "no_such_package.py").write_text("")
    assert runner.failure("lacks_a_package.handler").type == "Runtime.MarshalError"  # it runs: it returns a module
    (root / "unwritten.py").write_text("def handler(event, context:\n")
    assert runner.failure("unwritten.handler").type == "Runtime.UserCodeSyntaxError"
    (root / "unwritten.py").write_text("def handler(event, context):\n    return 1\n")
    assert runner.call("unwritten.handler") == Returned(1)


# -- failures --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("handler", "kind_of_error", "message"),
    [
        ("raising", "ValueError", "a reason for the log"),
        ("recursing", "RecursionError", "maximum recursion depth exceeded"),
        ("not_callable", "TypeError", "'int' object is not callable"),
        ("missing", "Runtime.HandlerNotFound", "Handler 'missing' missing on module 'app'"),
        (
            "nowhere.handler",
            "Runtime.ImportModuleError",
            "Unable to import module 'nowhere': No module named 'nowhere'",
        ),
        ("folder/gone.handler", "Runtime.ImportModuleError", "Unable to import module 'folder/gone': No module named"),
        ("app.echo.handler", "Runtime.ImportModuleError", "'app' is not a package"),
        (":malformed", "Runtime.MalformedHandlerName", "Bad handler 'malformed'"),
        ("sys.exit", "Runtime.BuiltInModuleConflict", "Cannot use built-in module sys as a handler module"),
        (".handler", "ValueError", "Empty module name"),
        ("raises_on_import.handler", "KeyError", "'on import'"),
        ("exits_on_import.handler", "Runtime.ExitError", "Runtime exited with error: exit status 9"),
    ],
)
def test_every_way_to_fail_is_a_failure_of_this_call_alone(
    make: Make, handler: str, kind_of_error: str, message: str
) -> None:
    runner = make(handler, "echo")
    for _ in range(2):
        failure = runner.failure(handler)
        assert failure.type == kind_of_error
        assert message in failure.message
    assert runner.call("echo", {"a": 1}) == Returned({"a": 1})
    assert runner.calls == 3


@pytest.mark.parametrize(
    ("how", "words"),
    [
        (3, "Runtime exited with error: exit status 3"),
        (None, "Runtime exited without providing a reason"),
        ("words", "Runtime exited with error: exit status 1"),
        ("os._exit", "Runtime exited with error: exit status 4"),
        ("interrupt", "Runtime exited with error: signal: interrupt"),
        ("generator exit", "Runtime exited with error: exit status 1"),
    ],
)
def test_a_handler_that_ends_its_process_ends_its_environment(make: Make, how: Any, words: str) -> None:
    runner = make("leaving")
    failure = runner.failure("leaving", {"how": how})
    assert failure.type == "Runtime.ExitError"
    assert re.fullmatch(rf"RequestId: [0-9a-f-]{{36}} Error: {words}", failure.message)
    assert runner.failure("leaving", {"how": 3}).message.endswith("exit status 3")


def test_an_exception_whose_text_raises_is_only_a_failure(make: Make, kind: type[Any]) -> None:
    runner = make("unhelpful", "echo")
    # AWS's own client dies of it
    assert runner.failure("unhelpful").type == ("Odd" if kind is InProcessFunctions else "Runtime.ExitError")
    assert runner.call("echo", {"a": 1}) == Returned({"a": 1})


def test_a_failure_is_logged_with_function_request_and_traceback(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    make("raising").call("raising")
    record = next(r for r in caplog.records if r.levelno == logging.ERROR)
    fields = record.fields  # type: ignore[attr-defined]  # set by extra=
    assert fields["function"] == "raising"
    assert len(fields["request_id"]) == 36
    assert record.getMessage() == "ValueError: a reason for the log"
    assert re.search(r'File ".*app.py", line \d+, in raising', caplog.text)
    assert "    raise ValueError" in caplog.text
    assert "\\xa0" not in caplog.text
    assert "in_process.py" not in caplog.text
    assert "bootstrap.py" not in caplog.text


def test_what_a_handler_logs_and_prints_is_seen(
    make: Make, kind: type[Any], caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    make("logging_and_printing").call("logging_and_printing")
    text = (
        "\n".join(r.getMessage() for r in caplog.records)
        if kind is IsolatedFunctions
        else "\n".join(capfd.readouterr())
    )
    assert re.search(r"\[WARNING\]\t\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\t[0-9a-f-]{36}\ta warning", text)
    assert "not shown" not in text
    assert "printed\n" in text
    assert "an error" in text
    assert text.count("long") == 30_000


# -- time ------------------------------------------------------------------------------------------------------------


def test_a_function_over_its_time_limit_is_stopped_and_replaced(make: Make) -> None:
    runner = make("spinning", "sleeping", "counting", "echo", timeout=0.7)
    failure = runner.failure("spinning")
    assert failure.type == "Sandbox.Timedout"
    assert re.fullmatch(r"[0-9a-f-]{36} Task timed out after 0\.70 seconds", failure.message)
    assert runner.call("echo", {"a": 1}) == Returned({"a": 1})
    assert runner.failure("sleeping", {"seconds": 2}).type == "Sandbox.Timedout"
    assert runner.call("sleeping", {"seconds": 0}) == Returned("slept")
    assert runner.calls == 4


def test_a_stopped_function_makes_room_for_the_call_that_waits(make: Make) -> None:
    runner = make("sleeping", timeout=0.5, max_environments=1)
    outcomes = runner.together([("sleeping", {"seconds": 5}), ("sleeping", {"seconds": 0})])
    assert isinstance(outcomes[0], Failed)
    assert outcomes[1] == Returned("slept")


def test_the_gateway_gives_up_before_a_function_that_is_slower_than_it_waits(make: Make) -> None:
    runner = make("sleeping", "counting", max_environments=1)
    runner.call("sleeping", {"seconds": 0})
    began = time.monotonic()
    assert runner.call("sleeping", {"seconds": 1}, integration_timeout=0.2) == IntegrationTimeout()
    assert time.monotonic() - began < 0.9
    assert runner.call("sleeping", {"seconds": 0}) == Returned("slept")  # in the same environment, afterwards
    assert time.monotonic() - began >= 1
    assert runner.calls == 3


def test_getting_ready_does_not_count_as_the_functions_time(make: Make) -> None:
    assert make("slow_to_import.handler", timeout=0.4).call("slow_to_import.handler") == Returned("awake")


def test_a_function_that_hangs_on_import_holds_up_no_other(make: Make) -> None:
    runner = make("hangs_on_import.handler", "echo", timeout=10, time_scale=0.1)

    async def both() -> list[Outcome]:
        hanging, *others = runner.begin([("hangs_on_import.handler", None), *([("echo", {})] * 8)])
        answered = await asyncio.gather(*others)
        assert not hanging.done()
        return [await hanging, *answered]

    hanging, *others = runner.run(both())
    assert isinstance(hanging, Failed)
    assert hanging.type == "Sandbox.Timedout"
    assert others == [Returned({})] * 8


# -- the end ---------------------------------------------------------------------------------------------------------


def test_stopping_waits_a_little_then_ends_what_runs_and_tells_its_callers(root: Path, kind: type[Any]) -> None:
    runner = Runner(kind, root, "sleeping", timeout=600, time_scale=0.1, max_environments=2)

    async def begin() -> list[asyncio.Future[Outcome]]:
        seconds = (0, 30, 30)  # the last finds no environment
        begun = runner.begin([("sleeping", {"seconds": n}) for n in seconds])
        await begun[0]
        return begun

    begun = runner.run(begin())
    began = time.monotonic()
    runner.run(runner.functions.stop())
    assert time.monotonic() - began < 5
    assert [type(future.result()) for future in begun] == [Returned, Failed, Failed]
    assert "the gateway is stopping" in runner.failure("sleeping").message
    assert runner.calls == 4
    runner.close()


def test_stopping_lets_a_short_call_end(root: Path, kind: type[Any]) -> None:
    runner = Runner(kind, root, "sleeping")
    runner.call("sleeping", {"seconds": 0})

    async def stop() -> Outcome:
        (call,) = runner.begin([("sleeping", {"seconds": 0.3})])
        await runner.functions.stop()
        return await call

    assert runner.run(stop()) == Returned("slept")
    runner.close()
