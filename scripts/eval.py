"""Stage 5, evaluation: what the quantized model answers to rows that it has not seen.

Reads   training/models/<name>/clitron-<name>-<quant>.gguf and nothing else of the training; training/data/<name>/train_val.jsonl, or test=
        FILE.jsonl with {"instruction", "context", "expected"} lines (without "expected" it only predicts)
Writes  training/models/<name>/evaluation.json (evaluation-<file>.json with test=), report.html, README.md (the model card);
        out=FILE.jsonl: one {"output": "<json>"} line a row, in order
Run     just train-eval name=gh        just train-eval name=gh test=my.jsonl out=answers.jsonl
"""

import math
import os
import time
from pathlib import Path

import decisions
import fresh
import model_report
import scores
import utils
from parity import kept_apart
from rows import read as read_rows
from settings import parse_settings
from split_check import row_id
from utils import data_dir, display, fail, models_dir, need, need_gguf, write_jsonl

PERPLEXITY_ROWS = 60  # enough for two digits


def read_cases(path):
    """Rows of an evaluation file as {"instruction", "context", "expected"?, "also"?}; data sets' own rows are read too."""
    numbered = utils.numbered_jsonl(path)
    if not numbered:
        fail(f"{display(path)} has no rows")
    for number, case in numbered:
        where = f"{display(path)}:{number}"
        if not isinstance(case.get("instruction"), str):
            fail(f"{where}: 'instruction' is missing or no text")
        if case.get("context") is not None and not isinstance(case["context"], dict):
            fail(f"{where}: 'context' is neither an object nor null")
        if "expected" not in case and "output" in case:
            case["expected"] = scores.parse(case["output"])
        wanted = case.get("expected")
        if isinstance(wanted, str):
            wanted = case["expected"] = scores.parse(wanted)
        if "expected" not in case:
            continue
        if not isinstance(case.get("also", []), list):
            fail(f"{where}: 'also' should be a list of answers")
        for key, want in [("expected", wanted), *(("also", a) for a in case.get("also", []))]:
            fault = answer_fault(want)
            if fault:
                fail(f"{where}: '{key}' {fault}")
    return [case for _, case in numbered]


def check_out(out, path):
    """End the program, before anything is computed, where the answers could not be written or would replace the rows."""
    if out.is_dir():
        fail(f"out={out} is a folder; name a file in it, such as out={out / 'answers.jsonl'}")
    if out.exists() and out.samefile(path):
        fail(f"out={out} is the file with the rows, which would be lost; name another file")
    out.parent.mkdir(parents=True, exist_ok=True)
    if not os.access(out.parent, os.W_OK):
        fail(f"out={out}: cannot write in {out.parent}; name another file")


def answer_fault(want):
    """What is wrong with an expected answer, or None. Absent args, flags and suggestions are empty ones, and so is null."""
    asks = isinstance(want, dict) and want.get("type") == "clarification"
    acts = isinstance(want, dict) and want.get("type") == "command" and {"command", "subcommand"} <= set(want)
    if not asks and not acts:
        return 'should be an answer such as {"type": "command", "command": ..., "subcommand": ..., "args": {}, "flags": []}'
    if asks:
        suggestions = want["suggestions"] if want.get("suggestions") else []
        if not isinstance(suggestions, list) or not all(isinstance(s, dict) for s in suggestions):
            return "has suggestions that are no objects with command and subcommand"
        return None
    args, flags = want["args"], want["flags"] = want.get("args") or {}, want.get("flags") or []
    if not isinstance(want["command"], str) or not isinstance(want["subcommand"], str | None):
        return "needs the names of a command and a subcommand (null where there is none)"
    if not isinstance(args, dict) or not isinstance(flags, list) or not all(isinstance(f, str) for f in flags):
        return "needs args as an object and flags as a list of names"
    return None


