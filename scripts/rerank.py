"""Which reading of a request the words speak for, beside the model: options they name, values that nobody took up.

A small model drops what it was told: "label auth, milestone Q3" becomes a label. It mostly knows of the other reading and finds it
a little less likely, as if all readings were rare. So the model's probabilities are weighed with what can be seen in the words, by
the schema alone: n-best reranking, Bayes' rule with a log-linear likelihood.
"""

import functools
import math
import re

from rows import spell

# In nats. Fitted by benchmarks/rerank.py, which says on what.
WEIGHTS = {
    "asks": 1.21,  # the answer is a question
    "command": 1.41,  # the words name its command, by the name or an alias
    "subcommand": 0.99,  # or its subcommand
    "named": 1.46,  # for each argument or flag of the answer that the words name
    "unnamed": 0.35,  # for each other one
    "overlooked": -0.77,  # for each that the words name and the answer lacks
    "unused": -1.44,  # for each word that looks like a value and is in none
}
VALUE = re.compile(
    r"\"[^\"]+\"|'[^']+'|\S*[\d/_@#]\S*|\S+[-.]\S+"
)  # quoted, a number, a path, a name with a mark in it
COMMON = frozenset(
    "the and for with this that only not all any from into when its use one are has have been per out can may".split()
)


def stems(text):
    """Words without their endings, lower case: "merged pull requests" -> ["merg", "pull", "request"]."""
    return [re.sub(r"(ing|ed|es|s|e)$", "", w.lower()) for w in re.findall(r"[^\W\d_]+", text)]


@functools.cache
def names(sub):
    """What names a subcommand, as sets of stems: its command, itself, and {argument or flag: its name, values and natural_language}.

    Words of the command name no option."""

    def of(*texts):
        return set(stems(" ".join(t.replace("_", " ") for t in texts)))

    options = {}
    for option in (*sub.args, *sub.flags):
        known = of(option.name, *map(str, getattr(option, "values", ())), *option.natural_language)
        options[option.name] = {s for s in known - of(sub.label) - COMMON if len(s) > 2}
    command = of(sub.command, *sub.command_aliases) if sub.name else set()
    return command, of(sub.name or sub.command, *sub.aliases), options


def features(answer, text, schema):
    """{name of a weight: how often} of an answer to a request."""
    found = dict.fromkeys(WEIGHTS, 0)
    if answer["type"] != "command":
        return {**found, "asks": 1}
    command, subcommand, options = names(schema.by_key[answer["command"], answer["subcommand"]])
    inside = places(answer["args"].values(), text)
    rest = "".join(" " if i in inside else c for i, c in enumerate(text))
    words, plain = set(stems(rest)), set(stems(VALUE.sub(" ", rest)))
    found["command"], found["subcommand"] = int(bool(command & words)), int(bool(subcommand & words))
    for option, names_it in options.items():
        named = bool(names_it & plain)
        if option in answer["args"] or option in answer["flags"]:
            found["named" if named else "unnamed"] += 1
        elif named:
            found["overlooked"] += 1
    found["unused"] = sum(inside.isdisjoint(range(*m.span())) for m in VALUE.finditer(text))
    return found


def places(values, text):
    """Positions of the letters of a text that say these values: the longest first, each once, numbers in digits or words."""
    taken = set()
    for value in sorted(values, key=lambda v: -len(str(v))):
        word = spell(value) if type(value) is int and 0 <= value < 100 else None
        forms = [str(value), *([word, word.replace("-", " ")] if word else [])]
        found = (range(*m.span()) for f in forms if f for m in re.finditer(rf"(?<!\w){re.escape(f)}(?!\w)", text, re.I))
        taken.update(next((place for place in found if taken.isdisjoint(place)), ()))
    return taken


def weigh(prior, answers, text, schema):
    """The probability that each of these answers is what was meant; prior: the model's own, of each.

    What the prior lacks to 1 belongs to readings nobody followed, which are taken to fit the words as the first answer does."""
    support = [sum(WEIGHTS[k] * n for k, n in features(a, text, schema).items()) for a in answers]
    weighed = [p * math.exp(s - support[0]) for p, s in zip(prior, support, strict=True)]
    total = sum(weighed) + max(0.0, 1 - sum(prior))
    return [w / total for w in weighed]
