#!/usr/bin/env python3
"""How long the thread that reads a configuration at leisure keeps others from a core.

While the bench runs (`cargo bench --bench reload_latency`), as root:

    perf record -a -m 16M -o sched.data \\
        -e sched:sched_switch --filter 'prev_comm == "leisure" || next_comm == "leisure"' \\
        -e sched:sched_wakeup --filter 'comm == "worker-0" || comm == "origin"' -- sleep 30
    perf script -i sched.data | python3 benches/reload_latency/waits.py

A wait begins when the worker or the origin becomes ready on a core on which `leisure` runs, and
ends when that leaves it. What others do on the machine hardly moves these figures.
"""

import re
import sys

EVENT = re.compile(r".*?\s\[(\d+)\]\s+([\d.]+):\s+sched:(\w+):\s+(.*)")
# Longer ones are events that were lost.
LOST_US = 20_000


def main():
    begun, woken, waits, stretches = {}, {}, [], []
    for line in sys.stdin:
        event = EVENT.match(line)
        if not event:
            continue
        cpu, now, what, rest = int(event[1]), float(event[2]) * 1e6, event[3], event[4]
        if what == "sched_wakeup":
            target = re.search(r"target_cpu=(\d+)", rest)
            if target and int(target[1]) in begun:
                woken[int(target[1])].append(now)
            continue
        gone, come = rest.split(" ==> ")
        if "prev_comm=leisure " in gone and cpu in begun:
            since = begun.pop(cpu)
            if now - since < LOST_US:
                stretches.append(now - since)
                waits += [now - at for at in woken[cpu]]
        if "next_comm=leisure " in come:
            begun[cpu], woken[cpu] = now, []
    tell("others waited", waits)
    tell("leisure ran", stretches)


def tell(what, times):
    times.sort()
    if not times:
        print(f"{what}: never")
        return
    at = lambda share: times[int((len(times) - 1) * share)]
    print(
        f"{what}: {len(times)} times, mean {sum(times) / len(times):.0f} us, p50 {at(0.5):.0f}, "
        f"p99 {at(0.99):.0f}, most {times[-1]:.0f}; {sum(it > 1000 for it in times)} over 1 ms"
    )


main()
