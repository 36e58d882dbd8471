"""Where programs run: which core the proxies have, and which those who ask and answer."""

import contextlib
import os

ALL = sorted(os.sched_getaffinity(0))

# What each way of placing means, for who reads the tables.
WAYS = {
    "together": "the proxy whose turn it is, client and origin share a core, and none of them "
                "interrupts another",
    "apart": "the proxies have a core, client and origin another",
    "any": "all run wherever the system lets them",
}


class Cores:
    """`together`: whoever runs goes on until it has nothing to do (SCHED_BATCH). So every proxy
    finds all that its clients and the origin have for it whenever it wakes, and wakes nobody on
    another core. `apart`: a proxy works beside client and origin. How much it finds when it wakes,
    and whether whom it wakes was asleep, depends on which of the two cores is the slower one."""

    def __init__(self, way):
        self.way = way
        self.measured, self.beside = ALL[-1], ALL[0]
        if way != "any" and self.measured != self.beside:
            # What measures stays away from what is measured.
            os.sched_setaffinity(0, set(ALL) - {self.measured})

    def proxy(self, command):
        return self.on(command, self.measured)

    def other(self, command):
        """A client or an origin."""
        return self.on(command, self.clients())

    def clients(self):
        return self.measured if self.way == "together" else self.beside

    def on(self, command, core):
        if self.way == "any":
            # Who measures may have been put somewhere before.
            return ["taskset", "-c", ",".join(map(str, ALL)), *command]
        batch = ["chrt", "--batch", "0"] if self.way == "together" else []
        return ["taskset", "-c", str(core), *batch, *command]

    @contextlib.contextmanager
    def as_client(self):
        """This thread is where clients are meanwhile."""
        if self.way == "any":
            yield
            return
        cores, policy = os.sched_getaffinity(0), os.sched_getscheduler(0)
        os.sched_setaffinity(0, {self.clients()})
        if self.way == "together":
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        yield
        os.sched_setscheduler(0, policy, os.sched_param(0))
        os.sched_setaffinity(0, cores)
