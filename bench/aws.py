"""The AWS path: what a function's start and each push cost, and how long a crowd waits. Against boto3, and against the
loop that posts to one receiver after the other, as the original did. TLS on both sides; nothing leaves this machine."""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from bench.measures import Row
from bench.numbers import Spread, ratios, rotated
from bench.sides import SERVERS, free_port
from roost.aws import sign
from roost.aws.dynamodb import DynamoTable
from roost.aws.push import ConnectionsPush
from roost.aws.sign import Credentials
from roost.gateway.certificates import certificate
from roost.storage.log import Busy, Log
from scripts.build_lambda import build
from tests.engines import dynamo_table
from tests.lines import channel_creation, line
from tests.tools import ministack

POST_SECONDS = 0.015  # of one post to API Gateway; undocumented, 15 to 30 ms are seen
MESSAGE = "x" * 128
_POSTS = 500  # per round, for what one costs
_KEYS = {"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_SESSION_TOKEN": "t" * 400}

_OURS = """
import sys, time; sys.path.insert(0, sys.argv[1]); began = time.process_time()
from roost.aws.dynamodb import DynamoTable
from roost.aws.dynamodb import DynamoTable
from roost.aws.push import ConnectionsPush
from roost.aws.sign import Credentials
key = Credentials("AKID", "secret")
where = {"endpoint": "https://dynamodb.eu-west-1.amazonaws.com", "region": "eu-west-1"}
DynamoTable("roost", **where, credentials=lambda: key)
ConnectionsPush("https://a1b2c3d4e5.execute-api.eu-west-1.amazonaws.com/prod", "eu-west-1", lambda: key)
print(time.process_time() - began)
"""
_BOTO3 = """
import time; began = time.process_time()
import boto3
keys = {"aws_access_key_id": "AKID", "aws_secret_access_key": "secret", "region_name": "eu-west-1"}
boto3.client("dynamodb", **keys)
management = "https://a1b2c3d4e5.execute-api.eu-west-1.amazonaws.com/prod"
boto3.client("apigatewaymanagementapi", endpoint_url=management, **keys)
print(time.process_time() - began)
"""
_FUNCTION = """
import sys, time; sys.path.insert(0, sys.argv[1]); began = time.process_time()
from roost.aws import functions
functions._app("https://a1b2c3d4e5.execute-api.eu-west-1.amazonaws.com/prod")
print(time.process_time() - began)
"""

Send = Callable[[Sequence[str]], object]


def aws(rounds: int, seconds: float) -> Iterator[Row]:
    """Everything about the AWS path. `seconds` is how long appends are counted."""
    yield from _start(rounds)
    yield from _pushes(rounds)
    yield from _crowds(rounds)
    yield from _appends(rounds, seconds)


# -- a function's start -----------------------------------------------------------------------------------------------


def _start(rounds: int) -> Iterator[Row]:
    times: dict[str, list[float]] = {_OURS: [], _BOTO3: [], _FUNCTION: []}
    with tempfile.TemporaryDirectory(prefix="roost-bench-") as folder:
        built = build(Path(folder) / "lambda", local=True)
        for round_number in range(rounds + 1):
            for script in rotated(list(times), round_number):
                took = _cpu_of(script, built)
                if round_number:  # the first one finds cold files
                    times[script].append(took)
    ours, theirs, whole = times.values()
    note = f"{statistics.median(ours) * 1e3:.0f} ms / {statistics.median(theirs) * 1e3:.0f} ms"
    yield Row("import and clients: CPU / boto3's two clients", ratios(ours, theirs), 1 / 3, 1 / 5, note=note)
    yield Row("import and clients: CPU", Spread.of([took * 1e3 for took in ours]), 100, 60, "ms")
    note = "the whole chat, its clients and the trusted authorities"
    yield Row("all that a function loads: CPU", Spread.of([took * 1e3 for took in whole]), 0, 0, "ms", note=note)


def _cpu_of(script: str, built: Path) -> float:
    """CPU seconds of a script by its own account: boto3 from our environment, ours from the folder for Lambda alone."""
    alone = [] if script is _BOTO3 else ["-S"]
    environment = {**os.environ, **_KEYS, "AWS_REGION": "eu-west-1", "ROOST_TABLE": "roost"}
    command = [sys.executable, *alone, "-c", script, str(built)]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return float(run.stdout)


# -- pushes -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Stand:
    """A stand-in for @connections, and both clients of it."""

    url: str
    ours: ConnectionsPush
    theirs: Any

    def send(self, connections: Sequence[str]) -> None:
        """All at once, by our client."""
        if refused := self.ours.send(connections, MESSAGE):
            raise RuntimeError(f"{len(refused)} pushes failed")

    def loop(self, connections: Sequence[str]) -> None:
        """One after the other, by boto3."""
        for connection in connections:
            self.theirs.post_to_connection(ConnectionId=connection, Data=MESSAGE.encode())

    def check(self, posts: int, receivers: int) -> None:
        """Raise unless each receiver got what was sent since the last look, once per push."""
        with urllib.request.urlopen(self.url, timeout=10) as answer:
            counted = json.load(answer)
        if counted != [posts, receivers]:
            raise RuntimeError(f"{posts} posts to {receivers} receivers were {counted}")


