"""Clients of the bench: so many at once, or so many a second whatever comes of them."""

import asyncio
import random
import sys
import time


class Tally:
    """What became of a run's requests."""

    def __init__(self):
        self.latencies = []  # seconds, of those served
        self.waits = []  # seconds beyond the work itself, of those served
        self.worked = []  # when threads began and ended the work of answers that arrived whole
        self.measured = 0.0, 0.0  # from when to when was measured, where that is not all of it
        self.refused = []  # seconds until the refusal
        self.gone = 0  # clients that gave up
        self.broken = 0  # anything else

    def add(self, other):
        """What became of another run's requests as well."""
        self.latencies += other.latencies
        self.waits += other.waits
        self.worked += other.worked
        self.refused += other.refused
        self.gone += other.gone
        self.broken += other.broken

    def good(self):
        """Seconds of threads, while it was measured, that went into answers that arrived whole."""
        begin, end = self.measured
        return sum(max(0.0, min(to, end) - max(since, begin)) for since, to in self.worked)

    def row(self):
        """What is told of every one."""
        return {
            "waited, p50 / p99 ms": f"{ms(self.waits, 50)} / {ms(self.waits, 99)}",
            "refused": len(self.refused),
            "after, p50 ms": ms(self.refused, 50),
            "left": self.gone,
            "broken": self.broken,
        }


def percentile(values, part):
    if not values:
        return None
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part / 100))]


def ms(values, part):
    found = percentile(values, part)
    return "-" if found is None else f"{1000 * found:.0f}"


def tenths(values, part):
    found = percentile(values, part)
    return "-" if found is None else f"{1000 * found:.1f}"


async def answer(reader):
    """The status of the next answer, which is read whole, whether the connection is kept, and when
    a thread began and ended its work on it."""
    head = await reader.readuntil(b"\r\n\r\n")
    status = int(head.split(b" ", 2)[1])
    length = chunked = worked = None
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
        elif name.lower() == b"transfer-encoding":
            chunked = True
        elif name.lower() == b"x-worked":
            worked = tuple(map(float, value.split()))
    if chunked:
        while True:
            size = int((await reader.readuntil(b"\r\n")).strip(), 16)
            await reader.readexactly(size + 2)
            if size == 0:
                break
    else:
        await reader.readexactly(length or 0)
    return status, b"connection: close" not in head.lower(), worked


def request(work, host="bench"):
    return f"GET /?ms={work * 1000:.0f} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()


async def ask(line, work):
    """Seconds until the answer to one request on an open connection."""
    reader, writer = line
    asked = time.monotonic()
    writer.write(request(work))
    await answer(reader)
    return time.monotonic() - asked


async def closed(port, clients, work, seconds, warm=1.0):
    """`clients` that ask again as soon as they have been answered."""
    tally = Tally()
    begin = time.monotonic() + warm
    end = begin + seconds

    async def client():
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while (asked := time.monotonic()) < end:
            writer.write(request(work))
            try:
                status, keeps, _ = await answer(reader)
            except (OSError, asyncio.IncompleteReadError):
                status, keeps = 0, False
            done = time.monotonic()
            if begin <= done < end:
                if status == 200:
                    tally.latencies.append(done - asked)
                    tally.waits.append(done - asked - work)
                elif status == 503:
                    tally.refused.append(done - asked)
                else:
                    tally.broken += 1
            if not keeps:
                writer.close()
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
            if status == 503:
                await asyncio.sleep(0.1)
        writer.close()

    await asyncio.gather(*(client() for _ in range(clients)))
    return tally


async def at_leisure(port, clients, work, pause, seconds):
    """`clients` that keep their connections and pause between requests, for so long on average."""
    tally = Tally()
    random_ = random.Random(7)
    end = time.monotonic() + seconds

    async def client():
        line = await asyncio.open_connection("127.0.0.1", port)
        while time.monotonic() < end:
            await asyncio.sleep(random_.expovariate(1 / pause))
            tally.latencies.append(await ask(line, work))
        line[1].close()

    await asyncio.gather(*(client() for _ in range(clients)))
    return tally


async def offered(port, rate, mix, seconds, leaves=0.0, until=None, host="bench", paced=False,
                  mark=lambda: None):
    """`rate` requests a second, each from a client of its own, whatever comes of the others.

    It is measured from a quarter of the time on, until no more come: `mark` is called at both.
    `mix` is a list of (share, work); a share of the clients `leaves` when it has waited for as long
    as `until` says for its work.
    """
    tally = Tally()
    random_ = random.Random(7)
    shares = [share for share, _ in mix]
    works = [work for _, work in mix]

    begin = time.monotonic()
    end = begin + seconds

    async def one(work, patience):
        asked = time.monotonic()
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            tally.broken += 1
            return
        writer.write(request(work, host))
        try:
            status, _, worked = await asyncio.wait_for(answer(reader), patience)
        except asyncio.TimeoutError:
            tally.gone += 1
            writer.transport.abort()
            return
        except (OSError, asyncio.IncompleteReadError):
            tally.broken += 1
            return
        took = time.monotonic() - asked
        if status == 200:
            tally.latencies.append(took)
            tally.waits.append(max(0.0, took - work))
            if worked:
                tally.worked.append(worked)
        elif status == 503:
            tally.refused.append(took)
        else:
            tally.broken += 1
        writer.close()

    due = begin
    tasks = []
    measured = None
    while due < end:
        if not measured and due > begin + seconds / 4:
            mark()
            measured = time.monotonic()
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        work = random_.choices(works, shares)[0]
        patience = until(work) if random_.random() < leaves else None
        tasks.append(asyncio.create_task(one(work, patience)))
        due += 1 / rate if paced else random_.expovariate(rate)
    mark()
    tally.measured = measured, time.monotonic()
    if (over := time.monotonic() - end) > 0.1:
        print(f"clients came up to {over:.1f} s late: this machine is too busy", file=sys.stderr)
    _, late = await asyncio.wait(tasks, timeout=5 + max(works))
    for task in late:
        task.cancel()
        tally.broken += 1
    return tally
