"""What was measured, in tables of Markdown."""

import os
import platform
import statistics

import proxies
from cores import WAYS

# What a turn tells, in the order of the columns, and how it is shown.
FIGURES = [("cpu_us", "CPU µs", "{:.1f}"), ("sleeps", "sleeps", "{:.3f}"),
           ("per_second", "a second", "{:,.0f}"), ("added_p50_ms", "p50 +ms", "{:.2f}"),
           ("added_p99_ms", "p99 +ms", "{:.2f}"), ("added_p99.9_ms", "p99.9 +ms", "{:.2f}")]

# A row of its own: the first less the second.
TLS_HANDSHAKE = ("connection with one GET, TLS", "connection with one GET",
                 "full TLS handshake alone")


def beside(told):
    peers = [name for name in proxies.ALL if name in told["versions"] and name != "usher"]
    headline(told)
    print("\nRatios to usher (above 1: the peer costs more), and usher's to the best peer: of all "
          "turns,\nand between which it was in the rounds\n")
    print("| | " + " | ".join(peers) + " | usher to the best | in the rounds |")
    print("|---" * (len(peers) + 3) + "|")
    for name, costs in all_costs(told).items():
        ours, theirs = costs["usher"], {peer: costs[peer] for peer in peers if peer in costs}
        cells = [f"{quiet(theirs[peer]) / quiet(ours):.2f}" if peer in theirs else ""
                 for peer in peers]
        print(f"| {name} | " + " | ".join(cells) + f" | {best(ours, theirs)} |")
    for name, by_proxy in told["turns"].items():
        table(name, by_proxy, told["busy"].get(name))
    if told["idle_kib"]:
        print("\nKiB of a connection\n\n| | " + " | ".join(["usher", *peers]) + " |")
        print("|---" * (len(peers) + 2) + "|")
        for name, by_proxy in told["idle_kib"].items():
            cells = [f"{by_proxy[proxy]:.1f}" for proxy in ["usher", *peers]]
            print(f"| {name} | " + " | ".join(cells) + " |")


def scaling(told):
    headline(told)
    print("\nCPU time of a request with two workers, divided by that with one: of all turns, and "
          "between\nwhich it was in the rounds\n")
    names = list(told["versions"])
    print("| | " + " | ".join(names) + " |")
    print("|---" * (len(names) + 1) + "|")
    for load, turns in told["turns"].items():
        cells = []
        for name in names:
            one, two = (column(turns[f"{name}, {workers}"], "cpu_us") for workers in (1, 2))
            cells.append(f"**{quiet(two) / quiet(one):.2f}** ({between(two, one)})")
        print(f"| {load} | " + " | ".join(cells) + " |")
    for name, turns in told["turns"].items():
        table(name, turns, told["busy"].get(name))


def headline(told):
    print(f"\n{told['machine']}; {told['rounds']} rounds of {told['turns_each']} turns each; "
          f"{WAYS[told['cores']]}.")
    print("; ".join(f"{name} {version}" for name, version in told["versions"].items()))
    for name, why in told["left_out"].items():
        print(f"left out: {name} ({why})")


def all_costs(told):
    """What ratios are made of: of each load, for each proxy, a list of turns for each round."""
    costs = {name: {proxy: column(rounds, "cpu_us") for proxy, rounds in by_proxy.items()}
             for name, by_proxy in told["turns"].items() if "cpu_us" in by_proxy["usher"][0][0]}
    whole, part, alone = TLS_HANDSHAKE
    if whole in costs and part in costs:
        # What the one has more than the other, the least disturbed of both against each other.
        costs[alone] = {
            proxy: [[a - b for a, b in zip(sorted(with_it), sorted(without))]
                    for with_it, without in zip(rounds, costs[part][proxy])]
            for proxy, rounds in costs[whole].items()}
    return costs | {name: {proxy: [[kib]] for proxy, kib in by_proxy.items()}
                    for name, by_proxy in told["idle_kib"].items()}


def best(ours, theirs):
    """usher's cost, divided by that of the peer that costs least."""
    if not theirs:
        return " | "
    least = min(theirs.values(), key=quiet)
    if quiet(least) <= 0:
        return " | "
    return f"**{quiet(ours) / quiet(least):.2f}** | {between(ours, least)}"


def table(name, by_proxy, busy):
    first = next(iter(by_proxy.values()))[0][0]
    shown = [figure for figure in FIGURES if figure[0] in first]
    titles = [title for _, title, _ in shown]
    if "cpu_us" in first:
        titles[1:1] = ["its median", "of it user"]
    print(f"\n{name}\n\n| | " + " | ".join(titles) + " |")
    print("|---" * (len(titles) + 1) + "|")
    for proxy, rounds in by_proxy.items():
        cells = [form.format(figure_of(rounds, figure)) for figure, _, form in shown]
        if "cpu_us" in first:
            cells[1:1] = [f"{middle(column(rounds, 'cpu_us')):.1f}", user(rounds)]
        print(f"| {proxy} | " + " | ".join(cells) + " |")
    if "connection" in name and (own := by_proxy.get("usher")) and "acceptor_us" in own[0][0]:
        print(f"\nOf usher's the acceptor's: {quiet(column(own, 'acceptor_us')):.1f}.")
    if busy:
        others, stolen = (statistics.mean(each[what] for each in busy)
                          for what in ("others", "stolen"))
        print(f"\nOther work had {others:.0%} of the machine meanwhile; {stolen:.0%} was stolen.")


def figure_of(rounds, figure):
    values = column(rounds, figure)
    return quiet(values) if figure == "cpu_us" else middle(values)


def column(rounds, figure):
    return [[turn[figure] for turn in turns] for turns in rounds]


def middle(rounds):
    return statistics.median(value for turns in rounds for value in turns)


def quiet(rounds):
    """The mean of the third of all turns in which it was least: those that were disturbed least."""
    values = sorted(value for turns in rounds for value in turns)
    return statistics.mean(values[:max(1, len(values) // 3)])


def between(ours, theirs):
    """The least and the largest ratio of a round alone."""
    ratios = [quiet([a]) / quiet([b]) for a, b in zip(ours, theirs)]
    return f"{min(ratios):.2f}–{max(ratios):.2f}"


def user(rounds):
    """The share of user mode: of all turns' ticks together, and how far those can be off."""
    ticks, user_ticks = (sum(value for turns in column(rounds, figure) for value in turns)
                         for figure in ("ticks", "user_ticks"))
    if not ticks:
        return ""
    share = user_ticks / ticks
    return f"{share:.0%} ± {(share * (1 - share) / ticks) ** 0.5:.0%}"


def machine():
    with open("/proc/cpuinfo") as file:
        model = next(line.split(": ")[1].strip() for line in file if line.startswith("model name"))
    return f"{os.cpu_count()} × {model}, Linux {platform.release().split('-')[0]}"
