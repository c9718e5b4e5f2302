"""How good answers are: comparison with the expected ones, shares with intervals. Imports nothing heavy.

An answer is right when type, command, subcommand, arguments and flags all are: strings compare after strip() and case-sensitively,
types are strict (5 is not "5"), flags are a set, and of a clarification only the type counts. Where a case accepts several
answers (`also`), the nearest one counts.
"""

import json
import math
import random

from rows import answer_faults

SIGNIFICANT = 0.05  # p below which a difference is said to be one
MEASURES = ("exact", "exact_defaults", "type", "command", "args", "flags")


def parse(output):
    """The answer in a model's text, or None when it is not a JSON object."""
    try:
        answer = json.loads(output)
    except (TypeError, ValueError):
        return None
    return answer if isinstance(answer, dict) else None


def same(a, b):
    """Equality with strict types: 5, 5.0, "5" and True all differ."""
    if isinstance(a, str) and isinstance(b, str):
        return a.strip() == b.strip()
    return type(a) is type(b) and a == b


def same_args(a, b, defaults=None):
    """Whether two dicts of arguments agree; with defaults, one that is spelled out equals one that is left out."""
    if not isinstance(a, dict) or not isinstance(b, dict):
        return False
    if defaults:
        a, b = ({k: v for k, v in x.items() if not (k in defaults and same(v, defaults[k]))} for x in (a, b))
    return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)


def flag_set(answer):
    flags = answer.get("flags", [])
    fine = isinstance(flags, list) and all(isinstance(f, str) for f in flags)
    return {f.strip() for f in flags} if fine else None


def compare(answer, expected, schema):
    """{measure: bool} of one answer (dict or None) against one expected answer."""
    out = dict.fromkeys(MEASURES, False)
    if answer is None or answer.get("type") != expected["type"]:
        return out
    out["type"] = True
    if expected["type"] == "clarification":
        out["exact"] = out["exact_defaults"] = True
        return out
    key = expected["command"], expected["subcommand"]
    out["command"] = (answer.get("command"), answer.get("subcommand", "")) == key
    args, wanted = answer.get("args", {}), expected.get("args", {})
    out["args"] = same_args(args, wanted)
    out["flags"] = flag_set(answer) is not None and flag_set(answer) == flag_set(expected)
    out["exact"] = out["command"] and out["args"] and out["flags"]
    sub = schema.by_key.get(key)
    defaults = {a.name: a.default for a in sub.args if a.default is not None} if sub else {}
    out["exact_defaults"] = out["command"] and out["flags"] and same_args(args, wanted, defaults)
    return out


def judge(case, output, schema):
    """compare() against the nearest accepted answer, with the parsed answer and whether it fits the schema."""
    answer = parse(output)
    options = [case["expected"], *case.get("also", [])]
    verdicts = [(compare(answer, want, schema), want) for want in options]
    verdict, want = max(verdicts, key=lambda v: [v[0][m] for m in MEASURES])
    return {
        **verdict,
        "answer": answer,
        "want": want,
        "fits": answer is not None and not answer_faults({"confidence": 0, **answer}, schema),
    }


def wilson(hits, n, z=1.96):
    """95 % interval of a share (Wilson 1927): (low, high), or None without rows."""
    if not n:
        return None
    p, d = hits / n, 1 + z * z / n
    middle, half = (p + z * z / (2 * n)) / d, z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / d
    return max(0.0, middle - half), min(1.0, middle + half)


def rate(hits, n):
    """A share for a report: {"share", "hits", "n", "ci95"}; share and interval are None without rows."""
    return {"share": hits / n if n else None, "hits": hits, "n": n, "ci95": wilson(hits, n)}


def mcnemar(a, b):
    """Exact two-sided p of "a and b are right equally often" on the same rows (McNemar); a, b: lists of bool."""
    only_a = sum(x and not y for x, y in zip(a, b, strict=True))
    only_b = sum(y and not x for x, y in zip(a, b, strict=True))
    n = only_a + only_b
    if not n:
        return 1.0
    tail = sum(math.comb(n, k) for k in range(min(only_a, only_b) + 1)) / 2**n
    return min(1.0, 2 * tail)


