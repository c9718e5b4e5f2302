"""The report of a model: its evaluations, how it was trained, what to do next. facts() reads what the stages left in
training/models/<name> and training/data/<name>; report() writes report.html and the model card README.md there.
"""

import json
from importlib.metadata import version

import ask
import scores
import utils
from report.card import card
from report.model_page import page
from utils import data_dir, models_dir, read_json, read_jsonl

UNKNOWN = {None, "unknown"}  # which training a file is of, where a record or a file is older than that it says so
PACKAGES = ("torch", "transformers", "peft", "trl", "llama-cpp-python", "llguidance")
GOAL = 0.85  # of exact matches, and of clarification recall and precision, from which a model is called ready
FEW = 200  # rows, under which shares alone say little


def said(answer, schema):
    """An answer in the words of a terminal."""
    if answer["type"] != "command":
        return answer.get("message") or "a question back"
    try:
        return ask.command_line(
            schema, {**answer, "args": answer.get("args") or {}, "flags": answer.get("flags") or []}
        )
    except (KeyError, TypeError, AttributeError):  # expected by a file of rows, but no command of this schema
        return json.dumps(answer, ensure_ascii=False)


def of_file(path, quant):
    """Where the evaluation of a file of rows is kept, in training/models/<name>: the usual quantization needs no mention."""
    stem = f"-{path.stem}" if path else ""
    return f"evaluation{stem}{'' if quant == utils.QUANT else '.' + quant}.json"


def record_of(name, path, quant):
    """The file of an evaluation of a file of rows (an absolute path, or None for the data set's own); another of its name keeps its own."""
    record = models_dir(name) / of_file(path, quant)
    if path and (read_json(record) or {}).get("rows") not in (None, utils.display(path)):
        mark = utils.digest_text(str(path))[:6]
        record = record.with_name(of_file(path.with_stem(f"{path.stem}-{mark}"), quant))
    return record


def evaluations(name):
    """Every evaluation with scores of a GGUF that is still there: the last training first, in it
    people's rows, of these the most, then the data set's own."""
    folder = models_dir(name)
    there = {utils.digest(p): p.stat().st_mtime for p in folder.glob("*.gguf")}
    found = [read_json(p) for p in sorted(folder.glob("evaluation*.json"))]
    current = [e for e in found if e and e.get("decisions") and e.get("model_digest") in there]
    newest = max(there, key=there.get, default=None)
    last = {e.get("trained") for e in current if e["model_digest"] == newest}
    return sorted(current, key=lambda e: (bool(last) and e.get("trained") not in last, e["own"], -e["n"], e["rows"]))


def compared(e, others):
    """Sentences on other files evaluated on the same rows. "better" only where McNemar's test says so."""
    out = []
    for o in others:
        if o["model"] == e["model"] or o["of"] != e["of"]:
            continue
        difference, low, high = scores.paired_difference(o["right"], e["right"])
        p = scores.mcnemar(o["right"], e["right"])
        word = (
            "no different beyond chance from"
            if p >= scores.SIGNIFICANT
            else "better than"
            if difference > 0
            else "worse than"
        )
        other = " (another training)" if len({e.get("trained"), o.get("trained")} - UNKNOWN) > 1 else ""
        out.append(
            f"{e['model']} is {word} {o['model']}{other}: {100 * difference:+.1f} points [{100 * low:+.1f}, {100 * high:+.1f}], p = {p:.2f}"
        )
    return out


def verdict(found):
    """One sentence: ready, or what to do next. Judged by people's rows where there are some, otherwise by the data set's own."""
    if not found:
        return "Not evaluated yet; run train-eval."
    e = found[0]
    s, exact = e["scores"], e["scores"]["exact_match"]
    low, high = (100 * x for x in exact["ci95"])
    head = f"{100 * exact['share']:.0f} % of {e['n']} requests are answered exactly right (95 %: {low:.0f} to {high:.0f}): "
    beaten = [n for n, b in (e.get("baselines") or {}).items() if not (b["p"] < scores.SIGNIFICANT and b["better"])]
    if beaten:
        return (
            f"{head}not better beyond chance than the {beaten[0]}: train longer, or on more rows, before anything else."
        )
    asks = [s[k]["share"] for k in ("clarification_recall", "clarification_precision") if s[k]["n"]]
    if exact["share"] >= GOAL and all(a >= GOAL for a in asks):
        sure = "" if exact["ci95"][0] >= GOAL or e["n"] >= FEW else f", though {e['n']} rows are too few to be sure"
        return f"{head}ready{sure}."
    weak = [(label, r) for label, r in e["decisions"]["by_subcommand"].items() if r["right"] < r["n"]][:3]
    names = ", ".join(label for label, _ in weak)
    recall = s["clarification_recall"]
    if (
        recall["n"]
        and recall["share"] < GOAL
        and recall["n"] - recall["hits"] >= sum(r["n"] - r["right"] for _, r in weak)
    ):
        return f"{head}not ready: it acts where it should ask; write more question lines, or train longer."
    return f"{head}not ready: most mistakes are in {names}; write more frames for them, or train longer."


