"""Real programs for tests: the roost command, wscat, MiniStack, DynamoDB Local. Each a context manager."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from scripts import tools

ROOT = tools.ROOT
ROOST = Path(sys.executable).with_name("roost")


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


class Program:
    """A process whose output is read all the time."""

    def __init__(
        self, command: Sequence[str | Path], *, cwd: Path | None = None, env: Mapping[str, str] | None = None
    ) -> None:
        self.process = subprocess.Popen(
            list(map(str, command)),
            cwd=cwd,
            env={**os.environ, **(env or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self._out: list[str] = []
        self._err: list[str] = []
        self._news = threading.Condition()
        pairs = ((self.process.stdout, self._out), (self.process.stderr, self._err))
        self._readers = [threading.Thread(target=self._read, args=pair, daemon=True) for pair in pairs]
        for reader in self._readers:
            reader.start()

    def _read(self, stream: IO[bytes], lines: list[str]) -> None:
        for line in stream:
            with self._news:
                lines.append(line.decode("utf-8", "replace").rstrip("\n"))
                self._news.notify_all()
        with self._news:
            self._news.notify_all()

    def stdout(self) -> str:
        """Everything it has printed."""
        return "\n".join(self._out)

    def stderr(self) -> str:
        """Everything it has printed to standard error."""
        return "\n".join(self._err)

    def wait_for(self, pattern: str, seconds: float = 30.0) -> re.Match[str]:
        """The first match in its output, waited for."""
        deadline = time.monotonic() + seconds
        with self._news:
            while True:
                match = re.search(pattern, self.stdout())
                if match:
                    return match
                left = deadline - time.monotonic()
                ended = self.process.poll() is not None and not any(r.is_alive() for r in self._readers)
                if left <= 0 or ended:
                    raise AssertionError(f"no {pattern!r} in:\n{self.stdout()}\n{self.stderr()}")
                self._news.wait(min(left, 0.2))

    def type(self, line: str) -> None:
        """Type a line."""
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        """`kill -9`, it and its children."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self._close()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ask it to stop and wait; its exit status."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"it did not stop:\n{self.stdout()}\n{self.stderr()}") from None
        self._close()
        return int(self.process.returncode)

    def _close(self) -> None:
        self.process.wait(20)
        for reader in self._readers:
            reader.join(5)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()


class Server(Program):
    """A roost server that is ready; `port` and `url` say where."""

    port = 0
    url = ""


@contextlib.contextmanager
def program(command: Sequence[str | Path], **options: object) -> Iterator[Program]:
    """A program for the length of a `with` block."""
    started = Program(command, **options)  # type: ignore[arg-type]  # passed on as they are
    try:
        yield started
    finally:
        started.kill()


@contextlib.contextmanager
def roost_serve(data: Path, *options: str) -> Iterator[Server]:
    """`roost serve` on a free port."""
    server = start_serve(data, *options)
    try:
        yield server
    finally:
        server.kill()


def start_serve(data: Path, *options: str) -> Server:
    """`roost serve`, ready; the caller ends it."""
    server = Server([ROOST, "serve", "--port", "0", "--data", data, *options])
    match = server.wait_for(r"(ws://[\d.]+:(\d+))")
    server.url, server.port = match[1], int(match[2])
    return server


@contextlib.contextmanager
def roost_gateway(file: Path, data: Path, *options: str, env: Mapping[str, str] | None = None) -> Iterator[Server]:
    """`roost gateway FILE` on a free port, started in the file's folder as a person would."""
    command: list[str | Path] = [ROOST, "gateway", file.name, "--port", "0", "--data", data, *options]
    server = Server(command, cwd=file.parent, env=env)
    try:
        match = server.wait_for(r"listening on (ws://\S+:(\d+)/\S+)")
        server.url, server.port = match[1], int(match[2])
        yield server
    finally:
        server.kill()


class Wscat:
    """An unmodified wscat in a terminal, since it speaks otherwise when it is piped."""

    def __init__(self, url: str, *options: str) -> None:
        script = tools.NODE_PACKAGES / "node_modules" / "wscat" / "bin" / "wscat"
        self._terminal, inner = pty.openpty()
        fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 2000, 0, 0))  # wide: nothing is wrapped
        command = [str(tools.node()), str(script), "-c", url, "--no-color", *options]
        self._process = subprocess.Popen(command, stdin=inner, stdout=inner, stderr=inner, start_new_session=True)
        os.close(inner)
        self._shown = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.shows("Connected")

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # the terminal is gone
            while data := os.read(self._terminal, 65536):
                self._shown += data.decode("utf-8", "replace")

    def type(self, line: str) -> None:
        """Type a line."""
        os.write(self._terminal, line.encode() + b"\r")

    def said(self) -> list[str]:
        """The frames that it has shown, in order."""
        plain = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", self._shown).replace("\r", "\n")
        return re.findall(r"^< (.*)$", plain, re.MULTILINE)

    def shows(self, text: str, seconds: float = 30.0) -> None:
        """Wait for this text anywhere on the screen."""
        self._wait(lambda: text in self._shown, text, seconds)

    def hears(self, text: str, times: int = 1, seconds: float = 30.0) -> None:
        """Wait for exactly this frame."""
        self._wait(lambda: self.said().count(text) >= times, text, seconds)

    def _wait(self, condition: Callable[[], bool], what: str, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline or (self._process.poll() is not None and not self._reader.is_alive()):
                raise AssertionError(f"{what!r} is not there: {self.said()}\n{self._shown}")
            time.sleep(0.02)

    def kill(self) -> None:
        """Close the terminal."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(10)
        self._reader.join(5)
        os.close(self._terminal)


@contextlib.contextmanager
def wscat(url: str, *options: str) -> Iterator[Wscat]:
    """wscat, connected."""
    client = Wscat(url, *options)
    try:
        yield client
    finally:
        client.kill()


@contextlib.contextmanager
def ministack(*, auth: bool = False, **settings: str) -> Iterator[str]:
    """MiniStack; yields its endpoint. `auth`: signatures, policies and roles are enforced. `settings`: variables of its
    own."""
    port = free_port()
    env = {"BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port), "AUTH": str(auth).lower(), **settings}
    with program([tools.TOOLS / "ministack" / "bin" / "ministack"], env=env) as emulator:
        _wait_for_http(f"http://127.0.0.1:{port}/_ministack/health", emulator)
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def dynamodb_local() -> Iterator[str]:
    """Amazon's DynamoDB Local; yields its endpoint."""
    engine, port = tools.TOOLS / "dynamodb-local" / "engine", free_port()
    command: list[str | Path] = [tools.java(), "-Djava.library.path=./DynamoDBLocal_lib", "-jar", "DynamoDBLocal.jar"]
    command += ["-inMemory", "-disableTelemetry", "-port", str(port)]
    with program(command, cwd=engine) as running:
        _wait_for_http(f"http://127.0.0.1:{port}/", running)
        yield f"http://127.0.0.1:{port}"


def _wait_for_http(url: str, running: Program, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            urllib.request.urlopen(url, timeout=2).close()
            return
        except urllib.error.HTTPError:
            return  # it answers
        except OSError:
            if time.monotonic() > deadline or running.process.poll() is not None:
                raise AssertionError(f"{url} does not answer:\n{running.stdout()}\n{running.stderr()}") from None
            time.sleep(0.1)
