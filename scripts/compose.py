"""Frames for a CLI without a phrasebook, composed from its schema and schemas/lexicon/: names, aliases, descriptions, values.

Every frame is a line of the phrasebook's own notation, so the teacher expands it like a written one. A frame's `template` is the
pattern it came from: the split keeps all frames of one pattern on one side. Imports no torch.
"""

import itertools
import re
from collections import Counter

from lexicon import plural, singular
from phrasebook import Phrasebook, parse_line
from utils import SCHEMAS, load_yaml

SPECIAL = re.compile(r"([\\(){}\[\]|$])")
GENERIC = {"name", "id", "number", "key", "title"}  # arguments that need no word of their own in front


def phrasebook(schema, lexicon):
    words = load_yaml(SCHEMAS / "lexicon" / "composing.yaml")
    book = Phrasebook({}, {}, {}, {})
    said = {s.label: spoken(s, schema, lexicon) for s in schema.subcommands}
    owners = Counter(v for verbs, _ in said.values() for v in set(verbs))
    for sub in schema.subcommands:
        verbs, nouns = said[sub.label]
        # a verb that several subcommands share says too little by itself; the schema's own words always stay
        own = {
            spaced(w)
            for w in (sub.name or sub.command, *sub.aliases, *(sub.command_aliases if sub.name is None else ()))
        }
        verbs = [v for v in verbs if v in own or owners[v] == 1] or verbs[:1]
        book.frames[sub.label] = list(frames(sub, verbs, nouns, owners, words))
        for arg in sub.args:
            if not arg.required:
                book.options[sub.label, arg.name] = lines(
                    f"options/{sub.label}.{arg.name}", sub.label, optional(arg, words, schema)
                )
        for flag in sub.flags:
            book.options[sub.label, f"+{flag.name}"] = lines(
                f"options/{sub.label}.+{flag.name}", sub.label, flag_phrases(flag)
            )
    book.clarify = questions(schema, said, words)
    return book


def lines(block, label, texts):
    """Parsed lines of (template, text) pairs."""
    out = {}
    for number, (template, text) in enumerate(texts, 1):
        frame = parse_line(text, number, block, label, {})
        out.setdefault(
            frame.id, frame if template is None else frame.__class__(**{**frame.__dict__, "template": template})
        )
    return list(out.values())


# --------------------------------------------------------------------------------------------------- words of a schema
def spaced(name):
    return re.sub(r"[-_.]+", " ", name).lower()


def safe(text):
    return SPECIAL.sub(r"\\\1", text)


def spoken(sub, schema, lexicon):
    """(verbs, nouns) of a subcommand: how one names the action and the thing it acts on."""
    known = lexicon.verbs
    name = spaced(sub.name or sub.command)
    first = name.split()[0]
    if sub.name is None:
        verbs, nouns = [name, *map(spaced, sub.command_aliases)], object_nouns(sub, schema)
    elif first not in known and sub.command in known:  # create namespace: the command is the verb
        verbs = [spaced(sub.command), *map(spaced, sub.command_aliases)]
        nouns = [name, *map(spaced, sub.aliases)]
        first = spaced(sub.command).split()[0]
    else:
        verbs, nouns = [name, *map(spaced, sub.aliases)], [spaced(sub.command), *map(spaced, sub.command_aliases)]
    verbs += [v for v in known.get(first, []) if v not in verbs]
    return list(dict.fromkeys(verbs)), list(dict.fromkeys(nouns))


def object_nouns(sub, schema):
    """What a command without subcommands acts on: a thing of this CLI that its description names, or the noun of its first
    required argument ("node" of drain), or of the context field it may come from; or nothing."""
    things = {singular(schema.cli), *(spaced(f.rpartition(".")[2]).removeprefix("current ") for f in schema.context)}
    for word in re.findall(r"[a-z]+", sub.description.lower()):
        if singular(word) in things:
            return [singular(word)]
    for arg in sub.args:
        if arg.required and arg.type != "enum" and arg.name not in GENERIC:
            return [spaced(arg.name)]
    if sub.args and sub.args[0].from_context:
        return [spaced(sub.args[0].from_context.rpartition(".")[2]).removeprefix("current ")]
    return []


# -------------------------------------------------------------------------------------------------------------- frames
def required_text(sub, words):
    """Ways to say all required arguments: texts with slots, such as "{name} to {replicas}"."""
    ways = []
    required = [a for a in sub.args if a.required]
    for k in range(4):
        parts = []
        for position, arg in enumerate(required):
            slot = f"{{{arg.name}}}"
            intros = [p.replace("{}", slot) for p in words["prepositions"].get(arg.name, [])]
            direct = arg.name in GENERIC or position == 0 or arg.type == "enum"
            choices = (
                ([slot] if direct else [])
                + intros
                + (
                    []
                    if direct and position == 0
                    else [f"{spaced(arg.name)} {slot}", f"with {spaced(arg.name)} {slot}"]
                )
            )
            parts.append(choices[k % len(choices)])
        ways.append(" ".join(parts))
    return list(dict.fromkeys(ways))


