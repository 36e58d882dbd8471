"""What is asked of a proxy in a turn, and what that cost it."""

import os
import re
import signal
import socket
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "instructions"))

import shapes
from cost import Cost, bytes_read
from idle import Idle
from latency import Latency

CONNECTIONS = 32
# Of those that have large answers: each has as much of them underway as its socket takes.
LARGE_CONNECTIONS = 8

SMALL = [("Accept", "text/html, */*"), ("Cookie", "visitor=1")]
PHONE = [tuple(line.split(": ", 1)) for line in shapes.PHONE.split("\r\n") if line]
RAILS = [tuple(line.split(": ", 1)) for line in shapes.RAILS.split("\r\n") if line]

# How long a turn is, in seconds, and how long before it a proxy gets used to its work again.
TURN, LEAD = 0.2, 0.05
# Nothing has moved for that long: what was underway has been answered.
STILL = 0.003


class Requests:
    """On kept connections, by an h2load for each proxy that runs all the time and is stopped (by
    SIGSTOP) when it is not its turn. So neither its start nor its connections are in what is
    counted. How many requests there were the origin tells."""

    def __init__(self, path, door, fields, body=0):
        self.path, self.door, self.fields, self.body = path, door, fields, body

    def open(self, bench, proxy, workers=1):
        connections = CONNECTIONS * workers
        command = h2load(bench, proxy, self, ["-c", str(connections), "-D", "36000"])
        client = bench.client(command)
        before = bench.counter.requests()
        # It has its connections, and the proxy its own.
        while bench.counter.requests() < before + 20 * connections:
            alive(client)
            time.sleep(0.01)
        client.send_signal(signal.SIGSTOP)
        settle(bench, proxy)
        return client

    def turn(self, bench, proxy, client, scale):
        self.ask(bench, proxy, client, LEAD)
        before, asked, read = Cost(proxy.leader), bench.counter.requests(), bytes_read(client.pid)
        seconds = self.ask(bench, proxy, client, TURN * scale)
        cost, count = Cost(proxy.leader), bench.counter.requests() - asked
        read = bytes_read(client.pid) - read
        # Answers of the last requests may still lie in its sockets, as some did before.
        if read < 0.9 * count * 1024 - 2 * CONNECTIONS * 1024:
            sys.exit(f"{proxy.name} gave {read} bytes of answers to {count} requests")
        return cost.since(before, count) | {"per_second": count / seconds}

    def ask(self, bench, proxy, client, seconds):
        """Seconds that it could ask."""
        alive(client)
        start, before = time.monotonic(), bench.counter.requests()
        client.send_signal(signal.SIGCONT)
        time.sleep(seconds)
        # Where much else runs it may have had no time at all.
        while bench.counter.requests() < before + 4 * CONNECTIONS:
            alive(client)
            time.sleep(0.01)
        client.send_signal(signal.SIGSTOP)
        taken = time.monotonic() - start
        settle(bench, proxy)
        return taken

    def close(self, bench, client):
        bench.end(client)


class Bodies:
    """Large answers: a number of them by an h2load of their own each turn, as what lies in sockets
    when one is stopped would count for much. Its few connections are part of it."""

    def __init__(self, path, door, count):
        self.path, self.door, self.count, self.fields, self.body = path, door, count, SMALL, 0

    def open(self, bench, proxy, workers=1):
        self.turn(bench, proxy, None, 0.2)

    def turn(self, bench, proxy, _client, scale):
        count = max(LARGE_CONNECTIONS, int(self.count * scale))
        return counted(bench, proxy, self, count, LARGE_CONNECTIONS)

    def close(self, bench, client):
        pass


class Connections:
    """New ones, each with one request: what a connection costs, its handshake included."""

    def __init__(self, door, count):
        self.path, self.door, self.count, self.fields, self.body = "/menus/1", door, count, SMALL, 0

    def open(self, bench, proxy, workers=1):
        self.turn(bench, proxy, None, 1)

    def turn(self, bench, proxy, _client, scale):
        # All at once, but no more than every listener's backlog takes.
        count = max(CONNECTIONS, int(self.count * min(scale, 1)))
        return counted(bench, proxy, self, count, count)

    def close(self, bench, client):
        pass


