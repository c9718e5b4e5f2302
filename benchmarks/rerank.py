"""What reranking gains on labelled requests, and the weights of scripts/rerank.py fitted to them.

Greedy decoding against today's weights, in pairs; then weights by the most probable fit under a normal prior of deviation 1, their share of right
answers by cross-validation (five folds, five times), and fitted to all. Each request counts once, whichever model it was asked of.

Run     .venv/bin/python benchmarks/rerank.py MODEL.gguf ROWS.jsonl [MODEL.gguf ROWS.jsonl ...]
"""

import json
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))

import rerank
import scores
import utils
from interpreter import Interpreter
from rows import dumps


def ask(model, path):
    """[(prior of each reading, its features, whether it is right, whether the whole answer was)] of a model for a file of requests."""
    interpreter, out = Interpreter(model), []
    for row in utils.read_jsonl(path):
        text, context = row["instruction"], row["context"]
        readings = interpreter.readings(interpreter.prompt_tokens(text, context))
        sound = [interpreter.grounded(r.answer, text, context) for r in readings]
        table = [list(rerank.features(a, text, interpreter.schema).values()) for a in sound]
        prior = np.array([r.answer["confidence"] for r in readings])
        right = []
        for answer in sound:
            answer = {"message": "?", "suggestions": [], **answer} if answer["type"] == "clarification" else answer
            right.append(scores.judge(row, dumps(answer), interpreter.schema)["exact"])
        out.append((prior, np.array(table, dtype=float), np.array(right)))
    return out


def posterior(case, weights):
    """As in rerank.weigh(), with other weights."""
    prior, table, _ = case
    weighed = prior * np.exp((table - table[0]) @ weights)
    return weighed / (weighed.sum() + max(0.0, 1 - prior.sum()))


def fit(cases):
    from scipy.optimize import minimize

    def loss(weights):
        found = [posterior(c, weights)[c[2]].sum() for c in cases if c[2].any()]
        return -np.log(np.maximum(found, 1e-9)).sum() + (weights**2).sum() / 2

    return minimize(loss, np.zeros(len(rerank.WEIGHTS))).x


def right(cases, weights):
    return [bool(c[2][posterior(c, weights).argmax()]) for c in cases]


def main(arguments):
    cases = []
    for model, path in zip(arguments[::2], arguments[1::2], strict=True):
        started = time.perf_counter()
        found = [c for c in ask(model, path) if len(c[0])]
        seconds = time.perf_counter() - started
        greedy, ours = [bool(c[2][0]) for c in found], right(found, np.array(list(rerank.WEIGHTS.values())))
        difference, low, high = scores.paired_difference(greedy, ours)
        print(
            f"{Path(path).name}: n {len(found)}, greedy {sum(greedy)}, reranked {sum(ours)} right, {100 * difference:+.1f} points "
            f"[{100 * low:+.1f}, {100 * high:+.1f}], p = {scores.mcnemar(greedy, ours):.2g}; among the readings "
            f"{sum(bool(c[2].any()) for c in found)}; {np.mean([len(c[0]) for c in found]):.2f} readings a request, {seconds / len(found):.2f} s",
            flush=True,
        )
        cases += found
    counts = []
    for repeat in range(5):
        order = np.random.default_rng(repeat).permutation(len(cases))
        folds = [order[k::5] for k in range(5)]
        counts.append(
            sum(
                sum(right([cases[i] for i in fold], fit([cases[i] for f in folds if f is not fold for i in f])))
                for fold in folds
            )
        )
    print(f"fitted, by cross-validation: {counts} of {len(cases)} right")
    weights = fit(cases)
    print(json.dumps(dict(zip(rerank.WEIGHTS, weights.round(2).tolist(), strict=True))))
    print(f"fitted to all: {sum(right(cases, weights))} right")


if __name__ == "__main__":
    main(sys.argv[1:])
