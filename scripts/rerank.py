"""Which reading of a request the words speak for, beside the model: options they name, values that an answer takes up or leaves.

A small model drops what it was told: "label auth, milestone Q3" becomes a label. It mostly knows of the other reading and finds it
a little less likely. So the model's probabilities are weighed with what can be seen in the words, by the schema alone: n-best
rescoring with a log-linear likelihood. A destructive flag, and the name of a destructive subcommand, are not counted: the model
must be convinced of those by itself.
"""

import math
import re

from rows import flatten, given, said
from words import COMMON, POINTING, hear, hollow, names, nouns, places, slip, tells, vocabulary

# In nats. Fitted by benchmarks/rerank.py to the requests for gh and kubectl beside it.
WEIGHTS = {
    "asks": 1.08,  # the answer is a question
    "command": 1.15,  # the words name its command, by the name or an alias
    "subcommand": 1.48,  # or its subcommand, unless that is destructive
    "named": 1.46,  # for each option (argument, or flag that is not destructive) of the answer that the words name
    "taken": 0.56,  # for each argument whose value stands in the words
    "pointed": 1.54,  # it has a value of the context, and the words have a "this" that may stand for it
    "unsaid": 0.79,  # for each option of which neither is true, nor do the words refuse it; as many as there are words left to explain
    "overlooked": -0.64,  # for each option that the words name and the answer lacks, or has with another value
    "ambiguous": -2.6,  # its number could as well be another command's: "close 12", where issues and pull requests have numbers; see compared()
    "hollow": -1.95,  # for each value that is but words for what it would be a value of: "this branch", "the failed ones"
    "unused": -0.9,  # for each word that looks like a value and is in none; three at most
}
MOST_UNUSED = 3
TOLD = 2  # words that a destructive flag of the answer explains where they do not say it: "nuke the branch"


def features(answer, text, context, schema):
    """{name of a weight: how often} of an answer to a request with a context (dict or None)."""
    found = dict.fromkeys(WEIGHTS, 0)
    if answer["type"] != "command":
        return {**found, "asks": 1}
    sub = schema.by_key[answer["command"], answer["subcommand"]]
    command, subcommand, options = names(sub)
    where, words, loose, refused, _ = hear(answer["args"], text)
    known = vocabulary(sub)
    for option, stem, values in options:
        if option in sub.args:
            weigh_argument(found, answer["args"].get(option.name), option, stem, values, words, text, where)
        elif not option.destructive:
            named = bool(stem & words)
            carried = option.name in answer["flags"]
            found["named"] += named and carried
            found["unsaid"] += carried and not named and not stem & refused
            found["overlooked"] += named and not carried
    said_values = [answer["args"][n] for n in where if sub.arg[n].type in ("string", "path")]
    found["hollow"] = sum(hollow(value, sub, schema, text) for value in said_values)
    flat = flatten(context)
    pointed = any(n not in where and given(sub.arg[n], value, flat) for n, value in answer["args"].items())
    found["pointed"] = int(pointed and bool(POINTING.search(text)))
    told = TOLD * sum(not tells(sub.flag[f], words) for f in answer["flags"] if sub.flag[f].destructive)
    found["unsaid"] = min(found["unsaid"], max(0, len(words - known - COMMON) - told))
    found["ambiguous"] = int(ambiguous(answer, sub, where, words, text, schema))
    found["command"] = int(bool(command & words))
    found["subcommand"] = int(bool(subcommand & words) and not sub.destructive)
    found["unused"] = min(MOST_UNUSED, sum(not word & known for word in loose))
    return found


def compared(answers, text, context, schema):
    """features() of all readings of a request. Where one has a number that could be another's, a command that the words do not name and that
    does without that number, or takes it for a limit, is no better."""
    found = [features(answer, text, context, schema) for answer in answers]
    if any(f["ambiguous"] for f in found):
        for answer, f in zip(answers, found, strict=True):
            free = answer["type"] != "command" or f["command"] or identified(answer, text, schema)
            f["ambiguous"] = int(f["ambiguous"] or not free)
    return found


def weigh_argument(found, value, arg, stem, values, words, text, where):
    """Count what the words say for an argument of an answer (value None: it has none)."""
    others = any(s & words for v, s in values.items() if v != value)
    if value is None:
        found["overlooked"] += bool(stem & words) or others
        return
    taken = arg.name in where or (value == "@me" and said(value, text))
    named = bool((stem | values.get(value, frozenset())) & words) or (taken and bool(values))
    found["named"] += named
    found["taken"] += taken and not values
    found["unsaid"] += not (named or taken)
    found["overlooked"] += others


def takes_number(arg):
    """Whether it is a whole number that an argument tells things apart by: an issue's, a run's."""
    by_name = re.search(r"(^|_)(id|no|num|number)$", arg.name)
    return (arg.positional or arg.required) and (
        arg.type == "integer" or (arg.type == "string" and bool(by_name or any(str(e).isdigit() for e in arg.examples)))
    )


def needs_only(arg, sub):
    """Whether a subcommand can be run with this argument and what the context gives."""
    return not any(a.required and not a.from_context and a != arg for a in sub.args)


def identified(answer, text, schema):
    """Whether a command has a number from the words that tells things apart."""
    sub = schema.by_key[answer["command"], answer["subcommand"]]
    where = places(answer["args"], text)
    return any(str(answer["args"][n]).isdigit() and takes_number(sub.arg[n]) for n in where)


def ambiguous(answer, sub, where, words, text, schema):
    """Whether the words give a command nothing but a number to tell what is meant, and no noun that says what has it, while another command
    has a subcommand that the same words say, options included, and for which such a number will do. Where they say none, one of the same name.

    where, words: see words.Heard."""
    told = [n for n in where if sub.arg[n].positional or sub.arg[n].required]
    command, subcommand, options = names(sub)
    if not sub.name or command & words or len(told) != 1:
        return False
    arg = sub.arg[told[0]]
    if not str(answer["args"][arg.name]).isdigit() or not takes_number(arg):
        return False
    verbs, own = subcommand & words, words & next(stem for option, stem, _ in options if option == arg)
    named = words & frozenset().union(*(stem.union(*values.values()) for _, stem, values in options))
    if not any(
        other.command != sub.command
        and other.name
        and (verbs <= names(other)[1] if verbs else other.name == sub.name)
        and named <= vocabulary(other)
        and any(
            takes_number(a) and needs_only(a, other) and own <= stem
            for a, stem, _ in names(other)[2]
            if a in other.args
        )
        for other in schema.by_key.values()
    ):
        return False
    return not any(slip(word, noun) for word in words for noun in nouns(sub))


def weigh(prior, found, weights):
    """The probability that each answer is what was meant; prior: the model's own, of each; found: compared(); weights: see WEIGHTS."""
    return posterior(prior, [sum(weights.get(k, 0.0) * n for k, n in f.items()) for f in found])


def posterior(prior, scores):
    """The probabilities of readings in the light of their scores (nats).

    What the prior lacks to 1 belongs to readings nobody followed, which are taken to fit the words as well as the best of these."""
    weighed = [p * math.exp(s - max(scores)) for p, s in zip(prior, scores, strict=True)]
    total = sum(weighed) + max(0.0, 1 - sum(prior))
    return [w / total if total else 0.0 for w in weighed]
