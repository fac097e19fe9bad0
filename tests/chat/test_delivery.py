"""Telling a channel: who is forgotten, and how a large audience is told by several processes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from roost.chat import delivery
from roost.chat.delivery import Delivery
from roost.chat.events import MessagePosted, Recorded
from roost.chat.model import Channel, ChannelId, ConnectionId
from roost.chat.ports import Outcome, Share
from roost.storage import seats, shares
from roost.storage.items import MessageRow, SocketRow
from roost.storage.receivers import Receivers
from roost.storage.table import Condition, Item, StoreUnavailable
from roost.testing import MemoryPush, MemoryTable

NOW = 1_800_000_000_000  # milliseconds
CHANNEL = Channel(ChannelId("C1"), "general", private=False, created=0)
SAID = Recorded(
    CHANNEL.id,
    7,
    "1800000000.000001",
    MessagePosted(message=MessageRow(seq=7, n=1, user="U1", name="bz", text="hello", rev=0)),
)


class HelpedPush(MemoryPush):
    """A Push with other processes at hand, which take over all but the last share."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.handed: list[Share] = []

    def spread(self, share: Share) -> Sequence[Share]:
        everybody = list(share.receivers.items())
        parts = [
            dataclasses.replace(share, receivers=dict(everybody[start : start + self.size]), name=f"s{start}")
            for start in range(0, len(everybody), self.size)
        ]
        self.handed += parts[:-1]
        return parts[-1:]


class Table(MemoryTable):
    """A store that may be down for writes."""

    down = False

    def put(self, item: Item, condition: Condition | None = None) -> None:
        if self.down:
            raise StoreUnavailable("down")
        super().put(item, condition)


@pytest.fixture
def table() -> Table:
    return Table(clock=lambda: NOW / 1000)


def sit(table: MemoryTable, *names: str, since: int = NOW - 60_000) -> Mapping[str, int]:
    for name in names:
        row = SocketRow(user="U1", name=name, channel=CHANNEL.id, channel_name="general", since=since, guest=True)
        seats.take(table, name, row)
    return dict.fromkeys(names, since)


def render(channel: Channel | None, recorded: Recorded) -> str:
    assert isinstance(recorded.event, MessagePosted)
    return recorded.event.message.text


def made(table: MemoryTable, push: MemoryPush) -> Delivery:
    return Delivery(table, Receivers(table), push, {"text": render})


def tell(told: Delivery, source: str = "", time: int = NOW) -> None:
    told.tell(CHANNEL, [SAID], ConnectionId(source), time)


def there(table: MemoryTable) -> set[str]:
    return {connection for connection, _ in seats.in_channel(table, CHANNEL.id)}


def test_everybody_hears_but_the_source(table: Table) -> None:
    sit(table, "ana", "ben", "cid")
    push = MemoryPush()
    tell(made(table, push), "ben")
    assert sorted(push.sent) == [("ana", "hello"), ("cid", "hello")]


@pytest.mark.parametrize("exclusive", [True, False])
def test_the_gone_are_forgotten_once_they_cannot_be_connecting(exclusive: bool) -> None:
    table = MemoryTable(clock=lambda: NOW / 1000, exclusive=exclusive)
    sit(table, "old", "failing", "well", since=NOW - delivery.CONNECTING_MS)
    sit(table, "new", since=NOW - delivery.CONNECTING_MS + 1)
    push = MemoryPush()
    push.outcomes = {"old": Outcome.GONE, "new": Outcome.GONE, "failing": Outcome.FAILED}
    told = made(table, push)
    tell(told)
    assert there(table) == {"failing", "well", "new"}
    assert seats.get(table, "old") is None
    tell(told, time=NOW + 1)
    assert there(table) == {"failing", "well"}


