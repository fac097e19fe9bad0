"""Functions as processes under AWS's runtime client: what is theirs, how they end, and that none is left behind."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from roost.gateway.definition import DefinitionError, Service
from roost.gateway.functions import Returned
from roost.gateway.isolated import IsolatedFunctions
from tests.gateway.harness import eventually
from tests.gateway.runners import Runner, app, messages, runner
from tests.tools import ROOT

#: What a process is given of the shell's variables, and what Python itself adds.
OF_THE_SHELL = (
    r"(PATH|HOME|LANG|LC_ALL|LC_CTYPE|TMPDIR|TEMP|LD_LIBRARY_PATH|AWS_CA_BUNDLE|REQUESTS_CA_BUNDLE|SSL_CERT_FILE"
    r"|PYTHON\w*|AWS_ENDPOINT_URL\w*)$"
)
OF_THE_PLATFORM = """
    _HANDLER _X_AMZN_TRACE_ID TZ AWS_REGION AWS_DEFAULT_REGION AWS_EXECUTION_ENV AWS_LAMBDA_FUNCTION_NAME
    AWS_LAMBDA_FUNCTION_MEMORY_SIZE AWS_LAMBDA_FUNCTION_VERSION AWS_LAMBDA_LOG_GROUP_NAME AWS_LAMBDA_LOG_STREAM_NAME
    AWS_LAMBDA_INITIALIZATION_TYPE AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AWS_LAMBDA_RUNTIME_API
    LAMBDA_TASK_ROOT LAMBDA_RUNTIME_DIR GREETING ADDED MINE MERGED
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return app(tmp_path)


