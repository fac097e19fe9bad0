"""How fast somebody may act, counted in this process's memory; on AWS the stage's own throttle stands before it."""

from __future__ import annotations

import math


class RateLimit:
    """So many acts in so many seconds, for each key."""

    def __init__(self, acts: int, seconds: float) -> None:
        self._acts = acts
        self._seconds = seconds
        self._windows: dict[str, tuple[float, int]] = {}  # when it began, and how many acts since

    def allows(self, key: str, now: float) -> bool:
        """Count one act at `now` (seconds) and say whether it is within the limit."""
        began, count = self._windows.get(key, (now, 0))
        if not 0 <= now - began < self._seconds:  # also where the clock stepped back
            began, count = now, 0
        self._windows[key] = (began, count + 1)
        return count < self._acts

    def wait(self, key: str, now: float) -> int:
        """The whole seconds after which the key may act again, at least 1."""
        began, _ = self._windows.get(key, (now, 0))
        return max(1, math.ceil(began + self._seconds - now))

    def forget(self, key: str) -> None:
        """The key will not act again."""
        self._windows.pop(key, None)
