"""The requests that are counted, the stand-in that answers them, and who sends them."""

import base64
import functools
import hashlib
import hmac
import json
import socket
import ssl
import subprocess
import sys
import threading
import time

# What a phone sends: an app's own fields, a session's cookie, a token of 500 bytes.
PHONE = "".join(f"{name}: {value}\r\n" for name, value in [
    ("Accept", "application/json"),
    ("Accept-Encoding", "gzip, deflate, br"),
    ("Accept-Language", "en-GB,en;q=0.9,de;q=0.7"),
    ("Authorization", "Bearer " + "eyJhbGciOiJFUzI1NiJ9." + "c" * 390 + "." + "s" * 86),
    ("Cache-Control", "no-cache"),
    ("Cookie", "_shop_session=" + "k" * 320 + "; visitor=8f14e45f; ab=3; consent=all"),
    ("If-None-Match", 'W/"6d82cbb050ddc7fa9cbb659014546e59"'),
    ("Referer", "https://shop.example/menus"),
    ("Sec-Fetch-Dest", "empty"),
    ("Sec-Fetch-Mode", "cors"),
    ("Sec-Fetch-Site", "same-origin"),
    ("User-Agent", "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 "
                   "(KHTML, like Gecko) Version/17.4 Mobile/15E148 Safari/604.1"),
    ("X-App-Build", "5210"),
    ("X-App-Version", "5.2.1"),
    ("X-Device-Id", "9b2f4c1e-6f0a-4b57-9a2c-0d6f3f1f7f10"),
    ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
])

