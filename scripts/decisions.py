"""The decision to act or to ask, and what a wrong act would do: what one share of right answers hides. Imports nothing heavy.

Everything here works on cases {"instruction", "context", "expected", "also"?, "suggest"?, "cat"?} and what scores.judge() found for each.
A case's category is "cat" (of a question: ambiguous_command, missing_arg, ...); rows of the teacher get theirs from frames.jsonl.
"""

import re
from collections import Counter, defaultdict

from calibration import KINDS
from rows import POINTERS, clarification, flatten, said, ungrounded
from scores import brier, calibration_error, confidence, honest_error, rate, reliability

POINTING = re.compile(rf"\b({'|'.join(POINTERS)})\b", re.IGNORECASE)


def kind(answer):
    return (answer or {}).get("type")


def commands(judged):
    """The (case, verdict) pairs whose answer is a command that fits the schema."""
    return [(c, j) for c, j in judged if kind(j["answer"]) == "command" and j["fits"]]


def confusion(judged):
    """{category: {"command": n, "clarification": n}}: what was answered, by what the case is ("command", or why it must be asked)."""
    out = defaultdict(lambda: dict.fromkeys(KINDS, 0))
    for case, j in judged:
        want = kind(j["want"])
        category = "command" if want == "command" else case.get("cat") or "question"
        if kind(j["answer"]) in KINDS:
            out[category][j["answer"]["type"]] += 1
    return dict(sorted(out.items(), key=lambda item: (item[0] != "command", item[0])))


def twin(case, schema):
    """The same words without context, where the expected command takes a value from the context; None for other cases.

    Right is a question where the value is needed or the words point at it. Where it is neither, the command without it is right too.
    """
    want, context = case["expected"], case.get("context")
    sub = schema.by_key.get((want.get("command"), want.get("subcommand")))
    if want["type"] != "command" or not context or sub is None:
        return None
    known, args = flatten(context), want.get("args") or {}
    taken = [
        n
        for n, v in args.items()
        if n in sub.arg
        and sub.arg[n].from_context in known
        and known[sub.arg[n].from_context] == v
        and not said(v, case["instruction"])
    ]
    if not taken:
        return None
    question = clarification(schema, "pronoun", [sub.label], taken[0].replace("_", " "))
    bare = {"instruction": case["instruction"], "context": None, "expected": question, "also": []}
    if not any(sub.arg[n].required for n in taken) and not POINTING.search(case["instruction"]):
        bare["also"] = [{**want, "args": {n: v for n, v in args.items() if n not in taken}}]
    return bare


def suggestions(judged):
    """How many questions suggest a command that was meant, of those asked rightly for which such commands are known."""
    hits = n = 0
    for case, j in judged:
        if kind(j["answer"]) != "clarification" or kind(j["want"]) != "clarification":
            continue
        pairs = [(s.get("command"), s.get("subcommand")) for s in j["want"].get("suggestions") or []]
        wanted = {tuple(p) for p in case.get("suggest") or pairs}
        offered = {(s.get("command"), s.get("subcommand")) for s in j["answer"].get("suggestions") or []}
        n += bool(wanted)
        hits += bool(wanted & offered)
    return rate(hits, n)


def destructive(answer, schema):
    sub = schema.by_key[answer["command"], answer["subcommand"]]
    return sub.destructive or any(sub.flag[f].destructive for f in answer["flags"])


def harm(judged, schema, action):
    """Of the wrong commands: those that would lose something, how many a host would have run without a yes, how many it would have
    run if nothing were marked destructive. action: Interpreter.action."""
    wrong = [j["answer"] for _, j in commands(judged) if not j["exact"] and destructive(j["answer"], schema)]
    return {
        "wrong_destructive": rate(len(wrong), len(judged)),
        "run": sum(action(a)[0] == "run" for a in wrong),
        "sure": sum(a["confidence"] >= 0.9 for a in wrong),
    }


def inventions(judged, schema):
    """Of the commands: with a value that neither words nor context hold; with an argument or flag nobody asked for, or without one that was asked for."""
    answered = commands(judged)
    made_up = unasked = missing = same = 0
    for case, j in answered:
        made_up += bool(ungrounded(j["answer"], case["instruction"], case.get("context"), schema))
        if j["command"]:
            got = [set(j["answer"][k]) for k in ("args", "flags")]
            want = [set(j["want"].get(k) or ()) for k in ("args", "flags")]
            same += 1
            unasked += any(g - w for g, w in zip(got, want, strict=True))
            missing += any(w - g for g, w in zip(got, want, strict=True))
    return {
        "values_from_nowhere": rate(made_up, len(answered)),
        "unasked_argument_or_flag": rate(unasked, same),
        "missing_argument_or_flag": rate(missing, same),
    }


def by_subcommand(judged):
    """{label: {"n", "right", "taken_for": {label or "a question": n}}} of the cases that want a command, those with most mistakes first."""
    out = {}
    for _, j in judged:
        if kind(j["want"]) != "command":
            continue
        line = out.setdefault(label(j["want"]), {"n": 0, "right": 0, "taken_for": Counter()})
        line["n"] += 1
        line["right"] += j["exact"]
        if not j["command"]:
            line["taken_for"][label(j["answer"]) if kind(j["answer"]) == "command" else "a question"] += 1
    return dict(sorted(out.items(), key=lambda item: item[1]["right"] - item[1]["n"]))


def label(answer):
    return " ".join(filter(None, (answer["command"], answer.get("subcommand"))))


def points(judged):
    """[(confidence, right)] of the answers that are commands."""
    return [(confidence(j), j["exact"]) for _, j in commands(judged)]


def risk_coverage(found):
    """[[share of the commands that are the surest, share of them that is wrong, lowest confidence among them]], surest first."""
    ordered = sorted(found, key=lambda p: -p[0])
    wrong, out = 0, []
    for i, (p, right) in enumerate(ordered, 1):
        wrong += not right
        out.append([i / len(ordered), wrong / i, p])
    return out


def at_threshold(found, threshold=0.9):
    """{"coverage", "wrong"}: the commands that would run by their confidence, and how many of those are wrong."""
    sure = [right for p, right in found if p >= threshold]
    return {"coverage": rate(len(sure), len(found)), "wrong": rate(len(sure) - sum(sure), len(sure))}


def facts(judged, schema, action):
    """What was decided, as JSON has it; twins are asked separately, see twin()."""
    return {
        "confusion": confusion(judged),
        "suggestions": suggestions(judged),
        "harm": harm(judged, schema, action),
        "inventions": inventions(judged, schema),
        "by_subcommand": by_subcommand(judged),
    }


def belief(judged):
    """How far the confidence of the commands can be believed, as JSON has it; errors and Brier score are None without commands."""
    found = points(judged)
    return {
        "n": len(found),
        "error": calibration_error(found),
        "honest_error": honest_error(found),
        "brier": brier(found),
        "reliability": reliability(found),
        "risk_coverage": risk_coverage(found),
        "at_0.9": at_threshold(found),
    }
