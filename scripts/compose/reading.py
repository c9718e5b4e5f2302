"""What a schema's words mean: which are verbs, what is acted on and what that is called, and what the subcommands own between them.
frames.py makes sentences of it. Imports no torch.
"""

import functools
import re
from dataclasses import dataclass, field

from cli import Arg, Subcommand
from lexicon import plural, singular

from compose.arguments import find_kind, find_target, head
from compose.words import leaf, spaced, unsaid

WORD = re.compile(r"(?!(?:the|and|for|with|from|this|that)$)[a-z]{3,}")  # that may say a flag
PREPOSITIONS = tuple("in to at on into from for of with".split())


@dataclass
class Reading:
    """One subcommand. verbs: its own, in bare form; synonyms: of the lexicon; attrs: what is read ("logs"); asks: whole questions."""

    sub: Subcommand
    verbs: list = field(default_factory=list)
    synonyms: list = field(default_factory=list)
    attrs: list = field(default_factory=list)
    asks: list = field(default_factory=list)
    object_verbs: list = field(default_factory=list)  # "get" of get-contexts: a verb only with its noun
    nouns: list = field(default_factory=list)  # singular words for what it acts on
    group: list = field(default_factory=list)  # its command's words, where it is a subcommand
    base: str = ""  # the word that its style follows from
    kind: Arg | None = None  # the enum that says which kind of thing
    target: Arg | None = None  # the argument that says which one
    rest: list = field(default_factory=list)  # the other required arguments
    style: str = "act"  # act, attr, create, write, seek, many
    alone: set = field(default_factory=set)  # verbs and attrs that mean this subcommand without a noun
    lists: set = field(default_factory=set)  # nouns that no other subcommand lists
    others: set = field(default_factory=set)  # verbs of the other subcommands

    @property
    def thing(self):
        """The word for what the target's context field holds ("pod" of kube.current_pod), or None."""
        source = self.target.from_context if self.target else None
        return leaf(source) if source else None

    @property
    def value_of_thing(self):
        """The kind's value that names that thing, or None."""
        values = self.kind.values if self.kind else ()
        return next((v for v in values if singular(spaced(v)) == self.thing), None)

    @property
    def kind_words(self):
        """The kind's values as singular nouns."""
        return [singular(spaced(v)) for v in (self.kind.values if self.kind else ())]

    @property
    def words(self):
        return " ".join(filter(None, (self.sub.command, self.sub.name)))

    @functools.cached_property
    def flag_words(self):
        """{flag name: single words that say it}, but for those that say the subcommand or what it acts on: "follow" of logs --follow."""
        nouns = (*self.nouns, *self.group, *self.kind_words)
        own = {w for text in (self.words, *self.verbs, *self.attrs, *nouns, *map(plural, nouns)) for w in text.split()}
        said = {f.name: (spaced(f.name), *(n.lower() for n in f.natural_language)) for f in self.sub.flags}
        return {name: [w for w in dict.fromkeys(ws) if WORD.fullmatch(w) and w not in own] for name, ws in said.items()}

    def honest(self, text, effects):
        """A text of the notation without alternatives that say a flag which its effects do not set; "" where nothing is left."""
        unset = (ws for name, ws in self.flag_words.items() if f"+{name}" not in effects.split())
        return unsaid(text, [w for ws in unset for w in ws])


def kind_of_phrase(phrase, lexicon, words):
    """verb, noun, ask or unknown."""
    first = phrase.split()[0]
    if first in words["asks"]:
        return "ask"
    if phrase in words["nouns"]:
        return "noun"
    if first in lexicon.first_words or (" " in phrase and phrase.split()[-1] in (*words["particles"], *PREPOSITIONS)):
        return "verb"
    return "noun" if " " in phrase or phrase.endswith("s") else "unknown"


def spoken(names):
    """Names as they are said, without those that nobody says: `.` for `source`."""
    return [spaced(n) for n in names if re.search(r"\w", n)]


def read(sub, schema, lexicon, words):
    """The Reading of a subcommand, without what the others own."""
    name, aliases = spaced(sub.name or sub.command), spoken(sub.aliases if sub.name else sub.command_aliases)
    group = [spaced(sub.command), *spoken(sub.command_aliases)] if sub.name else []
    r = Reading(sub, group=list(dict.fromkeys(singular(g) for g in group)))
    first, verb_first = name.split()[0], False
    if sub.name and first not in lexicon.first_words and name not in words["nouns"]:
        noun = re.search(rf"\b(a|an|the|all) {spaced(sub.command)}\b", sub.description.lower())  # "Stop the schedule"
        verb_first = sub.command in lexicon.first_words and not noun and name not in words["particles"]
    phrases = group if verb_first else [p for p in (name, *aliases) if p not in words["particles"]]
    own = kind_of_phrase(name, lexicon, words) if not verb_first else "verb"
    thing = object_of(name, lexicon, words) if not verb_first else None
    for phrase in dict.fromkeys(phrases):
        kind = kind_of_phrase(phrase, lexicon, words)
        if thing and kind == "verb" and singular(phrase.split()[-1]) == thing and " " in phrase:
            r.object_verbs.append(phrase.rpartition(" ")[0])
            continue
        if kind == "unknown":
            kind = "noun" if own == "noun" else "verb"
        if own == "noun" and singular(phrase) == singular(name):
            kind = "noun"
        {"verb": r.verbs, "noun": r.attrs, "ask": r.asks}[kind].append(phrase)
    r.base = spaced(sub.command).split()[0] if verb_first else first
    act = re.match(r"[a-z]+", sub.description.lower())
    named = re.search(rf"\b(the|a|an|its) {re.escape(name)}\b(?! [a-z])", sub.description.lower())
    if r.verbs and own == "unknown" and named and act and act[0] in lexicon.verbs:  # volume: "Set the volume"
        thing, r.base, r.verbs, r.object_verbs = name, act[0], [], [act[0]]
    if not (r.verbs or r.attrs or r.asks or r.object_verbs) and act and act[0] in lexicon.verbs:
        r.object_verbs = [act[0]]  # schedule off: stop the schedule
    r.kind, r.target = find_kind(sub, words), find_target(sub, [*r.group, name, *aliases], words)
    r.rest = [x for x in sub.args if x.required and x is not r.target and x is not r.kind]
    said = [name, *aliases] if verb_first else [thing] if thing else []
    r.nouns = read_nouns(r, said, schema, lexicon, words)
    r.style = style(r, words)
    base = name if name in lexicon.verbs else r.base
    if r.verbs or r.object_verbs:
        r.synonyms = list(lexicon.verbs.get(base, []))
    r.synonyms = [v for v in r.synonyms if v not in r.verbs]
    return r


