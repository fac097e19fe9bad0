"""Telling people what happened: the one place from which anything is pushed to a channel.

A push is a hint and the log is the truth, so nothing that goes wrong here reaches who caused the event. The gone are
forgotten, unless they may only be connecting: API Gateway calls a connection gone until its `$connect` has returned.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from roost.chat.events import Event
from roost.chat.model import ConnectionId
from roost.chat.ports import Outcome, Push
from roost.storage import seats
from roost.storage.receivers import Receivers
from roost.storage.table import Table, TableError

log = logging.getLogger("roost.chat")

CONNECTING_MS = 10_000  # how long a connection that is not there yet may take to come

#: How each kind of connection is told of an event.
Renderers = Mapping[str, Callable[[Event], str]]


class Delivery:
    """Tells whoever hears a channel."""

    def __init__(self, table: Table, receivers: Receivers, push: Push, renderers: Renderers) -> None:
        self._table = table
        self._receivers = receivers
        self._push = push
        self._renderers = renderers

    def tell(self, event: Event, source: ConnectionId, time: int) -> None:
        """Push an event to everybody who hears its channel, except to the connection it came from. Never raises.

        `time` is when the gateway got what caused it, in milliseconds. A connection's age is measured from one of the
        gateway's times to another, since the clocks of two functions may be far apart.
        """
        try:
            audience = self._receivers.of(event.channel)
            for kind, render in self._renderers.items():
                heard = audience.get(kind, {})
                connections = list(heard)  # a copy: commits change the audience while we go on
                if source in heard:
                    connections.remove(source)
                if connections:
                    outcomes = self._push.send(connections, render(event))
                    if outcomes:
                        self._settle(event, heard, outcomes, time)
        except Exception as error:  # noqa: BLE001  the event is stored: its author is told so whatever happens here
            log.warning("not everybody was told", extra={"fields": {"error": type(error).__name__}})

    def _settle(self, event: Event, heard: Mapping[str, int], outcomes: Mapping[str, Outcome], time: int) -> None:
        for connection, outcome in outcomes.items():
            since = heard.get(connection)
            if outcome is Outcome.GONE and since is not None and time - since >= CONNECTING_MS:
                self._forget(event, connection)

    def _forget(self, event: Event, connection: str) -> None:
        try:
            seats.forget(self._table, event.channel, connection)
        except TableError as error:
            log.warning("a gone connection stays for now", extra={"fields": {"error": type(error).__name__}})
