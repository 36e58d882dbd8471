"""What a proxy adds to the time of an answer."""

import json
import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
CONNECTIONS = 32


class Latency:
    """By oha at a fixed rate, free of coordinated omission: what it sees through the proxy, less
    what it sees at the origin itself right after that."""

    def __init__(self, rate, seconds):
        self.rate, self.seconds = rate, seconds

    def open(self, bench, proxy, workers=1):
        pass

    def turn(self, bench, proxy, _client, scale):
        seconds = max(1, round(self.seconds * scale))
        through, direct = (self.ask(bench, port, seconds)
                           for port in (proxy.ports["plain"], bench.behind["origin"]))
        return {f"added_{name}_ms": (through[name] - direct[name]) * 1e3
                for name in ("p50", "p99", "p99.9")}

    def close(self, bench, client):
        pass

    def ask(self, bench, port, seconds):
        command = bench.cores.other(
            [oha(), "--no-tui", "--output-format", "json", "--latency-correction", "-w",
             "-q", str(self.rate), "-z", f"{seconds}s", "-c", str(CONNECTIONS),
             f"http://127.0.0.1:{port}/menus/1"])
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stderr)
        report = json.loads(done.stdout)
        if report["summary"]["successRate"] < 1:
            sys.exit(done.stdout)
        return report["latencyPercentiles"]


def oha():
    top = os.path.dirname(os.path.dirname(HERE))
    path = os.path.join(top, "target", "tools", "bin", "oha")
    return path if os.path.exists(path) else shutil.which("oha")
