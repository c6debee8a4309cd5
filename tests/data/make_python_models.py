#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes models for the tests of the Python worker into a directory, and for those that can answer
what scikit-learn itself says, as raw doubles: rows.bin, NAME.single (row by row) and NAME.batch.

    tests/data/make_python_models.py DIRECTORY
"""
import os
import pickle
import sys
import warnings

import joblib
import numpy as np
import sklearn.base
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import RandomForestClassifier, VotingClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, PolynomialFeatures, StandardScaler
from sklearn.svm import SVC, SVR

rng = np.random.default_rng(7)
X = 3 * rng.random((200, 5))
y = (X.sum(axis=1) > 7.5).astype(int)
rows = 3 * rng.random((40, 5))

ANSWER = {  # these two by predict_proba, then those by predict
    "near": KNeighborsClassifier(7, weights="distance", n_jobs=-1).fit(X, y),
    "margin": SVC(probability=True, random_state=0).fit(X, y),
    "poly": make_pipeline(PolynomialFeatures(), StandardScaler(), LogisticRegression()).fit(X, y),
    "vote": VotingClassifier(
        [("k", KNeighborsClassifier(3)), ("f", RandomForestClassifier(9, n_jobs=-1))],
        voting="soft", n_jobs=-1).fit(X, y),
    "labels": SVC().fit(X, y),
    "three": KNeighborsClassifier().fit(X, np.digitize(X[:, 0], [1, 2])),
    "curve": SVR().fit(X, X.sum(axis=1)),
}
REFUSED = {
    "words": SVC().fit(X, np.where(y, "yes", "no")),
    "two": KNeighborsRegressor().fit(X, X[:, :2]),
    "never": make_pipeline(FunctionTransformer(), KNeighborsClassifier()).fit(X, y),
    "unfitted": KNeighborsClassifier(),
    "dict": {"a": 1},
}
REFUSED["never"].steps[0][1].func = np.linalg.inv
FAULTY = {  # for rows that are not above 0; and for all 10, beyond the largest float
    "log": make_pipeline(FunctionTransformer(np.log), KNeighborsClassifier()).fit(X + 1, y),
    "huge": TransformedTargetRegressor(LinearRegression(), func=np.log, inverse_func=np.exp).fit(
        X, np.exp(40 * X.sum(axis=1))),
}


class Evil:
    """Unpickled, it is what an expression says."""

    def __init__(self, expression):
        self.expression = expression

    def __reduce__(self):
        return eval, (self.expression,)


near = pickle.dumps(ANSWER["near"])
EVIL = {
    "raises": Evil("1 // 0"),
    "exits": Evil("__import__('sys').exit(0)"),
    # The exporter's own way to say that another one should try, but without a reason.
    "leaves": Evil("__import__('os')._exit(10)"),
    "dies": Evil("__import__('os').kill(__import__('os').getpid(), 9)"),
    # Well-behaved in the exporter.
    "sleeps": Evil("'worker' in __import__('sys').argv[0] and __import__('time').sleep(1000) or "
                   f"__import__('pickle').loads({near!r})"),
    "ends": Evil("'worker' in __import__('sys').argv[0] and __import__('os')._exit(3) or "
                 f"__import__('pickle').loads({near!r})"),
}


def ask(model, some):
    if hasattr(model, "predict_proba") and len(model.classes_) == 2:
        return model.predict_proba(some)[:, 1]
    return model.predict(some)


def main():
    directory = sys.argv[1]
    warnings.simplefilter("ignore")
    for name, model in {**ANSWER, **REFUSED, **FAULTY, **EVIL}.items():
        joblib.dump(model, os.path.join(directory, name + ".joblib"))
    sklearn.base.__version__ = "0.99.9"  # as if another release had trained it
    joblib.dump(LogisticRegression().fit(rows, rows[:, 0] > np.median(rows[:, 0])),
                os.path.join(directory, "older.joblib"))
    rows.tofile(os.path.join(directory, "rows.bin"))
    joblib.parallel_backend("sequential")
    for name, model in ANSWER.items():
        single = np.concatenate([ask(model, rows[i:i + 1]) for i in range(len(rows))])
        for kind, said in (("single", single), ("batch", ask(model, rows))):
            np.asarray(said, dtype=np.float64).tofile(os.path.join(directory, f"{name}.{kind}"))


if __name__ == "__main__":
    main()
