"""Telling people what happened: the one place from which anything is pushed to a conversation.

A push is a hint and the log is the truth, so nothing that goes wrong here reaches who caused the event. The gone are
forgotten, unless they may only be connecting: API Gateway calls a connection gone until its `$connect` has returned.

A large audience is cut into shares where the Push has other processes to deliver them (`roost/storage/shares.py` says
what is promised then). Each of those settles with the gone of its own share.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from roost.chat.events import Recorded
from roost.chat.model import Channel, ConnectionId
from roost.chat.ports import Outcome, Push, Share
from roost.storage import people, seats, shares
from roost.storage.receivers import STREAM, Receivers
from roost.storage.table import Table, TableError

log = logging.getLogger("roost.chat")

CONNECTING_MS = 10_000  # how long a connection that is not there yet may take to come
LARGE = 2_000  # receivers above which other processes may help
_SECONDS = 30.0  # that this process may take for a share that was offered to others
_FRESH_MS = 5_000  # how long a share may wait before it is asked again who hears the channel
_FORGOTTEN = 50  # connections that a frame forgets at most, since its author waits; the next finds the others

#: How each kind of connection is told of an event; None where it is not told. The channel is None for what concerns the
#: whole workspace.
Renderers = Mapping[str, Callable[[Channel | None, Recorded], str | None]]


class Delivery:
    """Tells whoever hears a conversation."""

    def __init__(self, table: Table, receivers: Receivers, push: Push, renderers: Renderers) -> None:
        self._table = table
        self._receivers = receivers
        self._push = push
        self._renderers = renderers

    def tell(self, channel: Channel, events: Sequence[Recorded], source: ConnectionId | None, time: int) -> None:
        """Push events to everybody who hears a conversation, except to the connection they came from. Never raises.

        `time` is when the gateway got what caused them, in milliseconds. A connection's age is measured from one of the
        gateway's times to another, since the clocks of two functions may be far apart.
        """
        try:
            audience = self._receivers.of(channel.id)
            for kind, render in self._renderers.items():
                heard = audience.get(kind)
                if heard:
                    frames = (render(channel, event) for event in events)
                    self._send(channel.id, heard, frames, source, time)
        except Exception as error:  # noqa: BLE001  the event is stored: its author is told so whatever happens here
            log.warning("not everybody was told", extra={"fields": {"error": type(error).__name__}})

    def tell_all(self, events: Sequence[Recorded], time: int) -> None:
        """Push events of the workspace to every member's event streams. Never raises."""
        render = self._renderers.get(STREAM)
        if render is None:
            return
        try:
            users = [user.id for user in people.everybody(self._table, events[0].stream)]
        except TableError as error:
            log.warning("nobody was told", extra={"fields": {"error": type(error).__name__}})
            return
        self.tell_users(users, [render(None, event) for event in events], time)

    def whisper(self, channel: Channel | None, event: Recorded, user: str, time: int) -> None:
        """Push an event that is in no log to the event streams of one member. Never raises."""
        render = self._renderers.get(STREAM)
        if render is not None:
            self.tell_users([user], [render(channel, event)], time)

    def tell_connections(self, connections: Mapping[str, int], event: Recorded, time: int) -> None:
        """Push an event that is in no log to these event streams: connection → since when. Never raises."""
        render = self._renderers.get(STREAM)
        try:
            if render is not None:
                self._send("", connections, [render(None, event)], None, time)
        except Exception as error:  # noqa: BLE001  as above
            log.warning("not everybody was told", extra={"fields": {"error": type(error).__name__}})

    def tell_users(self, users: Sequence[str], frames: Sequence[str | None], time: int) -> None:
        """Push frames to the event streams of these members. Never raises."""
        try:
            self._send("", self._receivers.of_users(users), frames, None, time)
        except Exception as error:  # noqa: BLE001  as above
            log.warning("not everybody was told", extra={"fields": {"error": type(error).__name__}})

    def _send(
        self,
        channel: str,
        heard: Mapping[str, int],
        frames: Iterable[str | None],
        source: ConnectionId | None,
        time: int,
    ) -> None:
        connections = list(heard)  # a copy: commits change the audience while we go on
        if source is not None and source in heard:
            connections.remove(source)
        for frame in frames:
            if frame is None or not connections:
                continue
            if len(connections) > LARGE:
                self._spread(Share(channel, frame, {each: heard[each] for each in connections if each in heard}, time))
            elif outcomes := self._push.send(connections, frame):
                self._settle(channel, heard, outcomes, time)
                connections = [each for each in connections if each not in outcomes]

    # -- large audiences --------------------------------------------------------------------------------------------

    def _spread(self, share: Share) -> None:
        for left in self._push.spread(share):
            with contextlib.suppress(shares.Taken):  # it arrived elsewhere after all
                self.deliver(left, share.time, _SECONDS)

    def deliver(self, share: Share, now: int, seconds: float) -> None:
        """Deliver a share. One that was handed over, once: it is claimed for `seconds`, which this process may take.

        `now` is in milliseconds. Raises `Taken` while another process is delivering it.
        """
        if not share.name:
            self._deliver(share)
            return
        try:
            if not shares.claim(self._table, share.name, now, now + round(seconds * 1000)):
                return
        except TableError as error:  # that somebody may hear it twice weighs less than that nobody hears it
            log.warning("a share could not be claimed", extra={"fields": {"error": type(error).__name__}})
        self._deliver(self._heard_still(share, now))
        try:
            shares.finish(self._table, share.name, now)
        except TableError as error:
            log.warning("a share may be delivered again", extra={"fields": {"error": type(error).__name__}})

    def _heard_still(self, share: Share, now: int) -> Share:
        """A share that waited long, without those who meanwhile hear the channel no more: they may not be meant to."""
        if not share.channel or now - share.time < _FRESH_MS:
            return share
        hearing = set().union(*self._receivers.of(share.channel).values())
        return replace(share, receivers={c: since for c, since in share.receivers.items() if c in hearing})

    def _deliver(self, share: Share) -> None:
        outcomes = self._push.send(list(share.receivers), share.payload)
        self._settle(share.channel, share.receivers, outcomes, share.time)

    # -- the gone ---------------------------------------------------------------------------------------------------

    def _settle(self, channel: str, heard: Mapping[str, int], outcomes: Mapping[str, Outcome], time: int) -> None:
        gone = (each for each, outcome in outcomes.items() if outcome is Outcome.GONE and each in heard)
        old = (each for each in gone if time - heard[each] >= CONNECTING_MS)
        for connection in itertools.islice(old, _FORGOTTEN):
            self._forget(channel, connection)

    def _forget(self, channel: str, connection: str) -> None:
        try:
            seats.forget(self._table, channel, connection)
        except TableError as error:
            log.warning("a gone connection stays for now", extra={"fields": {"error": type(error).__name__}})