def percentile(values, q):
    """The q-th percentile (nearest rank) of a list, or None when it is empty."""
    ordered = sorted(values)
    return ordered[max(0, -(-q * len(ordered) // 100) - 1)] if ordered else None


def reliability(points, bins=15):
    """[{"confidence", "right", "n"}]: means of (confidence, right) points in bins of equal mass."""
    ordered, n = sorted(points), len(points)
    parts = [ordered[i * n // bins : (i + 1) * n // bins] for i in range(bins)]
    return [
        {
            "confidence": sum(p for p, _ in part) / len(part),
            "right": sum(r for _, r in part) / len(part),
            "n": len(part),
        }
        for part in parts
        if part
    ]


def calibration_error(points, bins=15):
    """Expected calibration error of (confidence, right) points, in bins of equal mass (Naeini 2015, Nguyen 2015); None without points."""
    gaps = [b["n"] * abs(b["confidence"] - b["right"]) for b in reliability(points, bins)]
    return sum(gaps) / len(points) if points else None


def honest_error(points, bins=15, trials=500):
    """The calibration error that the same confidences would show on so few points if every one of them were exactly right: the mean
    over `trials` draws of the truth. An error near it says nothing against the confidence. None without points."""
    draw, total = random.Random(0), 0.0
    for _ in range(trials if points else 0):
        total += calibration_error([(p, draw.random() < p) for p, _ in points], bins)
    return total / trials if points else None


def brier(points):
    """Mean squared distance of confidence and truth; None without points."""
    return sum((p - bool(r)) ** 2 for p, r in points) / len(points) if points else None


def paired_difference(a, b, samples=2000, seed=0):
    """(share of b minus share of a, low, high): 95 % by paired bootstrap over the rows; a, b: lists of bool."""
    import random

    rng, n = random.Random(seed), len(a)
    each = [bool(y) - bool(x) for x, y in zip(a, b, strict=True)]
    means = sorted(sum(rng.choices(each, k=n)) / n for _ in range(samples))
    return sum(each) / n, means[round(0.025 * samples)], means[round(0.975 * samples) - 1]


def change(a, b):
    """Words for the change from a to b on the same rows (lists of bool): points with 95 % interval, p."""
    difference, low, high = (100 * x for x in paired_difference(a, b))
    return f"{difference:+.1f} points [{low:+.1f}, {high:+.1f}], p = {mcnemar(a, b):.2g}"


def table(judged, threshold=0.9):
    """All shares over judged cases: name -> {"share", "hits", "n", "ci95"}."""
    commands = [j for j in judged if j["want"]["type"] == "command"]
    asks = [j for j in judged if j["want"]["type"] == "clarification"]
    asked = [j for j in judged if (j["answer"] or {}).get("type") == "clarification"]
    confident = [j for j in judged if (j["answer"] or {}).get("type") == "command" and confidence(j) >= threshold]
    groups = {
        "exact_match": (judged, "exact"),
        "exact_match_ignoring_stated_defaults": (judged, "exact_defaults"),
        "type_accuracy": (judged, "type"),
        "command_subcommand_accuracy": (commands, "command"),
        "args_accuracy": (commands, "args"),
        "flags_accuracy": (commands, "flags"),
        "exact_match_commands": (commands, "exact"),
        "clarification_precision": (asked, "exact"),
        "clarification_recall": (asks, "exact"),
        "json_valid": (judged, lambda j: j["answer"] is not None),
        "schema_valid": (judged, "fits"),
        "right_at_threshold": (confident, "exact"),
    }
    out = {}
    for name, (rows, what) in groups.items():
        hits = sum(bool(what(j) if callable(what) else j[what]) for j in rows)
        out[name] = rate(hits, len(rows))
    return out


def confidence(j):
    value = (j["answer"] or {}).get("confidence")
    return value if isinstance(value, int | float) and not isinstance(value, bool) else 0.0


def line(name, s):
    """One share for a terminal, with its interval."""
    low, high = s["ci95"]
    return f"  {name.replace('_', ' '):38} {100 * s['share']:5.1f} %   [{100 * low:.1f}, {100 * high:.1f}]   {s['hits']}/{s['n']}"


def lines(shares):
    """The table for a terminal: one line a share that has rows."""
    return [line(name, s) for name, s in shares.items() if s["n"]]
