#!/usr/bin/env python3
"""Agrees to any WebSocket and answers each message of the one kind that is sent: echo.py PORT."""

import os
import selectors
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
                                "instructions"))
sys.dont_write_bytecode = True

import shapes


def main():
    listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=512)
    lines = selectors.DefaultSelector()
    lines.register(listener, selectors.EVENT_READ)
    while True:
        for key, _ in lines.select():
            if key.fileobj is listener:
                line = listener.accept()[0]
                line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                lines.register(line, selectors.EVENT_READ, Line())
            elif not key.data.serve(key.fileobj):
                lines.unregister(key.fileobj)
                key.fileobj.close()


class Line:
    """What has come of a head or of a message that is not whole yet."""

    def __init__(self):
        self.head, self.rest = b"", None

    def serve(self, line):
        """Whether the line goes on."""
        try:
            read = line.recv(65536)
        except ConnectionError:
            return False
        if not read:
            return False
        if self.rest is None:
            self.head += read
            if b"\r\n\r\n" in self.head:
                self.rest = 0
                line.sendall(shapes.SWITCHING)
            return True
        whole, self.rest = divmod(self.rest + len(read), len(shapes.MASKED))
        line.sendall(shapes.UNMASKED * whole)
        return True


if __name__ == "__main__":
    main()
