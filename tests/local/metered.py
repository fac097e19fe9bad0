"""A metered chat, for tests of the meter, its table and its ledger."""

from __future__ import annotations

from collections.abc import Iterable

from roost.app import App
from roost.cost.use import Use
from roost.local.meter import Meter, MeteredPush
from roost.local.metered_table import MeteredTable
from roost.settings import Settings
from roost.testing import FakeClock, MemoryPush, MemoryTable, socket_event


class Chat:
    """A metered App on a laptop's kind of table."""

    def __init__(self, *, exclusive: bool = True) -> None:
        self.clock = FakeClock()
        self.meter = Meter()
        self.store = MemoryTable(clock=lambda: self.clock.now, exclusive=exclusive)
        self.push = MemoryPush()
        table, push = MeteredTable(self.store, self.meter), MeteredPush(self.push, self.meter)
        app = App(table, push, self.clock, Settings())
        assert app.chat.core.workspace
        self.handle = self.meter.measured(app.handle)
        self.meter.take()

    def event(self, kind: str, connection: str, body: str | None = None) -> None:
        self.handle(socket_event(kind, connection, body, time=self.clock.now_us() // 1000))

    def used(self, action: str) -> Use:
        """All that an action used since the last look, in any channel."""
        together = Use(action)
        for use in self.meter.take():
            if use.action == action:
                together.add(use)
        return together


def by_action(uses: Iterable[Use]) -> dict[str, Use]:
    """What each action used in all channels together."""
    together: dict[str, Use] = {}
    for use in uses:
        together.setdefault(use.action, Use(use.action)).add(use)
    return together
