"""The load generator: one sender and many receivers of one server, in one thread.

A generator in Python could easily measure itself, so it does almost nothing per delivery. What every receiver must get
is known before the clock runs: the same stream of frames, byte for byte. Each piece that a socket yields is compared
with its place in that stream, in one call, which counts it and checks its content, order and completeness at once. Only
a piece that differs (a ping, a lost message, another order) is taken apart frame by frame.

The load is a closed loop: `window` messages are under way, and a new one leaves when the last receiver has the oldest.
The generator reports how busy it was itself; a result with a generator busy all the time tells nothing about a server.
"""

from __future__ import annotations

import gc
import os
import select
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from bench import wire
from bench.numbers import Latencies

MESSAGE_BYTES = 128
#: A generator busier than this may be what is measured.
BUSY_LIMIT = 0.5
_PIECE = 1 << 16
_STALL_SECONDS = 5.0
_HANDSHAKE_SECONDS = 30.0
_HANDSHAKES_AT_ONCE = 50  # below any server's backlog
_PORTS_PER_SOURCE = 10_000  # of about 28,000 that Linux gives a source address; closed ones rest for a minute
_NOWHERE = sys.maxsize  # an offset at which no piece fits, so that it is taken apart


class GeneratorError(Exception):
    """The server could not be reached, or did not behave as a broadcasting chat at all."""


@dataclass(frozen=True, slots=True)
class Deliveries:
    """What one run measured. Times in seconds."""

    receivers: int
    window: int
    messages: int
    delivered: int
    lost: int  #: deliveries that never came, or came after a later one
    repeated: int
    disordered: int  #: deliveries that came after a later one
    seconds: float
    each: Latencies  #: from sending to each receiver
    last: Latencies  #: from sending to the last receiver
    server_cpu: float
    generator_busy: float  #: share of the time in which the generator computed

    @property
    def per_second(self) -> float:
        """Deliveries a second."""
        return self.delivered / self.seconds

    @property
    def cpu_per_delivery(self) -> float:
        """Server CPU seconds, user and system, per delivery."""
        return self.server_cpu / self.delivered


@dataclass(slots=True)
class _Client:
    sock: socket.socket
    reader: wire.FrameReader = field(default_factory=wire.FrameReader)
    missing: set[int] = field(default_factory=set)
    gone: bool = False


class Crowd:
    """One sender and some receivers, connected to one server."""

    def __init__(self, port: int, *, host: str = "127.0.0.1", sender_path: str = "/") -> None:
        self._address = (host, port)
        self._poller = _Poller()
        self._receivers: list[_Client] = []
        self._sender = self._connect([sender_path])[0]
        self._prefix: bytes | None = None
        self._next = 0  # the number of the next message, never used twice

    @property
    def size(self) -> int:
        """How many receivers are connected."""
        return len(self._receivers)

    def grow(self, receivers: int, *, greet: bool = True) -> None:
        """Connect until there are this many receivers; then see a first message reach every one, unless told not to."""
        for start in range(self.size, receivers, _HANDSHAKES_AT_ONCE):
            count = min(_HANDSHAKES_AT_ONCE, receivers - start)
            self._receivers += self._connect(["/"] * count)
        if greet:
            self._greet()

    def fan_out(
        self, window: int, *, seconds: float, messages: int, server_cpu: Callable[[], float] = time.process_time
    ) -> Deliveries:
        """Keep `window` messages under way for `seconds` or until `messages` are sent, then wait for the rest.

        `server_cpu` tells the CPU seconds that the server has used. Raises `GeneratorError` if a connection was lost.
        """
        if self._prefix is None:
            self._greet()
        assert self._prefix is not None
        run = _Run(self._sender, self._receivers, self._prefix, self._next, window, messages)
        self._next += messages
        gc.collect()
        gc.disable()
        try:
            return run.measure(self._poller, seconds, server_cpu)
        finally:
            gc.enable()

    def close(self) -> None:
        """Drop all connections."""
        for client in [self._sender, *self._receivers]:
            client.sock.close()
        self._receivers.clear()

    def _connect(self, paths: list[str]) -> list[_Client]:
        clients = [_Client(self._open()) for _ in paths]
        for client, path in zip(clients, paths, strict=True):
            client.sock.sendall(wire.opening(*self._address, path))
        for client in clients:
            _finish_handshake(client)
            client.sock.setblocking(False)
            self._poller.register(client.sock.fileno())
        return clients

    def _open(self) -> socket.socket:
        sock = socket.socket()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(_HANDSHAKE_SECONDS)
        if self.size >= _PORTS_PER_SOURCE:
            sock.bind((f"127.0.0.{2 + self.size // _PORTS_PER_SOURCE}", 0))
        sock.connect(self._address)
        return sock

    def _greet(self) -> None:
        """Send one message and see it reach all; learn from it what the server writes before a text."""
        content = _content(self._next)
        self._next += 1
        self._sender.sock.sendall(wire.client_frame(content))
        waiting = {client.sock.fileno(): client for client in self._receivers}
        prefixes = set()
        deadline = time.monotonic() + _STALL_SECONDS
        while waiting:
            ready = self._poller.poll(0.5)
            for descriptor, _ in ready:
                client = waiting.get(descriptor)
                for opcode, payload in [] if client is None else client.reader.feed(_read(descriptor)):
                    if opcode == wire.TEXT and payload.endswith(content):
                        prefixes.add(payload.removesuffix(content))
                        waiting.pop(descriptor, None)
            if time.monotonic() > deadline:
                raise GeneratorError(f"{len(waiting)} of {self.size} receivers did not get a first message")
        if len(prefixes) != 1:
            raise GeneratorError(f"receivers got different texts: {sorted(prefixes)}")
        self._prefix = prefixes.pop()


