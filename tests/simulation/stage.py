"""A small chat, act by act, in which something happens at one chosen call of the store: somebody crashes, the store
fails, or somebody else acts in between."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from roost.app import App
from roost.chat.ports import Outcome, Share
from roost.settings import Settings
from roost.storage.table import Conflict, Operation, StoreUnavailable, TableError, Throttled, TransactionFailed
from roost.testing import FakeClock, socket_event
from tests.simulation.record import Connection, Handling, Record, Said
from tests.simulation.spoils import Spoil, nothing
from tests.simulation.visibility import PartlyVisible, keys_of

T = TypeVar("T")

_WRITES = frozenset({"put", "update", "delete", "transact"})


class Crash(BaseException):
    """The process, or the function, is gone in the middle of what it did."""


#: What happens at a call of the store: it is given its name, how many operations it has, and the call itself.
Happening = Callable[[str, int, Callable[[], Any]], Any]


def crash_before(name: str, size: int, call: Callable[[], Any]) -> Any:
    raise Crash


def crash_after(name: str, size: int, call: Callable[[], Any]) -> Any:
    call()
    raise Crash


def throttled(name: str, size: int, call: Callable[[], Any]) -> Any:
    raise Throttled("injected")


def conflict(name: str, size: int, call: Callable[[], Any]) -> Any:
    if name == "transact":
        raise TransactionFailed([Conflict("injected"), *[None] * (size - 1)])
    if name in _WRITES:
        raise Conflict("injected")
    return call()


def fails_before(name: str, size: int, call: Callable[[], Any]) -> Any:
    raise StoreUnavailable("injected")


def fails_after(name: str, size: int, call: Callable[[], Any]) -> Any:
    if name in _WRITES:
        try:
            call()
        except TableError:
            raise StoreUnavailable("injected, and it had not happened") from None
    raise StoreUnavailable("injected")


class StepTable(PartlyVisible):
    """A store at whose n-th call something happens, or at each from the n-th on."""

    def __init__(self, clock: Callable[[], float], spoil: Spoil, *, exclusive: bool) -> None:
        super().__init__(clock=clock, exclusive=exclusive)
        self._spoil = spoil
        self.calls: list[str] = []
        self._at = 0
        self._happening: Happening | None = None
        self._ever_after = False
        self._inside = False
        self.operations: Sequence[Operation] = ()  #: of the transaction that is under way

    def arm(self, at: int, happening: Happening | None, *, ever_after: bool = False) -> None:
        """Count from here; at call number `at` something happens."""
        self.calls, self._at, self._happening, self._ever_after = [], at, happening, ever_after

    def disarm(self) -> None:
        """Nothing happens any more."""
        self._happening = None

    def _apply(self, operations: Sequence[Operation], *, single: bool) -> None:
        self.check_conflicts(operations, single=single)
        super()._apply(operations, single=single)

    def partly(self, call: Callable[[], object], visible: Callable[[int], bool], then: Callable[[], object]) -> None:
        """Let a transaction happen, and something else while only those of its items are seen that are `visible`."""
        keys = keys_of(self.operations)
        before = self.raw(keys)
        call()
        self.begin(before, lambda key: not visible(keys.index(key)))
        then()
        self.end(keys)

    def _call(self, name: str, size: int, call: Callable[[], T]) -> T:
        if self._inside:
            return call()
        self.calls.append(name)
        happening, number = self._happening, len(self.calls)
        due = number == self._at or (self._ever_after and number > self._at)
        if happening is None or not due:
            return self._alone(call)
        if not self._ever_after:
            self._happening = None
        return happening(name, size, lambda: self._alone(call))  # type: ignore[no-any-return]  # what the call answers

    def _alone(self, call: Callable[[], T]) -> T:
        self._inside = True
        try:
            return call()
        finally:
            self._inside = False

    def get(self, key: Any) -> Any:
        return self._call("get", 1, lambda: super(StepTable, self).get(key))

    def get_many(self, keys: Any) -> Any:
        return self._call("get_many", 1, lambda: super(StepTable, self).get_many(keys))

    def query(self, pk: str, **options: Any) -> Any:
        return self._call("query", 1, lambda: super(StepTable, self).query(pk, **options))

    def query_index(self, g1pk: str, **options: Any) -> Any:
        return self._call("query_index", 1, lambda: super(StepTable, self).query_index(g1pk, **options))

    def put(self, item: Any, condition: Any = None) -> None:
        self._call("put", 1, lambda: super(StepTable, self).put(item, condition))

    def update(self, update: Any) -> Any:
        return self._call("update", 1, lambda: super(StepTable, self).update(update))

    def delete(self, key: Any, condition: Any = None) -> None:
        self._call("delete", 1, lambda: super(StepTable, self).delete(key, condition))

    def transact(self, operations: Any) -> None:
        spoiled = self.operations = self._spoil(list(operations))
        self._call("transact", len(operations), lambda: super(StepTable, self).transact(spoiled))


class Stage(Record):
    """bz, cy and dee in #general, eve in #random, and zed, who is gone without a word."""

    table: StepTable

    def __init__(self, *, one_process: bool, empty: bool = False, spoil: Spoil = nothing) -> None:
        super().__init__(one_process=one_process)
        self.clock = FakeClock()
        self.table = StepTable(lambda: self.clock.now, spoil, exclusive=one_process)
        self._handling: list[Handling] = []
        self._sent = 0
        self.start()
        if empty:
            return
        for name in ("bz", "cy", "dee", "eve", "zed"):
            self.enter(name)
        self.says("eve", "/channel random")
        self.says("eve", "eve says hello")
        self.says("cy", "cy says hello")
        self.connections["zed"].state = "dead"
        self.clock.now += 11  # from now on zed may be forgotten

    def start(self) -> None:
        """The server starts, or a function does."""
        self.app = App(self.table, _Push(self), self.clock, Settings())
        if self.one_process:
            self.app.begin_alone()

    @property
    def time(self) -> int:
        """The gateway's, in milliseconds."""
        return self.clock.now_us() // 1000

    # -- what people do ---------------------------------------------------------------------------------------------

    def enter(self, name: str) -> None:
        """Somebody connects."""
        connection = self.connections[name] = Connection(name)
        answer = self._crashing(lambda: self.app.handle(socket_event("CONNECT", name, time=self.time)))
        opened = answer is not None and answer["statusCode"] == 200 and connection.state == "connecting"
        self.step += 1
        if opened:
            connection.opens(self.step)
        else:
            connection.state = "refused"

    def says(self, name: str, text: str) -> dict[str, Any]:
        """Somebody sends a frame; answers its event."""
        self._sent += 1
        said = Said(text, name, f"m{self._sent}")
        self.said[said.message_id] = said
        event = socket_event("MESSAGE", name, text, time=self.time, message_id=said.message_id)
        self.handle(event)
        return event

    def handle(self, event: dict[str, Any]) -> None:
        """A frame is handled, again perhaps."""
        said = self.said[event["requestContext"]["messageId"]]
        handling = self.begin(said)
        self._handling.append(handling)
        answer = self._crashing(lambda: self.app.handle(event))
        self._handling.remove(handling)
        if answer is not None:
            self.end(handling)

    def goes(self, name: str) -> None:
        """Somebody's connection ends, and the gateway says so."""
        self.connections[name].state = "dead"
        self._crashing(lambda: self.app.handle(socket_event("DISCONNECT", name)))

    def _crashing(self, handle: Callable[[], dict[str, Any]]) -> dict[str, Any] | None:
        try:
            return handle()
        except Crash:
            self.table.disarm()
            self.disturb()
            if self.one_process:
                for connection in self.connections.values():
                    connection.state = "refused" if connection.state in ("connecting", "refused") else "dead"
            self.start()
            return None

    def disturb(self) -> None:
        """Something failed: who is told what by those at work now is open."""
        for handling in self._handling:
            handling.said.disturbed = True

    def deliver_from_here(self, connections: Sequence[str], payload: str) -> dict[str, Outcome]:
        """A push of whoever is at work."""
        return self.deliver(connections, payload, self._handling[-1] if self._handling else None)


class _Push:
    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def send(self, connections: Sequence[str], payload: str) -> Mapping[str, Outcome]:
        return self._stage.deliver_from_here(connections, payload)

    def spread(self, share: Share) -> Sequence[Share]:
        return (share,)

    def send_first(self, connection: str, payload: str) -> None:
        self._stage.connections[connection].take_first(payload)

    def close(self, connection: str) -> None:
        self._stage.connections[connection].state = "dead"
