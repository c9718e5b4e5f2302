"""Rows written by Claude: ask cell by cell until every quota is full, then put a tenth of them aside for validation."""

import json
import random
import re
import shutil
from collections import Counter
from types import SimpleNamespace

import utils
from lexicon import Lexicon
from settings import stage_config
from split_check import NEAR, vectors
from teacher import VALIDATION

from . import bill, cells
from .byhand import ByHand
from .exchange import Exchange
from .replies import Collector
from .requests import expected, request

FRUITLESS = 2  # rounds in a row without a single new row, after which the rest is given up
KNOWN = 15  # instructions that a later round is shown, so that it does not write them again
INPUT = {"input": {"type": "string"}, "context": {"anyOf": [{"type": "integer"}, {"type": "null"}]}}
ALIKE = 0.8  # cosine of masked words from which two instructions stay on one side of the split


def mark(teacher, name):
    """What begins the journal of a teacher. Neither schema nor settings: what was paid for is checked anew against any of them."""
    return {"journal": teacher, "cli": name}


def put_aside(name, but=None):
    """Keep the journal of another teacher's interrupted run, which would be overwritten: it becomes <teacher>.jsonl."""
    path = utils.data_dir(name) / "train_progress.jsonl"
    for teacher in ("claude", "manual"):
        if teacher != but and utils.Progress.holds(path, mark(teacher, name)):
            path.replace(path.with_name(f"{teacher}.jsonl"))


def set_back(teacher, folder):
    """Start afresh without losing what was paid for or pasted: the replies so far become <teacher>.old.jsonl and manual.old/."""
    path, kept = folder / "train_progress.jsonl", folder / f"{teacher}.jsonl"
    old = folder / f"{teacher}.old.jsonl"
    found = path if utils.Progress.holds(path, mark(teacher, folder.name)) else kept  # a run begins with what was kept
    if found.exists():
        found.replace(old)
        print(f"generate: the replies so far are kept in {utils.display(old)}")
    for rest in (path, kept):
        rest.unlink(missing_ok=True)
    pasted = folder / "manual"
    if teacher == "manual" and pasted.is_dir():
        shutil.rmtree(folder / "manual.old", ignore_errors=True)
        pasted.rename(folder / "manual.old")


def begin(settings, schema, teacher, client, force=False):
    """A Direct with all earlier replies taken, for rows of `teacher`: claude (client is the SDK's) or manual (client is None)."""
    name, folder = settings["name"], utils.data_dir(settings["name"])
    config = stage_config("generate", settings)["claude"]
    path, kept = folder / "train_progress.jsonl", folder / f"{teacher}.jsonl"
    put_aside(name, but=teacher)
    if force:
        set_back(teacher, folder)
    if kept.exists() and not utils.Progress.holds(path, mark(teacher, name)):
        utils.write_text(path, kept.read_text(encoding="utf-8"))
    journal = utils.Progress(path, mark(teacher, name), "delete the file, or run train-generate-force")
    by_hand = ByHand(folder / "manual", journal)
    exchange = Exchange(config, journal, settings["batch"], settings["budget"], client=client) if client else by_hand
    made = Direct(schema, settings["num"], settings["seed"], config, exchange)
    made.recall()
    return made


def estimate(settings, schema):
    """(dollars, requests, dollars spent before, rows missing) for the rows that Claude would write; nothing is sent or written."""
    folder, config = utils.data_dir(settings["name"]), stage_config("generate", settings)["claude"]
    paths = [folder / "train_progress.jsonl", folder / "claude.jsonl"]
    path = next((p for p in paths if utils.Progress.holds(p, mark("claude", settings["name"]))), None)
    journal = SimpleNamespace(records=utils.read_jsonl(path)[1:] if path else [], path=path)
    exchange = Exchange(config, journal, settings["batch"], client="none")
    made = Direct(schema, settings["num"], settings["seed"], config, exchange)
    made.recall()
    missing = sum(made.collector.need().values())
    usd, requests = made.estimate() if missing else (0.0, 0)
    return usd, requests, exchange.spent(), missing