@contextlib.contextmanager
def _stand(seconds: float) -> Iterator[Stand]:
    with tempfile.TemporaryDirectory(prefix="roost-bench-") as folder:
        made = certificate(Path(folder), ())
        port = free_port()
        command = [sys.executable, str(SERVERS / "connections.py"), str(port), str(seconds)]
        server = subprocess.Popen([*command, str(Path(folder) / "certificate.pem")])
        os.environ["SSL_CERT_FILE"] = str(made.bundle)  # ours reads it once, when its first client is made
        url = f"https://localhost:{port}/prod"
        sign.tls_context.cache_clear()
        ours = ConnectionsPush(url, "eu-west-1", lambda: Credentials("AKID", "secret", "t" * 400))
        theirs = boto3.client(
            "apigatewaymanagementapi",
            endpoint_url=url,
            region_name="eu-west-1",
            aws_access_key_id="AKID",
            aws_secret_access_key="secret",
            aws_session_token="t" * 400,
            verify=str(made.bundle),
            config=Config(retries={"total_max_attempts": 1}),
        )
        stand = Stand(url, ours, theirs)
        try:
            _wait(stand)
            yield stand
        finally:
            ours.close_sockets()
            server.kill()
            server.wait()


def _wait(stand: Stand, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while stand.ours.send(("up?",), ""):
        if time.monotonic() > deadline:
            raise RuntimeError("the stand-in for @connections does not start")
        time.sleep(0.05)
    stand.check(1, 1)


def _ids(count: int) -> list[str]:
    return [f"{number:015}=" for number in range(count)]


def _pushes(rounds: int) -> Iterator[Row]:
    ids = _ids(_POSTS)
    cpu: dict[str, list[float]] = {"ours": [], "theirs": []}
    with _stand(0) as stand:
        sides: list[tuple[str, Send]] = [("ours", stand.send), ("theirs", stand.loop)]
        for round_number in range(rounds + 2):
            for name, send in rotated(sides, round_number):
                began = time.process_time()
                send(ids)
                took = (time.process_time() - began) / _POSTS
                stand.check(_POSTS, _POSTS)
                if round_number >= 2:  # sockets are open
                    cpu[name].append(took)
    ours, theirs = cpu["ours"], cpu["theirs"]
    note = f"{statistics.median(ours) * 1e6:.0f} µs / {statistics.median(theirs) * 1e6:.0f} µs"
    yield Row("CPU per push / boto3's, TLS on both sides", ratios(ours, theirs), 1 / 10, 1 / 20, note=note)


def _crowds(rounds: int) -> Iterator[Row]:
    times: dict[int, list[float]] = {100: [], 1_000: [], 10_000: []}
    loop: list[float] = []
    with _stand(POST_SECONDS) as stand:
        first = _timed(stand.send, _ids(1_000))
        stand.check(1_000, 1_000)
        for round_number in range(rounds):
            for receivers in rotated(list(times), round_number):
                times[receivers].append(_timed(stand.send, _ids(receivers)))
                stand.check(receivers, receivers)
            loop.append(_timed(stand.loop, _ids(100)) / 100)
            stand.check(100, 100)
    one = statistics.median(loop)
    for receivers, took in times.items():
        what = f"{receivers:,} receivers at {POST_SECONDS * 1e3:.0f} ms a post"
        note = f"none lost; one after the other, by boto3: {one * receivers:,.1f} s"
        if receivers == 1_000:
            note += f"; the first time, without an open socket: {first * 1e3:.0f} ms"
        must, aim = (250, 120) if receivers == 1_000 else (0, 0)
        yield Row(what, Spread.of([each * 1e3 for each in took]), must, aim, "ms", note=note)


def _timed(send: Send, ids: Sequence[str]) -> float:
    began = time.perf_counter()
    send(ids)
    return time.perf_counter() - began


# -- appends ----------------------------------------------------------------------------------------------------------


def _appends(rounds: int, seconds: float) -> Iterator[Row]:
    """What the log's transactions cost against an emulator, which answers faster than DynamoDB and takes less at once:
    the figures say what our side can do, not what AWS will."""
    rates: dict[tuple[int, int], list[float]] = {(1, 1): [], (1, 4): [], (50, 16): []}
    with ministack() as endpoint:
        table = dynamo_table(endpoint, time.time)
        for channel in range(50):
            table.transact(channel_creation(f"C{channel}", f"channel-{channel}"))
        for round_number in range(rounds):
            for case in rotated(list(rates), round_number):
                rates[case].append(_rate(table, *case, seconds))
        table.close()
    for (channels, writers), found in rates.items():
        where = "one channel" if channels == 1 else f"{channels} channels"
        what = f"appends in {where}, {writers} at once"
        yield Row(what, Spread.of(found), 0, 0, "/s", at_least=True, note="DynamoTable on MiniStack")


def _rate(table: DynamoTable, channels: int, writers: int, seconds: float) -> float:
    """Appends a second by so many threads, each going from channel to channel. What is refused does not count."""
    log = Log(table, lambda: time.time_ns() // 1000, time.sleep)
    end = time.perf_counter() + seconds

    def write(writer: int) -> int:
        turns = refused = 0
        while time.perf_counter() < end:
            channel = f"C{(writer + turns * writers) % channels}"
            turns += 1
            try:
                log.append(channel, line(channel, MESSAGE))
            except Busy:
                refused += 1
        return turns - refused

    with ThreadPoolExecutor(writers) as pool:
        began = time.perf_counter()
        return sum(pool.map(write, range(writers))) / (time.perf_counter() - began)
