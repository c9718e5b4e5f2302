"""What reranking gains on labelled requests, and the weights of scripts/rerank.py and the curves of scripts/calibration.py fitted to them.

For each model and file, in pairs: the greedy answer against the one by today's weights. Then, over all of them (several models may read the
same file): the most probable weights, given that one of the candidates is right, under a normal prior of deviation 1; how many answers they
get right by cross-validation (five folds, five times, all rows of a request in one fold), and fitted to all; and the curves of the confidences
that weights which did not see a request give its answer.

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
import rerank
import scores
import utils
from decoder import LONGEST
from interpreter import RUN, Interpreter
from rows import dumps

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


def ask(model, path):
    """The cases of a file of requests, by a model."""
    interpreter, out = Interpreter(model), []
    interpreter.branch = True
    for row in utils.read_jsonl(path):
        text, context = row["instruction"][:LONGEST], row.get("context")
        start = interpreter.prompt_tokens(text, context)
        out.append(Case(row, interpreter.candidates(start, text, context), interpreter.schema))
    return out


def fit(cases):
    from scipy.optimize import minimize

    decided = [c for c in cases if c.right.any() and not c.right.all()]

    def loss(weights):
        missed = 0.0
        for c in decided:
            found = np.log(np.maximum(c.prior, 1e-12)) + c.table @ weights
            missed += np.logaddexp.reduce(found) - np.logaddexp.reduce(found[c.right])
        return missed + (weights**2).sum() / 2

    return minimize(loss, np.zeros(len(rerank.WEIGHTS))).x


def unseen(cases, seed):
    """(case, weights that were fitted to the other folds) of all cases; all cases with the same words are in one fold."""
    requests = sorted({c.text for c in cases})
    np.random.default_rng(seed).shuffle(requests)
    fold = {text: i % 5 for i, text in enumerate(requests)}
    for k in range(5):
        weights = fit([c for c in cases if fold[c.text] != k])
        yield from ((c, weights) for c in cases if fold[c.text] == k)


def chosen(cases):
    """[(answer, its probability, whether it is right, what calibration.evidence() finds in it)] by weights that did not see the case."""
    for case, weights in unseen(cases, 0):
        if len(case.right):
            sure = case.posterior(weights)
            best = sure.argmax()
            answer = case.answers[best]
            yield answer, sure[best], bool(case.right[best]), calibration.evidence(answer, case.text, case.schema)


def confidence(answers):
    """(evidence, curves): what scripts/calibration.py starts from, of chosen() answers. Normal priors: evidence nothing, deviation 0.5."""
    from scipy.optimize import minimize

    commands = [(sure, right, found) for _, sure, right, found in answers if found]
    table = np.array([[1, calibration.logit(sure), *found.values()] for sure, _, found in commands])
    signs = np.array([1 if right else -1 for _, right, _ in commands])
    middle = np.array([0.0, 1.0] + [0.0] * len(calibration.EVIDENCE))
    spread = np.array([*WIDE.values()] + [0.5] * len(calibration.EVIDENCE))

    def loss(b):
        return np.logaddexp(0, -signs * (table @ b)).sum() + (((b - middle) / spread) ** 2).sum() / 2

    _, slope, *rest = minimize(loss, middle).x
    weights = {k: round(float(w / slope), 2) for k, w in zip(calibration.EVIDENCE, rest, strict=True)}
    points = [(a["type"], calibration.weighed(sure, found, weights), right) for a, sure, right, found in answers]
    return weights, calibration.fit(points, IDENTITY, WIDE)


def held_out(groups):
    """Of the commands of each file, by weights, evidence and curves that were fitted to the other files: (confidence, right)."""
    for name in groups:
        rest = [c for other, cases in groups.items() if other != name for c in cases]
        weights, (evidence, curves) = fit(rest), confidence(list(chosen(rest)))
        points = []
        for case in groups[name]:
            if len(case.right):
                sure = case.posterior(weights)
                best = sure.argmax()
                found = calibration.evidence(case.answers[best], case.text, case.schema)
                if found:
                    raw = calibration.weighed(sure[best], found, evidence)
                    points.append((calibration.apply(curves, "command", raw), bool(case.right[best])))
        yield name, sorted(points, reverse=True)


def main(arguments):
    kept = next((Path(a.removeprefix("keep=")) for a in arguments if a.startswith("keep=")), None)
    arguments = [a for a in arguments if not a.startswith("keep=")]
    if kept and kept.exists():
        groups = pickle.loads(kept.read_bytes())
    else:
        groups = {}
        for model, path in zip(arguments[::2], arguments[1::2], strict=True):
            started = time.perf_counter()
            groups[Path(path).name, model] = found = ask(model, path)
            print(f"{Path(path).name}: {(time.perf_counter() - started) / len(found):.2f} s a request", flush=True)
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
    counts = [sum(c.reranked(weights) for c, weights in unseen(cases, seed)) for seed in range(5)]
    print(f"fitted, by cross-validation: {counts} of {len(cases)} right")
    weights = fit(cases)
    print(json.dumps(dict(zip(rerank.WEIGHTS, weights.round(2).tolist(), strict=True))))
    for found in confidence(list(chosen(cases))):
        print(json.dumps(found))
    for (name, _), points in held_out(groups):
        surest = points[: round(0.6 * len(points))]
        run = [right for sure, right in points if sure >= RUN]
        print(
            f"{name}, commands, all fitted to the other files: of the surest {len(surest)} wrong {sum(not r for _, r in surest)}; "
            f"at {RUN} {len(run)} of {len(points)}, wrong {run.count(False)}; log loss {-np.mean([np.log(p if r else 1 - p) for p, r in points]):.3f}; "
            f"calibration error {scores.calibration_error(points):.3f} ({scores.honest_error(points):.3f} by chance)"
        )
    print(f"fitted to all: {sum(c.reranked(weights) for c in cases)} right")


if __name__ == "__main__":
    main(sys.argv[1:])
