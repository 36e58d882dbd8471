"""Plays every case against an echo origin, and writes what came of it.

    python client.py ws://HOST:PORT

One line a case: its name, and what the client saw. The same lines must come out whether the origin
is asked directly or through usher.
"""

import hashlib
import itertools
import json
import socket
import struct
import sys
from urllib.parse import urlsplit

from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

PATIENCE = 20
TEXT, BINARY, CONTINUATION, CLOSE, PING, PONG = 1, 2, 0, 8, 9, 10


def digest(data):
    """Short data as it is, long data by its length and hash."""
    raw = data.encode() if isinstance(data, str) else data
    if len(raw) <= 130:
        return data if isinstance(data, str) else "0x" + raw.hex()
    return f"{type(data).__name__} of {len(raw)}: {hashlib.sha256(raw).hexdigest()[:16]}"


def closed(error):
    received, sent = error.rcvd, error.sent
    frame = lambda close: close and [close.code, close.reason]
    return {"closed": frame(received), "answered": frame(sent), "first": error.rcvd_then_sent}


# --- With the library on both sides ---------------------------------------------------------------


def speak(url, path, *messages, **options):
    """Sends messages, and reads as many back; then closes, or hears the other close."""
    options = {"compression": None, "max_size": None, "ping_interval": None} | options
    seen = []
    try:
        with connect(url + path, proxy=None, close_timeout=PATIENCE, **options) as connection:
            seen.append({"protocol": connection.subprotocol})
            extensions = connection.response.headers.get("Sec-WebSocket-Extensions")
            seen.append({"extensions": extensions})
            for message in messages:
                connection.send(message)
                seen.append(digest(connection.recv(timeout=PATIENCE)))
            if path != "/":
                while True:
                    seen.append(digest(connection.recv(timeout=PATIENCE)))
            connection.close(1001, "enough")
            connection.recv(timeout=PATIENCE)
    except ConnectionClosed as error:
        seen.append(closed(error))
    except InvalidStatus as error:
        seen.append({"status": error.response.status_code})
    return seen


def pinged(url, payload):
    with connect(url + "/", proxy=None, ping_interval=None) as connection:
        answered = connection.ping(payload).wait(PATIENCE)
        connection.send("after")
        return [answered, digest(connection.recv(timeout=PATIENCE))]


def pipelined(url, count):
    with connect(url + "/", proxy=None, ping_interval=None) as connection:
        for number in range(count):
            connection.send(f"message {number}")
        return digest("".join(connection.recv(timeout=PATIENCE) for _ in range(count)))


