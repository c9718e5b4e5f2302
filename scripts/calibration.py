"""From what a model thinks of its answer to how often it is right: what speaks for and against a command, then two logistic curves, for
commands and for questions.

A command that leaves nothing of the request over is right more often than another of the same probability: that is weighed in first, with
weights that are the same for every CLI. It speaks against readings that nobody followed, and not against those that are weighed beside it:
of two that are followed and equally probable none becomes sure. A curve is {"shift", "slope"}: calibrated = sigmoid(shift + slope * logit(weighed)),
Platt (1999).

A stranger's CLI has no labelled requests, and a teacher's rows are no measure of what people type: some are easier, some harder. So
every CLI starts from the curves of those that have such requests, and its own rows move them a little.
"""

import math

from words import COMMON, hear, names, negative, tells, vocabulary

KINDS = ("command", "clarification")
FEWEST = 20  # answers of a kind, under which its curve stays where it starts
# Both fitted by benchmarks/rerank.py to the requests for gh and kubectl beside it. EVIDENCE in nats, of commands.
EVIDENCE = {
    "options": 0.29,  # for each option that the words name and for each value that they give, three at most
    "left": -0.94,  # for each value or option of the words that it lacks, each thing that it has against them, each value that is hardly one
    "unexplained": -0.11,  # for each other word that nothing in it explains; six at most
}
MOST_OPTIONS, MOST_UNEXPLAINED = 3, 6
PEOPLE = {
    "command": {"shift": 0.71, "slope": 1.00},
    "clarification": {"shift": 1.21, "slope": 0.33},
}
NEAR = {"shift": 0.15, "slope": 0.15}  # standard deviations: how far rows of a teacher move them


def logit(p):
    p = min(max(p, 1e-6), 1 - 1e-6)
    return math.log(p / (1 - p))


def sigmoid(x):
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def evidence(answer, found, text, schema):
    """{name of a weight of EVIDENCE: how often} of a command in answer to a request, of which rerank.compared() has found that; {} of a question."""
    if answer["type"] != "command":
        return {}
    sub, heard = schema.by_key[answer["command"], answer["subcommand"]], hear(answer["args"], text)
    lacks = sum(found[k] for k in ("unused", "overlooked", "hollow", "ambiguous"))
    return {
        "options": min(MOST_OPTIONS, found["named"] + found["taken"] + found["pointed"]),
        "left": lacks + unheeded(answer, sub, heard),
        "unexplained": min(MOST_UNEXPLAINED, len(heard.words - vocabulary(sub) - COMMON)),
    }


def unheeded(answer, sub, heard):
    """How much of what is heard a command goes against: destructive flags that the words tell of and it lacks (they count against no reading,
    but it is not sure), and its own name, options and values where they stand behind a "not"."""
    _, subcommand, options = names(sub)
    lost = sum(f.destructive and f.name not in answer["flags"] and tells(f, heard.words) for f in sub.flags)
    has = {*answer["args"], *answer["flags"]}
    refused = {o.name for o, stem, _ in options if o.name in has and stem & heard.refused and not negative(o)}
    refused |= {name for name, place in heard.where.items() if place <= heard.silent}
    return lost + bool(subcommand & heard.refused) + len(refused)


def weighed(raw, known, found, weights):
    """A probability in the light of what evidence() found. known: the sum of the probabilities of it and of the readings beside it, at most 1;
    what lacks to 1 belongs to readings that nobody followed."""
    gain = math.exp(sum(weights.get(k, 0.0) * n for k, n in found.items()))
    return raw * gain / (known * gain + max(0.0, 1 - known)) if known > 0 else raw


def fit(points, start=PEOPLE, spread=NEAR):
    """{"command": curve, "clarification": curve} of points (kind, weighed confidence, right): most probable under a normal prior around `start`."""
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
