"""What reranking gains on labelled requests, and the weights of scripts/rerank.py and the curves of scripts/calibration.py fitted to them.

For each file, and for its requests without their context (twins, see decisions.py), in pairs: the greedy answer against the one by today's weights.
Then, over all of these: the most probable weights, given that one of the candidates is right, under a normal prior of deviation 1; how many
answers they get right by cross-validation (five folds, five times, all rows of a request in one fold), and fitted to all. Answers are taken
before values that were torn in copying are mended. The curves are fitted to the confidences of the requests by weights that did not see them.

Run     .venv/bin/python benchmarks/rerank.py MODEL.gguf ROWS.jsonl [MODEL.gguf ROWS.jsonl ...] [keep=FILE.pickle]
"""

import json
import pickle
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))

import calibration
import decisions
import rerank
import scores
import utils
from decoder import LONGEST
from interpreter import Interpreter
from rows import dumps

TWINS = ", twins"
IDENTITY = dict.fromkeys(calibration.KINDS, {"shift": 0.0, "slope": 1.0})
WIDE = {"shift": 1.0, "slope": 0.5}
QUESTION = {"message": "?", "suggestions": [], "confidence": 0.0}  # what a question that was not worded lacks


class Case:
    """A request: its words, schema, and of each candidate answer the model's probability and whether it is right."""

    def __init__(self, row, candidates, schema):
        self.text, self.schema = row["instruction"][:LONGEST], schema
        self.prior = np.array([prior for prior, _, _ in candidates])
        self.answers = [answer for _, _, answer in candidates]
        full = [{**QUESTION, **a} if a["type"] == "clarification" else a for a in self.answers]
        self.right = np.array([scores.judge(row, dumps(a), schema)["exact"] for a in full], dtype=bool)

    def look(self):
        """Count the features of the answers (candidates, weights)."""
        self.table = np.array(
            [list(rerank.features(a, self.text, self.schema).values()) for a in self.answers], dtype=float
        )

    def posterior(self, weights):
        return np.array(rerank.posterior(self.prior, self.table @ weights))

    def greedy(self):
        return bool(len(self.right) and self.right[0])

    def reranked(self, weights):
        return bool(len(self.right) and self.right[self.posterior(weights).argmax()])


def ask(interpreter, rows):
    """The cases of labelled requests."""
    out = []
    for row in rows:
        text, context = row["instruction"][:LONGEST], row.get("context")
        start = interpreter.prompt_tokens(text, context)
        out.append(Case(row, interpreter.candidates(start, text, context), interpreter.schema))
    return out


def fit(cases):
    from scipy.optimize import minimize

    decided = [c for c in cases if c.right.any() and not c.right.all()]

    def loss(weights):
        fitted = 0.0
        for c in decided:
            scores = np.log(np.maximum(c.prior, 1e-12)) + c.table @ weights
            fitted += np.logaddexp.reduce(scores) - np.logaddexp.reduce(scores[c.right])
        return fitted + (weights**2).sum() / 2

    return minimize(loss, np.zeros(len(rerank.WEIGHTS))).x


def folds(cases, seed):
    """(case, weights that were fitted to the other folds) of all cases; all cases with the same words are in one fold."""
    requests = sorted({c.text for c in cases})
    np.random.default_rng(seed).shuffle(requests)
    fold = {text: i % 5 for i, text in enumerate(requests)}
    for k in range(5):
        weights = fit([c for c in cases if fold[c.text] != k])
        yield from ((c, weights) for c in cases if fold[c.text] == k)


def unseen(cases, seed, some):
    """Points (kind, raw confidence, right) of some of the cases, each by weights that did not see it: see calibration.fit."""
    wanted, out = {id(c) for c in some}, []
    for case, weights in folds(cases, seed):
        if id(case) in wanted and len(case.right):
            sure = case.posterior(weights)
            best = sure.argmax()
            out.append((case.answers[best]["type"], sure[best], bool(case.right[best])))
    return out


def main(arguments):
    kept = next((Path(a.removeprefix("keep=")) for a in arguments if a.startswith("keep=")), None)
    arguments = [a for a in arguments if not a.startswith("keep=")]
    if kept and kept.exists():
        groups = pickle.loads(kept.read_bytes())
    else:
        groups = {}
        for model, path in zip(arguments[::2], arguments[1::2], strict=True):
            interpreter, rows = Interpreter(model), utils.read_jsonl(path)
            interpreter.branch = True
            twins = [t for t in (decisions.twin(r, interpreter.schema) for r in rows) if t]
            for name, some in ((Path(path).name, rows), (Path(path).name + TWINS, twins)):
                started = time.perf_counter()
                if not some:
                    continue
                groups[name, model] = ask(interpreter, some)
                print(f"{name}: {(time.perf_counter() - started) / len(some):.2f} s a request", flush=True)
        if kept:
            kept.write_bytes(pickle.dumps(groups))
    cases, today = [c for group in groups.values() for c in group], np.array(list(rerank.WEIGHTS.values()))
    for case in cases:
        case.look()
    for (name, _), group in groups.items():
        greedy, ours = [c.greedy() for c in group], [c.reranked(today) for c in group]
        difference, low, high = scores.paired_difference(greedy, ours)
        print(
            f"{name}: n {len(group)}, greedy {sum(greedy)}, reranked {sum(ours)} right, {100 * difference:+.1f} points "
            f"[{100 * low:+.1f}, {100 * high:+.1f}], p = {scores.mcnemar(greedy, ours):.2g}; among the candidates {sum(bool(c.right.any()) for c in group)}; "
            f"{np.mean([len(c.right) for c in group]):.2f} candidates a request",
            flush=True,
        )
    print(
        f"fitted, by cross-validation: {[sum(c.reranked(w) for c, w in folds(cases, seed)) for seed in range(5)]} of {len(cases)} right"
    )
    weights = fit(cases)
    print(json.dumps(dict(zip(rerank.WEIGHTS, weights.round(2).tolist(), strict=True))))
    typed = [c for (name, _), group in groups.items() if not name.endswith(TWINS) for c in group]
    print(json.dumps(calibration.fit(unseen(cases, 0, typed), IDENTITY, WIDE)))
    print(f"fitted to all: {sum(c.reranked(weights) for c in cases)} right")


if __name__ == "__main__":
    main(sys.argv[1:])
