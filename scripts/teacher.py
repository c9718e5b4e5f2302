"""The bundled teacher: draws labelled rows from frames, right by construction.

Rows are drawn by coverage: what has been served least comes next (kind of row, subcommand, frame, option, enum value), so that
rare flags get their share. Row i depends on the run's seed, on i and on the rows accepted before it, and on nothing else: a
run that was killed continues with exactly the rows it would have made. Imports no torch.
"""

import itertools
import random
from collections import Counter

import compose
import phrasebook
from cli import value_fits
from lexicon import Lexicon, singular
from rows import clarification, command, dumps, filled
from speaker import Speaker, shortness
from utils import SCHEMAS

SHARES = {"ctx": 0.6, "noctx": 0.2, "ask": 0.2}  # the spec's: command with context, command without, clarification
ASK_SHARES = {
    "missing_arg": 0.19,
    "pronoun": 0.28,
    "multiple": 0.14,
    "ambiguous_command": 0.1,
    "off_topic": 0.14,
    "unclear": 0.06,
    "typo": 0.09,
}
TWINS = 0.6  # of the pronoun questions have the very words of a command that took its value from the context, without that value
USES = 0.27  # of the commands with context take a value from it; for the others it does not matter
SEEK = 0.35  # of the commands are drawn for an argument or flag that has had the fewest rows
PLAIN = 0.35  # of the commands carry no flag for certain; drawn by coverage alone, every second one would have one
VALIDATION = 0.1  # of the rows, and about the share of frames that no training row comes from


def sources(name):
    """The files that the teacher's rows depend on."""
    return [
        SCHEMAS / f"{name}.yaml",
        SCHEMAS / "phrases" / f"{name}.yaml",
        *sorted((SCHEMAS / "lexicon").glob("*.yaml")),
    ]


