"""The report of a model as a page: page(facts) takes what model_report.facts() makes."""

import json
import math
from html import escape

from report import charts
from report.html import bar, document, section, table, words

MEASURES = {
    "exact_match": "everything right",
    "command_subcommand_accuracy": "commands: the right one",
    "args_accuracy": "commands: arguments right",
    "flags_accuracy": "commands: flags right",
    "clarification_recall": "questions asked where one is due",
    "clarification_precision": "questions asked that were due",
    "json_valid": "valid JSON",
    "schema_valid": "valid by the schema",
    "right_at_threshold": "commands at confidence 0.9 and more: right",
}


def share(r):
    """A share with its interval, as cells."""
    if not r or not r["n"]:
        return ["-", "", ""]
    low, high = r["ci95"]
    return [percent1(r["share"]), f"{100 * low:.0f} to {100 * high:.0f}", f"{r['hits']}/{r['n']}"]


def percent1(x):
    return "-" if x is None else f"{100 * x:.1f} %"


def score_table(e):
    lines = []
    for key, what in MEASURES.items():
        r = e["scores"].get(key)
        if r and r["n"]:
            lines.append(("", [words(what) + bar(r["share"], 1), *share(r)]))
    return section("Scores", table(["", "share", "95 %", "rows"], lines))


def baseline_table(e):
    ours = e["scores"]["exact_match"]
    lines = [("", [f"<strong>this model</strong>{bar(ours['share'], 1)}", *share(ours), ""])]
    for name, b in (e.get("baselines") or {}).items():
        lines.append(("", [words(name) + bar(b["share"], 1), *share(b), f"{b['p']:.1g}"]))
    note = (
        "All learn from the same training rows and answer the same cases; where the number of rows is smaller, both were "
        "compared on that sample. p: McNemar's exact test that it is right as often as the model."
    )
    if len(lines) == 1:
        return section(
            "Against simpler things", "<p>The training rows are not on this machine: nothing to compare with.</p>"
        )
    return section(
        "Against simpler things",
        f"<small>{note}</small>",
        table(["everything right", "share", "95 %", "rows", "p"], lines),
    )


def confusion_table(d):
    lines = [("", [words(c), n["command"], n["clarification"]]) for c, n in d["confusion"].items()]
    return section("To act or to ask", table(["what the case is", "acted", "asked"], lines))


def decision_table(d, belief):
    rows = [
        ("questions that suggest a command that was meant", d["suggestions"]),
        ("same words without context: both answers right", d.get("twins")),
        ("a wrong command that would lose something", d["harm"]["wrong_destructive"]),
        ("commands with a value from nowhere", d["inventions"]["values_from_nowhere"]),
        ("right command, with an argument or flag nobody asked for", d["inventions"]["unasked_argument_or_flag"]),
        ("right command, without one that was asked for", d["inventions"]["missing_argument_or_flag"]),
        ("commands at confidence 0.9 and more", belief["at_0.9"]["coverage"]),
        ("wrong among those", belief["at_0.9"]["wrong"]),
    ]
    run = d["harm"]["run"]
    note = f"Of the wrong commands that would lose something, a host that follows the advice would have run {run}."
    return section(
        "What mistakes would cost",
        table(["", "share", "95 %", "rows"], [("", [words(w), *share(r)]) for w, r in rows if r and r["n"]]),
        f"<small>{note}</small>",
    )


