"""The benchmark's own arithmetic and generator are right: what they report is what happened."""

from __future__ import annotations

import contextlib
import math
import socket
import threading

import pytest

from bench import wire
from bench.generator import Crowd, GeneratorError
from bench.numbers import Latencies, Spread, percentile, ratios, rotated
from tests.gateway.harness import running, service


def test_percentiles_and_spreads() -> None:
    assert percentile([1, 2, 3, 4], 0.5) == 2
    assert percentile(list(range(1, 101)), 0.99) == 99
    assert percentile([5], 0.99) == 5
    assert math.isnan(percentile([], 0.5))
    assert Latencies.of([3_000_000_000, 1_000_000_000, 2_000_000_000]).p50 == 2
    assert Spread.of([3, 1, 2]) == Spread(2, 1, 3)
    assert ratios([2, 6], [1, 2]) == Spread(2.5, 2, 3)
    assert rotated("abc", 1) == ["b", "c", "a"]


def test_frames_are_cut_whatever_the_pieces() -> None:
    stream = wire.server_frame(b"one") + wire.server_frame(b"x" * 300) + wire.server_frame(b"", wire.PING)
    for size in (1, 2, 7, len(stream)):
        reader = wire.FrameReader()
        frames = [frame for i in range(0, len(stream), size) for frame in reader.feed(stream[i : i + size])]
        assert frames == [(wire.TEXT, b"one"), (wire.TEXT, b"x" * 300), (wire.PING, b"")]


class Broadcast:
    """A server of a few lines that sends everything to everybody but the sender, and errs when told to."""

    def __init__(self, spoil: str = "") -> None:
        self.spoil = spoil
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.port = self.listener.getsockname()[1]
        self.receivers: list[socket.socket] = []
        self.messages = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(4096)
        if not head.startswith(b"GET /send "):
            self.receivers.append(client)
            client.sendall(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
            return
        client.sendall(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
        with client, contextlib.suppress(OSError):  # everybody has left
            self._relay(client)

    def _relay(self, client: socket.socket) -> None:
        data = b""
        while part := client.recv(65536):
            data += part
            while len(data) >= 136:
                self._tell(wire.server_frame(b"#c n: " + _unmask(data[:136])))
                data = data[136:]

    def _tell(self, frame: bytes) -> None:
        self.messages += 1
        for number, receiver in enumerate(self.receivers):
            if self.messages == 50 and number == 3:
                if self.spoil == "lose":
                    continue
                if self.spoil == "double":
                    receiver.sendall(frame)
            receiver.sendall(frame)

    def close(self) -> None:
        self.listener.close()
        for receiver in self.receivers:
            receiver.close()


def _unmask(frame: bytes) -> bytes:
    mask, payload = frame[4:8], frame[8:]
    return bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))


@pytest.mark.parametrize("window", [1, 8])
def test_a_run_counts_what_was_delivered(window: int) -> None:
    server = Broadcast()
    crowd = Crowd(server.port, "/send")
    crowd.grow(10)
    run = crowd.fan_out(window, 200, 30, lambda: 0.0)
    assert run.deliveries == 2000
    assert 0 < run.last.p50 <= run.last.p99 <= run.seconds
    crowd.close()
    server.close()


@pytest.mark.parametrize("spoil", ["lose", "double"])
def test_a_server_that_loses_or_doubles_has_no_speed(spoil: str) -> None:
    server = Broadcast(spoil)
    crowd = Crowd(server.port, "/send")
    crowd.grow(10)
    with pytest.raises(GeneratorError):
        crowd.fan_out(4, 200, 30, lambda: 0.0)
    crowd.close()
    server.close()


def test_a_refused_handshake_is_said() -> None:
    with running(service({"$connect": False}), {"$connect": lambda event: {"statusCode": 403}}) as gateway:
        with pytest.raises(GeneratorError, match="403"):
            Crowd(gateway.port, "/")
