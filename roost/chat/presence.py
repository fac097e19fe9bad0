"""Who is here: told to those alone who look at somebody, since in a large team everybody's coming and going would drown
what is said."""

from __future__ import annotations

from collections.abc import Sequence

from roost.chat.core import Core
from roost.chat.events import PresenceSeen, Recorded
from roost.chat.people import People
from roost.chat.profiles import Profiles
from roost.storage import people as rows
from roost.storage import watches
from roost.storage.items import SocketRow, format_ts

MAX_WATCHED = 100  # members whom one stream hears of; who looks at more does not see them all


class Presence:
    """Tells of members' presence."""

    def __init__(self, core: Core, people: People, profiles: Profiles) -> None:
        self._core = core
        self._people = people
        self._profiles = profiles

    def look(self, connection: str, row: SocketRow, users: Sequence[str]) -> None:
        """Let a stream hear of these members and no others, beginning with how they are now."""
        some = list(dict.fromkeys(users))[:MAX_WATCHED]
        watches.look(self._core.table, connection, row.since, some)
        self.query(connection, row, some)

    def query(self, connection: str, row: SocketRow, users: Sequence[str]) -> None:
        """Tell a stream once how these members are; of nobody, nothing."""
        for user in list(dict.fromkeys(users))[:MAX_WATCHED]:
            self._tell(user, {connection: row.since})

    def came(self, user: str) -> None:
        """A stream of a member has opened."""
        if len(self._profiles.connections(user)) == 1:
            self.changed(user)

    def went(self, connection: str, user: str) -> None:
        """A stream of a member is over."""
        watches.forget(self._core.table, connection)
        if not self._profiles.connections(user):
            self.changed(user)

    def changed(self, user: str) -> None:
        """Tell those who look at a member how they are now."""
        lookers = watches.lookers(self._core.table, user)
        if lookers:
            self._tell(user, lookers)

    def _tell(self, user: str, connections: dict[str, int]) -> None:
        row = rows.by_id(self._core.table, user)
        if row is None:
            return
        now = self._core.clock.now_us()
        seen = PresenceSeen(user=user, active=self._profiles.is_active(row))
        self._core.delivery.tell_connections(connections, Recorded("", 0, format_ts(now), seen), now // 1000)