class _Run:
    """One closed loop. Messages are counted from 0 in a run; `base` is the number that the first one carries."""

    def __init__(
        self, sender: _Client, receivers: list[_Client], prefix: bytes, base: int, window: int, messages: int
    ) -> None:
        contents = [_content(base + number) for number in range(messages)]
        self._outgoing = [wire.client_frame(content) for content in contents]
        frames = [wire.server_frame(prefix + content) for content in contents]
        self._stream = b"".join(frames)
        self._frame_bytes = len(frames[0])
        self._base = base
        self._window = window
        self._sender = sender
        self._clients = {client.sock.fileno(): client for client in [sender, *receivers]}
        self._receivers = len(receivers)
        #: Per descriptor: how many bytes of the stream it has had.
        self._offsets = [_NOWHERE] * (max(self._clients) + 1)
        for client in receivers:
            self._offsets[client.sock.fileno()] = 0
        #: Per number of messages: how many receivers have had exactly so many.
        self._standing = [0] * (messages + 1)
        self._standing[0] = len(receivers)
        self._complete = 0  # messages that the last receiver has
        self._limit = messages
        self._sent: list[int] = []  # nanoseconds
        self._arrivals: list[tuple[int, int, int]] = []  # time, messages before, messages after
        self._last: list[int] = []
        self._lost = self._repeated = self._disordered = 0

    def measure(self, poller: _Poller, seconds: float, server_cpu: Callable[[], float]) -> Deliveries:
        cpu, busy, start = server_cpu(), time.process_time(), time.perf_counter_ns()
        self._send(start)
        self._pump(poller, start + int(seconds * 1e9))
        cpu, busy, end = server_cpu() - cpu, time.process_time() - busy, time.perf_counter_ns()
        self._count_undelivered()
        each = [time - self._sent[number] for time, a, b in self._arrivals for number in range(a, b)]
        duration = (end - start) / 1e9
        return Deliveries(
            receivers=self._receivers,
            window=self._window,
            messages=len(self._sent),
            delivered=len(self._sent) * self._receivers - self._lost,
            lost=self._lost,
            repeated=self._repeated,
            disordered=self._disordered,
            seconds=duration,
            each=Latencies.of(each),
            last=Latencies.of(self._last),
            server_cpu=cpu,
            generator_busy=busy / duration,
        )

    def _pump(self, poller: _Poller, deadline: int) -> None:
        """The hot loop: every line of it runs per piece of data, so names are local and nothing is called twice."""
        poll, read, clock = poller.poll, os.read, time.perf_counter_ns
        fits, size, offsets = self._stream.startswith, self._frame_bytes, self._offsets
        standing, arrived = self._standing, self._arrivals.append
        stalled = clock() + int(_STALL_SECONDS * 1e9)
        while self._complete < len(self._sent):
            for descriptor, _ in poll(0.5):
                piece = read(descriptor, _PIECE)
                now = clock()
                start = offsets[descriptor]
                if not piece or not fits(piece, start):
                    self._take_apart(descriptor, piece, now)
                    continue
                offsets[descriptor] = end = start + len(piece)
                before, after = start // size, end // size
                if before == after:
                    continue
                arrived((now, before, after))
                standing[before] -= 1
                standing[after] += 1
                if not standing[before] and before == self._complete:
                    self._completed(now, deadline)
                    stalled = now + int(_STALL_SECONDS * 1e9)
            if clock() > stalled:
                return

    def _completed(self, now: int, deadline: int) -> None:
        while self._complete < len(self._sent) and not self._standing[self._complete]:
            self._last.append(now - self._sent[self._complete])
            self._complete += 1
        if now < deadline:
            self._send(now)

    def _send(self, now: int) -> None:
        """Fill the window: a call each, as from separate people."""
        descriptor = self._sender.sock.fileno()
        for number in range(len(self._sent), min(self._complete + self._window, self._limit)):
            self._sent.append(now)
            os.write(descriptor, self._outgoing[number])
            now = time.perf_counter_ns()

    def _take_apart(self, descriptor: int, piece: bytes, now: int) -> None:
        client = self._clients[descriptor]
        if not piece:
            raise GeneratorError("the server closed a connection")
        position = self._position(descriptor, client)
        for opcode, payload in client.reader.feed(piece):
            if opcode == wire.PING:
                client.sock.sendall(wire.client_frame(payload, wire.PONG))
            elif opcode == wire.CLOSE:
                raise GeneratorError(f"the server closed a connection: {payload[2:].decode(errors='replace')}")
            elif opcode == wire.TEXT and client is not self._sender:
                position = self._note(client, position, _number(payload) - self._base, now)
        self._resume(descriptor, client, position)

    def _position(self, descriptor: int, client: _Client) -> int:
        """How many messages a receiver has had; what it has of the next one goes to its frame reader."""
        offset = self._offsets[descriptor]
        if offset == _NOWHERE:
            return self._positions.get(descriptor, 0)
        position = offset // self._frame_bytes
        client.reader.rest = self._stream[position * self._frame_bytes : offset]
        return position

    def _note(self, client: _Client, position: int, number: int, now: int) -> int:
        """Count one message that was read frame by frame; answers the receiver's new position."""
        if not position <= number < len(self._sent):
            if number in client.missing:
                client.missing.discard(number)
                self._disordered += 1
            else:
                self._repeated += 1
            return position
        client.missing.update(range(position, number))
        self._lost += number - position
        self._arrivals.append((now, number, number + 1))
        self._standing[position] -= 1
        self._standing[number + 1] += 1
        return number + 1
