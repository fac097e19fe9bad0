"""The servers that are measured: ours, with its store on, and others that store nothing."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from scripts import tools

SERVERS = Path(__file__).parent / "servers"
_UP_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Side:
    """A kind of server."""

    name: str
    sender_path: str = "/send"  #: where a sender connects, so that it is not among the receivers

    def command(self, port: int, data: str) -> list[str]:
        """What starts it."""
        if self.name == "roost":
            roost = str(Path(sys.executable).with_name("roost"))
            return [roost, "serve", "--port", str(port), "--data", data, "--limits", "off"]
        if self.name == "node ws":
            return [str(tools.node()), str(SERVERS / "node_ws.js"), str(port)]
        return [sys.executable, str(SERVERS / f"{self.name.replace(' ', '_')}.py"), str(port)]


ROOST = Side("roost", "/")
BROADCAST = Side("websockets broadcast")
RELAY = Side("websockets relay")
NODE = Side("node ws")


class Process:
    """A running server."""

    def __init__(self, side: Side) -> None:
        self.side = side
        self.port = free_port()
        self._data = tempfile.mkdtemp(prefix="roost-bench-")
        environment = {"NODE_PATH": str(tools.NODE_PACKAGES / "node_modules"), "PATH": "/usr/bin:/bin"}
        self._process = subprocess.Popen(
            side.command(self.port, self._data), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self._measured = psutil.Process(self._process.pid)

    def wait(self) -> None:
        """Return once it takes connections."""
        deadline = time.monotonic() + _UP_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise RuntimeError(f"{self.side.name} does not start") from None
                time.sleep(0.002)

    def cpu(self) -> float:
        """CPU seconds so far, user and system."""
        times = self._measured.cpu_times()
        return float(times.user + times.system)

    def memory(self) -> int:
        """Bytes that it alone occupies, and its share of the rest."""
        return int(self._measured.memory_full_info().pss)

    def stop(self) -> None:
        """Kill it and remove its data."""
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self._data, ignore_errors=True)


@contextlib.contextmanager
def running(side: Side) -> Iterator[Process]:
    """A server that takes connections, for the length of a `with` block."""
    process = Process(side)
    try:
        process.wait()
        yield process
    finally:
        process.stop()


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
