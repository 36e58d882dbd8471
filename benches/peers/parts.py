"""The origin and all proxies of one run; they end with it."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import loads
import proxies
import shapes


class Bench:
    def __init__(self, peers, workers):
        unknown = set(peers) - set(proxies.ALL)
        if unknown:
            sys.exit(f"no such peer: {', '.join(sorted(unknown))}; there are "
                     + ", ".join(proxies.ALL))
        self.wanted = [name for name in proxies.ALL if not peers or name in peers or name == "usher"]
        self.workers = workers
        self.programs, self.running, self.left_out = [], {}, {}

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory()
        room = self.room = self.folder.name
        # nginx drops its rights, and reads what lies there afterwards.
        os.chmod(room, 0o755)
        self.certificate()
        behind = {"origin": shapes.free_port(), "echo": Echo().port}
        self.start(proxies.origin(room, behind, loads.RAILS), [behind["origin"]])
        for name in self.wanted:
            ports = behind | {"plain": shapes.free_port(), "tls": shapes.free_port()}
            command = proxies.ALL[name](room, ports, self.workers)
            if not shutil.which(command[0]):
                self.left_out[name] = f"{os.path.basename(command[0])} is not there"
                continue
            doors = ["plain"] if name in proxies.PLAIN_ONLY else ["plain", "tls"]
            leader = self.start(command, [ports[door] for door in doors])
            self.running[name] = (ports, leader)
        if "usher" not in self.running:
            sys.exit("usher is not there: `cargo build --release`")
        return self

    def __exit__(self, *_):
        for program in reversed(self.programs):
            program.send_signal(signal.SIGTERM)
        for program in reversed(self.programs):
            try:
                program.wait(10)
            except subprocess.TimeoutExpired:
                program.kill()
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
        return program.pid

    def versions(self):
        told = {}
        for name in self.running:
            command = proxies.ALL[name](self.room, dict.fromkeys(PORTS, 0), 1)
            program = next(part for part in command if "=" not in part and part != "env")
            done = subprocess.run([program, *proxies.VERSIONS[name]], capture_output=True, text=True)
            told[name] = re.search(r"\d+\.\d+[\d.]*", done.stdout + done.stderr)[0]
        return told


PORTS = ("origin", "echo", "plain", "tls")


class Echo:
    """Agrees to any WebSocket, and answers each message of the one kind that is sent."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            line, _ = self.listener.accept()
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self.serve, args=[line], daemon=True).start()

    def serve(self, line):
        head = b""
        while b"\r\n\r\n" not in head:
            read = line.recv(65536)
            if not read:
                return
            head += read
        line.sendall(shapes.SWITCHING)
        while line.recv(len(shapes.MASKED), socket.MSG_WAITALL):
            line.sendall(shapes.UNMASKED)
