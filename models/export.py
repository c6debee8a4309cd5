#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Turn a fitted scikit-learn model into canaryd's native JSON (models/FORMAT.md).

    models/export.py MODEL.joblib MODEL.json [--output-name NAME] [--probes N]
    models/export.py --from-fd 4 --to-fd 5 --reason-fd 3 --source-name model_v2.joblib

The second form is the supervisor's: it needs no file name, no current directory
and no writable place. Exit status 0, or 1 with the reason in one line (on
standard error, or on the descriptor --reason-fd): it is no fitted model, or a
broken one. With 10 the reason says why the format has no words for it.

What comes out answers exactly as the model does, to the last bit, or nothing
comes out: the document is evaluated here on probe rows and compared with the
model's own predict_proba (predict, for regressors). The probes go into the
document, and canary-worker compares them once more when it reads it.

Loading a .joblib or .pickle file runs whatever code it holds. With --cage-fd this
process first locks itself in (canary_cage.py); without it (by hand) export only
what you would run. Exit status 77: there is nothing to lock it in with.
"""
import argparse
import hashlib
import json
import math
import os
import sys
import warnings
from fractions import Fraction

# What the Python worker knows as well: beside this file where it is installed, else in the source
# tree. At the end of the path, so that nothing there can take a library's place.
HERE = os.path.dirname(os.path.realpath(__file__))
sys.path += [HERE, os.path.join(HERE, "..", "worker", "python")]
from canary_cage import NoCage, enter_cage  # noqa: E402
from canary_estimator import (  # noqa: E402
    Refusal, check_estimator, failure, load, n_features_of, one_line, out_of_memory, outline,
    read_all, title)

import numpy as np  # noqa: E402
import sklearn  # noqa: E402

FLOAT_MAX = sys.float_info.max
MAX_PROBE_NUMBERS = 65536  # of inputs, over all probe rows
DEFAULT_PROBES = 256
EXIT_INEXPRESSIBLE = 10
EX_NOPERM = 77
ONLY = (
    "it serves logistic and linear regressions, decision trees, random forests, extra trees and "
    "(histogram) gradient boosting with one output, alone or behind scalers"
)


class Inexpressible(Refusal):
    """A model, but not one for the native format: canaryd serves it with the Python worker."""


# --- names ---------------------------------------------------------------------------------


def lookup(table, estimator):
    """By package and class: modules inside a package move from release to release."""
    package = ".".join(type(estimator).__module__.split(".")[:2])
    return table.get(f"{package}.{type(estimator).__name__}")


# --- numbers -------------------------------------------------------------------------------


def number(x):
    """A float that JSON can hold. Infinite thresholds (a split on missing values) become the
    largest float: every finite input falls on the same side of both."""
    x = float(x)
    if math.isnan(x):
        raise Refusal("the model holds a NaN")
    return min(max(x, -FLOAT_MAX), FLOAT_MAX)


def numbers(values, n=None):
    values = np.asarray(values, dtype=np.float64).ravel()
    if n is not None and len(values) == 1 and n > 1:
        values = np.repeat(values, n)
    if not np.isfinite(values).all():
        raise Refusal("the model holds a number that is not finite")
    return values.tolist()


# --- transforms: each scaler's operations, in its own order ---------------------------------


def standard_scaler(s):
    steps = []
    if s.with_mean:
        steps.append({"subtract": numbers(s.mean_)})
    if s.with_std:
        steps.append({"divide": numbers(s.scale_)})
    return steps


def robust_scaler(s):
    steps = []
    if s.with_centering:
        steps.append({"subtract": numbers(s.center_)})
    if s.with_scaling:
        steps.append({"divide": numbers(s.scale_)})
    return steps


def min_max_scaler(s):
    steps = [{"multiply": numbers(s.scale_)}, {"add": numbers(s.min_)}]
    if s.clip:
        n = len(s.scale_)
        steps.append({"at_least": numbers(s.feature_range[0], n)})
        steps.append({"at_most": numbers(s.feature_range[1], n)})
    return steps


def max_abs_scaler(s):
    return [{"divide": numbers(s.scale_)}]


SCALERS = {
    "sklearn.preprocessing.StandardScaler": standard_scaler,
    "sklearn.preprocessing.RobustScaler": robust_scaler,
    "sklearn.preprocessing.MinMaxScaler": min_max_scaler,
    "sklearn.preprocessing.MaxAbsScaler": max_abs_scaler,
}


def transforms(step):
    if step is None or step == "passthrough":
        return []
    scaler = lookup(SCALERS, step)
    if scaler is None:
        raise Inexpressible(
            f"the pipeline step {title(step)} cannot be expressed in the native format; it knows "
            "StandardScaler, MinMaxScaler, MaxAbsScaler, RobustScaler and 'passthrough'"
        )
    return scaler(step)


# --- predictors ----------------------------------------------------------------------------


def binary(estimator):
    one_output(estimator, getattr(estimator, "n_outputs_", 1))
    classes = getattr(estimator, "classes_", [])
    if len(classes) != 2:
        raise Inexpressible(
            f"{title(estimator)} tells {len(classes)} classes apart; the native format has one "
            "output, the probability of the second of two classes"
        )


def one_output(estimator, n):
    if n != 1:
        raise Inexpressible(f"{title(estimator)} has {n} outputs; the native format has one")


def linear(estimator, kind, link):
    coefficients = np.atleast_2d(estimator.coef_)
    one_output(estimator, coefficients.shape[0])
    intercept = np.atleast_1d(estimator.intercept_)
    return {
        "kind": kind,
        "link": link,
        "linear": {
            "coefficients": numbers(coefficients),
            "intercept": number(intercept[0]),
            "sum": "sequential",
        },
    }


def logistic_regression(estimator):
    binary(estimator)
    if getattr(estimator, "multi_class", "auto") == "multinomial":
        raise Inexpressible(
            "LogisticRegression with multi_class='multinomial' computes two classes by a softmax, "
            "which the native format does not have; train it with multi_class='auto'"
        )
    return linear(estimator, "logistic-regression", "logistic")


def sgd_classifier(estimator):
    binary(estimator)
    if estimator.loss not in ("log_loss", "log"):
        raise Inexpressible(
            f"SGDClassifier with loss='{estimator.loss}' gives no logistic probability; the "
            "native format takes loss='log_loss'"
        )
    return linear(estimator, "logistic-regression", "logistic")


def linear_regression(estimator):
    return linear(estimator, "linear-regression", "identity")


def tree(left, right, feature, threshold, value):
    """Parallel columns; a leaf has feature -1."""
    left = np.asarray(left, dtype=np.int64)
    leaf = left < 0
    return {
        "feature": np.where(leaf, -1, feature).tolist(),
        "threshold": [number(x) for x in np.where(leaf, 0.0, threshold)],
        "left": left.tolist(),
        "right": np.where(leaf, -1, np.asarray(right, dtype=np.int64)).tolist(),
        "value": [number(x) for x in np.where(leaf, value, 0.0)],
    }


def leaf_probabilities(t):
    """As DecisionTreeClassifier.predict_proba has it; since release 1.3 trees hold fractions."""
    counts = t.value[:, 0, :]
    if tuple(int(x) for x in sklearn.__version__.split(".")[:2]) >= (1, 3):
        return counts[:, 1]
    total = counts.sum(axis=1)
    total[total == 0.0] = 1.0
    return counts[:, 1] / total


def leaf_means(t):
    return t.value[:, 0, 0]


def cart(estimator, values):
    t = estimator.tree_
    return tree(t.children_left, t.children_right, t.feature, t.threshold, values(t))


def ensemble(kind, link, compare, trees, init=0.0, scale=1.0, divide_by=1.0):
    return {
        "kind": kind,
        "link": link,
        "ensemble": {
            "compare": compare,
            "init": number(init),
            "scale": number(scale),
            "divide_by": number(divide_by),
            "sum": "sequential",
            "trees": trees,
        },
    }


def decision_tree_classifier(estimator):
    binary(estimator)
    return ensemble("decision-tree", "identity", "float32", [cart(estimator, leaf_probabilities)])


def decision_tree_regressor(estimator):
    one_output(estimator, estimator.n_outputs_)
    return ensemble("decision-tree", "identity", "float32", [cart(estimator, leaf_means)])


def forest(estimator, values):
    estimator.n_jobs = 1  # threads would add the trees up in the order in which they end
    trees = [cart(e, values) for e in estimator.estimators_]
    return ensemble("random-forest", "identity", "float32", trees, divide_by=len(trees))


def forest_classifier(estimator):
    binary(estimator)
    return forest(estimator, leaf_probabilities)


def forest_regressor(estimator):
    one_output(estimator, estimator.n_outputs_)
    return forest(estimator, leaf_means)


CONSTANT_STRATEGIES = ("prior", "most_frequent", "constant", "mean", "median", "quantile")


def boosting_start(estimator):
    """The constant that the trees are added to."""
    init = estimator.init_
    if not isinstance(init, str) and (
        lookup({"sklearn.dummy.DummyClassifier": 1, "sklearn.dummy.DummyRegressor": 1}, init) is None
        or init.strategy not in CONSTANT_STRATEGIES
    ):
        raise Inexpressible(
            f"{title(estimator)} starts from a model of its own, {title(init)}; the native format "
            "starts from a constant (init=None or init='zero')"
        )
    row = np.zeros((1, estimator.n_features_in_))
    return estimator._raw_predict_init(row)[0, 0]


def gradient_boosting(estimator, link, factor=1.0):
    trees = [cart(e, leaf_means) for e in estimator.estimators_[:, 0]]
    return ensemble(
        "gradient-boosting",
        link,
        "float32",
        trees,
        init=factor * boosting_start(estimator),
        scale=factor * estimator.learning_rate,
    )


def gradient_boosting_classifier(estimator):
    binary(estimator)
    # expit(2 x) for the exponential loss: doubling every term is exact.
    factor = 2.0 if estimator.loss == "exponential" else 1.0
    return gradient_boosting(estimator, "logistic", factor)


def gradient_boosting_regressor(estimator):
    return gradient_boosting(estimator, "identity")


def histogram_tree(nodes):
    if nodes["is_categorical"].any():
        raise Inexpressible("histogram gradient boosting with categorical features cannot be "
                            "expressed in the native format, whose splits are x <= threshold")
    leaf = nodes["is_leaf"].astype(bool)
    left = np.where(leaf, -1, nodes["left"].astype(np.int64))
    right = np.where(leaf, -1, nodes["right"].astype(np.int64))
    return tree(left, right, nodes["feature_idx"], nodes["num_threshold"], nodes["value"])


def histogram_boosting(estimator, link):
    one_output(estimator, estimator.n_trees_per_iteration_)
    trees = [histogram_tree(p[0].nodes) for p in estimator._predictors]
    start = np.asarray(estimator._baseline_prediction, dtype=np.float64).ravel()[0]
    return ensemble("gradient-boosting", link, "float64", trees, init=start)


def histogram_boosting_classifier(estimator):
    binary(estimator)
    return histogram_boosting(estimator, "logistic")


def histogram_boosting_regressor(estimator):
    if estimator.loss not in ("squared_error", "absolute_error", "quantile"):
        raise Inexpressible(
            f"HistGradientBoostingRegressor with loss='{estimator.loss}' ends in an exponential, "
            "which the native format does not have; it takes squared_error, absolute_error and "
            "quantile"
        )
    return histogram_boosting(estimator, "identity")


PREDICTORS = {
    "sklearn.linear_model.LogisticRegression": logistic_regression,
    "sklearn.linear_model.LogisticRegressionCV": logistic_regression,
    "sklearn.linear_model.SGDClassifier": sgd_classifier,
    "sklearn.linear_model.LinearRegression": linear_regression,
    "sklearn.linear_model.Ridge": linear_regression,
    "sklearn.linear_model.RidgeCV": linear_regression,
    "sklearn.linear_model.Lasso": linear_regression,
    "sklearn.linear_model.LassoCV": linear_regression,
    "sklearn.linear_model.ElasticNet": linear_regression,
    "sklearn.linear_model.ElasticNetCV": linear_regression,
    "sklearn.linear_model.SGDRegressor": linear_regression,
    "sklearn.tree.DecisionTreeClassifier": decision_tree_classifier,
    "sklearn.tree.ExtraTreeClassifier": decision_tree_classifier,
    "sklearn.tree.DecisionTreeRegressor": decision_tree_regressor,
    "sklearn.tree.ExtraTreeRegressor": decision_tree_regressor,
    "sklearn.ensemble.RandomForestClassifier": forest_classifier,
    "sklearn.ensemble.ExtraTreesClassifier": forest_classifier,
    "sklearn.ensemble.RandomForestRegressor": forest_regressor,
    "sklearn.ensemble.ExtraTreesRegressor": forest_regressor,
    "sklearn.ensemble.GradientBoostingClassifier": gradient_boosting_classifier,
    "sklearn.ensemble.GradientBoostingRegressor": gradient_boosting_regressor,
    "sklearn.ensemble.HistGradientBoostingClassifier": histogram_boosting_classifier,
    "sklearn.ensemble.HistGradientBoostingRegressor": histogram_boosting_regressor,
}

# Searches hand every question to the best model they found.
SEARCHES = {
    f"sklearn.model_selection.{name}": True
    for name in ("GridSearchCV", "RandomizedSearchCV", "HalvingGridSearchCV",
                 "HalvingRandomSearchCV")
}


def predictor(estimator):
    exporter = lookup(PREDICTORS, estimator)
    if exporter is None:
        raise Inexpressible(f"{title(estimator)} cannot be expressed in the native format; {ONLY}")
    return exporter(estimator)


def unwrap(estimator):
    """The scalers in front, in order, and the predictor behind them."""
    scalers = []
    while True:
        if lookup(SEARCHES, estimator):
            if not hasattr(estimator, "best_estimator_"):
                raise Refusal(f"{title(estimator)} has no best_estimator_; it is not fitted, or "
                              "was made with refit=False")
            estimator = estimator.best_estimator_
        elif lookup({"sklearn.pipeline.Pipeline": True}, estimator):
            scalers += [step for _, step in estimator.steps[:-1]]
            estimator = estimator.steps[-1][1]
        else:
            return scalers, estimator


# --- evaluation: what canary-worker will do, to compare before anything is written ----------


OPERATIONS = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "divide": np.divide,
    "at_least": np.maximum,
    "at_most": np.minimum,
}


def prepare(document, rows):
    for step in document["transforms"]:
        for name, by in step.items():
            rows = OPERATIONS[name](rows, np.asarray(by))
    return rows


def fused(a, b, c):
    """a * b + c rounded once, elementwise: exact fractions, then the nearest float."""
    return np.array([float(Fraction(x) * Fraction(y) + Fraction(z)) for x, y, z in
                     np.broadcast(a, b, c)])


def accumulate(how, total, a, b):
    return fused(a, b, total) if how == "fused" else total + a * b


def score_linear(part, rows):
    total = np.zeros(len(rows))
    for column, coefficient in zip(rows.T, part["coefficients"]):
        total = accumulate(part["sum"], total, column, coefficient)
    return total + part["intercept"]


def leaf_values(t, rows):
    feature, left, right = (np.asarray(t[k]) for k in ("feature", "left", "right"))
    threshold, value = np.asarray(t["threshold"]), np.asarray(t["value"])
    node = np.zeros(len(rows), dtype=np.int64)
    walking = np.flatnonzero(feature[node] >= 0)
    while len(walking):
        at = node[walking]
        goes_left = rows[walking, feature[at]] <= threshold[at]
        node[walking] = np.where(goes_left, left[at], right[at])
        walking = walking[feature[node[walking]] >= 0]
    return value[node]


def score_ensemble(part, rows):
    if part["compare"] == "float32":
        rows = rows.astype(np.float32).astype(np.float64)
    total = np.full(len(rows), part["init"])
    for t in part["trees"]:
        total = accumulate(part["sum"], total, part["scale"], leaf_values(t, rows))
    return total / part["divide_by"]


def logistic(score):
    """By the C library's exp, as scipy.special.expit and canary-worker do; numpy's differs."""
    try:
        return 1.0 / (1.0 + math.exp(-score))
    except OverflowError:
        return 0.0


def evaluate(document, rows):
    rows = prepare(document, rows)
    if "linear" in document:
        score = score_linear(document["linear"], rows)
    else:
        score = score_ensemble(document["ensemble"], rows)
    if document["link"] == "logistic":
        return np.array([logistic(float(x)) for x in score])
    return score


def settle_sum(document, rows, expected):
    """Linear algebra libraries and compilers differ in how they round sums of products: keep the
    way that answers as the model does."""
    part = document.get("linear") or document["ensemble"]
    for part["sum"] in ("sequential", "fused"):
        got = evaluate(document, rows)
        if got.tobytes() == expected.tobytes():
            return
    row = int(np.flatnonzero(got != expected)[0])
    raise Inexpressible(
        "the native format does not reproduce this model's answers to the last bit on this "
        f"machine (probe {row}: {float(expected[row])!r} against {float(got[row])!r})"
    )


# --- probes --------------------------------------------------------------------------------


def thresholds(document):
    """Of an ensemble: for each feature, the numbers that it is compared with."""
    found = {}
    for t in document.get("ensemble", {"trees": []})["trees"]:
        for feature, threshold in zip(t["feature"], t["threshold"]):
            if feature >= 0 and abs(threshold) < 1e30:
                found.setdefault(feature, set()).add(threshold)
    return {feature: np.array(sorted(values)) for feature, values in found.items()}


def near(values, n, rng):
    """Values, their neighbours in both widths of float, and points in between."""
    picked = rng.choice(values, n)
    spread = (values[-1] - values[0]) or 1.0
    narrow = picked.astype(np.float32)
    choices = np.array([
        picked,
        np.nextafter(picked, np.inf),
        np.nextafter(picked, -np.inf),
        narrow,
        np.nextafter(narrow, np.float32(np.inf)),
        np.nextafter(narrow, np.float32(-np.inf)),
        picked + 0.1 * spread * rng.standard_normal(n),
        picked + 0.1 * spread * rng.standard_normal(n),
    ])
    return choices[rng.integers(len(choices), size=n), np.arange(n)]


INVERSE = {"add": np.subtract, "subtract": np.add, "multiply": np.divide, "divide": np.multiply}


def probe_rows(document, n):
    """Rows where a wrong reading would show: around the thresholds of trees, else normal around
    the scaler's centre and spread."""
    rng = np.random.default_rng(0)
    width = document["n_features"]
    n = max(1, min(n, MAX_PROBE_NUMBERS // width))
    rows = rng.standard_normal((n, width))
    for feature, values in thresholds(document).items():
        rows[:, feature] = near(values, n, rng)
    for step in reversed(document["transforms"]):
        for name, by in step.items():
            if name in INVERSE:
                rows = INVERSE[name](rows, np.asarray(by))
    rows[0] = 0.0
    return rows


def ask(estimator, rows):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "X does not have valid feature names"
        if hasattr(estimator, "classes_"):
            return np.ascontiguousarray(estimator.predict_proba(rows)[:, 1], dtype=np.float64)
        return np.ascontiguousarray(estimator.predict(rows), dtype=np.float64).ravel()


def answers(estimator, rows, is_linear):
    """The model's own, as it gives them for one row at a time: linear algebra libraries may sum
    batches in another order. Trees are walked row by row anyway, so a few rows will do."""
    batch = ask(estimator, rows)
    n_single = len(rows) if is_linear else min(8, len(rows))
    single = np.concatenate([ask(estimator, rows[i:i + 1]) for i in range(n_single)])
    if single.tobytes() == batch[:n_single].tobytes():
        return batch
    return np.concatenate([ask(estimator, rows[i:i + 1]) for i in range(len(rows))])


def add_probes(document, estimator, n):
    rows = probe_rows(document, max(n, 1))
    expected = answers(estimator, rows, "linear" in document)
    if not np.isfinite(expected).all():
        raise Refusal("the model answers ordinary inputs with numbers that are not finite")
    settle_sum(document, rows, expected)
    if n > 0:
        document["probes"] = {"inputs": rows.tolist(), "outputs": expected.tolist()}


# --- the document --------------------------------------------------------------------------


def about(estimator, source, digest):
    facts = {
        "exporter": "models/export.py",
        "estimator": outline(estimator),
        "scikit-learn": sklearn.__version__,
        "numpy": np.__version__,
    }
    if hasattr(estimator, "classes_"):
        facts["probability_of"] = str(estimator.classes_[1])
    if source:
        facts["source"] = source
    if digest:
        facts["source_sha256"] = digest
    return facts


def feature_names(estimator, given):
    names = getattr(estimator, "feature_names_in_", []) if given is None else given
    names = [str(name) for name in names]
    return names if all(0 < len(name.encode()) <= 200 for name in names) else []


def export(estimator, output_name=None, n_probes=DEFAULT_PROBES, source=None, digest=None,
           names=None):
    """The document as a dict; raises Refusal. names: of the features, if the estimator was
    trained without."""
    check_estimator(estimator)
    scalers, final = unwrap(estimator)
    body = predictor(final)
    document = {"format": "canaryd-model", "version": 1, "kind": body.pop("kind")}
    if source:
        document["name"] = os.path.splitext(os.path.basename(source))[0][:50]
    default_name = "churn_probability" if hasattr(estimator, "classes_") else "prediction"
    document["output"] = output_name or default_name
    document["n_features"] = n_features_of(estimator)
    names = feature_names(estimator, names)
    if names:
        document["feature_names"] = names
    document["about"] = about(estimator, source, digest)
    document["transforms"] = [t for s in scalers for t in transforms(s)]
    document.update(body)
    add_probes(document, estimator, n_probes)
    return document


def is_spread(value):
    """Lists of containers go one element to a line, and what holds such a list with them."""
    if isinstance(value, dict):
        return any(is_spread(v) for v in value.values())
    return isinstance(value, list) and any(isinstance(v, (dict, list)) for v in value)


def layout(value, indent=0, spread=False):
    if not (spread or is_spread(value)):
        return json.dumps(value, allow_nan=False, ensure_ascii=False)
    pad = " " * (indent + 1)
    if isinstance(value, dict):
        lines = [f"{pad}{json.dumps(k, ensure_ascii=False)}: {layout(v, indent + 1)}" for k, v in value.items()]
        return "{\n" + ",\n".join(lines) + "\n" + " " * indent + "}"
    lines = [pad + layout(v, indent + 1) for v in value]
    return "[\n" + ",\n".join(lines) + "\n" + " " * indent + "]"


def render(document):
    """The document's bytes: one member, tree or probe to a line; floats read back exactly."""
    return (layout(document, spread=True) + "\n").encode("utf-8", "replace")


# --- the program ---------------------------------------------------------------------------


def convert(data, args, source, names=None):
    """From a model file's bytes to the document's."""
    estimator = load(data)
    digest = hashlib.sha256(data).hexdigest()
    try:
        return render(export(estimator, args.output_name, args.probes, source, digest, names))
    except (Refusal, MemoryError):
        raise
    except BaseException as e:  # an estimator half fitted, or of an unknown release
        raise Refusal(f"{title(estimator)} cannot be exported: {failure(e)}")


def write_all(fd, data):
    with os.fdopen(os.dup(fd), "wb") as stream:
        stream.write(data)


def run(args):
    if args.from_fd is not None:
        enter_cage(args.cage_fd, args.user, args.allow_uncaged)
        write_all(args.to_fd, convert(read_all(args.from_fd), args, args.source_name))
        return
    with open(args.model, "rb") as stream:
        data = stream.read()
    document = convert(data, args, args.source_name or os.path.basename(args.model))
    with open(args.json, "wb") as stream:
        stream.write(document)


def parse(argv):
    p = argparse.ArgumentParser(
        description="Turn a fitted scikit-learn model into canaryd's native JSON.",
        epilog="Loading a pickle runs the code it holds: export only what you would run.")
    p.add_argument("model", nargs="?", help="the .joblib or .pkl file")
    p.add_argument("json", nargs="?", help="the file to write")
    p.add_argument("--output-name", help="the key of a reply's prediction "
                   "(churn_probability; for regressors prediction)")
    p.add_argument("--probes", type=int, default=DEFAULT_PROBES, help="how many probe rows to put "
                   f"into the document ({DEFAULT_PROBES}; 0 for none)")
    p.add_argument("--from-fd", type=int, help="read the model from this descriptor")
    p.add_argument("--to-fd", type=int, help="write the document to this descriptor")
    p.add_argument("--reason-fd", type=int, default=2, help="write a refusal's reason to this "
                   "descriptor (2)")
    p.add_argument("--source-name", help="the model file's name, for the document")
    p.add_argument("--cage-fd", type=int, help="lock this process in before the model is read; the "
                   "descriptor holds the filter of system calls")
    p.add_argument("--user", default="0:0", help="UID:GID to become in the cage (0:0: nobody else)")
    p.add_argument("--allow-uncaged", action="store_true", help="go on where there is no Landlock "
                   "or seccomp")
    args = p.parse_args(argv)
    if (args.from_fd is None) == (args.model is None) or \
       (args.from_fd is None) != (args.to_fd is None) or (args.model and not args.json):
        p.error("expected MODEL.joblib and MODEL.json, or --from-fd and --to-fd")
    if not 0 <= args.probes <= 4096:
        p.error("--probes: expected 0 to 4096")
    return args


def main(argv=None):
    args = parse(argv)
    warnings.showwarning = lambda message, *rest: print(
        f"export.py: warning: {one_line(message)}", file=sys.stderr)
    status = 0
    try:
        run(args)
    except (Refusal, NoCage, OSError, MemoryError) as e:
        reason = out_of_memory() if isinstance(e, MemoryError) else e
        reason = failure(e) if isinstance(e, OSError) else reason
        write_all(args.reason_fd, (one_line(reason) + "\n").encode())
        status = {Inexpressible: EXIT_INEXPRESSIBLE, NoCage: EX_NOPERM}.get(type(e), 1)
    if args.cage_fd is not None:
        os._exit(status)  # the interpreter's own end does things that the cage does not allow
    return status


if __name__ == "__main__":
    sys.exit(main())
