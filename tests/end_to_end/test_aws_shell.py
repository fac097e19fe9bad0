"""The chat as Lambda functions: the folder that would be uploaded, under AWS's own runtime client and AWS's own runtime
emulator, in a Python that holds nothing else; DynamoDB emulated, pushes through the @connections API. The conversation
is the laptop's."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import importlib.util
import json
import re
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from roost.app import ROUTE_SELECTION_EXPRESSION, ROUTES
from roost.aws.dynamodb import table_definition
from roost.gateway.definition import check_handlers, load
from scripts import tools
from scripts.build_lambda import build
from tests.end_to_end.test_blog_post import exchange
from tests.tools import ROOT, free_port, ministack, program, roost_gateway

TEMPLATE = ROOT / "deploy" / "template.yaml"
PYTHON = tools.TOOLS / "runtime" / "bin" / "python"  # holds awslambdaric and nothing else
EVENTS = Path(__file__).parent / "events"  # as API Gateway sends them
CONNECTION = "Kq3vYcJ9oAMCJxQ="  # theirs
AARCH64 = 183  # ELF's number for it


@pytest.fixture(scope="module")
def emulated_aws() -> Iterator[str]:
    with ministack() as endpoint:
        yield endpoint


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template beside a folder that was built for this machine, laid out as in the project."""
    folder = tmp_path_factory.mktemp("stack")
    build(folder / "build" / "lambda", local=True)
    (folder / "deploy").mkdir()
    (folder / "deploy" / "template.yaml").write_text(TEMPLATE.read_text())
    return folder / "deploy" / "template.yaml"


@pytest.fixture(scope="module")
def folder(stack: Path) -> Path:
    """The folder that would be uploaded, built for this machine."""
    return stack.parent.parent / "build" / "lambda"


def test_two_people_talk_through_lambda_functions(stack: Path, emulated_aws: str, tmp_path: Path) -> None:
    options = ("--dynamodb", emulated_aws, "--set", "Guests=on", "--set", "ROOST_LIMITS=off", "--python", str(PYTHON))
    with roost_gateway(stack, tmp_path, *options) as server:
        exchange(server.url)
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/", timeout=30) as page:
            assert "wscat" in page.read().decode()
        with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/api/api.test", timeout=30) as answer:
            assert json.load(answer)["ok"] is True
        assert "Traceback" not in server.stderr()


def test_the_template_and_the_shells_agree_on_routes_and_table(stack: Path) -> None:
    service = load(stack)
    assert check_handlers(service) == []
    assert service.websocket is not None
    assert set(service.websocket.routes) == set(ROUTES)
    assert service.websocket.route_selection_expression == ROUTE_SELECTION_EXPRESSION
    (table,) = service.tables
    expected = table_definition("x")
    for part in ("KeySchema", "GlobalSecondaryIndexes", "AttributeDefinitions", "BillingMode"):
        assert table.properties[part] == expected[part]
    assert table.properties["TimeToLiveSpecification"] == {"AttributeName": "x", "Enabled": True}


# -- AWS's Runtime Interface Emulator ---------------------------------------------------------------------------------