def predict(interpreter, cases, what="eval"):
    """(answer texts, seconds each) of all cases, with progress."""
    from tqdm import tqdm

    outputs, seconds = [], []
    for case in tqdm(cases, what, unit="row", disable=None, mininterval=1):
        started = time.perf_counter()
        outputs.append(interpreter.complete(case["instruction"], case.get("context")))
        seconds.append(time.perf_counter() - started)
    return outputs, seconds


def perplexity(interpreter, cases):
    """exp of the mean negative log-likelihood of the expected answers' tokens, or None when no case spells out its answer."""
    spelled = [c for c in cases if "output" in c][:PERPLEXITY_ROWS]
    total, count = 0.0, 0
    for case in spelled:
        logs = interpreter.log_likelihoods(case["instruction"], case.get("context"), case["output"])
        total, count = total + sum(logs), count + len(logs)
    return math.exp(-total / count) if count else None


def baseline_scores(name, schema, scored, judged):
    """{baseline: {"share", "hits", "n", "ci95", "p", "better"}} of exact match, where the training rows are on this machine.

    A slow baseline answers a sample. p and better: McNemar against the model on the same rows, and whether the model has more right.
    """
    path = data_dir(name) / "train.jsonl"
    if not path.exists():
        return {}
    import baselines

    found, right, rows = {}, [j["exact"] for j in judged], read_rows(path, schema)
    drawn = models_dir(name) / "sft" / fresh.DRAWN
    if drawn.exists():  # what the model learned from beside that file
        rows += read_rows(drawn, schema)
    for baseline, chosen, outputs in baselines.predictions(rows, schema, [c for c, _ in scored]):
        theirs = [scores.judge(scored[i][0], o, schema)["exact"] for i, o in zip(chosen, outputs, strict=True)]
        ours = [right[i] for i in chosen]
        found[baseline] = {
            **scores.rate(sum(theirs), len(theirs)),
            "p": scores.mcnemar(ours, theirs),
            "better": sum(ours) > sum(theirs),
        }
        print(scores.line(f"exact match of {baseline}", found[baseline]) + f", p = {found[baseline]['p']:.1g}")
    return found


def twins(interpreter, judged):
    """How often both are right: a case whose answer takes a value from the context, and the same words without context."""
    pairs = [(j["exact"], t) for c, j in judged if (t := decisions.twin(c, interpreter.schema))]
    open_ = [t for exact, t in pairs if exact]  # of the others it is known that not both are right
    outputs, _ = predict(interpreter, open_, "twins")
    both = [scores.judge(t, o, interpreter.schema)["exact"] for t, o in zip(open_, outputs, strict=True)]
    return scores.rate(sum(both), len(pairs))


def categories(name, cases):
    """The cases of the data set's own validation file with the category that frames.jsonl knows of them, as "cat"."""
    path = data_dir(name) / "frames.jsonl"
    known = {f.get("row"): f.get("category") for f in utils.read_jsonl(path)} if path.exists() else {}
    return [{"cat": known.get(row_id(c)), **c} if "output" in c else c for c in cases]


