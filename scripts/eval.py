"""Stage 5, evaluation: what the quantized model answers to rows that it has not seen.

Reads   training/models/<name>/clitron-<name>-<quant>.gguf and nothing else of the training; training/data/<name>/train_val.jsonl, or test=
        FILE.jsonl with {"instruction", "context", "expected"} lines (without "expected" it only predicts)
Writes  training/models/<name>/evaluation.json (evaluation-<file>.json with test=); out=FILE.jsonl: one {"output": "<json>"} line a row, in order
Run     just train-eval name=gh        just train-eval name=gh test=my.jsonl out=answers.jsonl
"""

import json
import math
import time
from pathlib import Path

import scores
import utils
from parity import kept_apart
from utils import data_dir, display, fail, models_dir, need, need_gguf, write_jsonl

PERPLEXITY_ROWS = 100  # enough for two digits, and a quarter of a minute


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
        for want in [wanted, *case.get("also", [])]:
            complete = isinstance(want, dict) and (
                want.get("type") == "clarification"
                or (want.get("type") == "command" and {"command", "subcommand"} <= set(want))
            )
            if not complete:
                fail(
                    f'{where}: \'expected\' should be an answer such as {{"type": "command", "command": ..., "subcommand": ..., "args": {{}}, "flags": []}}'
                )
    return [case for _, case in numbered]


def predict(interpreter, cases):
    """(answer texts, seconds each) of all cases, with progress."""
    from tqdm import tqdm

    outputs, seconds = [], []
    for case in tqdm(cases, "eval", unit="row", disable=None, mininterval=1):
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
    """{baseline: {"share", "hits", "n", "ci95", "p"}} of exact match where the training rows are here; p against the model (McNemar)."""
    path = data_dir(name) / "train.jsonl"
    if not path.exists():
        return {}
    import baselines

    train = utils.read_jsonl(path)
    found, right = {}, [j["exact"] for j in judged]
    for baseline, outputs in baselines.predictions(train, schema, [c for c, _ in scored]).items():
        theirs = [scores.judge(c, o, schema)["exact"] for (c, _), o in zip(scored, outputs, strict=True)]
        hits, n = sum(theirs), len(theirs)
        found[baseline] = {
            "share": hits / n,
            "hits": hits,
            "n": n,
            "ci95": scores.wilson(hits, n),
            "p": scores.mcnemar(right, theirs),
        }
        low, high = found[baseline]["ci95"]
        print(
            f"  exact match of {baseline:23} {hits / n:7.1%}   [{100 * low:.1f}, {100 * high:.1f}]   {hits}/{n}, p = {found[baseline]['p']:.1g}"
        )
    return found


def calibrated(judged):
    """{"error", "brier", "covered", "n"} of the commands among the answers: how far their confidence can be believed; None without any."""
    points = [(scores.confidence(j), j["exact"]) for j in judged if (j["answer"] or {}).get("type") == "command"]
    if not points:
        return None
    return {
        "error": scores.calibration_error(points),
        "brier": scores.brier(points),
        "covered": sum(p >= 0.9 for p, _ in points) / len(points),
        "n": len(points),
    }


def main(argv):
    settings = utils.parse_settings(argv, needs_schema=False)
    name, quant = settings["name"], settings["quant"]
    model = need_gguf(name, quant)
    if settings["test"] and not Path(settings["test"]).is_file():
        fail(f"test={settings['test']}: no such file")
    path = (
        Path(settings["test"]) if settings["test"] else need(data_dir(name) / "train_val.jsonl", "train-generate", name)
    )
    cases = read_cases(path)

    from interpreter import Interpreter

    utils.header("eval", name=name, quant=quant, rows=f"{len(cases)} of {display(path)}")
    interpreter = Interpreter(model)
    outputs, seconds = predict(interpreter, cases)
    if settings["out"]:
        write_jsonl(Path(settings["out"]), [{"output": o} for o in outputs])
        print(f"eval: {len(outputs)} answers in {settings['out']}")
    scored = [(c, o) for c, o in zip(cases, outputs, strict=True) if "expected" in c]
    result = {
        "model": display(model),
        "rows": display(path),
        "n": len(scored),
        "latency_seconds": {
            "p50": scores.percentile(seconds, 50),
            "p99": scores.percentile(seconds, 99),
            "n": len(seconds),
        },
    }
    if scored:
        judged = [scores.judge(c, o, interpreter.schema) for c, o in scored]
        result["scores"] = scores.table(judged)
        result["perplexity"] = perplexity(interpreter, cases)
        result["mistakes"] = [
            {
                "instruction": c["instruction"],
                "context": c.get("context"),
                "expected": j["want"],
                "answer": json.loads(o),
            }
            for (c, o), j in zip(scored, judged, strict=True)
            if not j["exact"]
        ]
        result["calibration"] = calibrated(
            [j for (c, _), j in zip(scored, judged, strict=True) if "output" not in c or kept_apart(c)]
        )
        print("\n".join(scores.lines(result["scores"])))
        if result["calibration"]:
            line = "  commands: calibration error {error:.3f}, Brier {brier:.3f} (n {n}); {covered:.0%} of them at 0.9 and more"
            print(line.format(**result["calibration"]))
        result["baselines"] = baseline_scores(name, interpreter.schema, scored, judged)
        if len(scored) < 200:
            print(f"  {len(scored)} rows are few: read the intervals in brackets (95 %), not the shares alone")
        if result["perplexity"]:
            print(f"  perplexity of the expected answers        {result['perplexity']:.3f}")
    print("  latency p50 {p50:.2f} s, p99 {p99:.2f} s".format(**result["latency_seconds"]))
    suffix = f"-{path.stem}" if settings["test"] else ""
    report = models_dir(name) / f"evaluation{suffix}.json"
    utils.write_json(report, result)
    print(f'eval: {display(report)}; next: just train-ask name={name} "..."')


if __name__ == "__main__":
    utils.run(main)
