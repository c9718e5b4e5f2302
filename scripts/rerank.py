"""Which reading of a request the words speak for, beside the model: options they name, values that an answer takes up or leaves.

A small model drops what it was told: "label auth, milestone Q3" becomes a label. It mostly knows of the other reading and finds it
a little less likely. So the model's probabilities are weighed with what can be seen in the words, by the schema alone: n-best
rescoring with a log-linear likelihood. A destructive flag, and the name of a destructive subcommand, are not counted: the model
must be convinced of those by itself.
"""

import functools
import math
import re

from rows import POINTERS, said, spell

# In nats. Fitted by benchmarks/rerank.py to the requests for gh and kubectl beside it.
WEIGHTS = {
    "asks": 0.89,  # the answer is a question
    "command": 1.07,  # the words name its command, by the name or an alias
    "subcommand": 1.46,  # or its subcommand, unless that is destructive
    "named": 1.62,  # for each option (argument, or flag that is not destructive) of the answer that the words name
    "taken": 0.45,  # for each argument whose value stands in the words
    "unsaid": 0.92,  # for each option of which neither is true, nor do the words refuse it; as many as there are words left to explain
    "overlooked": -0.53,  # for each option that the words name and the answer lacks, or has with another value
    "ambiguous": -2.67,  # its number could as well be another command's: "close 12", where issues and pull requests have numbers; see compared()
    "hollow": -1.99,  # for each value that is but words for what it would be a value of: "this branch", "the failed ones"
    "unused": -0.87,  # for each word that looks like a value and is in none; three at most
}
QUOTED = re.compile(r"(?<!\w)(?:\"[^\"]+\"|'[^']+'|“[^”]+”)(?!\w)")
EDGES = "\"'“”„‘’‚«»「」`.,;:!?()[]{}<>…"
DETERMINER = re.compile(r"(?<!\w)(this|that|these|those|current) $", re.IGNORECASE)
NO = frozenset("no not don't dont doesn't isn't never without except keep".split())
REACH = 3  # words behind such a word that name nothing
MOST_UNUSED = 3
TOLD = 2  # words that a destructive flag of the answer explains where they do not say it: "nuke the branch"


def stems(text):
    """Words without their endings, lower case: "merged pull requests" -> ["merg", "pull", "request"]."""
    return list(filter(None, (re.sub(r"(ing|ed|es|s|e)$", "", w) for w in re.findall(r"[^\W\d_]+", text.lower()))))


COMMON = frozenset(
    stems(
        "a all an and any are as at back be been by can do for from get go has have i in into is it its may me my new not now of off "
        "on one only or our out per please put see so some take that the their them then there this to two up use us when will with you"
    )
)


@functools.cache
def names(sub):
    """What names a subcommand, as sets of stems: its command, itself, and each option as (argument or flag, what names it, {value of an
    enum: what names that}). Words of the command itself name no option."""

    def of(*texts):
        return frozenset(stems(" ".join(map(str, texts)))) - COMMON

    def rest(*texts):
        return frozenset(s for s in of(*texts) - of(sub.label) if len(s) > 2)

    options = [
        (option, rest(option.name, *option.natural_language), {v: rest(v) for v in getattr(option, "values", ())})
        for option in (*sub.args, *sub.flags)
    ]
    command = of(sub.command, *sub.command_aliases) if sub.name else frozenset()
    return command, of(sub.name or sub.command, *sub.aliases), options


@functools.cache
def vocabulary(sub):
    """All stems that name something of a subcommand."""
    command, subcommand, options = names(sub)
    return command.union(subcommand, *(stem.union(*values.values()) for _, stem, values in options))


