"""The bundled teacher: draws labelled rows from frames, right by construction.

Rows are drawn by coverage: what has been served least comes next (kind of row, subcommand, frame, option, enum value), so that
rare flags get their share. Row i depends on the run's seed, on i and on the rows accepted before it, and on nothing else: a
run that was killed continues with exactly the rows it would have made. Imports no torch.
"""

import itertools
import random
import re
from collections import Counter
from dataclasses import dataclass, field

import compose
import phrasebook
from lexicon import Lexicon
from rows import clarification, command, dumps
from schema import value_fits

SHARES = {"ctx": 0.6, "noctx": 0.2, "ask": 0.2}  # the spec's: command with context, command without, clarification
ASK_SHARES = {
    "missing_arg": 0.2,
    "pronoun": 0.22,
    "multiple": 0.15,
    "ambiguous_command": 0.12,
    "off_topic": 0.12,
    "unclear": 0.1,
    "typo": 0.09,
}
USES = 0.27  # of the commands with context take a value from it; for the others it does not matter
SEEK = 0.35  # of the commands are drawn for an argument or flag that has had the fewest rows
PLAIN = 0.35  # of the commands carry no flag for certain; drawn by coverage alone, every second one would have one
VALIDATION = 0.1  # of the rows, and about the share of frames that no training row comes from


NUMBERED = re.compile(r"(number|nr\.?|no\.|#) ?$")  # before a number: "nr 12", never "nr number 12"


@dataclass
class Said:
    """A frame while it is being said: segments of (text, whether it is a value), and what they mean."""

    segments: list = field(default_factory=list)
    args: dict = field(default_factory=dict)
    flags: set = field(default_factory=set)
    points: list = field(default_factory=list)
    implies: list = field(default_factory=list)
    missing: list = field(default_factory=list)
    used: list = field(default_factory=list)  # counters to raise once the row is accepted
    open_end: bool = False  # ends in free text without quotes: nothing may follow


