"""How a frame is said: alternations, options and values are drawn, then politeness, casing and typing errors are put around them.

A Speaker writes the words of one frame and what they mean; which frame comes next is the teacher's affair. Imports no torch.
"""

import random
import re
from dataclasses import dataclass, field

import notation
import phrasebook

COUNTS = (0.33, 0.37, 0.22, 0.08)  # how often `[*]` is none, one, two, three phrases
CONTRAST = 0.2  # how often a phrase that says what is not wanted is taken where it could be
JOINS = {" ": 0.74, ", ": 0.12, ". ": 0.09, " - ": 0.05}  # what stands before the phrases at the end of a request
MARKED = 0.1  # of the requests that end in a value of one word have a mark behind it, which is no part of the value
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


class Speaker:
    """book: a Phrasebook; least(key, choices, rng, jitter): the choice that has been served least."""

    def __init__(self, book, lexicon, least):
        self.book, self.lexicon, self.least = book, lexicon, least
        self.sets = {  # option list -> what its phrases set: (flags, arguments)
            key: ({f for p in phrases for f in p.flags}, {a for p in phrases for a in p.says})
            for key, phrases in book.options.items()
        }

    # ----------------------------------------------------------------------------------------------------- saying
    def can_say(self, frame, schema):
        """The optional arguments and the flags ("+web") that a frame can say, by itself or through its options."""
        sub = schema.by_label[frame.label]
        found, used = set(), notation.names(frame.node, "option")
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
        nodes = list(notation.leaves(frame.node, rng))
        slots = {n.value for n in nodes if n.kind == "slot"}
        end = max((i + 1 for i, n in enumerate(nodes) if n.kind != "option" and n.value.strip()), default=0)
        join = rng.choices(list(JOINS), list(JOINS.values()))[0]
        texts = []
        for i, n in enumerate(nodes):
            before = next((t.value for t in reversed(texts) if t.value.strip()), "").rstrip()
            between = join if i >= end > 0 and not before.endswith(("?", "!", ".", ":")) else " "
            how = (sub, said, slots, rng, jitter, plain, sought, between)
            if n.kind != "option":
                texts.append(n)
            elif n.value == "*":
                lists = [key for key in self.option_lists(sub, said, slots) if key[1] not in {m.value for m in nodes}]
                wanted = [key for key in lists if self.has(key, sought)][:1]
                count = max(rng.choices(range(len(COUNTS)), COUNTS)[0], len(wanted))
                for _ in range(min(count, len(lists))):
                    key = wanted.pop() if wanted else self.least(("option", sub.label), lists, rng, jitter)
                    lists.remove(key)
                    texts += self.option(key, *how)
            elif rng.random() < 0.55 or self.has(self.list_of(sub, n.value), sought):
                texts += self.option(self.list_of(sub, n.value), *how)
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
        for (label, name), (flags, args) in self.sets.items():
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

    def option(self, key, sub, said, slots, rng, jitter, plain, sought, join):
        """Nodes of one phrase of an option list that adds to what is said without contradicting it; [] when there is none. join: what stands before it."""
        phrases = self.book.options.get(key, [])
        if plain and phrases and self.sets[key][0] and rng.random() > CONTRAST:
            return []
        taken = {*said.args, *said.points, *said.implies, *said.missing, *slots}
        free = []
        for p in phrases:
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
        setting = [p for p in free if p.flags or p.says]
        if setting and len(setting) < len(free) and any(p.flags for p in setting) and rng.random() > CONTRAST:
            free = setting
        chosen = self.least(("phrase", key), [p.id for p in free], rng, jitter)
        phrase = next(p for p in free if p.id == chosen)
        self.take_effects(said, phrase, sub)
        slots |= notation.names(phrase.node, "slot")
        said.used += [(("option", sub.label), key), (("phrase", key), phrase.id)]
        nodes = list(notation.leaves(phrase.node, rng))
        first = nodes[0].value if nodes and nodes[0].kind == "text" else ""
        if first.startswith("-"):
            join = " "
        if join == ". " and first:
            first = first.removeprefix(", ")
            nodes[0] = notation.Node("text", first[:1].upper() + first[1:] if rng.random() < 0.5 else first)
        return [notation.Node("text", "" if first.startswith(",") else join), *nodes, notation.Node("text", " ")]

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
            text = "".join(n.value for n in notation.leaves(words, rng)) if words else self.lexicon.say_enum(value, rng)
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

    # ---------------------------------------------------------------------------------------------------- dressing
    def dress(self, said, rng, category, flags):
        """The segments as one string, with the politeness, casing, typing errors and marks that people add; values untouched."""
        segments = tidy(said.segments)
        if rng.random() > self.lexicon.wording["plain"]:
            first = segments[0][0].split()[0] if segments and not segments[0][1] and segments[0][0].split() else ""
            if first.lower() == "merge" and re.match("merge requests?\\b", segments[0][0].lstrip().lower()):
                first = ""  # a thing here, no verb: never "let's merge requests"
            fill = self.lexicon.dressing(first, said.open_end, category, rng)
            if fill and not flags & set(
                re.findall(r"[\w-]+", " ".join(fill))
            ):  # "now" is no politeness where it is a flag
                before, after = fill
                segments = tidy([(before, False), *segments, (after, False)])
        last = segments[-1] if segments else ("", False)
        if last[1] and re.fullmatch(r"\S*\w", last[0]) and rng.random() < MARKED:
            segments = [*segments, (rng.choice(".!?"), False)]
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
    nodes = list(notation.leaves(frame.node, random.Random(frame.id)))
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