def features(answer, text, schema):
    """{name of a weight: how often} of an answer to a request."""
    found = dict.fromkeys(WEIGHTS, 0)
    if answer["type"] != "command":
        return {**found, "asks": 1}
    sub = schema.by_key[answer["command"], answer["subcommand"]]
    command, subcommand, options = names(sub)
    where = places(answer["args"], text)
    words, loose, refused = read(text, set().union(*where.values()))
    known = vocabulary(sub)
    for option, stem, values in options:
        if option in sub.args:
            weigh_argument(found, answer["args"].get(option.name), option, stem, values, words, text, where)
        elif not option.destructive:
            named = bool(stem & words)
            given = option.name in answer["flags"]
            found["named"] += named and given
            found["unsaid"] += given and not named and not stem & refused
            found["overlooked"] += named and not given
    said_values = [answer["args"][n] for n in where if sub.arg[n].type in ("string", "path")]
    found["hollow"] = sum(hollow(value, known, text) for value in said_values)
    told = TOLD * sum(not tells(sub.flag[f], words) for f in answer["flags"] if sub.flag[f].destructive)
    found["unsaid"] = min(found["unsaid"], max(0, len(words - known - COMMON) - told))
    found["ambiguous"] = int(ambiguous(answer, sub, where, words, text, schema))
    found["command"] = int(bool(command & words))
    found["subcommand"] = int(bool(subcommand & words) and not sub.destructive)
    found["unused"] = min(MOST_UNUSED, sum(not word & known for word in loose))
    return found


def compared(answers, text, schema):
    """features() of all readings of a request. Where one has a number that could be another's, a command that the words do not name and that
    does without that number, or takes it for a limit, is no better."""
    found = [features(answer, text, schema) for answer in answers]
    if any(f["ambiguous"] for f in found):
        for answer, f in zip(answers, found, strict=True):
            free = answer["type"] != "command" or f["command"] or identified(answer, text, schema)
            f["ambiguous"] = int(f["ambiguous"] or not free)
    return found


def unexplained(answer, text, schema):
    """Stems of the plain words of a request that stand in no value of a command and name nothing of it."""
    words, _, _ = read(text, set().union(*places(answer["args"], text).values()))
    return words - vocabulary(schema.by_key[answer["command"], answer["subcommand"]]) - COMMON


def tells(flag, words):
    """Whether these stems hold all of a flag's name, or of one of the phrases for it."""
    phrases = (frozenset(stems(phrase)) - COMMON for phrase in (flag.name, *flag.natural_language))
    return any(phrase and phrase <= words for phrase in phrases)


