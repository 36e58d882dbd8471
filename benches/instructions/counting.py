"""usher as shapes are sent to it, and what it has counted when it runs under callgrind."""

import collections
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import shapes

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
USHER = os.environ.get("USHER", os.path.join(TOP, "target", "release", "usher"))

CONFIGURATION = """\
listeners:
  - bind: 127.0.0.1:{plain}
    h2c: true
  - bind: 127.0.0.1:{tls}
    tls: {{ certificates: [{{ cert: server.crt, key: server.key }}] }}
control: off
metrics: {{ bind: "127.0.0.1:{metrics}" }}
access_log: off
workers: 1
drain: {{ grace: 0s }}
{settings}audiences:
{rules}  - {{ name: admin, pool: admin, match: [{{ path: /admin/** }}] }}
  - name: driver
    pool: driver
    match: [{{ path: /api/driver/** }}, {{ header: {{ X-App: driver }} }}]
  - name: restaurant
    pool: restaurant
    match: [{{ path: /restaurant/** }}, {{ header: {{ X-App: restaurant }} }}]
  - name: customer
    pool: customer
    slo: {{ availability: 99.9%, latency: {{ within: 300ms, target: 99% }} }}
{customer}pools:
  admin: {{ endpoints: ["127.0.0.1:{origin}"], capacity: 64 }}
  driver: {{ endpoints: ["127.0.0.1:{origin}"], capacity: 64 }}
  restaurant: {{ endpoints: ["127.0.0.1:{origin}"], capacity: 64 }}
  customer: {{ endpoints: ["127.0.0.1:{origin}"], capacity: 64 }}
"""

# As that of `customer`, so that a rule is all that differs.
PROMISE = "slo: { availability: 99.9%, latency: { within: 300ms, target: 99% } }"

# What else the configuration knows, by what a shape is about: settings, rules of an audience before
# all others, and what is said of `customer`.
ABOUT = {
    None: ("", "", ""),
    "users": ("identity: [{ jwt: { keys: [{ secret_file: secret }], audience: shop } }]\n",
              f"  - {{ name: vip, pool: customer, {PROMISE}, match: [{{ user: 42 }}] }}\n", ""),
    "operations": ("graphql: { body: 64KiB }\n",
                   f"  - name: orders\n    pool: customer\n    {PROMISE}\n"
                   "    match: [{ path: /graphql, graphql: { operation: PlaceOrder } }]\n", ""),
    "documents": ("graphql: { body: 64KiB }\n",
                  f"  - name: orders\n    pool: customer\n    {PROMISE}\n"
                  "    match: [{ path: /graphql, graphql: { id: \"ecf4edb4*\" } }]\n", ""),
    "versions": ("versions: { from: [{ header: X-App-Version }, { user_agent: Shop/ }] }\n", "",
                 "    versions: { min: 5.2, warn_below: 5.6 }\n"),
    # Looks where a client stands, and refuses nobody yet.
    "brownout": ("versions: { from: [{ header: X-App-Version }, { user_agent: Shop/ }] }\n", "",
                 "    versions: { min: 5.2, brownout: [{ at: 2020-01-01, share: 0% }] }\n"),
}

# What the allocator is asked by: each call from elsewhere is one allocation.
ALLOCATES = re.compile(r"^mi_(malloc|zalloc|calloc|realloc|rezalloc)(_aligned)?$")


class Usher:
    """Runs until it is left."""

    # What it runs under.
    under = []

    def __init__(self, about):
        self.about = about
        self.room = tempfile.TemporaryDirectory()

    def __enter__(self):
        self.origin = shapes.Origin()
        ports = {name: shapes.free_port() for name in ("plain", "tls", "metrics")}
        self.ports = ports
        self.certificate()
        with open(self.path("secret"), "w") as file:
            file.write(shapes.SECRET)
        configuration = self.path("usher.yaml")
        settings, rules, customer = ABOUT[self.about]
        with open(configuration, "w") as file:
            more = {"settings": settings, "rules": rules, "customer": customer}
            file.write(CONFIGURATION.format(origin=self.origin.port, **more, **ports))
        under = [part.format(room=self.room.name) for part in self.under]
        self.program = subprocess.Popen(
            [*under, USHER, "run", "--config", configuration],
            stdout=open(self.path("output"), "w"), stderr=subprocess.STDOUT)
        for port in ports.values():
            self.wait_for(port)
        return self

    def __exit__(self, *_):
        self.program.send_signal(signal.SIGTERM)
        self.program.wait(60)
        self.room.cleanup()

    def path(self, name):
        return os.path.join(self.room.name, name)

    def certificate(self):
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
             "subjectAltName=DNS:localhost,DNS:shop.example", "-keyout", self.path("server.key"),
             "-out", self.path("server.crt")], check=True, capture_output=True)

    def wait_for(self, port):
        for _ in range(1200):
            if shapes.answers(port):
                return
            if self.program.poll() is not None:
                break
            time.sleep(0.05)
        with open(self.path("output")) as file:
            sys.exit(f"usher did not start:\n{file.read()}")


class Counted(Usher):
    """Runs under callgrind until it is left."""

    under = ["valgrind", "--tool=callgrind", "--instr-atstart=no",
             "--callgrind-out-file={room}/counts"]

    def __init__(self, profile, about):
        super().__init__(about)
        self.profile, self.dumps = profile, 0

    def __enter__(self):
        super().__enter__()
        self.control("--instr=on")
        return self

    def control(self, what):
        subprocess.run(["callgrind_control", what, str(self.program.pid)], check=True,
                       capture_output=True)

    def count(self, shape):
        """Instructions and allocations of one request of a shape."""
        shape.run(self.ports, self.origin, shape.few)
        few, many = self.cost(shape, shape.few), self.cost(shape, 3 * shape.few)
        each = {what: (many[what] - few[what]) / (2 * shape.few) for what in few}
        return {"instructions": round(each["instructions"]),
                "allocations": round(each["allocations"], 1)}

    def cost(self, shape, requests):
        """What a run costs as a whole."""
        self.control("--zero")
        shape.run(self.ports, self.origin, requests)
        self.dumps += 1
        self.control("--dump")
        dump = f"{self.path('counts')}.{self.dumps}"
        if self.profile:
            shutil.copy(dump, self.profile)
        return read(dump)


def read(dump):
    """The sums of a profile."""
    names, calls, instructions = {}, collections.Counter(), 0
    caller = callee = None

    def name(text):
        number, _, said = text.partition(" ")
        if said:
            names[number] = said
        return number

    with open(dump, errors="replace") as file:
        for line in file:
            if line.startswith("fn="):
                caller = name(line[3:].rstrip())
            elif line.startswith("cfn="):
                callee = name(line[4:].rstrip())
            elif line.startswith("calls="):
                calls[caller, callee] += int(line[6:].split()[0])
            elif line.startswith(("totals:", "summary:")):
                instructions = max(instructions, int(line.split()[1]))
    allocations = sum(
        count for (caller, callee), count in calls.items()
        if ALLOCATES.match(names.get(callee, "")) and not names.get(caller, "").startswith("mi_"))
    return {"instructions": instructions, "allocations": allocations}
