#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes welch_reference.json beside itself: Welch's test by SciPy.

Samples are whole nanoseconds from a seeded generator, so that C and Python
start from the same bits. The interval is computed from scipy.stats.t, since
ttest_ind gives none in SciPy 1.10; exact_effect solves for 80 % power with the
noncentral t, by which the formula in judge/welch.h is an approximation.
Run with Debian's /usr/bin/python3 (python3-scipy).
"""
import json
import pathlib
import platform
import random

import numpy
import scipy
from scipy import optimize, stats

ALPHA, POWER = 0.05, 0.8
LEVELS = (0.9, 0.95, 0.99)
# name, stable (n, mean ms, sd ms), canary (the same)
CASES = (
    ("equal arms", (40, 15.0, 3.0), (40, 15.0, 3.0)),
    ("ten to one, ten ms slower", (180, 50.0, 15.0), (20, 60.0, 15.0)),
    ("canary faster", (36, 20.0, 4.0), (36, 12.0, 2.0)),
    ("very unequal spread", (25, 10.0, 0.01), (12, 11.0, 6.0)),
    ("two against two", (2, 10.0, 1.0), (2, 12.0, 1.0)),
    ("two against many", (200, 10.0, 2.0), (2, 15.0, 1.0)),
    ("microseconds", (100, 0.026, 0.004), (100, 0.028, 0.004)),
    ("far apart", (60, 10.0, 0.5), (60, 100.0, 0.5)),
)


def samples(rng, n, mean_ms, sd_ms):
    return [max(1, round(1e6 * rng.gauss(mean_ms, sd_ms))) for _ in range(n)]


def satterthwaite(a, b):
    va, vb = numpy.var(a, ddof=1) / len(a), numpy.var(b, ddof=1) / len(b)
    return va + vb, (va + vb) ** 2 / (va**2 / (len(a) - 1) + vb**2 / (len(b) - 1))


def exact_effect(se, df):
    critical = stats.t.isf(ALPHA, df)
    shift = optimize.brentq(lambda d: stats.nct.sf(critical, df, d) - POWER, 0.01, 60, xtol=1e-12)
    return float(se * shift)


def case(name, stable, canary):
    a, b = numpy.array(stable, float), numpy.array(canary, float)
    test = {
        side: stats.ttest_ind(b, a, equal_var=False, alternative=side)
        for side in ("greater", "less", "two-sided")
    }
    squared, df = satterthwaite(a, b)
    se, difference = squared**0.5, b.mean() - a.mean()
    half = {level: stats.t.isf((1 - level) / 2, df) * se for level in LEVELS}
    effect = se * (stats.t.isf(ALPHA, df) + stats.t.ppf(POWER, df))
    return {
        "name": name,
        "stable_ns": stable,
        "canary_ns": canary,
        "t": float(test["greater"].statistic),
        "df": float(df),
        "p_greater": float(test["greater"].pvalue),
        "p_less": float(test["less"].pvalue),
        "p_two_sided": float(test["two-sided"].pvalue),
        "intervals": [
            {"level": level, "low": float(difference - half[level]), "high": float(difference + half[level])}
            for level in LEVELS
        ],
        "minimum_detectable_effect": float(effect),
        "exact_effect": exact_effect(se, df),
    }


def main():
    rng = random.Random(20250803)
    meta = {
        "made_by": "tests/data/make_welch_reference.py",
        "python": platform.python_version(),
        "numpy": numpy.__version__,
        "scipy": scipy.__version__,
        "alpha": ALPHA,
        "power": POWER,
        "unit": "ns",
    }
    cases = [case(name, samples(rng, *s), samples(rng, *c)) for name, s, c in CASES]
    lines = ",\n".join("  " + json.dumps(c) for c in cases)
    text = f'{{\n "meta": {json.dumps(meta)},\n "cases": [\n{lines}\n ]\n}}\n'
    pathlib.Path(__file__).with_name("welch_reference.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
