"""The promises, when something happens at any one call of the store, of any act: every crash point, every failure of
the store, and every act of somebody else in between. Nothing here is left to chance."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from tests.simulation import spoils
from tests.simulation.checkers import check, stored, the_gone_are_forgotten
from tests.simulation.spoils import Spoil, nothing
from tests.simulation.stage import (
    Crash,
    Happening,
    Stage,
    conflict,
    crash_after,
    crash_before,
    fails_after,
    fails_before,
    throttled,
)

Act = Callable[[Stage], object]

ACTS: dict[str, Act] = {
    "connect": lambda stage: stage.enter("new"),
    "say": lambda stage: stage.says("bz", "bz says this"),
    "/name": lambda stage: stage.says("bz", "/name bz"),
    "/channel, there": lambda stage: stage.says("bz", "/channel random"),
    "/channel, new": lambda stage: stage.says("bz", "/channel fresh"),
    "/channel, here": lambda stage: stage.says("bz", "/channel general"),
    "/history": lambda stage: stage.says("bz", "/history"),
    "/who": lambda stage: stage.says("bz", "/who"),
    "/channels": lambda stage: stage.says("bz", "/channels"),
    "/help": lambda stage: stage.says("bz", "/help"),
    "fetchChannels": lambda stage: stage.says("bz", '{"action":"command","data":"fetchChannels"}'),
    "disconnect": lambda stage: stage.goes("bz"),
}
OTHERS: dict[str, Act] = {
    "cy says something": lambda stage: stage.says("cy", "cy says this"),
    "cy goes": lambda stage: stage.goes("cy"),
    "cy moves": lambda stage: stage.says("cy", "/channel random"),
    "eve comes": lambda stage: stage.says("eve", "/channel general"),
    "cy makes a channel": lambda stage: stage.says("cy", "/channel fresh"),
    "somebody connects": lambda stage: stage.enter("other"),
    "bz says something too": lambda stage: stage.says("bz", "bz says that"),
    "bz moves too": lambda stage: stage.says("bz", "/channel fresh"),
    "bz changes name too": lambda stage: stage.says("bz", "/name bzz"),
    "bz goes": lambda stage: stage.goes("bz"),
    "cy looks": lambda stage: stage.says("cy", "/history"),
}
HAPPENINGS: dict[str, Happening] = {
    "a crash before": crash_before,
    "a crash after": crash_after,
    "throttled": throttled,
    "conflict": conflict,
    "a failure before": fails_before,
    "a failure after": fails_after,
}
WRITES = frozenset({"put", "update", "delete", "transact"})
TO_READS = ("a crash before", "throttled", "a failure before")  # the others come to the same
KINDS = {"one process": True, "many functions": False}
MOSTLY_MANY = [pytest.param("one process", marks=pytest.mark.release), "many functions"]


def calls_of(act: Act, *, one_process: bool, empty: bool = False) -> list[str]:
    """The calls of the store that an act makes where nothing happens."""
    stage = Stage(one_process=one_process, empty=empty)
    stage.table.arm(0, None)
    act(stage)
    calls = stage.table.calls
    life_goes_on(stage)
    return calls


def life_goes_on(stage: Stage) -> None:
    """Afterwards everybody who is there can talk, whoever comes finds what was said, and the promises held."""
    stage.table.disarm()
    stage.clock.now += 11
    stage.enter("late")
    people = [each.id for each in stage.connections.values() if each.state == "open"]
    assert "late" in people
    for name in people:
        stage.says(name, f"{name} says at last")
    for name in ("late", people[0]):
        stage.says(name, "/who")
        stage.says(name, "/history")
    lines = [said for said in stage.said.values() if said.text.endswith("says at last")]
    assert all(said.acknowledged for said in lines), "somebody could not go on"
    check(stage)
    general = stored(stage.table)["general"]
    assert "late says at last" in [message.text for message in general]
    stage.clock.now += 2 * 3600 + 1300
    the_gone_are_forgotten(stage.table)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ACTS)
def test_whatever_happens_at_any_call_of_the_store_the_promises_hold(name: str, kind: str) -> None:
    everything_that_may_happen(ACTS[name], one_process=KINDS[kind])


def everything_that_may_happen(act: Act, *, one_process: bool, spoil: Spoil = nothing) -> None:
    calls = calls_of(act, one_process=one_process)
    for at, call in enumerate(calls, 1):
        for happening in HAPPENINGS if call in WRITES else TO_READS:
            happens = HAPPENINGS[happening]
            for again in (False,) if one_process else (False, True):
                try:
                    one_happening(Stage(one_process=one_process, spoil=spoil), act, at, happens, again=again)
                except AssertionError as error:
                    error.add_note(f"{happening} call {at} of {len(calls)}, delivered again: {again}")
                    raise


def one_happening(stage: Stage, act: Act, at: int, happens: Happening, *, again: bool) -> None:
    def noting(name: str, size: int, call: Callable[[], object]) -> object:
        stage.disturb()
        return happens(name, size, call)

    stage.table.arm(at, noting)
    event = act(stage)
    stage.table.disarm()
    if again and isinstance(event, dict):  # a function that failed is called again with the same event
        stage.handle(event)
    life_goes_on(stage)


@pytest.mark.parametrize("kind", MOSTLY_MANY)
@pytest.mark.parametrize("name", ACTS)
def test_a_store_that_goes_away_is_said_to_everybody_who_asks(name: str, kind: str) -> None:
    """G16: from any call on, for good; what was acknowledged before is there when it comes back."""
    act, one_process = ACTS[name], KINDS[kind]
    for happens in (throttled, fails_before, fails_after):
        for at in range(1, len(calls_of(act, one_process=one_process)) + 1):
            stage = Stage(one_process=one_process)

            def noting(
                name: str, size: int, call: Callable[[], object], stage: Stage = stage, happens: Happening = happens
            ) -> object:
                stage.disturb()
                return happens(name, size, call)

            before = stage.clock.now
            stage.table.arm(at, noting, ever_after=True)
            act(stage)
            stage.says("cy", "cy says this")
            assert stage.clock.now - before <= 10  # five seconds for each of the two
            life_goes_on(stage)


@pytest.mark.parametrize("kind", MOSTLY_MANY)
@pytest.mark.parametrize("name", ACTS)
def test_whoever_acts_between_any_two_calls_of_the_store_the_promises_hold(name: str, kind: str) -> None:
    everybody_who_may_act(ACTS[name], one_process=KINDS[kind])


def everybody_who_may_act(act: Act, *, one_process: bool, spoil: Spoil = nothing) -> None:
    calls = calls_of(act, one_process=one_process)
    for other, acts in OTHERS.items():
        for at in range(1, len(calls) + 1):
            try:
                one_between(Stage(one_process=one_process, spoil=spoil), act, at, acts)
            except AssertionError as error:
                error.add_note(f"{other}, at call {at} of {len(calls)}")
                raise


def one_between(stage: Stage, act: Act, at: int, acts: Act) -> None:
    def between(name: str, size: int, call: Callable[[], object]) -> object:
        acts(stage)
        return call()

    stage.table.arm(at, between)
    act(stage)
    life_goes_on(stage)
    assert all(said.acknowledged for said in stage.said.values() if says(said.text))


@pytest.mark.parametrize("name", ["say", "/name", "/channel, there", "/channel, new"])
def test_whoever_acts_while_a_transaction_is_visible_in_part_the_promises_hold(name: str) -> None:
    """As DynamoDB has it: each item alone still hidden, each alone already visible."""
    act = ACTS[name]
    transactions = [at for at, call in enumerate(calls_of(act, one_process=False), 1) if call == "transact"]
    assert transactions
    for other, acts in OTHERS.items():
        for at, number, alone_visible in itertools.product(transactions, range(4), (False, True)):
            try:
                one_partly(Stage(one_process=False), act, at, number, acts, alone_visible=alone_visible)
            except AssertionError as error:
                error.add_note(f"{other}, during call {at}, item {number} alone visible: {alone_visible}")
                raise


def one_partly(stage: Stage, act: Act, at: int, number: int, acts: Act, *, alone_visible: bool) -> None:
    def happening(name: str, size: int, call: Callable[[], object]) -> None:
        stage.table.partly(call, lambda each: (each == number) is alone_visible, lambda: acts(stage))

    stage.table.arm(at, happening)
    act(stage)
    life_goes_on(stage)


@pytest.mark.parametrize(
    ("spoil", "name"),
    [
        (spoils.without_idempotency, "say"),
        (spoils.without_its_event, "say"),
        (spoils.without_head_condition, "say"),
        (spoils.without_condition_on_the_seat, "/channel, there"),
        (spoils.without_condition_on_the_seat, "/name"),
    ],
)
def test_a_broken_transaction_is_found_out(spoil: Spoil, name: str) -> None:
    with pytest.raises(AssertionError):
        everything_that_may_happen(ACTS[name], one_process=False, spoil=spoil)
        everybody_who_may_act(ACTS[name], one_process=False, spoil=spoil)


def says(text: str) -> bool:
    """Whether a line is of those who are not going."""
    return "says" in text and not text.startswith("bz")


@pytest.mark.parametrize("kind", KINDS)
def test_a_chat_that_is_cut_off_while_it_comes_into_being_comes_into_being_later(kind: str) -> None:
    one_process = KINDS[kind]
    act = ACTS["connect"]
    calls = calls_of(act, one_process=one_process, empty=True)
    assert len(calls) >= 2
    for happens in HAPPENINGS.values():
        for at in range(1, len(calls) + 1):
            stage = Stage(one_process=one_process, empty=True)
            stage.table.arm(at, happens)
            act(stage)
            life_goes_on(stage)


def test_a_server_that_crashes_while_it_starts_starts_the_next_time() -> None:
    """Each call of a start, and the start after it, with people of before in the store."""
    stage = Stage(one_process=True)
    stage.table.arm(0, None)
    stage.start()
    calls = stage.table.calls
    assert len(calls) >= 3
    for happens in (crash_before, crash_after):
        for at in range(1, len(calls) + 1):
            stage = Stage(one_process=True)
            for connection in stage.connections.values():
                connection.state = "dead"
            stage.table.arm(at, happens)
            with pytest.raises(Crash):
                stage.start()
            stage.start()
            life_goes_on(stage)


def test_the_gone_are_forgotten_at_the_first_push_that_finds_them_gone() -> None:
    """G10"""
    for one_process in KINDS.values():
        stage = Stage(one_process=one_process)
        stage.says("bz", "/who")
        stage.says("bz", "bz says this")
        left = [item for item in stage.table.everything() if "zed" in str(item["PK"]) + str(item["SK"])]
        assert left == []
