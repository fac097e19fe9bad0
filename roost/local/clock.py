"""The machine's clock, for the core."""

from __future__ import annotations

import time

from roost.local import waiting


class SystemClock:
    """The Clock port."""

    def now_us(self) -> int:
        """Microseconds since the epoch."""
        return time.time_ns() // 1000

    def sleep(self, seconds: float) -> None:
        """Let time pass for the calling Task, or the calling thread."""
        waiting.sleep(seconds)
