"""The load generator: one sender and many receivers of one server, in one thread.

A generator in Python could easily measure itself, so it does almost nothing per delivery. What every receiver must get
is known before the clock runs: the same stream of frames, byte for byte. Each piece that a socket yields is compared
with its place in that stream, in one call, which counts it and checks its content, order and completeness at once. A
piece that differs ends the run: a server that loses, doubles or reorders has no speed.

The load is a closed loop: `window` messages are under way, and a new one leaves when the last receiver has the oldest.
The generator reports how busy it was itself; a result with a generator busy all the time tells little about a server.
"""

from __future__ import annotations

import gc
import itertools
import os
import select
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass

from bench import wire
from bench.numbers import Latencies

MESSAGE_BYTES = 128
_PIECE = 1 << 16
_STALL_SECONDS = 10.0
_HANDSHAKES_AT_ONCE = 50  # below any server's backlog
_PORTS_PER_SOURCE = 10_000  # of about 28,000 that Linux gives a source address
_BIND_ADDRESS_NO_PORT = 24  # IP_BIND_ADDRESS_NO_PORT: the port is chosen when it is known where to
_crowds = itertools.count()


class GeneratorError(Exception):
    """The server could not be reached, or did not deliver what it must."""


@dataclass(frozen=True, slots=True)
class Deliveries:
    """What one run measured. Times in seconds."""

    deliveries: int
    seconds: float
    last: Latencies  #: from sending to the last receiver
    server_cpu: float
    generator_busy: float  #: share of the time in which the generator computed

    @property
    def per_second(self) -> float:
        """Deliveries a second."""
        return self.deliveries / self.seconds

    @property
    def cpu_per_delivery(self) -> float:
        """Server CPU seconds, user and system, per delivery."""
        return self.server_cpu / self.deliveries


class Crowd:
    """One sender and some receivers, connected to one server."""

    def __init__(self, port: int, sender_path: str) -> None:
        self._port = port
        self._number = next(_crowds) % 250  # a source address of its own
        self._receivers: list[socket.socket] = []
        self._sender = self._connect([sender_path])[0]
        self._prefix = b""
        self._next = 0  # the number of the next message, never used twice

    def grow(self, receivers: int, *, greet: bool = True) -> None:
        """Connect until there are this many receivers; then see a first message reach every one, unless told not to."""
        for start in range(len(self._receivers), receivers, _HANDSHAKES_AT_ONCE):
            self._receivers += self._connect(["/"] * min(_HANDSHAKES_AT_ONCE, receivers - start))
        if greet:
            self._greet()

    def stall(self) -> socket.socket:
        """One more receiver, which never reads; the caller closes it."""
        (sock,) = self._connect(["/"], receive_buffer=4096)
        return sock

    def fan_out(self, window: int, messages: int, seconds: float, server_cpu: Callable[[], float]) -> Deliveries:
        """Keep `window` messages under way until `messages` are sent or `seconds` have passed.

        `server_cpu` tells the CPU seconds that the server has used. Raises `GeneratorError`.
        """
        run = _Run(self._sender, self._receivers, self._prefix, self._next, messages)
        self._next += messages
        gc.collect()
        gc.disable()
        try:
            return run.measure(window, seconds, server_cpu)
        finally:
            gc.enable()

    def close(self) -> None:
        """Drop all connections."""
        for sock in [self._sender, *self._receivers]:
            sock.close()

    def _connect(self, paths: list[str], receive_buffer: int = 0) -> list[socket.socket]:
        sockets = [self._open(receive_buffer) for _ in paths]
        try:
            for sock, path in zip(sockets, paths, strict=True):
                sock.sendall(wire.opening("127.0.0.1", self._port, path))
            for sock in sockets:
                _finish_handshake(sock)
                sock.setblocking(False)
        except BaseException:
            for sock in sockets:
                sock.close()
            raise
        return sockets

    def _open(self, receive_buffer: int) -> socket.socket:
        sock = socket.socket()
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # leaves no port resting
        sock.settimeout(30)
        sock.setsockopt(socket.IPPROTO_IP, _BIND_ADDRESS_NO_PORT, 1)
        sock.bind((f"127.1.{self._number}.{1 + len(self._receivers) // _PORTS_PER_SOURCE}", 0))
        sock.connect(("127.0.0.1", self._port))
        return sock

    def _greet(self) -> None:
        """Send one message and see it reach all; learn from it what the server writes before a text."""
        content = _content(self._next)
        self._next += 1
        self._sender.sendall(wire.client_frame(content))
        prefixes = set()
        for sock in self._receivers:
            sock.settimeout(_STALL_SECONDS)
            reader = wire.FrameReader()
            payload = b""
            while not payload.endswith(content):
                payload = next((payload for _, payload in reader.feed(sock.recv(_PIECE))), payload)
            prefixes.add(payload.removesuffix(content))
            sock.setblocking(False)
        if len(prefixes) != 1:
            raise GeneratorError(f"receivers got different texts: {sorted(prefixes)}")
        self._prefix = prefixes.pop()


