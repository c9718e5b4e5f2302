"""Stage 3a, preference data: where the SFT model's own answers are wrong, the validated answer is preferred to them.

With teacher=claude, Claude gives the ideal answer where a verifier cannot decide, because both answers obey every rule.

Reads   training/models/<name>/sft, training/data/<name>/train.jsonl (never a validation row)
Writes  training/data/<name>/preferences.jsonl: {"prompt", "chosen", "rejected", "instruction", "context"}; preferences.json (settings)
Run     just train-generate-preferences name=gh
"""

import random

import base_model
import finetune
import prompt
import schema as cli_schema
import scores
import utils
from claude.exchange import has_key
from utils import data_dir, display, models_dir, need, read_json, read_jsonl, stage_config, write_jsonl

BATCH = 32  # requests that are answered at once
PROMPTS_PER_PAIR = 2  # how many requests are tried for each pair that is wanted
MOST_TOKENS = 160


def plan(settings, base=None):
    """(config, fingerprint) of a run with these settings."""
    name = settings["name"]
    config = stage_config("dpo", settings, base or base_model.of_sft(settings))
    inputs = [models_dir(name) / "sft", data_dir(name) / "train.jsonl"]
    keys = {"seed": settings["seed"], "max_pairs": config["model"]["max_pairs"]}
    if by_claude(settings):
        keys["judge"] = utils.stage_config("generate", settings)["claude"]["model"]
    return config, utils.fingerprint("gen_prefs", keys, *inputs)


def by_claude(settings):
    """Whether Claude reads the pairs: with a key, unless another teacher is asked for."""
    return settings["teacher"] in ("auto", "claude") and has_key()


def reviewed(pairs, settings, schema):
    """(pairs, counts) after Claude has read those that the verifier cannot decide; ({}, pairs) where the budget is too small."""
    from claude import bill, judge
    from claude.exchange import Exchange, expected

    folder = data_dir(settings["name"])
    config = utils.stage_config("generate", settings)["claude"]
    before = sum(line["usd"] for line in ((read_json(folder / "stage.json") or {}).get("bill") or {}).values())
    wanted = judge.requests([p for p in pairs if judge.undecided(p, schema)], schema)
    mark = {"journal": "preferences", "pairs": utils.digest_text(utils.jsonl(pairs)), "model": config["model"]}
    journal = utils.Progress(folder / "preferences_claude.jsonl", mark, "delete the file")
    exchange = Exchange(config, journal, settings["batch"], settings["budget"] - before, "gen_prefs")
    usd = expected(exchange.open(wanted), config["model"], exchange.batched(wanted))
    left = exchange.budget - exchange.spent()
    if usd > left:
        print(
            f"gen_prefs: reading the undecided pairs would cost about ${usd:.2f}, of budget= ${left:.2f} is left: the labels stand"
        )
        return pairs, {}
    print(f"gen_prefs: Claude reads the undecided pairs, about ${usd:.2f}", flush=True)
    pairs, counts = judge.review(pairs, exchange, schema)
    if wanted:
        print("\n".join(["gen_prefs: the bill", *bill.lines(bill.bill(journal.records))]))
    return pairs, counts


def sample(model, tokenizer, prompts, seed):
    """One answer a prompt (lists of token ids), drawn from the model at temperature 1. Returns their texts."""
    import torch

    torch.manual_seed(seed)
    batch = tokenizer.pad({"input_ids": prompts}, padding_side="left", return_tensors="pt").to(model.device)
    with torch.inference_mode():
        out = model.generate(
            **batch,
            do_sample=True,
            temperature=1.0,
            top_k=0,
            top_p=1.0,
            max_new_tokens=MOST_TOKENS,
            pad_token_id=tokenizer.pad_token_id,
        )
    return tokenizer.batch_decode(out[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)


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
    settings = utils.parse_settings(argv)
    name = settings["name"]
    schema = cli_schema.load(name)
    sft = need(models_dir(name) / "sft" / "stage.json", "train-sft", name).parent
    rows = read_jsonl(need(data_dir(name) / "train.jsonl", "train-generate", name))
    config, fingerprint = plan(settings)
    out = data_dir(name) / "preferences.jsonl"
    record = out.with_suffix(".json")
    if out.exists() and (read_json(record) or {}).get("fingerprint") == fingerprint:
        print(f"gen_prefs: {display(out)} is up to date")
        return
    finetune.quiet()
    from tqdm import tqdm

    most = config["model"]["max_pairs"]
    order = random.Random(settings["seed"]).sample(rows, min(len(rows), most * PROMPTS_PER_PAIR))
    utils.header("gen_prefs", name=name, model=display(sft), requests=len(order), max_pairs=most)
    progress = utils.Progress(data_dir(name) / "preferences_progress.jsonl", fingerprint, "delete the file")
    frame = read_json(sft / "prompt.json")
    model, tokenizer = base_model.load_tuned(sft)
    model.eval()
    starts = range(len(progress.records) * BATCH, len(order), BATCH)
    bar = tqdm(total=len(order), desc="gen_prefs", initial=starts.start, unit="request", disable=None)
    for start in starts:
        if sum(len(r["pairs"]) for r in progress.records) >= most:
            break
        batch = order[start : start + BATCH]
        prompts = [prompt.encode(tokenizer, frame, r)[0] for r in batch]
        answers = sample(model, tokenizer, prompts, settings["seed"] + start)
        pairs = [pair_of(r, a, frame, schema) for r, a in zip(batch, answers, strict=True)]
        progress.save([{"pairs": [p for p in pairs if p], "tried": len(batch)}])
        bar.update(len(batch))
    bar.close()
    pairs = [p for r in progress.records for p in r["pairs"]][:most]
    tried = sum(r["tried"] for r in progress.records)
    wrong, counts = len(pairs), {}
    if by_claude(settings):
        pairs, counts = reviewed(pairs, settings, schema)
        if counts:
            words = "{read} pairs read by Claude: {label_kept} labels stand, {label_replaced} were bettered, {dropped} answers were right"
            print(f"gen_prefs: {words.format(**counts)}")
    write_jsonl(out, pairs)
    utils.write_json(record, {"fingerprint": fingerprint, "tried": tried, "pairs": len(pairs), "claude": counts})
    progress.done()
    print(
        f"gen_prefs: {wrong} of {tried} answers of the SFT model are wrong; {len(pairs)} pairs in {display(out)}; next: just train-dpo name={name}"
    )


if __name__ == "__main__":
    utils.run(main)