class Teacher:
    def __init__(self, schema, name, seed, lexicon=None):
        self.schema, self.seed, self.faults = schema, seed, []
        path = phrasebook.path_of(name)
        self.lexicon = lexicon or Lexicon()
        self.lexicon.nouns = things(schema)
        if path.exists():
            book, self.faults = phrasebook.read(path, schema)
            self.book = book or phrasebook.Phrasebook({}, {}, {}, {})
            self.origin = f"phrasebook {path.name}"
        else:
            self.book = compose.phrasebook(schema, self.lexicon)
            self.origin = "frames composed from the schema"
        self.served = Counter()
        # commands that point at their context, whose words are no question yet
        self.untwinned = {"train": [], "val": []}
        self.asked = {"train": set(), "val": set()}  # the words of pronoun questions
        self.split_of = self.split_frames()
        self.pools = {split: self.sort_frames(split) for split in ("train", "val")}
        every = itertools.chain(*self.book.frames.values(), *self.book.clarify.values())
        self.speaker = Speaker(self.book, self.lexicon, self.least)
        self.shortness = {f.id: shortness(f) for f in every}
        self.sayable = {f.id: self.speaker.can_say(f, self.schema) for f in itertools.chain(*self.book.frames.values())}

    # ------------------------------------------------------------------------------------------ frames and split
    def split_frames(self):
        """Frame id -> "train" or "val". Within every group about one frame in ten is kept for validation."""
        sides = {}
        groups = [*self.book.frames.values(), *self.book.clarify.values()]
        for frames in groups:
            keys = sorted(
                {f.template or f.id for f in frames}, key=lambda k: random.Random(f"{self.seed}:split:{k}").random()
            )
            held = set(keys[: round(len(keys) * VALIDATION)] or (keys[:1] if len(keys) > 4 else []))
            for f in frames:
                sides[f.id] = "val" if (f.template or f.id) in held else "train"
        return sides

    def sort_frames(self, split):
        """{"use"|"ctx"|"noctx": {label: frames}, category: {label: frames}} of one side of the split."""
        pools = {kind: {} for kind in ("use", "ctx", "noctx", *ASK_SHARES)}

        def put(kind, label, f):
            pools[kind].setdefault(label, []).append(f)

        for label, frames in self.book.frames.items():
            sub = self.schema.by_label[label]
            for f in frames:
                if self.split_of[f.id] != split:
                    continue
                sources = [sub.arg[a].from_context for a in (*f.points, *f.implies)]
                if f.missing:
                    put("missing_arg", label, f)
                elif f.points:
                    if all(sources):
                        put("use", label, f)
                    put("pronoun", label, f)
                elif f.implies:
                    put("use", label, f)
                    required = any(sub.arg[a].required for a in f.implies)
                    put("missing_arg" if required else "noctx", label, f)
                else:
                    put("ctx", label, f)
                    put("noctx", label, f)
        for category, frames in self.book.clarify.items():
            for f in frames:
                if self.split_of[f.id] == split:
                    put(category, f.targets[0] if f.targets else "", f)
        return pools

    def capacity(self):
        """How many frames there are for (training, validation)."""
        sides = list(self.split_of.values())
        return sides.count("train"), sides.count("val")

    # ---------------------------------------------------------------------------------------------------- drawing
    def least(self, key, choices, rng, jitter, weight=None):
        """The choice that has been served least for its weight; jitter (in servings) mixes near-equals."""
        return min(choices, key=lambda c: (self.served[key, c] + rng.random() * jitter) / (weight(c) if weight else 1))

    def draw(self, index, split, patience):
        """Candidate row `index`, or None when the draw contradicts itself. patience: how many candidates failed before it.

        Returns {"row", "split", "kind", "category", "frame", "label", "points", "used"}, of a command's twin "twin" too; call accept() if it
        goes into the data. points: arguments that a pointing word stands for.
        """
        rng = random.Random(f"{self.seed}:{index}")
        jitter = 1 + patience * 0.5
        pools = self.pools[split]
        sources = {"ctx": ("ctx", "use"), "noctx": ("noctx",), "ask": tuple(ASK_SHARES)}
        kinds = {k: w for k, w in SHARES.items() if any(pools[c] for c in sources[k])}
        if not kinds:
            return None
        kind = self.least(split, list(kinds), rng, min(jitter, 2), kinds.get)
        category = kind
        if kind == "ask":
            asks = {c: w for c, w in ASK_SHARES.items() if pools[c]}
            category = self.least((split, "ask"), list(asks), rng, min(jitter, 2), asks.get)
        elif kind == "ctx" and pools["use"] and (rng.random() < USES or not pools["ctx"]):
            category = "use"
        if category == "pronoun" and self.untwinned[split] and rng.random() < TWINS:
            return self.twin(rng.choice(self.untwinned[split][:20]), rng)
        label = self.least(
            (split, category), list(pools[category]), rng, jitter, lambda lb: weight_of(self.schema.by_label.get(lb))
        )
        sought, plain = None, rng.random() < PLAIN
        if category in ("ctx", "noctx") and rng.random() < SEEK:
            rare = sorted({(lb, n) for lb, fs in pools[category].items() for f in fs for n in self.sayable[f.id]})
            label, sought = self.least((split, "said"), rare, rng, jitter, self.richness) if rare else (label, None)
        pool = pools[category][label]
        if sought:
            pool, plain = [f for f in pool if sought in self.sayable[f.id]], False
        elif plain:
            pool = [f for f in pool if not f.flags] or pool
        chosen = self.least((split, category, label), [f.id for f in pool], rng, jitter, self.shortness.get)
        frame = next(f for f in pool if f.id == chosen)
        sub = self.schema.by_label.get(frame.label)
        said = self.speaker.say(frame, sub, rng, jitter, plain, sought)
        if said is None:
            return None
        built = self.resolve(said, frame, sub, kind, category, rng)
        if built is None:
            return None
        context, answer = built
        text = self.speaker.dress(said, rng, category, set(sub.flag) if sub else set())
        row = {"instruction": text, "context": nest(context), "output": dumps(answer)}
        used = [
            (split, kind),
            ((split, "ask"), category),
            ((split, category), label),
            ((split, category, label), frame.id),
            *(((split, "said"), (label, name)) for name in (*said.args, *(f"+{f}" for f in said.flags))),
            *said.used,
        ]
        return {
            "row": row,
            "split": split,
            "kind": kind,
            "category": category,
            "label": label,
            "frame": frame.id,
            "points": said.points,
            "used": used,
        }

    def twin(self, drawn, rng):
        """The words of a drawn command that points at its context, where nothing is known that it could point at: a question."""
        sub = self.schema.by_label[drawn["label"]]
        sources = [sub.arg[a].from_context for a in drawn["points"]]
        context = context_of(self.schema, self.lexicon, rng, present=0.5, forbids=sources)
        question = clarification(self.schema, "pronoun", [sub.label], drawn["points"][0].replace("_", " "))
        row = {"instruction": drawn["row"]["instruction"], "context": nest(context), "output": dumps(question)}
        counted = [(drawn["split"], "ask"), ((drawn["split"], "ask"), "pronoun")]
        used = [
            *counted,
            ((drawn["split"], "pronoun"), sub.label),
            ((drawn["split"], "pronoun", sub.label), drawn["frame"]),
        ]
        kept = {k: drawn[k] for k in ("split", "label", "frame", "points")}
        return {"row": row, **kept, "kind": "ask", "category": "pronoun", "used": used, "twin": True}

    def accept(self, drawn):
        """Count what a row has used, which decides what comes next. drawn: as draw() made it, or read back from JSON."""
        self.served.update((freeze(k), freeze(c)) for k, c in drawn["used"])
        waiting, asked, words = self.untwinned[drawn["split"]], self.asked[drawn["split"]], drawn["row"]["instruction"]
        if drawn["category"] == "pronoun":
            asked.add(words)
            waiting[:] = [d for d in waiting if d["row"]["instruction"] != words]
        elif drawn["kind"] == "ctx" and drawn["points"] and words not in asked:
            waiting.append(drawn)

    def richness(self, said):
        """How many rows an argument or flag should have for each of another's: an enum one for every second value."""
        label, name = said
        arg = self.schema.by_label[label].arg.get(name)
        return max(1, len(arg.values) / 2) if arg and arg.type == "enum" else 1

    # --------------------------------------------------------------------------------------------------- resolving
    def resolve(self, said, frame, sub, kind, category, rng):
        """(flat context or None, answer) for what was said, or None when this kind of row cannot be made of it."""
        if sub is None:
            return context_of(self.schema, self.lexicon, rng, present=0.55), clarification(
                self.schema, category, list(frame.targets)
            )
        sources = {a: sub.arg[a].from_context for a in (*said.points, *said.implies)}
        needed = [s for s in sources.values() if s]
        if kind == "ctx":
            if said.missing or not all(sources.values()):
                return None
            context = context_of(self.schema, self.lexicon, rng, present=1, needs=needed)
            for name, source in sources.items():
                if not value_fits(sub.arg[name], context[source]):
                    return None
                said.args[name] = context[source]
            return context, command(sub, said.args, said.flags)
        if kind == "noctx":
            if said.missing or said.points:
                return None
            return None, command(sub, said.args, said.flags)
        if category == "missing_arg" and said.points:
            return None
        context = context_of(self.schema, self.lexicon, rng, present=0.5, forbids=needed)
        asked = (said.points or said.missing or [a for a in said.implies if sub.arg[a].required])[0]
        return context, clarification(self.schema, category, [sub.label], asked.replace("_", " "))


