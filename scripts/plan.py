"""What `just train` would do: stage by stage, what is up to date, with what, how long and for how much money. Runs nothing.

Run     just train-plan name=gh num=3000
"""

from pathlib import Path

import base_model
import baselines
import dpo
import gen_prefs
import generate
import parity
import phrasebook
import phrases
import quantize
import schema as cli_schema
import sft
import utils
from claude import direct
from settings import parse_settings, stage_config
from utils import data_dir, gguf_path, models_dir, read_json

# Measured on 2 cores with AVX-512 (see the README); other machines scale together.
ROW_TOKENS = 118
TOKENS_PER_SECOND = {"cpu": 400, "mps": 2500, "cuda": 30000}  # of the bundled base; mps and cuda are estimates
ON_CUDA = 2800  # at most: measured on an H100 with the bundled base, which is so small that it waits for the CPU that starts its kernels
WITHOUT_BFLOAT16 = 0.45  # of that speed on a CPU that has no AVX-512 BF16 or AMX
ALL_WEIGHTS = 0.84  # of that speed where all weights are trained instead of adapters
SECONDS_PER_PAIR, SECONDS_PER_SAMPLE, SECONDS_PER_ANSWER = 1.2, 0.25, 0.4
BUNDLED_SIZE = 0.135e9


def stages(settings):
    """(stage, state, detail, seconds or None) of every stage, in order. A stage after one that runs will run too."""
    name = settings["name"]
    folder, models = data_dir(name), models_dir(name)
    counts = row_counts(settings)
    test = Path(settings["test"]) if settings["test"] else None
    if test and not test.is_file():
        utils.fail(f"test={test}: no such file")
    asked = len(utils.read_jsonl(test)) if test else counts[1]
    now = generate.state(folder, generate.wanted(settings))
    states = {
        "none": "run",
        "current": "up to date",
        "changed": "run again: settings or inputs changed",
        "foreign": "kept: written or edited by hand",
    }
    fresh = now in ("none", "changed")
    by = generate.teacher_of(settings)[0]
    yield (
        "generate",
        states[now],
        f"{sum(counts)} rows",
        (settings["num"] / 600 if by == "phrasebook" else None) if fresh else 0,
    )

    base, why, config, fingerprint = sft.plan(settings)
    device = base_model.device_name()
    rows = counts[0]
    epochs = config["training"]["num_train_epochs"]
    slower = 1 if base in (base_model.BUNDLED, base_model.GENERAL) else parameters(base) / BUNDLED_SIZE
    native = device != "cpu" or str(base_model.fast_dtype()).endswith("bfloat16")
    torch_slower = slower if native else slower / WITHOUT_BFLOAT16  # llama.cpp does not care
    speed = TOKENS_PER_SECOND[device] * (1 if config["training"].get("use_lora", True) else ALL_WEIGHTS) / torch_slower
    speed = min(speed, ON_CUDA) if device == "cuda" else speed
    seconds = rows * ROW_TOKENS * epochs / speed + 30
    fresh = fresh or not utils.is_current(models / "sft", fingerprint)
    yield (
        "sft",
        "run" if fresh else "up to date",
        f"base {base} ({why}), {device}, {epochs} epochs",
        seconds if fresh else 0,
    )

    config, fingerprint = gen_prefs.plan(settings, base)
    pairs = config["model"]["max_pairs"]
    seconds = (
        pairs * config["model"]["prompts_per_pair"] * config["model"]["samples"] * SECONDS_PER_SAMPLE * torch_slower
    )
    fresh = fresh or (read_json(folder / "preferences.json") or {}).get("fingerprint") != fingerprint
    yield "gen_prefs", "run" if fresh else "up to date", f"at most {pairs} pairs", seconds if fresh else 0

    config, fingerprint = dpo.plan(settings, base)
    fresh = fresh or not utils.is_current(models / "dpo", fingerprint)
    yield (
        "dpo",
        "run" if fresh else "up to date",
        "kept only if it wins on held-out rows",
        pairs * SECONDS_PER_PAIR * torch_slower if fresh else 0,
    )

    final = gguf_path(name, settings["quant"])
    current = (
        not fresh
        and final.exists()
        and (read_json(final.with_suffix(".json")) or {}).get("fingerprint") == quantize.plan(settings)[1]
    )
    yield (
        "quantize",
        "up to date" if current else "run",
        utils.display(final),
        0 if current else (240 + parity.CALIBRATED * SECONDS_PER_ANSWER) * slower,
    )
    yield (
        "eval",
        "run",
        settings["test"] or f"{counts[1]} validation rows",
        (asked + baselines.SLOW_CASES) * SECONDS_PER_ANSWER * slower,
    )


def kept_by_hand(settings):
    return generate.state(data_dir(settings["name"]), generate.wanted(settings)) == "foreign"


def row_counts(settings):
    """Training and validation rows that there will be: those that are there, where somebody wrote them."""
    if kept_by_hand(settings):
        files = [data_dir(settings["name"]) / file for file in generate.SPLITS.values()]
        return [len(utils.read_jsonl(f)) if f.exists() else 0 for f in files]
    return [settings["num"] - settings["num"] // 10, settings["num"] // 10]


def parameters(base):
    """Number of parameters, read from the model's name (1B, 135M); 1e9 when it does not say."""
    import re

    found = re.search(r"(\d+(?:\.\d+)?)\s*([bm])\b", base.lower())
    return float(found.group(1)) * (1e9 if found.group(2) == "b" else 1e6) if found else 1e9


def teacher_lines(settings, schema):
    """(what writes the rows, dollars for them, lines about money): of Claude what is missing, by rows and by phrasebook."""
    name, (teacher, why) = settings["name"], generate.teacher_of(settings)
    if kept_by_hand(settings):
        return "somebody by hand", 0.0, []
    if teacher == "phrasebook":
        written = phrasebook.path_of(name).exists()
        frames = f"schemas/phrases/{name}.yaml" if written else "frames composed from the schema"
        return f"phrasebook ({frames}; {why})", 0.0, []
    config = stage_config("generate", settings)["claude"]
    if teacher == "manual":
        return (
            f"manual ({why})",
            0.0,
            ["  rows are written in a conversation with Claude, pasted by hand; no API, no key"],
        )
    usd, requests, spent, missing = direct.estimate(settings, schema)
    rows = f"about ${usd:.2f} for {missing} rows in {requests} requests"
    lines = [
        f"  {config['model']}: {rows if missing else 'all rows are there'}, ${spent:.2f} spent before, budget ${settings['budget']:.2f}",
        f"  instead, just train-phrases name={name}: about ${phrases.estimate(settings, schema):.2f}, once, for any number of rows; "
        "teacher=phrasebook: $0",
    ]
    return f"claude ({why})", usd, lines


def main(argv):
    settings = parse_settings(argv)
    schema = cli_schema.load(settings["name"])
    teacher, usd, lines = teacher_lines(settings, schema)
    print(f"plan: {schema.cli}, {len(schema.subcommands)} subcommands, teacher {teacher}, seed {settings['seed']}")
    print("".join(f"{line}\n" for line in lines), end="")
    total = 0
    for stage, state, detail, seconds in stages(settings):
        total += seconds or 0
        time = "by API" if seconds is None else utils.minutes(seconds) if seconds else "-"
        print(f"  {stage:10} {state:40} {time:>8}   {detail}")
    print(
        f"plan: about {utils.minutes(total)} (2 cores are the measure), ${usd:.2f}; nothing was run; to run it: just train {' '.join(argv)}"
    )


if __name__ == "__main__":
    utils.run(main)
