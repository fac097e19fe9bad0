"""What is measured, and the budgets. Each measure runs all its sides in every round, in another order each time, and
compares them round by round."""

from __future__ import annotations

import contextlib
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bench.generator import Crowd, Deliveries
from bench.numbers import Spread, ratios, rotated
from bench.sides import BROADCAST, NODE, RELAY, ROOST, Process, Side, running


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the report. `must` and `aim` bound `value` from above, or from below where `at_least`."""

    what: str
    value: Spread
    must: float
    aim: float
    unit: str = "×"
    at_least: bool = False
    note: str = ""

    @property
    def holds(self) -> bool:
        """Whether the must holds."""
        return self.value.median >= self.must if self.at_least else self.value.median <= self.must


def fanout(rounds: int, seconds: float) -> Iterator[Row]:
    """Fan-out to 100 and 1,000 receivers, one message or 32 under way."""
    results: dict[tuple[str, int, int], list[Deliveries]] = {}
    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(running(side)) for side in (ROOST, BROADCAST, NODE)]
        for round_number in range(rounds):
            for process in rotated(processes, round_number):
                for receivers, window, run in _round(process, seconds):
                    results.setdefault((process.side.name, receivers, window), []).append(run)
    for (side, receivers, window), runs in results.items():
        yield _absolute(side, receivers, window, runs)
    yield from _budgets(results)


def _round(process: Process, seconds: float) -> Iterator[tuple[int, int, Deliveries]]:
    crowd = Crowd(process.port, process.side.sender_path)
    try:
        for receivers in (100, 1000):
            crowd.grow(receivers)
            for window in (1, 32):
                messages = 200_000 * window // receivers if window == 1 else 40_000_000 // receivers // 20
                yield receivers, window, crowd.fan_out(window, max(messages, 400), seconds, process.cpu)
    finally:
        crowd.close()
        time.sleep(0.5)  # the server sees everybody go before the next one is measured


def _absolute(side: str, receivers: int, window: int, runs: list[Deliveries]) -> Row:
    rate = Spread.of([run.per_second for run in runs])
    cpu = statistics.median(run.cpu_per_delivery for run in runs) * 1e6
    p50, p99 = (statistics.median(getattr(run.last, name) for run in runs) * 1e3 for name in ("p50", "p99"))
    busy = statistics.median(run.generator_busy for run in runs)
    note = f"{cpu:.2f} µs CPU each; last receiver p50 {p50:.2f} ms, p99 {p99:.2f} ms; generator {busy:.0%} busy"
    return Row(f"{side}, N={receivers} W={window}", rate, 0, 0, "/s", at_least=True, note=note)


def _budgets(results: dict[tuple[str, int, int], list[Deliveries]]) -> Iterator[Row]:
    def of(side: Side, receivers: int, window: int, what: Callable[[Deliveries], float]) -> list[float]:
        return [what(run) for run in results[side.name, receivers, window]]

    def cpu(run: Deliveries) -> float:
        return run.cpu_per_delivery

    def rate(run: Deliveries) -> float:
        return run.per_second

    def p99_ms(run: Deliveries) -> float:
        return run.last.p99 * 1e3

    small = "N=100, W=1"
    yield Row(
        f"{small}: server CPU per delivery / node ws", ratios(of(ROOST, 100, 1, cpu), of(NODE, 100, 1, cpu)), 1.0, 0.6
    )
    yield Row(f"{small}: p99 of the last receiver", Spread.of(of(ROOST, 100, 1, p99_ms)), 50, 5, "ms")
    for receivers, window, must, aim in ((100, 32, 2, 10), (1000, 1, 1.2, 1.5), (1000, 32, 6, 14)):
        what = f"N={receivers:,}, W={window}: deliveries per second / websockets.broadcast()"
        spread = ratios(of(ROOST, receivers, window, rate), of(BROADCAST, receivers, window, rate))
        yield Row(what, spread, must, aim, at_least=True)


def slow_reader(rounds: int, seconds: float) -> Iterator[Row]:
    """What one receiver that never reads costs the other hundred (guarantee: nothing beyond a tenth)."""
    alone: list[float] = []
    beside: list[float] = []
    with running(ROOST) as process:
        for round_number in range(rounds):
            for stalled in rotated([0, 1], round_number):
                crowd = Crowd(process.port, process.side.sender_path)
                crowd.grow(100)
                stallers = [crowd.stall() for _ in range(stalled)]
                p99 = crowd.fan_out(1, 200_000, seconds, process.cpu).last.p99
                (beside if stalled else alone).append(p99)
                for staller in stallers:
                    staller.close()
                crowd.close()
                time.sleep(0.3)
    what = "p99 of the last of 100 receivers beside one that never reads / without it"
    yield Row(what, ratios(beside, alone), 1.1, 1.0)


def roundtrip(rounds: int, seconds: float) -> Iterator[Row]:
    """One message, stored by us and relayed by the other, to one receiver."""
    ours: list[float] = []
    theirs: list[float] = []
    with running(ROOST) as roost, running(RELAY) as relay:
        for round_number in range(rounds):
            sync = _median_sync()
            for process in rotated([roost, relay], round_number):
                crowd = Crowd(process.port, process.side.sender_path)
                crowd.grow(1)
                p50 = crowd.fan_out(1, 20_000, seconds, process.cpu).last.p50
                crowd.close()
                if process is roost:
                    ours.append(p50)
                else:
                    theirs.append(p50 + sync)
    note = f"{statistics.median(ours) * 1e3:.2f} ms / {statistics.median(theirs) * 1e3:.2f} ms"
    yield Row("stored message, p50 / relay that stores nothing plus one fsync", ratios(ours, theirs), 10, 2, note=note)


def _median_sync(count: int = 200) -> float:
    """The median of appending 4 KB and syncing, where our data lies."""
    times = []
    with tempfile.TemporaryFile(prefix="roost-bench-") as file:
        for _ in range(count):
            start = time.perf_counter()
            os.write(file.fileno(), bytes(4096))
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - start)
    return statistics.median(times)


def idle(rounds: int, seconds: float) -> Iterator[Row]:
    """Memory of connections that say nothing. `seconds` is how long they settle."""
    for connections in (1_000, 10_000):
        per: dict[str, list[float]] = {ROOST.name: [], BROADCAST.name: []}
        for round_number in range(max(1, rounds // 2)):
            for side in rotated([ROOST, BROADCAST], round_number):
                per[side.name].append(_bytes_per_connection(side, connections, seconds))
        ours, theirs = per[ROOST.name], per[BROADCAST.name]
        what = f"idle connection, at {connections:,} / websockets' own"
        note = f"{statistics.median(ours) / 1024:.1f} KB / {statistics.median(theirs) / 1024:.1f} KB; the aim is 5 KB"
        aim = 5 * 1024 / statistics.median(theirs)
        yield Row(what, ratios(ours, theirs), 1.5, aim, note=note)


def _bytes_per_connection(side: Side, connections: int, seconds: float) -> float:
    with running(side) as process:
        warm = Crowd(process.port, side.sender_path)
        warm.grow(1)
        before = process.memory()
        crowd = Crowd(process.port, side.sender_path)
        crowd.grow(connections, greet=False)
        time.sleep(seconds)
        after = process.memory()
        crowd.close()
        warm.close()
        return (after - before) / connections


def start(rounds: int, seconds: float) -> Iterator[Row]:
    """From starting the process to the first delivered message. `seconds` is not used."""
    times: dict[str, list[float]] = {ROOST.name: [], BROADCAST.name: []}
    for round_number in range(rounds + 1):
        for side in rotated([ROOST, BROADCAST], round_number):
            took = _time_to_first_message(side)
            if round_number:  # the first one finds cold files
                times[side.name].append(took)
    ours, theirs = times[ROOST.name], times[BROADCAST.name]
    note = f"{statistics.median(ours) * 1e3:.0f} ms / {statistics.median(theirs) * 1e3:.0f} ms"
    yield Row("start to first message / a bare websockets server", ratios(ours, theirs), 5, 1.5, note=note)


def _time_to_first_message(side: Side) -> float:
    began = time.perf_counter()
    process = Process(side)
    try:
        process.wait()
        crowd = Crowd(process.port, side.sender_path)
        crowd.grow(1)
        took = time.perf_counter() - began
        crowd.close()
        return took
    finally:
        process.stop()


MEASURES: dict[str, Callable[[int, float], Iterator[Row]]] = {
    "fanout": fanout,
    "roundtrip": roundtrip,
    "slow_reader": slow_reader,
    "idle": idle,
    "start": start,
}
