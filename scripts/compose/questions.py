"""Questions back for a CLI without a phrasebook, from the words that several of its subcommands share. Imports no torch."""

import itertools
import re
from difflib import SequenceMatcher

from lexicon import singular
from utils import SCHEMAS, load_yaml

from compose.words import safe, spaced

NEAR = 0.6  # likeness of a garbled word to both of the names it may stand for


def questions(schema, readings, meant, lexicon, words):
    """{category: [(template, line)]}; meant: verb -> labels that it may stand for."""
    asides = load_yaml(SCHEMAS / "lexicon" / "asides.yaml")
    found = {
        "ambiguous_command": list(ambiguous(schema, readings, lexicon, words)),
        "multiple": list(multiple(schema, readings, meant, words)),
        "typo": list(typos(schema, readings, lexicon, words)),
        "pronoun": list(unresolved(readings)),
    }
    own = own_words(schema, readings, lexicon)
    spoken_of = own | {singular(w) for w in re.findall(r"[a-z]+", schema.description.lower())}
    plain = lambda text: set(re.findall(r"[a-z]+", text.lower()))  # noqa: E731
    found["unclear"] = [(t, t) for t in asides["unclear"] if not own & plain(t)]
    found["off_topic"] = [
        (t, t)
        for tools, texts in asides["off_topic"].items()
        if not spoken_of & set(tools.split())
        for t in texts
        if not own & ({singular(w) for w in plain(t)} | plain(t))
    ]
    return found


def own_words(schema, readings, lexicon):
    """Names and nouns of this CLI, without verbs that every tool has."""
    common = {*lexicon.verbs, *lexicon.first_words, *"in on to up of the a all new name file".split()}
    out = {schema.cli}
    for r in readings:
        out |= {spaced(n) for n in (r.sub.command, r.sub.name or "") if n}
        out |= {*r.nouns, *r.group, *r.kind_words}
    return {w for phrase in out for w in phrase.split() if w not in common or w == schema.cli}


def ambiguous(schema, readings, lexicon, words):
    """A command word alone, or a noun that many subcommands act on."""
    alone = {}
    for r in readings:
        if r.group:
            for alias in (r.sub.command, *r.sub.command_aliases):
                alone.setdefault(spaced(alias), []).append(r.sub.label)
        for noun in (*r.nouns, *r.kind_words):
            alone.setdefault(noun, []).append(r.sub.label)
    nouns = {n for r in readings for n in r.nouns}
    complete = {w for r in readings if not r.group or r.style == "attr" for w in (*r.verbs, *r.attrs)}
    for noun, labels in alone.items():
        labels = list(dict.fromkeys(labels))
        if len(labels) < 2 or noun in complete:
            continue
        # nouns of many kinds: a few patterns each, so that no kind of thing takes all of the questions
        texts = words["ambiguous"] if noun in schema.commands else words["ambiguous"][:: 1 + len(alone) // 12]
        if noun in lexicon.first_words and noun not in nouns:  # "create", but not "the create thing"
            texts = [t for t in texts if t.startswith(("<noun>", "<cli>")) and "things" not in t]
        for text in texts:
            line = text.replace("<noun>", safe(noun)).replace("<cli>", safe(schema.cli))
            yield text, f"{line} => {', '.join(labels[:3])}"


def multiple(schema, readings, meant, words):
    """A verb that means several subcommands, or a thing of which nothing is asked."""
    by_label = {r.sub.label: r for r in readings}
    for verb, labels in meant.items():
        labels = list(dict.fromkeys(labels))
        if len(labels) > 1 and not any(by_label[x].style in ("many", "write", "seek") for x in labels):
            for text in words["multiple"]:
                if verb in words["terse"] and not text.startswith("<verb>"):
                    continue
                yield text, f"{text.replace('<verb>', safe(verb))} => {', '.join(labels[:4])}"
    things = {}
    for r in readings:
        if r.target and r.style in ("act", "attr", "many"):
            for noun in r.kind_words or r.nouns[:2]:
                things.setdefault(noun, []).append((r.sub.label, r.target.type))
    own = {v for r in readings for v in (*r.verbs, *r.attrs, spaced(r.sub.command))}
    for noun, takers in things.items():
        if len(takers) > 1 and noun not in own:
            value = "{ref}" if all(t in ("integer", "float") for _, t in takers) else "{name}"
            for text in words["object"]:
                line = text.replace("<noun>", safe(noun)).replace("{name}", value)
                yield text, f"{line} => {', '.join(label for label, _ in takers[:4])}"


def typos(schema, readings, lexicon, words):
    """A garbled word that is as near to one name as to another."""
    groups = [[r for r in readings if r.sub.command == c and r.sub.name] for c in schema.commands]
    groups.append([r for r in readings if r.sub.name is None])
    known = {w for r in readings for v in (*r.verbs, *r.attrs, *r.nouns, spaced(r.words)) for w in v.split()}
    known |= lexicon.first_words
    for x, y in (pair for group in groups for pair in itertools.combinations(group, 2)):
        nouns = [n for n in x.nouns if n in y.nouns] or ["one"]
        for blend in blends(x.sub.name or x.sub.command, y.sub.name or y.sub.command, known):
            front = f"{spaced(x.sub.command)} " if x.sub.name else ""
            for tail in words["typo_tails"]:
                if "<noun>" in tail and nouns == ["one"]:
                    continue
                line = f"{safe(front + blend)} {tail.replace('<noun>', safe(nouns[0]))}"
                yield blend, f"{line} => {x.sub.label}, {y.sub.label}"


def blends(x, y, known):
    """Up to three words of a part of x and a part of y that are like both."""
    found = {}
    for i in range(1, len(x)):
        for j in range(1, len(y)):
            for word in (x[:i] + y[j:], y[:j] + x[i:]):
                likeness = sorted(SequenceMatcher(None, word, n).ratio() for n in (x, y))
                near = likeness[0] >= NEAR and likeness[1] - likeness[0] < 0.12 and likeness[1] < 1
                if near and word not in known and abs(len(word) - (len(x) + len(y)) / 2) <= 2:
                    found[word] = likeness[0]
    return sorted(found, key=lambda w: (-found[w], w))[:3]


def unresolved(readings):
    """A pointing word for a kind of thing that the argument's context field does not hold: "describe this service"."""
    for r in readings:
        if not (r.kind and r.thing):
            continue
        verbs = [v for v in (*r.verbs, *r.synonyms) if v in r.alone][:4] or r.verbs[:2]
        for noun in r.kind_words:
            if noun != r.thing:
                text = f"({'|'.join(map(safe, verbs or [r.words]))}) (this|that) {safe(noun)}"
                yield f"this {r.sub.label} {len(noun) % 4}", f"{text} => {r.sub.label}"