def unheeded(answer, text, schema):
    """How much of a request a command goes against: destructive flags that the words tell of and it lacks (they count against no reading, but
    it is not sure), options that it has and its own name where they stand behind a "not"."""
    words, _, refused = read(text, set().union(*places(answer["args"], text).values()))
    sub = schema.by_key[answer["command"], answer["subcommand"]]
    _, subcommand, options = names(sub)
    lost = sum(f.destructive and f.name not in answer["flags"] and tells(f, words) for f in sub.flags)
    given = {*answer["args"], *answer["flags"]}
    return lost + bool(subcommand & refused) + sum(o.name in given and bool(stem & refused) for o, stem, _ in options)


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

    where: see places(); words: stems of the plain words beside the values."""
    told = [n for n in where if sub.arg[n].positional or sub.arg[n].required]
    command, subcommand, options = names(sub)
    if not sub.name or command & words or len(told) != 1:
        return False
    arg = sub.arg[told[0]]
    if not str(answer["args"][arg.name]).isdigit() or not takes_number(arg):
        return False
    verbs = subcommand & words
    named = words & frozenset().union(*(stem.union(*values.values()) for _, stem, values in options))
    if not any(
        other.command != sub.command
        and other.name
        and (verbs <= names(other)[1] if verbs else other.name == sub.name)
        and named <= vocabulary(other)
        and any(takes_number(a) and needs_only(a, other) for a in other.args)
        for other in schema.by_key.values()
    ):
        return False
    return not any(slip(word, noun) for word in words for noun in command)


def slip(typed, word):
    """Whether one word (of four letters or more) is the other with two neighbours swapped, or a letter too many or too few."""
    if len(word) < 4 or typed == word:
        return False
    at = next((i for i, (a, b) in enumerate(zip(typed, word, strict=False)) if a != b), min(len(typed), len(word)))
    if len(typed) == len(word):
        return typed[at : at + 2] == word[at : at + 2][::-1] and typed[at + 2 :] == word[at + 2 :]
    return typed[at:] == word[at + 1 :] or typed[at + 1 :] == word[at:]


def hollow(value, known, text):
    """Whether a value is made of words that name something of its subcommand (stems `known`), or point, and of common ones, or is the noun
    behind a pointing word ("logs of this pod"). Quotes fill it."""
    if not re.fullmatch(r"[^\W\d_]+( [^\W\d_]+)*", value) or any(quote + value in text for quote in "\"'`“‘"):
        return False
    own = [(w in POINTERS, next(iter(stems(w)), "")) for w in value.lower().split()]
    if any(points or s in known for points, s in own) and all(points or s in known | COMMON for points, s in own):
        return True
    spans = [m.span() for m in re.finditer(rf"(?<!\w){re.escape(value)}(?!\w)", text, re.IGNORECASE)]
    return " " not in value and bool(spans) and all(is_noun(text, *span) for span in spans)


def is_noun(text, start, end):
    """Whether a word stands behind a pointing one and ends what that begins: "logs of this pod", not "of this nginx pod"."""
    after = re.match(r" ([^\W\d_]+)", text[end : end + 30])
    return bool(DETERMINER.search(text[max(0, start - 9) : start])) and (
        not after or COMMON.issuperset(stems(after[1]))
    )


def places(args, text):
    """{argument: positions of the letters of a text that say its value}; the longest value first, each place for one, numbers in digits or words."""
    found, free = {}, set(range(len(text)))
    for name, value in sorted(args.items(), key=lambda a: -len(str(a[1]))):
        word = spell(value) if type(value) is int and 0 <= value < 100 else None
        for form in filter(None, (str(value), word, word and word.replace("-", " "))):
            spans = (m.span() for m in re.finditer(rf"(?<!\w){re.escape(form)}(?!\w)", text, re.IGNORECASE))
            place = next((set(range(a, b)) for a, b in spans if free.issuperset(range(a, b))), None)
            if place:
                found[name] = place
                free -= place
                break
    return found


def read(text, inside):
    """(stems of the plain words, [the stems of each word that looks like a value], stems of the words behind a "not") of a text but for the
    places in `inside`.

    A value is quoted, has a digit or a mark like / @ _ in it, or a dot or hyphen between letters. Words behind a "not" name nothing.
    """
    words, loose, refused, silent = set(), [], set(), 0
    quoted = [m.span() for m in QUOTED.finditer(text)]
    loose += [set() for a, b in quoted if inside.isdisjoint(range(a, b))]
    for m in re.finditer(r"\S+", text):
        bare = m[0].strip(EDGES)
        if not bare or not inside.isdisjoint(range(*m.span())) or any(a < m.end() and m.start() < b for a, b in quoted):
            continue
        silent = REACH if bare.lower() in NO else silent - 1
        option, own = bare.startswith("--"), set(stems(bare))
        if not option and re.search(r"[\d/_@#\\]", bare):
            loose.append(set())
            continue
        if not option and re.search(r"\w[-.]\w", bare):
            loose.append(own)
        (words if silent < 0 else refused).update(own)
        if m[0][-1] in ".,;!?":
            silent = 0
    return words, loose, refused - words


def weigh(prior, answers, text, schema, weights):
    """The probability that each of these answers is what was meant; prior: the model's own, of each; weights: see WEIGHTS."""
    return posterior(
        prior, [sum(weights.get(k, 0.0) * n for k, n in found.items()) for found in compared(answers, text, schema)]
    )


def posterior(prior, scores):
    """The probabilities of readings in the light of their scores (nats).

    What the prior lacks to 1 belongs to readings nobody followed, which are taken to fit the words as well as the best of these."""
    weighed = [p * math.exp(s - max(scores)) for p, s in zip(prior, scores, strict=True)]
    total = sum(weighed) + max(0.0, 1 - sum(prior))
    return [w / total if total else 0.0 for w in weighed]
