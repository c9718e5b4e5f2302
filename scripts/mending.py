"""Values that a small model tears while it copies them ("ginx" for nginx), made whole by the words of the request."""

import re
from difflib import SequenceMatcher

from rerank import EDGES
from rows import flatten

ALIKE = 0.7  # similarity from which a run of words is what a torn value was meant to be; below, the model made it up
APART = 0.05  # by so much less alike must every other run be
VALUE = re.compile(r'"args": \{.*"[^"]+": "([^"\\]*)$', re.DOTALL)  # an answer that stops in the middle of a text value


def torn_values(answer, text, context, schema):
    """Names of the string arguments whose value is not made of whole words of the request: letters were lost or added in copying, or it
    was made up. "@me", a value of the schema and what the context gives for that argument are none."""
    if answer["type"] != "command":
        return []
    sub = schema.by_key[answer["command"], answer["subcommand"]]
    known = flatten(context)
    return [
        name
        for name, value in answer["args"].items()
        if sub.arg[name].type in ("string", "path")
        and value not in ("@me", sub.arg[name].default)
        and not (sub.arg[name].from_context and known.get(sub.arg[name].from_context) == value)
        and not re.search(rf"(?<!\w){re.escape(value)}(?!\w)", text)
    ]


def mended(answer, text, context, schema):
    """(an answer with the values made whole that were torn, how much they are like what the model wrote: 1 where nothing was to mend).

    A value that is like nothing in the request, nor like what the context gives for its argument, stays: the model made it up."""
    args, alike = dict(answer.get("args", ())), 1.0
    for name in torn_values(answer, text, context, schema):
        field = schema.by_key[answer["command"], answer["subcommand"]].arg[name].from_context
        given = flatten(context).get(field) if field else None
        found = closest(args[name], text, given if isinstance(given, str) else None)
        if found:
            args[name], like = found
            alike *= like
    return ({**answer, "args": args} if args else answer), alike


def closest(value, text, given=None):
    """(what a value is most like, similarity from 0 to 1), or None where nothing is alike or two things are about equally so.

    That is a run of whole words of a text, as many as the value has, one less or one more; or what the context gives."""
    words = []
    for m in re.finditer(r"\S+", text):
        bare = m[0].strip(EDGES)
        if bare:
            start = m.start() + m[0].index(bare)
            words.append((start, start + len(bare)))
    most = len(value.split()) + 1
    runs = [(a, b) for i, (a, _) in enumerate(words) for _, b in words[max(i, i + most - 3) : i + most]]
    matcher, found = SequenceMatcher(None, "", value.lower(), autojunk=False), []
    for start, end in [*runs, *([(-1, -1)] if given else [])]:
        copy = given if start < 0 else text[start:end]
        matcher.set_seq1(copy.lower())
        if min(matcher.real_quick_ratio(), matcher.quick_ratio()) >= ALIKE and matcher.ratio() >= ALIKE:
            found.append((matcher.ratio(), copy, start, end))
    if not found:
        return None
    like, copy, start, end = max(found, key=lambda f: f[0])
    others = [ratio for ratio, other, a, b in found if other != copy and (b <= start or a >= end)]
    return (copy, like) if like - max(others, default=0) >= APART else None


def promising(written, text, context, schema):
    """Whether the text value in the middle of which an answer stops, if it does, may become one that the request, the context or the
    schema has."""
    found = VALUE.search(written)
    if not found:
        return True
    begun = found[1].lstrip()
    values = [v for sub in schema.subcommands for arg in sub.args for v in (*getattr(arg, "values", ()), arg.default)]
    known = ["@me", *values, *flatten(context).values()]
    return bool(re.search(rf"(?<!\w){re.escape(begun)}", text)) or any(
        isinstance(v, str) and v.startswith(begun) for v in known
    )