def stages(name, found):
    """[{"stage", "time", "cost", "words"}] of the stages that left a record."""
    data, models = data_dir(name), models_dir(name)
    made, sft, dpo = (read_json(p / "stage.json") or {} for p in (data, models / "sft", models / "dpo"))
    prefs = read_json(data / "preferences.json") or {}
    gguf = read_json(models / found[0]["model"].rpartition("/")[2].replace(".gguf", ".json")) or {} if found else {}
    bill = sum(line["usd"] for line in (made.get("bill") or {}).values())
    out = []

    def add(stage, record, words="", cost=0.0):
        if record:
            out.append(
                {
                    "stage": stage,
                    "time": utils.minutes(record["seconds"]) if record.get("seconds") is not None else "-",
                    "cost": f"${cost:.2f}" if cost else "$0",
                    "words": words,
                }
            )

    rows = made.get("rows") or {}
    add(
        "data",
        made,
        f"{rows.get('train', '?')} + {rows.get('val', '?')} rows by {made.get('teacher', 'unknown')}",
        bill,
    )
    losses = " -> ".join(f"{x:.4f}" for x in sft.get("validation_loss") or [])
    add("SFT", sft, f"validation loss {losses}")
    usd = (prefs.get("claude") or {}).get("usd", 0.0)
    kinds = ", ".join(f"{n} {kind}" for kind, n in (prefs.get("kinds") or {}).items())
    pairs = f"{prefs.get('pairs')} pairs{f' ({kinds})' if kinds else ''} from {prefs.get('tried')} requests"
    add("preferences", prefs, pairs, usd)
    if "p" in dpo:
        words = f"held-out rows right {dpo['sft']} before and {dpo['dpo']} after, of {dpo['n']} (p = {dpo['p']:.2f}): "
        add(
            "DPO",
            dpo,
            words + ("the DPO model goes on" if dpo["kept"] else "not better beyond chance, the SFT model goes on"),
        )
    elif dpo:
        add("DPO", dpo, f"skipped, {dpo.get('skipped', 0)} pairs are too few")
    parity = gguf.get("parity") or {}
    words = (
        f"{parity.get('greedy_equal')} of {parity.get('greedy_rows')} greedy answers are the checkpoint's"
        if parity
        else ""
    )
    if "difference" in parity:
        low, high = parity["ci95"]
        words += f"; against float16 {100 * parity['difference']:+.1f} points [{100 * low:+.1f}, {100 * high:+.1f}]"
    add("quantize", gguf, words)
    add("evaluate", {"seconds": sum(e.get("seconds") or 0 for e in found)} if found else {})
    return out


def facts(name, schema):
    """Everything that page and card say, as JSON has it."""
    found = evaluations(name)
    for e in found:
        e["title"] = "Validation rows of the data set" if e["own"] else e["rows"].rpartition("/")[2]
        e["compared"] = compared(e, found)
        for m in e["mistakes"]:
            m["confidence"] = m["answer"].get("confidence", 0)
            m["expected_words"], m["answer_words"] = said(m["expected"], schema), said(m["answer"], schema)
        e["mistakes"].sort(key=lambda m: -m["confidence"])
    logs = {s: read_jsonl(p) for s in ("sft", "dpo") if (p := models_dir(name) / s / "log.jsonl").exists()}
    made, parts = stages(name, found), made_with(name)
    base = found[0]["base"] if found else parts["base model"]
    return {
        "name": name,
        "cli": schema.cli,
        "verdict": verdict(found),
        "evaluations": found,
        "stages": made,
        "logs": logs,
        "base": base,
        "data": next((s["words"] for s in made if s["stage"] == "data"), "unknown"),
        "code": utils.VERSION,
        "settings": {
            **parts,
            "base model": base,
            **{p: version(p) for p in PACKAGES},
            "clitron-training": utils.VERSION,
        },
    }


def made_with(name):
    """{words: value} of what the model was made with, as the records of its stages have it."""
    data, sft, dpo = (
        read_json(folder / "stage.json") or {}
        for folder in (data_dir(name), models_dir(name) / "sft", models_dir(name) / "dpo")
    )
    out = {
        "base model": sft.get("base", "unknown"),
        "digest of train.jsonl": (data.get("written") or {}).get("train.jsonl"),
    }
    for stage, record in (("data", data), ("SFT", sft), *([("DPO", dpo)] if dpo.get("kept") else [])):
        settings = (record.get("fingerprint") or {}).get("settings") or {}
        for key, value in settings.items():
            parts = value.items() if key in ("training", "data") else [(key, value)]
            out |= {f"{stage} {k}": v for k, v in parts if not isinstance(v, dict) and k != "base"}
    return {k: ", ".join(map(str, v)) if isinstance(v, list) else v for k, v in out.items() if v is not None}


def report(name, schema):
    """Write report.html and README.md beside the model; returns the facts."""
    found = facts(name, schema)
    utils.write_text(models_dir(name) / "report.html", page(found))
    utils.write_text(models_dir(name) / "README.md", card(found))
    return found
