"""The Lambda entry points: what they load, where they find things, and that each hands its event on."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import os
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import boto3
import pytest
from boto3.dynamodb.types import TypeSerializer
from websockets.sync.client import ClientConnection, connect

from roost.aws import functions, push
from roost.aws.dynamodb import table_definition
from roost.chat import delivery
from roost.storage import shares
from roost.storage.items import JobRow, job_key, to_item
from tests.cloud import Cloud
from tests.gateway.harness import OK, Running, running, service
from tests.tools import ministack

ROUTES = {"$connect": False, "$default": False}


def test_nothing_heavy_is_loaded() -> None:
    """boto3 costs a function more than the whole chat; each of these would add a tenth or more to its start."""
    script = "import sys; from roost.aws import functions; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    heavy = {"boto3", "botocore", "asyncio", "http.client", "email", "urllib.request", "sqlite3", "apsw", "greenlet"}
    assert not heavy & set(loaded)
    assert not [name for name in loaded if name.startswith(("roost.gateway", "roost.local", "roost.testing"))]


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, "https://lambda.eu-west-1.amazonaws.com"),
        ({"AWS_ENDPOINT_URL": "http://e"}, "http://e"),
        ({"AWS_ENDPOINT_URL": "http://e", "AWS_ENDPOINT_URL_LAMBDA": "http://l"}, "http://l"),
        ({"AWS_ENDPOINT_URL_DYNAMODB": "http://d"}, "https://lambda.eu-west-1.amazonaws.com"),
    ],
)
def test_endpoints_are_found_as_by_other_tools(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: str
) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_ENDPOINT")]:
        monkeypatch.delenv(name)
    for name, value in {"AWS_REGION": "eu-west-1", **variables}.items():
        monkeypatch.setenv(name, value)
    assert functions._endpoint("lambda") == expected


@dataclasses.dataclass
class Context:
    """What Lambda passes beside the event."""

    seconds: float = 29.0

    def get_remaining_time_in_millis(self) -> int:
        return int(self.seconds * 1000)


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    with ministack() as endpoint:
        client = boto3.client(
            "dynamodb",
            endpoint_url=endpoint,
            region_name="eu-west-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        client.create_table(**table_definition("roost"))
        client.close()
        yield endpoint


@pytest.fixture
def gateway(store: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    """A gateway whose connections the functions push to, as their variables say."""
    with running(service(ROUTES), dict.fromkeys(ROUTES, lambda event: OK)) as started:
        callback = f"http://127.0.0.1:{started.port}/dev"
        set_variables(monkeypatch, store, ROOST_CALLBACK_URL=callback)
        with clean(callback):
            yield started


def set_variables(monkeypatch: pytest.MonkeyPatch, store: str, **more: str) -> None:
    """The environment of a function."""
    variables = {
        "AWS_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_ENDPOINT_URL_DYNAMODB": store,
        "ROOST_TABLE": "roost",
    }
    for name, value in {**variables, **more}.items():
        monkeypatch.setenv(name, value)


@contextlib.contextmanager
def clean(callback: str) -> Iterator[None]:
    """Functions that have made no client yet, and whose sockets are closed afterwards."""
    caches = (functions._table, functions._jobs, functions._sqs, functions._app, functions._push)
    for cache in caches:
        cache.cache_clear()
    yield
    functions._push(callback).close_sockets()
    functions._table().close()
    for cache in caches:
        cache.cache_clear()


@pytest.fixture
def meet(gateway: Running) -> Iterator[Callable[[], tuple[str, ClientConnection]]]:
    """Connects somebody: their connection's id, and the client."""
    with contextlib.ExitStack() as clients:

        def met() -> tuple[str, ClientConnection]:
            before = set(gateway.open_ids())
            client = clients.enter_context(connect(gateway.url))
            (connection,) = set(gateway.open_ids()) - before
            return connection, client

        yield met


def share(*connections: str, name: str, payload: str) -> dict[str, Any]:
    now = time.time_ns() // 1_000_000
    return {
        "type": "share",
        "name": name,
        "channel": "C1",
        "time": now,
        "frame": base64.b64encode(zlib.compress(payload.encode())).decode(),
        "receivers": dict.fromkeys(connections, now),
    }


