#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Train a first and a second model on a CSV file and write both as .joblib and .json.

    models/train.py telco_churn.csv                           # the shipped models
    models/train.py mine.csv --features age,income,visits --target bought=yes --out mymodels

--features names numeric columns, in the order in which requests will send them.
--target names the column to predict, and after '=' the value that counts as 1
(without it the column must hold 0 and 1). Version 1 is a standard scaler and a
logistic regression, version 2 gradient boosted trees; both with scikit-learn's
defaults, trained on 80 % of the rows (stratified, random state 42) and measured
on the others.
"""
import argparse
import csv
import os
import sys

import joblib
import numpy as np
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, brier_score_loss, log_loss, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import export  # noqa: E402  (our neighbour, found by the line above)

CONTRACT_YEARS = {"Month-to-month": 0.0, "One year": 1.0, "Two year": 2.0}
INTERNET_CLASS = {"No": 0.0, "DSL": 1.0, "Fiber optic": 2.0}

# The recipe of the shipped models: IBM's Telco customer churn, five features between 0 and 3.
TELCO = {
    "tenure_2y": lambda r: float(r["tenure"]) / 24,
    "monthly_charge_40usd": lambda r: float(r["MonthlyCharges"]) / 40,
    "contract_years": lambda r: CONTRACT_YEARS[r["Contract"]],
    "support_services": lambda r: float((r["OnlineSecurity"] == "Yes") + (r["TechSupport"] == "Yes")),
    "internet_class": lambda r: INTERNET_CLASS[r["InternetService"]],
}


def telco_target(row):
    return int(row["Churn"] == "Yes")


def column(name):
    return lambda row: float(row[name])


def target(definition):
    name, equals, value = definition.partition("=")
    if equals:
        return lambda row: int(row[name] == value)
    return lambda row: {0.0: 0, 1.0: 1}[float(row[name])]


def read(path, features, outcome):
    """The rows' features (float64, in the order of the file) and outcomes."""
    x, y = [], []
    with open(path, newline="", encoding="utf-8") as stream:
        for number, row in enumerate(csv.DictReader(stream), start=2):
            try:
                x.append([f(row) for f in features.values()])
                y.append(outcome(row))
            except (KeyError, TypeError, ValueError) as e:
                sys.exit(f"{path}, line {number}: {type(e).__name__}: {e}")
    return np.array(x, dtype=np.float64), np.array(y)


def read_telco(path):
    return read(path, TELCO, telco_target)


def versions():
    return {
        "model_v1": make_pipeline(StandardScaler(), LogisticRegression()),
        "model_v2": GradientBoostingClassifier(random_state=42),
    }


def quality(model, x, y):
    p = model.predict_proba(x)[:, 1]
    return (roc_auc_score(y, p), log_loss(y, p), brier_score_loss(y, p),
            accuracy_score(y, p >= 0.5))


def save(model, name, feature_names, args):
    """NAME.joblib, and NAME.json made from that very file."""
    path = os.path.join(args.out, name + ".joblib")
    joblib.dump(model, path)
    with open(path, "rb") as stream:
        data = stream.read()
    options = export.parse([path, "-", "--output-name", args.output_name,
                            "--probes", str(args.probes)])
    with open(os.path.join(args.out, name + ".json"), "wb") as stream:
        stream.write(export.convert(data, options, name + ".joblib", feature_names))


def parse():
    p = argparse.ArgumentParser(description="Train two model versions on a CSV file.")
    p.add_argument("csv", help="with a header line")
    p.add_argument("--features", help="numeric columns, separated by commas (default: the recipe "
                   "for IBM's Telco customer churn)")
    p.add_argument("--target", help="COLUMN or COLUMN=VALUE; needed with --features")
    p.add_argument("--out", default="models", help="directory for the model files (models)")
    p.add_argument("--output-name", default="churn_probability",
                   help="the key of a reply's prediction (churn_probability)")
    p.add_argument("--probes", type=int, default=64, help="probe rows in each .json (64)")
    args = p.parse_args()
    if (args.features is None) != (args.target is None):
        p.error("--features and --target go together")
    return args


def main():
    args = parse()
    features, outcome = TELCO, telco_target
    if args.features:
        features = {name: column(name) for name in args.features.split(",")}
        outcome = target(args.target)
    x, y = read(args.csv, features, outcome)
    x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.2, random_state=42,
                                                        stratify=y)
    print(f"{len(y)} rows ({len(y_train)} to train, {len(y_test)} to test), "
          f"{y.mean():.1%} positive; features: {', '.join(features)}")
    print(f"{'model':<10} {'AUC':>7} {'log loss':>9} {'Brier':>7} {'accuracy':>9}")
    os.makedirs(args.out, exist_ok=True)
    for name, model in versions().items():
        model.fit(x_train, y_train)
        print("{:<10} {:7.4f} {:9.4f} {:7.4f} {:9.3f}".format(name, *quality(model, x_test, y_test)))
        save(model, name, list(features), args)


if __name__ == "__main__":
    main()
