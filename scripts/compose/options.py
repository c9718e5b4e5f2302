"""Phrases of optional arguments and flags for a CLI without a phrasebook, from their names, types and descriptions.
Imports no torch."""

import re

from lexicon import plural, singular

from compose.arguments import head
from compose.words import gerund, leaf, safe, spaced

UNITS = ("milliseconds", "seconds", "minutes", "hours", "days")
LITTLE = "in on from to for with without at as by after before until only also even every each of including".split()


def phrases(r, schema, lexicon, words):
    """{option name: phrases} of a subcommand; phrases that exclude each other share a list."""
    out, sub = {}, r.sub
    for arg in sub.args:
        if not arg.required and arg is not r.target and arg is not r.kind:
            out[arg.name] = list(dict.fromkeys(argument(arg, sub, lexicon, words)))
    shared = {}  # "interactive" may stand for two flags at once
    for flag in sub.flags:
        for said in flag.natural_language:
            shared.setdefault(said, []).append(flag.name)
    polite = {w for text in lexicon.wording["after"] for w in re.split(r"[()|]", text)}
    for flag in sub.flags:
        found = []
        for text in dict.fromkeys(flag_texts(flag, lexicon)):
            if text.strip(" ,") not in polite:  # "now" at the end is politeness
                found.append(f"{text} => +{flag.name}")
        for said in flag.natural_language:
            effects = " ".join(f"+{name}" for name in shared[said])
            found += [f"{safe(said)} => {effects}", f", {safe(said)} => {effects}"]
            shorts = [sub.flag[name].short for name in shared[said]]
            if len(shorts) > 1 and all(shorts):
                found.append(f"-{safe(''.join(shorts))} => {effects}")
        out[rival(flag, sub) or f"+{flag.name}"] = [*out.get(rival(flag, sub), []), *found]
    return {name: list(filter(None, (honest(phrase, r) for phrase in texts))) for name, texts in out.items()}


def honest(phrase, r):
    """A phrase without what says a flag that it does not set; "" where nothing is left."""
    text, arrow, effects = phrase.partition(" => ")
    text = r.honest(text, effects)
    return text and f"{text}{arrow}{effects}"


def rival(flag, sub):
    """The optional argument that a flag excludes: all-namespaces and namespace."""
    if not re.match(r"(all|every|any)[-_]", flag.name):
        return None
    word = singular(spaced(flag.name).partition(" ")[2])
    return next((a.name for a in sub.args if spaced(a.name) == word and not a.required), None)


def prepositions(arg, words):
    """Texts with {} for an argument, by its name or, where no other argument is called so, by its description's noun."""
    known = words["prepositions"]
    if arg.name in known:
        return known[arg.name]
    noun = head(arg, words)
    return known.get(arg.name.replace("-", "_")) or (known.get(noun, []) if noun and arg.type != "integer" else [])


def argument(arg, sub, lexicon, words):
    slot, name = f"{{{arg.name}}}", safe(spaced(arg.name))
    others = {a.name for a in sub.args} - {arg.name}
    known = [] if head(arg, words) in others else prepositions(arg, words)
    known = known or words["prepositions"].get(arg.name, [])
    if arg.examples and all("=" in str(e) for e in arg.examples):  # "in DEBUG=1" is no place
        known = [p for p in known if p.startswith(("with ", "where ", "that ", "matching ", "-"))] or ["with {}"]
    unit = (re.findall(r"[a-z]+", arg.description.lower()) or [""])[0]
    if unit in UNITS:
        known = [p for p in known if unit in p or p.startswith(name)]  # "at {}" is a time of day
    out = [p.replace("{}", slot) for p in known]
    out += [f"{safe(n)} {slot}" for n in arg.natural_language]
    if arg.type == "enum" and arg.name in words["kinds"]:
        return [*out, f"in {slot}", f"in my {slot}", f", {slot} only", f", only {slot}", f"among the {slot}"]
    if not known:
        out += [f"with {name} {slot}", f", {name} {slot}"]
        out += [f"as {slot}", f", {slot}"] if arg.type == "enum" else []
    out += [f"{name} {slot}", f"--{safe(arg.name.replace('_', '-'))} {slot}"]
    clause = safe(re.split(r"[,;.(]", arg.description)[0].strip())
    m = re.search(r"\b(this many|this)\b( now)?$", clause)
    if m:  # "Only lines younger than this"
        clause = clause[:1].lower() + clause[1:]
        out += [f"{clause[: m.start()]}{slot}{m.group(2) or ''}", f", {clause[: m.start()]}{slot}{m.group(2) or ''}"]
    if arg.type == "integer" and unit in UNITS:
        out += [f"with {slot} {unit}", f", {slot} {unit}", f"{slot} {unit} {name.split()[0]}"]
    if arg.type == "integer" and not known and unit not in UNITS:
        out += [f"with {slot} {plural(name)}" if " " not in name else f"with {name} {slot}"]
    if arg.from_context:
        thing = safe(leaf(arg.from_context))
        place = "in" if arg.name in words["places"] else "for"
        at = f"@{arg.name}"
        if any(p.startswith("in ") for p in known) or place == "in":
            things = [thing, *map(safe, lexicon.things.get(thing, []))]
            for word in things[:2]:
                out += [f"{t} => {at}" for t in (f"in this {word}", f"in the current {word}", f"in my {word}")]
                out += [f"{t} => {at}" for t in (f", this {word}", f"in the {word} (i'm in|i am in|i'm on)")]
            out += [f"{t} => {at}" for t in ("here", "in here", ", here")]
        else:
            out += [f"{t} => {at}" for t in (f"for this {thing}", f"for the current {thing}", f", {thing} as here")]
    return out


def flag_texts(flag, lexicon):
    """Phrases of a flag, without those of natural_language: by its name, its description, the lexicon."""
    name = spaced(flag.name)
    first, _, rest = name.partition(" ")
    out = list(lexicon.flags.get(flag.name, []))
    if first in ("no", "without", "skip") and rest:
        out += [f"without {safe(rest)}", f"without the {safe(rest)}", f", no {safe(rest)}"]
    elif first == "all" and rest:
        out += [f"for {safe(name)}", f", {safe(name)}", f"of {safe(name)}"]
    elif first in lexicon.first_words and rest:
        out += [f"and {safe(name)}", f", {safe(gerund(name))}", f"and {safe(first)} the {safe(rest)}"]
    elif flag.name not in lexicon.flags:
        out += [f", {safe(name)}", f"with {safe(name)}" if plural(name) == name or " " in name else safe(name)]
    out += [f"--{safe(flag.name)}", *([f"-{safe(flag.short)}"] if flag.short else [])]
    return [*out, *clauses(flag.description, lexicon)]


def clauses(description, lexicon):
    """A description's first clause behind a request: "Do not wait for a stop" -> ", don't wait for a stop"."""
    clause = re.split(r"[,;.(:]", description)[0].strip()
    if not clause:
        return []
    clause = safe(clause if clause[1:2].isupper() else clause[:1].lower() + clause[1:])
    first, _, rest = clause.partition(" ")
    if re.match(r"(do not|don't|never) ", clause):
        rest = re.sub(r"^(do not|don't|never) ", "", clause)
        return [f", don't {rest}", f"and don't {rest}", f"without {gerund(rest)}", f", do not {rest}"]
    if first in ("every", "each", "all"):
        return [f"for {clause}", f", {clause}"]
    if first in LITTLE:
        return [clause, f", {clause}"]
    if first in lexicon.first_words:
        return [f"and {clause}", f", {clause}", f", {gerund(clause)}"]
    return [f", {clause}"]
