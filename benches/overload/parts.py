"""What the bench starts: usher and its peers, Puma and its stand-in."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
# A Debian below a folder, whose Puma is another one: see `tests/run --long`.
PUMA_ROOT = os.environ.get("PUMA_ROOT")
USHER = os.environ.get("USHER", os.path.join(TOP, "target", "release", "usher"))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Parts:
    """Programs of one scene. They end with it."""

    def __init__(self):
        self.room = tempfile.TemporaryDirectory()
        self.running = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for program in reversed(self.running):
            program.send_signal(signal.SIGTERM)
        for program in reversed(self.running):
            try:
                program.wait(10)
            except subprocess.TimeoutExpired:
                program.kill()
        self.room.cleanup()

    def start(self, port, *command, **options):
        out = open(os.path.join(self.room.name, f"{port}.out"), "w+")
        program = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, **options)
        program.out = out
        self.running.append(program)
        for _ in range(400):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return program
            if program.poll() is not None:
                break
            time.sleep(0.05)
        out.seek(0)
        sys.exit(f"{command[0]} did not start:\n{out.read()}")

    def file(self, name, text):
        path = os.path.join(self.room.name, name)
        with open(path, "w") as file:
            file.write(text)
        return path

    def origin(self, threads):
        port = free_port()
        path = os.path.join(HERE, "origin.py")
        return port, self.start(port, sys.executable, path, str(port), str(threads))

    def puma(self, threads, workers=0):
        port = free_port()
        command = ["puma", "-q", "-e", "production", "-t", f"{threads}:{threads}", "-w", str(workers)]
        app = os.path.join(HERE, "app.ru")
        if PUMA_ROOT:
            app = shutil.copy(app, os.path.join(PUMA_ROOT, "tmp", f"app-{port}.ru"))
            command = ["chroot", PUMA_ROOT, "env", "PWD=/", *command]
            app = os.path.join("/tmp", os.path.basename(app))
        return port, self.start(port, *command, "-b", f"tcp://127.0.0.1:{port}", app)

    def usher(self, pools, capacity, more="", audiences=None, workers=2):
        port, metrics = free_port(), free_port()
        audiences = audiences or [("everyone", None)]
        lines = [
            f"listeners: [{{ bind: 127.0.0.1:{port} }}]",
            f"control: off\nmetrics: {{ bind: 127.0.0.1:{metrics} }}",
            f"access_log: off\nworkers: {workers}\ndrain: {{ grace: 0s }}",
            "limits: { per_client: 20000 }",
            "audiences:",
        ]
        for name, host in audiences:
            match = f", match: [{{ host: {host} }}]" if host else ""
            lines.append(f"  - {{ name: {name}, pool: {name}{match} }}")
        lines.append("pools:")
        for (name, _), ports in zip(audiences, pools):
            endpoints = ", ".join(f"127.0.0.1:{port}" for port in ports)
            lines.append(f"  {name}: {{ endpoints: [{endpoints}], capacity: {capacity}{more} }}")
        path = self.file("usher.yaml", "\n".join(lines) + "\n")
        self.start(port, USHER, "run", "--config", path)
        return port, metrics

    def haproxy(self, ports, maxconn, reuse):
        port = free_port()
        servers = "\n".join(
            f"  server s{n} 127.0.0.1:{to} maxconn {maxconn}" for n, to in enumerate(ports)
        )
        path = self.file(
            f"haproxy-{port}.cfg",
            "global\n  nbthread 2\n  maxconn 4000\n"
            "defaults\n  mode http\n  timeout connect 1s\n  timeout client 75s\n"
            "  timeout server 60s\n  timeout queue 1s\n  option abortonclose\n  retries 0\n"
            f"frontend all\n  bind 127.0.0.1:{port}\n  default_backend all\n"
            f"backend all\n  balance leastconn\n  http-reuse {reuse}\n{servers}\n",
        )
        self.start(port, "/usr/sbin/haproxy", "-db", "-f", path)
        return port

    def nginx(self, ports, keeps):
        port = free_port()
        servers = " ".join(f"server 127.0.0.1:{to} max_fails=0;" for to in ports)
        kept = 'proxy_http_version 1.1; proxy_set_header Connection "";' if keeps else ""
        temporary = " ".join(
            f"{kind}_temp_path {self.room.name}/{kind};"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        path = self.file(
            f"nginx-{port}.conf",
            f"daemon off; worker_processes 2; pid {self.room.name}/{port}.pid;\n"
            f"error_log {self.room.name}/{port}.log;\nevents {{ worker_connections 8192; }}\n"
            f"http {{ access_log off; {temporary}\n"
            f"upstream all {{ least_conn; {servers} {'keepalive 64;' if keeps else ''} }}\n"
            f"server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://all; {kept} }} }} }}\n",
        )
        self.start(port, "/usr/sbin/nginx", "-c", path)
        return port


def stopped(origin):
    """What a stand-in says at its end."""
    origin.send_signal(signal.SIGTERM)
    origin.wait(10)
    origin.out.seek(0)
    said = [line for line in origin.out.read().splitlines() if line.startswith('{"most"')]
    return json.loads(said[0])
