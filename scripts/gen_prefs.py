"""Stage 3a, preference data: where the SFT model's own answers are wrong, the validated answer is preferred to them.

Requests are new ones that the bundled teacher draws from the frames of the training rows, and the same words without their context: what
the model was trained on it knows by heart, and its mistakes there are few and odd. For data by Claude or by hand they are training
rows. Of several answers to one request, the wrong one that is nearest to right is taken: it is what training has to tell apart.
With teacher=claude, Claude gives the ideal answer where a verifier cannot decide, because both answers obey every rule.

Reads   training/models/<name>/sft, training/data/<name>/train.jsonl (never a validation row, nor a frame of one), the teacher's files
Writes  training/data/<name>/preferences.jsonl: {"prompt", "chosen", "rejected", "instruction", "context"}; preferences.json (settings)
Run     just train-generate-preferences name=gh
"""

import random
import time
from collections import Counter

import base_model
import decisions
import finetune
import fresh
import prompt
import schema as cli_schema
import scores
import utils
from claude.exchange import has_key
from rows import dumps
from rows import read as read_rows
from settings import parse_settings, stage_config
from teacher import sources
from utils import data_dir, display, models_dir, need, read_json, write_jsonl

BATCH, BATCH_GPU = 16, 64  # requests that are answered at once: on a GPU a step of many takes as long as one of few


def plan(settings, base=None):
    """(config, fingerprint) of a run with these settings."""
    name = settings["name"]
    config = stage_config("dpo", settings, base or base_model.of_sft(settings))
    inputs = [
        models_dir(name) / "sft",
        data_dir(name) / "train.jsonl",
        *(sources(name) if fresh.settings_of(name) else []),
    ]
    keys = {"seed": settings["seed"], **{k: config["model"][k] for k in ("max_pairs", "prompts_per_pair", "samples")}}
    if by_claude(settings):
        keys["judge"] = stage_config("generate", settings)["claude"]["model"]
    return config, utils.fingerprint("gen_prefs", keys, *inputs)


def by_claude(settings):
    """Whether Claude reads the pairs: with a key, unless another teacher is asked for."""
    return settings["teacher"] in ("auto", "claude") and has_key()


def reviewed(pairs, settings, schema):
    """(pairs, counts) after Claude has read those that the verifier cannot decide; None for the counts where the budget is too small."""
    from claude import bill, judge
    from claude.exchange import Exchange
    from claude.requests import expected

    folder = data_dir(settings["name"])
    config = stage_config("generate", settings)["claude"]
    before = sum(line["usd"] for line in ((read_json(folder / "stage.json") or {}).get("bill") or {}).values())
    wanted = judge.requests([p for p in pairs if judge.undecided(p, schema)], schema)
    mark = {"journal": "preferences", "pairs": utils.digest_text(utils.jsonl(pairs)), "model": config["model"]}
    journal = utils.Progress(folder / "preferences_claude.jsonl", mark, "delete the file")
    exchange = Exchange(config, journal, settings["batch"], settings["budget"] - before, "gen_prefs")
    usd = expected(exchange.open(wanted), config["model"], exchange.batched(wanted))
    left = exchange.budget - exchange.spent()
    if usd > left:
        print(
            f"gen_prefs: reading the undecided pairs would cost about ${usd:.2f}, of budget= ${left:.2f} is left: the labels stand; "
            "to have them read, run the same command with a larger budget="
        )
        return pairs, None
    print(f"gen_prefs: Claude reads the undecided pairs, about ${usd:.2f}", flush=True)
    pairs, counts = judge.review(pairs, exchange, schema)
    if wanted:
        counts["usd"] = round(exchange.spent(), 4)
        print("\n".join(["gen_prefs: the bill", *bill.lines(bill.bill(journal.records))]))
    return pairs, counts


def requests(name, schema, rows, number, seed):
    """(rows to answer, where they are from): at most so many, in the shares of kinds that the data set has, and their context twins."""
    new = fresh.draw(name, schema, number, fresh.PREFERENCES, seed)
    if new is None:
        return random.Random(seed).sample(rows, min(len(rows), number)), "training rows"
    short = min(len(rows), number - len(new))  # few frames do not give as many
    more = random.Random(seed).sample(rows, short)
    return with_twins(new + more, schema), "new requests from the frames of the training rows"


def with_twins(rows, schema):
    """The rows, each that takes a value from its context followed by its twin where that is a question: the same words without context.

    That "merge this" is no command when nothing is known that it could be is what a small model learns last.
    """
    out, bare = [], {row["instruction"] for row in rows if not row["context"]}
    for row in rows:
        out.append(row)
        twin = decisions.twin({**row, "expected": scores.parse(row["output"])}, schema)
        points = row.get("points", True)  # of rows that no teacher has drawn, the words alone tell
        if twin and points and not twin["also"] and row["instruction"] not in bare:
            bare.add(row["instruction"])
            out.append({**row, "context": None, "output": dumps(twin["expected"])})
    return out


