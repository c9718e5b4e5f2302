"""Values that a small model tears while it copies them ("ginx" for nginx), made whole by the words of the request."""

import re
from difflib import SequenceMatcher
from itertools import product

from rows import flatten, to_say
from words import EDGES, hollow, places

ALIKE = 0.7  # similarity from which a run of words is what a torn value was meant to be; below, the model made it up
APART = 0.05  # by so much less alike must every other run be
LONGEST = 100  # characters of a value that is mended: a longer one is prose, which may be told in other words
MOST_RUNS = 300  # a text that repeats itself more than that tells nothing
LETTER = r"[0-9A-Za-z_\u00c0-\u052f]"  # of scripts that put spaces between words
VALUE = re.compile(r'"args": \{.*"[^"]+": "([^"\\]*)$', re.DOTALL)  # an answer that stops in the middle of a text value


def torn_values(answer, text, context, schema):
    """Names of the string arguments whose value is not made of whole words of the request: letters were lost or added in copying, or it
    was made up. A plural may follow ("bug" in "bugs"). "@me", a value of the schema and what the context gives for that argument are none."""
    return [
        arg.name
        for arg, value in to_say(answer, context, schema)
        if arg.type in ("string", "path")
        and value != "@me"
        and not re.search(rf"(?<!{LETTER}){re.escape(value)}(?:e?s)?(?!{LETTER})", text)
    ]


def mended(answer, text, context, schema):
    """(an answer with the values made whole that were torn, how much they are like what the model wrote: 1 where nothing was to mend).

    A value stays where the model made it up: where it is like nothing in the request, nor like what the context gives for its argument;
    or like words that another argument has already, or that only name what it would be a value of ("the release")."""
    args, likeness = dict(answer.get("args", ())), 1.0
    for name in torn_values(answer, text, context, schema):
        sub = schema.by_key[answer["command"], answer["subcommand"]]
        given = flatten(context).get(sub.arg[name].from_context) if sub.arg[name].from_context else None
        taken = set().union(*places({k: v for k, v in args.items() if k != name}, text).values())
        found = closest(args[name], text, given if isinstance(given, str) else None, taken)
        if found and not hollow(found[0], sub, schema, text):
            args[name], like = found
            likeness *= like
    return ({**answer, "args": args} if args else answer), likeness


def closest(value, text, given=None, taken=frozenset()):
    """(what a value is most like, similarity from 0 to 1), or None where nothing is alike or two things are about equally so.

    That is a run of whole words of a text, none of whose places is taken, or what the context gives. Where digits differ, it is no more
    like than it must be: versions and numbers are others then, however long they are."""
    if len(value) > LONGEST:
        return None
    matcher, found = SequenceMatcher(None, "", value.lower(), autojunk=False), []
    copies = [(text[a:b], a, b) for a, b in runs(value, text) if taken.isdisjoint(range(a, b))]
    for copy, start, end in [*copies, *([(given, -1, -1)] if given else [])]:
        matcher.set_seq1(copy.lower())
        if min(matcher.real_quick_ratio(), matcher.quick_ratio()) >= ALIKE and matcher.ratio() >= ALIKE:
            found.append((matcher.ratio(), copy, start, end))
    if not found:
        return None
    like, copy, start, end = max(found, key=lambda f: f[0])
    others = [ratio for ratio, other, a, b in found if other != copy and (b <= start or a >= end)]
    if like - max(others, default=0) < APART or not copy.isprintable():
        return None
    return copy, like if re.findall(r"\d+", value) == re.findall(r"\d+", copy) else min(like, ALIKE)


def runs(value, text):
    """[(start, end)] of the runs of words in a text that a value may be torn from: of one or two words, those with one more or less; of more,
    those that begin and end alike. Marks at their ends belong to them where the value has them too."""
    left, right = EDGES.replace(value[:1] or " ", ""), EDGES.replace(value[-1:] or " ", "")
    words = []  # (places where a run may begin, places where one may end) of each word
    for m in re.finditer(r"\S+", text):
        word, at, end = m[0], m.start(), m.end()
        starts = [at + len(word) - len(word.lstrip(left)), *(at + k + 1 for k, c in enumerate(word) if c in "=:")]
        ends = [at + len(word.rstrip(right)), *([at + len(word) - 2] if re.search(r"\w['’]s$", word) else [])]
        words.append(([s for s in starts if s < end], [e for e in ends if e > at]))
    own = value.split()
    if len(own) > 2:
        first, last = (
            [
                i
                for i, (starts, ends) in enumerate(words)
                if any(alike(text[s:e], own[k]) for s, e in product(starts, ends))
            ]
            for k in (0, -1)
        )
        spans = [(i, j) for i in first for j in last if 0 <= j - i < 2 * len(own)]
        spans = spans if len(spans) <= MOST_RUNS else []
    else:
        spans = [
            (i, j)
            for i in range(len(words))
            for j in range(max(i, i + len(own) - 2), min(i + len(own) + 1, len(words)))
        ]
    return [(s, e) for i, j in spans for s in words[i][0] for e in words[j][1] if s < e]


def alike(one, other):
    return SequenceMatcher(None, one.lower(), other.lower(), autojunk=False).ratio() >= ALIKE


def promising(written, text, context, schema):
    """Whether the text value in the middle of which an answer stops, if it does, may become one that the request, the context or the
    schema has, in whatever case."""
    found = VALUE.search(written)
    if not found:
        return True
    begun, line = " ".join(found[1].lower().split()), " ".join(text.lower().split())
    values = [v for sub in schema.subcommands for arg in sub.args for v in (*getattr(arg, "values", ()), arg.default)]
    known = ["@me", *values, *flatten(context).values()]
    return bool(re.search(rf"(?<!{LETTER}){re.escape(begun)}", line)) or any(
        isinstance(v, str) and v.lower().startswith(begun) for v in known
    )
