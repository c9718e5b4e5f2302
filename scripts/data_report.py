"""The data report of stage 1: how many rows a data set has of what, against the teacher's targets, how varied they are, examples.

facts() are numbers and texts alone; terminal() and report.data_page.page() say them; report() is what generate calls. Rows are those of
split_check.load().
"""

import math
import random
from collections import Counter

import utils
from ask import command_line
from report.data_page import page, rejections, split_words
from report.html import percent
from rows import said
from split_check import NEAR, SPLITS, check_split, load, nearest, side, vectors
from teacher import ASK_SHARES, SHARES, USES
from utils import SCHEMAS, data_dir, display

# Training rows below which a thing counts as rare. A rule of thumb: with ten, its share of validation is one row or none.
FEW = {"subcommands": 20, "arguments": 10, "flags": 10, "enum values": 10}
SAMPLED = 2000  # rows whose nearest training row is looked up for the report; the check looks at all that it must
KINDS = {"ctx": "command, with context", "noctx": "command, without", "ask": "question back"}


# ------------------------------------------------------------------------------------------------------- counts
def tally(rows, key, names, targets=None):
    """One line a name: rows whose key(row) it is in either split, their share of all these rows, the share that was aimed at."""
    counts = Counter((key(r), r["split"]) for r in rows)
    return [
        {
            "what": what,
            "train": counts[k, "train"],
            "val": counts[k, "val"],
            "share": (counts[k, "train"] + counts[k, "val"]) / max(1, len(rows)),
            "target": targets.get(k) if targets else None,
        }
        for k, what in names.items()
    ]


def kind(row):
    return "ask" if row["answer"]["type"] != "command" else "ctx" if row["context"] else "noctx"


def shares(rows, schema):
    """Tables of shares: kinds of row, categories of question, how much context, and whether the answer needs it."""
    asks = [r for r in rows if kind(r) == "ask"]
    categories = {c: c for c in ASK_SHARES} | ({None: "by hand"} if any(not r["category"] for r in asks) else {})

    def amount(row):
        given = set(row["context"])
        return "none" if not given else "full" if given >= set(schema.context) else "partial"

    def use(row):
        args, answer = schema.by_key[row["answer"]["command"], row["answer"]["subcommand"]].arg, row["answer"]["args"]
        taken = (n for n, v in answer.items() if row["context"].get(args[n].from_context) == v)
        return "used" if any(not said(answer[n], row["instruction"]) for n in taken) else "idle"

    with_context = [r for r in rows if kind(r) == "ctx"]
    return {
        "Rows": tally(rows, kind, KINDS, SHARES),
        "Questions back": tally(asks, lambda r: r["category"], categories, ASK_SHARES),
        "Context of all rows": tally(rows, amount, {"full": "all fields", "partial": "some fields", "none": "none"}),
        "Commands with context": tally(
            with_context,
            use,
            {"used": "the answer takes a value from it", "idle": "irrelevant to the answer"},
            {"used": USES, "idle": 1 - USES},
        ),
    }


def coverage(rows, schema):
    """{"subcommands": ..., "arguments", "flags", "enum values"}: rows of each that the schema has, those with the fewest first."""
    counts = Counter()
    for r in rows:
        a = r["answer"]
        if a["type"] == "command":
            label = schema.by_key[a["command"], a["subcommand"]].label
            names = [f"{label} {n}" for n in a["args"]] + [f"{label} --{f}" for f in a["flags"]]
            counts.update((r["split"], n) for n in (label, *names, *(f"{label} {n}={v}" for n, v in a["args"].items())))
    subs, out = schema.subcommands, {}
    out["subcommands"] = [s.label for s in subs]
    out["arguments"] = [f"{s.label} {a.name}" for s in subs for a in s.args]
    out["flags"] = [f"{s.label} --{f.name}" for s in subs for f in s.flags]
    out["enum values"] = [f"{s.label} {a.name}={v}" for s in subs for a in s.args for v in a.values]
    for part, names in out.items():
        lines = [{"what": n, "train": counts["train", n], "val": counts["val", n]} for n in names]
        out[part] = sorted(lines, key=lambda line: line["train"])
    return out