# What Rails says beside an answer.
RAILS = "".join(f"{name}: {value}\r\n" for name, value in [
    ("X-Frame-Options", "SAMEORIGIN"),
    ("X-XSS-Protection", "1; mode=block"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Download-Options", "noopen"),
    ("X-Permitted-Cross-Domain-Policies", "none"),
    ("Referrer-Policy", "strict-origin-when-cross-origin"),
    ("Content-Type", "application/json; charset=utf-8"),
    ("Vary", "Accept"),
    ("ETag", 'W/"6d82cbb050ddc7fa9cbb659014546e59"'),
    ("Cache-Control", "max-age=0, private, must-revalidate"),
    ("Set-Cookie", "_shop_session=" + "k" * 320 + "; path=/; HttpOnly; SameSite=Lax"),
    ("X-Request-Id", "8e1f2b64-7a53-4c1e-9d0b-2f6f3e1a7c55"),
    ("X-Runtime", "0.006443"),
])


def answer(length, fields=""):
    return (f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n{fields}\r\n").encode() + b"x" * length


ANSWERS = {
    b"/menus/1": answer(1024),
    b"/graphql": answer(1024),
    b"/orders": answer(1024, RAILS),
}

# What a large answer comes in: so little that a piece is there as a whole, or not yet.
PIECE = 32 << 10
PIECES = 32

SWITCHING = (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
             b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")

# A text of 32 bytes, as a client masks it and as a server says it.
MASKED = b"\x81\xa0\0\0\0\0" + b"m" * 32
UNMASKED = b"\x81\x20" + b"m" * 32


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answers(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@functools.cache
def anyone():
    """A client that believes everybody, and takes up no session again."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def exactly(connection, count):
    """That many bytes, or the end of this program: what was counted would be wrong."""
    left = count
    while left:
        got = len(connection.recv(min(left, 1 << 18)))
        if got == 0:
            sys.exit(f"usher hung up with {left} of {count} bytes still to come")
        left -= got


class Origin:
    """Answers by path, with answers that were made before."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.wanted = threading.Semaphore(0)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            connection, _ = self.listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self.serve, args=[connection], daemon=True).start()

    def serve(self, connection):
        rest = b""
        while True:
            while b"\r\n\r\n" not in rest:
                read = connection.recv(65536)
                if not read:
                    return
                rest += read
            head, _, rest = rest.partition(b"\r\n\r\n")
            path = head.split(b" ", 2)[1].partition(b"?")[0]
            if path == b"/cable":
                connection.sendall(SWITCHING)
                return self.echo(connection)
            for line in head.split(b"\r\n"):
                if line.lower().startswith(b"content-length:"):
                    exactly(connection, int(line[15:]) - len(rest))
                    rest = b""
            if path == b"/large":
                self.piecemeal(connection)
            else:
                connection.sendall(ANSWERS[path])

    def piecemeal(self, connection):
        """A large answer, no piece of it before it is wanted."""
        connection.sendall(answer(PIECES * PIECE)[:-PIECES * PIECE])
        for _ in range(PIECES):
            self.wanted.acquire()
            connection.sendall(b"x" * PIECE)

    def echo(self, connection):
        while connection.recv(len(MASKED), socket.MSG_WAITALL):
            connection.sendall(UNMASKED)


# How far a count may rise above what is recorded, as a share of it.
SLACK = 0.05


class Http1:
    """One request after the other on a connection; the answers are all alike."""

    def __init__(self, few, path, method="GET", fields="", body=b"", tls=False, slack=SLACK,
                 about=None):
        self.few, self.slack, self.about = few, slack, about
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        self.request = (f"{method} {path} HTTP/1.1\r\nHost: shop.example\r\n{fields}{length}"
                        "\r\n").encode() + body
        self.tls = tls

    def run(self, ports, origin, requests):
        with self.connect(ports) as connection:
            connection.sendall(self.request)
            length = self.first(connection)
            for _ in range(requests - 1):
                connection.sendall(self.request)
                exactly(connection, length)

    def connect(self, ports):
        plain = socket.create_connection(("127.0.0.1", ports["tls" if self.tls else "plain"]))
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return anyone().wrap_socket(plain, server_hostname="localhost") if self.tls else plain

    def first(self, connection):
        """Bytes of an answer, found out from the first."""
        read = b""
        while b"\r\n\r\n" not in read:
            read += connection.recv(65536) or sys.exit("usher hung up before it answered")
        head, _, body = read.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200 "):
            sys.exit(f"usher answered {head.decode()}")
        lengths = [line[15:] for line in head.split(b"\r\n")
                   if line.lower().startswith(b"content-length:")]
        exactly(connection, int(lengths[0]) - len(body))
        return len(head) + 4 + int(lengths[0])


class Large(Http1):
    """An answer of 1 MiB, which comes as the client reads it. Were it sent at once, how many reads
    usher takes for it, and so what it costs, would be for the system to say."""

    def run(self, ports, origin, requests):
        with self.connect(ports) as connection:
            for _ in range(requests):
                connection.sendall(self.request)
                head = b""
                while not head.endswith(b"\r\n\r\n"):
                    head += connection.recv(1) or sys.exit("usher hung up before it answered")
                for _ in range(PIECES):
                    origin.wanted.release()
                    exactly(connection, PIECE)


class Connections(Http1):
    """Connections one after the other, each with one request; over TLS each shakes hands anew."""

    def run(self, ports, origin, requests):
        for _ in range(requests):
            with self.connect(ports) as connection:
                connection.sendall(self.request)
                self.first(connection)


class Http2:
    """By h2load, one stream at a time."""

    slack, about = SLACK, None

    def __init__(self, few, path, fields, tls=False):
        self.few, self.path, self.tls = few, path, tls
        lines = fields.rstrip("\r\n").split("\r\n")
        self.fields = [part for line in lines for part in ("-H", line)]

    def run(self, ports, origin, requests):
        url = (f"https://localhost:{ports['tls']}" if self.tls
               else f"http://127.0.0.1:{ports['plain']}")
        done = subprocess.run(
            ["h2load", "-t", "1", "-c", "1", "-m", "1", "-n", str(requests), *self.fields,
             url + self.path], capture_output=True, text=True)
        if f" {requests} succeeded, 0 failed" not in done.stdout:
            sys.exit(done.stdout + done.stderr)


class Messages:
    """WebSocket messages, each answered by one."""

    few, slack, about = 1000, SLACK, None

    def run(self, ports, origin, requests):
        with socket.create_connection(("127.0.0.1", ports["plain"])) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.sendall(
                b"GET /cable HTTP/1.1\r\nHost: shop.example\r\nConnection: Upgrade\r\n"
                b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
            head = b""
            while b"\r\n\r\n" not in head:
                head += connection.recv(1) or sys.exit("usher hung up before its 101")
            if b" 101 " not in head:
                sys.exit(f"usher answered {head.decode()}")
            for _ in range(requests):
                connection.sendall(MASKED)
                exactly(connection, len(UNMASKED))


SMALL = "Accept: text/html, */*\r\nCookie: visitor=1\r\n"

SECRET = "0123456789abcdef0123456789abcdef"


def token():
    """A JSON Web Token of user 42, signed with SECRET."""
    def part(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=")
    claims = {"iss": "https://id.example.com/", "sub": "42", "aud": "shop",
              "exp": int(time.time()) + 86400, "scope": "openid profile email",
              "jti": "3f2a91c0-8d3e-4c55-9d1b-2b6f0f7f3c11"}
    signed = part(b'{"alg":"HS256","typ":"JWT"}') + b"." + part(json.dumps(claims).encode())
    mac = hmac.new(SECRET.encode(), signed, hashlib.sha256).digest()
    return (signed + b"." + part(mac)).decode()


# What Apollo's clients send.
QUERY = ("mutation PlaceOrder($order: OrderInput!) {\n  placeOrder(order: $order) {\n    id state\n"
         "    restaurant { id name }\n    items { id count price { amount currency } }\n  }\n}")
OPERATION = json.dumps({
    "operationName": "PlaceOrder", "query": QUERY,
    "variables": {"order": {"items": [{"id": "8f14e45f-ceea-467f", "count": 2}],
                            "note": "leave it at the door"}}}).encode()
HASH = "ecf4edb46db40b5132295c0291d62fb65d6759a9eedfa4d5d612dd5ec54a6b38"
PERSISTED = ("/graphql?extensions=%7B%22persistedQuery%22%3A%7B%22version%22%3A1%2C"
             f"%22sha256Hash%22%3A%22{HASH}%22%7D%7D")
JSON = "Content-Type: application/json\r\n"
NAMED = JSON + "X-Apollo-Operation-Name: PlaceOrder\r\n"
BEARER = f"Authorization: Bearer {token()}\r\n"
NEW = "X-App-Version: 5.9.1\r\nX-Device-Id: 9b2f4c1e-6f0a-4b57-9a2c-0d6f3f1f7f10\r\n"
OLD = NEW.replace("5.9.1", "5.1.1")
AGENT = "User-Agent: Shop/5.9.1 (iPhone; iOS 17.4; Scale/3.00)\r\n"


def graphql(path, fields, about):
    # How many reads the body takes depends on how it arrives.
    return Http1(300, path, "POST", SMALL + fields, OPERATION, slack=0.1, about=about)


ALL = {
    "GET of 1 KiB": Http1(500, "/menus/1", fields=SMALL),
    "GET of 1 KiB by a phone, Rails' fields": Http1(500, "/orders", fields=PHONE),
    "POST of 10 KB": Http1(300, "/orders", "POST", PHONE, b"p" * 10_000),
    "GET of 1 MiB, 32 KiB at a time": Large(20, "/large", fields=SMALL, slack=0.1),
    "GET of 1 KiB, TLS": Http1(500, "/menus/1", fields=SMALL, tls=True),
    "GET of 1 KiB, HTTP/2": Http2(500, "/menus/1", SMALL),
    "GET of 1 KiB, HTTP/2 over TLS": Http2(500, "/menus/1", SMALL, tls=True),
    "GET of 1 KiB by a phone, Rails' fields, HTTP/2": Http2(500, "/orders", PHONE),
    "connection with one GET": Connections(200, "/menus/1", fields=SMALL, slack=0.1),
    "connection with one GET, TLS": Connections(
        100, "/menus/1", fields=SMALL, tls=True, slack=0.1),
    "WebSocket message and answer": Messages(),
    "GET with a token, nobody looks at it": Http1(500, "/menus/1", fields=SMALL + BEARER),
    "GET with a token that is remembered": Http1(
        500, "/menus/1", fields=SMALL + BEARER, about="users"),
    "GET without a token, where one may come": Http1(500, "/menus/1", fields=SMALL, about="users"),
    "GET of 1 KiB, a rule by operation elsewhere": Http1(
        500, "/menus/1", fields=SMALL, about="operations"),
    "POST of an operation, no rule by it": graphql("/graphql", NAMED, None),
    "POST of an operation, said by a field": graphql("/graphql", NAMED, "operations"),
    "POST of an operation, said in the target": graphql(
        "/graphql?operationName=PlaceOrder", JSON, "operations"),
    "POST of an operation, by a document's id": graphql(PERSISTED, JSON, "documents"),
    "POST of an operation, said in the body": graphql("/graphql", JSON, "operations"),
    "GET by an app, no versions": Http1(500, "/menus/1", fields=SMALL + NEW),
    "GET by an app, its version in a field": Http1(
        500, "/menus/1", fields=SMALL + NEW, about="versions"),
    "GET by an app, its version in User-Agent": Http1(
        500, "/menus/1", fields=SMALL + AGENT, about="versions"),
    "GET by an app, User-Agent, no versions": Http1(500, "/menus/1", fields=SMALL + AGENT),
    "GET by an old app, in a brown-out": Http1(
        500, "/menus/1", fields=SMALL + OLD, about="brownout"),
}
