"""A stand-in for Puma: so many threads, and a queue that nobody sees.

It counts what a real one does not tell: how many requests were inside it at once, and how busy its
threads were. Each answer says when the work on it began and ended, by the machine's monotonic
clock. `python3 origin.py PORT THREADS`; `SIGUSR1` marks how much they have worked so far, and
`SIGTERM` prints all of it as JSON.
"""

import asyncio
import json
import os
import signal
import sys
import time


class Origin:
    def __init__(self, threads):
        self.threads = asyncio.Semaphore(threads)
        self.inside = self.most = self.busy = 0
        self.used = 0.0
        self.marks = []
        self.seen = time.monotonic()

    def change(self, by):
        now = time.monotonic()
        self.used += self.busy * (now - self.seen)
        self.seen = now
        self.busy += by

    def mark(self):
        self.change(0)
        self.marks.append(self.used)

    async def serve(self, reader, writer):
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                work = int(head.split(b"ms=", 1)[1].split(b" ", 1)[0]) / 1000 if b"ms=" in head else 0
                self.inside += 1
                self.most = max(self.most, self.inside)
                async with self.threads:
                    self.change(1)
                    begun = time.monotonic()
                    await asyncio.sleep(work)
                    self.change(-1)
                self.inside -= 1
                worked = f"X-Worked: {begun:.6f} {time.monotonic():.6f}\r\n".encode()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" + worked + b"\r\nok")
        except (OSError, asyncio.IncompleteReadError):
            writer.close()


async def main(port, threads):
    origin = Origin(threads)
    server = await asyncio.start_server(origin.serve, "127.0.0.1", port)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, origin.mark)
    await stop.wait()
    server.close()
    print(json.dumps({"most": origin.most, "marks": origin.marks}), flush=True)
    # Connections that are still open are nobody's business any more.
    os._exit(0)


asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