def frames(sub, verbs, nouns, owners, words):
    """The frames of one subcommand from the patterns of composing.yaml."""
    required = [a for a in sub.args if a.required]
    pointed = next((a for a in sub.args if a.from_context or a.required), None)
    sources = {
        "noun": [safe(singular(n)) for n in nouns] or [""],
        "nouns": [safe(plural(n)) for n in nouns] or [""],
        "verb": [safe(v) for v in verbs],
        "says": [safe(sub.description[:1].lower() + sub.description[1:])] if sub.description else [],
    }
    many = spaced(sub.name or sub.command).split()[0] in words["many"] or verbs[0] in words["many"]
    groups = [
        "one",
        *(["many"] if many and not required else []),
        *(["bare"] if any(owners[v] == 1 for v in verbs) else []),
    ]
    out = []

    def add(pattern, texts):
        for text in texts:
            out.append((pattern, re.sub(r"\s+", " ", text).strip()))

    for group in groups:
        for pattern in words["patterns"][group]:
            for way in required_text(sub, words):
                add(pattern, fill(pattern.replace("{args}", way) + " [*]", sources))
    for arg in required:
        others = " ".join(f"{{{a.name}}}" for a in required if a is not arg and a.type == "enum")
        for pattern in words["patterns"]["missing"]:
            left = " ".join(f"?{a.name}" for a in required if f"{{{a.name}}}" not in others)
            add(pattern, (f"{t} => {left}" for t in fill(pattern.replace("{args}", others), sources)))
    if pointed:
        rest = " ".join(f"{{{a.name}}}" for a in required if a is not pointed)
        thing = (
            [spaced(pointed.from_context.rpartition(".")[2]).removeprefix("current ")]
            if pointed.from_context
            else nouns or [spaced(pointed.name)]
        )
        for pattern in words["patterns"]["pointing"]:
            near = {**sources, "noun": [safe(singular(t)) for t in thing]}
            add(pattern, (f"{t} [*] => @{pointed.name}" for t in fill(pattern.replace("{args}", rest), near)))
    return lines(f"frames/{sub.label}", sub.label, out)


def fill(pattern, sources):
    """All texts of a pattern: <verb>, <noun>, <nouns>, <says> stand for an alternation of the schema's words."""
    for name, found in sources.items():
        if f"<{name}>" in pattern:
            if not found:
                return
            pattern = pattern.replace(f"<{name}>", f"({'|'.join(found)})" if len(found) > 1 else found[0])
    yield pattern


def optional(arg, words, schema):
    """Phrases of an optional argument, as (None, text)."""
    slot, name = f"{{{arg.name}}}", safe(spaced(arg.name))
    out = [
        f"with {name} {slot}",
        f"{name} {slot}",
        f", {name} {slot}",
        f"--{safe(arg.name)} {slot}",
        f"and {name} {slot}",
    ]
    out += [p.replace("{}", slot) for p in words["prepositions"].get(arg.name, [])]
    out += [f"{safe(n)} {slot}" for n in arg.natural_language]
    if arg.type == "enum":
        out += [f"as {slot}", f", {slot}", f"{slot} only"]
    if arg.type == "integer":
        out += [f"with {slot} {name}"]
    if arg.from_context:
        thing = safe(spaced(arg.from_context.rpartition(".")[2]).removeprefix("current "))
        out += [
            f"in this {thing} => @{arg.name}",
            f"of the current {thing} => @{arg.name}",
            f", {thing} as here => @{arg.name}",
        ]
    return [(None, t) for t in out]


def flag_phrases(flag):
    """Phrases of a flag from its name, short form, description and natural_language."""
    name = safe(spaced(flag.name))
    texts = [
        f"--{safe(flag.name)}",
        f", {name}",
        f"with {name}",
        *(safe(n) for n in flag.natural_language),
        *(f", {safe(n)}" for n in flag.natural_language),
    ]
    if flag.short:
        texts.append(f"-{safe(flag.short)}")
    if flag.description:
        clause = re.split(r"[,;.(]", flag.description)[0].strip()
        texts += [f", {safe(clause[:1].lower() + clause[1:])}", f"and {safe(clause[:1].lower() + clause[1:])}"]
    return [(None, f"{t} => +{flag.name}") for t in texts]


# ----------------------------------------------------------------------------------------------------------- questions
def questions(schema, said, words):
    """Clarify lines by category, from the general lists and from verbs and names that several subcommands share."""
    names = {spaced(n) for s in schema.subcommands for n in (s.command, s.name or s.command)} | {schema.cli}
    out = {"ambiguous_command": [], "multiple": [], "typo": []}
    for category in ("unclear", "off_topic"):
        out[category] = [(t, t) for t in words[category] if not names & set(re.findall(r"[a-z]+", t.lower()))]
    for subs in schema.commands.values():
        if subs[0].name is None or len(subs) < 2:
            continue
        targets = ", ".join(s.label for s in subs[:3])
        for alias in (subs[0].command, *subs[0].command_aliases):
            out["ambiguous_command"] += [
                (p, f"{p.replace('<noun>', safe(spaced(alias))).replace('<cli>', schema.cli)} => {targets}")
                for p in words["ambiguous"]
            ]
    takers = {}
    for label, (verbs, _) in said.items():
        for verb in verbs:
            takers.setdefault(verb, []).append(label)
    for verb, labels in takers.items():
        if len({schema.by_label[label].command for label in labels}) > 1:
            out["multiple"] += [
                (p, f"{p.replace('<verb>', safe(verb))} => {', '.join(labels[:4])}") for p in words["multiple"]
            ]
    pairs = [
        (a, b) for subs in schema.commands.values() for a, b in itertools.combinations([s for s in subs if s.name], 2)
    ]
    pairs += [(a, b) for a, b in itertools.combinations([s for s in schema.subcommands if s.name is None], 2)]
    for a, b in pairs:
        x, y = (a.name, b.name) if a.name else (a.command, b.command)
        noun = f"{a.command} " if a.name else ""
        for blend in sorted(
            {x[: len(x) // 2 + 1] + y[-(len(y) // 2) :], y[: len(y) // 2 + 1] + x[-(len(x) // 2) :]} - {x, y}
        ):
            for tail in words["typo_tails"]:
                out["typo"].append((f"{blend}", f"{safe(noun + blend)} {tail} => {a.label}, {b.label}"))
    return {category: lines(f"clarify/{category}", "", texts) for category, texts in out.items() if texts}
