"""An origin that echoes messages, or misbehaves as its path says.

    python origin.py

Writes its port on the first line of standard output, and serves until it is killed.
"""

import logging
import socket
import struct

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import serve

MESSAGE_BYTES_MAX = 20 * 1024 * 1024

# What is written to the client's socket as it stands, by path.
RAW = {
    "/raw/reserved-bit": b"\xc1\x02hi",
    "/raw/reserved-opcode": b"\x83\x02hi",
    "/raw/masked": b"\x81\x82\x00\x00\x00\x00hi",
    "/raw/bad-utf8": b"\x81\x02\xc3\x28",
    "/raw/long-ping": b"\x89\x7e\x00\x7e" + b"x" * 126,
    "/raw/fragmented-ping": b"\x09\x02hi",
    "/raw/stray-continuation": b"\x80\x02hi",
    "/raw/new-text-within-text": b"\x01\x02hi\x81\x02hi",
    "/raw/not-minimal": b"\x81\x7e\x00\x02hi",
    "/raw/too-large": b"\x81\x7f" + struct.pack("!Q", 1 << 62),
    "/raw/close-with-one-byte": b"\x88\x01\x03",
    "/raw/close-1005": b"\x88\x02" + struct.pack("!H", 1005),
    "/raw/close-with-bad-utf8": b"\x88\x04" + struct.pack("!H", 1000) + b"\xc3\x28",
    "/raw/half-a-frame": b"\x81\x05he",
    "/raw/http": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
}

# Behind these a client would wait for more.
UNENDING = ("/raw/not-minimal", "/raw/too-large", "/raw/half-a-frame", "/raw/http")


def handle(connection):
    path = connection.request.path
    try:
        if path.startswith("/raw/"):
            connection.socket.sendall(RAW[path])
            if path in UNENDING:
                connection.socket.shutdown(socket.SHUT_WR)
            connection.recv(timeout=5)
        elif path == "/abort":
            connection.recv()
            linger = struct.pack("ii", 1, 0)
            connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            connection.socket.close()
        elif path == "/vanish":
            connection.recv()
            connection.socket.shutdown(socket.SHUT_RDWR)
        elif path == "/ping":
            assert connection.ping(b"are you there").wait(5)
            connection.send("you are")
            connection.close()
        elif path == "/fragments":
            connection.send(["one ", "", "message"])
            connection.send([b"and", b" another"])
            connection.close()
        elif path.startswith("/close/"):
            connection.close(int(path.removeprefix("/close/")), "as you wish")
        else:
            for message in connection:
                connection.send(message)
    except (ConnectionClosed, TimeoutError, OSError):
        pass


def choose(_, offered):
    return next((name for name in ("v2", "chat") if name in offered), None)


logging.disable(logging.CRITICAL)
with serve(
    handle,
    "127.0.0.1",
    0,
    max_size=MESSAGE_BYTES_MAX,
    select_subprotocol=choose,
    ping_interval=None,
    close_timeout=5,
) as server:
    print(server.socket.getsockname()[1], flush=True)
    server.serve_forever()