class Teacher:
    def __init__(self, schema, name, seed):
        self.schema, self.seed, self.faults = schema, seed, []
        path = phrasebook.path_of(name)
        self.lexicon = Lexicon()
        if path.exists():
            book, self.faults = phrasebook.read(path, schema)
            self.book = book or phrasebook.Phrasebook({}, {}, {}, {})
            self.origin = f"phrasebook {path.name}"
        else:
            self.book = compose.phrasebook(schema, self.lexicon)
            self.origin = "frames composed from the schema"
        self.served = Counter()
        self.split_of = self.split_frames()
        self.pools = {split: self.sort_frames(split) for split in ("train", "val")}
        every = itertools.chain(*self.book.frames.values(), *self.book.clarify.values())
        self.shortness = {f.id: shortness(f) for f in every}
        self.sayable = {f.id: self.can_say(f) for f in itertools.chain(*self.book.frames.values())}

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

        Returns {"row", "split", "kind", "category", "frame", "label", "used"}; call accept() if it goes into the data.
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
        label = self.least((split, category), list(pools[category]), rng, jitter, self.weight)
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
        said = self.say(frame, sub, rng, jitter, plain, sought)
        if said is None:
            return None
        built = self.resolve(said, frame, sub, kind, category, rng)
        if built is None:
            return None
        context, answer = built
        text = self.dress(said, rng, category, set(sub.flag) if sub else set())
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
            "used": used,
        }

    def accept(self, drawn):
        self.served.update((freeze(k), c) for k, c in drawn["used"])

    def weight(self, label):
        sub = self.schema.by_label.get(label)
        return 1 + 0.25 * (len(sub.args) + len(sub.flags)) if sub else 1

    def richness(self, said):
        """How many rows an argument or flag should have for each of another's: an enum one for every second value."""
        label, name = said
        arg = self.schema.by_label[label].arg.get(name)
        return max(1, len(arg.values) / 2) if arg and arg.type == "enum" else 1

    # ----------------------------------------------------------------------------------------------------- saying
    def can_say(self, frame):
        """The optional arguments and the flags ("+web") that a frame can say, by itself or through its options."""
        sub = self.schema.by_label[frame.label]
        found, used = set(), phrasebook.names(frame.node, "option")
        lists = [k for k in self.option_lists(sub, Said(flags=set(frame.flags)), frame.says) if "*" in used]
        lists += [self.list_of(sub, name) for name in used - {"*"}]
        for part in (frame, *(p for key in lists for p in self.book.options[key])):
            found |= part.says | {f"+{f}" for f in part.flags}
        return found - {a.name for a in sub.args if a.required}

    def list_of(self, sub, name):
        return (sub.label, name) if (sub.label, name) in self.book.options else ("", name)

    def say(self, frame, sub, rng, jitter, plain=False, sought=None):
        """Draw alternations, options and values of a frame; None when two parts of it contradict each other.

        sought: an argument or a flag ("+web") that an option should say if the frame has one for it.
        """
        said = Said(args={}, flags=set(frame.flags))
        self.take_effects(said, frame, sub)
        nodes = list(phrasebook.leaves(frame.node, rng))
        slots = {n.value for n in nodes if n.kind == "slot"}
        texts = []
        for n in nodes:
            if n.kind != "option":
                texts.append(n)
            elif n.value == "*":
                lists = [key for key in self.option_lists(sub, said, slots) if key[1] not in {m.value for m in nodes}]
                wanted = [key for key in lists if self.has(key, sought)][:1]
                count = max(rng.choices((0, 1, 2), (0.4, 0.4, 0.2))[0], len(wanted))
                for _ in range(min(count, len(lists))):
                    key = wanted.pop() if wanted else self.least(("option", sub.label), lists, rng, jitter)
                    lists.remove(key)
                    texts += self.option(key, sub, said, slots, rng, jitter, plain, sought)
            elif rng.random() < 0.55 or self.has(self.list_of(sub, n.value), sought):
                texts += self.option(self.list_of(sub, n.value), sub, said, slots, rng, jitter, plain, sought)
        texts = [n for n in texts if n.kind == "slot" or n.value]
        for position, n in enumerate(texts):
            if n.kind == "text":
                self.add_text(said, n.value)
                continue
            rest = "".join("x" if m.kind == "slot" else m.value for m in texts[position + 1 :]).lstrip(" ")
            if not self.add_slot(said, n.value, sub, rest, rng, jitter):
                return None
        return said

    def add_text(self, said, text):
        if said.segments and not said.segments[-1][1]:
            said.segments[-1] = (said.segments[-1][0] + text, False)
        else:
            said.segments.append((text, False))

    def take_effects(self, said, frame, sub):
        for name, value in frame.args.items():
            said.args[name] = phrasebook.convert(sub.arg[name], value)
        said.flags |= set(frame.flags)
        said.points += frame.points
        said.implies += frame.implies
        said.missing += frame.missing

    def option_lists(self, sub, said, slots):
        """Option lists that `[*]` may use: the subcommand's own, and general ones whose flags and arguments it has. Phrases of one
        list exclude each other, so a list of which something is said already ("squash", against "with a rebase") is out."""
        taken = {*said.args, *said.points, *said.implies, *said.missing, *slots}
        for (label, name), phrases in self.book.options.items():
            flags = {f for p in phrases for f in p.flags}
            args = {a for p in phrases for a in p.says}
            if flags & said.flags or args & taken:
                continue
            fits = flags <= set(sub.flag) and args <= set(sub.arg)
            if label == sub.label or (not label and fits and (sub.label, name) not in self.book.options):
                yield label, name

    def has(self, key, sought):
        """Whether an option list has a phrase for the argument or flag that is sought."""
        return bool(sought) and any(
            sought in p.says or sought.removeprefix("+") in p.flags for p in self.book.options.get(key, [])
        )

    def option(self, key, sub, said, slots, rng, jitter, plain, sought):
        """Nodes of one phrase of an option list that adds to what is said without contradicting it; [] when there is none."""
        taken = {*said.args, *said.points, *said.implies, *said.missing, *slots}
        free = []
        for p in self.book.options.get(key, []):
            sets = p.says
            if (
                not (plain and p.flags)
                and not sets & taken
                and not set(p.flags) & said.flags
                and set(p.flags) <= set(sub.flag)
                and sets <= set(sub.arg)
            ):
                free.append(p)
        if not free:
            return []
        free = [p for p in free if sought and (sought in p.says or sought.removeprefix("+") in p.flags)] or free
        chosen = self.least(("phrase", key), [p.id for p in free], rng, jitter)
        phrase = next(p for p in free if p.id == chosen)
        self.take_effects(said, phrase, sub)
        slots |= phrasebook.names(phrase.node, "slot")
        said.used += [(("option", sub.label), key), (("phrase", key), phrase.id)]
        nodes = list(phrasebook.leaves(phrase.node, rng))
        first = nodes[0].value if nodes and nodes[0].kind == "text" else ""
        return [phrasebook.Node("text", "" if first.startswith(",") else " "), *nodes, phrasebook.Node("text", " ")]

    def add_slot(self, said, name, sub, rest, rng, jitter):
        """Draw a value, write it as people do, record its meaning. rest: the text behind it. False when it cannot be written."""
        before = said.segments[-1][0] if said.segments else ""
        if sub is None:  # clarify lines: the slot names a kind
            said.segments.append((self.lexicon.written(name, rng)[0], True))
            return True
        arg = sub.arg[name]
        given = self.book.values.get(f"{sub.label}.{name}", self.book.values.get(name))
        if arg.type == "enum":
            value = self.least(("value", sub.label, name), list(arg.values), rng, jitter)
            said.used.append((("value", sub.label, name), value))
            words = given.get(value) if isinstance(given, dict) else None
            text = (
                "".join(n.value for n in phrasebook.leaves(words, rng)) if words else self.lexicon.say_enum(value, rng)
            )
        elif arg.type == "boolean":
            value = rng.random() < 0.5
            text = str(value).lower()
        else:
            value, text = self.lexicon.value(arg, given, rng)
            if isinstance(value, int) and NUMBERED.search(before):
                text = str(value)
        quoted = before[-1:] in ("'", '"', "`")
        if isinstance(value, str) and " " in value and arg.type != "enum" and not quoted:
            bare = (rest == "" and rng.random() < 0.5) or (
                rest.startswith(",") and "," not in value and rng.random() < 0.4
            )
            mark = rng.choice('""\'')
            if mark == "'" and "'" in value:
                mark = '"'
            said.open_end = bare and rest == ""
            if not bare:
                said.segments += [(mark, True), (text, True), (mark, True)]
                said.args[name] = value
                return True
        if isinstance(value, str) and rest == "":
            said.open_end = said.open_end or arg.type != "enum"
        said.segments.append((text, True))
        said.args[name] = value
        return True

    # --------------------------------------------------------------------------------------------------- resolving
    def resolve(self, said, frame, sub, kind, category, rng):
        """(flat context or None, answer) for what was said, or None when this kind of row cannot be made of it."""
        if sub is None:
            return self.context(rng, present=0.55), clarification(self.schema, category, list(frame.targets))
        sources = {a: sub.arg[a].from_context for a in (*said.points, *said.implies)}
        needed = [s for s in sources.values() if s]
        if kind == "ctx":
            if said.missing or not all(sources.values()):
                return None
            context = self.context(rng, present=1, needs=needed)
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
        context = self.context(rng, present=0.5, forbids=needed)
        asked = (said.points or said.missing or [a for a in said.implies if sub.arg[a].required])[0]
        return context, clarification(self.schema, category, [sub.label], asked.replace("_", " "))

    def context(self, rng, present, needs=(), forbids=()):
        """A flat context that has all of needs and none of forbids: None, partial or full."""
        fields = [f for f in self.schema.context if f not in forbids]
        if not fields or (not needs and rng.random() >= present):
            return None
        full = rng.random() < 0.55
        kept = [f for f in fields if full or f in needs or rng.random() < 0.5] or [rng.choice(fields)]
        return {f: self.lexicon.field_value(f, self.schema.context[f], rng) for f in kept}

    # ---------------------------------------------------------------------------------------------------- dressing
    def dress(self, said, rng, category, flags):
        """The segments as one string, with the politeness, casing, typing errors and marks that people add; values untouched."""
        segments = tidy(said.segments)
        if rng.random() > self.lexicon.wording["plain"]:
            first = segments[0][0].split()[0] if segments and not segments[0][1] and segments[0][0].split() else ""
            fill = self.lexicon.dressing(first, said.open_end, category, rng)
            if fill and not flags & set(
                re.findall(r"[\w-]+", " ".join(fill))
            ):  # "now" is no politeness where it is a flag
                before, after = fill
                segments = tidy([(before, False), *segments, (after, False)])
        out = []
        style = rng.random()
        for i, (text, is_value) in enumerate(segments):
            if not is_value:
                if rng.random() < 0.07 and category != "typo":
                    text = self.lexicon.mistype(text, rng)
                if style < 0.35:
                    text = text.lower()
                elif style < 0.5 and i == 0:
                    text = text[:1].upper() + text[1:]
            out.append(text)
        return "".join(out).strip()


