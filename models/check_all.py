#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Compare canary-worker with scikit-learn, bit for bit, on every row of the data set.

    models/check_all.py telco_churn.csv [--worker build/canary-worker]

The shipped models first, then one of every kind of estimator that export.py
knows, trained here and now. Exit status 1 if a single bit differs.
"""
import argparse
import os
import re
import subprocess
import sys
import tempfile
import warnings

import joblib
import numpy as np
from sklearn.ensemble import (ExtraTreesClassifier, ExtraTreesRegressor,
                              GradientBoostingClassifier, GradientBoostingRegressor,
                              HistGradientBoostingClassifier, HistGradientBoostingRegressor,
                              RandomForestClassifier, RandomForestRegressor)
from sklearn.linear_model import (ElasticNet, Lasso, LinearRegression, LogisticRegression, Ridge,
                                  SGDClassifier, SGDRegressor)
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import export  # noqa: E402
import train  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))


def assortment():
    scaled, seed = make_pipeline, {"random_state": 1}
    return [
        LogisticRegression(),
        LogisticRegression(solver="liblinear", penalty="l1"),
        scaled(MinMaxScaler(clip=True), LogisticRegression()),
        scaled(MinMaxScaler((-1, 3)), "passthrough", StandardScaler(), LogisticRegression()),
        scaled(MaxAbsScaler(), SGDClassifier(loss="log_loss", **seed)),
        scaled(RobustScaler(), SGDClassifier(loss="log_loss", average=True, **seed)),
        GridSearchCV(scaled(StandardScaler(), LogisticRegression()),
                     {"logisticregression__C": [0.1, 1.0]}),
        DecisionTreeClassifier(**seed),
        DecisionTreeClassifier(max_leaf_nodes=50, class_weight="balanced", **seed),
        DecisionTreeClassifier(ccp_alpha=0.001, **seed),
        ExtraTreeClassifier(**seed),
        scaled(StandardScaler(), DecisionTreeClassifier(max_depth=6, **seed)),
        RandomForestClassifier(**seed),
        RandomForestClassifier(n_estimators=37, n_jobs=2, class_weight="balanced_subsample", **seed),
        ExtraTreesClassifier(max_depth=8, **seed),
        GradientBoostingClassifier(loss="exponential", subsample=0.7, **seed),
        GradientBoostingClassifier(init="zero", max_depth=6, learning_rate=0.3, **seed),
        HistGradientBoostingClassifier(**seed),
        HistGradientBoostingClassifier(learning_rate=0.07, max_leaf_nodes=63, **seed),
        LinearRegression(),
        scaled(StandardScaler(), Ridge()),
        Lasso(alpha=0.01),
        ElasticNet(alpha=0.01),
        scaled(StandardScaler(), SGDRegressor(**seed)),
        DecisionTreeRegressor(**seed),
        RandomForestRegressor(n_estimators=30, **seed),
        ExtraTreesRegressor(n_estimators=30, max_depth=9, **seed),
        GradientBoostingRegressor(**seed),
        GradientBoostingRegressor(loss="quantile", alpha=0.8, **seed),
        HistGradientBoostingRegressor(**seed),
        HistGradientBoostingRegressor(loss="absolute_error", **seed),
    ]


def label(estimator):
    """The outline, with what was set."""
    steps = getattr(estimator, "steps", [("", estimator)])
    texts = (" ".join(str(step).split()) for _, step in steps)
    return " + ".join(re.sub(r"(, )?random_state=1|(?<=\()random_state=1, ", "", t) for t in texts)


def worker_answers(worker, path, x):
    rows = "".join(",".join(map(repr, row)) + "\n" for row in x.tolist())
    run = subprocess.run([worker, "--evaluate", path], input=rows, capture_output=True, text=True)
    if run.returncode != 0:
        sys.exit(f"{path}: {run.stderr.strip()}")
    return np.array([float(line) for line in run.stdout.split()])


def compare(worker, name, estimator, path, x):
    """True when every row agrees."""
    kind = "linear" if hasattr(export.unwrap(estimator)[1], "coef_") else "ensemble"
    expected = export.answers(estimator, x, kind == "linear")
    got = worker_answers(worker, path, x)
    differ = int((got.view(np.uint64) != expected.view(np.uint64)).sum())
    print(f"{len(x) - differ:>6} of {len(x)} rows identical, largest difference "
          f"{np.abs(got - expected).max():.3g}   {name}", flush=True)
    return differ == 0


def compare_fresh(worker, estimator, x, y, directory):
    target = y
    if not hasattr(estimator, "predict_proba"):
        target = y + 10 * x[:, 1]  # something to regress on
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # convergence is not what is tested
        estimator.fit(x, target)
    path = os.path.join(directory, "model.json")
    with open(path, "wb") as stream:
        stream.write(export.render(export.export(estimator)))
    return compare(worker, label(estimator), estimator, path, x)


def main():
    p = argparse.ArgumentParser(description="Compare canary-worker with scikit-learn bit for bit.")
    p.add_argument("csv", help="telco_churn.csv")
    p.add_argument("--worker", default="build/canary-worker")
    args = p.parse_args()
    x, y = train.read_telco(args.csv)
    agree = []
    for name in ("model_v1", "model_v2"):
        path = os.path.join(HERE, name)
        agree.append(compare(args.worker, f"models/{name}.json", joblib.load(path + ".joblib"),
                             path + ".json", x))
    with tempfile.TemporaryDirectory() as directory:
        for estimator in assortment():
            agree.append(compare_fresh(args.worker, estimator, x, y, directory))
    print(f"{sum(agree)} of {len(agree)} models agree on every row")
    return 0 if all(agree) else 1


if __name__ == "__main__":
    sys.exit(main())
