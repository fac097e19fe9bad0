"""The few bytes of HTTP and RFC 6455 that a load generator speaks: opening handshakes, frames in both directions."""

from __future__ import annotations

from collections.abc import Iterator

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
_MASK = bytes.fromhex("5a13c72e")  # any will do; constant, so that frames can be made before the clock runs


def opening(host: str, port: int, path: str) -> bytes:
    """A WebSocket opening handshake request that offers no extension, so that nobody's compression is measured."""
    return (
        f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()


def server_frame(payload: bytes, opcode: int = TEXT) -> bytes:
    """The one form in which servers send a short message: final, unmasked, with the shortest length field."""
    return bytes([0x80 | opcode]) + _length(len(payload), 0) + payload


def client_frame(payload: bytes, opcode: int = TEXT) -> bytes:
    """A final, masked frame."""
    repeated = (_MASK * (len(payload) // 4 + 1))[: len(payload)]
    masked = (int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")).to_bytes(len(payload), "big")
    return bytes([0x80 | opcode]) + _length(len(payload), 0x80) + _MASK + masked


def _length(size: int, flag: int) -> bytes:
    if size < 126:
        return bytes([flag | size])
    if size < 65536:
        return bytes([flag | 126]) + size.to_bytes(2, "big")
    return bytes([flag | 127]) + size.to_bytes(8, "big")


class FrameReader:
    """Cuts a server's bytes into frames, whatever the pieces in which they come."""

    def __init__(self, rest: bytes = b"") -> None:
        self.rest = rest  #: the bytes of a frame that is not complete yet

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Add bytes; yield (opcode, payload) of each frame that is now complete."""
        self.rest += data
        while (frame := _parse(self.rest)) is not None:
            opcode, start, end = frame
            payload = self.rest[start:end]
            self.rest = self.rest[end:]
            yield opcode, payload


def _parse(data: bytes) -> tuple[int, int, int] | None:
    """Opcode, and where the first frame's payload starts and ends, if all of it is there."""
    if len(data) < 2:
        return None
    size, start = data[1], 2
    if size >= 126:
        start = 4 if size == 126 else 10
        if len(data) < start:
            return None
        size = int.from_bytes(data[2:start], "big")
    end = start + size
    return (data[0] & 15, start, end) if len(data) >= end else None
