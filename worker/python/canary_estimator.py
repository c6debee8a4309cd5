# SPDX-License-Identifier: GPL-2.0-or-later
"""Fitted scikit-learn estimators, as far as the exporter and the worker both know them: how one is
read from a file's bytes, what it is called, what it takes, and how a refusal is worded.
"""
import io
import os
import resource

import joblib

MAX_FEATURES = 65536


class Refusal(Exception):
    """The model cannot be served; the text says why, in one sentence."""


# --- words ---------------------------------------------------------------------------------


def title(estimator):
    """'SVC (sklearn.svm._classes)'"""
    return f"{type(estimator).__name__} ({type(estimator).__module__})"


def outline(estimator):
    """'Pipeline(StandardScaler, LogisticRegression)'"""
    steps = getattr(estimator, "steps", None)
    if not steps:
        return type(estimator).__name__
    return f"{type(estimator).__name__}({', '.join(outline(s) for _, s in steps)})"


def failure(e):
    """'ValueError: what it said'"""
    return f"{type(e).__name__}: {e}" if str(e) else type(e).__name__


def one_line(text, max_bytes=400):
    text = "".join(c if c.isprintable() else " " for c in " ".join(str(text).split()))
    return text.encode("utf-8", "replace")[:max_bytes - 1].decode("utf-8", "ignore")


# --- reading -------------------------------------------------------------------------------


def read_all(fd):
    """What the file behind fd holds, from its beginning; other processes share its position."""
    data = bytearray()
    while part := os.pread(fd, 1 << 20, len(data)):
        data += part
    return bytes(data)


def out_of_memory():
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return f"it ran out of memory (limit {limit} bytes)" if limit > 0 else "it ran out of memory"


def load(data):
    """The object that a .joblib or .pkl file of these bytes holds. Runs whatever code is in it."""
    try:
        return joblib.load(io.BytesIO(data))
    except MemoryError:
        raise Refusal(out_of_memory())
    except BaseException as e:  # SystemExit too: whatever a foreign pickle may raise
        raise Refusal(f"it cannot be loaded as a joblib or pickle file: {failure(e)}")


def n_features_of(estimator):
    """How many features an estimator takes, or None. A pipeline asks its first step, which may be
    'passthrough' and not know: then the first that does."""
    steps = [step for _, step in getattr(estimator, "steps", [])]
    for candidate in [estimator, *steps]:
        n = getattr(candidate, "n_features_in_", None)
        if n is not None:
            return int(n)
    return None


def check_estimator(estimator):
    """Raises Refusal for what is no fitted model."""
    if isinstance(estimator, type):
        raise Refusal(f"it holds the class {estimator.__name__}, not a fitted model")
    if not hasattr(estimator, "predict"):
        raise Refusal(f"it holds an object of type {type(estimator).__name__}, which has no "
                      "predict() method: not a fitted model")
    n = n_features_of(estimator)
    if n is None:
        raise Refusal(f"{title(estimator)} does not say how many features it takes; is it fitted?")
    if not 1 <= n <= MAX_FEATURES:
        raise Refusal(f"{title(estimator)} takes {n} features; 1 to {MAX_FEATURES} can be served")