def wording(texts):
    """How varied instructions are: distinct ones, and distinct-n, the share of n-grams of lower-cased words that are no repetition."""
    words = [t.lower().split() for t in texts]
    out = {"rows": len(texts), "distinct": len({tuple(w) for w in words})}
    for n in (1, 2, 3):
        grams = [tuple(w[i : i + n]) for w in words for i in range(len(w) - n + 1)]
        out[f"distinct-{n}"] = round(len(set(grams)) / max(1, len(grams)), 3)
    return {**out, "words": quantiles([len(w) for w in words])}


def quantiles(values):
    """{"min", "5 %", "median", "95 %", "max"} of numbers; of none: {}."""
    at = {"min": 0, "5 %": 0.05, "median": 0.5, "95 %": 0.95, "max": 1}
    v = sorted(values)
    return {name: round(v[round(q * (len(v) - 1))], 3) for name, q in at.items()} if v else {}


def histogram(values, width=1):
    """[[label, count]] of bins so wide, from the first to the last that is not empty. Labels name a bin's lower edge."""
    counts = Counter(math.floor(v / width + 1e-9) for v in values)
    bins = range(min(counts), max(counts) + 1) if counts else []
    return [[f"{b * width:.2f}" if width < 1 else str(b * width), counts[b]] for b in bins]


# ------------------------------------------------------------------------------------------------------- facts
def closeness(rows, matrix, rng):
    """Similarity of training rows to each other and of validation rows to training rows, and the five closest of the latter."""
    train, val = side(rows, "train"), side(rows, "val")
    chosen = [ids if len(ids) <= SAMPLED else sorted(rng.sample(ids, SAMPLED)) for ids in (train, val)]
    found = [nearest(matrix, ids, train) for ids in chosen]
    names = ("among training rows", "validation to training")
    out = {
        name: {"quantiles": quantiles(c := [f[0] for f in pairs]), "histogram": histogram(c, 0.05)}
        for name, pairs in zip(names, found, strict=True)
    }
    closest = []
    for cosine, i, j in sorted(found[1], reverse=True)[:5]:
        texts = {s: {k: rows[n][k] for k in ("at", "instruction", "frame")} for s, n in (("val", i), ("train", j))}
        closest.append({"similarity": round(cosine, 3), **texts})
    return out, closest


