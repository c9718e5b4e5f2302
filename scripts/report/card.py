"""The model card: README.md with Hugging Face metadata, from the same facts as the page. card(facts) takes what model_report.facts() makes."""

from report.model_page import MEASURES, percent1

KNOWN = {"SmolLM2-135M-Instruct": ("HuggingFaceTB/SmolLM2-135M-Instruct", "apache-2.0")}  # bases: hub id and licence


def metadata(found):
    """The YAML block in front, as Hugging Face reads it."""
    import yaml

    plain = found["base"].partition("+")[0]
    base, licence = KNOWN.get(plain, (plain, "other"))
    results = [
        {
            "task": {"type": "text-generation", "name": "command interpretation"},
            "dataset": {"type": "generated" if e["own"] else "labelled", "name": e["rows"].rpartition("/")[2]},
            "metrics": [
                {"type": key, "name": what, "value": round(e["scores"][key]["share"], 4)}
                for key, what in MEASURES.items()
                if e["scores"].get(key, {}).get("n")
            ],
        }
        for e in found["evaluations"]
    ]
    block = {
        "license": licence,
        "base_model": base,
        "language": "en",
        "library_name": "llama.cpp",
        "pipeline_tag": "text-generation",
        "tags": ["gguf", "command-line", "natural-language-interface", "function-calling"],
        "model-index": [{"name": f"clitron-{found['name']}", "results": results}],
    }
    if block["license"] == "other":
        block["license_name"] = "that-of-the-base-model"
    return yaml.safe_dump(block, sort_keys=False, allow_unicode=True, width=120)


def score_lines(e):
    lines = [
        f"| {e['n']} rows of `{e['rows'].rpartition('/')[2]}` | share | 95 % interval | rows |",
        "|---|---|---|---|",
    ]
    for key, what in MEASURES.items():
        r = e["scores"].get(key)
        if r and r["n"]:
            low, high = r["ci95"]
            lines.append(
                f"| {what} | {percent1(r['share'])} | {100 * low:.1f} to {100 * high:.1f} | {r['hits']}/{r['n']} |"
            )
    for name, b in (e.get("baselines") or {}).items():
        low, high = b["ci95"]
        lines.append(
            f"| everything right: {name} | {percent1(b['share'])} | {100 * low:.1f} to {100 * high:.1f} | {b['hits']}/{b['n']} |"
        )
    return "\n".join(lines)


def card(found):
    """The text of README.md."""
    name = found["name"]
    scores = "\n\n".join(score_lines(e) for e in found["evaluations"])
    stages = "\n".join(f"- {s['stage']}: {s['time']}{', ' + s['words'] if s['words'] else ''}" for s in found["stages"])
    return f"""---
{metadata(found)}---

# clitron-{name}

Turns a request in plain words into one `{found["cli"]}` command as JSON, offline. Base model: {found["base"]}. {found["verdict"]}

## Use

The file carries its schema, prompt and grammar (`clitron.*` metadata). A host shows the command and asks before it runs
anything that is marked destructive or whose confidence is under 0.9. It was made for requests in English for this one tool;
whatever else is asked, a question back is the right answer, and it does not always come.

## Scores

{scores}

Rows of the data set were written by the same teacher as the training rows, from frames of their own. What people really type may differ.

## Made of

{stages}

Data: {found["data"]}. Code version {found["code"]}.
"""
