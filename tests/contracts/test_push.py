"""The Push port's contract: the local gateway's own sockets, and @connections as our gateway serves it, plain and over
TLS, and as MiniStack does. What is left to the push function is run by MiniStack, from the folder that is deployed."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from bench import wire
from roost.aws import sign
from roost.aws.invoke import Invoker
from roost.aws.push import ConnectionsPush
from roost.chat.ports import Outcome, Push
from roost.gateway import server
from roost.gateway.certificates import certificate
from roost.gateway.connections import Credentials
from roost.local.push import GatewayPush
from tests.cloud import KEY, REGION, Cloud, zipped
from tests.gateway.harness import Running, running, service

#: The functions behind every API: whoever says anything is told their connection's id; `$connect` can be held up.
FUNCTIONS = """
import pathlib, time

def connect(event, context=None):
    place = (event.get("queryStringParameters") or {}).get("place")
    if place:
        pathlib.Path(place, "id").write_text(event["requestContext"]["connectionId"])
        while not pathlib.Path(place, "go").exists():
            time.sleep(0.01)
    return {"statusCode": 403 if place and pathlib.Path(place, "no").exists() else 200}

def who(event, context=None):
    return {"statusCode": 200, "body": event["requestContext"]["connectionId"]}
"""
NOBODY = "AAAAAAAAAAAAAAA="


@dataclass(frozen=True, slots=True)
class Engine:
    """A Push and the address of the API whose sockets it pushes to."""

    push: Push
    port: int
    path: str
    crowd: int  #: how many connections it is asked to serve at once


class Client:
    """A WebSocket client that keeps what it hears."""

    def __init__(self, engine: Engine, query: str = "", *, ask: bool = True) -> None:
        self.sock = socket.create_connection(("127.0.0.1", engine.port), timeout=20)
        self.sock.sendall(wire.opening("127.0.0.1", engine.port, engine.path + query))
        head = b""
        while b"\r\n\r\n" not in head:
            part = self.sock.recv(4096)
            assert part, head
            head += part
        self.status = int(head.split(b" ", 2)[1])
        self._reader = wire.FrameReader()
        self._frames = list(self._reader.feed(head.partition(b"\r\n\r\n")[2]))
        self.id = ""
        if ask and self.status == 101:
            self.sock.sendall(wire.client_frame(b"who"))
            self.id = self.hear()

    def hear(self, size: int = 0) -> str:
        """The next text message; one of `size` bytes may come in several frames."""
        opcode, message = self._frame()
        assert opcode == wire.TEXT, (opcode, message)
        while len(message) < size:
            message += self._frame()[1]
        return message.decode()

    def hears_the_end(self) -> int:
        """The code of the close frame."""
        opcode, payload = self._frame()
        assert opcode == wire.CLOSE, (opcode, payload)
        return int.from_bytes(payload[:2], "big")

    def _frame(self) -> tuple[int, bytes]:
        while not self._frames:
            data = self.sock.recv(65536)
            assert data, "closed"
            self._frames += self._reader.feed(data)
        return self._frames.pop(0)

    def close(self) -> None:
        self.sock.close()


def functions() -> dict[str, Callable[[dict[str, Any]], Any]]:
    namespace: dict[str, Any] = {}
    exec(FUNCTIONS, namespace)
    return {"$connect": namespace["connect"], "$default": namespace["who"]}


@contextlib.contextmanager
def gateway(settings: server.Settings | None = None) -> Iterator[Running]:
    declared = service({"$connect": False, "$default": True})
    with running(declared, functions(), settings or server.Settings(log_events=False)) as started:
        yield started


@pytest.fixture(scope="module")
def local() -> Iterator[Engine]:
    with gateway() as started:
        made: Future[GatewayPush] = Future()
        started.loop.call_soon_threadsafe(lambda: made.set_result(GatewayPush(started.gateway.sockets)))
        yield Engine(made.result(), started.port, "/dev", 1_000)


@pytest.fixture(scope="module")
def cloud(ministack_endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> Cloud:
    return Cloud(ministack_endpoint, tmp_path_factory.mktemp("build") / "lambda")


@contextlib.contextmanager
def pushing(cloud: Cloud, callback: str, **variables: str) -> Iterator[ConnectionsPush]:
    """A Push whose push function goes to the same API."""
    name = cloud.push_function(callback, **variables)
    invoker = Invoker(name, endpoint=cloud.endpoint, region=REGION, credentials=lambda: KEY)
    push = ConnectionsPush(callback, REGION, lambda: KEY, invoker)
    yield push
    push.close_sockets()


@pytest.fixture(scope="module")
def plain(cloud: Cloud) -> Iterator[Engine]:
    settings = server.Settings(log_events=False, credentials=Credentials(KEY.access_key, KEY.secret_key))
    with gateway(settings) as started, pushing(cloud, f"http://localhost:{started.port}/dev") as push:
        yield Engine(push, started.port, "/dev", 1_000)


@pytest.fixture(scope="module")
def tls(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    made = certificate(tmp_path_factory.mktemp("tls"), ())
    key = Credentials(KEY.access_key, KEY.secret_key)
    settings = server.Settings(log_events=False, credentials=key, tls=made.context)
    with gateway(settings) as started, pytest.MonkeyPatch.context() as patch:
        trusting = ssl.create_default_context(cafile=made.bundle)
        patch.setattr(sign, "tls_context", lambda: trusting)
        callback = f"https://localhost:{started.port}/dev"
        with pushing(cloud, callback, SSL_CERT_FILE=str(made.bundle)) as push:
            yield Engine(push, started.port, "/dev", 1_000)


@pytest.fixture(scope="module")
def emulated(cloud: Cloud) -> Iterator[Engine]:
    path = f"/_aws/execute-api/{_deploy(cloud)}/dev"
    with pushing(cloud, cloud.endpoint + path) as push:
        yield Engine(push, int(cloud.endpoint.rpartition(":")[2]), path, 60)


def _deploy(cloud: Cloud) -> str:
    """A WebSocket API over the functions; its id."""
    code = zipped({"app.py": FUNCTIONS.encode()})
    with cloud.client("apigatewayv2") as gateways, cloud.client("lambda") as lambdas:
        api = gateways.create_api(
            Name="push", ProtocolType="WEBSOCKET", RouteSelectionExpression="$request.body.action"
        )
        for route, name in (("$connect", "connect"), ("$default", "who")):
            arn = lambdas.create_function(
                FunctionName=f"push-{name}",
                Runtime="python3.13",
                Role="arn:aws:iam::000000000000:role/any",
                Handler=f"app.{name}",
                Code={"ZipFile": code},
                Timeout=25,
            )["FunctionArn"]
            integration = gateways.create_integration(
                ApiId=api["ApiId"], IntegrationType="AWS_PROXY", IntegrationUri=arn, IntegrationMethod="POST"
            )
            target = f"integrations/{integration['IntegrationId']}"
            gateways.create_route(ApiId=api["ApiId"], RouteKey=route, Target=target)
        gateways.create_stage(ApiId=api["ApiId"], StageName="dev", AutoDeploy=True)
    return str(api["ApiId"])


@pytest.fixture(params=["local", "plain", "tls", "emulated"])
def engine(request: pytest.FixtureRequest) -> Engine:
    chosen: Engine = request.getfixturevalue(request.param)
    return chosen


@pytest.fixture
def connect(engine: Engine) -> Iterator[Callable[..., Client]]:
    with contextlib.ExitStack() as stack:

        def opened(*arguments: Any, **options: Any) -> Client:
            client = Client(engine, *arguments, **options)
            stack.callback(client.close)
            return client

        yield opened


@pytest.mark.parametrize("text", ["hello", "grüße 🐦", "two\nlines", '{"a": 1}', "x" * 30_000])
def test_a_frame_arrives_as_it_was_sent(engine: Engine, connect: Callable[..., Client], text: str) -> None:
    one, two = connect(), connect()
    assert engine.push.send((one.id, two.id), text) == {}
    assert one.hear() == two.hear() == text


def test_a_frame_to_nobody_is_no_error(engine: Engine) -> None:
    assert engine.push.send((), "hello") == {}


def test_each_that_is_gone_is_named_and_the_others_hear(engine: Engine, connect: Callable[..., Client]) -> None:
    stays, goes, also_stays = connect(), connect(), connect()
    goes.close()
    deadline = time.monotonic() + 20
    while engine.push.send((goes.id,), "still there?") != {goes.id: Outcome.GONE}:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    told = engine.push.send((stays.id, goes.id, NOBODY, also_stays.id), "hello")
    assert told == {goes.id: Outcome.GONE, NOBODY: Outcome.GONE}
    assert stays.hear() == also_stays.hear() == "hello"


def test_a_connection_is_gone_until_it_is_established(engine: Engine, tmp_path: Path) -> None:
    with opening(engine, tmp_path) as (connection, client):
        assert engine.push.send((connection,), "too early") == {connection: Outcome.GONE}
        (tmp_path / "go").touch()
        assert client.result(20).id == connection  # the first that it hears answers its question
        assert engine.push.send((connection,), "now") == {}
        assert client.result().hear() == "now"


def test_a_first_frame_waits_for_its_connection(engine: Engine, tmp_path: Path) -> None:
    with opening(engine, tmp_path, ask=False) as (connection, client):
        engine.push.send_first(connection, "welcome")
        time.sleep(0.3)
        assert not client.done()
        (tmp_path / "go").touch()
        assert client.result(20).hear() == "welcome"


def test_a_first_frame_to_one_who_is_there_already_is_a_frame(engine: Engine, connect: Callable[..., Client]) -> None:
    client, other = connect(), connect()
    engine.push.send_first(client.id, "welcome")
    assert client.hear() == "welcome"
    engine.push.send((other.id,), "end")
    assert other.hear() == "end"


def test_a_first_frame_to_one_who_is_refused_hurts_nobody(
    engine: Engine, connect: Callable[..., Client], tmp_path: Path
) -> None:
    (tmp_path / "no").touch()
    with opening(engine, tmp_path) as (connection, client):
        engine.push.send_first(connection, "welcome")
        (tmp_path / "go").touch()
        assert client.result(20).status == 403
    engine.push.send_first(NOBODY, "welcome")
    well = connect()
    assert engine.push.send((well.id,), "hello") == {}
    assert well.hear() == "hello"


@contextlib.contextmanager
def opening(engine: Engine, place: Path, *, ask: bool = True) -> Iterator[tuple[str, Future[Client]]]:
    """A connection whose `$connect` runs until there is a file `go`: its id, and the client once it is let in."""
    with ThreadPoolExecutor(1) as pool:
        client = pool.submit(Client, engine, f"?place={quote(str(place), safe='')}", ask=ask)
        deadline = time.monotonic() + 20
        while not (place / "id").exists() or not (place / "id").read_text():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield (place / "id").read_text(), client
        client.result().close()


def test_128_kilobytes_arrive_and_more_is_not_sent(engine: Engine, connect: Callable[..., Client]) -> None:
    client = connect()
    assert engine.push.send((client.id,), "x" * (128 * 1024)) == {}
    assert engine.push.send((client.id, NOBODY), "x" * (128 * 1024 + 1)).get(client.id) is Outcome.FAILED
    assert engine.push.send((client.id,), "é" * (64 * 1024 + 1)) == {client.id: Outcome.FAILED}
    assert engine.push.send((client.id,), "end") == {}
    assert client.hear(128 * 1024) == "x" * (128 * 1024)
    assert client.hear() == "end"


def test_frames_that_follow_each_other_arrive_in_order(engine: Engine, connect: Callable[..., Client]) -> None:
    one, two = connect(), connect()
    for number in range(50):
        assert engine.push.send((one.id, two.id), f"{number}") == {}
    assert [one.hear() for _ in range(50)] == [two.hear() for _ in range(50)] == [str(n) for n in range(50)]


def test_a_closed_connection_hears_its_end_and_is_gone(engine: Engine, connect: Callable[..., Client]) -> None:
    client, other = connect(), connect()
    engine.push.close(client.id)
    assert client.hears_the_end() in (1000, 1008)  # API Gateway leaves no choice: 1000
    assert engine.push.send((client.id, other.id), "hello") == {client.id: Outcome.GONE}
    engine.push.close(client.id)
    engine.push.close(NOBODY)
    assert other.hear() == "hello"


def test_everybody_in_a_crowd_hears_each_frame_once(engine: Engine, connect: Callable[..., Client]) -> None:
    with ThreadPoolExecutor(8) as pool:
        crowd = list(pool.map(lambda _: connect(), range(engine.crowd)))
    ids = [client.id for client in crowd]
    assert len(set(ids)) == engine.crowd
    for text in ("one", "two"):
        assert engine.push.send(ids, text) == {}
    assert engine.push.send(ids, "end") == {}
    for client in crowd:
        assert [client.hear() for _ in range(3)] == ["one", "two", "end"]


def test_several_threads_may_send_at_once(engine: Engine, connect: Callable[..., Client]) -> None:
    clients = [connect() for _ in range(10)]
    ids = [client.id for client in clients]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda n: engine.push.send(ids, f"{n}"), range(40))) == [{}] * 40
    for client in clients:
        assert sorted((client.hear() for _ in range(40)), key=int) == [str(n) for n in range(40)]


@pytest.mark.parametrize("engine", ["local", "plain", "tls"], indirect=True)  # MiniStack's queues have no end
def test_one_that_never_reads_keeps_nobody_waiting(engine: Engine, connect: Callable[..., Client]) -> None:
    stuck, well = connect(), connect()
    stuck.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    heard: list[str] = []
    reader = threading.Thread(target=lambda: heard.extend(iter(well.hear, "end")))
    reader.start()
    frame, sent = "x" * 31_000, 0
    while not (told := engine.push.send((stuck.id, well.id), frame)):
        sent += 1
        assert sent < 2_000
        time.sleep(0.002)
    assert told == {stuck.id: Outcome.FAILED}
    assert engine.push.send((well.id,), "end") == {}
    reader.join(20)
    assert heard == [frame] * (sent + 1)
