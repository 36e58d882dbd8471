"""Keeps connections open until they are closed, and says how each was closed.

    python drained.py ws://HOST:PORT COUNT

Half of them are idle; on the others messages are echoed all the time, and every one that was sent
before the close has to have come back, whole and in its order. One line when all are open; then
one line a connection: the code of its close, and whether the other side began it.
"""

import asyncio
import sys

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed


async def hold(connection, talks):
    sent = heard = 0
    try:
        while True:
            if talks:
                await connection.send(f"message {sent} " + "x" * (sent % 3000))
                sent += 1
            message = await connection.recv()
            assert message.startswith(f"message {heard} "), message[:20]
            heard += 1
    except ConnectionClosed as error:
        # What the last one became is told by nobody: the echo may have been under way.
        assert sent - heard <= 1, (sent, heard)
        return error.rcvd and error.rcvd.code, error.rcvd_then_sent


async def main(url, count):
    options = {"proxy": None, "ping_interval": None, "open_timeout": 20}
    connections = [await connect(url, **options) for _ in range(count)]
    holding = [asyncio.create_task(hold(each, n % 2)) for n, each in enumerate(connections)]
    print("open", flush=True)
    for code, first in await asyncio.gather(*holding):
        print(code, "asked" if first else "not asked", flush=True)


asyncio.run(main(sys.argv[1], int(sys.argv[2])))
