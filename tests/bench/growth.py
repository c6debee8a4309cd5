#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""How what canaryd costs grows: with the features of a request, with connections that are open,
with how long a model takes, with the samples that the judge has seen; and where one loop ends.

Costs are processor time (/proc/PID/task/*/schedstat), so that others on the machine matter less.
Loopback only.
"""
import argparse
import json
import os
import pathlib
import random
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

import contenders
from bench import family, pss_kb
from contenders import Missing, progress
from fairness import Same

NS = 1e-9
SHORT, LONG = [0.5, 1.2, 0.8, 0.3, 1.1], ["0.51234567890123456", "1.2123456789012345"]


# --- Looking at processes -----------------------------------------------------

def scheduled(pid):
    """Seconds that the process ran, and that it would have run but another had the core."""
    ran = waited = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        fields = (task / "schedstat").read_text().split()
        ran, waited = ran + int(fields[0]), waited + int(fields[1])
    return ran * NS, waited * NS


class Server(Same):
    """canaryd with a model of n features. The canary, if one is deployed, is the model itself."""

    def __init__(self, build, folder, name, model, *settings, n_features=5):
        self.name = name
        numbers = ",".join(str(SHORT[i % 5]) for i in range(n_features))
        self.body = b'{"features":[%s]}' % numbers.encode()
        super().__init__(build, folder, model, "--auto-rollback=false", *settings)

    @property
    def pid(self):
        return self.processes[0].pid

    def workers(self):
        return family(self.pid)[1:]

    def measure(self, connections, seconds, **words):
        """One run of wrk: figures of the requests, and what they cost each process, in us."""
        workers = self.workers()
        began = time.monotonic()
        before = [scheduled(pid) for pid in [self.pid] + workers]
        requests, duration, p50, p99, _ = contenders.load(self.port, connections, seconds, **words)
        after = [scheduled(pid) for pid in [self.pid] + workers]
        wall = time.monotonic() - began
        ran = [b[0] - a[0] for a, b in zip(before, after)]
        waited = after[0][1] - before[0][1]
        return {"rate": requests / duration * 1e6, "p50_ms": p50 / 1e3, "p99_ms": p99 / 1e3,
                "supervisor_us": ran[0] / requests * 1e6, "workers_us": sum(ran[1:]) / requests * 1e6,
                "supervisor_busy": ran[0] / wall, "supervisor_wants": (ran[0] + waited) / wall}


# --- Telling ------------------------------------------------------------------

def calmest(rounds):
    """The round in which others disturbed least: what can only be had of a rate is the most
    of it, and of a cost the least."""
    more = ("rate", "supervisor_busy", "supervisor_wants")
    return {key: (max if key in more else min)(r[key] for r in rounds) for key in rounds[0]}


def table(heads, rows):
    """Markdown. rows: lists of cells as long as heads; printed when they are all there."""
    progress()
    widths = [max(len(row[i]) for row in [heads] + rows) for i in range(len(heads))]
    for row in [heads, ["-" * w for w in widths]] + rows:
        print("| " + " | ".join(cell.rjust(w) for cell, w in zip(row, widths)) + " |")


def rounds_of(options, what, run):
    found = []
    for i in range(options.rounds):
        progress(f"{what}: {i + 1}/{options.rounds}")
        found.append(run())
    return calmest(found)


# --- Features -----------------------------------------------------------------

def logistic(n):
    """A scaled logistic regression of n features, as models/export.py writes them."""
    rng = random.Random(n)
    return {"format": "canaryd-model", "version": 1, "kind": "logistic-regression",
            "n_features": n, "link": "logistic",
            "transforms": [{"subtract": [rng.random() for _ in range(n)]},
                           {"divide": [0.5 + rng.random() for _ in range(n)]}],
            "linear": {"coefficients": [rng.gauss(0, 1 / n ** 0.5) for _ in range(n)],
                       "intercept": -1.0, "sum": "sequential"}}


def measure_features(options, folder):
    print("\n**Features**, 64 connections, a canary and its baseline out\n")
    rows, kept = [], []
    for n in options.features:
        model = folder / f"logistic_{n}.json"
        model.write_text(json.dumps(logistic(n)))
        server = Server(options.build, folder, f"features-{n}", model, n_features=n)
        try:
            server.deploy()
            for digits in (2, 17) if n > 5 else (2,):
                size = len(server.body) + (n * 16 if digits == 17 else 0)
                m = rounds_of(options, f"{n} features of {digits} digits", lambda: server.measure(
                    64, options.seconds, FEATURES=n, DIGITS=digits))
                kept.append({"features": n, "digits": digits, **m})
                rows.append([f"{n:,}", str(digits), f"{size / 1e3:.1f}", f"{m['supervisor_us']:.1f}",
                             f"{m['supervisor_us'] * 1e3 / n:.1f}", f"{m['workers_us']:.1f}",
                             f"{m['workers_us'] * 1e3 / n:.1f}", f"{m['rate']:,.0f}",
                             f"{m['p99_ms']:.1f}"])
        finally:
            server.stop()
    table(["features", "digits", "body kB", "supervisor us", "ns a feature", "workers us",
           "ns a feature", "requests/s", "p99 ms"], rows)
    return kept


# --- Connections --------------------------------------------------------------

def open_idle(port, n, held):
    """n more connections to held, each of which has asked once and been answered."""
    body = contenders.BODY
    request = (b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
               b"Content-Length: %d\r\n\r\n" % len(body)) + body
    for _ in range(n):
        s = socket.create_connection(("127.0.0.1", port))
        held.append(s)
        s.sendall(request)
        if not s.recv(4096).startswith(b"HTTP/1.1 200"):
            raise RuntimeError("an idle connection's request failed")


def allow_descriptors(n):
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY and most < n:
        raise Missing(f"{n} descriptors (ulimit -Hn says {most})")
    resource.setrlimit(resource.RLIMIT_NOFILE, (n, most))


def measure_connections(options, folder):
    print("\n**Idle connections** that have each asked once, and 64 busy ones beside them\n")
    allow_descriptors(max(options.connections) + 1000)
    rows, kept, held = [], [], []
    server = Server(options.build, folder, "connections", contenders.STABLE,
                    "--idle-timeout-ms=3600000", "--max-connections=100000")
    try:
        server.deploy()
        server.measure(64, 1)
        before = pss_kb(server.pid)
        for n in options.connections:
            progress(f"{n} connections")
            open_idle(server.port, n - len(held), held)
            kb = pss_kb(server.pid) - before
            m = rounds_of(options, f"64 beside {n} connections",
                          lambda: server.measure(64, options.seconds))
            kept.append({"connections": n, "pss_kb": kb, **m})
            rows.append([f"{n:,}", f"{kb / 1024:.2f}", f"{kb / n:.2f}" if n >= 100 else "",
                         f"{m['supervisor_us']:.2f}", f"{m['rate']:,.0f}", f"{m['p99_ms']:.2f}"])
        for s in held:
            s.close()
        server.measure(64, 1)
        kept.append({"connections": 0, "pss_kb": pss_kb(server.pid) - before})
        rows.append(["all gone", f"{kept[-1]['pss_kb'] / 1024:.2f}", "", "", "", ""])
    finally:
        server.stop()
    table(["connections", "supervisor's PSS, MB more", "kB each", "supervisor us a request",
           "requests/s", "p99 ms"], rows)
    return kept


# --- Models -------------------------------------------------------------------

def measure_models(options, folder):
    print("\n**Models** that take their time, 32 connections, no canary\n")
    rows, kept = [], []
    for us in options.model_us:
        model = folder / f"slow_{us}.json"
        model.write_text(str(us))
        for n_workers in 1, 2:
            server = Server(options.build, folder, f"models-{us}-{n_workers}", model,
                            f"--worker-program={options.build}/tests/bench/slow_worker",
                            f"--workers-per-version={n_workers}")
            try:
                m = rounds_of(options, f"a model of {us} us, {n_workers} workers",
                              lambda: server.measure(32, options.seconds))
            finally:
                server.stop()
            busy = m["rate"] * us / 1e6 / n_workers
            kept.append({"model_us": us, "workers": n_workers, "workers_busy": busy, **m})
            rows.append([f"{us:,}", str(n_workers), f"{m['rate']:,.0f}",
                         f"{1e6 / us * n_workers:,.0f}", f"{100 * busy:.0f} %",
                         f"{m['supervisor_us']:.1f}", f"{m['p50_ms']:.1f}", f"{m['p99_ms']:.1f}"])
    table(["model us", "workers", "requests/s", "at most", "of a worker's time in the model",
           "supervisor us a request", "p50 ms", "p99 ms"], rows)
    return kept


# --- Samples ------------------------------------------------------------------

def measure_samples(options, _):
    print("\n**Samples** through the judge's door (processor time)\n")
    progress(f"{options.samples:g} samples")
    out = subprocess.run([options.build / "tests/bench/samples_cost", f"{options.samples:g}"],
                         capture_output=True, text=True, check=True).stdout
    lines = [line.split() for line in out.splitlines()]
    of = {kind: [words for words in lines if words[0] == kind] for kind in ("samples", "moments")}
    table(["samples", "ns a sample", "us a report", "judge's memory, bytes", "ns to add to moments",
           "mean off by (at 1e12)", "variance off by"],
          [[f"{int(a[1]):.0e}".replace("+0", ""), a[3], a[5], a[7], b[3], b[5], b[7]]
           for a, b in zip(of["samples"], of["moments"])])
    return lines


# --- Where one loop ends ------------------------------------------------------

def pin(server, core, workers_core):
    """The supervisor with all its threads to one core, its workers to another."""
    for task in pathlib.Path(f"/proc/{server.pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), {core})
    for pid in server.workers():
        os.sched_setaffinity(pid, {workers_core})


def measure_loop(options, folder):
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        print("\n**One loop**: SKIP: one core only")
        return []
    print("\n**One loop** on a core of its own; workers and load generator share the other\n")
    rows, kept = [], []
    server = Server(options.build, folder, "loop", contenders.STABLE)
    try:
        server.deploy()
        pin(server, cores[0], cores[1])
        os.sched_setaffinity(0, {cores[1]})  # and so wrk
        for connections, pipeline in (1, 1), (8, 1), (64, 1), (256, 1), (256, 8):
            m = rounds_of(options, f"{connections} connections, pipeline {pipeline}",
                          lambda: server.measure(connections, options.seconds, PIPELINE=pipeline))
            kept.append({"connections": connections, "pipeline": pipeline, **m})
            rows.append([str(connections), str(pipeline), f"{m['rate']:,.0f}",
                         f"{100 * m['supervisor_busy']:.0f} %",
                         f"{100 * m['supervisor_wants']:.0f} %", f"{m['supervisor_us']:.2f}",
                         f"{1e6 / m['supervisor_us']:,.0f}", f"{m['workers_us']:.2f}"])
    finally:
        server.stop()
        os.sched_setaffinity(0, cores)
    table(["connections", "requests in a write", "requests/s", "loop busy", "loop busy or waiting",
           "supervisor us a request", "so at most, a second", "workers us"], rows)
    return kept


def measure_two(options, folder):
    """Two supervisors on two ports share nothing: the most that two loops could bring."""
    print("\n**Two loops**: canaryds of their own ports, each with its workers and load generator, "
          "on all cores\n")
    rows, kept = [], []
    servers = [Server(options.build, folder, f"two-{i}", contenders.STABLE) for i in range(2)]

    def ask(n, connections):
        with ThreadPoolExecutor(n) as pool:
            found = list(pool.map(lambda s: s.measure(connections, options.seconds), servers[:n]))
        total = sum(m["rate"] for m in found)
        return {"rate": total, "p99_ms": max(m["p99_ms"] for m in found),
                "cpu_us": sum(m["rate"] * (m["supervisor_us"] + m["workers_us"])
                              for m in found) / total,
                "supervisor_busy": statistics.mean(m["supervisor_busy"] for m in found)}

    try:
        for server in servers:
            server.deploy()
        for connections in 64, 256:
            rounds = [(ask(1, connections), ask(2, connections // 2))
                      for _ in range(options.rounds)]
            ratios = sorted(two["rate"] / one["rate"] for one, two in rounds)
            spread = f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} - {ratios[-1]:.2f})"
            for n in 1, 2:
                m = calmest([r[n - 1] for r in rounds])
                kept.append({"connections": connections, "loops": n, "ratios": ratios, **m})
                rows.append([str(connections), str(n), f"{m['rate']:,.0f}",
                             spread if n == 2 else "1", f"{m['cpu_us']:.2f}",
                             f"{100 * m['supervisor_busy']:.0f} %", f"{m['p99_ms']:.2f}"])
    finally:
        for server in servers:
            server.stop()
    table(["connections in all", "loops", "requests/s", "to one (min - max)", "supervisor and workers, us a request",
           "a loop busy", "p99 ms"], rows)
    return kept


PARTS = {"features": measure_features, "connections": measure_connections,
         "models": measure_models, "samples": measure_samples, "loop": measure_loop,
         "two": measure_two}


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("build", type=pathlib.Path, help="the build's folder")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--rounds", type=int, default=3, help="of each row; the calmest is told (3)")
    parser.add_argument("--seconds", type=int, default=3, help="of each round (3)")
    parser.add_argument("--features", type=int, nargs="+", default=[5, 100, 1000, 10000])
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 10, 100, 1000, 10000])
    parser.add_argument("--model-us", type=int, nargs="+", default=[1, 100, 10000])
    parser.add_argument("--samples", type=float, default=1e8, help="at most (1e8)")
    parser.add_argument("--keep", type=pathlib.Path, help="file for the figures, as JSON")
    options = parser.parse_args()
    options.build = options.build.resolve()
    return options


def main():
    options = parse_arguments()
    kept = {}
    with tempfile.TemporaryDirectory(prefix="canaryd-bench-") as folder:
        for part in options.parts:
            try:
                kept[part] = PARTS[part](options, pathlib.Path(folder))
            except Missing as why:
                print(f"SKIP: {part}: {why}")
    path = options.keep or options.build / "bench/growth.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(kept, indent=1) + "\n")
    shown = path.relative_to(contenders.ROOT) if path.is_relative_to(contenders.ROOT) else path
    print(f"\nkept in {shown}")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
