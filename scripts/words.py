"""What the words of a request say, by a schema alone: stems, what names a command or an option, where values stand, what is refused."""

import functools
import re

from rows import POINTERS, spell

QUOTED = re.compile(r"(?<!\w)(?:\"[^\"]+\"|'[^']+'|“[^”]+”)(?!\w)")
EDGES = "\"'“”„‘’‚«»「」`.,;:!?()[]{}<>…"
DETERMINER = re.compile(r"(?<!\w)(this|that|these|those|current) $", re.IGNORECASE)
NO = frozenset("no not don't dont doesn't isn't never without except keep".split())
REACH = 3  # words behind such a word that name nothing


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


def tells(flag, words):
    """Whether these stems hold all of a flag's name, or of one of the phrases for it."""
    phrases = (frozenset(stems(phrase)) - COMMON for phrase in (flag.name, *flag.natural_language))
    return any(phrase and phrase <= words for phrase in phrases)


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
