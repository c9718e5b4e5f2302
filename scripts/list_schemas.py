"""A table of the CLIs that can be trained: name, CLI, commands, subcommands, data rows, models present.

Run     just train-list-schemas
"""

import schema as cli_schema
import utils
from settings import parse_settings
from utils import data_dir, models_dir


def count_lines(path):
    return sum(1 for _ in open(path, "rb")) if path.exists() else 0


def row(path):
    schema, faults = cli_schema.read(path)
    name = path.stem
    rows = sum(count_lines(data_dir(name) / f) for f in ("train.jsonl", "train_val.jsonl"))
    models = [stage for stage in ("sft", "dpo") if (models_dir(name) / stage / "stage.json").exists()]
    models += [p.stem.removeprefix(f"clitron-{name}-") for p in sorted(models_dir(name).glob("clitron-*.gguf"))]
    if faults:
        return [
            name,
            "-",
            "-",
            "-",
            str(rows),
            f"{len(faults)} fault{'s' if len(faults) > 1 else ''} in the schema: just train-check name={name}",
        ]
    return [
        name,
        schema.cli,
        str(len(schema.commands)),
        str(len(schema.subcommands)),
        str(rows),
        " ".join(models) or "none",
    ]


def main(argv):
    parse_settings(argv, needs_name=False)
    rows = [row(p) for p in utils.schema_files()]
    if not rows:
        utils.fail("no schema in schemas/; write schemas/mycli.yaml (see the README)")
    rows = [["NAME", "CLI", "COMMANDS", "SUBCOMMANDS", "ROWS", "MODELS"], *rows]
    widths = [max(len(r[i]) for r in rows) for i in range(5)]
    for r in rows:
        print("  ".join([*(c.ljust(w) for c, w in zip(r, widths, strict=False)), r[5]]))


if __name__ == "__main__":
    utils.run(main)
