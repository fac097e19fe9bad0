"""Waiting: as Tasks of an event loop and as threads."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import uvloop

from roost.local.waiting import Hub, Wait, elsewhere, finish, sleep


def on_a_loop(begin: Callable[[Hub], None], done: threading.Event, errors: list[Any] | None = None) -> None:
    """Run a loop on which `begin` starts Tasks, until they set `done`."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        if errors is not None:
            loop.set_exception_handler(lambda _, context: errors.append(context.get("exception")))
        begin(Hub(loop))
        assert await loop.run_in_executor(None, done.wait, 20)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


def finish_elsewhere(*waits: Wait) -> None:
    """Another thread finishes them all at once."""
    threading.Thread(target=finish, args=(waits,)).start()


def test_a_thread_goes_on_when_another_has_finished_its_wait() -> None:
    wait = Wait()
    finish_elsewhere(wait)
    wait.wait()
    early = Wait()
    finish([early])
    early.wait()  # finished before it began to wait


def test_a_task_leaves_the_loop_free_while_it_waits() -> None:
    done = threading.Event()
    order: list[str] = []

    def begin(hub: Hub) -> None:
        waits: list[Wait] = []

        def task() -> None:
            waits.append(Wait())
            order.append("waits")
            waits[0].wait()
            order.append("goes on")
            done.set()

        hub.run(task)
        order.append("the loop runs")
        finish_elsewhere(*waits)

    on_a_loop(begin, done)
    assert order == ["waits", "the loop runs", "goes on"]


def test_tasks_that_are_finished_together_go_on_in_that_order_within_one_turn() -> None:
    done = threading.Event()
    order: list[object] = []

    def begin(hub: Hub) -> None:
        waits: list[Wait] = []

        def task(number: int) -> None:
            wait = Wait()
            waits.append(wait)
            wait.wait()
            if number == 1:
                hub.loop.call_soon(order.append, "next turn")
                hub.loop.call_soon(done.set)
            order.append(number)

        for number in range(5):
            hub.run(lambda number=number: task(number))  # type: ignore[misc]  # bound at once
        finish_elsewhere(*(waits[index] for index in (1, 0, 4, 2, 3)))

    on_a_loop(begin, done)
    assert order == [1, 0, 4, 2, 3, "next turn"]


def test_a_task_whose_answer_came_before_it_waited_does_not_leave() -> None:
    done = threading.Event()
    order: list[str] = []

    def begin(hub: Hub) -> None:
        def task() -> None:
            wait = Wait()
            finish([wait])
            sleep(0.01)  # the answer comes in here, and must not be taken for the end of the sleep
            order.append("slept")
            wait.wait()
            order.append("answered")
            done.set()

        hub.run(task)

    on_a_loop(begin, done)
    assert order == ["slept", "answered"]


def test_only_its_own_answer_lets_a_task_go_on() -> None:
    done = threading.Event()
    order: list[str] = []

    def begin(hub: Hub) -> None:
        def task() -> None:
            wait = Wait()
            assert wait.task is not None
            hub.loop.call_soon(wait.task.switch)  # woken by mistake
            hub.loop.call_later(0.02, order.append, "not yet")
            hub.loop.call_later(0.04, finish, [wait])
            wait.wait()
            order.append("answered")
            done.set()

        hub.run(task)

    on_a_loop(begin, done)
    assert order == ["not yet", "answered"]


def test_a_task_begun_inside_a_task_waits_for_itself_only() -> None:
    """Else it would hand the thread back to the outer one, which would take that for its own answer."""
    done = threading.Event()
    order: list[str] = []

    def begin(hub: Hub) -> None:
        outer_wait: list[Wait] = []

        def inner() -> None:
            sleep(0.001)
            sleep(0.001)
            order.append("inner")
            finish(outer_wait)

        def outer() -> None:
            outer_wait.append(Wait())
            hub.run(inner)
            outer_wait[0].wait()
            order.append("outer")
            done.set()

        hub.run(outer)

    on_a_loop(begin, done)
    assert order == ["inner", "outer"]


def test_a_task_that_fails_keeps_none_behind_it_from_going_on() -> None:
    done = threading.Event()
    order: list[int] = []
    errors: list[Any] = []

    def begin(hub: Hub) -> None:
        waits: list[Wait] = []

        def task(number: int) -> None:
            waits.append(Wait())
            waits[-1].wait()
            if number == 0:
                raise ValueError("a fault of this one")
            order.append(number)
            if number == 2:
                done.set()

        for number in range(3):
            hub.run(lambda number=number: task(number))  # type: ignore[misc]  # bound at once
        finish_elsewhere(*waits)

    on_a_loop(begin, done, errors)
    assert order == [1, 2]
    assert [str(error) for error in errors] == ["a fault of this one"]


def test_a_loop_that_is_closed_keeps_nobody_else_from_going_on() -> None:
    waits: list[Wait] = []

    def task() -> None:
        waits.append(Wait())
        waits[0].wait()

    closed = uvloop.new_event_loop()
    closed.call_soon(Hub(closed).run, task)
    closed.call_soon(closed.stop)
    closed.run_forever()
    closed.close()
    thread = Wait()
    finish([waits[0], thread])
    thread.wait()


def test_a_thread_can_sleep_too() -> None:
    began = time.monotonic()
    sleep(0.01)
    assert time.monotonic() - began >= 0.01


def test_what_blocks_runs_elsewhere_for_a_task_and_here_for_a_thread() -> None:
    done = threading.Event()
    order: list[object] = []

    with ThreadPoolExecutor(1) as pool:

        def begin(hub: Hub) -> None:
            def block() -> int:
                time.sleep(0.05)
                order.append("blocked")
                return threading.get_ident()

            def task() -> None:
                assert elsewhere(pool, block) != threading.get_ident()
                order.append("goes on")
                try:
                    elsewhere(pool, lambda: 1 // 0)
                except ZeroDivisionError:
                    order.append("the error, too")
                done.set()

            hub.run(task)
            order.append("the loop runs")

        on_a_loop(begin, done)
        assert elsewhere(pool, threading.get_ident) == threading.get_ident()
    assert order == ["the loop runs", "blocked", "goes on", "the error, too"]
