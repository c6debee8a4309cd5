#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Measures canaryd beside what one would use instead, and prints a table.

Every contender runs all the time; wrk asks them in turn, round by round, so that the
machine's moods hit all alike. Speeds are given as ratios within a round: to a bare evhttp
that answers a fixed body, and of canaryd to each of the others. Loopback only.
"""
import argparse
import json
import os
import pathlib
import signal
import statistics
import sys
import tempfile

import contenders
from contenders import ROOT, Missing, progress

REFERENCE = "bare evhttp"
TICKS = os.sysconf("SC_CLK_TCK")

# What issue and README promise: at 64 connections canaryd / other in requests a second.
GOALS = {"bare evhttp": 1.4, "raw epoll": 0.75, "nginx": 2.5, "HAProxy": 2.2, "Fastify": 3.0,
         "FastAPI": 12.0}


def family(pid):
    """A process and its descendants."""
    found = [pid]
    for task in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            found += family(int(child))
    return found


def cpu_seconds(contender):
    total = 0
    for process in contender.processes:
        for pid in family(process.pid):
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            total += int(fields[11]) + int(fields[12])
    return total / TICKS


def pss_kb(pid):
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    raise RuntimeError(f"no Pss of {pid}")


def pss_mb(contender):
    return sum(pss_kb(pid) for process in contender.processes
               for pid in family(process.pid)) / 1024


def ask(contender, connections, seconds):
    """One run of wrk: requests a second, latencies in us, CPU s per 100,000 requests."""
    before = cpu_seconds(contender)
    requests, duration, p50, p99, p999 = contenders.load(contender.port, connections, seconds)
    return {"rate": requests / duration * 1e6, "p50_us": p50, "p99_us": p99, "p999_us": p999,
            "cpu_s": (cpu_seconds(contender) - before) / requests * 1e5}


def start_all(options, folder, running):
    """Fills running, so that who calls can end those that started before one that did not."""
    for kind in contenders.ALL:
        if options.only and kind.name not in options.only + ["canaryd", REFERENCE]:
            continue
        try:
            running.append(kind(options.build, folder))
        except Missing as why:
            print(f"without {kind.name}: {why} (make bench-deps installs it)", file=sys.stderr)


def measure(options, running):
    """{connections: {name: [figures of a round, ...]}}"""
    results = {c: {one.name: [] for one in running} for c in options.connections}
    total = options.rounds * len(options.connections) * len(running)
    n = 0
    for i in range(options.rounds):
        for connections in options.connections:
            for k in range(len(running)):
                one = running[(i + k) % len(running)]  # nobody always follows the same one
                n += 1
                progress(f"{n}/{total}: {one.name}, {connections} connections")
                results[connections][one.name].append(ask(one, connections, options.seconds))
    progress()
    return results


def median(rounds, key):
    return statistics.median(r[key] for r in rounds)


def ratios(results, connections, name, other, key="rate"):
    pairs = zip(results[connections][name], results[connections][other])
    return sorted(a[key] / b[key] for a, b in pairs)


def spread(values):
    return f"{statistics.median(values):5.2f} ({values[0]:.2f} - {values[-1]:.2f})"


def print_table(results, memory):
    for connections, by_name in results.items():
        print(f"\n{connections} connection{'s' if connections > 1 else ''}")
        print(f"| {'':12} | requests/s | to {REFERENCE} (min - max) | canaryd to it (min - max) |"
              "  p50 us |  p99 us | CPU s/100k | PSS MB |")
        print(f"|{'-' * 14}|{'-' * 12}|{'-' * 28}|{'-' * 27}|{'-' * 9}|{'-' * 9}|{'-' * 12}|{'-' * 8}|")
        for name, rounds in by_name.items():
            print(f"| {name:12} | {median(rounds, 'rate'):10,.0f} "
                  f"| {spread(ratios(results, connections, name, REFERENCE)):>26} "
                  f"| {spread(ratios(results, connections, 'canaryd', name)):>25} "
                  f"| {median(rounds, 'p50_us'):7.0f} | {median(rounds, 'p99_us'):7.0f} "
                  f"| {median(rounds, 'cpu_s'):10.2f} | {memory[name]:6.1f} |")


def judge(results, memory):
    """Each goal with what was measured: (text, measured, met)."""
    goals = []
    if 64 in results:
        for other, goal in GOALS.items():
            if other in results[64]:
                measured = statistics.median(ratios(results, 64, "canaryd", other))
                goals.append((f"at least {goal} x {other}, 64 connections", measured,
                              measured >= goal))
        p99 = statistics.median(ratios(results, 64, "canaryd", REFERENCE, "p99_us"))
        goals.append((f"p99 at most that of {REFERENCE}, 64 connections", p99, p99 <= 1))
        cpu = statistics.median(ratios(results, 64, "canaryd", REFERENCE, "cpu_s"))
        goals.append((f"CPU a request at most 1.15 x {REFERENCE}'s", cpu, cpu <= 1.15))
    if 1 in results:
        hop = statistics.median(a["p50_us"] - b["p50_us"] for a, b in zip(
            results[1]["canaryd"], results[1][REFERENCE]))
        goals.append(("the hop adds at most 16 us, 1 connection", hop, hop <= 16))
    goals.append(("at most 14 MB in all processes", memory["canaryd"], memory["canaryd"] <= 14))
    return goals


def print_goals(goals):
    print("\n| goal | measured | |\n|---|---|---|")
    for text, measured, met in goals:
        print(f"| {text} | {measured:.2f} | {'met' if met else 'missed'} |")


def plot(results, path):
    """Bars of requests a second relative to the reference, as SVG."""
    rows = [(c, name, statistics.median(ratios(results, c, name, REFERENCE)))
            for c, by_name in results.items() for name in by_name]
    widest = max(value for _, _, value in rows)
    y, lines = 28, []
    last = None
    for connections, name, value in rows:
        if connections != last:
            lines.append(f'<text x="4" y="{y + 14}" font-weight="bold">{connections} '
                         f'connection{"s" if connections > 1 else ""}</text>')
            y, last = y + 22, connections
        width = value / widest * 360
        colour = "#1f6f8b" if name == "canaryd" else "#b9c4c9"
        lines.append(f'<text x="100" y="{y + 12}" text-anchor="end">{name}</text>'
                     f'<rect x="108" y="{y}" width="{width:.1f}" height="15" fill="{colour}"/>'
                     f'<text x="{112 + width:.1f}" y="{y + 12}">{value:.2f}</text>')
        y += 19
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" width="540" height="{y + 10}" '
        'font-family="sans-serif" font-size="12">\n<rect width="100%" height="100%" fill="white"/>\n'
        f'<text x="4" y="16">requests a second, {REFERENCE} = 1 (median of the rounds)</text>\n'
        + "\n".join(lines) + "\n</svg>\n")


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("build", type=pathlib.Path, help="the build's folder")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3, help="of each run (3)")
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 8, 64, 256])
    parser.add_argument("--only", nargs="+", help="beside canaryd and the reference, only these")
    parser.add_argument("--keep", type=pathlib.Path, help="folder for bench.json and bench.svg")
    options = parser.parse_args()
    options.build = options.build.resolve()
    return options


def keep(options, results, memory, goals):
    folder = options.keep or options.build / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bench.json").write_text(json.dumps(
        {"rounds": results, "pss_mb": memory, "goals": goals}, indent=1) + "\n")
    plot(results, folder / "bench.svg")
    shown = folder.relative_to(ROOT) if folder.is_relative_to(ROOT) else folder
    print(f"\nkept in {shown}/bench.json and bench.svg")


def main():
    options = parse_arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
    running = []
    with tempfile.TemporaryDirectory(prefix="canaryd-bench-") as folder:
        try:
            start_all(options, pathlib.Path(folder), running)
            results = measure(options, running)
            memory = {one.name: pss_mb(one) for one in running}
        finally:
            for one in running:
                one.stop()
    print_table(results, memory)
    goals = judge(results, memory)
    print_goals(goals)
    keep(options, results, memory, goals)


if __name__ == "__main__":
    try:
        main()
    except Missing as missing:
        sys.exit(f"bench: {missing}; make bench-deps installs it")
    except KeyboardInterrupt:
        sys.exit(130)