def shortness(frame):
    """How often a frame is drawn: people are brief, so one of four words comes four times as often as one of ten."""
    nodes = list(phrasebook.leaves(frame.node, random.Random(frame.id)))
    words = sum(len(n.value.split()) if n.kind == "text" else n.kind == "slot" for n in nodes)
    return min(4.0, max(0.5, (10 / max(words, 1)) ** 1.5))


def tidy(segments):
    """Join neighbours, one space between words, none before a comma or at the ends."""
    merged = []
    for text, is_value in segments:
        if not is_value:
            text = re.sub(r"\s+", " ", text)
        if merged and not merged[-1][1] and not is_value:
            merged[-1] = (re.sub(r"\s+", " ", merged[-1][0] + text), False)
        elif text:
            merged.append((text, is_value))
    out = []
    for i, (text, is_value) in enumerate(merged):
        if not is_value:
            text = re.sub(r"\s+([,.?!])(?=\s|$)", r"\1", text)
            text = re.sub(r"^\s*,\s*", "", text) if i == 0 else text
            text = text.lstrip() if i == 0 else text
            text = text.rstrip(" ,") if i == len(merged) - 1 else text
        if text:
            out.append((text, is_value))
    return out


def nest(context):
    """{"git.current_pr": 1} -> {"git": {"current_pr": 1}}"""
    if context is None:
        return None
    out = {}
    for key, value in context.items():
        *groups, leaf = key.split(".")
        node = out
        for g in groups:
            node = node.setdefault(g, {})
        node[leaf] = value
    return out


def freeze(key):
    """Counter keys survive a round trip through JSON: lists become tuples."""
    return tuple(freeze(k) for k in key) if isinstance(key, list | tuple) else key