def conversations(url):
    for size in (0, 1, 125, 126, 127, 128, 65535, 65536, 65537, 1 << 20, 4 << 20):
        yield f"text of {size}", lambda s=size: speak(url, "/", "ä" * (s // 2) + "x" * (s % 2))
        yield f"binary of {size}", lambda s=size: speak(url, "/", bytes(s))
    yield "binary of 16 MiB", lambda: speak(url, "/", bytes(range(256)) * (1 << 16))
    yield "too large a message", lambda: speak(url, "/", bytes(21 << 20))
    yield "many messages", lambda: speak(url, "/", *(f"message {n}" for n in range(200)))
    yield "messages that do not wait for each other", lambda: pipelined(url, 500)
    yield "fragments", lambda: speak(url, "/", ["Hel", "lo", ""], [b"a", b"b" * 70000, b"c"])
    yield "a thousand fragments", lambda: speak(url, "/", ["x"] * 1000)
    yield "compressed", lambda: speak(url, "/", "x" * 100_000, b"y" * 10, compression="deflate")
    yield "a protocol", lambda: speak(url, "/", "x", subprotocols=["chat", "v2"])
    yield "an unknown protocol", lambda: speak(url, "/", "x", subprotocols=["v9"])
    for payload in (b"", b"x", b"x" * 125):
        yield f"ping of {len(payload)}", lambda p=payload: pinged(url, p)
    yield "ping from the origin", lambda: speak(url, "/ping")
    yield "fragments from the origin", lambda: speak(url, "/fragments")
    for code in (1000, 1001, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 4999):
        yield f"close {code} from the origin", lambda c=code: speak(url, f"/close/{c}")
    for path in ("abort", "vanish"):
        yield f"{path} from the origin", lambda p=path: speak(url, "/" + p, "now")
    for name in RAW_ANSWERS:
        yield f"{name} from the origin", lambda n=name: speak(url, "/raw/" + n)


RAW_ANSWERS = (
    "reserved-bit reserved-opcode masked bad-utf8 long-ping fragmented-ping stray-continuation "
    "new-text-within-text not-minimal too-large close-with-one-byte close-1005 "
    "close-with-bad-utf8 half-a-frame http"
).split()


# --- With bytes of ours ---------------------------------------------------------------------------


def frame(opcode, payload=b"", final=True, reserved=0, mask=b"\x01\x02\x03\x04"):
    first = (0x80 if final else 0) | reserved << 4 | opcode
    masked = 0x80 if mask else 0
    if len(payload) < 126:
        head = struct.pack("!BB", first, masked | len(payload))
    elif len(payload) < 1 << 16:
        head = struct.pack("!BBH", first, masked | 126, len(payload))
    else:
        head = struct.pack("!BBQ", first, masked | 127, len(payload))
    if not mask:
        return head + payload
    return head + mask + bytes(b ^ m for b, m in zip(payload, itertools.cycle(mask)))


def closing(code, reason=b""):
    return frame(CLOSE, struct.pack("!H", code) + reason)


def tell(url, *pieces, half_close=False):
    """Writes pieces behind a handshake, and returns every byte that comes until the end.

    A number among the pieces waits until so many bytes have come: what the origin answers in two
    threads of its own has no order but that.
    """
    address = urlsplit(url)
    with socket.create_connection((address.hostname, address.port), PATIENCE) as stream:
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stream.sendall(
            b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        seen = b""
        while b"\r\n\r\n" not in seen:
            seen += stream.recv(1)
        seen = b""
        try:
            for piece in pieces:
                if isinstance(piece, bytes):
                    stream.sendall(piece)
                    continue
                while len(seen) < piece and (data := stream.recv(65536)):
                    seen += data
            if half_close:
                stream.shutdown(socket.SHUT_WR)
            while data := stream.recv(65536):
                seen += data
        except (BrokenPipeError, ConnectionResetError):
            pass  # The end is seen as it comes: a reset says no more than a close does.
        return digest(seen)


def hostilities():
    end = closing(1000)
    yield "a ping within a fragmented text", [
        frame(TEXT, b"Hel", final=False), frame(PING, b"?"), frame(CONTINUATION, b"lo"), 10, end]
    yield "ten pings", [frame(PING, bytes([48 + n])) for n in range(10)] + [30, end]
    yield "an unasked pong", [frame(PONG, b"!"), frame(TEXT, b"x"), 3, end]
    yield "frames in single bytes", [
        bytes([byte]) for byte in frame(TEXT, "häppchen".encode())] + [11, end]
    yield "a code point over two fragments", [
        frame(TEXT, b"\xc3", final=False), frame(CONTINUATION, b"\xa4"), 4, end]
    yield "a length that could be shorter", [b"\x81\xfe\x00\x01\0\0\0\0x", 3, end]
    yield "an empty close", [frame(CLOSE)]
    yield "a close with a reason", [closing(1000, "gewiß".encode())]
    for code in (0, 999, 1000, 1001, 1002, 1003, 1004, 1005, 1006, 1007, 1011, 1012, 1014, 1015,
                 1016, 1100, 2000, 2999, 3000, 3999, 4000, 4999, 5000, 65535):
        yield f"close {code}", [closing(code)]
    # Behind these the origin closes by itself, and nothing more may be on its way then.
    for name, text in (
        ("a stray continuation byte", b"\x80"),
        ("an overlong slash", b"\xc0\xaf"),
        ("a surrogate", b"\xed\xa0\x80"),
        ("a code point over the last", b"\xf4\x90\x80\x80"),
        ("half a code point", b"x\xf0\x9f"),
    ):
        yield f"text with {name}", [frame(TEXT, text)]
        yield f"fragments with {name}", [
            frame(TEXT, text[:1], final=False) + frame(CONTINUATION, text[1:])]
    for reserved in (1, 2, 4, 7):
        yield f"reserved bits {reserved}", [frame(TEXT, b"x", reserved=reserved)]
    for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
        yield f"opcode {opcode}", [frame(opcode, b"x")]
    yield "an unmasked frame", [frame(TEXT, b"x", mask=b"")]
    yield "a fragmented ping", [frame(PING, b"x", final=False)]
    yield "a ping of 126", [frame(PING, b"x" * 126)]
    yield "a close of 126", [frame(CLOSE, struct.pack("!H", 1000) + b"x" * 124)]
    yield "a close of one byte", [frame(CLOSE, b"\x03")]
    yield "a close whose reason is no text", [closing(1000, b"\xc3\x28")]
    yield "a continuation of nothing", [frame(CONTINUATION, b"x")]
    yield "a text within a text", [frame(TEXT, b"x", final=False) + frame(TEXT, b"y")]
    yield "a length beyond all bounds", [b"\x82\xff" + b"\xff" * 8 + b"\0" * 4]
    yield "a request in place of a frame", [b"GET /admin HTTP/1.1\r\nHost: a\r\n\r\n"]
    yield "two closes", [closing(1000) + closing(1001)]
    yield "a ping behind a close", [closing(1000) + frame(PING, b"x")]


def half_closes():
    yield "the end without a close", []
    yield "the end behind a text", [frame(TEXT, b"x"), 3]
    yield "the end within a head", [frame(TEXT, b"x")[:1]]
    yield "the end within a payload", [frame(TEXT, b"xyz")[:-1]]
    yield "the end within fragments", [frame(TEXT, b"x", final=False)]
    yield "the end behind a close", [closing(1000)]


def main(url):
    cases = list(conversations(url))
    cases += [(name, lambda p=pieces: tell(url, *p)) for name, pieces in hostilities()]
    cases += [(name, lambda p=pieces: tell(url, *p, half_close=True))
              for name, pieces in half_closes()]
    for name, play in cases:
        print(json.dumps([name, play()]), flush=True)


main(sys.argv[1])
