"""Waiting without a thread: plain synchronous code that the event loop can leave and come back to.

The chat core is synchronous. On the laptop each socket event runs in a greenlet (a `Task`) on the event loop's own
thread: it runs until it must wait for a commit or for time to pass, the loop goes on meanwhile, and it continues when
the answer is there. Tasks that wait for one commit continue together, in the order in which they asked, within one turn
of the loop: that is what keeps one person's lines in order and lets their pushes share a write.

The same code may also run on an ordinary thread, where waiting blocks that thread. `docs/why/greenlets.md` has the
measurement behind this.

For whoever edits this: between two waits a Task runs undisturbed by other Tasks, so the core needs no locks for state
that only Tasks touch; a `threading.Lock` must never be held across a wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Executor, Future
from typing import TypeVar

from greenlet import getcurrent, greenlet

T = TypeVar("T")


class Hub:
    """Runs functions as Tasks on one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop

    def run(self, function: Callable[[], None]) -> None:
        """Run `function` as a Task, now, up to its first wait; called from inside a Task, in the loop's next turn.

        Call on the loop's thread; `function` must not raise.
        """
        if isinstance(getcurrent(), Task):
            # Begun here it would give the thread back to that Task when it waits, which would go on unanswered.
            self.loop.call_soon(self.run, function)
        else:
            Task(self, function).switch()


class Task(greenlet):
    """A function that may wait while the event loop goes on."""

    def __init__(self, hub: Hub, function: Callable[[], None]) -> None:
        super().__init__(function)
        self.hub = hub


class Wait:
    """One caller waiting for another thread to finish something. Make it where the wait will be, then `wait`."""

    __slots__ = ("_done", "_lock", "_waiting", "task")

    def __init__(self) -> None:
        current = getcurrent()
        self.task = current if isinstance(current, Task) else None
        self._done = self._waiting = False  # of a Task; both change on its loop's thread only
        self._lock = None
        if self.task is None:
            self._lock = threading.Lock()
            self._lock.acquire()

    def wait(self) -> None:
        """Return once `finish` was called with this, before or after."""
        if self._lock is not None:
            self._lock.acquire()
            return
        self._waiting = True
        while not self._done:  # whatever else wakes the Task is not the answer
            _leave()
        self._waiting = False

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.release()

    def _go_on(self) -> None:
        self._done = True
        if self._waiting and self.task is not None:
            self.task.switch()


def finish(waits: Iterable[Wait]) -> None:
    """Let these callers go on, Tasks in this order and within one turn of their loop.

    Call from any thread, once for each. Tasks whose loop is closed never go on, and keep nobody else from it.
    """
    tasks: dict[Hub, list[Wait]] = {}
    for wait in waits:
        if wait.task is None:
            wait._release()
        else:
            tasks.setdefault(wait.task.hub, []).append(wait)
    for hub, ready in tasks.items():
        with contextlib.suppress(RuntimeError):  # "Event loop is closed", between any check for it and the call
            hub.loop.call_soon_threadsafe(_continue, hub, ready)


def sleep(seconds: float) -> None:
    """Let `seconds` pass: of the calling Task only, or of the calling thread."""
    current = getcurrent()
    if isinstance(current, Task):
        wait = Wait()
        current.hub.loop.call_later(seconds, wait._go_on)
        wait.wait()
    else:
        time.sleep(seconds)


def elsewhere(pool: Executor, function: Callable[[], T]) -> T:
    """Run a function that blocks, and answer what it answers: for a Task on a thread of the pool, which leaves the
    event loop to others meanwhile; otherwise here."""
    if not isinstance(getcurrent(), Task):
        return function()
    wait = Wait()
    future: Future[T] = pool.submit(function)
    future.add_done_callback(lambda _: finish((wait,)))
    wait.wait()
    return future.result()


def _leave() -> None:
    """Give the thread back to the event loop."""
    parent = getcurrent().parent
    assert parent is not None
    parent.switch()


def _continue(hub: Hub, waits: list[Wait]) -> None:
    for index, wait in enumerate(waits):
        try:
            wait._go_on()
        except BaseException:  # for the loop to report; those behind it wait for no fault of theirs
            hub.loop.call_soon(_continue, hub, waits[index + 1 :])
            raise
