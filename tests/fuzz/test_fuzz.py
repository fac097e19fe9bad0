"""A hundred thousand hostile frames and requests: nothing escapes, nothing grows, everybody else goes on chatting."""

from __future__ import annotations

import os
import random
import select
import socket
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from websockets.sync.client import ClientConnection, connect

from tests.fuzz.hostile import HANDSHAKE, fatal_frame, fatal_request, harmless_frame, harmless_request
from tests.tools import Server, roost_serve

FRAMES = 80_000
REQUESTS = 20_000
BATCH = 100  # frames or requests of one connection
MAX_GROWTH = 64 * 1024 * 1024  # bytes of resident memory; a leak of one frame each would be several times that

_LEAKS = (b"Traceback", b'File "', b"Error(", b"site-packages", b".py")


def seed() -> int:
    """The run's seed; `ROOST_SEED` replays one."""
    return int(os.environ.get("ROOST_SEED", random.randrange(1 << 32)))


def attack(port: int, hello: bytes, parts: list[bytes]) -> bytes:
    """Send everything on one connection while reading what comes back; what the server said until it fell silent."""
    said, patience = bytearray(), 40  # twentieths of a second until the first word: the machine may be busy
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(hello)
        waiting = b"".join(parts)
        client.setblocking(False)
        while True:
            readable, writable, _ = select.select([client], [client] if waiting else [], [], 0.05)
            try:
                if writable:
                    waiting = waiting[client.send(waiting[:65536]) :]
                if readable:
                    data = client.recv(1 << 20)
                    if not data:
                        break
                    said += data
            except OSError:  # the server closed on us, which is its right
                break
            if not readable and not writable:
                patience -= 1
                if said or not patience:
                    break
    return bytes(said)


Maker = Callable[[random.Random], bytes]


@pytest.mark.parametrize(
    ("harmless", "fatal", "hello", "count"),
    [(harmless_frame, fatal_frame, HANDSHAKE, FRAMES), (harmless_request, fatal_request, b"", REQUESTS)],
    ids=["frames", "requests"],
)
def test_hostile_bytes_neither_stop_nor_swell_the_server(
    tmp_path: Path, harmless: Maker, fatal: Maker, hello: bytes, count: int
) -> None:
    chosen = seed()
    rng = random.Random(chosen)
    with roost_serve(tmp_path) as server:
        process = psutil.Process(server.process.pid)
        answered = 0
        for batch in range(count // BATCH):
            parts = [harmless(rng) for _ in range(BATCH - 1)] + [fatal(rng)]  # all but the last are acted on
            said = attack(server.port, hello, parts)
            answered += len(said) > 0
            assert not any(leak in said for leak in _LEAKS), f"ROOST_SEED={chosen}: {said[:2000]!r}"
            if batch == 20:  # caches and pools are warm
                before = process.memory_info().rss
        assert answered > count // BATCH * 0.9
        grown = process.memory_info().rss - before
        assert grown < MAX_GROWTH, f"ROOST_SEED={chosen}: grew by {grown >> 20} MB"
        people_still_chat(server)
    log = server.stderr()
    assert "Traceback" not in log, f"ROOST_SEED={chosen}: {log[-3000:]}"


def people_still_chat(server: Server) -> None:
    url = f"ws://127.0.0.1:{server.port}"
    with connect(url) as ana, connect(url) as ben:
        for person in (ana, ben):
            person.send("/channel after-the-storm")
            hears(person, "Changed to #after-the-storm")
        ben.send("still here")
        hears(ana, "#after-the-storm anonymous: still here")


def hears(person: ClientConnection, text: str) -> None:
    """Read until this frame comes; what the storm left in #general may come before it."""
    while person.recv(10) != text:
        continue
