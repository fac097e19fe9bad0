"""`python -m tests.durability.fork_server`: starts writers quickly and kills them.

It has everything imported and one thread, so that a fork is cheap and safe; a test process has many threads. Each line
on its input asks for one life of a writer, and gets one line with what was acknowledged in it.
"""

from __future__ import annotations

import os
import random
import signal
import struct
import sys
import threading
import time
from pathlib import Path

import msgspec

from roost.local.sqlite import SqliteTable
from tests.durability.workload import WRITERS, Numbers, write

_ACK = struct.Struct("<Iq")


class Life(msgspec.Struct, frozen=True):
    """A writer's life: on which file, and for how long, in seconds."""

    path: str
    seconds: float
    checkpoint_pages: int
    appends: int  #: after which each of its tables is closed and opened again


def live(life: Life) -> Numbers:
    """Fork a writer and kill it when its time has come; what it saw acknowledged."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            _append_until_killed(life, writing)
        finally:
            os._exit(1)
    os.close(writing)
    time.sleep(life.seconds)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with os.fdopen(reading, "rb") as pipe:
        data = pipe.read()
    whole = len(data) - len(data) % _ACK.size
    return dict(_ACK.iter_unpack(data[:whole]))  # in order: the last of each writer stays


def _append_until_killed(life: Life, pipe: int) -> None:
    def acknowledged(writer: int, number: int) -> None:
        os.write(pipe, _ACK.pack(writer, number))

    while True:
        table = SqliteTable(Path(life.path), checkpoint_pages=life.checkpoint_pages)
        threads = [
            threading.Thread(target=write, args=(table, writer, acknowledged, life.appends))
            for writer in range(WRITERS)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        table.close()  # it may be killed in here, too, while the log is moved into the file


def random_life(rng: random.Random, path: Path) -> Life:
    """Some are short, to be killed while the file is made or recovered."""
    seconds = rng.uniform(0, 0.008) if rng.random() < 0.3 else rng.uniform(0.005, 0.045)
    return Life(str(path), seconds, rng.choice((5, 40, 1000)), rng.choice((3, 20, 1 << 30)))


if __name__ == "__main__":
    for line in sys.stdin:
        print(msgspec.json.encode(live(msgspec.json.decode(line, type=Life))).decode(), flush=True)