def facts(name, schema, rows, stage, matrix):
    """Everything that the report says, as JSON has it. stage: the object of stage.json, {} for data from elsewhere."""
    settings = (stage.get("fingerprint") or {}).get("settings") or {}
    rng = random.Random(f"{settings.get('seed', 0)}:report")
    similarity, closest = closeness(rows, matrix, rng)
    commands = [r["answer"] for r in rows if r["answer"]["type"] == "command"]
    texts = {split: [rows[i]["instruction"] for i in side(rows, split)] for split in SPLITS}
    lengths = [len(r["instruction"].split()) for r in rows]
    by_frame = sum(bool(r["frame"]) for r in rows if r["split"] == "val")
    return {
        "name": name,
        "settings": settings,
        "teacher": stage.get("teacher", "unknown"),
        "rows": {split: len(t) for split, t in texts.items()},
        "by_hand": sum(not r["frame"] and not r["category"] for r in rows),
        "rejected": stage.get("rejected") or {},
        "shares": shares(rows, schema),
        "few": FEW,
        "coverage": coverage(rows, schema),
        "wording": {split: wording(t) for split, t in texts.items()},
        "lengths": histogram(lengths, 1 + max(lengths) // 16),
        "args": histogram([len(a["args"]) for a in commands]),
        "flags": histogram([len(a["flags"]) for a in commands]),
        "similarity": similarity,
        "closest": closest,
        "split": {"by frame": by_frame, "by text": len(texts["val"]) - by_frame, "limit": NEAR},
        "samples": [sample(r, schema) for r in rng.sample(rows, min(20, len(rows)))],
    }


def sample(row, schema):
    a = row["answer"]
    labels = [s["label"] for s in a.get("suggestions", [])]
    answer = command_line(schema, a) if a["type"] == "command" else " | ".join([a["message"], *labels])
    return {**{k: row[k] for k in ("split", "instruction", "context", "category")}, "type": a["type"], "answer": answer}


# ---------------------------------------------------------------------------------------------------- terminal


def terminal(found):
    """The report as lines of at most 100 characters."""
    n, hand = found["rows"], found["by_hand"]
    origin = f"teacher {found['teacher']}, seed {found['settings'].get('seed', '-')}" + (
        f", {hand} by hand" if hand else ""
    )
    lines = [f"data report: {n['train']} training and {n['val']} validation rows; {origin}"]
    for title, table in found["shares"].items():
        lines.append(f"  {title:36} {'train':>6} {'val':>6} {'share':>6} {'target':>7}")
        for r in table:
            what, target = r["what"], "" if r["target"] is None else percent(r["target"])
            lines.append(f"    {what:34} {r['train']:6} {r['val']:6} {percent(r['share']):>6} {target:>7}".rstrip())
    lines.append(f"  {'Training rows of each':21} {'of':>6} {'none':>6} {'few':>6}   fewest")
    for part, table in found["coverage"].items():
        few = sum(0 < r["train"] < found["few"][part] for r in table)
        none = sum(not r["train"] for r in table)
        least = ", ".join(f"{r['what']} {r['train']}" for r in table[:2]) or "-"
        lines.append(f"    {part:19} {len(table):6} {none:6} {few:6}   {shorten(least, 57)}")
    lines.append("    few: under " + ", ".join(f"{v} for {k}" for k, v in found["few"].items()))
    for split, name in (("train", "training"), ("val", "validation")):
        w = found["wording"][split]
        grams = " ".join(f"{w[f'distinct-{k}']:.2f}" for k in (1, 2, 3))
        words = f"{w['words']['median']} words ({w['words']['5 %']} to {w['words']['95 %']})"
        lines.append(f"  {name}: {w['distinct']} of {w['rows']} instructions distinct, distinct-1/2/3 {grams}, {words}")
    for name, of in found["similarity"].items():
        q = of["quantiles"]
        if q:
            lines.append(
                f"  nearest neighbour, {name}: median {q['median']:.2f}, 95 % {q['95 %']:.2f}, max {q['max']:.2f}"
            )
    lines.append(f"  split check passed: {split_words(found['split'])}")
    lines.append(f"  turned away: {rejections(found['rejected'])}")
    return lines


def shorten(text, most):
    return text if len(text) <= most else text[: most - 3] + "..."


def report(name, schema):
    """Check the split of training/data/<name>; write its report.html and report.json, and print it, unless these rows have one."""
    folder = data_dir(name)
    rows = load(folder)
    inputs = [SCHEMAS / f"{name}.yaml", *(folder / f for f in (*SPLITS.values(), "stage.json"))]
    of = {display(p): utils.digest(p) for p in inputs if p.exists()}
    current = (utils.read_json(folder / "report.json") or {}).get("of") == of and (folder / "report.html").exists()
    matrix = None if current else vectors([r["instruction"] for r in rows])
    check_split(rows, name, matrix)
    if current:
        return
    found = facts(name, schema, rows, utils.read_json(folder / "stage.json") or {}, matrix)
    utils.write_text(folder / "report.html", page(found))
    utils.write_json(folder / "report.json", {"of": of, **found})
    print("\n".join([*terminal(found), f"  more: {display(folder / 'report.html')}"]))
