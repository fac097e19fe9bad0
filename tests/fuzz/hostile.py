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


def harmless_frame(rng: random.Random) -> bytes:
    """One client frame that leaves the connection open, whatever it says."""
    kind = rng.random()
    if kind < 0.9:
        return build(1, text(rng).encode("utf-8", "replace")[:32768].decode("utf-8", "ignore").encode(), rng)
    if kind < 0.95:
        return build(rng.choice([9, 10]), rng.randbytes(rng.randint(0, 125)), rng)
    whole = text(rng).encode("utf-8", "replace")[:2000]
    cut = rng.randint(0, len(whole))
    return build(1, whole[:cut], rng, fin=False) + build(0, whole[cut:], rng)


def fatal_frame(rng: random.Random) -> bytes:
    """One client frame that is wrong in one of the ways a frame can be: the connection ends with it."""
    kind = rng.random()
    if kind < 0.2:
        return build(1, b"\xff" + rng.randbytes(rng.randint(0, 200)), rng)
    if kind < 0.4:
        return build(rng.choice([0, 2, 3, 7, 11, 15]), rng.randbytes(rng.randint(0, 200)), rng)
    if kind < 0.55:
        return build(
            8, rng.choice([b"", b"\x03", struct.pack(">H", rng.randint(0, 65535)) + b"bye", b"\x03\xe8\xff"]), rng
        )
    if kind < 0.65:
        return build(1, b"never ended", rng, fin=False) + build(1, b"another", rng)
    if kind < 0.75:
        return bytes([0x81 | rng.choice([0x10, 0x20, 0x40, 0x70]), 0x80]) + rng.randbytes(4)
    if kind < 0.9:
        return bytes([0x81, 0xFF]) + struct.pack(">Q", rng.choice([32769, 1 << 31, (1 << 64) - 1])) + rng.randbytes(4)
    return b"\x81\x03abc" + rng.randbytes(rng.randint(1, 60))  # not masked


def build(opcode: int, payload: bytes, rng: random.Random, *, fin: bool = True) -> bytes:
    """A masked frame."""
    head = bytes([(0x80 if fin else 0) | opcode])
    bit = 0x80
    if len(payload) < 126:
        head += bytes([bit | len(payload)])
    elif len(payload) < 65536:
        head += bytes([bit | 126]) + struct.pack(">H", len(payload))
    else:
        head += bytes([bit | 127]) + struct.pack(">Q", len(payload))
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
_FINE_HEADERS = [
    "Origin: https://evil.example",
    "Content-Type: application/json",
    "Content-Type: multipart/form-data; boundary=x",
    "Cookie: a=b; ; =; c",
    "Authorization: Bearer x",
    "X-Forwarded-For: 1.2.3.4",
    "Accept: */*",
    "Sec-WebSocket-Protocol: a, b",
    "Empty:",
]
_HEADERS = [
    "Host: evil.example",
    "Upgrade: websocket",
    "Upgrade: h2c",
    "Connection: Upgrade",
    "Connection: close",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Version: 99",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Key: short",
    "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=99",
    "Transfer-Encoding: chunked",
    "Transfer-Encoding: gzip, chunked",
    "Expect: 100-continue",
    "Content-Length: 5",
    "Content-Length: 1e9",
    "Content-Length: -1",
    "X: " + "y" * 12000,
    "Bad Header: x",
    "No-Colon",
    "",
]


def harmless_request(rng: random.Random) -> bytes:
    """One HTTP request that can be answered and leaves the connection open, whatever it asks."""
    method = rng.choice(["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"])
    target = rng.choice([each for each in _TARGETS if each.startswith("/") and len(each) < 4096])
    lines = [f"{method} {target} HTTP/1.1", "Host: localhost", *rng.sample(_FINE_HEADERS, rng.randint(0, 4))]
    body = rng.randbytes(rng.randint(0, 300)) if rng.random() < 0.5 else b""
    return "\r\n".join([*lines, f"Content-Length: {len(body)}"]).encode("latin-1") + b"\r\n\r\n" + body


def fatal_request(rng: random.Random) -> bytes:
    """One HTTP request that is wrong, mutated, or asks for something else."""
    method = rng.choice(["GET", "POST", "PUT", "HEAD", "OPTIONS", "CONNECT", "get", "G\0T", ""])
    version = rng.choice(["HTTP/1.1"] * 6 + ["HTTP/1.0", "HTTP/2.0", "HTTP/9", ""])
    lines = [f"{method} {rng.choice(_TARGETS)} {version}"]
    lines += [rng.choice(_FINE_HEADERS + _HEADERS) for _ in range(rng.randint(0, 8))]
    raw = bytearray("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + rng.randbytes(rng.choice((0, 0, 200))))
    if rng.random() < 0.5:
        for _ in range(rng.randint(1, 6)):
            raw[rng.randrange(len(raw))] = rng.randrange(256)
    return bytes(raw)
