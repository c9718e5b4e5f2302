"""What the constraint and the readings do to accuracy: the interpreter against the same model that says what it likes, in pairs.

Run     .venv/bin/python benchmarks/constraint.py MODEL.gguf ROWS.jsonl [MODEL.gguf ROWS.jsonl ...]
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))

import scores
import utils
from interpreter import Interpreter


def main(arguments):
    every = {"free": [], "greedy": [], "interpreter": []}
    for model, path in zip(arguments[::2], arguments[1::2], strict=True):
        interpreter, found = Interpreter(model), {name: [] for name in every}
        valid, branch = 0, interpreter.branch
        for row in utils.read_jsonl(path):
            request = row["instruction"], row.get("context")
            free = scores.judge(row, interpreter.complete(*request, constrained=False), interpreter.schema)
            valid += free["fits"]
            found["free"].append(free["exact"])
            for name, interpreter.branch in (("greedy", False), ("interpreter", branch)):
                found[name].append(scores.judge(row, interpreter.complete(*request), interpreter.schema)["exact"])
        print(f"{Path(path).name}: {valid} of {len(found['free'])} free answers fit the schema")
        report(found)
        for name, exact in found.items():
            every[name] += exact
    print("all files")
    report(every)


def report(found):
    for name in ("greedy", "interpreter"):
        change = scores.change(found["free"], found[name])
        print(f"  {name}: {sum(found[name])} of {len(found[name])} right, free {sum(found['free'])}, {change}")


if __name__ == "__main__":
    main(sys.argv[1:])