def subcommand_table(d):
    lines = []
    for label, s in d["by_subcommand"].items():
        taken = ", ".join(f"{k} ({n})" for k, n in sorted(s["taken_for"].items(), key=lambda i: -i[1]))
        mark = "none" if s["right"] < s["n"] / 2 else "few" if s["right"] < s["n"] else ""
        cell = words(label) + (f" <small>taken for {escape(taken)}</small>" if taken else "") + bar(s["right"], s["n"])
        lines.append((mark, [cell, s["right"], s["n"]]))
    half = -(-len(lines) // 2)
    return "".join(
        section(title, table(["", "right", "of"], part))
        for title, part in (("Subcommands, most mistakes first", lines[:half]), ("and the others", lines[half:]))
        if part
    )


def mistake(m):
    context = json.dumps(m["context"], ensure_ascii=False) if m["context"] else "no context"
    return (
        f"<article><p><strong>{escape(m['instruction'])}</strong></p><p><small>{escape(context)}</small></p>"
        f"<p>expected <code>{escape(m['expected_words'])}</code></p>"
        f"<p>answered <code>{escape(m['answer_words'])}</code> <small>confidence {m['confidence']:.2f}</small></p></article>"
    )


def evaluation(e):
    d, belief, latency = e["decisions"], e["belief"], e["latency_seconds"]
    few = " These are few rows: read the intervals." if e["n"] < 200 else ""
    better = "".join(f"<p>{escape(line)}</p>" for line in e.get("compared", []))
    perplexity = f" Perplexity of the expected answers {e['perplexity']:.3f}." if e.get("perplexity") else ""
    calibration = ""
    if belief["n"]:
        text = (
            "Calibration error {error:.3f} over {n} commands in 15 bins of equal mass; chance alone would give {honest_error:.3f} "
            "if every confidence were exact. Brier {brier:.3f}."
        )
        calibration = text.format(**belief)
    worst = e["mistakes"][:30]
    return f"""<h2>{escape(e["title"])}</h2>
<p class="soft">{e["n"]} rows of {escape(e["rows"])}, {escape(e["model"])}; an answer takes {latency["p50"]:.2f} s (median), {latency["p99"]:.2f} s (99 %)
on this machine.{perplexity}{few}</p>{better}
<div class="grid">{score_table(e)}{baseline_table(e)}{confusion_table(d)}{decision_table(d, belief)}
{section("Does the confidence hold?", charts.reliability(belief["reliability"]), f"<small>{calibration}</small>")}
{section("How wrong are the surest?", charts.risk_coverage(belief["risk_coverage"]), "<small>Commands alone. At 0.5: the surest half.</small>")}
{subcommand_table(d)}</div>
<h3>The {len(worst)} worst mistakes of {len(e["mistakes"])}, the surest first</h3>
<div class="grid">{"".join(mistake(m) for m in worst) or "<p>None.</p>"}</div>"""


def drawable(value):
    """Whether a value of a log is a number that has a place on a chart: a training that went wrong logs others."""
    return isinstance(value, int | float) and math.isfinite(value)


CURVES = (  # of a trainer's log: title, unit, range, {words: key}
    ("loss", "loss", None, {"training": "loss", "validation": "eval_loss"}),
    ("perplexity", "perplexity", None, {"validation": "eval_perplexity"}),
    (
        "validation rows, without a grammar",
        "share",
        (0, 1),
        {"exact match": "eval_exact_match", "valid JSON": "eval_json_valid"},
    ),
    ("an answer, without a grammar", "seconds", None, {"validation": "eval_seconds_per_answer"}),
    ("pairs told apart", "share", (0, 1), {"training": "rewards/accuracies", "validation": "eval_rewards/accuracies"}),
)


def curves(logs):
    """Sections with the curves of the trainers' logs. logs: {"sft": [...], "dpo": [...]} as in log.jsonl."""
    out = []
    for stage, log in logs.items():
        for title, unit, span, keys in CURVES:
            lines = {
                words: [(entry["step"], entry[key]) for entry in log if drawable(entry.get(key))]
                for words, key in keys.items()
            }
            lines = {words: points for words, points in lines.items() if points}
            if lines:
                out.append(section(f"{stage.upper()}: {title}", charts.chart(lines, "step", unit, None, span)))
    return "".join(out)


def page(found):
    """The whole page as a string."""
    stages = table(
        ["stage", "time", "cost"],
        [("", [escape(s["stage"]), escape(s["time"]), escape(s["cost"])]) for s in found["stages"]],
    )
    notes = "".join(f"<p>{escape(s['stage'])}: {escape(s['words'])}</p>" for s in found["stages"] if s["words"])
    settings = table(["", ""], [("", [escape(k), escape(str(v))]) for k, v in found["settings"].items()])
    body = f"""<h1>{escape(found["name"])}: how good is the model?</h1>
<p class="verdict">{escape(found["verdict"])}</p>
{"".join(evaluation(e) for e in found["evaluations"])}
<h2>Training</h2>
<div class="grid">{curves(found["logs"]) or "<p>No log of a trainer is here.</p>"}</div>
<h2>Stages, settings, versions</h2>
{notes}
<div class="grid">{section("Time and money", stages)}{section("Made with", f'<div class="pairs">{settings}</div>')}</div>"""
    return document(f"{found['name']}: how good is the model?", body)
