"""From what a model thinks of its answer to how often it is right: two logistic curves, for commands and for questions.

A curve is {"shift", "slope"}: calibrated = sigmoid(shift + slope * logit(raw)), Platt (1999). The order of answers stays as it is.

A stranger's CLI has no labelled requests, and a teacher's rows are no measure of what people type: some are easier, some harder. So
every CLI starts from the curves of those that have such requests, and its own rows move them a little.
"""

import math

KINDS = ("command", "clarification")
FEWEST = 20  # answers of a kind, under which its curve stays where it starts
# fitted by benchmarks/rerank.py to the requests for gh and kubectl beside it
PEOPLE = {
    "command": {"shift": 0.77, "slope": 0.76},
    "clarification": {"shift": 1.10, "slope": 0.78},
}
NEAR = {"shift": 0.15, "slope": 0.15}  # standard deviations: how far rows of a teacher move them


def logit(p):
    p = min(max(p, 1e-6), 1 - 1e-6)
    return math.log(p / (1 - p))


def sigmoid(x):
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def fit(points, start=PEOPLE, spread=NEAR):
    """{"command": curve, "clarification": curve} of points (kind, raw confidence, right): most probable under a normal prior around `start`."""
    from scipy.optimize import minimize

    out = {}
    for kind in KINDS:
        some = [(logit(raw), right) for k, raw, right in points if k == kind]
        out[kind] = dict(start[kind])
        if len(some) < FEWEST:
            continue

        def loss(v, some=some, mean=start[kind]):
            shift, slope = v
            fitted = sum(
                math.log1p(math.exp(-abs(z))) + max(0.0, -z if right else z)
                for z, right in ((shift + slope * x, r) for x, r in some)
            )
            return fitted + sum((x - mean[k]) ** 2 / (2 * s * s) for x, (k, s) in zip(v, spread.items(), strict=True))

        found = minimize(loss, list(start[kind].values()), bounds=[(-6, 6), (0.05, 5)]).x
        out[kind] = {"shift": round(float(found[0]), 4), "slope": round(float(found[1]), 4)}
    return out


def apply(curves, kind, raw):
    """The calibrated confidence of an answer of a kind; raw where there is no curve for it."""
    curve = (curves or {}).get(kind)
    return sigmoid(curve["shift"] + curve["slope"] * logit(raw)) if curve and raw > 0 else raw
