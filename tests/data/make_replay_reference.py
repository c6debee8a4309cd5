#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes replay_reference.json beside itself: streams, and what rows T and E make of them.

A second program for the same rules, written from their description alone: blocks
of whole groups that hold both arms, thresholds renewed at 32, 64, 128 latencies of
the baseline, the running level, bets, and their inflation. What the reference
streams of guard_vectors.json leave out are the renewals and the margins. Needs
nothing but Python; takes a second.
"""
import json
import math
import pathlib
import random

LAMBDAS = (.05, .1, .2, .4, .7, .95)
TAIL_ALPHA, ERRORS_ALPHA, MIN_SAMPLES, MIN_BLOCKS = .05 * .15, .05 * .10, 36, 12


def midpoint(ns):
    """Of the histogram's bucket: 64 to an octave, below 128 ns each number its own."""
    if ns < 128:
        return float(ns)
    width = 1 << (ns.bit_length() - 7)
    return ns // width * width + (width - 1) / 2


def log_mean_exp(x):
    top = max(x)
    return top + math.log(math.fsum(math.exp(v - top) for v in x) / len(x))


def inflation(x):
    n, mean = len(x), math.fsum(x) / len(x)
    m2 = math.fsum((v - mean) ** 2 for v in x)
    if n < 8 or m2 == 0:
        return 1
    steps = math.fsum((b - a) ** 2 for a, b in zip(x, x[1:]))
    r1 = 1 - (steps + (x[0] - mean) ** 2 + (x[-1] - mean) ** 2) / (2 * m2)
    r = (n * r1 + 1) / (n - 4)
    cap = 2.5 * math.sqrt(max(1, n / 40))
    return cap if r >= 1 else min(max((1 + r) / (1 - r), 1), cap)


class Bet:
    def __init__(self):
        self.g = []

    def add(self, g):
        self.g.append(g)

    def ln_e(self):
        if not self.g:
            return 0
        e = log_mean_exp([math.fsum(math.log1p(k * g) for g in self.g) for k in LAMBDAS])
        return e / inflation(self.g) if e > 0 else e


class Tail:
    def __init__(self, margin_ns, margin_ratio):
        self.margin = margin_ns, 1 + margin_ratio
        self.past, self.renewed, self.cuts, self.level, self.spread = [], 0, [0] * 4, 0, 0
        self.bets = [Bet() for _ in range(5)]

    def score(self, side):
        return math.fsum(max(-1, min(1, (y - self.level) / self.spread)) for y in side) / len(side)

    def block(self, baseline, canary):
        if self.renewed:
            canary = [(y - self.margin[0]) / self.margin[1] for y in canary]
            score = self.score(baseline)
            self.bets[0].add((self.score(canary) - score) / 2)
            for bet, cut in zip(self.bets[1:], self.cuts):
                bet.add(sum(y > cut for y in canary) / len(canary)
                        - sum(y > cut for y in baseline) / len(baseline))
            self.level += self.spread * score / 4
        self.past = sorted(self.past + baseline)
        self.cuts[3] = self.past[-1]
        due = 32
        while due <= self.renewed:
            due *= 2
        if len(self.past) >= due:
            self.renew()

    def renew(self):
        at = [midpoint(self.past[math.ceil(q * len(self.past)) - 1]) for q in (.5, .95, .99)]
        self.level = self.level if self.renewed else at[0]
        self.cuts[:3] = at
        self.spread = max(at[1] - at[0], 1e-6)
        self.renewed = len(self.past)

    def ln_e(self):
        return log_mean_exp([bet.ln_e() for bet in self.bets])


def judge(stream):
    """arms: 0 stable, 1 canary, 2 baseline; a latency of -1: the call failed."""
    tail, errors, tail_at, errors_at = Tail(stream["margin_ns"], stream["margin_ratio"]), Bet(), 0, 0
    n_blocks, n_samples, drawn, calls = 0, [0, 0], set(), ([], [])
    for i, (arm, ns) in enumerate(zip(stream["arms"], stream["round_trip_ns"]), 1):
        drawn.add(arm)
        if arm != "0":
            calls[arm == "1"].append(ns)
        if i % stream["group"] != 0 or not {"1", "2"} <= drawn:
            continue
        errors.add(calls[1].count(-1) / len(calls[1]) - calls[0].count(-1) / len(calls[0]))
        if not errors_at and errors.ln_e() >= math.log(1 / ERRORS_ALPHA + 1):
            errors_at = i
        baseline, canary = ([ns for ns in side if ns >= 0] for side in calls)
        if baseline and canary:
            tail.block(baseline, canary)
            n_blocks += 1
            n_samples = [n_samples[0] + len(baseline), n_samples[1] + len(canary)]
            may_look = min(n_samples) >= MIN_SAMPLES and n_blocks >= MIN_BLOCKS
            if may_look and not tail_at and tail.ln_e() >= math.log(1 / TAIL_ALPHA + 1):
                tail_at = i
        drawn, calls = set(), ([], [])
    return {"blocks": n_blocks, "tail": tail.ln_e(), "tail_fired_at": tail_at or None,
            "errors": errors.ln_e(), "errors_fired_at": errors_at or None}


def arms(rng, n, group, each):
    out = []
    while len(out) < n:
        places = ["1"] * each + ["2"] * each + ["0"] * (group - 2 * each)
        rng.shuffle(places)
        out += places
    return "".join(out[:n])


def stream(rng, note, latency, percent=25, group=4, each=1, shuffled=None, n=640, margins=(0, 0)):
    drawn = arms(rng, n, shuffled or group, each)
    s = {"note": note, "percent": percent, "group": group, "margin_ns": margins[0],
         "margin_ratio": margins[1], "arms": drawn, "round_trip_ns": [latency(a) for a in drawn]}
    s["expected"] = judge(s)
    return s


def main():
    rng = random.Random(20)
    level = {"0": 0.0, "1": 0.0, "2": 0.0}

    def lognormal(times=1.0):
        return lambda arm: int(1e7 * rng.lognormvariate(0, 1) * (times if arm == "1" else 1))

    def own(arm):
        level[arm] = .8 * level[arm] + rng.gauss(0, 1)
        return max(0, int((50 + 5 * level[arm]) * 1e6))

    def failing(canary, others):
        return lambda arm: -1 if rng.random() < (canary if arm == "1" else others) \
            else int(rng.gauss(1e7, 1e6))

    streams = [
        stream(rng, "lognormal, equal", lognormal()),
        stream(rng, "lognormal, twice as slow", lognormal(2)),
        stream(rng, "lognormal, margins", lognormal(1.5), margins=(100000, .2)),
        stream(rng, "few values below 128 ns", lambda arm: rng.randint(100, 103)),
        stream(rng, "across 128 ns", lambda arm: rng.randint(120, 140) + 3 * (arm == "1")),
        stream(rng, "each arm its own autocorrelation", own),
        stream(rng, "the canary fails", failing(.3, .02)),
        stream(rng, "both fail", failing(.3, .3)),
        stream(rng, "groups that lack an arm", lognormal(), 40, 5, 4, 10),
        stream(rng, "constant, the canary slower", lambda arm: 15000000 if arm == "1" else 7500000),
    ]
    path = pathlib.Path(__file__).with_name("replay_reference.json")
    path.write_text("[\n" + ",\n".join(json.dumps(s) for s in streams) + "\n]\n")


if __name__ == "__main__":
    main()
