"""Functions as threads of the gateway's process: what is each one's own, what is shared, and how one is stopped."""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest

from roost.gateway.functions import Failed, Returned
from roost.gateway.in_process import InProcessFunctions
from tests.gateway.harness import eventually
from tests.gateway.runners import Runner, app, messages, runner


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return app(tmp_path)


@pytest.fixture(autouse=True)
def logs(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(logging.getLogger("roost"), "propagate", True)
    caplog.set_level(logging.INFO, "roost")


@contextmanager
def running(root: Path, *keys: str, **options: Any) -> Iterator[Runner]:
    with runner(InProcessFunctions, root, *keys, **options) as started:
        yield started


def threads_of(key: str) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == f"function {key}"]


# -- what is each function's own -------------------------------------------------------------------------------------


def test_the_gateways_own_threads_see_the_process_as_it_is(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running(root, "environment") as functions:
        functions.call("environment")
        assert "GREETING" not in os.environ
        assert "MINE" not in os.environ
        monkeypatch.setenv("ROOST_TEST_OF_THE_PROCESS", "1")
        child = [sys.executable, "-c", "import os; print(os.environ['ROOST_TEST_OF_THE_PROCESS'], os.getcwd())"]
        assert subprocess.run(child, capture_output=True, text=True, check=True).stdout == f"1 {Path.cwd()}\n"
        assert importlib.import_module("tests.gateway.runners").runner is runner


def test_a_library_that_has_kept_the_environment_sees_each_functions_own(root: Path) -> None:
    import boto3

    boto3.setup_default_session()  # keeps os.environ
    try:
        with running(root, "clients") as functions:
            assert functions.value("clients")[0] == "eu-west-1"
        code = "import os; from os import environ; from roost.gateway import views as v; v.install(); "
        code += "print(environ is os.environ)"
        assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "True\n"
    finally:
        boto3.DEFAULT_SESSION = None


def test_variables_are_text_and_go_away(root: Path) -> None:
    (root / "entry.py").write_text(
        "import os\n"
        "def handler(event, context):\n"
        "    try: os.environ['NUMBER'] = 1\n"
        "    except TypeError as error: words = str(error)\n"
        "    before = len(os.environ)\n"
        "    del os.environ['GREETING']\n"
        "    os.environ.setdefault('NEW', 'x')\n"
        "    os.unsetenv('NEW')\n"
        "    return [words, 'GREETING' in os.environ, len(os.environ) - before, os.environ.pop('NEW'),\n"
        "            os.environ.get('NEW'), 'AWS_REGION' in repr(os.environ), 'NEW' in (os.environ | {'NEW': ''})]\n"
    )
    with running(root, "entry.handler") as functions:
        assert functions.value("entry.handler") == ["str expected, not int", False, 0, "x", None, True, True]


def test_two_functions_with_modules_of_one_name_do_not_meet(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "shared_name.py").write_text(f"WHERE = {name!r}\n")
        (tmp_path / name / "entry.py").write_text(
            "import time, shared_name\n"
            "def handler(event, context):\n"
            "    time.sleep(0.05)\n"
            "    import shared_name as late\n"
            "    return [shared_name.WHERE, late.WHERE]\n"
        )
    with running(tmp_path / "a", "entry.handler") as a, running(tmp_path / "b", "entry.handler") as b:
        both = threading.Thread(target=lambda: others.extend(b.together([("entry.handler", None)] * 10)))
        others: list[Any] = []
        both.start()
        assert a.together([("entry.handler", None)] * 10) == [Returned(["a", "a"])] * 10
        both.join()
        assert others == [Returned(["b", "b"])] * 10


def test_a_functions_module_hides_no_module_of_the_gateway(root: Path) -> None:
    import click

    (root / "click.py").write_text("NAME = 'mine'\n")
    (root / "json.py").write_text("raise RuntimeError('AWS has imported its json before')\n")
    (root / "entry.py").write_text(
        "import click, json\ndef handler(event, context): return [click.NAME, json.dumps(1)]\n"
    )
    with running(root, "entry.handler") as functions:
        assert functions.value("entry.handler") == ["mine", "1"]
        assert sys.modules["click"] is click
        assert importlib.import_module("click") is click


def test_a_folder_of_the_function_gives_way_to_an_installed_package_of_its_name(root: Path) -> None:
    (root / "click").mkdir()
    (root / "entry.py").write_text("import click\ndef handler(event, context): return click.__file__\n")
    with running(root, "entry.handler") as functions:
        assert "site-packages" in functions.value("entry.handler")


def test_a_package_installed_into_the_code_root_is_imported_once_for_all(root: Path) -> None:
    (root / "vendored_for_roost_test").mkdir()
    (root / "vendored_for_roost_test" / "__init__.py").write_text("loads = []\n")
    (root / "vendored-1.0.dist-info").mkdir()
    (root / "vendored-1.0.dist-info" / "RECORD").write_text(
        "vendored_for_roost_test/__init__.py,sha256=x,1\nvendored-1.0.dist-info/RECORD,,\n../../bin/tool,,\n"
    )
    (root / "entry.py").write_text(
        "import time, vendored_for_roost_test as shared\n"
        "shared.loads.append(1)\n"
        "def handler(event, context):\n"
        "    time.sleep(0.1)\n"
        "    return len(shared.loads)\n"
    )
    with running(root, "entry.handler") as functions:
        functions.together([("entry.handler", None)] * 3)
        assert functions.value("entry.handler") == 3


def test_modules_in_a_folder_that_the_function_puts_on_the_path_are_its_own(root: Path) -> None:
    (root / "vendor").mkdir()
    (root / "vendor" / "on_the_path.py").write_text("count = 0\n")
    (root / "entry.py").write_text(
        "import sys, time\n"
        "sys.path.insert(0, './vendor')\n"
        "import on_the_path\n"
        "def handler(event, context):\n"
        "    time.sleep(0.1)\n"
        "    on_the_path.count += 1\n"
        "    return on_the_path.count\n"
    )
    try:
        with running(root, "entry.handler") as functions:
            assert functions.together([("entry.handler", None)] * 3) == [Returned(1)] * 3
            assert functions.value("entry.handler") == 2
    finally:
        sys.path[:] = [entry for entry in sys.path if entry != "./vendor"]


def test_an_import_that_fails_in_a_call_can_be_tried_in_the_next(root: Path) -> None:
    (root / "entry.py").write_text(
        "def handler(event, context):\n    import folder.inner.unready\n    return folder.inner.unready.x\n"
    )
    unready = root / "folder" / "inner" / "unready.py"
    unready.write_text("x = 1 / 0\n")
    with running(root, "entry.handler") as functions:
        assert functions.failure("entry.handler").type == "ZeroDivisionError"
        unready.write_text("x = 1\n")
        assert functions.value("entry.handler") == 1


def test_async_handlers_of_one_environment_share_a_loop(root: Path) -> None:
    with running(root, "loops", "later") as functions:
        assert [functions.value("loops") for _ in range(3)] == [True, True, True]
        assert functions.together([("later", None)] * 8) == [Returned("later")] * 8


def test_pythons_last_resort_still_shows_the_gateways_own_warnings(
    root: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(root, "echo") as functions:
        functions.call("echo")
        own = [
            handler for handler in logging.getLogger().handlers if handler.__class__.__module__ == "roost.gateway.views"
        ]
        assert len(own) == 1
        monkeypatch.setattr(logging.getLogger(), "handlers", own)
        logging.getLogger("some.library").warning("of the process")
        logging.getLogger("some.library").info("too quiet")
    printed = capfd.readouterr()
    assert (printed.out, printed.err) == ("", "of the process\n")


def test_libraries_may_keep_their_records_out_of_the_root_loggers_lines(
    root: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """As AWS's Powertools do, whose loggers print each record themselves."""
    (root / "filtered.py").write_text(
        "import logging\n"
        "for each in logging.getLogger().handlers:\n"
        "    each.addFilter(lambda record: record.name != 'own.handler')\n"
        "def handler(event, context):\n"
        "    logging.getLogger('own.handler').warning('said twice')\n"
        "    logging.getLogger('other').warning('said once')\n"
    )
    with running(root, "filtered.handler") as functions:
        functions.call("filtered.handler")
    printed = capfd.readouterr().out
    assert ("said once" in printed, "said twice" in printed) == (True, False)


# -- stopping --------------------------------------------------------------------------------------------------------


def test_a_python_loop_over_its_time_is_ended_even_if_it_catches_everything_once(root: Path) -> None:
    with running(root, "stubborn", "spinning", timeout=0.3) as functions:
        assert functions.failure("stubborn").type == "Sandbox.Timedout"
        assert functions.failure("spinning").type == "Sandbox.Timedout"
        eventually(lambda: functions.run(asyncio.sleep(0.1)) or not threads_of("stubborn") + threads_of("spinning"))


def test_an_async_handler_over_its_time_is_ended_while_it_waits(root: Path) -> None:
    with running(root, "sleeping_later", timeout=0.3) as functions:
        assert functions.failure("sleeping_later", {"seconds": 60}).type == "Sandbox.Timedout"
        eventually(lambda: functions.run(asyncio.sleep(0.1)) or not threads_of("sleeping_later"))


def test_the_log_says_where_a_function_was_when_its_time_was_over(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    with running(root, "sleeping", timeout=0.3) as functions:
        functions.call("sleeping", {"seconds": 1})
    (record,) = [r for r in caplog.records if r.levelno == logging.ERROR and r.name.startswith("roost")]
    assert record.getMessage().endswith("Task timed out after 0.30 seconds")
    assert "in sleeping\n    time.sleep(event" in caplog.text
    assert "in_process.py" not in caplog.text


def test_nothing_more_is_logged_of_a_function_that_was_stopped(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    with running(root, "spinning", timeout=0.3) as functions:
        functions.call("spinning")
        eventually(lambda: functions.run(asyncio.sleep(0.1)) or not threads_of("spinning"))
    assert len(messages(caplog.records, "spinning")) == 1


def test_threads_end_with_the_gateway(root: Path) -> None:
    with running(root, "echo") as functions:
        functions.together([("echo", None)] * 5)
        assert threads_of("echo")
    eventually(lambda: not threads_of("echo"))


def test_a_reloaded_environment_leaves_no_thread(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    with running(root, "counting") as functions:
        functions.call("counting")
        helper = root / "helper.py"
        helper.write_text(helper.read_text() + "\n# changed\n")
        time.sleep(0.55)
        assert functions.value("counting")[0] == 1
        eventually(lambda: len(threads_of("counting")) == 1)
    assert messages(caplog.records, "counting") == [f"reloading: {helper} has changed"]


def test_a_function_that_has_stopped_leaves_nothing_to_import_behind(tmp_path: Path, root: Path) -> None:
    (other := tmp_path / "other").mkdir()
    shutil.copy(root / "lacks_a_package.py", other)
    (root / "no_such_package.py").write_text("")
    with running(root, "lacks_a_package.handler") as functions:
        assert functions.call("lacks_a_package.handler") == Failed("Runtime.MarshalError", ANY)
    assert eventually(lambda: not threads_of("lacks_a_package.handler"))
    with running(other, "lacks_a_package.handler") as functions:
        assert functions.call("lacks_a_package.handler") == Failed("Runtime.ImportModuleError", ANY)


# -- failures --------------------------------------------------------------------------------------------------------


def test_the_whole_chain_of_exceptions_is_logged_without_the_runners_part(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with running(root, "raising", "lacks_a_package.handler") as functions:
        functions.call("raising")
        functions.call("lacks_a_package.handler")
    assert "LookupError: the first cause" in caplog.text
    assert "ModuleNotFoundError: No module named 'no_such_package'" in caplog.text
    assert 'lacks_a_package.py", line 1' in caplog.text
    for part in ("in_process.py", "own_modules.py", "views.py", "frozen importlib"):
        assert part not in caplog.text


def test_os_exit_in_the_gateways_own_threads_still_ends_the_process() -> None:
    code = "import os; from roost.gateway import views; views.install(); os._exit(7)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 7


def test_where_the_system_has_no_more_threads_the_call_fails(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with running(root, "echo") as functions:
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", none_left)
            assert functions.call("echo") == Failed("Runtime.InvalidEntrypoint", "can't start new thread")
        assert functions.call("echo") == Returned({})
