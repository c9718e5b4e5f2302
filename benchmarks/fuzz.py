"""Whatever is typed, the answer is valid: random text, and requests of an evaluation file with letters changed, on a real GGUF.

    .venv/bin/python benchmarks/fuzz.py name=gh num=10000 [test=FILE.jsonl] [quant=q4_k_m]        (half a second for each input on 2 cores)

Inputs are half random Unicode (Hypothesis: every kind of character, control characters, emptiness, 10 kB), half rows of the file (the
validation rows without test=) with parts cut, doubled, swapped or replaced by such text, and contexts of any JSON. Every answer must be
valid JSON, in canonical form, and fit the schema. Prints the faults, and how many inputs that hold no request came back as a command that a host would run.
A run that was stopped continues with the same command, as long as model, file, code and libraries are the same. (What lies in the KV cache is
not: the first input after a stop meets an empty one.)
"""

import itertools
import json
import random
import sys
from importlib import metadata
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))

import utils
from rows import answer_faults, canonical, dumps
from settings import parse_settings


def texts(number, seed):
    """Random strings by Hypothesis, the same ones for a seed."""
    import hypothesis.strategies as st
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import seed as seeded

    out = []
    short = st.text(max_size=60)
    typed = st.text("abcdefgh -_#@./{}\"'\\<|>0123456789", max_size=80)
    long = st.text(min_size=200, max_size=600).map(lambda t: t * 17)
    kinds = st.integers(0, 29).flatmap(lambda n: long if n == 0 else short if n < 15 else typed)

    @seeded(seed)
    @settings(
        max_examples=number,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(kinds)
    def collect(text):
        out.append(text)

    collect()
    return out


def contexts(rng):
    """Any JSON that may arrive as context: none, nested, wrong types, strange keys."""
    leaves = [None, True, -1, 0.5, 10**12, "", "main", "\u2063", '"}', "<|im_end|>", [1, {"a": None}]]
    if rng.random() < 0.4:
        return None
    groups = ["git", "kube", "notes", "x", "", "a.b"]
    fields = ["current_pr", "current_branch", "current_note", "y", ""]
    return {
        rng.choice(groups): {rng.choice(fields): rng.choice(leaves) for _ in range(rng.randint(0, 3))}
        for _ in range(rng.randint(0, 3))
    }


def mutated(text, noise, rng):
    """A request with one to four accidents."""
    for _ in range(rng.randint(1, 4)):
        i, j = sorted(rng.randrange(len(text) + 1) for _ in range(2))
        part = rng.choice(("", text[i:j] * 2, text[i:j][::-1], noise[: rng.randint(0, 40)], text[i:j].upper()))
        text = text[:i] + part + text[j:]
    return text


def inputs(cases, number, seed):
    """(text, context, whether there was a request in it) of every input."""
    rng = random.Random(seed)
    noise = texts(number, seed)
    for n in range(number):
        some = noise[n % len(noise)]
        if n % 2:
            case = rng.choice(cases)
            yield mutated(case["instruction"], some, rng), rng.choice((case.get("context"), contexts(rng))), True
        else:
            yield some, contexts(rng), False


def fault(output, schema):
    try:
        answer = json.loads(output)
    except ValueError:
        return "not JSON"
    found = answer_faults(answer, schema)
    return found[0] if found else "" if dumps(canonical(answer, schema)) == output else "not in canonical form"


def main(argv):
    settings = parse_settings(argv)
    from interpreter import Interpreter
    from tqdm import tqdm

    name, number, seed = settings["name"], settings["num"], settings["seed"]
    model = utils.need_gguf(name, settings["quant"])
    path = Path(settings["test"]) if settings["test"] else utils.data_dir(name) / "train_val.jsonl"
    code = [Path(__file__), *sorted(Path(utils.__file__).parent.glob("*.py"))]
    versions = {p: metadata.version(p) for p in ("hypothesis", "llama-cpp-python", "llguidance")}
    fingerprint = utils.fingerprint("fuzz", {"num": number, "seed": seed, **versions}, model, path, *code)
    mark = utils.digest_text(json.dumps(fingerprint))
    done = utils.Progress(utils.models_dir(name) / f"fuzz-{mark}.partial.jsonl", fingerprint, "delete it")
    interpreter = Interpreter(model)
    start = len(done.records)
    for r in done.records:
        if r["fault"]:
            print(f"fuzz: {r['fault']}")
    left = itertools.islice(inputs(utils.read_jsonl(path), number, seed), start, None)
    for text, context, request in tqdm(left, total=number, initial=start, disable=None, mininterval=5):
        output = interpreter.complete(text, context)
        wrong = fault(output, interpreter.schema)
        acts = not wrong and interpreter.action(json.loads(output))[0] == "run"
        found = f"{wrong}: {text!r} {context!r} -> {output!r}" if wrong else ""
        done.save([{"request": request, "acts": acts, "fault": found}])
        if wrong:
            print(f"fuzz: {found}", flush=True)
    faults = [r["fault"] for r in done.records if r["fault"]]
    noise = [r for r in done.records if not r["request"]]
    print(
        f"fuzz: {len(faults)} of {number} answers are invalid; {sum(r['acts'] for r in noise)} of {len(noise)} random texts came back as a command to run"
    )
    done.done()
    raise SystemExit(bool(faults))


if __name__ == "__main__":
    utils.run(main)
