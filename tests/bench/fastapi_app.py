# SPDX-License-Identifier: GPL-2.0-or-later
"""The server that the specification describes, for `make bench`: FastAPI and scikit-learn,
both models in the process, 10 % of the requests for the canary, latencies kept in lists."""
import os
import random
import time

import joblib
from fastapi import FastAPI
from pydantic import BaseModel

models = {arm: joblib.load(os.path.join(os.environ["MODELS"], f"model_{name}.joblib"))
          for arm, name in (("stable", "v1"), ("canary", "v2"))}
latencies = {"stable": [], "canary": []}
app = FastAPI()


class Request(BaseModel):
    features: list[float]


@app.post("/predict")
async def predict(request: Request):
    arm = "canary" if random.random() < 0.1 else "stable"
    start = time.perf_counter()
    probability = float(models[arm].predict_proba([request.features])[0][1])
    latency = (time.perf_counter() - start) * 1000
    latencies[arm].append(latency)
    return {"churn_probability": probability, "model_used": arm, "latency_ms": latency}
