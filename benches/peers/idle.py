"""Memory of connections that have had one answer and wait."""

import asyncio
import re
import ssl
import sys

from cost import memory_kib

# What stands before a first request on a connection of HTTP/2, and a request in fields of HPACK.
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"
HEADERS = b"\x82\x87\x04\x08/menus/1\x41\x0cshop.example"

# Held, and opened before them for what is made once.
COUNT, FIRST = 3_000, 50


class Idle:
    """A proxy is started for each: one that has had connections before has their memory still, and
    gives it to others, so that none would be seen to need any."""

    def __init__(self, door):
        self.door = door

    def measure(self, bench, name, scale):
        """KiB of each."""
        count = max(4 * FIRST, int(COUNT * min(scale, 1)))
        proxy = bench.proxy(name)
        few, many = asyncio.run(self.hold(proxy, count))
        bench.end(proxy.program)
        return (many - few) / count

    async def hold(self, proxy, count):
        """KiB with the first ones, and with as many beside them."""
        tls = None
        if self.door != "h1":
            tls = ssl.create_default_context()
            tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
            tls.set_alpn_protocols(["h2" if self.door == "h2" else "http/1.1"])
        held, memory = [], []
        for more in (FIRST, count):
            for _ in range(more):
                held.append(await self.one(proxy.ports["tls" if tls else "plain"], tls))
            memory.append(memory_kib(proxy.leader))
        for writer in held:
            writer.transport.abort()
        return memory

    async def one(self, port, tls):
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=tls, server_hostname="shop.example" if tls else None)
        if self.door == "h2":
            await self.ask_h2(reader, writer)
        else:
            writer.write(b"GET /menus/1 HTTP/1.1\r\nHost: shop.example\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"(?i)content-length: (\d+)", head)
            await reader.readexactly(int(length[1]))
        return writer

    async def ask_h2(self, reader, writer):
        length = len(HEADERS).to_bytes(3, "big")
        writer.write(PREFACE + length + b"\x01\x05\0\0\0\x01" + HEADERS)
        while True:
            head = await reader.readexactly(9)
            payload = await reader.readexactly(int.from_bytes(head[:3], "big"))
            if head[3] == 4 and not head[4] & 1:
                writer.write(b"\0\0\0\x04\x01\0\0\0\0")
            if head[3] in (3, 7):
                sys.exit(f"HTTP/2 was refused: {payload!r}")
            if head[3] in (0, 1) and head[4] & 1:
                return
