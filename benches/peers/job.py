"""Whether each proxy does its job: what arrives at the origin, and what comes back.

A table in which one of them does less than the others would be worth nothing. So each is asked for
every audience through all of its doors before anything is measured, in front of an origin that
remembers what it was sent, and the bench ends where anything is missing."""

import ipaddress
import re
import socket
import ssl
import subprocess
import sys
import threading

import loads
import shapes

HOST = "shop.example"
BODY = b"p" * 10_000

# An audience, and a request for it: by path, by header, and by a path that only looks like another.
ASKED = [("customer", "/menus/1", None), ("customer", "/administrators", None),
         ("driver", "/api/driver/orders", None), ("driver", "/orders", "driver"),
         ("restaurant", "/restaurant/menus", None), ("restaurant", "/orders", "restaurant")]


def check(bench):
    """Ends the bench where a proxy does not do all of it."""
    flaws = []
    with Origin() as origin:
        behind = {"origin": origin.port, "echo": origin.port, "count": 0}
        for name in bench.names:
            proxy = bench.proxy(name, behind=behind)
            judge = Judge(name, proxy.ports, origin)
            for door in ("plain", "tls"):
                judge.ask_all(door)
            judge.upload()
            judge.upgrade()
            judge.http2(bench)
            flaws += judge.flaws
            bench.end(proxy.program)
    if flaws:
        sys.exit("not all do the same job:\n" + "\n".join(flaws))


