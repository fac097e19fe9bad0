"""The arithmetic of the report: percentiles, medians over rounds, ratios pair by pair."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest of the values, sorted by the caller, that at least `share` (0 to 1) of them do not exceed."""
    if not ordered:
        return math.nan
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


@dataclass(frozen=True, slots=True)
class Latencies:
    """Percentiles of a set of times, in seconds; not-a-number where there were none."""

    p50: float
    p95: float
    p99: float
    max: float

    @classmethod
    def of(cls, nanoseconds: list[int]) -> Latencies:
        """Percentiles of these times. Sorts the list in place."""
        nanoseconds.sort()
        p50, p95, p99, most = (percentile(nanoseconds, share) / 1e9 for share in (0.5, 0.95, 0.99, 1.0))
        return cls(p50, p95, p99, most)


@dataclass(frozen=True, slots=True)
class Spread:
    """What several rounds showed."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Median, lowest and highest of the rounds."""
        return cls(statistics.median(values), min(values), max(values))


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    """Ours to theirs, round by round: what disturbed the machine in a round disturbed both sides of its ratio."""
    return Spread.of([our / their for our, their in zip(ours, theirs, strict=True)])


def rotated(sides: Sequence[T], round_number: int) -> list[T]:
    """The sides in another order each round, so that no side is always first or always follows the same one."""
    shift = round_number % len(sides)
    return [*sides[shift:], *sides[:shift]]
