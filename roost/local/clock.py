"""The machine's clock, for the core."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from roost.local import waiting

T = TypeVar("T")

_THREADS = 2  # for what computes: more of them would not make it faster


class SystemClock:
    """The Clock port."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(_THREADS, "aside")  # makes its threads when it needs them

    def now_us(self) -> int:
        """Microseconds since the epoch."""
        return time.time_ns() // 1000

    def sleep(self, seconds: float) -> None:
        """Let time pass for the calling Task, or the calling thread."""
        waiting.sleep(seconds)

    def aside(self, function: Callable[[], T]) -> T:
        """Do what takes long on a thread of its own, where a Task asks."""
        return waiting.elsewhere(self._pool, function)
