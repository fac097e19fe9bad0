"""A small world under one seed: people, servers, a store and a network, all of which may fail between any two steps.

Everything that a server asks of the world (a read, a write, a push, a pause) is a point at which another actor may go
on; the seed decides who, and what fails. Servers are of one of two kinds. *One process* owns the store, keeps things in
memory, and when it crashes everybody's connection is gone. *Many functions* share the store, each with a clock of its
own, and one of them may die without the others noticing; their events may be handed over twice, late and in another
order, their store throttles, a write whose answer was lost may still happen later, and a transaction becomes visible
item by item.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from greenlet import getcurrent, greenlet

from roost.app import App
from roost.chat.ports import Outcome, Share
from roost.settings import Settings
from roost.storage.table import (
    Conflict,
    Key,
    Operation,
    StoreUnavailable,
    TableError,
    Throttled,
    TransactionFailed,
)
from roost.testing import socket_event
from tests.simulation.record import RECEIVING, Connection, Handling, Record, Said
from tests.simulation.spoils import Spoil, nothing
from tests.simulation.visibility import PartlyVisible, keys_of

T = TypeVar("T")

_PAUSE_US = 1_700


class Crash(BaseException):
    """The process, or the function, is gone in the middle of what it did."""


class Lost(Exception):
    """A push failed in a way that nobody foresaw."""


class World(Record):
    """One run."""

    def __init__(self, seed: int, *, one_process: bool, spoil: Spoil = nothing) -> None:
        super().__init__(one_process=one_process)
        self.rng = random.Random(seed)
        random.seed(seed)  # the core's own jitter
        self.now_us = 1_800_000_000_000_000
        self.table: _Table = _Table(self, spoil)
        self.fault_rate = self.rng.choice((0.0, 0.02, 0.1))
        self.throttle_rate = 0.0 if one_process else self.rng.choice((0.0, 0.0, 0.0, 0.1, 0.3, 0.5))
        self.crash_rate = self.rng.choice((0.0, 0.0, 0.003, 0.01))
        self.crashes = 0
        self._sent = 0
        self._main: greenlet = getcurrent()
        self._ready: list[greenlet] = []
        self._committing: deque[greenlet] = deque()
        self._servers: list[App] = []
        self._handling: dict[greenlet, Handling] = {}
        self._start_servers()

    # -- actors -----------------------------------------------------------------------------------------------------

    def act(self, function: Callable[[], None]) -> None:
        """Let somebody begin to do something, some time."""

        def run() -> None:
            try:
                function()
            except Crash:
                self._handling.pop(getcurrent(), None)

        self._ready.append(greenlet(run, self._main))

    def run(self) -> None:
        """Go on until nobody has anything left to do."""
        while self._ready or self._committing:
            choices = len(self._ready) + bool(self._committing)
            pick = self.rng.randrange(choices)
            actor = self._ready.pop(pick) if pick < len(self._ready) else self._committing.popleft()
            self.now_us += self.rng.randrange(_PAUSE_US)
            if self.one_process and self.rng.random() < self.crash_rate:
                self._crash_process([actor, *self._ready, *self._committing])
                continue
            actor.switch()

    def pause(self, *, commit: bool = False) -> None:
        """Another may go on. Who waits for a commit goes on in the order in which they asked, in one process."""
        (self._committing if commit and self.one_process else self._ready).append(getcurrent())
        self._main.switch()
        if not self.one_process and self.rng.random() < self.crash_rate:
            self.crashes += 1
            self.disturb()
            raise Crash

    @property
    def outside(self) -> bool:
        """Whether it is the test itself that asks."""
        return getcurrent().parent is None

    def _crash_process(self, actors: Sequence[greenlet]) -> None:
        self.crashes += 1
        for handling in self._handling.values():
            handling.said.disturbed = True
        self._ready, self._committing = [], deque()
        for actor in actors:
            if actor:  # it has begun: it ends here; who had not begun never will
                actor.throw(Crash)
        self._ready, self._committing = [], deque()
        for connection in self.connections.values():
            if connection.state != "refused":
                connection.state = "dead"
        self._start_servers()

    def _start_servers(self) -> None:
        skews = [0] if self.one_process else [self.rng.randint(-600, 600) * 1_000_000 for _ in range(3)]
        self._servers = [App(self.table, _Push(self), _Clock(self, skew), Settings()) for skew in skews]

    def disturb(self) -> None:
        """Something failed: whom this line is told to is open."""
        handling = self._handling.get(getcurrent())
        if handling is not None:
            handling.said.disturbed = True

    # -- what clients and the gateway do ----------------------------------------------------------------------------

    def _handle(self, event: dict[str, Any]) -> dict[str, Any]:
        return self.rng.choice(self._servers).handle(event)

    def connect(self, name: str) -> Connection | None:
        """A client connects; None if it was not let in."""
        connection = self.connections[name] = Connection(name, receiving=self._receiving())
        answer = self._handle(socket_event("CONNECT", name, time=self.now_us // 1000))
        if connection.state != "connecting" or answer["statusCode"] != 200:
            connection.state = "refused"
            return None
        self.step += 1
        connection.opens(self.step)
        return connection

    def _receiving(self) -> tuple[str, ...]:
        if self.rng.random() < 0.8:
            return ("well",)
        return ("well", *self.rng.choices([*RECEIVING], k=2))

    def send(self, connection: Connection, body: str) -> None:
        """A client sends a frame, which may be handed over more than once."""
        self._sent += 1
        said = Said(body, connection.id, f"m{self._sent}")
        self.said[said.message_id] = said
        event = socket_event("MESSAGE", connection.id, body, time=self.now_us // 1000, message_id=said.message_id)

        def handle() -> None:
            handling = self._handling[getcurrent()] = self.begin(said)
            self._handle(event)
            del self._handling[getcurrent()]
            self.end(handling)

        if not self.one_process:
            if self.rng.random() < 0.2:
                self.act(handle)  # again, some time
            if self.rng.random() < 0.3:
                self.act(handle)  # beside what the client does next
                return
        handle()

    def disconnect(self, connection: Connection) -> None:
        """A client goes; the gateway says so, now or later, once or twice, or fails to."""
        connection.state = "dead"
        event = socket_event("DISCONNECT", connection.id)
        for chance in (0.6, 0.1) if self.one_process else (0.6, 0.3):
            if self.rng.random() < chance:
                if self.one_process or self.rng.random() < 0.5:
                    self._handle(event)
                else:
                    self.act(lambda: void(self._handle(event)))

    # -- faults -----------------------------------------------------------------------------------------------------

    def store_fault(self, operations: int) -> TableError | None:
        """What a call of the store fails with; a read has no operations."""
        if self.rng.random() < self.throttle_rate:
            self.disturb()
            return Throttled("injected")
        if self.rng.random() >= self.fault_rate:
            return None
        self.disturb()
        match self.rng.randrange(3):
            case 0:
                return Throttled("injected")
            case 1 if operations > 1:
                return TransactionFailed([Conflict("injected"), *[None] * (operations - 1)])
            case 1 if operations:
                return Conflict("injected")
            case _:
                return StoreUnavailable("injected")

    def push(self, connections: Sequence[str], payload: str) -> Mapping[str, Outcome]:
        """Push a frame, from whoever is at work."""
        handling = self._handling.get(getcurrent())
        if self.rng.random() < self.fault_rate / 4:
            self.disturb()
            if handling is not None and handling.said.connection in connections:
                handling.told.append(payload)  # it was to be told, which is all that a server can do
            raise Lost
        return self.deliver(connections, payload, handling)


def void(value: object) -> None:
    """Nothing."""


class _Table(PartlyVisible):
    """The store, with a pause around every call and faults before and after writes."""

    def __init__(self, world: World, spoil: Spoil) -> None:
        super().__init__(clock=lambda: world.now_us / 1_000_000, exclusive=world.one_process)
        self._world = world
        self._spoil = spoil

    def get(self, key: Any) -> Any:
        self._step()
        return super().get(key)

    def query(self, pk: str, **options: Any) -> Any:
        self._step()
        return super().query(pk, **options)

    def query_index(self, g1pk: str, **options: Any) -> Any:
        self._step()
        return super().query_index(g1pk, **options)

    def transact(self, operations: Sequence[Operation]) -> None:
        super().transact(self._spoil(list(operations)))

    def _step(self) -> None:
        world = self._world
        if world.outside or world.one_process:  # one process reads without waiting
            return
        world.pause()
        fault = world.store_fault(0)
        if fault is not None:
            raise fault

    def _apply(self, operations: Sequence[Operation], *, single: bool) -> None:
        world = self._world
        if world.outside:
            super()._apply(operations, single=single)
            return
        if not world.one_process:
            world.pause()
        error: TableError | None = world.store_fault(len(operations))
        under_way: Sequence[Key] = ()
        if error is None or (isinstance(error, StoreUnavailable) and world.rng.random() < 0.4):
            try:
                under_way = self._partly(operations, single=single)
            except TableError as refused:
                error = error or refused
        elif isinstance(error, StoreUnavailable) and not world.one_process and world.rng.random() < 0.3:
            world.act(lambda: self._later(operations, single=single))
        try:
            world.pause(commit=True)
        finally:
            self.end(under_way)
        if error is not None:
            raise error

    def _partly(self, operations: Sequence[Operation], *, single: bool) -> Sequence[Key]:
        """Apply, and hide a part of it; of which items it is."""
        if self.exclusive:
            super()._apply(operations, single=single)
            return ()
        self.check_conflicts(operations, single=single)
        keys = keys_of(operations)
        before = self.raw(keys)
        super()._apply(operations, single=single)
        if single:
            return ()
        self.begin(before, lambda key: self._world.rng.random() < 0.5)
        return keys

    def _later(self, operations: Sequence[Operation], *, single: bool) -> None:
        """A write that nobody waits for any more arrives after all."""
        try:
            self.check_conflicts(operations, single=single)
            super()._apply(operations, single=single)
        except TableError:
            return


class _Push:
    """The network."""

    def __init__(self, world: World) -> None:
        self._world = world

    def send(self, connections: Sequence[str], payload: str) -> Mapping[str, Outcome]:
        if not self._world.one_process:
            self._world.pause()
        return self._world.push(connections, payload)

    def spread(self, share: Share) -> Sequence[Share]:
        return (share,)

    def send_first(self, connection: str, payload: str) -> None:
        self._world.connections[connection].take_first(payload)

    def close(self, connection: str) -> None:
        self._world.connections[connection].state = "dead"


class _Clock:
    """A clock that is off, and now and then steps back."""

    def __init__(self, world: World, skew_us: int) -> None:
        self._world = world
        self._skew_us = skew_us

    def now_us(self) -> int:
        world = self._world
        if world.rng.random() < 0.02:
            self._skew_us -= world.rng.randrange(2_000_000)
        return world.now_us + self._skew_us

    def sleep(self, seconds: float) -> None:
        world = self._world
        world.now_us += int(seconds * 1_000_000)
        world.pause()

    def aside(self, function: Callable[[], T]) -> T:
        return function()
