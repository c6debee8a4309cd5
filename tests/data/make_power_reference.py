#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes power_reference.json beside itself: upper tails of the noncentral t.

By mpmath at 30 digits, straight from the definition T = (Z + ncp) / S: the
integral over ln S of its density times Phi(ncp - t S). Among them are the
places where AS 243, the usual algorithm, gives up (|ncp| above 37.6).
Run with Debian's /usr/bin/python3 (python3-mpmath); takes a few seconds.
"""
import json
import math
import pathlib

import mpmath

mpmath.mp.dps = 30
# degrees of freedom, t, ncp
CASES = (
    (1, 6.3, 2.5), (1, 318.0, 866.0), (1, 0.16, -0.17),
    (2, 2.9, 0.01), (2, 2.9, 3.0), (2, 22.3, 50.0), (2, 707.0, 50.0),
    (4, 41.6, 12.25), (4, 41.6, 61.0), (8, 12.1, -1.0),
    (54, 1.67, 2.5), (70, 0.0, 2.8), (70, 2.0, 2.8), (70, 2.0, -2.8), (198, 30.0, 33.0),
    (1998, 4.75, 4.5), (199998, 1.645, 2.236), (199998, 40.0, 40.1), (400002, 3.09, 3.1),
)


def upper_tail(df, t, ncp):
    half = mpmath.mpf(df) / 2
    constant = mpmath.log(2) + half * mpmath.log(half) - mpmath.loggamma(half)
    width = 1 / math.sqrt(2 * df)
    low, high = -(50 / df + 12 * width), min(12 * width, 2 + 12 * width)
    cuts = [low, -6 * width, -2 * width, 0, 2 * width, 6 * width, high]
    if ncp > 1 and t > 0:
        cuts += [math.log(ncp / t) + k / ncp for k in (-9, -3, 0, 3, 9)]

    def integrand(u):
        density = mpmath.exp(constant + df * u - half * mpmath.exp(2 * u))
        return density * mpmath.ncdf(ncp - t * mpmath.exp(u))

    return mpmath.quad(integrand, sorted({c for c in cuts if low <= c <= high}), maxdegree=8)


def main():
    rows = [{"df": df, "t": t, "ncp": ncp, "upper_tail": float(upper_tail(df, t, ncp))}
            for df, t, ncp in CASES]
    meta = {"made_by": f"make_power_reference.py, mpmath {mpmath.__version__}, 30 digits"}
    path = pathlib.Path(__file__).with_name("power_reference.json")
    lines = ",\n  ".join(json.dumps(row) for row in rows)
    path.write_text(f'{{"meta": {json.dumps(meta)},\n "noncentral_t": [\n  {lines}\n ]}}\n')


main()
