"""The data report as one HTML page that needs nothing but itself: no network, no scripts, inline CSS, bars of plain boxes.

page(facts) takes what data_report.facts() makes, also read back from report.json. Every text goes through html.escape.
"""

import json
from html import escape

CSS = """
:root { color-scheme: light dark; --ink: #1c2126; --soft: #59636e; --line: #d5dae0; --paper: #fff; --track: #eceff2;
  --bar: #3b76b5; --few: #b96a00; --none: #c0362c; --good: #23743c; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8ec; --soft: #a0aab4; --line: #3a424a; --paper: #15191d;
  --track: #262d33; --bar: #5f9ddc; --few: #e3a03f; --none: #f0776c; --good: #6cc083; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 76rem; padding: 1rem; background: var(--paper); color: var(--ink);
  font: 15px/1.45 system-ui, "Segoe UI", "Helvetica Neue", Arial, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: .3rem 0; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 .4rem; padding-top: .8rem; border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1rem 0 .3rem; }
p { margin: .3rem 0 .7rem; max-width: 50rem; }
.soft, th, small { color: var(--soft); font-weight: normal; }
small { font-size: .87rem; }
.good { color: var(--good); font-weight: 600; }
.grid { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); gap: .4rem 2.2rem; align-items: start; }
.dense { grid-template-columns: repeat(auto-fit, minmax(min(100%, 16rem), 1fr)); gap: .4rem 1.6rem; }
.grid > section { min-width: 0; }
table { width: 100%; border-collapse: collapse; font-size: .93rem; }
th { text-align: left; font-size: .87rem; }
td, th { padding: .16rem 0 .16rem .7rem; vertical-align: top; }
td:first-child, th:first-child { padding-left: 0; width: 99%; }
td + td, th + th { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
.track { position: relative; height: .42rem; margin: .1rem 0 .15rem; background: var(--track); }
.track b { display: block; height: 100%; background: var(--bar); }
.track i { position: absolute; top: -.16rem; bottom: -.16rem; width: 2px; background: var(--ink); }
.few b { background: var(--few); } .few td:nth-child(2), .few em { color: var(--few); font-weight: 600; }
.none b { background: var(--none); } .none td:nth-child(2), .none em { color: var(--none); font-weight: 600; }
em { font-style: normal; }
.word { display: inline-block; max-width: 100%; }
.hist { display: flex; align-items: flex-end; gap: 2px; height: 8.5rem; margin-top: .4rem; }
.hist div { flex: 1 1 0; min-width: 0; height: 100%; display: flex; flex-direction: column; justify-content: flex-end;
  text-align: center; overflow-wrap: normal; }
.hist b { background: var(--bar); min-height: 1px; }
.hist span { font-size: .75rem; line-height: 1.3; color: var(--soft); white-space: nowrap; overflow: visible;
  display: flex; justify-content: center; height: 1.3em; }
article { border-left: 3px solid var(--line); padding: .1rem 0 .1rem .7rem; margin: .6rem 0; }
article p { margin: 0; max-width: none; white-space: pre-wrap; }
code { font: .9em/1.4 ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; }
"""

WHY = {
    "draw": "parts of the sentence contradict each other",
    "diversity": "the same input again, or an instruction of the other side of the split",
    "grounding": "a value that neither words nor context hold",
    "required": "a required argument is missing",
    "types": "a value of another type",
    "schema": "a command, argument or flag that the schema does not have",
}


def percent(share):
    return "-" if share is None else f"{100 * share:.0f} %"


def table(head, lines):
    """lines: (class of the row, html of the cells)."""
    top = "".join(f"<th>{escape(h)}</th>" for h in head)
    body = "".join(f'<tr class="{kind}">{"".join(f"<td>{c}</td>" for c in cells)}</tr>' for kind, cells in lines)
    return f"<table><tr>{top}</tr>{body}</table>"


def words(text):
    """Text that breaks between words alone, so that --web is not torn apart; a word longer than the line still breaks."""
    return " ".join(f'<span class="word">{escape(w)}</span>' for w in text.split())


def bar(value, most, target=None):
    """A bar of value on a track as long as most, with a line at the target."""
    at = f'<i style="left:{100 * min(1, target / most):.1f}%"></i>' if target is not None else ""
    return f'<div class="track"><b style="width:{100 * value / most:.1f}%"></b>{at}</div>'


def section(title, *parts):
    return f"<section><h3>{escape(title)}</h3>{''.join(parts)}</section>"


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


def histogram(title, bins, note=""):
    """Columns; a label under each, or under every fourth where there are many. The count shows on hovering and over the column."""
    most, every = max([1, *(n for _, n in bins)]), 1 if len(bins) <= 9 else 4
    columns = "".join(
        f'<div title="{escape(str(label))}: {n}"><span>{n if every == 1 else ""}</span>'
        f'<b style="height:{75 * n / most:.1f}%"></b><span>{escape(str(label)) if i % every == 0 else ""}</span></div>'
        for i, (label, n) in enumerate(bins)
    )
    return section(
        title, f'<div class="hist">{columns}</div>' if bins else "<p>none</p>", f"<small>{escape(note)}</small>"
    )


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
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Data report: {name}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{CSS}</style></head>\n'
        f"<body>{body}</body></html>\n"
    )
