#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Write the golden vectors of the shipped models for the unit tests.

    models/make_golden.py telco_churn.csv [--rows 300] [--out tests/data]

tests/data/golden_v1.json and golden_v2.json: a sample of the data set's rows
with the answers of scikit-learn's own predict_proba, and where they come from.
models/check_all.py compares every row.
"""
import argparse
import hashlib
import os
import sys

import joblib
import numpy as np
import scipy
import sklearn

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import export  # noqa: E402
import train  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
EXAMPLE = [0.5, 1.2, 0.8, 0.3, 1.1]  # the documentation's request


def digest(path):
    with open(path, "rb") as stream:
        return hashlib.sha256(stream.read()).hexdigest()


def golden(version, x, args):
    model_path = os.path.join(HERE, f"model_{version}.joblib")
    p = joblib.load(model_path).predict_proba(x)[:, 1]
    return {
        "about": {
            "script": "models/make_golden.py",
            "model": f"models/model_{version}.joblib",
            "model_sha256": digest(model_path),
            "data": os.path.basename(args.csv),
            "data_sha256": digest(args.csv),
            "rows": f"[0.5,1.2,0.8,0.3,1.1], then {len(x) - 1} rows of the data drawn with "
                    "numpy's default_rng(42)",
            "scikit-learn": sklearn.__version__,
            "numpy": np.__version__,
            "scipy": scipy.__version__,
            "python": sys.version.split()[0],
        },
        "inputs": x.tolist(),
        "outputs": p.tolist(),
    }


def main():
    p = argparse.ArgumentParser(description="Write the golden vectors of the shipped models.")
    p.add_argument("csv", help="telco_churn.csv")
    p.add_argument("--rows", type=int, default=300)
    p.add_argument("--out", default="tests/data")
    args = p.parse_args()
    x, _ = train.read_telco(args.csv)
    drawn = np.sort(np.random.default_rng(42).choice(len(x), args.rows, replace=False))
    sample = np.vstack([[EXAMPLE], x[drawn]])
    os.makedirs(args.out, exist_ok=True)
    for version in ("v1", "v2"):
        path = os.path.join(args.out, f"golden_{version}.json")
        with open(path, "wb") as stream:
            stream.write(export.render(golden(version, sample, args)))
        print(f"{path}: {len(sample)} rows")


if __name__ == "__main__":
    main()