class _Run:
    """One closed loop. Messages are counted from 0 in a run; `base` is the number that the first one carries."""

    def __init__(
        self, sender: socket.socket, receivers: list[socket.socket], prefix: bytes, base: int, messages: int
    ) -> None:
        contents = [_content(base + number) for number in range(messages)]
        self._outgoing = [wire.client_frame(content) for content in contents]
        frames = [wire.server_frame(prefix + content) for content in contents]
        self._stream = b"".join(frames)
        self._frame_bytes = len(frames[0])
        self._sender = sender.fileno()
        self._receivers = [sock.fileno() for sock in receivers]
        self._offsets = [0] * (max(self._receivers) + 1)  # per descriptor: bytes of the stream that it has had
        self._standing = [0] * (messages + 1)  # per number of messages: how many receivers have had exactly so many
        self._standing[0] = len(receivers)
        self._complete = 0  # messages that the last receiver has
        self._sent: list[int] = []  # nanoseconds
        self._last: list[int] = []

    def measure(self, window: int, seconds: float, server_cpu: Callable[[], float]) -> Deliveries:
        poller = select.epoll()
        for descriptor in self._receivers:
            poller.register(descriptor, select.EPOLLIN)
        cpu, busy, start = server_cpu(), time.process_time(), time.perf_counter_ns()
        self._send(window, start)
        self._pump(poller, window, start + int(seconds * 1e9))
        cpu, busy, end = server_cpu() - cpu, time.process_time() - busy, time.perf_counter_ns()
        poller.close()
        duration = (end - start) / 1e9
        return Deliveries(
            deliveries=self._complete * len(self._receivers),
            seconds=duration,
            last=Latencies.of(self._last),
            server_cpu=cpu,
            generator_busy=busy / duration,
        )

    def _pump(self, poller: select.epoll, window: int, deadline: int) -> None:
        """The hot loop: every line of it runs per piece of data, so names are local and nothing is called twice."""
        poll, read, clock = poller.poll, os.read, time.perf_counter_ns
        fits, size, offsets, standing = self._stream.startswith, self._frame_bytes, self._offsets, self._standing
        while self._complete < len(self._sent):
            ready = poll(_STALL_SECONDS)
            if not ready:
                raise GeneratorError(f"nothing came for {_STALL_SECONDS:.0f} s: deliveries were lost")
            for descriptor, _ in ready:
                piece = read(descriptor, _PIECE)
                start = offsets[descriptor]
                if not piece or not fits(piece, start):
                    raise GeneratorError("a receiver got something else than what was sent, in order")
                offsets[descriptor] = end = start + len(piece)
                before, after = start // size, end // size
                if before != after:
                    standing[before] -= 1
                    standing[after] += 1
                    if not standing[before] and before == self._complete:
                        self._completed(window, clock(), deadline)

    def _completed(self, window: int, now: int, deadline: int) -> None:
        while self._complete < len(self._sent) and not self._standing[self._complete]:
            self._last.append(now - self._sent[self._complete])
            self._complete += 1
        if now < deadline:
            self._send(window, now)

    def _send(self, window: int, now: int) -> None:
        """Fill the window: a call each, as from separate people."""
        for number in range(len(self._sent), min(self._complete + window, len(self._outgoing))):
            self._sent.append(now)
            os.write(self._sender, self._outgoing[number])
            now = time.perf_counter_ns()


def _finish_handshake(sock: socket.socket) -> None:
    answer = b""
    while b"\r\n\r\n" not in answer:
        part = sock.recv(1)  # not a byte of what comes after
        if not part:
            raise GeneratorError("the server closed a connection during its handshake")
        answer += part
    if b" 101 " not in answer[:16]:
        raise GeneratorError(f"the handshake was refused: {answer[:60]!r}")


def _content(number: int) -> bytes:
    return f"{number:012} ".encode().ljust(MESSAGE_BYTES, b"x")