def test_a_share_that_lambda_delivers_twice_is_told_once(meet: Callable[[], tuple[str, ClientConnection]]) -> None:
    (ana, hears_ana), (ben, hears_ben) = meet(), meet()
    event = share(ana, ben, name="twice", payload="grüße")
    functions.push(event, Context())
    functions.push(event, Context())
    functions.push(share(ana, ben, name="next", payload="end"), Context())
    for client in (hears_ana, hears_ben):
        assert [client.recv(10), client.recv(10)] == ["grüße", "end"]


def test_a_share_whose_function_died_is_told_by_the_next_one(
    meet: Callable[[], tuple[str, ClientConnection]], monkeypatch: pytest.MonkeyPatch
) -> None:
    ana, client = meet()
    event = share(ana, name="died", payload="hello")

    class Killed(BaseException):
        pass

    def die(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr("roost.aws.push.ConnectionsPush.send", die)
        functions.push(event, Context(seconds=0.5))
    with pytest.raises(shares.Taken):  # an error to Lambda, which comes again
        functions.push(event, Context())
    time.sleep(0.6)
    functions.push(event, Context())
    assert client.recv(10) == "hello"


def test_a_first_frame_is_sent_by_the_push_function(meet: Callable[[], tuple[str, ClientConnection]]) -> None:
    connection, client = meet()
    functions.push({"type": "first", "connection": connection, "payload": "welcome"}, Context())
    assert client.recv(10) == "welcome"


def test_what_the_push_function_does_not_know_is_an_error(gateway: Running) -> None:
    with pytest.raises(Exception, match="nothing"):
        functions.push({"type": "nothing"}, Context())


def change(number: int, item: Mapping[str, Any]) -> dict[str, Any]:
    """A record of the table's stream."""
    return {"dynamodb": {"SequenceNumber": f"{number:021}", "NewImage": serialized(item)}}


def serialized(item: Mapping[str, Any]) -> dict[str, Any]:
    serialize = TypeSerializer().serialize
    return {name: serialize(value) for name, value in item.items()}


@pytest.fixture
def no_sqs(gateway: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQS does not answer, so jobs cannot be queued; all else goes on."""
    monkeypatch.setenv("ROOST_QUEUE_URL", "http://127.0.0.1:9/000000000000/jobs")
    monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", "http://127.0.0.1:9")


def test_the_stream_comes_again_from_the_first_change_that_failed(no_sqs: None) -> None:
    log = {"PK": "L#C1#202611", "SK": "000000000001", "type": "message", "ts": "1800000000.000001", "e": {}}
    waiting = to_item(job_key("j1"), JobRow(id="j1", kind="k", fields={}, due=1))
    removed = {"dynamodb": {"SequenceNumber": "0", "Keys": serialized({"PK": "L#C1#202611", "SK": "1"})}}
    records = [removed, change(1, log), change(2, waiting), change(3, log), change(4, waiting)]
    assert functions.stream({"Records": records}, None) == {"batchItemFailures": [{"itemIdentifier": f"{2:021}"}]}
    assert functions.stream({"Records": [removed, change(1, log)]}, None) == {"batchItemFailures": []}


# -- a large audience, all the way ------------------------------------------------------------------------------------


@pytest.fixture
def cloud(store: str, tmp_path: Path) -> Cloud:
    return Cloud(store, tmp_path / "lambda")


def test_a_large_audience_is_told_by_other_functions(store: str, cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """The chat's own functions behind our gateway; the push function of the deployed folder on MiniStack's Lambda."""
    monkeypatch.setattr(delivery, "LARGE", 20)
    monkeypatch.setattr(push, "SHARE", 8)
    routes = dict.fromkeys((*ROUTES, "$disconnect"), lambda event: functions.socket(event, None))
    with running(service(dict.fromkeys(routes, False)), routes) as gateway, contextlib.ExitStack() as stack:
        callback = f"http://127.0.0.1:{gateway.port}/dev"
        name = cloud.push_function(callback, ROOST_TABLE="roost", AWS_ENDPOINT_URL=store)
        set_variables(monkeypatch, store, ROOST_CALLBACK=callback, ROOST_GUESTS="on", ROOST_PUSH_FUNCTION=name)
        monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", store)
        with clean(callback):
            crowd = [stack.enter_context(connect(gateway.url)) for _ in range(24)]
            for text in ("one", "two"):
                crowd[0].send(text)
                for client in crowd[1:]:
                    assert client.recv(30) == f"#general anonymous: {text}"
            crowd[1].send("/who")  # the next that anybody hears: nothing came twice
            assert str(crowd[1].recv(30)).startswith("In #general: ")
            with pytest.raises(TimeoutError):
                crowd[2].recv(0.5)
