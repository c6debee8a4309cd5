#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What two workers of the same model differ by, and how often that costs a canary its life.

The canary is the stable model itself, so every difference that is seen is the machine's, the
supervisor's or the comparison's fault. Part one measures the differences on both clocks, with
and without the baseline, at 1, 8 and 64 connections, idle and beside processes that keep the
cores busy. Part two deploys the same model again and again under uneven load, with automatic
rollback on, and counts the deployments that do not stay. Loopback only.
"""
import argparse
import json
import pathlib
import random
import statistics
import subprocess
import sys
import tempfile
import urllib.request

from contenders import ROOT, Contender, Missing, load, progress, python_with

KNN = """
import sys, joblib, numpy
from sklearn.neighbors import KNeighborsClassifier
r = numpy.random.RandomState(1)
x = r.rand(300, 5)
joblib.dump(KNeighborsClassifier(5).fit(x, x.sum(1) > 2.5), sys.argv[1])
"""
SEGMENT_SECONDS = 1


class Same(Contender):
    """canaryd whose canary is its stable model."""

    name = "canaryd"

    def __init__(self, build, folder, model, *settings):
        self.model, self.settings = model, settings
        super().__init__(build, folder)

    def start(self):
        self.spawn(self.build / "canaryd", f"--listen=127.0.0.1:{self.port}",
                   f"--model-dir={self.model.parent}", f"--stable-model={self.model.name}",
                   f"--state-dir={self.folder / 'state'}", f"--runtime-dir={self.folder / 'run'}",
                   *self.settings)

    def admin(self, what, body=None):
        url = f"http://127.0.0.1:{self.port}/admin/{what}"
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read())

    def deploy(self):
        self.admin("deploy-canary", json.dumps({"model_path": self.model.name}).encode())

    def health(self):
        return self.admin("check-canary-health")


def spin(n):
    """Processes that do nothing, as fast as they can."""
    return [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(n)]


def end(processes):
    for process in processes:
        process.kill()
        process.wait()


def measure(options, folder, model, baseline, connections, n_spinning):
    """Differences in ms on both clocks, and the rows that would have fired, round by round."""
    found = []
    for i in range(options.rounds):
        with tempfile.TemporaryDirectory(dir=folder) as name:
            server = Same(options.build, pathlib.Path(name), model, "--auto-rollback=false",
                          f"--baseline={baseline}")
            spinning = spin(n_spinning)
            try:
                server.deploy()
                load(server.port, connections, options.seconds)
                health = server.health()
            finally:
                end(spinning)
                server.stop()
        fired = [f"{m['test']}/{m['clock']}" for m in health["metrics"] if m["fired_at"]]
        reference = "baseline" if baseline == "on" else "stable"
        found.append({"round_trip": health["effect"]["difference_ms"],
                      "service": health["service_effect"]["difference_ms"],
                      "level": health[f"{reference}_avg_latency_ms"], "fired": fired})
        progress(f"{model.name}, baseline {baseline}, {connections} connections: "
                 f"{i + 1}/{options.rounds}")
    return found


def in_us(found, key):
    values = sorted(1000 * f[key] for f in found if f[key] is not None)
    if not values:
        return "-"
    return f"{statistics.median(values):+.1f} ({values[0]:+.1f} to {values[-1]:+.1f})"


def table(options, folder, models):
    print("| worker | baseline | connections | cores | its latency, us | round trip, us (range) "
          "| service time, us (range) | rounds with a row that fired |")
    print("|---|---|---|---|---|---|---|---|")
    for kind, model in models.items():
        for baseline in "on", "off":
            for connections in options.connections:
                for n_spinning in 0, 2:
                    found = measure(options, folder, model, baseline, connections, n_spinning)
                    level = statistics.median(1000 * f["level"] for f in found)
                    fired = sum(1 for f in found if f["fired"])
                    rows = sorted({row for f in found for row in f["fired"]})
                    progress()
                    print(f"| {kind} | {baseline} | {connections} | "
                          f"{'busy' if n_spinning else 'idle'} | {level:.0f} "
                          f"| {in_us(found, 'round_trip')} | {in_us(found, 'service')} "
                          f"| {fired} of {len(found)} {' '.join(rows)} |", flush=True)


def stays(options, folder, model, rng):
    """One deployment of the same model under uneven load: None, or how it ended."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        server = Same(options.build, pathlib.Path(name), model)
        try:
            server.deploy()
            n = 0
            while n < options.requests:
                spinning = spin(rng.choice([0, 0, 1, 2]))
                try:
                    n += int(load(server.port, rng.choice([1, 2, 8, 16, 64]), SEGMENT_SECONDS)[0])
                finally:
                    end(spinning)
                health = server.health()
                if health["rolled_back"]:
                    return f"{health['verdict_test']}/{health['verdict_clock']} after {n} requests"
        finally:
            server.stop()
    return None


def deployments(options, folder, model):
    rng = random.Random(options.seed)
    ends = []
    for i in range(options.runs):
        how = stays(options, folder, model, rng)
        if how is not None:
            ends.append(how)
            print(f"deployment {i + 1} of {options.runs}: rolled back by {how}")
        else:
            progress(f"{i + 1} of {options.runs} deployments")
    progress()
    print(f"\n{options.runs - len(ends)} of {options.runs} deployments of the same model stayed "
          f"over {options.requests:,} requests under uneven load (seed {options.seed})")


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("build", type=pathlib.Path, help="the build's folder")
    parser.add_argument("--rounds", type=int, default=3, help="of each row of the table (3)")
    parser.add_argument("--seconds", type=int, default=3, help="of each round (3)")
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--runs", type=int, default=20, help="deployments in part two (20)")
    parser.add_argument("--requests", type=int, default=200000, help="of each (200000)")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument("--part", choices=["table", "deployments", "both"], default="both")
    options = parser.parse_args()
    options.build = options.build.resolve()
    return options


def main():
    options = parse_arguments()
    with tempfile.TemporaryDirectory(prefix="canaryd-bench-") as name:
        folder = pathlib.Path(name)
        models = {"C": ROOT / "models/model_v1.json"}
        try:
            knn = folder / "knn.joblib"
            subprocess.run([python_with("sklearn", "joblib"), "-c", KNN, knn], check=True)
            models["Python"] = knn
        except Missing as why:
            print(f"without Python workers: {why}", file=sys.stderr)
        if options.part != "deployments":
            table(options, folder, models)
        if options.part != "table":
            deployments(options, folder, models["C"])


if __name__ == "__main__":
    try:
        main()
    except Missing as missing:
        sys.exit(f"fairness: {missing}; make bench-deps installs it")
    except KeyboardInterrupt:
        sys.exit(130)
