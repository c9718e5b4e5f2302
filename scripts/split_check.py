"""The split of a data set: where each row comes from, how alike rows are, and that no validation row leans on a training row.

A row here is {"split", "at" (file and line), "instruction", "context" (flat), "answer", "frame", "category"}; frame and category
come from frames.jsonl and are None for rows that were written or edited by hand. scikit-learn is imported where it is needed.
"""

import json
import re

import utils
from rows import flatten
from utils import display, fail

SPLITS = {"train": "train.jsonl", "val": "train_val.jsonl"}
NEAR = 0.95  # cosine from which a validation row without a frame repeats a training row
BLOCK = 4_000_000  # cosines held at once: 32 MB


# -------------------------------------------------------------------------------------------------------- rows
def row_id(row):
    """What ties a row to its line in frames.jsonl: 16 hex digits that any edit changes."""
    return utils.digest_text(json.dumps([row["instruction"], row.get("context"), row["output"]], sort_keys=True))


def load(folder):
    """The rows of both files with the frame that each was drawn from; frame and category are None for rows by hand."""
    path = folder / "frames.jsonl"
    known = {f.get("row"): f for f in utils.read_jsonl(path)} if path.exists() else {}
    rows = []
    for split, name in SPLITS.items():
        for number, raw in utils.numbered_jsonl(folder / name):
            drawn = known.get(row_id(raw), {})
            rows.append(
                {
                    "split": split,
                    "at": f"{display(folder / name)}:{number}",
                    "instruction": raw["instruction"],
                    "context": flatten(raw.get("context")),
                    "answer": json.loads(raw["output"]),
                    "frame": drawn.get("frame"),
                    "category": drawn.get("category"),
                }
            )
    return rows


def side(rows, split):
    return [i for i, r in enumerate(rows) if r["split"] == split]


# -------------------------------------------------------------------------------------------------- similarity
def vectors(texts):
    """TF-IDF of the character 3- to 5-grams of words: a sparse matrix whose rows have length 1. Case and marks do not count."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    def plain(text):
        return " ".join(re.findall(r"\w+", text.lower())) or text

    return TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), preprocessor=plain).fit_transform(texts)


def nearest(matrix, some, others):
    """[(cosine, i, j)]: for each row number i of `some` the nearest j of `others`, never i itself."""
    found, column = [], {j: n for n, j in enumerate(others)}
    step = 1 + BLOCK // max(1, len(others))
    for start in range(0, len(some) if others else 0, step):
        block = some[start : start + step]
        cosines = (matrix[block] @ matrix[others].T).toarray()
        for line, i in zip(cosines, block, strict=True):
            if i in column:
                line[column[i]] = -1
            best = int(line.argmax())
            if line[best] >= 0:
                found.append((min(1.0, float(line[best])), i, others[best]))
    return found


# ------------------------------------------------------------------------------------------------------- split
def leaks(rows, matrix=None):
    """(i, j, why) of each validation row i that leans on a training row j: by the frame where both are known, else by the text."""
    train, val = side(rows, "train"), side(rows, "val")
    of = {rows[j]["frame"]: j for j in train if rows[j]["frame"]}
    found = [
        (i, of[rows[i]["frame"]], f"come from the same frame '{rows[i]['frame']}'")
        for i in val
        if rows[i]["frame"] in of
    ]
    if matrix is None and all(r["frame"] for r in rows):
        return found
    matrix = vectors([r["instruction"] for r in rows]) if matrix is None else matrix
    pairs = nearest(matrix, [i for i in val if not rows[i]["frame"]], train)
    pairs += nearest(matrix, [i for i in val if rows[i]["frame"]], [j for j in train if not rows[j]["frame"]])
    return found + [
        (i, j, f"read the same (similarity {cosine:.2f}, the limit is {NEAR})")
        for cosine, i, j in pairs
        if cosine >= NEAR
    ]


def check_split(rows, name, matrix=None):
    """Ends the program when a validation row shares its frame, or as good as its words, with a training row."""
    found = leaks(rows, matrix)
    if found:
        i, j, why = found[0]
        more = f" ({len(found)} such rows)" if len(found) > 1 else ""
        fail(
            f"{rows[i]['at']} and {rows[j]['at']} {why}{more}, so validation would flatter the model; "
            f"delete one of the two, or run: just train-generate-force name={name}"
        )
