"""The laptop's shell: wires a store, the gateway and the chat into one process, and runs it."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gc
import os
import signal
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from roost.app import ROUTE_SELECTION_EXPRESSION, ROUTES, App
from roost.cost.use import Folder
from roost.gateway import server
from roost.gateway.definition import Function, HttpApi, HttpRoute, Route, Service, WebSocketApi
from roost.gateway.functions import Done, Failed, Returned
from roost.gateway.sockets import Sockets
from roost.local.clock import SystemClock
from roost.local.folder import PREFIX, FolderBlobs
from roost.local.indexer import Indexer
from roost.local.ledger import Ledger
from roost.local.meter import Meter, MeteredPush
from roost.local.metered_table import MeteredTable
from roost.local.push import GatewayPush
from roost.local.queue import Worker
from roost.local.store import Store, open_store
from roost.local.waiting import Hub
from roost.settings import Settings
from roost.storage.jobs import Queue

FILES = "files"  # in the data folder
_STAGE = "roost"
_SWEEP_SECONDS = 10.0
_SWEEP_ITEMS = 2_000  # of which the expired are removed; small, since a sweep shares the writer with people
_METER_SECONDS = 5.0  # of use that a crash may forget
_GRACE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Running:
    """Where a server that just started is to be found."""

    host: str
    port: int
    place: str  #: where the data is
    setup: str  #: the code of a link that makes the owner; empty where there is one


class ChatFunctions:
    """Runs the chat for the gateway: every event is a Task on the event loop's own thread.

    Stronger than API Gateway, which promises no order: the events of one connection take effect in their order. Lines
    that are only said run side by side, so that they share commits; anything else waits for those before it, and those
    after it wait for it. Where others write the table too, nothing runs side by side: appends of one connection would
    race for the channel's head, and any of them could win.
    """

    def __init__(self, app: App, hub: Hub, meter: Meter, blobs: FolderBlobs, *, side_by_side: bool) -> None:
        self._handle = meter.measured(app.handle)
        self._serve_file = blobs.serve  # which S3 does itself on AWS
        self._beside = app.runs_beside_others if side_by_side else _never
        self._hub = hub
        self._lanes: dict[str, _Lane] = {}
        self._running = 0
        self._ended: asyncio.Event | None = None

    async def start(self) -> None:
        """Nothing to get ready."""

    def invoke(self, function: str, event: Mapping[str, Any], done: Done, *, integration_timeout: float = 29.0) -> None:
        """Hand the event to the chat. Its waits are bounded, so no time limit is kept here."""
        self._running += 1
        connection = event["requestContext"].get("connectionId")
        if connection is None:
            handle = self._serve_file if _is_file(event["rawPath"]) else self._handle
            self._hub.run(lambda: self._run(handle, event, done))
            return
        lane = self._lanes.get(connection)
        if lane is None:
            lane = self._lanes[connection] = _Lane()
        work = _Work(event, done, alone=not self._beside(event))
        if lane.takes(work):
            self._begin(connection, lane, work)
        else:
            lane.waiting.append(work)

    def _begin(self, connection: str, lane: _Lane, work: _Work) -> None:
        lane.running += 1
        lane.alone = work.alone
        self._hub.run(lambda: self._run_in_lane(connection, lane, work))

    def _run_in_lane(self, connection: str, lane: _Lane, work: _Work) -> None:
        self._run(self._handle, work.event, work.done)
        lane.running -= 1
        if lane.running == 0:
            lane.alone = False
            if not lane.waiting:
                del self._lanes[connection]
        if lane.waiting:  # from the loop itself: a Task is begun there, not inside another
            self._hub.loop.call_soon(self._go_on, connection, lane)

    def _go_on(self, connection: str, lane: _Lane) -> None:
        while lane.waiting and lane.may_begin(lane.waiting[0]):
            self._begin(connection, lane, lane.waiting.popleft())

    def _run(self, handle: Callable[[Any], dict[str, Any]], event: Mapping[str, Any], done: Done) -> None:
        try:
            done(Returned(handle(event)))
        except Exception as error:  # noqa: BLE001  the loop must go on; App.handle has already logged its own
            done(Failed(type(error).__name__, str(error)))
        finally:
            self._running -= 1
            if self._ended is not None and not self._running:
                self._ended.set()

    async def stop(self) -> None:
        """Wait until every event is done with."""
        if self._running:
            self._ended = asyncio.Event()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), _GRACE_SECONDS)


def _is_file(path: str) -> bool:
    """Whether a path is one that the folder of files has signed. Clients show one at `/files/USER/FILE/NAME`."""
    return path.startswith(PREFIX) and path.count("/") == PREFIX.count("/")


def _never(event: Mapping[str, Any]) -> bool:
    """Nothing runs beside others."""
    return False


@dataclass(frozen=True, slots=True)
class _Work:
    """One event, and whether it must run alone among those of its connection."""

    event: Mapping[str, Any]
    done: Done
    alone: bool


class _Lane:
    """The events of one connection that are not done with."""

    __slots__ = ("alone", "running", "waiting")

    def __init__(self) -> None:
        self.running = 0
        self.alone = False  # the one that runs must not have company
        self.waiting: deque[_Work] = deque()

    def takes(self, work: _Work) -> bool:
        """Whether a new event may begin at once."""
        return not self.waiting and self.may_begin(work)

    def may_begin(self, work: _Work) -> bool:
        """Whether the next event may begin beside those that run."""
        return self.running == 0 or not (work.alone or self.alone)


async def serve(
    host: str,
    port: int,
    data: Path,
    settings: Settings,
    started: Callable[[Running], None],
    *,
    table_url: str | None = None,
    log_events: bool = False,
) -> None:
    """Serve until SIGINT or SIGTERM, then close every socket with 1001 and return once all is stored.

    `table_url` names a DynamoDB table to use in place of the data folder's file. `started` is called when clients can
    connect. Raises `GatewayError` if the address cannot be listened on and `TableError` if the data cannot be opened,
    `TableInUse` among them where another server has it.
    """
    loop = asyncio.get_running_loop()
    listener = server.listen(host, port)
    store = open_store(data, table_url, os.environ)
    alone = store.table.exclusive
    blobs = FolderBlobs(data / FILES)
    try:
        sockets = Sockets(loop)
        meter = Meter()
        table = MeteredTable(store.table, meter)
        clock = SystemClock()
        queue = Queue(table, clock.now_us)
        settings = _with_address(settings, host, listener.getsockname()[1])
        app = App(table, MeteredPush(GatewayPush(sockets), meter), clock, settings, queue=queue, blobs=blobs)
        if alone:
            app.begin_alone()
            meter.take()  # which AWS has no need of
        hub = Hub(loop)
        functions = ChatFunctions(app, hub, meter, blobs, side_by_side=alone)
        indexer = Indexer(app.chat, hub)
        worker = Worker(queue, store.table, app.do, hub)
        worker.start()
        setup = "" if app.chat.accounts.has_owner() else app.chat.invites.setup()
        names = () if host in ("", "0.0.0.0", "::") else (host,)  # noqa: S104  compared, not bound
        # The chat pushes without the management API, so nobody else gets to push through it either.
        gateway_settings = server.Settings(names=names, connections_api=False, log_events=log_events)
        gateway = server.Gateway(_service(), functions, sockets, listener, gateway_settings)
        await gateway.start()
        indexer.start()
        stop = _stop_signal(loop)
        ledger = Ledger(
            Folder(store.use),
            meter,
            store.table,
            connections=lambda: len(sockets.open),
            size=store.size,
            files=data / FILES,
        )
        others = [asyncio.create_task(each) for each in (_sweep(store), ledger.keep(_METER_SECONDS))]
        gc.freeze()  # what stands now stands until the end: the collector need not look at it again
        started(Running(host, listener.getsockname()[1], store.place, setup))
        await stop.wait()
        indexer.stop()
        await gateway.stop()
        await worker.stop()
        for each in others:
            each.cancel()
        await ledger.flush()
    finally:
        await asyncio.to_thread(blobs.close)
        await asyncio.to_thread(store.close)


def _with_address(settings: Settings, host: str, port: int) -> Settings:
    """The settings with the address that events give, where nobody said which."""
    named = "127.0.0.1" if host in ("", "0.0.0.0", "::") else host  # noqa: S104  compared, not bound
    return dataclasses.replace(settings, address=f"http://{f'[{named}]' if ':' in named else named}:{port}/")


def _stop_signal(loop: asyncio.AbstractEventLoop) -> asyncio.Event:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, stop.set)
        except NotImplementedError:  # Windows has no such handlers on its loop
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.set))
    return stop


async def _sweep(store: Store) -> None:
    """Remove what has expired, a little at a time, where the store leaves that to us."""
    while store.sweep is not None:
        await asyncio.sleep(_SWEEP_SECONDS)
        await asyncio.to_thread(store.sweep, _SWEEP_ITEMS)


def _service() -> Service:
    """The chat as the gateway sees it: the same routes as on AWS."""
    function = Function(key="chat", name="roost", handler="roost.app", code_root=Path())
    return Service(
        name="roost",
        stage=_STAGE,
        region="local",
        account="000000000000",
        functions={"chat": function},
        websocket=WebSocketApi(
            id="roost",
            name="roost",
            stage=_STAGE,
            route_selection_expression=ROUTE_SELECTION_EXPRESSION,
            routes={key: Route(key, "chat") for key in ROUTES},
        ),
        http=HttpApi(id="roost", name="roost", stage="$default", routes=(HttpRoute("ANY", "$default", "chat"),)),
    )
