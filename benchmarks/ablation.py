"""What a part of the teacher, a number of rows or a setting is worth: trainings that differ in it, on requests as people type them.

Each variant is settings in one word, `without=` among them for a part that the teacher leaves out:

    context   what the context says beside what the request needs, and questions made of commands by taking their context away
    options   all but one of the phrases that `[*]` adds to a request ("..., squash it, and drop the branch")
    dressing  politeness, typing errors, casing, full stops and dashes around what is said

The first is what the others are compared with. Each has a folder of its own in training/models/ablation/, for the code as it is, where its stages
run as ever: what is up to date is kept, a killed run continues. Without parity check and own calibration, which change no answer.

Run     .venv/bin/python benchmarks/ablation.py name=gh num=1500 num=1500,without=options num=500 rows=FILE.jsonl [rows=FILE.jsonl ...]
"""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))

import base_model
import scores
import utils

WITHOUT = ("context", "options", "dressing")


def leave_out(part):
    """Have the teacher of this process do without a part."""
    import speaker
    import teacher

    if part == "context":

        def needed(schema, lexicon, rng, present, needs=(), forbids=()):
            return {f: lexicon.field_value(f, schema.context[f], rng) for f in needs} or None

        teacher.context_of, teacher.TWINS = needed, 0
    elif part == "options":
        none, one, two, three = speaker.COUNTS
        speaker.COUNTS = (none, one + two + three)
    elif part == "dressing":
        speaker.JOINS = {" ": 1.0}
        speaker.Speaker.dress = lambda self, said, rng, category, flags: "".join(
            text for text, _ in speaker.tidy(said.segments)
        ).strip()


def train(settings, part):
    """The stages up to a GGUF, in this process, in the project that CLITRON_ROOT names."""
    import generate
    import quantize
    import sft

    if part:
        leave_out(part)
    generate.main(settings)
    sft.main(settings)
    name = next(s.partition("=")[2] for s in settings if s.startswith("name="))
    aside = utils.data_dir(name) / "train_val.jsonl"
    kept = aside.with_suffix(".kept")
    os.replace(aside, kept)  # quantize makes do without it
    try:
        quantize.main(settings)
    finally:
        os.replace(kept, aside)


def model_of(name, variant, mark):
    """The GGUF of a variant, trained now where it is not up to date; mark: of the code."""
    root = utils.ROOT / "training" / "models" / "ablation" / mark / re.sub(r"[^\w.=-]+", "-", variant)
    for folder in ("schemas", "training/configs"):
        shutil.copytree(utils.ROOT / folder, root / folder, dirs_exist_ok=True)
    base_model.local_folder(base_model.BUNDLED)
    if not (root / "training" / "base").exists():  # one for all
        (root / "training" / "base").symlink_to(base_model.UNPACKED)
    words = [f"name={name}", *filter(None, variant.split(","))]
    started = time.time()
    done = subprocess.run([sys.executable, __file__, "--train", *words], env={**os.environ, "CLITRON_ROOT": str(root)})
    if done.returncode:
        raise SystemExit(done.returncode)
    print(f"{variant}: ready after {utils.minutes(time.time() - started)}", flush=True)
    quant = next((w.removeprefix("quant=") for w in words if w.startswith("quant=")), utils.QUANT)
    return root / utils.gguf_path(name, quant).relative_to(utils.ROOT)


def answers(model, files):
    """{name of a file: [whether each answer is right]}; kept beside the model, for the next time that it is asked for."""
    from interpreter import Interpreter

    kept = model.with_suffix(".answers.json")
    known, interpreter = utils.read_json(kept) or {}, None
    keys = {path: f"{utils.digest(model)} {utils.digest(path)}" for path in files}
    for path in files:
        if keys[path] not in known:
            interpreter = interpreter or Interpreter(model)
            told = (
                (row, interpreter.complete(row["instruction"], row.get("context"))) for row in utils.read_jsonl(path)
            )
            known[keys[path]] = [scores.judge(row, text, interpreter.schema)["exact"] for row, text in told]
            utils.write_json(kept, known)
    return {path.name: known[keys[path]] for path in files}


def main(arguments):
    if arguments[:1] == ["--train"]:
        part = next((a.partition("=")[2] for a in arguments if a.startswith("without=")), None)
        if part not in (None, *WITHOUT):
            utils.fail(f"without={part} is not known; one of: {' '.join(WITHOUT)}")
        return train([a for a in arguments[1:] if not a.startswith("without=")], part)
    name = next((a.partition("=")[2] for a in arguments if a.startswith("name=")), None)
    files = [Path(a.partition("=")[2]) for a in arguments if a.startswith("rows=")]
    code = [Path(__file__), *sorted(Path(utils.__file__).parent.rglob("*.py"))]
    reference, mark = None, utils.digest_text("".join(map(utils.digest, code)))[:8]
    variants = [a for a in arguments if not a.startswith(("name=", "rows="))]
    if not (name and files and variants):
        utils.fail("say name=, a variant such as num=1500 or more of them, and rows=FILE.jsonl")
    for variant in variants:
        found = answers(model_of(name, variant, mark), files)
        every = [right for exact in found.values() for right in exact]
        low, high = scores.wilson(sum(every), len(every))
        each = ", ".join(f"{file} {sum(exact)}/{len(exact)}" for file, exact in found.items())
        against = f"; {scores.change(reference, every)}" if reference else ""
        print(
            f"{variant}: {100 * sum(every) / len(every):.1f} % [{100 * low:.1f}, {100 * high:.1f}] ({each}){against}",
            flush=True,
        )
        reference = reference or every


if __name__ == "__main__":
    utils.run(main)
