"""The data report as a page: page(facts) takes what data_report.facts() makes, also read back from report.json."""

import json
from html import escape

from report.html import bar, document, histogram, percent, section, table, words

WHY = {
    "draw": "parts of the sentence contradict each other",
    "diversity": "the same input again, or an instruction of the other side of the split",
    "grounding": "a value that neither words nor context hold",
    "required": "a required argument is missing",
    "types": "a value of another type",
    "schema": "a command, argument or flag that the schema does not have",
}


def share_table(title, lines):
    most = max([0.01, *(x for r in lines for x in (r["share"], r["target"] or 0))])
    head = ["", "train", "val", "share", "target"] if any(r["target"] for r in lines) else None
    body = []
    for r in lines:
        cells = [words(r["what"]) + bar(r["share"], most, r["target"]), r["train"], r["val"], percent(r["share"])]
        body.append(("", [*cells, percent(r["target"])] if head else cells))
    return section(title, table(head or ["", "train", "val", "share"], body))


def cover_table(part, lines, few):
    """Training and validation rows of each thing; fewer training rows than `few` are coloured and called so."""
    most = max([few, *(r["train"] for r in lines)])
    rare, none = sum(0 < r["train"] < few for r in lines), sum(not r["train"] for r in lines)
    body = []
    for r in lines:
        kind = "" if r["train"] >= few else "few" if r["train"] else "none"
        mark = f" <em>{kind}</em>" if kind else ""
        body.append((kind, [words(r["what"]) + mark + bar(r["train"], most, few), r["train"], r["val"]]))
    note = f"{len(lines)} in the schema; target {few} training rows (the line): {rare} have fewer, {none} have none."
    return section(part.capitalize(), f"<small>{escape(note)}</small>", table(["", "train", "val"], body))


def quantile_words(q):
    return ", ".join(f"{name} {v}" for name, v in q.items())


def wording_table(wording):
    names = ["rows", "distinct", "distinct-1", "distinct-2", "distinct-3"]
    lines = [("", [escape(n), *(str(wording[s][n]) for s in ("train", "val"))]) for n in names]
    lines += [
        ("", [f"words, {escape(n)}", *(str(wording[s]["words"].get(n, "-")) for s in ("train", "val"))])
        for n in wording["train"]["words"]
    ]
    return section("Instructions", table(["", "train", "val"], lines))


def pair(p):
    lines = [f"<p><strong>{p['similarity']:.2f}</strong></p>"]
    for split in ("val", "train"):
        row = p[split]
        lines.append(f"<p>{escape(row['instruction'])}</p>")
        lines.append(f"<p><small>{escape(', '.join((row['at'], row['frame'] or 'no frame')))}</small></p>")
    return f"<article>{''.join(lines)}</article>"


def sample(s):
    context = ", ".join(f"{k} {json.dumps(v, ensure_ascii=False)}" for k, v in s["context"].items()) or "no context"
    answer = f"<code>{escape(s['answer'])}</code>" if s["type"] == "command" else f"asks: {escape(s['answer'])}"
    split = {"train": "training", "val": "validation"}[s["split"]]
    kind = s["type"] if s["type"] == "command" else s["category"] or "question by hand"
    return (
        f"<article><p><strong>{escape(s['instruction'])}</strong></p><p>{answer}</p>"
        f"<p><small>{split}, {escape(kind)}; {escape(context)}</small></p></article>"
    )


def split_words(split):
    parts = []
    if split["by frame"]:
        parts.append(f"none of {split['by frame']} validation rows shares its frame with a training row")
    if split["by text"]:
        parts.append(f"none of {split['by text']} without a frame is as similar as {split['limit']} to a training row")
    return ", ".join(parts)


def rejections(rejected):
    return ", ".join(f"{n} {rule}" for rule, n in sorted(rejected.items(), key=lambda r: -r[1])) or "none"


def page(found):
    """The whole page as a string."""
    name, rows = escape(found["name"]), found["rows"]
    settings = ", ".join(f"{k} {v}" for k, v in found["settings"].items()) or "none known"
    hand = f" {found['by_hand']} of the rows were written or edited by hand." if found["by_hand"] else ""
    similar = "".join(
        histogram(what.capitalize(), of["histogram"], quantile_words(of["quantiles"]))
        for what, of in found["similarity"].items()
    )
    turned = [
        ("", [escape(f"{rule}: {WHY[rule]}" if rule in WHY else rule), n])
        for rule, n in sorted(found["rejected"].items(), key=lambda r: -r[1])
    ]
    body = f"""<h1>Data report: {name}</h1>
<p>{rows["train"]} training and {rows["val"]} validation rows. Teacher: {escape(found["teacher"])}. Settings: {escape(settings)}.{hand}</p>
<p><span class="good">Split check passed:</span> {escape(split_words(found["split"]))}.</p>
<h2>Shares</h2>
<p class="soft">The line on a bar is the teacher's target, where it has one. Context counts as used when the answer takes a value
from it that the words do not say.</p>
<div class="grid">{"".join(share_table(title, lines) for title, lines in found["shares"].items())}</div>
<h2>Coverage</h2>
<p class="soft">Rows whose answer has each thing, those with the fewest first.</p>
<div class="grid dense">{"".join(cover_table(p, lines, found["few"][p]) for p, lines in found["coverage"].items())}</div>
<h2>Variety</h2>
<p class="soft">distinct-n: n-grams of lower-cased words that are no repetition, as a share of all; it falls as rows are added.</p>
<div class="grid dense">{wording_table(found["wording"])}{histogram("Words an instruction", found["lengths"], "A label is the lowest number of its column.")}
{histogram("Arguments a command", found["args"])}{histogram("Flags a command", found["flags"])}</div>
<h2>Similarity</h2>
<p class="soft">Cosine of each row to its nearest training row; TF-IDF of character 3- to 5-grams, case and marks left out.</p>
<div class="grid">{similar}</div>
<h3>The validation rows that are closest to a training row</h3>
{"".join(pair(p) for p in found["closest"])}
<h2>Turned away</h2>
<p class="soft">Candidates that a rule kept out, by the first rule that they broke.</p>
{table(["rule", "rows"], turned) if turned else "<p>None.</p>"}
<h2>{len(found["samples"])} rows at random</h2>
{"".join(sample(s) for s in found["samples"])}"""
    return document(f"Data report: {found['name']}", body)
