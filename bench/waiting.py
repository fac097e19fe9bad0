"""`python -m bench.waiting`: the same appends, waiting as Tasks of an event loop and as threads. For
docs/why/greenlets.md."""

from __future__ import annotations

import asyncio
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import uvloop

from roost.local import waiting
from roost.local.sqlite import SqliteTable
from roost.storage.log import Log
from tests.lines import channel_creation, line

MESSAGES = 6_000
UNDER_WAY = 32


def as_tasks(append: Callable[[], object]) -> None:
    """Keep `UNDER_WAY` Tasks appending."""

    async def main() -> None:
        hub, done = waiting.Hub(asyncio.get_running_loop()), asyncio.Event()
        left = [MESSAGES, UNDER_WAY]

        def work() -> None:
            while left[0] > 0:
                left[0] -= 1
                append()
            left[1] -= 1
            if not left[1]:
                done.set()

        for _ in range(UNDER_WAY):
            hub.run(work)
        await done.wait()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


def as_threads(append: Callable[[], object]) -> None:
    """Keep `UNDER_WAY` threads appending."""

    def work() -> None:
        for _ in range(MESSAGES // UNDER_WAY):
            append()

    threads = [threading.Thread(target=work) for _ in range(UNDER_WAY)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def measure(how: Callable[[Callable[[], object]], None]) -> float:
    """Milliseconds per message."""
    with tempfile.TemporaryDirectory(prefix="roost-bench-") as folder:
        table = SqliteTable(Path(folder) / "t.db")
        table.transact(channel_creation("C", "general"))
        log = Log(table, lambda: time.time_ns() // 1000, waiting.sleep)
        change = line("C", "x" * 128)
        began = time.perf_counter()
        how(lambda: log.append("C", change))
        took = time.perf_counter() - began
        table.close()
        return took / MESSAGES * 1000


if __name__ == "__main__":
    for _ in range(3):
        print(f"tasks {measure(as_tasks):.3f} ms, threads {measure(as_threads):.3f} ms per message")
