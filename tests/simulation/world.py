"""A small world under one seed: people, servers, a store and a network, all of which may fail between any two steps.

Everything that a server asks of the world (a read, a write, a push, a pause) is a point at which another actor may go
on; the seed decides who, and what fails. Servers are of one of two kinds. *One process* owns the store, keeps things in
memory, and when it crashes everybody's connection is gone. *Many functions* share the store, each with a clock of its
own, and one of them may die without the others noticing; their events may be handed over twice and late.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from greenlet import getcurrent, greenlet

from roost.app import App
from roost.chat.ports import Outcome
from roost.frames import Line
from roost.settings import Settings
from roost.storage.table import Conflict, Operation, StoreUnavailable, Throttled
from roost.testing import MemoryTable, socket_event

_PAUSE_US = 1_700


class Crash(BaseException):
    """The process, or the function, is gone in the middle of what it did."""


class Lost(Exception):
    """A push failed in a way that nobody foresaw."""


@dataclass
class Said:
    """A line that somebody sent, and what became of it."""

    text: str
    connection: str
    message_id: str
    acknowledged: bool = False  #: it was handled to its end without a refusal
    disturbed: bool = False  #: the telling was cut short by a crash or a failing push: some may have missed it


@dataclass
class Connection:
    """A client, as the gateway sees it."""

    id: str
    state: str = "connecting"  #: connecting, open, dead, refused
    faulty: bool = False  #: it takes a push only sometimes
    was_in: set[str] = field(default_factory=lambda: {"general"})
    heard: list[str] = field(default_factory=list)


class World:
    """One run."""

    def __init__(self, seed: int, *, one_process: bool, make_app: Callable[..., App] = App) -> None:
        self.rng = random.Random(seed)
        random.seed(seed)  # the core's own jitter
        self.one_process = one_process
        self.now_us = 1_800_000_000_000_000
        self.table = _Table(self)
        self.connections: dict[str, Connection] = {}
        self.said: dict[str, Said] = {}
        self.fault_rate = self.rng.choice((0.0, 0.02, 0.1))
        self.crash_rate = self.rng.choice((0.0, 0.0, 0.003, 0.01))
        self.crashes = 0
        self._sent = 0
        self._make_app = make_app
        self._main: greenlet = getcurrent()
        self._ready: list[greenlet] = []
        self._committing: deque[greenlet] = deque()
        self._servers: list[App] = []
        self.handling: dict[greenlet, Said] = {}
        self._start_servers()

    # -- actors -----------------------------------------------------------------------------------------------------

    def act(self, function: Callable[[], None]) -> None:
        """Let somebody begin to do something, some time."""

        def run() -> None:
            try:
                function()
            except Crash:
                self.handling.pop(getcurrent(), None)

        self._ready.append(greenlet(run, self._main))

    def run(self) -> None:
        """Go on until nobody has anything left to do."""
        while self._ready or self._committing:
            choices = len(self._ready) + bool(self._committing)
            pick = self.rng.randrange(choices)
            actor = self._ready.pop(pick) if pick < len(self._ready) else self._committing.popleft()
            self.now_us += self.rng.randrange(_PAUSE_US)
            if self.one_process and self.rng.random() < self.crash_rate / 10:
                self._crash_process([actor, *self._ready, *self._committing])
                continue
            actor.switch()

    def pause(self, *, commit: bool = False) -> None:
        """Another may go on. Who waits for a commit goes on in the order in which they asked, in one process."""
        (self._committing if commit and self.one_process else self._ready).append(getcurrent())
        self._main.switch()
        if not self.one_process and self.rng.random() < self.crash_rate:
            self.crashes += 1
            self._disturb()
            raise Crash

    def _crash_process(self, actors: Sequence[greenlet]) -> None:
        self.crashes += 1
        for said in self.handling.values():
            said.disturbed = True
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
        self._servers = []
        for skew in skews:
            app = self._make_app(self.table, _Push(self), _Clock(self, skew), Settings())
            self._note_ends(app)
            self._servers.append(app)

    def _note_ends(self, app: App) -> None:
        """Learn which lines were handled to their end."""
        text = app._text
        receive = text.receive

        def noting(line: Line) -> None:
            receive(line)
            said = self.said.get(line.message_id)
            if said is not None:
                said.acknowledged = True

        text.receive = noting  # type: ignore[method-assign]  # an observer, nothing is changed

    def _disturb(self) -> None:
        said = self.handling.get(getcurrent())
        if said is not None:
            said.disturbed = True

    # -- what clients and the gateway do ----------------------------------------------------------------------------

    def _handle(self, event: dict[str, Any]) -> dict[str, Any]:
        return self.rng.choice(self._servers).handle(event)

    def connect(self, name: str) -> Connection | None:
        """A client connects; None if it was not let in."""
        connection = self.connections[name] = Connection(name, faulty=self.rng.random() < 0.15)
        answer = self._handle(socket_event("CONNECT", name, time=self.now_us // 1000))
        if connection.state != "connecting" or answer["statusCode"] != 200:
            connection.state = "refused"
            return None
        connection.state = "open"
        return connection

    def send(self, connection: Connection, body: str) -> None:
        """A client sends a frame, which may be handed over more than once."""
        self._sent += 1
        message_id = f"m{self._sent}"
        said = Said(body, connection.id, message_id)
        if not body.startswith("/"):
            self.said[message_id] = said
        event = socket_event("MESSAGE", connection.id, body, time=self.now_us // 1000, message_id=message_id)

        def handle() -> None:
            self.handling[getcurrent()] = said
            self._handle(event)
            self.handling.pop(getcurrent(), None)

        if not self.one_process:
            if self.rng.random() < 0.2:
                self.act(handle)  # again, some time
            if self.rng.random() < 0.3:
                self.act(handle)  # beside what the client does next
                return
        handle()

    def disconnect(self, connection: Connection) -> None:
        """A client goes; the gateway says so, or fails to."""
        connection.state = "dead"
        if self.rng.random() < 0.6:
            self._handle(socket_event("DISCONNECT", connection.id))

    # -- faults -----------------------------------------------------------------------------------------------------

    def store_fault(self) -> Exception | None:
        if self.rng.random() >= self.fault_rate:
            return None
        return self.rng.choice((Throttled("injected"), Conflict("injected"), StoreUnavailable("injected")))

    def deliver(self, connection_id: str, payload: str) -> Outcome:
        connection = self.connections[connection_id]
        if connection.state != "open":
            return Outcome.GONE
        if connection.faulty and self.rng.random() < 0.5:
            return Outcome.FAILED
        connection.heard.append(payload)
        return Outcome.SENT

    def push_fails(self) -> bool:
        if self.rng.random() < self.fault_rate / 4:
            self._disturb()
            return True
        return False


class _Table(MemoryTable):
    """The store, with a pause around every call and faults before and after writes."""

    def __init__(self, world: World) -> None:
        super().__init__(clock=lambda: world.now_us / 1_000_000, exclusive=world.one_process)
        self._world = world

    def get(self, key: Any) -> Any:
        self._step()
        return super().get(key)

    def query(self, pk: str, **options: Any) -> Any:
        self._step()
        return super().query(pk, **options)

    def _step(self) -> None:
        if getcurrent().parent is not None and not self._world.one_process:  # one process reads without waiting
            self._world.pause()

    def _apply(self, operations: Sequence[Operation], *, single: bool) -> None:
        world = self._world
        if getcurrent().parent is None:  # the test itself
            super()._apply(operations, single=single)
            return
        if not world.one_process:
            world.pause()
        fault = world.store_fault()
        if fault is not None and not isinstance(fault, StoreUnavailable):
            world.pause(commit=True)
            raise fault
        happens = fault is None or world.rng.random() < 0.5
        error: Exception | None = fault
        if happens:
            try:
                super()._apply(operations, single=single)
            except Exception as refused:
                error = refused
        world.pause(commit=True)
        if error is not None:
            raise error


class _Push:
    """The network."""

    def __init__(self, world: World) -> None:
        self._world = world

    def send(self, connections: Sequence[str], payload: str) -> Mapping[str, Outcome]:
        world = self._world
        if not world.one_process:
            world.pause()
        if world.push_fails():
            raise Lost
        outcomes = {each: world.deliver(each, payload) for each in connections}
        return {each: outcome for each, outcome in outcomes.items() if outcome is not Outcome.SENT}

    def send_first(self, connection: str, payload: str) -> None:
        raise AssertionError("text connections hear nothing first")

    def close(self, connection: str) -> None:
        world = self._world
        world.connections[connection].state = "dead"


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
