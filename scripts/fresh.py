"""New rows from the bundled teacher for a data set that it made: for preferences and calibration, which want requests that the model
was not trained on, and for the passes of a training. Never a row of the data set, never a frame of a validation row.
"""

import utils
from rows import Seen, row_faults
from split_check import SPLITS
from teacher import Teacher, sources
from utils import data_dir, models_dir, read_json

FIRST = 10_000_000  # rows that are drawn anew have numbers from here on, so many for each purpose and seed
PREFERENCES, CALIBRATION, PASSES = 1, 2, 3
DRAWN = "drawn.jsonl"  # rows beside those of the file that a model was trained on, in its folder


def settings_of(name):
    """Settings of the data set where the bundled teacher drew it and would draw the same today; otherwise None."""
    made = of_teacher(name)
    return made["settings"] if made and not changed(name, made) else None


def outdated(name):
    """Whether the bundled teacher drew the data set from a schema, a phrasebook or words that have changed since."""
    made = of_teacher(name)
    return bool(made) and changed(name, made)


def of_teacher(name):
    """Fingerprint of the data set where the bundled teacher drew it and its file is still what it was; otherwise None."""
    stage = read_json(data_dir(name) / "stage.json") or {}
    made, file = stage.get("fingerprint") or {}, data_dir(name) / "train.jsonl"
    bundled = isinstance(made.get("settings"), dict) and "teacher" not in made["settings"]
    return made if bundled and (stage.get("written") or {}).get("train.jsonl") == utils.digest(file) else None


def changed(name, made):
    return made != utils.fingerprint("generate", made["settings"], *sources(name))


def draw(name, schema, number, purpose, seed=0):
    """At most `number` rows from the frames of the training rows, none of whose inputs is in the data set; None where no teacher can draw them.
    Each has "points" too: the arguments that a pointing word stands for.

    purpose: one of those above, so that no two callers draw alike.
    """
    settings = settings_of(name)
    if not settings:
        return None
    teacher, seen = Teacher(schema, name, settings["seed"]), Seen()
    known = [(split, data_dir(name) / file) for split, file in SPLITS.items()]
    if purpose != PASSES:
        known.append(("train", models_dir(name) / "sft" / DRAWN))
    for split, path in known:
        for row in utils.read_jsonl(path) if path.exists() else []:
            seen.fault(row, split)
    out, first = [], FIRST * (purpose + 10 * seed)
    for index in range(first, first + number * 10):
        made = teacher.draw(index, "train", 0)
        if made and not row_faults(made["row"], schema) and not seen.fault(made["row"], "train"):
            teacher.accept(made)
            out.append({**made["row"], "points": made["points"]})
            if len(out) == number:
                break
    return out