class Direct:
    """A data set of num rows in the making. exchange: an Exchange or ByHand; its journal also holds the cells of every round."""

    def __init__(self, schema, num, seed, config, exchange):
        self.schema, self.seed, self.config, self.exchange = schema, seed, config, exchange
        self.lexicon = Lexicon()
        self.collector = Collector(cells.quotas(schema, num), schema)
        self.system, self.cells, self.bar, self.num = cells.system(schema), {}, None, num
        self.measure = lambda text: len(text) // 3  # tokens of a text, see estimate()

    def requests(self, of):
        """The requests of some cells, in order."""
        return [self.request(cell) for cell in of]

    def request(self, cell):
        wanted = cells.ROW_TOKENS * sum(cell["counts"].values())
        return request(cell["id"], self.system, cells.user(cell), wanted, self.measure, cells.reply(INPUT))

    def rounds(self):
        """Cells of the rounds so far, as the journal has them."""
        return [r["cells"] for r in self.exchange.journal.records if r["kind"] == "round"]

    def next_round(self):
        """Cells for what is missing; they go to the journal, so that an interrupted run asks the same again."""
        made = self.plan_round(len(self.rounds()) + 1)
        self.exchange.journal.save([{"kind": "round", "cells": made}])
        return made

    def plan_round(self, number=1):
        made = cells.cells(self.schema, self.collector.need(), self.config["rows_per_request"], number)
        for cell in made:
            rng = random.Random(f"{self.seed}:{cell['id']}")
            cell["situations"] = cells.situations(cell, self.schema, self.lexicon, rng)
            alike = {*cell["counts"], cell["category"]}
            known = [a["row"]["instruction"] for a in self.collector.accepted if alike & {a["label"], a["category"]}]
            cell["known"] = rng.sample(known, min(KNOWN, len(known)))
        return made

    def take(self, reply):
        cell = self.cells[reply["id"]]
        if reply.get("stop") == "refusal":
            self.collector.rejected["refused"] += 1
        new = self.collector.take(reply["text"], cell)
        if self.bar is not None:
            self.bar.update(new)
            self.bar.set_postfix_str(self.postfix(), refresh=False)

    def postfix(self):
        words = f"{sum(self.collector.rejected.values())} rejected"
        if hasattr(self.exchange, "spent"):
            used = Counter()
            for r in self.exchange.of("reply"):
                used.update(bill.tokens(r["usage"]))
            words += f", {sum(used.values()):,} tokens, ${self.exchange.spent():.2f}"
        return words

    def recall(self):
        """Take the replies of earlier runs."""
        for made in self.rounds():
            self.cells |= {cell["id"]: cell for cell in made}
        for reply in self.exchange.replies(self.cells):
            self.take(reply)

    def shortest(self):
        """What is missing, the most first, in words."""
        need = sorted(self.collector.need().items(), key=lambda kv: -kv[1])
        more = f", and {len(need) - 3} more kinds" if len(need) > 3 else ""
        return ", ".join(f"{key} ({kind}) {n}" for (kind, key), n in need[:3]) + more

    def gather(self):
        """Ask until all quotas are full. Returns False when the budget stopped it; what is still missing then is in collector.need()."""
        from tqdm import tqdm

        start = len(self.collector.accepted)
        if start:
            print(f"generate: continuing after {start} rows of {utils.display(self.exchange.journal.path)}", flush=True)
        self.bar = tqdm(
            desc="generate", total=self.num, initial=start, unit="row", disable=None, mininterval=0.5, smoothing=0.05
        )
        last = self.rounds()[-1] if self.rounds() else []
        current, fruitless = (last if self.exchange.open(self.requests(last)) else None), 0
        try:
            while self.collector.need() and fruitless < FRUITLESS:
                current = current or self.next_round()
                self.cells |= {cell["id"]: cell for cell in current}
                before = len(self.collector.accepted)
                if not self.exchange.answer(self.requests(current), self.take):
                    return False
                fruitless = fruitless + 1 if len(self.collector.accepted) == before else 0
                current = None
        finally:
            self.bar.close()
        return True

    def missing(self):
        """Requests that would be sent next: what is open of the last round, or the round after it."""
        last = self.exchange.open(self.requests(self.rounds()[-1])) if self.rounds() else []
        return last or self.requests(self.plan_round())

    def estimate(self, count=None):
        """(dollars, requests) for the rows that are missing. count(request): input tokens by the API, or None."""
        local = bill.tokenizer()
        self.measure = local
        made = self.missing()
        counted = count(made[0]) if count and made else None
        if counted:
            factor = counted / made[0]["tokens"][0]
            self.measure = lambda text: round(local(text) * factor)
            made = self.missing()
        return expected(made, self.config["model"], self.exchange.batched(made)), len(made)


def split(accepted, seed):
    """Give each accepted row its "split": about a tenth of each kind for validation, and near-duplicates always on one side."""
    rng = random.Random(f"{seed}:split")
    rows = [a["row"] for a in accepted]
    # alike with their values masked, or with them: what split_check will hold against a row that has no frame
    group = clusters([([masked(r) for r in rows], ALIKE), ([r["instruction"] for r in rows], NEAR)])
    members = {}
    for i, g in enumerate(group):
        members.setdefault(g, []).append(i)
    kinds = Counter(a["kind"] for a in accepted)
    room = cells.apportion(round(len(accepted) * VALIDATION), dict(kinds))
    for ids in sorted(members.values(), key=lambda ids: (len(ids), rng.random())):
        wanted = Counter(accepted[i]["kind"] for i in ids)
        val = all(room[k] >= n for k, n in wanted.items())
        if val:
            room.update({k: room[k] - n for k, n in wanted.items()})
        for i in ids:
            accepted[i]["split"] = "val" if val else "train"
    return accepted


def masked(row):
    """The words of a row with the values of its answer, and all digits, made alike: what is left is how it was said."""
    text = row["instruction"]
    for name, value in sorted(json.loads(row["output"]).get("args", {}).items(), key=lambda a: -len(str(a[1]))):
        text = text.replace(str(value), name)
    return re.sub(r"\d+", "0", text)


def clusters(views):
    """A number for each row; rows that are alike in any view, or linked by others that are, have the same (single linkage).

    views: [(the text of each row, the cosine from which two count as alike)]."""
    from scipy.sparse.csgraph import connected_components

    links = 0
    for texts, alike in views:
        matrix = vectors(texts)
        links = links + (matrix @ matrix.T >= alike - 1e-6)  # rounding is no reason to be apart
    return connected_components(links, directed=False)[1].tolist()