def nest(context):
    """{"git.current_pr": 1} -> {"git": {"current_pr": 1}}"""
    return None if context is None else filled(None, context)


def things(schema):
    """Singular words for what a CLI is about: its commands with subcommands, and the values of its enums."""
    named = {w for s in schema.subcommands if s.name for w in (s.command, *s.command_aliases)}
    return {
        singular(str(w).lower()) for w in (*named, *(v for s in schema.subcommands for a in s.args for v in a.values))
    }


def freeze(key):
    """Counter keys survive a round trip through JSON: lists become tuples."""
    return tuple(freeze(k) for k in key) if isinstance(key, list | tuple) else key


def weight_of(sub):
    """How many rows a subcommand should have for each of one that has nothing to say: more for arguments, flags and enum values."""
    if sub is None:
        return 1
    return 1 + 0.25 * (len(sub.args) + len(sub.flags)) + 0.1 * sum(len(a.values) for a in sub.args)


def context_of(schema, lexicon, rng, present, needs=(), forbids=()):
    """A flat context that has all of needs and none of forbids: None, partial or full."""
    fields = [f for f in schema.context if f not in forbids]
    if not fields or (not needs and rng.random() >= present):
        return None
    full = rng.random() < 0.55
    kept = [f for f in fields if full or f in needs or rng.random() < 0.5] or [rng.choice(fields)]
    return {f: lexicon.field_value(f, schema.context[f], rng) for f in kept}
