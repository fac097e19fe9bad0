"""Read marks never go backwards, and what is unread is what stands in the log behind them (G15)."""

from __future__ import annotations

import random

import pytest

from roost.chat.messages import Posting
from roost.chat.model import person_of
from roost.storage import members, messages
from roost.storage.messages import Range
from roost.testing import Room


@pytest.mark.parametrize("seed", range(20))
def test_two_devices_in_any_order_leave_the_newest_mark_and_counts_equal_the_log(seed: int) -> None:
    rng, room = random.Random(seed), Room()
    chat = room.app.chat
    ana, ben = (person_of(chat.people.add(name)) for name in ("Ana", "Ben"))
    general = chat.channels.get(chat.core.workspace.general)
    said: list[str] = []
    newest = ""
    for _ in range(60):
        room.clock.now += rng.choice((0, 0.001, 1, -1))
        match rng.randrange(5):
            case 0 if said:  # an old device marks what it has seen
                ts = rng.choice(said)
                newest = max(newest, ts)
                assert chat.reads.mark(ben, general, ts) == newest
            case 1 if said:
                gone = said.pop(rng.randrange(len(said)))
                chat.messages.delete(ana, general, gone)
            case _:
                said.append(chat.messages.post(ana, general, Posting("x")).message.ts)
        membership = members.get(chat.core.table, general.id, ben.id)
        assert membership is not None
        assert membership.last_read == newest
        rows = messages.newest(chat.core.table, general.id, 0, Range(oldest=newest), 1000, lambda _: None)
        in_log = sum(1 for _, row in rows if not row.deleted and row.user != ben.id)
        assert chat.reads.standing(chat.channels.row(general.id), membership).unread == in_log


def test_a_mark_in_the_future_is_clipped_to_the_end_of_the_log() -> None:
    room = Room()
    chat = room.app.chat
    ana = person_of(chat.people.add("Ana"))
    general = chat.channels.get(chat.core.workspace.general)
    ts = chat.messages.post(ana, general, Posting("x")).message.ts
    assert chat.reads.mark(ana, general, "9999999999.000000") == ts
    (standing,) = chat.reads.standings(ana)
    assert standing.unread == 0