class Judge:
    def __init__(self, name, ports, origin):
        self.name, self.ports, self.origin, self.flaws, self.ids = name, ports, origin, [], set()

    def expect(self, what, holds, seen):
        if not holds:
            self.flaws.append(f"{self.name}: {what}, but: {seen!r}")

    def ask_all(self, door):
        """Every audience twice, all on one connection."""
        with connect(self.ports, door) as line:
            for audience, path, app in ASKED * 2:
                about = f"{door}, {path}, X-App {app}"
                fields = "X-Audience: admin\r\n" + (f"X-App: {app}\r\n" if app else "")
                line.sendall(f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\n{fields}\r\n".encode())
                self.came_back(line, about)
                self.arrived(self.origin.last(), about, audience, door)
        lines = {seen.line for seen in self.origin.taken()}
        self.expect(f"{door}: connections to the origin are kept", len(lines) <= 4, lines)

    def came_back(self, line, about):
        try:
            head, body = answer(line)
        except (ConnectionError, ValueError) as error:
            return self.expect(f"{about}: answers", False, str(error))
        self.expect(f"{about}: gives the answer whole", body == shapes.ANSWERS[b"/orders"][-1024:],
                    len(body))
        for name, value in loads.RAILS:
            if name not in ("Content-Type", "X-Request-Id"):
                self.expect(f"{about}: gives the answer's {name}", head.get(name.lower()) == value,
                            head.get(name.lower()))
        self.expect(f"{about}: keeps the connection", head.get("connection") != "close", head)

    def arrived(self, seen, about, audience, door):
        """The fields of a request, as the origin has had them."""
        port = str(self.ports[door])
        for name, value in [("x-audience", audience), ("host", HOST),
                            ("x-forwarded-proto", "http" if door == "plain" else "https"),
                            ("x-forwarded-host", HOST), ("x-forwarded-port", port)]:
            self.expect(f"{about}: says {name}: {value}", seen.all(name) == [value], seen.all(name))
        # For a client on the machine Envoy tells the machine's address.
        self.expect(f"{about}: says x-forwarded-for", is_address(seen.one("x-forwarded-for")),
                    seen.all("x-forwarded-for"))
        self.expect(f"{about}: says x-request-start in milliseconds",
                    re.fullmatch(r"t=\d{10}\.?\d{3}", seen.one("x-request-start")),
                    seen.all("x-request-start"))
        self.expect(f"{about}: says via", re.match(r"[12]\S* \S", seen.one("via")), seen.all("via"))
        number = seen.one("x-request-id")
        self.expect(f"{about}: gives each request an id of its own",
                    len(number) >= 16 and number not in self.ids, number)
        self.ids.add(number)

    def upload(self):
        with connect(self.ports, "plain") as line:
            line.sendall(f"POST /orders HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {len(BODY)}\r\n"
                         "\r\n".encode() + BODY)
            self.came_back(line, "POST")
        self.expect("POST: hands on the body", self.origin.last().body == BODY,
                    len(self.origin.last().body))
        self.origin.taken()

    def upgrade(self):
        with connect(self.ports, "plain") as line:
            line.sendall(f"GET /admin/cable HTTP/1.1\r\nHost: {HOST}\r\nConnection: Upgrade\r\n"
                         "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                         "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode())
            head = b""
            while b"\r\n\r\n" not in head and (read := line.recv(1)):
                head += read
            self.expect("WebSocket: switches", head.startswith(b"HTTP/1.1 101 "), head)
            line.sendall(shapes.MASKED)
            echo = line.recv(len(shapes.UNMASKED), socket.MSG_WAITALL)
            self.expect("WebSocket: echoes", echo == shapes.UNMASKED, echo)
        self.arrived(self.origin.last(), "WebSocket", "admin", "plain")
        self.origin.taken()

    def http2(self, bench):
        done = subprocess.run(
            ["h2load", "-t", "1", "-c", "1", "-n", "2", "-H", "X-App: driver", "-H",
             f":authority: {HOST}", f"https://127.0.0.1:{self.ports['tls']}/orders"],
            capture_output=True, text=True)
        told = done.stdout + done.stderr
        self.expect("HTTP/2: answers", " 2 succeeded, 0 failed" in told, told)
        self.expect("HTTP/2: is spoken", "Application protocol: h2" in told, told)
        for seen in self.origin.taken():
            self.arrived(seen, "HTTP/2", "driver", "tls")


def is_address(text):
    try:
        return bool(ipaddress.ip_address(text))
    except ValueError:
        return False


def connect(ports, door):
    line = socket.create_connection(("127.0.0.1", ports[door]), timeout=10)
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if door == "plain":
        return line
    anyone = ssl.create_default_context()
    anyone.check_hostname, anyone.verify_mode = False, ssl.CERT_NONE
    anyone.set_alpn_protocols(["http/1.1"])
    return anyone.wrap_socket(line, server_hostname=HOST)


def answer(line):
    """An answer with a length: its fields, and its body."""
    read = b""
    while b"\r\n\r\n" not in read:
        part = line.recv(65536)
        if not part:
            raise ConnectionError(f"hung up after {read!r}")
        read += part
    head, _, body = read.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    fields = {name.lower(): value for name, value in (each.split(": ", 1) for each in lines)}
    if " 200" not in status or "content-length" not in fields:
        raise ValueError(head.decode())
    while len(body) < int(fields["content-length"]):
        body += line.recv(65536)
    return fields, body


class Seen:
    """A request as it has arrived, and on which connection."""

    def __init__(self, head, body, line):
        self.fields = [each.split(": ", 1) for each in head.decode().split("\r\n")[1:]]
        self.body, self.line = body, line

    def all(self, name):
        return [value for known, value in self.fields if known.lower() == name]

    def one(self, name):
        return ", ".join(self.all(name))


class Origin:
    """Remembers what it was sent, answers as Rails does, and echoes WebSocket messages."""

    def __enter__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.listener.getsockname()[1]
        self.seen = []
        threading.Thread(target=self.accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.listener.close()

    def last(self):
        return self.seen[-1]

    def taken(self):
        """All since the last time."""
        seen, self.seen = self.seen, []
        return seen

    def accept(self):
        number = 0
        while True:
            try:
                line, _ = self.listener.accept()
            except OSError:
                return
            number += 1
            threading.Thread(target=self.serve, args=[line, number], daemon=True).start()

    def serve(self, line, number):
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        rest = b""
        while True:
            while b"\r\n\r\n" not in rest:
                try:
                    read = line.recv(65536)
                except ConnectionError:
                    return
                if not read:
                    return
                rest += read
            head, _, rest = rest.partition(b"\r\n\r\n")
            length = re.search(rb"(?im)^content-length: (\d+)", head)
            while length and len(rest) < int(length[1]):
                rest += line.recv(65536)
            at = int(length[1]) if length else 0
            body, rest = rest[:at], rest[at:]
            self.seen.append(Seen(head, body, number))
            if re.search(rb"(?im)^upgrade: websocket", head):
                line.sendall(shapes.SWITCHING)
                while line.recv(len(shapes.MASKED), socket.MSG_WAITALL):
                    line.sendall(shapes.UNMASKED)
                return
            line.sendall(shapes.ANSWERS[b"/orders"])