def evaluate(name, interpreter, cases, outputs):
    """Everything that is counted over cases with an expected answer, as JSON has it; the short form goes to the terminal."""
    scored = [(c, o) for c, o in zip(cases, outputs, strict=True) if "expected" in c]
    if not scored:
        return {"n": 0}
    schema = interpreter.schema
    verdicts = [scores.judge(c, o, schema) for c, o in scored]
    judged = [(c, j) for (c, _), j in zip(scored, verdicts, strict=True)]
    # rows that the confidence was calibrated on say nothing about how good it is
    apart = [(c, j) for c, j in judged if "output" not in c or kept_apart(c)]
    of_confidence = scores.table([j for _, j in apart])["right_at_threshold"]
    shares = scores.table(verdicts) | {"right_at_threshold": of_confidence}
    print("\n".join(scores.lines(shares)))
    belief = decisions.belief(apart)
    found = decisions.facts(judged, schema, interpreter.action) | {"twins": twins(interpreter, judged)}
    named = {
        "suggestions contain what was meant": found["suggestions"],
        "context twins both right": found["twins"],
        "wrong and destructive": found["harm"]["wrong_destructive"],
        "commands at 0.9 and more": belief["at_0.9"]["coverage"],
        "wrong among those": belief["at_0.9"]["wrong"],
    }
    print("\n".join(scores.lines(named)))
    if belief["n"]:
        print(
            "  commands: calibration error {error:.3f} ({honest_error:.3f} by chance if every confidence were exact), "
            "Brier {brier:.3f} (n {n})".format(**belief)
        )
    result = {
        "n": len(scored),
        "right": [j["exact"] for j in verdicts],
        "scores": shares,
        "decisions": found,
        "belief": belief,
        "perplexity": perplexity(interpreter, cases),
        "mistakes": [
            {
                "instruction": c["instruction"],
                "context": c.get("context"),
                "expected": j["want"],
                "answer": j["answer"],
            }
            for c, j in judged
            if not j["exact"]
        ],
        "baselines": baseline_scores(name, schema, scored, verdicts),
    }
    if len(scored) < model_report.FEW:
        print(f"  {len(scored)} rows are few: read the intervals in brackets (95 %), not the shares alone")
    if result["perplexity"]:
        print(f"  perplexity of the expected answers        {result['perplexity']:.3f}")
    return result


def main(argv):
    settings = parse_settings(argv, needs_schema=False)
    name, quant = settings["name"], settings["quant"]
    model = need_gguf(name, quant)
    test = Path(settings["test"]) if settings["test"] else None
    if test and not test.is_file():
        fail(f"test={test}: no such file")
    path = test or need(data_dir(name) / "train_val.jsonl", "train-generate", name)
    out = Path(settings["out"]) if settings["out"] else None
    if out:
        check_out(out, path)
    started = time.time()
    cases = categories(name, read_cases(path))

    from interpreter import Interpreter

    utils.header("eval", name=name, quant=quant, rows=f"{len(cases)} of {display(path)}")
    interpreter = Interpreter(model)
    if test is None and interpreter.facts.get("data") not in ("unknown", utils.digest(data_dir(name) / "train.jsonl")):
        fail(
            f"{display(model)} has learned from other rows than {display(data_dir(name))} holds now, perhaps from these; "
            f"run: just train name={name} (or give test=)"
        )
    outputs, seconds = predict(interpreter, cases)
    if out:
        write_jsonl(out, [{"output": o} for o in outputs])
        print(f"eval: {len(outputs)} answers in {out}")
    latency = {"p50": scores.percentile(seconds, 50), "p99": scores.percentile(seconds, 99), "n": len(seconds)}
    result = {
        "model": display(model),
        "model_digest": utils.digest(model),
        "trained": interpreter.facts.get("model", "unknown"),
        "base": interpreter.facts.get("base", "unknown"),
        "rows": display(path.resolve()),
        "of": utils.digest(path),
        "own": test is None,
        "latency_seconds": latency,
        **evaluate(name, interpreter, cases, outputs),
    }
    print("  latency p50 {p50:.2f} s, p99 {p99:.2f} s".format(**latency))
    result["seconds"] = round(time.time() - started)
    report = model_report.record_of(name, test and test.resolve(), quant)
    utils.write_json(report, result)
    if result["n"]:
        found = model_report.report(name, interpreter.schema)
        mine = next(e for e in found["evaluations"] if (e["of"], e["model"]) == (result["of"], result["model"]))
        print("\n".join([*(f"  {line}" for line in mine["compared"]), f"  {model_report.verdict([mine])}"]))
        print(f"  more: {display(models_dir(name) / 'report.html')}")
    print(f'eval: {display(report)}; next: just train-ask name={name} "..."')


if __name__ == "__main__":
    utils.run(main)