def object_of(name, lexicon, words):
    """The thing in "use context" or "get contexts"; None for "roll back"."""
    first, _, rest = name.partition(" ")
    little = {*words["particles"], "in", "to", "into", "from", "at", "with", "all", "as"}
    return singular(rest) if rest and first in lexicon.verbs and rest not in little and " " not in rest else None


def read_nouns(r, said, schema, lexicon, words):
    """Singular words for what a subcommand acts on, best first."""
    if said:
        return list(dict.fromkeys(singular(n) for n in said))
    target = r.target
    if target and target.name in words["content"]:
        named = []
    else:
        named = [h for h in ([head(target, words)] if target else []) if h]
        if target and target.name not in (*words["generic"], *words["roles"]):
            named += [singular(spaced(target.name))]
        if r.thing and not r.kind:
            named.append(r.thing)
    first = r"\w+ (?:to |on |with |from )?(?:a |an |one |the )?(?:new )?"  # "Show one release" speaks of the command's thing
    own = [g for g in r.group if re.match(rf"{first}{re.escape(g)}\b", r.sub.description.lower())]
    if named and not own and not set(named) & set(r.group):
        return [n for n in dict.fromkeys(named) if not r.kind]
    if r.group:
        return list(dict.fromkeys([*r.group[:4], *named]))
    things = {singular(schema.cli), *(leaf(f) for f in schema.context), *(singular(spaced(c)) for c in schema.commands)}
    for sub in schema.subcommands:
        things |= {n for arg in sub.args if arg.required for n in [head(arg, words)] if n}
    found = re.match(r"\w+ (?:(?:a|an|the|one|all|new|running|your|my|to|next) )*([a-z]+)", r.sub.description.lower())
    things -= {singular(spaced(r.sub.command))}
    noun = singular(found[1]) if found and not r.kind else ""
    return [noun] if noun in things and noun not in lexicon.verbs else []


def style(r, words):
    target = r.target
    if r.object_verbs and not r.verbs and target and target.required and target.name in (*words["roles"], "level"):
        return "value"
    if target and target.name in words["content"] and target.required:
        return "seek" if r.base in words["searches"] else "write"
    if r.base in words["creates"] and (target is None or target.name in words["generic"]):
        fresh = target is None or not head(target, words) or target.from_context is None
        if fresh:
            return "create"
    if not r.verbs and not r.object_verbs:
        return "attr"
    if (r.base in words["many"] or (r.verbs and r.verbs[0] in words["many"])) and not (target and target.required):
        return "many"
    return "act"


def settle(readings, needy):
    """Drop synonyms that another subcommand has for itself; fill `alone`, the verbs that need no noun, and `others`, what is not its own."""

    def scope(r):
        """What a verb is said with: nouns, kinds, or nothing; lists are asked for in the plural."""
        mark = "s" if r.style == "many" and r.target is None else ""
        return {n + mark for n in (*r.nouns, *r.group, *r.kind_words)} or {""}

    scopes = {r.sub.label: scope(r) for r in readings}
    own, weak = {}, {}
    for r in readings:
        for v in (*r.verbs, *r.attrs):
            own.setdefault(v, set()).add(r.sub.label)
        for v in r.synonyms:
            weak.setdefault(v, set()).add(r.sub.label)
    for r in readings:
        label = r.sub.label
        near = {x for x, s in scopes.items() if s & scopes[label] or "" in s or "" in scopes[label]} - {label}
        r.alone = {v for v in (*r.verbs, *r.attrs) if own[v] == {label}}
        r.alone |= {v for v in r.synonyms if v not in own and weak[v] == {label}}
        r.alone -= set() if r.rest else set(needy)
        r.others = {v for x in readings if x is not r for v in x.verbs}
        listers = [x for x in readings if x is not r and x.style == "many"]
        mine = {n.removesuffix("s") if r.style == "many" and not r.target else n for n in scopes[label]}
        r.lists = {n for n in mine if not any({n, n + "s"} & scopes[x.sub.label] for x in listers)}
        r.synonyms = [v for v in r.synonyms if not (own.get(v, set()) | weak[v]) & near]


def claims(readings):
    """verb -> labels that mean it when it stands without a noun: its owners, or else those that have it as a synonym."""
    own, weak = {}, {}
    for r in readings:
        for v in r.verbs:
            own.setdefault(v, []).append(r.sub.label)
        for v in r.synonyms:
            weak.setdefault(v, []).append(r.sub.label)
    return {**{v: labels for v, labels in weak.items() if v not in own}, **own}
