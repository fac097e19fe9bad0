"""The laptop's worker: does each job of the queue when it is due, as a Task on the event loop.

It knows what waits from the table's own commits, keeps one timer for the next, and costs nothing while there is none.
Where others write to the table, too (`--table`), nobody tells it, and it looks every few seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import logging
import time
from collections.abc import Callable, Sequence
from functools import partial

from roost.local.waiting import Hub
from roost.storage.items import JOBS
from roost.storage.jobs import Job, Queue, due_of
from roost.storage.table import Item, Key, Table, TableError

log = logging.getLogger("roost.queue")

AT_ONCE = 8  # jobs that run side by side: most of their time they wait for others
_POLL_SECONDS = 5.0
_LONGEST_TIMER = 30.0  # seconds; a machine that slept, or whose clock was set, looks again after that
_AFTER_TROUBLE = 5.0  # seconds until the table that failed is asked again
_GRACE_SECONDS = 5.0


class Worker:
    """Does the jobs of a queue. Make it, and call it, on the loop's thread."""

    def __init__(
        self,
        queue: Queue,
        table: Table,
        do: Callable[[Job], None],
        hub: Hub,
        *,
        clock: Callable[[], float] = time.time,
        poll_seconds: float = _POLL_SECONDS,
    ) -> None:
        self._queue = queue
        self._table = table
        self._do = do
        self._hub = hub
        self._clock = clock
        self._poll_seconds = poll_seconds
        self._due: dict[str, int] = {}  # of each unfinished job that is known; milliseconds
        self._heap: list[tuple[int, str]] = []  # the same by time, with entries that no longer hold
        self._running: set[str] = set()
        self._reading = False
        self._timer: asyncio.TimerHandle | None = None
        self._poller: asyncio.TimerHandle | None = None
        self._stopping = False
        self._ended: asyncio.Event | None = None

    def start(self) -> None:
        """Begin with what waits; what a process that died was doing is begun anew."""
        if self._table.exclusive:
            self._table.watch(self._committed)
        self._look()

    async def stop(self) -> None:
        """Begin nothing more, and wait a while for what runs. What does not end is done again after the next start."""
        self._stopping = True
        for handle in (self._timer, self._poller):
            if handle is not None:
                handle.cancel()
        if self._running or self._reading:
            self._ended = asyncio.Event()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), _GRACE_SECONDS)

    # -- what waits -------------------------------------------------------------------------------------------------

    def _committed(self, changes: Sequence[tuple[Key, Item | None]]) -> None:
        """Told of each commit, on the writer's thread."""
        noted = [(key.sk, due_of(item)) for key, item in changes if key.pk == JOBS]
        if noted:
            with contextlib.suppress(RuntimeError):  # the loop is closed: the next start finds it
                self._hub.loop.call_soon_threadsafe(self._note_all, noted)

    def _note_all(self, noted: Sequence[tuple[str, int | None]]) -> None:
        for job, due in noted:
            self._note(job, due)
        self._go_on()

    def _note(self, job: str, due: int | None) -> None:
        if due is None:
            self._due.pop(job, None)
        elif self._due.get(job) != due:
            self._due[job] = due
            heapq.heappush(self._heap, (due, job))

    def _look(self) -> None:
        self._hub.run(self._read_all)

    def _read_all(self) -> None:
        """Note what the table holds: at the start, and again and again where nobody tells us."""
        again = None if self._table.exclusive else self._poll_seconds
        self._reading = True
        try:
            for row in self._queue.unfinished():
                if row.running and self._table.exclusive and row.id not in self._running:
                    self._queue.release(row)  # the watcher hears of it
                else:
                    self._note(row.id, row.due)
        except TableError as error:
            log.warning("the queue could not be read: %s", error)
            again = _AFTER_TROUBLE
        self._reading = False
        self._go_on()
        if again is not None and not self._stopping:
            self._poller = self._hub.loop.call_later(again, self._look)
        self._say_ended()

    # -- work -------------------------------------------------------------------------------------------------------

    def _go_on(self) -> None:
        """Begin what is due, and set the timer for the next."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._heap and len(self._running) < AT_ONCE and not self._stopping:
            due, job = self._heap[0]
            wait = due / 1000 - self._clock()
            if self._due.get(job) != due:
                heapq.heappop(self._heap)
            elif wait > 0:
                self._timer = self._hub.loop.call_later(min(wait, _LONGEST_TIMER), self._go_on)
                return
            else:
                heapq.heappop(self._heap)
                del self._due[job]
                if job not in self._running:  # it is late, but it has not died: this process would have, too
                    self._running.add(job)
                    self._hub.run(partial(self._run, job))

    def _run(self, job: str) -> None:
        try:
            due = self._queue.run(job, self._do)
        except Exception as error:  # noqa: BLE001  the table's; what the job raised is its own failure
            log.warning("a job could not be taken or finished", extra={"fields": {"error": type(error).__name__}})
            due = round((self._clock() + _AFTER_TROUBLE) * 1000)
        self._running.discard(job)
        if due is not None:
            self._note(job, due)
        elif not self._table.exclusive:
            self._note(job, None)  # if it is to be done again, the next look finds it
        self._hub.loop.call_soon(self._go_on)
        self._say_ended()

    def _say_ended(self) -> None:
        if self._ended is not None and not self._running and not self._reading:
            self._ended.set()
