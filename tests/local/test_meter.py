"""The meter: what each event adds, to which action and channel, also when Tasks take turns and when there are many."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from roost.chat.ports import Outcome
from roost.cost.use import Use
from roost.local.meter import Meter, MeteredPush
from roost.local.metered_table import MeteredTable
from roost.local.waiting import Hub, Wait, finish
from roost.storage.table import Key
from roost.testing import MemoryTable, http_event, socket_event
from tests.local.metered import Chat, by_action
from tests.local.test_waiting import on_a_loop


@pytest.fixture
def chat() -> Chat:
    return Chat()


def test_a_line_is_eight_write_units_three_reads_and_a_message_to_each_who_hears_it(chat: Chat) -> None:
    for name in "abcd":
        chat.event("CONNECT", name)
    assert chat.used("connect") == Use("connect", "", 4, 4, writes=8.0)
    chat.event("MESSAGE", "a", "the first builds what is kept in memory")
    chat.meter.take()
    chat.event("MESSAGE", "a", "hello")
    (use,) = chat.meter.take()
    assert use.channel
    assert use == Use("message", use.channel, 1, 2, 1, 3, reads=3.0, writes=8.0, appends=1, rounds=1)


def test_what_is_longer_costs_more_of_what_it_passes(chat: Chat) -> None:
    chat.event("CONNECT", "a")
    chat.event("CONNECT", "b")
    chat.meter.take()
    chat.event("MESSAGE", "a", "w" * 20_000)
    use = chat.used("message")
    assert (use.ws_in, use.ws_out) == (1, 1)
    assert use.writes == 2 * (1 + 1 + 1 + 20)  # head, what is remembered, event; the text once
    chat.event("MESSAGE", "a", "ä" * 20_000)
    assert chat.used("message").ws_in == 2
    MeteredPush(chat.push, chat.meter).send(["b"], "w" * 80_000)
    assert chat.used("background").ws_out == 3


def test_who_does_not_take_a_frame_is_not_billed(chat: Chat) -> None:
    for name in "abc":
        chat.event("CONNECT", name)
    chat.push.outcomes["b"] = Outcome.GONE
    chat.event("MESSAGE", "a", "hello")
    assert chat.used("message").ws_out == 1


def test_thousands_of_receivers_take_further_functions(chat: Chat) -> None:
    push = MeteredPush(chat.push, chat.meter)
    push.send([f"c{n}" for n in range(6_000)], "x")
    (use,) = chat.meter.take()
    assert (use.action, use.invocations, use.ws_out, use.rounds) == ("background", 3, 6_000, 188)


def test_a_first_frame_takes_a_function_of_its_own(chat: Chat) -> None:
    push = MeteredPush(chat.push, chat.meter)
    push.send_first("a", "x" * 40_000)
    (use,) = chat.meter.take()
    assert (use.invocations, use.ws_out) == (1, 2)
    assert chat.push.to("a") == ["x" * 40_000]
    push.close("a")
    assert chat.push.closed == ["a"]


def test_every_kind_of_event_has_its_action(chat: Chat) -> None:
    chat.event("CONNECT", "a")
    for line in ("hello", "/who", "/nonsense", '{"action":"command","data":"fetchChannels"}', "", None):
        chat.event("MESSAGE", "a", line)
    chat.handle(http_event("GET", "/"))
    chat.handle(http_event("POST", "/api/chat.postMessage"))
    chat.handle(http_event("POST", "/api/" + "x" * 500))
    chat.event("DISCONNECT", "a")
    actions = by_action(chat.meter.take())
    assert set(actions) == {"connect", "message", "/who", "/?", "frame", "http", "chat.postMessage", "disconnect"}
    assert actions["http"].http == 2
    assert actions["message"].events == 3
    assert actions["disconnect"].writes == 2


def test_an_action_is_in_the_channel_that_it_touches(chat: Chat) -> None:
    chat.event("CONNECT", "a")
    chat.event("MESSAGE", "a", "in general")
    chat.event("MESSAGE", "a", "/channel random")
    chat.event("MESSAGE", "a", "in random")
    channels = {use.channel for use in chat.meter.take() if use.action == "message"}
    assert len(channels) == 2
    assert "" not in channels


def test_of_very_many_events_every_17th_stands_for_17(chat: Chat) -> None:
    chat.event("CONNECT", "a")
    for _ in range(4_000):
        chat.event("MESSAGE", "a", "hello")
    chat.event("CONNECT", "heard although it is not counted")
    use = chat.used("message")
    assert use.events == pytest.approx(4_000, abs=17)
    assert use.writes == 8 * use.events
    assert use.reads == 3 * use.events
    chat.event("MESSAGE", "a", "hello")
    assert chat.used("message").ws_out == 1


def test_tasks_that_take_turns_are_told_apart() -> None:
    meter, done = Meter(), threading.Event()
    waits: list[Wait] = []
    store = MemoryTable()
    table = MeteredTable(store, meter)

    def handle(event: Any) -> dict[str, Any]:
        table.get(Key("A", "1"))
        waits.append(Wait())
        if len(waits) == 2:
            threading.Thread(target=finish, args=(list(reversed(waits)),)).start()
        waits[-1].wait()
        for _ in range(10 if event["requestContext"]["connectionId"] == "a" else 20):
            table.get(Key("A", "1"))
        if len(waits) == 2 and event["requestContext"]["connectionId"] == "a":
            done.set()
        return {"statusCode": 200}

    metered = meter.measured(handle)

    def begin(hub: Hub) -> None:
        hub.run(lambda: (metered(socket_event("MESSAGE", "a", "/who")), None)[1])
        hub.run(lambda: (metered(socket_event("MESSAGE", "b", "said")), None)[1])

    on_a_loop(begin, done)
    assert {use.action: use.reads for use in meter.take()} == {"/who": 11, "message": 21}
