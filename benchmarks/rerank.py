"""What reranking gains on labelled requests, and the weights of scripts/rerank.py and the curves of scripts/calibration.py fitted to them.

For each model and file, in pairs: the greedy answer against the one by today's weights. Then, over all of them (several models may read the
same file): the most probable weights, given that one of the candidates is right, under a normal prior of deviation 1; how many answers they
get right by cross-validation (five folds, five times, all rows of a request in one fold), and fitted to all; and evidence and curves of the
confidences that weights which did not see a request give its answer, with how they hold on each file when fitted to the others. keep= saves what
the models answered, which depends on decoder, mending and grounding: delete it when they change.

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
        self.text, self.context, self.schema = row["instruction"][:LONGEST], row.get("context"), schema
        self.prior = np.array([prior for prior, _, _ in candidates])
        self.answers = [answer for _, _, answer in candidates]
        full = [{**QUESTION, **a} if a["type"] == "clarification" else a for a in self.answers]
        self.right = np.array([scores.judge(row, dumps(a), schema)["exact"] for a in full], dtype=bool)

    def look(self):
        """Count the features of the answers (candidates, weights)."""
        self.found = rerank.compared(self.answers, self.text, self.context, self.schema)
        self.table = np.array([list(found.values()) for found in self.found], dtype=float)

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


def judged(case, weights):
    """(answer, its probability, that of all its candidates, whether it is right, its evidence) of the likeliest candidate; None without any."""
    if not len(case.right):
        return None
    sure = case.posterior(weights)
    best = sure.argmax()
    found = calibration.evidence(case.answers[best], case.found[best], case.text, case.schema)
    return case.answers[best], float(sure[best]), float(sure.sum()), bool(case.right[best]), found


def confidence(answers):
    """(evidence, curves): what scripts/calibration.py starts from, of judged() answers. Normal priors, for evidence around nothing."""
    from scipy.optimize import minimize

    commands = [j for j in answers if j[0]["type"] == "command"]
    raw, known, right = (np.array([j[i] for j in commands]) for i in (1, 2, 3))
    table = np.array([[j[4][k] for k in calibration.EVIDENCE] for j in commands])
    middle = np.array([0.0, 1.0] + [0.0] * len(calibration.EVIDENCE))
    spread = np.array([*WIDE.values()] + [0.5] * len(calibration.EVIDENCE))

    def loss(b):
        gain = np.exp(np.clip(table @ b[2:], -9, 9))
        sure = np.clip(raw * gain / (known * gain + np.maximum(0, 1 - known) + 1e-9), 1e-6, 1 - 1e-6)
        z = b[0] + b[1] * np.log(sure / (1 - sure))
        return np.logaddexp(0, np.where(right, -z, z)).sum() + (((b - middle) / spread) ** 2).sum() / 2

    found = minimize(loss, middle).x[2:]
    weights = {k: round(float(w), 2) for k, w in zip(calibration.EVIDENCE, found, strict=True)}
    points = [(a["type"], calibration.weighed(p, q, seen, weights), r) for a, p, q, r, seen in answers]
    return weights, calibration.fit(points, IDENTITY, WIDE)


def held_out(groups):
    """(file, [(confidence, right)] of the commands, by weights, evidence and curves that were fitted to the other files), surest first."""
    files = sorted({name for name, _ in groups})
    for file in files:
        rest = [c for (name, _), cases in groups.items() if name != file for c in cases]
        weights = fit(rest)
        evidence, curves = confidence([j for j in (judged(c, w) for c, w in unseen(rest, 0)) if j])
        own = (judged(c, weights) for (name, _), cases in groups.items() if name == file for c in cases)
        commands = [j for j in own if j and j[0]["type"] == "command"]
        points = [(calibration.weighed(p, q, seen, evidence), right) for _, p, q, right, seen in commands]
        yield file, sorted(((calibration.apply(curves, "command", p), right) for p, right in points), reverse=True)


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
        print(
            f"{name}: n {len(group)}, greedy {sum(greedy)}, reranked {sum(ours)} right, {scores.change(greedy, ours)}; "
            f"among the candidates {sum(bool(c.right.any()) for c in group)}; "
            f"{np.mean([len(c.right) for c in group]):.2f} candidates a request",
            flush=True,
        )
    counts = [sum(c.reranked(weights) for c, weights in unseen(cases, seed)) for seed in range(5)]
    print(f"fitted, by cross-validation: {counts} of {len(cases)} right")
    weights = fit(cases)
    print(json.dumps(dict(zip(rerank.WEIGHTS, weights.round(2).tolist(), strict=True))))
    for found in confidence([j for j in (judged(c, w) for c, w in unseen(cases, 0)) if j]):
        print(json.dumps(found))
    for name, points in held_out(groups) if len({name for name, _ in groups}) > 1 else ():
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
