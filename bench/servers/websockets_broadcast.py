"""The fastest way to send to everyone with `websockets` alone: `broadcast()`, uvloop, nothing stored, nothing optional.

Whoever connects to /send is not among the receivers, so that each message has as many deliveries here as in a chat
that does not echo.

    python websockets_broadcast.py PORT
"""

import sys

import uvloop
from websockets.asyncio.server import ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosedError

receivers: set[ServerConnection] = set()


async def handle(connection: ServerConnection) -> None:
    """Send what this connection says to all receivers."""
    assert connection.request is not None
    if connection.request.path != "/send":
        receivers.add(connection)
    try:
        async for message in connection:
            broadcast(receivers, message)
    except ConnectionClosedError:
        return  # clients under test leave without a close frame
    finally:
        receivers.discard(connection)


async def main() -> None:
    """Serve until killed."""
    async with serve(
        handle, "127.0.0.1", int(sys.argv[1]), compression=None, ping_interval=None, backlog=4096
    ) as server:
        await server.serve_forever()


uvloop.run(main())
