"""Hostile bytes by seed: WebSocket frames and HTTP requests, well-formed, broken, and everything between."""

from __future__ import annotations

import json
import random
import struct

HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)

_TEXTS = [
    "",
    " ",
    "\n",
    "/",
    "//",
    "/name",
    "/name ",
    "/name \x00\x07",
    "/name " + "x" * 300,
    "/name x/name y",
    "/name \u202eevil",
    "/channel",
    "/channel #",
    "/channel ##",
    "/channel channels",
    "/channel C#x",
    "/channel x:::connections",
    "/channel " + "y" * 81,
    "/channel " + "z" * 80,
    "/channel naïve-ß",
    "/channel ../../etc",
    "/help",
    "/usr/bin/python is broken",
    "/who",
    "/channels",
    "/history",
    "/history -1",
    "/history 999999999999999999999999",
    "/history ٣",
    "/history 0x10",
    "/login",
    "/login xoxp-roost-",
    "/login " + "a" * 5000,
    "hello",
    "x\n#general CEO: you are fired",
    "\u2028\u2029\x85\x1b[2J",
    "\U0001f4a9" * 100,
    "null",
    "[]",
    "{}",
    '{"action":"command"}',
    '{"action":"command","data":"fetchChannels"}',
    '{"action":"command","data":{}}',
    '{"action":"command","data":"fetchChannels","x":1}',
    '{"action":null}',
    '{"action":["$connect"]}',
    '{"action":"$disconnect"}',
    '{"action":1e999}',
    '{"action":"\\ud800"}',
    '{"a":' * 500,
    "{" * 9000,
    "[" * 30000,
]


def text(rng: random.Random) -> str:
    """A message somebody might send to hurt, or a mutation of one."""
    chosen = rng.choice(_TEXTS)
    if rng.random() < 0.4:
        letters = list(chosen)
        for _ in range(rng.randint(1, 5)):
            letters.insert(
                rng.randint(0, len(letters)), chr(rng.choice([0, 9, 10, 13, 27, 34, 92, 123, 0x202E, 0x1F600]))
            )
        chosen = "".join(letters)
    if rng.random() < 0.1:
        chosen = json.dumps({"action": chosen, "data": chosen})
    return chosen


def frame(rng: random.Random) -> bytes:
    """One client frame, right or wrong in one of the ways a frame can be."""
    kind = rng.random()
    if kind < 0.7:
        return build(1, text(rng).encode("utf-8", "replace")[:32768], rng)
    if kind < 0.8:
        return build(rng.choice([9, 10]), rng.randbytes(rng.randint(0, 125)), rng)
    if kind < 0.84:
        return build(1, rng.randbytes(rng.randint(0, 200)), rng)
    if kind < 0.88:
        return build(rng.choice([0, 2, 3, 7, 11, 15]), rng.randbytes(rng.randint(0, 200)), rng)
    if kind < 0.91:
        return build(
            8, rng.choice([b"", b"\x03", struct.pack(">H", rng.randint(0, 65535)) + b"bye", b"\x03\xe8\xff"]), rng
        )
    if kind < 0.94:
        return build(1, text(rng).encode("utf-8", "replace"), rng, fin=False)
    if kind < 0.96:
        return bytes([0x81 | rng.choice([0x10, 0x20, 0x40, 0x70]), 0x80]) + rng.randbytes(4)
    if kind < 0.98:
        return (
            bytes([0x81, 0xFF]) + struct.pack(">Q", rng.choice([1, 32769, 1 << 31, (1 << 64) - 1])) + rng.randbytes(4)
        )
    return rng.randbytes(rng.randint(1, 60))


def build(opcode: int, payload: bytes, rng: random.Random, *, fin: bool = True) -> bytes:
    """A masked frame (one in two hundred is not masked, against the protocol)."""
    head = bytes([(0x80 if fin else 0) | opcode])
    masked = rng.random() > 0.005
    bit = 0x80 if masked else 0
    if len(payload) < 126:
        head += bytes([bit | len(payload)])
    elif len(payload) < 65536:
        head += bytes([bit | 126]) + struct.pack(">H", len(payload))
    else:
        head += bytes([bit | 127]) + struct.pack(">Q", len(payload))
    if not masked:
        return head + payload
    mask = rng.randbytes(4)
    return head + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))


_TARGETS = [
    "/",
    "/api/chat.postMessage",
    "/api/",
    "/api/%00",
    "/roost",
    "/roost/@connections/AAAAAAAAAAAAAAA=",
    "/@connections/x",
    "/@connections/%2e%2e%2f",
    "/%40connections/AAAAAAAAAAAAAAA%3D",
    "/../../etc/passwd",
    "/%ff%fe",
    "/?a=1&a=2&%00=%ff",
    "*",
    "http://evil.example/",
    "/" + "a" * 4000,
    "/" + "a" * 5000,
]
_HEADERS = [
    "Host: localhost",
    "Host: evil.example",
    "Origin: https://evil.example",
    "Content-Type: application/json",
    "Content-Type: multipart/form-data; boundary=x",
    "Cookie: a=b; ; =; c",
    "Upgrade: websocket",
    "Upgrade: h2c",
    "Connection: Upgrade",
    "Connection: close",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Version: 99",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Key: short",
    "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=99",
    "Sec-WebSocket-Protocol: a, b",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: gzip, chunked",
    "Expect: 100-continue",
    "Authorization: Bearer x",
    "Content-Length: 5",
    "Content-Length: 1e9",
    "Content-Length: -1",
    "X: " + "y" * 12000,
    "Bad Header: x",
    "No-Colon",
    "",
]


def request(rng: random.Random) -> bytes:
    """One HTTP request, right or wrong."""
    method = rng.choice(["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "CONNECT", "get", "G\0T", ""])
    version = rng.choice(["HTTP/1.1"] * 6 + ["HTTP/1.0", "HTTP/2.0", "HTTP/9", ""])
    lines = [f"{method} {rng.choice(_TARGETS)} {version}"]
    lines += [rng.choice(_HEADERS) for _ in range(rng.randint(0, 8))]
    raw = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"
    if rng.random() < 0.3:
        raw += rng.randbytes(rng.randint(0, 300))
    if rng.random() < 0.2:
        raw = bytearray(raw)
        for _ in range(rng.randint(1, 6)):
            raw[rng.randrange(len(raw))] = rng.randrange(256)
        raw = bytes(raw)
    return raw