@pytest.fixture(autouse=True)
def logs(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(logging.getLogger("roost"), "propagate", True)
    caplog.set_level(logging.INFO, "roost")


@contextlib.contextmanager
def running(root: Path, *keys: str, **options: Any) -> Iterator[Runner]:
    with runner(IsolatedFunctions, root, *keys, **options) as started:
        yield started


def runs(pid: int) -> bool:
    """Whether a process is there and no zombie, which waits only for its parent to notice."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    return False


# -- what a process gets ---------------------------------------------------------------------------------------------


def test_a_process_works_in_the_code_root_and_has_variables_of_its_own(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/of/the/shell")
    monkeypatch.setenv("ROOST_SECRET", "x")
    with running(root, "process", "environment", "layered") as functions:
        process = functions.value("process")
        assert process["cwd"] == str(root)
        assert process["pid"] != os.getpid()
        variables = functions.value("environment")["all"]
        assert functions.value("layered") == "layer"
    assert variables["HOME"] == "/home/of/the/shell"
    assert "ROOST_SECRET" not in variables
    assert all(re.match(OF_THE_SHELL, name) for name in variables if name not in OF_THE_PLATFORM.split())
    assert re.fullmatch(r"127\.0\.0\.1:\d+", variables["AWS_LAMBDA_RUNTIME_API"])
    assert variables["PYTHONPATH"].startswith(f"{root}{os.pathsep}")
    assert variables["AWS_EXECUTION_ENV"] == "AWS_Lambda_python3.13"
    assert variables["LAMBDA_TASK_ROOT"] == str(root)


def test_each_environment_is_a_process(root: Path) -> None:
    with running(root, "sleeping", "process") as functions:
        functions.together([("process", None)] * 3)
        pids = {functions.value("process")["pid"] for _ in range(5)}
        assert len(pids) == 1


def test_a_python_without_awslambdaric_is_refused_in_one_line(tmp_path: Path) -> None:
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -S "$@"\n')
    bare.chmod(0o755)
    functions = IsolatedFunctions(Service("s", "dev", "r", "1", {}, None, None), python=bare)
    with pytest.raises(DefinitionError, match=r"^--isolated needs .*: `make setup` .* -m pip install awslambdaric`$"):
        asyncio.run(functions.start())


def test_a_python_that_is_not_there_is_refused_in_one_line(tmp_path: Path) -> None:
    functions = IsolatedFunctions(Service("s", "dev", "r", "1", {}, None, None), python=tmp_path / "none")
    with pytest.raises(DefinitionError, match=r"^--isolated cannot run .*none: No such file or directory$"):
        asyncio.run(functions.start())


def test_a_code_root_that_is_gone_fails_the_call(tmp_path: Path) -> None:
    with running(tmp_path / "gone", "echo") as functions:
        assert functions.failure("echo").type == "Runtime.InvalidEntrypoint"


# -- how a process ends ----------------------------------------------------------------------------------------------


def test_a_crash_in_c_is_named_by_its_signal(root: Path) -> None:
    with running(root, "crashing", "echo") as functions:
        for _ in range(2):
            failure = functions.failure("crashing")
            assert failure.type == "Runtime.ExitError"
            assert failure.message.endswith("Error: Runtime exited with error: signal: segmentation fault")
        assert functions.call("echo") == Returned({})


def test_a_process_over_its_time_limit_is_killed(root: Path) -> None:
    (root / "entry.py").write_text(
        "import os, pathlib, signal\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "def handler(event, context):\n"
        "    pathlib.Path('pid').write_text(str(os.getpid()))\n"
        "    while True: pass\n"
    )
    with running(root, "entry.handler", timeout=0.5) as functions:
        assert functions.failure("entry.handler").type == "Sandbox.Timedout"
        eventually(lambda: functions.run(asyncio.sleep(0.02)) or not runs(int((root / "pid").read_text())), 1.5)


def test_what_a_process_has_started_ends_with_it_and_does_not_hold_up_the_answer(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with running(root, "parent") as functions:
        began = time.monotonic()
        assert functions.failure("parent").message.endswith("exit status 1")
        assert time.monotonic() - began < 8
        (child,) = [message for message in messages(caplog.records, "parent") if message.startswith("child ")]
        eventually(lambda: not runs(int(child.split()[1])))


def test_a_process_that_dies_while_idle_is_replaced(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    with running(root, "process") as functions:
        pid = functions.value("process")["pid"]
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: functions.run(asyncio.sleep(0.02)) or not psutil.pid_exists(pid))
        assert functions.value("process")["pid"] != pid
    assert messages(caplog.records, "process") == []


def test_an_event_that_a_dying_process_never_took_goes_to_a_new_one(root: Path) -> None:
    (root / "entry.py").write_text(
        "import os, time, runtime_client\n"
        "def handler(event, context):\n"
        "    runtime_client.next = lambda: (time.sleep(0.3), os._exit(1))\n"
        "    return os.getpid()\n"
    )
    with running(root, "entry.handler") as functions:
        assert len({functions.value("entry.handler") for _ in range(3)}) == 3


def test_a_process_that_dies_at_once_is_started_once_for_each_call(root: Path) -> None:
    (root / "dying.py").write_text(
        "import os\nwith open('starts', 'a') as file: file.write('x')\nos.kill(os.getpid(), 9)\n"
    )
    with running(root, "dying.handler") as functions:
        for _ in range(3):
            assert functions.failure("dying.handler").message.endswith("signal: killed")
        functions.run(asyncio.sleep(0.3))
    assert (root / "starts").read_text() == "xxx"


def test_at_the_end_a_process_that_ignores_the_request_to_end_is_killed(root: Path) -> None:
    with running(root, "deaf", "process") as functions:
        deaf, other = functions.value("deaf"), functions.value("process")["pid"]
        assert runs(deaf)
        assert runs(other)
    assert not runs(deaf)
    assert not runs(other)


GATEWAY = """
import asyncio, sys
from pathlib import Path
from roost.gateway.isolated import IsolatedFunctions
from tests.gateway.runners import Runner

runner = Runner(IsolatedFunctions, Path(sys.argv[1]), "process", "entry.handler", timeout=600)
print(runner.value("process")["pid"], flush=True)

async def spin():
    runner.begin([("entry.handler", {})])
    await asyncio.sleep(600)

runner.run(spin())
"""


def test_a_killed_gateway_leaves_no_process_behind_neither_idle_nor_busy(root: Path) -> None:
    (root / "entry.py").write_text(
        "import os, pathlib\n"
        "def handler(event, context):\n"
        "    pathlib.Path('new').write_text(str(os.getpid()))\n"
        "    os.rename('new', 'pid')\n"
        "    while True: pass\n"
    )
    gateway = subprocess.Popen([sys.executable, "-c", GATEWAY, root], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert gateway.stdout is not None
        idle = int(gateway.stdout.readline())
        eventually(lambda: (root / "pid").exists())
        busy = int((root / "pid").read_text())
        assert runs(idle)
        assert runs(busy)
    finally:
        gateway.kill()
        gateway.communicate()
    eventually(lambda: not runs(idle) and not runs(busy))


# -- the log ---------------------------------------------------------------------------------------------------------


def test_output_is_logged_line_by_line_with_the_request_that_made_it(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (root / "entry.py").write_text(
        "import os, sys\n"
        "def handler(event, context):\n"
        "    print('first'); print('sec\\u00f6nd'); print('y' * 100_000); sys.stderr.write('no end')\n"
        "    os.write(1, b'\\xff\\n\\n')\n"
        "    return context.aws_request_id\n"
    )
    with running(root, "entry.handler") as functions:
        request = functions.value("entry.handler")
        eventually(lambda: functions.run(asyncio.sleep(0.01)) or "\ufffd" in caplog.text)
    lines = messages(caplog.records, "entry.handler")
    assert lines[:2] == ["first", "secönd"]
    assert "".join(lines[2:-1]) == "y" * 100_000
    assert lines[-1] == "no end\ufffd"
    first = next(record for record in caplog.records if record.getMessage() == "first")
    assert first.fields == {"function": "entry.handler", "request_id": request}  # type: ignore[attr-defined]


def test_the_clients_traceback_is_logged_as_lines_that_can_be_read(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with running(root, "raising") as functions:
        functions.call("raising")
        eventually(lambda: functions.run(asyncio.sleep(0.01)) or "    raise ValueError" in caplog.text)
    lines = messages(caplog.records, "raising")
    assert "[ERROR] ValueError: a reason for the log" in lines
    assert any(re.fullmatch(r'  File ".*/app.py", line \d+, in raising', line) for line in lines)
