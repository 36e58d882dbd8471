"""Reads corpus.txt, whose first lines say how it is written.

As a program it writes each input into a file of its own: python3 tests/http/corpus.py FOLDER
"""
import pathlib
import re
import sys

NEXT = b"GET /next HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n"
REPEAT = re.compile(r"\{(\d+)\*([^{}]*)\}")
ESCAPE = re.compile(rb"\\(r|n|t|\\|x[0-9a-fA-F]{2})")
PLAIN = {b"r": b"\r", b"n": b"\n", b"t": b"\t", b"\\": b"\\"}


class Group:
    """Cases that differ in one place."""

    def __init__(self, text):
        self.title, *lines = text.splitlines()
        self.keys, self.items, frame = {}, [], ""
        for line in lines:
            if not line or line.startswith("#"):
                continue
            rest = line[2:] if line[1:2] == " " else line[1:]
            if line[0] == ">":
                frame += rest + "\\r\\n"
            elif line[0] == "+":
                frame += rest
            elif line[0] == "-":
                self.items.append(rest)
            else:
                key, value = line.split(": ", 1)
                self.keys.setdefault(key, []).append(value)
        self.frame = frame

    def cases(self):
        """Each item (None if there are none) and its bytes."""
        if not self.items:
            yield None, unescape(self.frame)
        for item in self.items:
            yield item, unescape(self.frame.replace("@", item))

    def words(self):
        return self.keys["expect"][0].split(" ")

    def sent(self, data):
        """The bytes, with a plain request behind them where the client does not leave."""
        return data if self.words()[-1] == "left" else data + NEXT


def unescape(text):
    while REPEAT.search(text):
        text = REPEAT.sub(lambda found: int(found[1]) * found[2], text)

    def byte(found):
        name = found[1]
        return bytes([int(name[1:], 16)]) if name[:1] == b"x" else PLAIN[name]

    return ESCAPE.sub(byte, text.encode())


def groups():
    text = pathlib.Path(__file__).with_name("corpus.txt").read_text()
    return [Group(part) for part in text.split("\n== ")[1:]]


if __name__ == "__main__":
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    inputs = [group.sent(data) for group in groups() for _, data in group.cases()]
    for number, data in enumerate(inputs):
        # What is longer shows a fuzzer nothing but a limit.
        if len(data) < 20_000:
            (folder / f"corpus-{number:03}").write_bytes(data)
