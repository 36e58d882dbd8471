"""What is asked of a proxy, and what it costs."""

import asyncio
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "instructions"))

import shapes

CONNECTIONS = 32
SMALL = [("Accept", "text/html, */*"), ("Cookie", "visitor=1")]
PHONE = [tuple(line.split(": ", 1)) for line in shapes.PHONE.split("\r\n") if line]
RAILS = [tuple(line.split(": ", 1)) for line in shapes.RAILS.split("\r\n") if line]

# What stands before a first request on a connection of HTTP/2, and a request in fields of HPACK.
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"
HEADERS = b"\x82\x87\x04\x08/menus/1\x41\x0cshop.example"


class Cost:
    """Seconds on a CPU of a process and its children, as the scheduler knows them, and how much of
    them in user mode, as its ticks tell."""

    def __init__(self, leader):
        processes = [leader] + children(leader)
        self.seconds = sum(
            int(open(f"/proc/{process}/task/{task}/schedstat").read().split()[0]) / 1e9
            for process in processes for task in os.listdir(f"/proc/{process}/task"))
        ticks = [open(f"/proc/{process}/stat").read().rpartition(")")[2].split()
                 for process in processes]
        self.user, self.system = (sum(int(each[at]) for each in ticks) for at in (11, 12))

    def since(self, before):
        ticks = self.user - before.user + self.system - before.system
        return {"cpu_seconds": self.seconds - before.seconds,
                "user_share": (self.user - before.user) / ticks if ticks else None}


def children(leader):
    with open(f"/proc/{leader}/task/{leader}/children") as file:
        return [int(child) for child in file.read().split()]


def memory_kib(leader):
    """Memory of a process and its children that they do not share (proportional set size)."""
    return sum(int(re.search(r"^Pss:\s+(\d+)", open(f"/proc/{process}/smaps_rollup").read(), re.M)[1])
               for process in [leader] + children(leader))


class Requests:
    """By h2load, on kept connections."""

    def __init__(self, path, door, fields, count, body=0):
        self.path, self.door, self.fields, self.count, self.body = path, door, fields, count, body
        self.doors = {"plain"} if door == "h1" else {"tls"}

    def run(self, room, ports, leader, scale):
        count = max(CONNECTIONS, int(self.count * scale))
        return h2load(room, ports, leader, self.door, self.path, self.fields, count, CONNECTIONS,
                      self.body)


class Connections:
    """Each with one request: what a connection costs, its handshake included."""

    def __init__(self, door, count):
        self.door, self.count = door, count
        self.doors = {"plain"} if door == "h1" else {"tls"}

    def run(self, room, ports, leader, scale):
        count = max(CONNECTIONS, int(self.count * scale))
        return h2load(room, ports, leader, self.door, "/menus/1", SMALL, count, count)


def h2load(room, ports, leader, door, path, fields, count, connections, body=0):
    command = ["h2load", "-t", "1", "-c", str(connections), "-n", str(count)]
    command += [] if door == "h2" else ["--h1"]
    for name, value in fields:
        command += ["-H", f"{name}: {value}"]
    if body:
        payload = os.path.join(room, f"body-{body}")
        with open(payload, "wb") as file:
            file.write(b"p" * body)
        command += ["-d", payload]
    scheme, port = ("http", ports["plain"]) if door == "h1" else ("https", ports["tls"])
    before = Cost(leader)
    done = subprocess.run([*command, f"{scheme}://127.0.0.1:{port}{path}"],
                          capture_output=True, text=True)
    cost = Cost(leader).since(before)
    if f" {count} succeeded, 0 failed" not in done.stdout:
        sys.exit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    rate = float(re.search(r", ([\d.]+) req/s", done.stdout)[1])
    return each(cost, count) | {"per_second": rate}


def each(cost, count):
    return {"cpu_us": cost["cpu_seconds"] / count * 1e6, "user_share": cost["user_share"]}


