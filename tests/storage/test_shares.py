"""A share is delivered by one process at a time, and once it is done not again; whoever dies over it is followed."""

from __future__ import annotations

import pytest

from roost.storage import shares
from roost.storage.items import SHARE_LIFE
from roost.storage.table import Table
from roost.testing import FakeClock, MemoryTable


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def table(clock: FakeClock) -> Table:
    return MemoryTable(clock=lambda: clock.now)


def now(clock: FakeClock) -> int:
    return round(clock.now * 1000)


def claim(table: Table, clock: FakeClock, name: str = "a") -> bool:
    return shares.claim(table, name, now(clock), now(clock) + 29_000)


def test_the_first_gets_it_and_others_are_turned_away_meanwhile(table: Table, clock: FakeClock) -> None:
    assert claim(table, clock)
    assert claim(table, clock, "b")
    clock.now += 28.9
    with pytest.raises(shares.Taken):
        claim(table, clock)


def test_what_is_done_is_not_done_again(table: Table, clock: FakeClock) -> None:
    assert claim(table, clock)
    shares.finish(table, "a", now(clock))
    assert not claim(table, clock)
    clock.now += SHARE_LIFE - 1
    assert not claim(table, clock)


def test_after_one_that_died_the_next_gets_it_and_only_one(table: Table, clock: FakeClock) -> None:
    assert claim(table, clock)
    clock.now += 60  # Lambda comes again after a minute
    assert claim(table, clock)
    with pytest.raises(shares.Taken):
        claim(table, clock)
    shares.finish(table, "a", now(clock))
    assert not claim(table, clock)