def counted(bench, proxy, load, count, connections):
    """What a number of requests cost, all of which were answered."""
    command = h2load(bench, proxy, load, ["-c", str(connections), "-n", str(count)])
    before = Cost(proxy.leader)
    done = subprocess.run(command, capture_output=True, text=True)
    settle(bench, proxy)
    cost = Cost(proxy.leader)
    if f" {count} succeeded, 0 failed" not in done.stdout:
        sys.exit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    rate = float(re.search(r", ([\d.]+) req/s", done.stdout)[1])
    return cost.since(before, count) | {"per_second": rate}


def h2load(bench, proxy, load, how_many):
    command = ["h2load", "-t", "1", *how_many] + ([] if load.door == "h2" else ["--h1"])
    for name, value in load.fields:
        command += ["-H", f"{name}: {value}"]
    if load.body:
        payload = os.path.join(bench.room, f"body-{load.body}")
        with open(payload, "wb") as file:
            file.write(b"p" * load.body)
        command += ["-d", payload]
    ports = proxy.ports
    scheme, port = ("http", ports["plain"]) if load.door == "h1" else ("https", ports["tls"])
    return bench.cores.other([*command, f"{scheme}://127.0.0.1:{port}{load.path}"])


def alive(client):
    if client.poll() is not None:
        sys.exit(f"{' '.join(client.args)} ended:\n{client.stdout.read()}")


def settle(bench, proxy):
    """Waits until all that was asked has been answered, and for what a proxy does by itself not
    long."""
    before = None
    for _ in range(100):
        now = (Cost(proxy.leader).seconds, bench.counter.requests())
        if now == before:
            return
        before = now
        time.sleep(STILL)


class Messages:
    """WebSocket messages and their echoes, over many connections at once."""

    door = "h1"

    def __init__(self, count):
        self.count = count

    def open(self, bench, proxy, workers=1):
        lines = [self.line(proxy.ports["plain"]) for _ in range(CONNECTIONS)]
        self.turn(bench, proxy, lines, 0.2)
        return lines

    def turn(self, bench, proxy, lines, scale):
        rounds = max(1, int(self.count * scale) // CONNECTIONS)
        before, start = Cost(proxy.leader), time.monotonic()
        # The client is this process: it goes where clients belong, and back.
        with bench.cores.as_client():
            for _ in range(rounds):
                for line in lines:
                    line.sendall(shapes.MASKED)
                for line in lines:
                    shapes.exactly(line, len(shapes.UNMASKED))
        seconds, count = time.monotonic() - start, rounds * CONNECTIONS
        return Cost(proxy.leader).since(before, count) | {"per_second": count / seconds}

    def close(self, bench, lines):
        for line in lines:
            line.close()

    def line(self, port):
        line = socket.create_connection(("127.0.0.1", port))
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        line.sendall(b"GET /admin/cable HTTP/1.1\r\nHost: shop.example\r\nConnection: Upgrade\r\n"
                     b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                     b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
        head = b""
        while b"\r\n\r\n" not in head:
            head += line.recv(1) or sys.exit("hung up before its 101")
        if b" 101 " not in head:
            sys.exit(f"no WebSocket: {head.decode()}")
        return line


ALL = {
    "GET of 1 KiB": Requests("/menus/1", "h1", SMALL),
    "GET by a phone": Requests("/orders", "h1", PHONE),
    "POST of 10 KB": Requests("/orders", "h1", PHONE, body=10_000),
    "GET of 1 MiB": Bodies("/large", "h1", 400),
    "GET of 1 KiB, TLS": Requests("/menus/1", "tls", SMALL),
    "GET by a phone, TLS": Requests("/orders", "tls", PHONE),
    "GET of 1 MiB, TLS": Bodies("/large", "tls", 200),
    "GET of 1 KiB, HTTP/2 over TLS": Requests("/menus/1", "h2", SMALL),
    "GET by a phone, HTTP/2 over TLS": Requests("/orders", "h2", PHONE),
    "connection with one GET": Connections("h1", 500),
    "connection with one GET, TLS": Connections("tls", 300),
    "WebSocket message and echo": Messages(8_000),
    "idle connection": Idle("h1"),
    "idle connection, TLS": Idle("tls"),
    "idle connection, HTTP/2 over TLS": Idle("h2"),
    "latency at 1,000 a second": Latency(1_000, 2),
}
