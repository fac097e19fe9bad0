"""What must be true of every run, whatever failed in it: the promises, as far as text connections have them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from roost.storage import seats
from roost.storage.table import Item
from roost.testing import MemoryTable
from tests.simulation.record import Connection, Record

_LINE = re.compile(r"^#(\S+) [^:]*: (.*)$")


@dataclass(frozen=True)
class Message:
    """A message as the store has it."""

    ts: str
    seq: int
    n: int
    text: str


#: Channel name → its messages by ts.
Logs = dict[str, list[Message]]


def check(record: Record) -> None:
    """Every promise, of what the store holds and of what everybody heard."""
    logs = stored(record.table)
    nothing_lost_and_nothing_twice(record, logs)
    one_dense_order(logs)
    the_log_has_every_message_once(record.table, logs)
    nobody_hears_what_is_not_theirs(record, logs)
    who_sits_still_hears_everything(record, logs)
    history_is_whole(record, logs)
    everybody_is_answered(record)
    nothing_was_sent_means_that(record, logs)
    everybody_sits_in_one_place(record)


def stored(table: MemoryTable) -> Logs:
    """All messages."""
    items = table.everything()
    names = {str(i["id"]): str(i["name"]) for i in items if i["SK"] == "META" and str(i["PK"]).startswith("C#")}
    logs: Logs = {name: [] for name in names.values()}
    for item in items:
        pk = str(item["PK"]).split("#")
        if pk[0] == "C" and len(pk) == 3:
            message = Message(str(item["SK"]), _int(item, "seq"), _int(item, "n"), str(item["text"]))
            logs[names[pk[1]]].append(message)
    return {name: sorted(log, key=lambda message: message.ts) for name, log in logs.items()}


def _int(item: Item, name: str) -> int:
    value = item[name]
    assert isinstance(value, int)
    return value


def nothing_lost_and_nothing_twice(record: Record, logs: Logs) -> None:
    """G1, G2, G16, and nothing that nobody said."""
    texts = [message.text for log in logs.values() for message in log]
    assert len(texts) == len(set(texts)), "a line was stored twice"
    acknowledged = {said.text for said in record.said.values() if said.acknowledged}
    assert acknowledged <= set(texts), "an acknowledged line is gone"
    assert set(texts) <= {said.text for said in record.said.values() if not said.command}


def one_dense_order(logs: Logs) -> None:
    """G3, G4"""
    for log in logs.values():
        assert [message.n for message in log] == list(range(1, len(log) + 1)), "a message's count has a hole"
        assert [message.seq for message in log] == sorted(message.seq for message in log), "seq disagrees with ts"
        assert len({message.ts for message in log}) == len(log)


def the_log_has_every_message_once(table: MemoryTable, logs: Logs) -> None:
    """G3, G6: each channel's log is dense up to its head, and every message has its event there."""
    items = table.everything()
    events: dict[str, dict[int, Item]] = {}
    for item in items:
        kind, *rest = str(item["PK"]).split("#")
        if kind == "L":
            events.setdefault(rest[0], {})[int(str(item["SK"]))] = item
    for item in items:
        if item["SK"] != "HEAD":
            continue
        channel = str(item["PK"]).partition("#")[2]
        assert sorted(events.get(channel, {})) == list(range(1, _int(item, "seq") + 1)), "the log has a hole"
    said = {
        (_seq, str(event["ts"])) for log in events.values() for _seq, event in log.items() if event["type"] == "message"
    }
    assert said >= {(message.seq, message.ts) for log in logs.values() for message in log}


def heard_in(connection: Connection, channel: str) -> list[str]:
    """The lines of a channel that a connection heard, in order."""
    matches = map(_LINE.match, connection.heard)
    return [match[2] for match in matches if match and match[1] == channel]


def nobody_hears_what_is_not_theirs(record: Record, logs: Logs) -> None:
    """G3, G5, G12: only what is in the log, nothing twice, never one's own, and only of channels one was in."""
    for connection in record.connections.values():
        own = {said.text for said in record.said.values() if said.connection == connection.id}
        for channel, log in logs.items():
            order = {message.text: message.seq for message in log}
            texts = heard_in(connection, channel)
            assert not texts or channel in connection.was_in, "somebody heard a channel that they were not in"
            assert set(texts) <= set(order), "somebody heard what is not in the log"
            assert len(texts) == len(set(texts)), "somebody heard a line twice"
            assert not own & set(texts), "somebody heard what they said"
            if record.one_process:
                places = [order[text] for text in texts]
                assert places == sorted(places), "somebody heard lines in another order than the log has"


def who_sits_still_hears_everything(record: Record, logs: Logs) -> None:
    """G9, G11: whatever befalls others, who stays in #general hears every line that was told undisturbed."""
    general = {message.text for message in logs.get("general", [])}
    for connection in record.connections.values():
        if connection.state != "open" or connection.receiving != ("well",) or connection.was_in != {"general"}:
            continue
        heard = set(heard_in(connection, "general"))
        for said in record.said.values():
            told = said.acknowledged and not said.disturbed and said.text in general
            if told and said.connection != connection.id and said.began > connection.seated:
                assert said.text in heard, f"{connection.id} missed {said.text!r}"


def history_is_whole(record: Record, logs: Logs) -> None:
    """G1, G3: a history is the log up to some point, without a hole, and no acknowledged line is behind that point."""
    for look in record.looks:
        log = [message.text for message in logs[look.channel]]
        end = log.index(look.texts[-1]) + 1 if look.texts else 0
        assert tuple(log[end - len(look.texts) : end]) == look.texts, "a history has a hole, or another order"
        assert not look.known & set(log[end:]), "a history lacks what was acknowledged before"
        assert len(look.texts) == min(20, end)


def everybody_is_answered(record: Record) -> None:
    """G16: whoever asks for something is told what became of it, whatever fails."""
    assert record.unanswered == []


def nothing_was_sent_means_that(record: Record, logs: Logs) -> None:
    """G16: who is told so can say it again without saying it twice. (Who said it is told so by each handing over.)"""
    texts = {message.text for log in logs.values() for message in log}
    denied = {said.text for said in record.said.values() if said.denied and said.times == 1}
    assert not denied & texts, "a line was stored of which it was said that it was not"


def everybody_sits_in_one_place(record: Record) -> None:
    """G10: a connection is in exactly one channel; one that is open was never forgotten."""
    rows = record.table.everything()
    for connection in record.connections.values():
        if connection.state != "open":
            continue
        tuned = [str(i["PK"])[2:] for i in rows if i["SK"] == f"N#{connection.id}"]
        seat = seats.get(record.table, connection.id)
        assert seat is not None, "an open connection was forgotten"
        assert tuned == [seat.channel], "a connection is in two channels, or in none"


def the_gone_are_forgotten(table: MemoryTable) -> None:
    """G10, once two hours and twenty minutes have gone by."""
    left = [i for i in table.everything() if "N#" in str(i["SK"])[:2] or str(i["PK"])[:2] == "N#"]
    assert left == []