def sample(model, tokenizer, prompts, eos, number, seed):
    """`number` answers a prompt (lists of token ids), drawn from the model at temperature 1. Returns a list of texts for each."""
    import torch

    torch.manual_seed(seed)
    drawn = {"do_sample": True, "temperature": 1.0, "top_k": 0, "top_p": 1.0, "num_return_sequences": number}
    texts = base_model.answers(model, tokenizer, prompts, eos, finetune.MOST_TOKENS, **drawn)
    return [texts[i : i + number] for i in range(0, len(texts), number)]


def nearest_miss(row, answers, schema):
    """The wrong answer that is nearest to right: it fits the schema, is of the right type, names the right command, ... None when all are right."""
    case = {"expected": scores.parse(row["output"])}
    judged = [(scores.judge(case, a, schema), a) for a in dict.fromkeys(answers)]
    wrong = [(j["fits"], *(j[m] for m in scores.MEASURES), a) for j, a in judged if not j["exact"]]
    return max(wrong, key=lambda w: w[:-1])[-1] if wrong else None


def pair_of(row, answer, frame, schema):
    """A preference pair, or None when the model's answer is right. Of a clarification only the type counts."""
    if scores.judge({"expected": scores.parse(row["output"])}, answer, schema)["exact"]:
        return None
    rendered = prompt.render(frame, row["instruction"], row["context"])
    return {
        "prompt": rendered,
        "chosen": row["output"],
        "rejected": answer,
        "instruction": row["instruction"],
        "context": row["context"],
    }


def main(argv):
    settings = parse_settings(argv)
    name = settings["name"]
    schema = cli_schema.load(name)
    sft = need(models_dir(name) / "sft" / "stage.json", "train-sft", name).parent
    rows = read_rows(need(data_dir(name) / "train.jsonl", "train-generate", name), schema)
    config, fingerprint = plan(settings)
    out = data_dir(name) / "preferences.jsonl"
    record = out.with_suffix(".json")
    made = read_json(record) or {}
    if out.exists() and made.get("fingerprint") == fingerprint and not (made.get("unread") and by_claude(settings)):
        print(f"gen_prefs: {display(out)} is up to date")
        return
    finetune.quiet()
    from tqdm import tqdm

    most, number = config["model"]["max_pairs"], config["model"]["samples"]
    order, origin = requests(name, schema, rows, most * config["model"]["prompts_per_pair"], settings["seed"])
    utils.header(
        "gen_prefs", name=name, model=display(sft), requests=f"{len(order)} {origin}", samples=number, max_pairs=most
    )
    started = time.time()
    progress = utils.Progress(data_dir(name) / "preferences_progress.jsonl", fingerprint, "delete the file")
    frame = read_json(sft / "prompt.json")
    model, tokenizer = base_model.load_tuned(sft)
    model.eval()
    at_once = BATCH if model.device.type == "cpu" else BATCH_GPU
    start = sum(r["tried"] for r in progress.records)
    bar = tqdm(total=len(order), desc="gen_prefs", initial=start, unit="request", disable=None)
    while start < len(order):
        if sum(len(r["pairs"]) for r in progress.records) >= most:
            break
        batch = order[start : start + at_once]
        prompts = [prompt.encode(tokenizer, frame, r)[0] for r in batch]
        answers = sample(model, tokenizer, prompts, frame["eos"], number, settings["seed"] + start)
        found = [(r, nearest_miss(r, a, schema)) for r, a in zip(batch, answers, strict=True)]
        pairs = [pair_of(r, a, frame, schema) for r, a in found if a is not None]
        progress.save([{"pairs": pairs, "tried": len(batch)}])
        start += len(batch)
        bar.update(len(batch))
    bar.close()
    pairs = [p for r in progress.records for p in r["pairs"]]
    tried = sum(r["tried"] for r in progress.records)
    wrong, pairs, counts = len(pairs), pairs[:most], {}
    if by_claude(settings):
        pairs, counts = reviewed(pairs, settings, schema)
        if counts:
            words = "{read} pairs read by Claude: {label_kept} labels stand, {label_replaced} were bettered, {dropped} answers were right"
            print(f"gen_prefs: {words.format(**counts)}")
    write_jsonl(out, pairs)
    kinds = Counter(
        "questions"
        if scores.parse(p["chosen"])["type"] != "command"
        else f"commands {'with' if p['context'] else 'without'} context"
        for p in pairs
    )
    shares = f" ({', '.join(f'{n} {kind}' for kind, n in kinds.items())})" if kinds else ""
    facts = {
        "tried": tried,
        "pairs": len(pairs),
        "kinds": dict(kinds),
        "claude": counts or {},
        "unread": counts is None,
        "seconds": round(time.time() - started),
    }
    utils.write_json(record, {"fingerprint": fingerprint, "requests": origin, **facts})
    progress.done()
    print(
        f"gen_prefs: {wrong} of {tried} requests are answered wrong at least once in {number}; "
        f"{len(pairs)} pairs{shares} "
        f"in {display(out)}; next: just train-dpo name={name}"
    )


if __name__ == "__main__":
    utils.run(main)
