"""What a team would use, from how many they are and how much they say.

Built from the same prices and the same model as the meter. The defaults are measured elsewhere: messages per person by
Slack's published totals, what else people do by Mattermost's production mix. `docs/cost.md` lists and argues them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from roost.cost import model
from roost.cost.bill import Quantities

#: Receivers of a message that are connected, by the size of the team: most is said in small channels.
_RECEIVERS = ((10, 6.0), (50, 20.0), (500, 45.0))

APPEND_WRITES = 8  # message, event, head, idempotency row: four items in a transaction
CONNECT_WRITES = 4  # two rows come, two go
_HEADS_PER_READ = 2  # what a client that comes back asks of its channels: half a unit each


@dataclass(frozen=True, slots=True)
class Assumptions:
    """A team's month."""

    people: int = 50
    messages: float = 32.0  #: per person and working day
    days: float = 22.0  #: working days in a month
    hours: float = 9.0  #: connected, per person and working day
    receivers: float | None = None  #: of a message, connected; None: by the team's size
    reactions: float = 0.13  #: per message, as the following
    edits: float = 0.04
    other_events: float = 0.05  #: joins, pins, renames: pushed to as many as a message
    searches: float = 0.05
    thread_reads: float = 0.6
    mark_reads: float = 1.0
    page_reads: float = 1.48  #: channels opened, pages of history
    index_writes: float = 3.0  #: write units of the search index, in batches
    boot_requests: float = 25.0  #: HTTP requests of a client that starts, once a day
    resume_requests: float = 5.0  #: of one that connects again
    ping_minutes: float = 7.0  #: between a client's signs of life
    reconnect_minutes: float = 108.0  #: a connection's life
    channels: float = 60.0  #: of a person
    memory: float = 512.0  #: MB of each function
    files: float = 0.3  #: GB kept per person


def receivers_of(people: int) -> float:
    """How many connected people a message reaches in a team of this size: between known sizes along a straight line on
    logarithmic scales, and never more than there are others."""
    (low, at_low), (high, at_high) = _RECEIVERS[:2] if people <= _RECEIVERS[1][0] else _RECEIVERS[1:]
    slope = math.log(at_high / at_low) / math.log(high / low)
    return max(0.0, min(people - 1, at_low * math.exp(slope * math.log(max(1, people) / low))))


def month(team: Assumptions) -> Quantities:
    """What such a month would use."""
    receivers = receivers_of(team.people) if team.receivers is None else team.receivers
    person_days = team.people * team.days
    messages = person_days * team.messages
    appends = messages * (1 + team.reactions + team.edits)
    minutes = team.hours * 60
    connections = person_days * max(1.0, minutes / team.reconnect_minutes)
    pings = person_days * minutes / team.ping_minutes
    asked = 1 + team.reactions + team.edits + team.searches + team.thread_reads + team.mark_reads + team.page_reads
    resumed = connections - person_days
    http = messages * asked + person_days * team.boot_requests + resumed * team.resume_requests
    requests = http + pings + 2 * connections + appends * model.FOLLOWED
    return Quantities(
        ws_messages=(appends + messages * team.other_events) * receivers + 2 * pings,
        ws_minutes=person_days * minutes,
        http_requests=http,
        lambda_requests=requests,
        lambda_gb_seconds=model.gb_seconds(
            requests, appends, appends * model.rounds(math.ceil(receivers)), team.memory / 1024
        ),
        write_units=appends * APPEND_WRITES
        + messages * (team.mark_reads + team.index_writes)
        + connections * CONNECT_WRITES,
        read_units=messages * (1 + receivers) + team.channels * (person_days + resumed / _HEADS_PER_READ),
        log_gb=model.log_gb(requests),
        file_gb_months=team.people * team.files,
    )
