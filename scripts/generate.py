"""Stage 1, data generation: a teacher writes labelled rows for a CLI.

Reads   schemas/<name>.yaml, schemas/phrases/<name>.yaml where there is one, schemas/lexicon/; training/configs/generate_config.yaml
Writes  training/data/<name>/train.jsonl, train_val.jsonl (rows), frames.jsonl (where each row comes from, in the same order),
        stage.json (settings, what Claude cost), report.html and report.json (see data_report.py); train_progress.jsonl while it runs;
        claude.jsonl, the replies that were paid for, from which any later run starts
Run     just train-generate name=gh num=3000        (train-generate-force starts afresh)
"""

from collections import Counter
from functools import partial

import schema as cli_schema
import utils
from claude.errors import OFFLINE
from claude.exchange import has_key
from data_report import report
from report.data_page import rejections
from rows import Seen, row_faults
from rows import read as read_rows
from settings import parse_settings, stage_config
from split_check import SPLITS, row_id
from teacher import Teacher, sources
from utils import data_dir, display, fail, write_jsonl

BATCH = 100  # rows between two saves
PATIENCE = 400  # candidates in a row without a new one before the teacher is said to be dry


def teacher_of(settings):
    """(teacher, why): what teacher=auto means. Rows that Claude wrote are not replaced by others because a key is missing."""
    if settings["teacher"] != "auto":
        return settings["teacher"], "as set"
    before = ((utils.read_json(data_dir(settings["name"]) / "stage.json") or {}).get("fingerprint") or {}).get(
        "settings"
    )
    before = (before or {}).get("teacher", "phrasebook")
    if before != "phrasebook":
        return before, "the data here is from it"
    return ("claude", "ANTHROPIC_API_KEY is set") if has_key() else ("phrasebook", "ANTHROPIC_API_KEY is not set")


def wanted(settings):
    """The fingerprint of the data that these settings ask for."""
    teacher, keys = teacher_of(settings)[0], {k: settings[k] for k in ("num", "seed")}
    inputs = sources(settings["name"])
    if teacher != "phrasebook":
        inputs, keys["teacher"] = inputs[:1], teacher
    return utils.fingerprint("generate", keys, *inputs)


def state(folder, fingerprint):
    """ "none", "current", "changed" (settings or inputs), or "foreign" (written or edited by somebody else)."""
    now = {name: utils.digest(folder / name) for name in SPLITS.values() if (folder / name).exists()}
    if not now:
        return "none"
    stage = utils.read_json(folder / "stage.json") or {}
    if now == stage.get("written"):
        return "current" if stage.get("fingerprint") == fingerprint else "changed"
    # "writing" is what an interrupted run was about to write: its half of the files is not somebody's own work
    ours = [stage.get("written") or {}, stage.get("writing") or {}]
    return "changed" if all(d in [o.get(name) for o in ours] for name, d in now.items()) else "foreign"


def check_foreign(folder, schema):
    """The rules hold for rows of any origin: the first fault ends the program with its file and line."""
    for name in SPLITS.values():
        if not (folder / name).exists():
            fail(
                f"{display(folder)} has rows written by hand, but no {name}; write it too, or move the rows away to have new ones made"
            )
    seen = Seen()
    kept = {s: len(read_rows(folder / name, schema, partial(seen.fault, split=s))) for s, name in SPLITS.items()}
    if not kept["train"] or not kept["val"]:
        fail(
            f"{display(folder)}: train.jsonl or train_val.jsonl has no rows; run: just train-generate-force name={folder.name}"
        )
    return kept


def draw_rows(teacher, schema, num, progress):
    """Draw until `progress` holds num rows; it is saved after every batch. Returns how often each rule turned a row away."""
    from tqdm import tqdm

    seen, rejected = Seen(), Counter()
    for d in progress.records:
        teacher.accept(d)
        seen.fault(d["row"], d["split"])
    start = len(progress.records)
    if start:
        print(f"generate: continuing after {start} rows of {display(progress.path)}")
    batch, index, failed = [], progress.records[-1]["index"] + 1 if start else 0, 0
    for n in tqdm(range(start, num), "generate", num, initial=start, unit="row", disable=None, mininterval=0.5):
        split = "val" if n % 10 == 9 else "train"
        while True:
            drawn, at = teacher.draw(index, split, failed), index
            index += 1
            faults = faults_of(drawn, split, schema, seen)
            if not faults:
                break
            failed += 1
            rejected[faults[0].split(":")[0]] += 1
            if failed > PATIENCE:
                progress.save(batch)
                fail(
                    f"only {n} different rows can be made for {schema.cli}; ask for a smaller num=, or write more frames"
                )
        failed = 0
        teacher.accept(drawn)
        batch.append({**drawn, "index": at})
        if len(batch) == BATCH or n == num - 1:
            progress.save(batch)
            batch = []
    return rejected


def faults_of(drawn, split, schema, seen):
    if drawn is None:
        return ["draw: contradicts itself"]
    return row_faults(drawn["row"], schema) or [f for f in [seen.fault(drawn["row"], split)] if f]