class Messages:
    """WebSocket messages and their echoes, over many connections at once."""

    doors = {"plain"}

    def __init__(self, count):
        self.count = count

    def run(self, _room, ports, leader, scale):
        rounds = max(1, int(self.count * scale) // CONNECTIONS)
        lines = [self.open(ports["plain"]) for _ in range(CONNECTIONS)]
        before = Cost(leader)
        for _ in range(rounds):
            for line in lines:
                line.sendall(shapes.MASKED)
            for line in lines:
                shapes.exactly(line, len(shapes.UNMASKED))
        cost = Cost(leader).since(before)
        for line in lines:
            line.close()
        return each(cost, rounds * CONNECTIONS)

    def open(self, port):
        line = socket.create_connection(("127.0.0.1", port))
        line.sendall(b"GET /admin/cable HTTP/1.1\r\nHost: shop.example\r\nConnection: Upgrade\r\n"
                     b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                     b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
        head = b""
        while b"\r\n\r\n" not in head:
            head += line.recv(1) or sys.exit("hung up before its 101")
        if b" 101 " not in head:
            sys.exit(f"no WebSocket: {head.decode()}")
        return line


class Idle:
    """Memory of a connection that has had one answer and waits."""

    def __init__(self, door, count):
        self.door, self.count = door, count
        self.doors = {"plain"} if door == "h1" else {"tls"}

    def run(self, _room, ports, leader, scale):
        count = max(100, int(self.count * scale))
        warm = asyncio.run(self.hold(ports, leader, count // 10))
        held = asyncio.run(self.hold(ports, leader, count))
        return {"idle_kib": max(0, held - warm) / (count - count // 10)}

    async def hold(self, ports, leader, count):
        """Memory while that many wait."""
        context = None
        if self.door != "h1":
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            context.set_alpn_protocols(["h2" if self.door == "h2" else "http/1.1"])
        port = ports["plain" if context is None else "tls"]
        writers = []
        for _ in range(count):
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", port, ssl=context, server_hostname="shop.example" if context else None)
            if self.door == "h2":
                await self.ask_h2(reader, writer)
            else:
                writer.write(b"GET /menus/1 HTTP/1.1\r\nHost: shop.example\r\n\r\n")
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"(?i)content-length: (\d+)", head)
                await reader.readexactly(int(length[1]))
            writers.append(writer)
        kib = memory_kib(leader)
        for writer in writers:
            writer.transport.abort()
        return kib

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


class Latency:
    """By oha at a fixed rate, free of coordinated omission: what the proxy adds to the origin's."""

    doors = {"plain"}

    def __init__(self, rate, seconds):
        self.rate, self.seconds = rate, seconds

    def run(self, _room, ports, _leader, scale):
        seconds = max(1, round(self.seconds * scale))
        through, direct = (self.ask(port, seconds) for port in (ports["plain"], ports["origin"]))
        return {f"added_{name}_ms": (through[name] - direct[name]) * 1e3
                for name in ("p50", "p99", "p99.9")}

    def ask(self, port, seconds):
        done = subprocess.run(
            [oha(), "--no-tui", "--output-format", "json", "-q", str(self.rate), "-z", f"{seconds}s",
             "-c", str(CONNECTIONS), "--latency-correction", "-w",
             f"http://127.0.0.1:{port}/menus/1"], capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stderr)
        report = json.loads(done.stdout)
        if report["summary"]["successRate"] < 1:
            sys.exit(done.stdout)
        return report["latencyPercentiles"]


def oha():
    top = os.path.dirname(os.path.dirname(HERE))
    path = os.path.join(top, "target", "tools", "bin", "oha")
    return path if os.path.exists(path) else shutil.which("oha")


ALL = {
    "GET of 1 KiB": Requests("/menus/1", "h1", SMALL, 40_000),
    "GET by a phone": Requests("/orders", "h1", PHONE, 30_000),
    "POST of 10 KB": Requests("/orders", "h1", PHONE, 20_000, body=10_000),
    "GET of 1 MiB": Requests("/large", "h1", SMALL, 2_000),
    "GET of 1 KiB, TLS": Requests("/menus/1", "tls", SMALL, 40_000),
    "GET of 1 MiB, TLS": Requests("/large", "tls", SMALL, 1_000),
    "GET of 1 KiB, HTTP/2 over TLS": Requests("/menus/1", "h2", SMALL, 40_000),
    "connection with one GET": Connections("h1", 1_500),
    "connection with one GET, TLS": Connections("tls", 1_500),
    "WebSocket message and echo": Messages(40_000),
    "idle connection": Idle("h1", 2_000),
    "idle connection, TLS": Idle("tls", 2_000),
    "idle connection, HTTP/2 over TLS": Idle("h2", 2_000),
    "latency at 1,000 a second": Latency(1_000, 5),
}
