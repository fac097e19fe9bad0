"""The promises, under every order of things that a seed can think of. `ROOST_SEED=n` replays one run."""

from __future__ import annotations

import os
import re

import pytest

from roost.chat import delivery
from tests.simulation import spoils
from tests.simulation.checkers import check, the_gone_are_forgotten
from tests.simulation.record import Connection
from tests.simulation.spoils import Spoil
from tests.simulation.world import World

PEOPLE = 5
LINES = 5


def live(world: World, name: str) -> None:
    """What one person does."""
    connection = None
    for number in range(3):  # who is not let in tries again, as every client does
        connection = connection or world.connect(f"{name}.{number}")
    if connection is None:
        return
    for number in range(LINES):
        if connection.state != "open":
            return
        world.send(connection, something(world, connection, number))
    if world.rng.random() < 0.4 and connection.state == "open":
        world.disconnect(connection)


def something(world: World, connection: Connection, number: int) -> str:
    """What they send."""
    match world.rng.randrange(20):
        case 0 | 1:
            return f"/name {connection.id}{number}"
        case 2 | 3 | 4 | 5:
            return f"/channel {world.rng.choice(('general', 'random', 'other'))}"
        case 6 | 7:
            return "/history"
        case 8:
            return world.rng.choice(("/who", "/channels", "/help", '{"action":"command","data":"fetchChannels"}'))
        case _:
            return f"{connection.id} says {number}"


def run(seed: int, *, one_process: bool, spoil: Spoil = spoils.nothing) -> World:
    world = World(seed, one_process=one_process, spoil=spoil)
    for number in range(PEOPLE):
        world.act(lambda name=f"p{number}": live(world, name))  # type: ignore[misc]  # bound at once
    world.run()
    for number in range(2):  # people come after a crash, too, and find what was said before
        world.act(lambda name=f"late{number}": live(world, name))  # type: ignore[misc]
    world.run()
    return world


def schedules(first: int, count: int, *, one_process: bool) -> None:
    for seed in range(first, first + count):
        try:
            world = run(seed, one_process=one_process)
            check(world)
            world.now_us += (2 * 3600 + 1300) * 1_000_000
            the_gone_are_forgotten(world.table)
        except AssertionError as error:
            error.add_note(f"replay it with ROOST_SEED={seed}")
            raise


if "ROOST_SEED" in os.environ:
    SEEDS = [(int(os.environ["ROOST_SEED"]), 1)]
else:
    SEEDS = [(first, 125) for first in range(0, 500, 125)]


@pytest.mark.parametrize("one_process", [True, False], ids=["one process", "many functions"])
@pytest.mark.parametrize(("first", "count"), SEEDS)
def test_every_promise_holds_in_five_hundred_schedules(first: int, count: int, one_process: bool) -> None:
    schedules(first, count, one_process=one_process)


@pytest.mark.release
@pytest.mark.parametrize("one_process", [True, False], ids=["one process", "many functions"])
@pytest.mark.parametrize("first", range(1_000, 11_000, 500))
def test_every_promise_holds_in_ten_thousand_schedules(first: int, one_process: bool) -> None:
    schedules(first, 500, one_process=one_process)


# -- the checkers have teeth ------------------------------------------------------------------------------------------


def found_out(spoil: Spoil = spoils.nothing) -> int:
    """How many of 60 seeds fail."""
    found = 0
    for seed in range(60):
        try:
            check(run(seed, one_process=False, spoil=spoil))
        except AssertionError:
            found += 1
    return found


@pytest.mark.parametrize("spoil", [spoils.without_head_condition, spoils.without_idempotency, spoils.without_its_event])
def test_a_broken_transaction_is_found_out(spoil: Spoil) -> None:
    assert found_out(spoil) >= 5


def test_who_forgets_those_that_are_still_connecting_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "CONNECTING_MS", 0)
    assert found_out() >= 5


def test_a_seed_always_tells_the_same_story() -> None:
    for one_process in (True, False):
        assert story(one_process=one_process) == story(one_process=one_process)


def story(*, one_process: bool) -> str:
    """What everybody heard under one seed."""
    world = run(7, one_process=one_process)
    told = [(c.id, c.state, c.heard) for c in world.connections.values()]
    return re.sub(r"request\d+", "request", str(told))  # their numbers go on from run to run
