"""Is the quantized file still the model that was trained? Token ids, greedy answers, and the price of quantization, on validation rows.

What the quantized model answers here is also what its confidence is calibrated on.
"""

import json
import random

import fresh
import prompt
import scores
from utils import digest_text, fail

GREEDY = 20  # rows on which the checkpoint itself is asked: slow
GREEDY_TOKENS = 60  # of its answers; most are shorter
PAIRED = 60  # rows on which float16 and the quantized file are compared
CALIBRATED = 150  # validation rows whose answers the confidence is calibrated on, and as many new ones from frames that were trained on


def kept_apart(row):
    """Whether a validation row reports how good the confidence is, instead of calibrating it: every third, whatever else happens."""
    request = json.dumps([row["instruction"], row.get("context")], sort_keys=True)  # however its answer is spelled
    return int(digest_text(request), 16) % 3 == 0


def rows_for(rows, seed):
    """Validation rows for the check and the calibration, in random order, as many as are needed; none that reports on them."""
    some = [r for r in rows if not kept_apart(r)]
    return random.Random(f"{seed}:parity").sample(some, min(len(some), CALIBRATED))


def familiar_rows(name, schema, seed):
    """New rows from the frames of the training rows, for the calibration: none where no teacher can draw them.

    Of what people type, some is said as a training frame says it and some is not. Validation rows are all of the second kind, so that a
    confidence that holds on them alone is too low on people's words.
    """
    return fresh.draw(name, schema, CALIBRATED, fresh.CALIBRATION, seed) or []


def same_ids(folder, interpreter, rows):
    """Ends the program where the tokenizer of the checkpoint and llama.cpp read a prompt differently."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    for r in rows:
        trained = prompt.encode(tokenizer, interpreter.frame, r)[0]
        served = interpreter.prompt_tokens(r["instruction"], r["context"])
        if trained != served:
            at = next(
                (i for i, (a, b) in enumerate(zip(trained, served, strict=False)) if a != b),
                min(len(trained), len(served)),
            )
            fail(
                f"llama.cpp reads {r['instruction']!r} as other tokens than the model was trained on, from token {at}: "
                f"{trained[at : at + 3]} against {served[at : at + 3]}; this base cannot be used with this llama.cpp"
            )


def greedy(model, tokenizer, frame, row, most=GREEDY_TOKENS):
    """The text that a Hugging Face model writes for a row when it always takes the likeliest token."""
    import base_model

    return base_model.answers(model, tokenizer, [prompt.encode(tokenizer, frame, row)[0]], frame["eos"], most)[0]


def written(interpreter, rows):
    """What a GGUF writes for rows without a grammar, always the likeliest token."""
    return [interpreter.free(interpreter.prompt_tokens(r["instruction"], r["context"]), GREEDY_TOKENS) for r in rows]


def judged(interpreter, rows):
    """[(answer, verdict)] of an interpreter for rows."""
    out = []
    for r in rows:
        answer = interpreter.complete(r["instruction"], r["context"], raw=True)
        case = {"expected": scores.parse(r["output"])}
        out.append((json.loads(answer), scores.judge(case, answer, interpreter.schema)))
    return out


def check(folder, plain, quantized, rows, familiar, frame):
    """Facts for the record: rows, greedy agreement, accuracy of both files, their paired difference, points for calibration.

    familiar: more rows to calibrate on, see familiar_rows(). folder: the merged checkpoint; plain: the float16 GGUF; quantized: the file
    to ship, or None when it is the plain one.
    """
    import base_model
    import torch
    from interpreter import Interpreter

    half, small = Interpreter(plain), Interpreter(quantized or plain)
    same_ids(folder, small, rows)
    some = rows[:GREEDY]
    said = written(half, some)
    model, tokenizer = base_model.load(folder, dtype=torch.float32, train=False)
    agree = sum(greedy(model.eval(), tokenizer, frame, r) == b for r, b in zip(some, said, strict=True))
    answers = judged(small, rows)
    points = [(a["type"], a["confidence"], v["exact"]) for a, v in [*answers, *judged(small, familiar)]]
    facts = {
        "rows": len(rows),
        "greedy_equal": agree,
        "greedy_rows": len(some),
        "right": sum(v["exact"] for _, v in answers),
    }
    if quantized:
        before = [v["exact"] for _, v in judged(half, rows[:PAIRED])]
        after = [v["exact"] for _, v in answers[:PAIRED]]
        difference, low, high = scores.paired_difference(before, after)
        facts["quant_equal"] = sum(a == b for a, b in zip(said, written(small, some), strict=True))
        facts |= {"paired_rows": len(before), "f16_exact": sum(before), "exact": sum(after)}
        facts |= {"difference": difference, "ci95": [low, high], "p": scores.mcnemar(before, after)}
    return facts, points


def words(facts, quant):
    """The facts in a line or two."""
    out = [
        f"quantize: prompt ids equal on {facts['rows']} rows; {facts['greedy_equal']} of {facts['greedy_rows']} "
        "greedy answers of the float16 file are the checkpoint's"
    ]
    if "difference" in facts:
        low, high = facts["ci95"]
        out.append(
            f"quantize: {quant} against float16: {facts['quant_equal']} of {facts['greedy_rows']} greedy answers the same; "
            f"{facts['exact']} and {facts['f16_exact']} of {facts['paired_rows']} exact, "
            f"difference {100 * facts['difference']:+.1f} points [{100 * low:+.1f}, {100 * high:+.1f}], p = {facts['p']:.2f}"
        )
    return "\n".join(out)
