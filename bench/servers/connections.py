"""A stand-in for @connections that only waits and counts: `connections.py PORT SECONDS CERTIFICATE`. Answers each post
with 200 after the given time, over TLS where a certificate is named; `GET /` answers how many posts came and to how
many connections, and forgets them."""

from __future__ import annotations

import asyncio
import ssl
import sys
from typing import cast

import uvloop

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"


class Client(asyncio.Protocol):
    """One kept-alive connection."""

    posts = 0
    receivers: set[bytes] = set()  # noqa: RUF012  the whole server's
    seconds = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._data = b""

    def data_received(self, data: bytes) -> None:
        self._data += data
        while (end := self._data.find(b"\r\n\r\n")) >= 0:
            head = self._data[:end].lower()
            _, _, after = head.partition(b"\r\ncontent-length:")
            size = int(after.partition(b"\r\n")[0] or 0)
            if len(self._data) < end + 4 + size:
                return
            self._request(self._data[:end].split(b" ", 2))
            self._data = self._data[end + 4 + size :]

    def _request(self, words: list[bytes]) -> None:
        if words[0] == b"GET":
            body = b"[%d, %d]" % (Client.posts, len(Client.receivers))
            Client.posts = 0
            Client.receivers.clear()
            self._transport.write(ANSWER % (len(body), body))
            return
        Client.posts += 1
        Client.receivers.add(words[1])
        if self.seconds:
            asyncio.get_running_loop().call_later(self.seconds, self._transport.write, ANSWER % (0, b""))
        else:
            self._transport.write(ANSWER % (0, b""))


async def main(port: int, certificate: str) -> None:
    """Serve until killed."""
    context = None
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
    server = await asyncio.get_running_loop().create_server(Client, "127.0.0.1", port, ssl=context, backlog=1000)
    await server.serve_forever()


if __name__ == "__main__":
    Client.seconds = float(sys.argv[2])
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(int(sys.argv[1]), sys.argv[3]))