def main(argv):
    force = "--force" in argv
    settings = parse_settings([a for a in argv if a != "--force"])
    name, folder = settings["name"], data_dir(settings["name"])
    schema = cli_schema.load(name)
    fingerprint = wanted(settings)
    now = state(folder, fingerprint)
    if not force and now == "current":
        print(f"generate: {display(folder)} is up to date; train-generate-force makes it afresh")
        report(name, schema)
        return
    if not force and now == "foreign":
        kept = check_foreign(folder, schema)
        print(
            f"generate: {display(folder)} was written or edited by hand: {kept['train']} + {kept['val']} rows checked "
            "and kept; train-generate-force replaces them"
        )
        report(name, schema)
        return

    teacher = teacher_of(settings)[0]
    by = by_phrasebook if teacher == "phrasebook" else by_claude
    records, facts, done = by(settings, schema, fingerprint, force, now)
    write(folder, fingerprint, records, facts)
    done()
    report(name, schema)
    counts = Counter(r["split"] for r in records)
    print(
        f"generate: {counts['train']} training and {counts['val']} validation rows in {display(folder)}; next: just train-sft name={name}"
    )


def announce(now, **settings):
    """The first lines of a run."""
    utils.header("generate", **settings)
    if now == "changed":
        print("generate: settings or inputs have changed since the data was made; making it again", flush=True)


def by_phrasebook(settings, schema, fingerprint, force, now):
    """Rows of the bundled teacher: (records, facts for stage.json, what to do once they are written)."""
    from claude import direct

    name = settings["name"]
    teacher = Teacher(schema, name, settings["seed"])
    if teacher.faults:
        fail(
            f"schemas/phrases/{name}.yaml:{teacher.faults[0]} ({len(teacher.faults)} in all; run: just train-check name={name})"
        )
    announce(
        now,
        name=name,
        num=settings["num"],
        teacher=f"phrasebook ({teacher.origin}; {teacher_of(settings)[1]})",
        frames="{} + {} held out".format(*teacher.capacity()),
        seed=settings["seed"],
    )
    path = data_dir(name) / "train_progress.jsonl"
    direct.put_aside(name)  # replies that were paid for
    if force:
        path.unlink(missing_ok=True)
    progress = utils.Progress(path, fingerprint, "delete the file, or run train-generate-force")
    rejected = draw_rows(teacher, schema, settings["num"], progress)
    return progress.records, {"teacher": teacher.origin, "rejected": rejected}, progress.done


def by_claude(settings, schema, fingerprint, force, now):
    """Rows that Claude writes, over the API or by hand; like by_phrasebook. Paid replies stay in claude.jsonl."""
    from claude import bill, direct
    from claude.exchange import connect

    name, num, budget = settings["name"], settings["num"], settings["budget"]
    teacher, why = teacher_of(settings)
    client = connect(stage_config("generate", settings)["claude"]) if teacher == "claude" else None
    made = direct.begin(settings, schema, teacher, client, force)
    config, journal, collector = made.config, made.exchange.journal, made.collector
    announce(now, name=name, num=num, teacher=f"{teacher} ({why})", model=config["model"], seed=settings["seed"])
    if client and collector.need():
        usd, count = made.estimate(lambda r: bill.count(client, r, config["model"]))
        spent = made.exchange.spent()
        print(
            f"generate: {sum(collector.need().values())} rows to ask for in {count} requests, about ${usd:.2f}; "
            f"budget ${budget:.2f}, of it spent ${spent:.2f}",
            flush=True,
        )
        if spent + usd > budget:
            fail(
                f"about ${spent + usd:.2f} is more than budget={budget:g}; nothing was sent; raise budget=, lower num=, "
                f"or run: just train-phrases name={name} (a phrasebook costs a fraction); {OFFLINE}"
            )
    if not made.gather():
        fail(
            f"budget={budget:g} is spent (${made.exchange.spent():.2f}): {len(collector.accepted)} of {num} rows are there and kept; "
            "raise budget= and run the same command"
        )
    if not collector.accepted:
        fail(f"no row came back that obeys the rules ({rejections(collector.rejected)}); nothing was written")
    short = sum(collector.need().values())
    if short:
        print(f"generate: {short} of {num} rows could not be had: {made.shortest()}")
    facts = {"teacher": f"{teacher} ({config['model']})", "rejected": collector.rejected}
    if client:
        facts["bill"] = bill.bill(journal.records)
        print("\n".join(["generate: the bill", *bill.lines(facts["bill"])]))
    path = journal.path

    def done():
        journal.file.close()
        path.replace(path.with_name(f"{teacher}.jsonl"))

    records = direct.split(collector.accepted, settings["seed"])
    if not any(r["split"] == "val" for r in records):
        fail(f"{len(records)} rows are too few to hold some of them back for validation; they are kept; raise num=")
    return records, facts, done


def write(folder, fingerprint, records, facts):
    """Rows, where they come from, and stage.json last: a run that is killed in between is taken up again."""
    parts = {split: [d for d in records if d["split"] == split] for split in SPLITS}
    texts = {file: utils.jsonl([d["row"] for d in parts[split]]) for split, file in SPLITS.items()}
    written = {file: utils.digest_text(text) for file, text in texts.items()}
    utils.write_json(folder / "stage.json", {**(utils.read_json(folder / "stage.json") or {}), "writing": written})
    for file, text in texts.items():
        utils.write_text(folder / file, text)
    origin = [
        {**{k: d.get(k) for k in ("split", "category", "label", "frame")}, "row": row_id(d["row"])}
        for split in SPLITS
        for d in parts[split]
    ]
    write_jsonl(folder / "frames.jsonl", origin)
    utils.finish(folder, fingerprint, written=written, rows={s: len(p) for s, p in parts.items()}, **facts)


if __name__ == "__main__":
    utils.run(main)