class Api:
    """What the functions find at their @connections address; notes what is posted to whom."""

    def __init__(self) -> None:
        self.posts: list[tuple[str, str]] = []
        posts = self.posts

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                posts.append((self.path, body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002  as it is called there
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/prod"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join(10)
        self._server.server_close()


@pytest.fixture
def api() -> Iterator[Api]:
    made = Api()
    yield made
    made.close()


@pytest.fixture
def variables(emulated_aws: str, api: Api) -> dict[str, str]:
    """What Lambda tells a function, with a table of its own."""
    name = f"lambda-{time.time_ns()}"
    session = boto3.session.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name="eu-west-1")
    client = session.client("dynamodb", endpoint_url=emulated_aws)
    client.create_table(**table_definition(name))
    client.close()
    return {
        "AWS_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_SESSION_TOKEN": "token",
        "AWS_LAMBDA_FUNCTION_TIMEOUT": "29",
        "AWS_ENDPOINT_URL": emulated_aws,
        "ROOST_TABLE": name,
        "ROOST_GUESTS": "on",
        "ROOST_CALLBACK": api.url,
        "ROOST_CALLBACK_URL": api.url,
    }


@contextlib.contextmanager
def function(folder: Path, handler: str, variables: dict[str, str]) -> Iterator[str]:
    """One function as Lambda runs it; yields where to invoke it."""
    port, runtime_port = free_port(), free_port()
    command: list[str | Path] = [tools.runtime_emulator()]
    command += ["--runtime-interface-emulator-address", f"127.0.0.1:{port}"]
    command += ["--runtime-api-address", f"127.0.0.1:{runtime_port}"]
    command += [PYTHON, "-m", "awslambdaric", f"roost.aws.functions.{handler}"]
    environ = {**variables, "LAMBDA_TASK_ROOT": str(folder), "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    with program(command, cwd=folder, env=environ) as running:
        yield f"http://127.0.0.1:{port}/2015-03-31/functions/function/invocations"
        assert "Traceback" not in running.stdout() + running.stderr()


def invoke(url: str, name: str, **changes: str) -> Any:
    """Send a recorded event, as if it happened now."""
    event = json.loads((EVENTS / f"{name}.json").read_text()) | changes
    if "connectedAt" in event["requestContext"]:
        event["requestContext"] |= dict.fromkeys(("connectedAt", "requestTimeEpoch"), time.time_ns() // 1_000_000)
    deadline = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(url, json.dumps(event).encode(), timeout=40) as answer:
                return json.load(answer)
        except urllib.error.HTTPError:
            raise
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)  # it is still starting


def test_recorded_events_are_answered_under_awss_runtime_emulator(
    folder: Path, variables: dict[str, str], api: Api
) -> None:
    with function(folder, "socket", variables) as url:
        assert invoke(url, "connect") == {"statusCode": 200}
        assert invoke(url, "message") == {"statusCode": 200}
        assert invoke(url, "message", body="/who") == {"statusCode": 200}
        assert invoke(url, "message", body='{"action":"command","data":"fetchChannels"}') == {"statusCode": 200}
        assert invoke(url, "disconnect") == {"statusCode": 200}
    path = "/prod/@connections/" + CONNECTION.replace("=", "%3D")
    said = ["Set username to bz", "In #general: bz (guest)", '{"channelsList": ["general"]}']
    assert api.posts == [(path, text) for text in said]
    with function(folder, "http", variables) as url:
        answer = invoke(url, "request")
        assert (answer["statusCode"], answer["headers"]["Content-Type"]) == (200, "text/plain; charset=utf-8")
        assert invoke(url, "request", rawPath="/api/api.test")["statusCode"] == 200


def test_without_guests_nobody_without_an_account_is_let_in(folder: Path, variables: dict[str, str]) -> None:
    with function(folder, "socket", variables | {"ROOST_GUESTS": "off"}) as url:
        assert invoke(url, "connect") == {"statusCode": 403}


# -- what is in it ----------------------------------------------------------------------------------------------------

_TRACE = """
import ast, importlib, json, os, sys, zoneinfo
importlib.import_module("roost.aws.functions")
zoneinfo.reset_tzpath(to=())  # Lambda has no time zones of its own
zoneinfo.ZoneInfo("Europe/Berlin")
before = None
while before != set(sys.modules):  # also what functions import when they are called
    before = set(sys.modules)
    for name in [name for name in before if name.partition(".")[0] == "roost"]:
        for node in ast.walk(ast.parse(open(sys.modules[name].__file__).read())):
            if isinstance(node, ast.Import):
                [importlib.import_module(each.name) for each in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.module.startswith("joserfc"):  # where a provider is set
                importlib.import_module(node.module)
                for each in node.names:
                    if not hasattr(sys.modules[node.module], each.name):
                        importlib.import_module(f"{node.module}.{each.name}")
files = {name: getattr(module, "__file__", None) for name, module in sys.modules.items()}
json.dump({name: file for name, file in files.items() if file}, sys.stdout)
"""


def test_it_holds_what_the_handlers_import_and_nothing_else(folder: Path) -> None:
    command = [str(PYTHON), "-B", "-I", "-c", f"import sys; sys.path.insert(0, {str(folder)!r})\n{_TRACE}"]
    loaded = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    inside = {str(Path(file).relative_to(folder)) for file in loaded.values() if Path(file).is_relative_to(folder)}
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"}
    assert {file for file in files if file.startswith("roost/")} == {file for file in inside if file[:6] == "roost/"}
    packages = {file.partition("/")[0] for file in files} - {"roost"}
    assert {name for name in packages if not name.endswith(".dist-info")} == {
        file.partition("/")[0] for file in inside
    } - {"roost"}
    assert not {name.partition(".")[0] for name in loaded} & {"boto3", "botocore", "asyncio"}  # slow to start


def test_two_builds_are_the_same_and_small(folder: Path, tmp_path: Path) -> None:
    first, second = build(tmp_path / "one", local=False), build(tmp_path / "two", local=False)
    assert contents(first) == contents(second)
    assert sum(path.stat().st_size for path in second.rglob("*")) < 10 * 1024 * 1024
    ours, here = (
        {name: stamp for name, stamp in contents(each).items() if re.match(r"roost/.*\.py$", name)}
        for each in (first, folder)
    )
    assert ours == here


def test_bytecode_goes_with_it_and_is_taken_as_it_is(folder: Path, tmp_path: Path) -> None:
    assert contents(build(tmp_path / "again", local=True)) == contents(folder)
    for source in folder.rglob("*.py"):
        compiled = Path(importlib.util.cache_from_source(str(source))).read_bytes()
        assert compiled[:4] == importlib.util.MAGIC_NUMBER
        assert int.from_bytes(compiled[4:8], "little") == 0b01  # by a hash that nobody checks: no look at the source


def contents(folder: Path) -> dict[str, tuple[str, int, float]]:
    """Every file with the hash of what is in it, its mode and its time."""
    return {
        str(path.relative_to(folder)): (
            hashlib.sha256(path.read_bytes()).hexdigest(),
            path.stat().st_mode,
            path.stat().st_mtime,
        )
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_its_libraries_run_on_lambdas_processor_and_system(tmp_path: Path) -> None:
    libraries = sorted(build(tmp_path / "lambda", local=False).rglob("*.so"))
    assert libraries
    for library in libraries:
        data = library.read_bytes()
        assert data[:4] == b"\x7fELF"
        assert int.from_bytes(data[18:20], "little") == AARCH64
        assert "cpython-313" in library.name or "abi3" in library.name
        wanted = {(int(major), int(minor)) for major, minor in re.findall(rb"GLIBC_(\d+)\.(\d+)", data)}
        assert max(wanted) <= (2, 34)  # Amazon Linux 2023's


def test_what_an_identity_provider_needs_goes_with_it_where_one_is_set(folder: Path, tmp_path: Path) -> None:
    wanted = "import sys; sys.path.insert(0, {!r}); from joserfc import jwt; from joserfc.jwk import KeySet"
    whole = build(tmp_path / "oidc", local=True, oidc=True)
    for place, found in ((whole, True), (folder, False)):
        command = [str(PYTHON), "-B", "-I", "-c", wanted.format(str(place))]
        assert (subprocess.run(command, capture_output=True, check=False).returncode == 0) is found