def test_a_crowd_of_the_gone_does_not_keep_the_author_waiting(table: Table) -> None:
    crowd = sit(table, *(f"n{number}" for number in range(120)))
    push = MemoryPush()
    push.outcomes = dict.fromkeys(crowd, Outcome.GONE)
    told = made(table, push)
    left = []
    for _ in range(3):
        tell(told)
        left.append(len(there(table)))
    assert left == [70, 20, 0]


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "LARGE", 10)


@pytest.mark.usefixtures("large")
def test_up_to_a_size_nobody_is_asked_for_help(table: Table) -> None:
    sit(table, *(f"n{number:02}" for number in range(11)))
    push = HelpedPush(5)
    tell(made(table, push), "n00")
    assert not push.handed
    assert len(push.sent) == 10


@pytest.mark.usefixtures("large")
def test_a_large_audience_is_told_in_shares_and_nobody_twice(table: Table) -> None:
    crowd = sit(table, *(f"n{number:02}" for number in range(23)))
    push = HelpedPush(5)
    told = made(table, push)
    tell(told, "n03")
    assert [len(share.receivers) for share in push.handed] == [5, 5, 5, 5]
    assert all(share.time == NOW and share.payload == "hello" for share in push.handed)
    assert len(push.sent) == 2  # the share that was left
    for share in push.handed * 2:  # Lambda delivers each at least once
        told.deliver(share, NOW + 300, 29)
    assert sorted(push.sent) == sorted((each, "hello") for each in crowd if each != "n03")


@pytest.mark.usefixtures("large")
def test_what_is_left_but_arrived_after_all_is_not_told_twice(table: Table) -> None:
    sit(table, *(f"n{number:02}" for number in range(12)))
    push = HelpedPush(6)
    assert shares.claim(table, "s6", NOW, NOW + 5_000)
    tell(made(table, push))
    assert not push.sent


def share(receivers: Mapping[str, int], **changes: Any) -> Share:
    return dataclasses.replace(Share(CHANNEL.id, "hello", receivers, NOW, "s"), **changes)


class Died(BaseException):
    """The process is no more."""


def test_a_share_whose_process_died_is_delivered_whole_by_the_next(table: Table) -> None:
    crowd = sit(table, "ana", "ben")
    push = MemoryPush()
    told = made(table, push)
    push.error = Died()  # type: ignore[assignment]  # worse than an error
    with pytest.raises(Died):
        told.deliver(share(crowd), NOW, 29)
    push.error = None
    with pytest.raises(shares.Taken):  # whoever comes at once must come again
        told.deliver(share(crowd), NOW + 1_000, 29)
    told.deliver(share(crowd), NOW + 60_000, 29)
    assert sorted(push.sent) == [("ana", "hello"), ("ben", "hello")]
    told.deliver(share(crowd), NOW + 120_000, 29)
    assert len(push.sent) == 2


def test_a_share_settles_with_its_own_gone(table: Table) -> None:
    crowd = {**sit(table, "old"), **sit(table, "new", since=NOW - 100)}
    push = MemoryPush()
    push.outcomes = dict.fromkeys(crowd, Outcome.GONE)
    made(table, push).deliver(share(crowd), NOW + 60_000, 29)  # however late: by the time of the frame
    assert there(table) == {"new"}


def test_a_share_that_waited_is_for_those_who_still_hear_the_channel(table: Table) -> None:
    crowd = sit(table, "ana", "ben")
    row = seats.get(table, "ben")
    assert row is not None
    seats.leave(table, "ben", row)
    push = MemoryPush()
    told = made(table, push)
    told.deliver(share(crowd), NOW + 60_000, 29)
    assert push.sent == [("ana", "hello")]
    told.deliver(share(crowd, channel="", name="of no channel"), NOW + 60_000, 29)
    assert sorted(push.sent[1:]) == [("ana", "hello"), ("ben", "hello")]


def test_where_the_store_is_down_a_share_is_delivered_all_the_same(table: Table) -> None:
    crowd = sit(table, "ana")
    table.down = True
    push = MemoryPush()
    made(table, push).deliver(share(crowd), NOW, 29)
    assert push.sent == [("ana", "hello")]
