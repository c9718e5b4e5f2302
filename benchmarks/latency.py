"""How long an answer takes: the interpreter against llama-cpp-python's own completion, with the same grammar and without, in one run.

Every request is asked once of each, in turn, so that a machine that slows down slows all of them. Prints p50 and p99 of each and their ratio,
memory, and how many answers are exact where the rows have one.

Run     .venv/bin/python benchmarks/latency.py MODEL.gguf ROWS.jsonl [how many]
"""

import json
import resource
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))

import prompt
import scores
from decoder import MOST_TOKENS, threads
from grammar import gbnf
from interpreter import Interpreter


def main(model, path, most="60"):
    rows = [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()][: int(most)]
    started = time.perf_counter()
    ours = Interpreter(model)
    ours.interpret("warm up")
    print(f"loaded in {time.perf_counter() - started:.1f} s, {resident():.0f} MB resident after one answer")
    import llama_cpp

    theirs = llama_cpp.Llama(str(model), n_ctx=2048, n_batch=512, n_threads=threads(), verbose=False)
    grammar = llama_cpp.LlamaGrammar.from_string(gbnf(ours.schema), verbose=False)

    def complete(row, grammar):
        text = prompt.render(ours.frame, row["instruction"], row.get("context"))
        made = theirs.create_completion(
            text, max_tokens=MOST_TOKENS, temperature=0, grammar=grammar, stop=[ours.frame["eos"]]
        )
        return made["choices"][0]["text"]

    ways = {
        "interpreter": lambda row: ours.complete(row["instruction"], row.get("context")),
        "llama-cpp-python, GBNF": lambda row: complete(row, grammar),
        "llama-cpp-python, free": lambda row: complete(row, None),
    }
    seconds, exact = {name: [] for name in ways}, dict.fromkeys(ways, 0)
    for name in ways:
        ways[name](rows[0])  # warm
    for row in rows:
        for name, way in ways.items():
            started = time.perf_counter()
            answer = way(row)
            seconds[name].append(time.perf_counter() - started)
            expected = row.get("expected") or scores.parse(row.get("output"))
            if expected:
                case = {"expected": expected, "also": row.get("also", [])}
                exact[name] += scores.judge(case, answer, ours.schema)["exact"]
    base = scores.percentile(seconds["interpreter"], 50)
    for name, times in seconds.items():
        p50, p99 = scores.percentile(times, 50), scores.percentile(times, 99)
        print(
            f"{name:24} p50 {p50:.3f} s  p99 {p99:.3f} s  interpreter's p50 is {base / p50:.0%} of it  exact {exact[name]}/{len(rows)}"
        )


def resident():
    """Megabytes of this process that were in memory at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main(*sys.argv[1:])
