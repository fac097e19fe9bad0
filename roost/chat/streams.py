"""Event streams: tickets that let a client in, coming and going, and catching up on what was missed."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from roost.chat.channels import Channels
from roost.chat.core import Core
from roost.chat.errors import InvalidAuth, Refused, TooManyStreams
from roost.chat.events import Recorded, from_row
from roost.chat.model import Channel, ConnectionId, Person, channel_of
from roost.chat.people import Bearer, People, digest
from roost.storage import channels, members, messages, seats, streams
from roost.storage.items import MessageRow, SocketRow, TicketRow
from roost.storage.receivers import STREAM

MAX_REPLAY = 300  # events of one log that are replayed; beyond that a client loads anew


@dataclass(frozen=True, slots=True)
class Replay:
    """What happened in a log since a place. `events` is None where not all of it can be told any more."""

    channel: Channel | None  #: None for the workspace's own log
    events: list[Recorded] | None


class Streams:
    """The event streams of all members."""

    def __init__(self, core: Core, channels: Channels, people: People) -> None:
        self._core = core
        self._table = core.table
        self._channels = channels
        self._people = people

    def ticket(self, bearer: Bearer) -> str:
        """A ticket that opens one event stream, once, within half a minute."""
        ticket = secrets.token_urlsafe(32)
        row = TicketRow(user=bearer.person.id, kind=STREAM, token=bearer.digest)
        streams.issue_ticket(self._table, digest(ticket), row, self._core.now)
        return ticket

    def open(self, connection: ConnectionId, ticket: str, since: int) -> Person:
        """Open an event stream with a ticket. `since` is API Gateway's time of it, in milliseconds.

        Raises `InvalidAuth` for a ticket that is none any more, `TooManyStreams` for the 21st of one person.
        """
        row = streams.redeem_ticket(self._table, digest(ticket))
        if row is None or row.kind != STREAM:
            raise InvalidAuth
        person = self._people.of_digest(row.token).person
        socket = SocketRow(
            user=person.id, name="", channel="", channel_name="", since=since, kind=STREAM, token=row.token
        )
        if not streams.open_stream(self._table, connection, socket):
            raise TooManyStreams
        try:
            self._people.of_digest(row.token)  # again, now that whoever takes the token away finds the stream
        except Refused:
            self.close(connection, socket)
            raise
        return person

    def close(self, connection: ConnectionId, row: SocketRow) -> None:
        """An event stream is over."""
        streams.close_stream(self._table, connection, row.user)

    def whose(self, row: SocketRow) -> Bearer:
        """Whose stream it is, as their token stands now. Raises what `People.bearer` raises."""
        return self._people.of_digest(row.token)

    def forget_all(self) -> None:
        """Nobody is connected: for a shell that owns the data and has just started."""
        team = self._core.workspace.team
        for _, channel in channels.public_ids(self._table, team):
            seats.clear(self._table, channel)
        for user in self._people.everybody():
            for channel in members.of_user(self._table, user.id):
                seats.clear(self._table, channel)
            streams.forget_all(self._table, user.id)

    def replay(self, person: Person, stream: str, seq: int) -> Replay | None:
        """What happened in a log after `seq`; None if it is not theirs to know."""
        if stream == self._core.workspace.team:
            return Replay(None, self._since(stream, seq))
        row = channels.by_id(self._table, stream)
        if row is None or members.get(self._table, stream, person.id) is None:
            return None
        return Replay(channel_of(row), self._since(stream, seq))

    def _since(self, stream: str, seq: int) -> list[Recorded] | None:
        found = self._core.log.since(stream, seq, MAX_REPLAY)

        def whole(ts: str) -> MessageRow | None:
            return messages.get(self._table, stream, ts)

        return None if found is None else [from_row(stream, number, row, whole) for number, row in found]
