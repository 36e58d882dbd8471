"""What a process has used up: time on a CPU, sleeps, memory; and what everything else has."""

import os
import re
import resource
import time

TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


class Cost:
    """What a process and its children have used up to now.

    Seconds on a CPU are the scheduler's, which counts nanoseconds. How much of them was in user
    mode the kernel knows by sampling (250 times a second, unless it is built to look at each change
    of mode): a turn has some dozens of samples, so that only all turns together say it to a per
    cent or two. A sleep is a voluntary switch: the proxy had nothing to do, and paid for going and
    for coming back."""

    def __init__(self, leader):
        self.seconds, self.sleeps, self.user, self.system = 0.0, 0, 0, 0
        # The thread of usher that accepts connections.
        self.acceptor = None
        for process in family(leader):
            tasks = f"/proc/{process}/task"
            for task in os.listdir(tasks):
                try:
                    seconds = int(text(f"{tasks}/{task}/schedstat").split()[0]) / 1e9
                    status = text(f"{tasks}/{task}/status")
                except (FileNotFoundError, ProcessLookupError):
                    # A thread that has just ended.
                    continue
                self.seconds += seconds
                if status.startswith("Name:\tacceptor\n"):
                    self.acceptor = seconds
                self.sleeps += int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", status, re.M)[1])
            ticks = text(f"/proc/{process}/stat").rpartition(")")[2].split()
            self.user += int(ticks[11])
            self.system += int(ticks[12])

    def since(self, before, count):
        """What each of `count` requests has cost since `before`; ticks are of all of them."""
        told = {"cpu_us": (self.seconds - before.seconds) / count * 1e6,
                "sleeps": (self.sleeps - before.sleeps) / count,
                "user_ticks": self.user - before.user,
                "ticks": self.user - before.user + self.system - before.system}
        if None not in (self.acceptor, before.acceptor):
            told["acceptor_us"] = (self.acceptor - before.acceptor) / count * 1e6
        return told


class Busy:
    """What the machine has done since, as shares of all its CPUs' time."""

    def __init__(self, programs):
        self.programs = programs
        self.at, self.ours, (self.worked, self.stolen) = time.monotonic(), self.own(), machine()

    def share(self):
        """What others had of it, and what the machine's host took: whether it was quiet."""
        worked, stolen = machine()
        whole = (time.monotonic() - self.at) * os.cpu_count()
        others = worked - self.worked - (self.own() - self.ours)
        return {"others": max(0, others / whole), "stolen": (stolen - self.stolen) / whole}

    def own(self):
        """Seconds of all that belongs to the bench, what has ended included."""
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        return (time.process_time() + ended.ru_utime + ended.ru_stime
                + sum(Cost(program.pid).seconds for program in self.programs))


def machine():
    """Seconds that its CPUs have worked, and that were stolen from them."""
    ticks = [int(each) / TICKS_A_SECOND for each in text("/proc/stat").split("\n")[0].split()[1:9]]
    user, nice, system, _idle, _wait, irq, softirq, stolen = ticks
    return user + nice + system + irq + softirq, stolen


def family(leader):
    """A process and its children, and theirs."""
    found = [leader]
    for process in found:
        found += [int(child) for child in text(f"/proc/{process}/task/{process}/children").split()]
    return found


def memory_kib(leader):
    """Memory of a process and its children that they do not share (proportional set size)."""
    return sum(int(re.search(r"^Pss:\s+(\d+)", text(f"/proc/{process}/smaps_rollup"), re.M)[1])
               for process in family(leader))


def bytes_read(process):
    """What it has read, from files and sockets."""
    return int(re.search(r"^rchar: (\d+)", text(f"/proc/{process}/io"), re.M)[1])


def text(path):
    with open(path) as file:
        return file.read()
