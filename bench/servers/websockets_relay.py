"""A bare `websockets` server as its documentation writes one: what a connection says, the others get. Nothing stored.

python websockets_relay.py PORT
"""

import asyncio
import sys

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosedError

connections: set[ServerConnection] = set()


async def handle(connection: ServerConnection) -> None:
    """Send what this connection says to all others."""
    connections.add(connection)
    try:
        async for message in connection:
            for other in connections:
                if other is not connection:
                    await other.send(message)
    except ConnectionClosedError:
        return  # clients under test leave without a close frame
    finally:
        connections.discard(connection)


async def main() -> None:
    """Serve until killed."""
    async with serve(handle, "127.0.0.1", int(sys.argv[1]), compression=None) as server:
        await server.serve_forever()


asyncio.run(main())
