"""The room of one run: a certificate, the origin, and the proxies; they end with it."""

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

import proxies
import shapes
from cores import Cores
from cost import family

HERE = os.path.dirname(os.path.abspath(__file__))


class Running:
    """A proxy that runs, and where it listens."""

    def __init__(self, name, ports, program):
        self.name, self.ports, self.program = name, ports, program

    @property
    def leader(self):
        return self.program.pid


class Bench:
    def __init__(self, peers, way, fields):
        unknown = set(peers) - set(proxies.ALL)
        if unknown:
            sys.exit(f"no such peer: {', '.join(sorted(unknown))}; there are "
                     + ", ".join(proxies.ALL))
        wanted = [name for name in proxies.ALL if not peers or name in peers or name == "usher"]
        self.left_out = {name: why for name in wanted if (why := proxies.missing(name))}
        if "usher" in self.left_out:
            sys.exit("usher is not there: `cargo build --release`")
        self.names = [name for name in wanted if name not in self.left_out]
        self.cores, self.fields = Cores(way), fields
        self.programs, self.folders = [], 0

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory()
        self.room = self.folder.name
        # nginx drops its rights, and reads what lies there afterwards.
        os.chmod(self.room, 0o755)
        self.certificate()
        self.behind = {name: shapes.free_port() for name in ("origin", "count", "echo")}
        origin = proxies.origin(self.room, self.behind, self.fields)
        self.start(self.cores.other(origin), [self.behind["origin"]])
        echo = [sys.executable, os.path.join(HERE, "echo.py"), str(self.behind["echo"])]
        self.start(self.cores.other(echo), [self.behind["echo"]])
        self.counter = Counter(self.behind["count"])
        return self

    def __exit__(self, *_):
        for program in list(reversed(self.programs)):
            self.end(program)
        self.folder.cleanup()

    def certificate(self):
        key, certificate = (os.path.join(self.room, f"server.{kind}") for kind in ("key", "crt"))
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-nodes", "-days", "2", "-subj", "/CN=shop.example", "-addext",
             "subjectAltName=DNS:shop.example,IP:127.0.0.1", "-keyout", key, "-out", certificate],
            check=True, capture_output=True)
        with open(os.path.join(self.room, "both.pem"), "w") as both:
            for part in (certificate, key):
                with open(part) as file:
                    both.write(file.read())

    def proxy(self, name, workers=1, behind=None):
        """A proxy that has just started, in front of the origin, or of others."""
        self.folders += 1
        room = os.path.join(self.room, f"{name}-{self.folders}")
        os.mkdir(room)
        for part in ("server.crt", "server.key", "both.pem"):
            shutil.copy(os.path.join(self.room, part), room)
        ports = (behind or self.behind) | {door: shapes.free_port() for door in ("plain", "tls")}
        command = proxies.ALL[name](room, ports, workers)
        program = self.start(self.cores.proxy(command), [ports["plain"], ports["tls"]])
        return Running(name, ports, program)

    def start(self, command, ports):
        """The process that a program runs as, once it accepts connections."""
        path = os.path.join(self.room, f"{ports[0]}.out")
        program = subprocess.Popen(command, stdout=open(path, "w"), stderr=subprocess.STDOUT)
        self.programs.append(program)
        for port in ports:
            while not shapes.answers(port):
                if program.poll() is not None:
                    with open(path) as file:
                        sys.exit(f"{' '.join(command)} did not start:\n{file.read()}")
                time.sleep(0.05)
        return program

    def end(self, program):
        """At once: some would wait for their clients for minutes, and none has anything to keep.
        One with children (nginx) is asked, as it alone takes them along."""
        self.programs.remove(program)
        if program.poll() is None and len(family(program.pid)) == 1:
            program.kill()
        program.terminate()
        try:
            program.wait(10)
        except subprocess.TimeoutExpired:
            program.kill()
            program.wait()

    def client(self, command):
        """A client that runs until it is ended."""
        program = subprocess.Popen(self.cores.other(command), stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, text=True)
        self.programs.append(program)
        return program

    def versions(self):
        told = {}
        for name in self.names:
            program, arguments = proxies.PROGRAMS[name](), proxies.VERSIONS[name]
            done = subprocess.run([program, *arguments], capture_output=True, text=True)
            told[name] = re.search(r"\d+\.\d+[\d.]*", done.stdout + done.stderr)[0]
        return told


class Counter:
    """How many requests the origin has had, as it tells itself."""

    def __init__(self, port):
        self.line = socket.create_connection(("127.0.0.1", port))
        self.line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.asked = 0

    def requests(self):
        """But for those that asked here."""
        self.line.sendall(b"GET / HTTP/1.1\r\nHost: origin\r\n\r\n")
        self.asked += 1
        answer = b""
        while b"Writing" not in answer:
            answer += self.line.recv(4096) or sys.exit("the origin hung up")
        return int(re.search(rb"requests\s+\d+ \d+ (\d+)", answer)[1]) - self.asked
