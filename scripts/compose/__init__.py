"""Frames for a CLI without a phrasebook, composed from its schema and schemas/lexicon/: names, aliases, descriptions, values.

Every frame is a line of the phrasebook's own notation, so the teacher expands it like a written one. A frame's `template` is the
pattern it came from: the split keeps all frames of one pattern on one side.

arguments.py and reading.py say what the schema's words mean, speech.py names the parts of a sentence, frames.py makes the sentences of a
subcommand (descriptions.py, missing.py and by_flag.py theirs), options.py the phrases of optional arguments and flags, questions.py the
questions back. Imports no torch.
"""

import re
from dataclasses import replace

from notation import parse_text
from phrasebook import Phrasebook, parse_line
from utils import SCHEMAS, load_yaml

from compose import options, questions
from compose.arguments import kind_text, names_of
from compose.frames import Frames
from compose.reading import claims, read, settle
from compose.words import safe


def phrasebook(schema, lexicon):
    words = load_yaml(SCHEMAS / "lexicon" / "composing.yaml")
    book = Phrasebook({}, {}, {}, {})
    readings = [read(sub, schema, lexicon, words) for sub in schema.subcommands]
    meant = claims(readings)
    settle(readings, words["needy"])
    # the CLI's own verbs may begin a request, too; "log" does not where it is a thing to read
    lexicon.first_words -= {x.split()[0] for r in readings for x in r.attrs}
    lexicon.first_words |= {v.split()[0] for r in readings for v in r.verbs}
    for r in readings:
        label = r.sub.label
        book.frames[label] = lines(f"frames/{label}", label, Frames(r, schema, lexicon, words).all())
        for name, phrases in options.phrases(r, schema, lexicon, words).items():
            book.options[label, name] = lines(f"options/{label}.{name}", label, [(None, p) for p in phrases])
        for arg in r.sub.args:
            book.values |= values(arg, r, lexicon, words)
    asked = questions.questions(schema, readings, meant, lexicon, words)
    book.clarify = {c: lines(f"clarify/{c}", "", found) for c, found in asked.items() if found}
    return book


def lines(block, label, texts):
    """Parsed lines of (template, text) pairs, without repetitions."""
    out = {}
    for number, (template, text) in enumerate(texts, 1):
        frame = parse_line(re.sub(r"\s+", " ", text).strip(), number, block, label, {})
        out.setdefault(frame.id, frame if template is None else replace(frame, template=template))
    return list(out.values())


def values(arg, r, lexicon, words):
    """{"<label>.<arg>": how its values are said}, where the argument's own name and type would not tell."""
    key = f"{r.sub.label}.{arg.name}"
    if arg is r.kind:
        texts = kind_text(arg, lexicon, many=r.style == "many")
        return {key: {value: parse_text(text, {}) for value, text in texts.items()}}
    if arg.type == "enum":
        known = {v: lexicon.values[v] for v in arg.values if v in lexicon.values}
        return (
            {key: {v: parse_text(f"({'|'.join(map(safe, said))})", {}) for v, said in known.items()}} if known else {}
        )
    kind = lexicon.shape(arg.examples)
    vague = arg.name in (*words["generic"], *words["roles"])
    if kind is None and vague and arg.type in ("string", "path"):
        found = [lexicon.guess(n, "string") for n in names_of(arg, words, with_source=not r.kind)]
        kind = next((k for k in found if k != "word"), None)
    return {key: kind} if kind else {}
