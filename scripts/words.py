"""What the words of a request say, by a schema alone: stems, what names a command or an option, where values stand, what is refused."""

import functools
import re
from typing import NamedTuple

from rows import COUNTED, POINTERS, spell

QUOTED = re.compile(r"(?<!\w)(?:\"[^\"]+\"|'[^']+'|“[^”]+”)(?!\w)")
EDGES = "\"'“”„‘’‚«»「」`.,;:!?()[]{}<>…"
RELATIVE = "are|is|was|were|has|have|had|need|needs|want|wants|can|do|does|did|i|we|you|they|he|she"  # behind a "that" that points at nothing
DETERMINER = re.compile(r"(?<!\w)(this|that|these|those|current) $", re.IGNORECASE)
POINTING = re.compile(rf"(?<!\w)(?!that\W+(?:{RELATIVE})(?!\w))(?:{'|'.join(POINTERS)})(?!\w)", re.IGNORECASE)
THAT_IS_ALL = re.compile(r"(?<!\w)that(?:['’]s| is) (?:all|it)(?!\w)", re.IGNORECASE)
NO = frozenset(
    "no not don't dont doesn't isn't aren't wasn't can't cannot won't shouldn't never without except keep".split()
)
LEAVES_OUT = frozenset("exclude skip omit ignore hide disable".split())  # in the name of an option
FORGET = re.compile(r"\W+forget(?!\w)", re.IGNORECASE)  # "don't forget to close it" refuses nothing
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
def nouns(sub):
    """Stems of what names its command, of words of five letters or more without an s: a slip of typing in a shorter one is another word."""
    said = " ".join((sub.command, *sub.command_aliases)) if sub.name else ""
    return frozenset(stems(" ".join(w for w in re.findall(r"[^\W\d_]+", said) if len(w.rstrip("s")) > 4)))


@functools.cache
def vocabulary(sub):
    """All stems that name something of a subcommand."""
    command, subcommand, options = names(sub)
    return command.union(subcommand, *(stem.union(*values.values()) for _, stem, values in options))


def mentions(value, text):
    """Positions of the letters of each place where a text says a value, numbers in digits or words; one set a place."""
    word = spell(value) if type(value) is int and 0 <= value < 100 else None
    unit = "" if isinstance(value, str) else rf"(?!{COUNTED})"
    for form in filter(None, (str(value), word, word and word.replace("-", " "))):
        for m in re.finditer(rf"(?<!\w){re.escape(form)}(?!{unit}\w)", text, re.IGNORECASE):
            yield set(range(*m.span()))


def places(args, text):
    """{argument: positions of the letters of a text that say its value}; the longest value first, each place for one."""
    found, free = {}, set(range(len(text)))
    for name, value in sorted(args.items(), key=lambda a: -len(str(a[1]))):
        place = next((place for place in mentions(value, text) if place <= free), None)
        if place:
            found[name] = place
            free -= place
    return found


def unsaid(args, text):
    """A text with blanks where it says the values of arguments, and inside of quotes: what is left of it points, and names, by itself."""
    said = set().union(*places(args, text).values(), *(range(*m.span()) for m in QUOTED.finditer(text)))
    return "".join(" " if i in said else letter for i, letter in enumerate(text))


def silenced(text):
    """Positions of the letters of up to three words behind each "not", as far as the next mark; the "not" is no part of them."""
    found, left = set(), 0
    for m in re.finditer(r"\S+", text):
        if is_no(m[0]) and not FORGET.match(text, m.end()):
            left = REACH
        elif left:
            found.update(range(*m.span()))
            left -= 1
        if m[0][-1] in ".,;!?":
            left = 0
    return found


def is_no(word):
    return word.strip(EDGES).lower().replace("’", "'") in NO


def read(text, inside, silent):
    """(stems of the plain words, [the stems of each word that looks like a value], stems of the words behind a "not") of a text but for the
    places in `inside`. silent: see silenced().

    A value is quoted, has a digit or a mark like / @ _ in it, or a dot or hyphen between letters. Words behind a "not" name nothing.
    """
    words, loose, refused = set(), [], set()
    quoted = [m.span() for m in QUOTED.finditer(text)]
    loose += [set() for a, b in quoted if inside.isdisjoint(range(a, b))]
    for m in re.finditer(r"\S+", text):
        bare = m[0].strip(EDGES)
        if not bare or is_no(bare) or not inside.isdisjoint(range(*m.span())):
            continue
        if any(a < m.end() and m.start() < b for a, b in quoted):
            continue
        option, own = bare.startswith("--"), set(stems(bare))
        if not option and re.search(r"[\d/_@#\\]", bare):
            loose.append(set())
            continue
        if not option and re.search(r"\w[-.]\w", bare):
            loose.append(own)
        (refused if m.start() in silent else words).update(own)
    return words, loose, refused - words


class Heard(NamedTuple):
    """What a request says beside the values of an answer. where: see places(); words, loose, refused: see read(); silent: see silenced()."""

    where: dict
    words: set
    loose: list
    refused: set
    silent: set


def hear(args, text):
    where, silent = places(args, text), silenced(text)
    return Heard(where, *read(text, set().union(*where.values()), silent), silent)


def negative(option):
    """Whether a "not" is part of an option's own name, or of a phrase for it: --no-headers, "without headers", --exclude-drafts."""
    said = (word for text in (option.name, *option.natural_language) for word in re.split(r"[\s_-]+", text))
    return any(is_no(word) or word.lower() in LEAVES_OUT for word in said)


def tells(flag, words):
    """Whether these stems hold all of a flag's name, or of one of the phrases for it."""
    phrases = (frozenset(stems(phrase)) - COMMON for phrase in (flag.name, *flag.natural_language))
    return any(phrase and phrase <= words for phrase in phrases)


def slip(typed, word):
    """Whether one word is the other with two neighbours swapped, or a letter too many or too few."""
    at = next((i for i, (a, b) in enumerate(zip(typed, word, strict=False)) if a != b), min(len(typed), len(word)))
    if len(typed) == len(word):
        return typed != word and typed[at : at + 2] == word[at : at + 2][::-1] and typed[at + 2 :] == word[at + 2 :]
    return typed[at:] == word[at + 1 :] or typed[at + 1 :] == word[at:]


def points(text):
    """Whether a request has a pointing word, outside of quotes and of "that's all"."""
    return bool(POINTING.search(THAT_IS_ALL.sub(" ", QUOTED.sub(" ", text))))


def thing(field):
    """git.current_branch -> branch"""
    words = re.sub(r"[-_. ]+", " ", field.rpartition(".")[2]).lower()
    return words.removesuffix(" name").removesuffix(" id").split()[-1]


@functools.cache
def pointing_at(sub, field):
    """A pattern of the words that point at the thing that a context field holds: "this branch", "the branch I'm on" for git.current_branch.

    The thing is thing(field), or what the subcommand's command is called where that is the same."""
    held = thing(field)
    said = {held} | ({a.lower() for a in sub.command_aliases} if held == sub.command.lower() else set())
    one = "|".join(re.sub(r"\\?[-_ ]", r"[-_ ]", re.escape(t)) for t in sorted(said))
    return re.compile(
        rf"(?<!\w)(?:(?:this|my|current|checked[- ]out) (?:{one})|(?:{one}) (?:i|we)(?:['’]m|['’]re| am| are) (?:on|in|at))(?!\w)",
        re.IGNORECASE,
    )


def is_pointing(value, arg, text):
    """Whether a value is a pointing word and another, both as typed in small letters ("this org"), where no value of that kind is known to have
    a space. Quotes fill it."""
    words = value.split()
    return (
        len(words) == 2
        and words[0] in ("this", "that", "these", "those")
        and value in text
        and value.islower()
        and not any(" " in str(example) for example in arg.examples)
        and not in_quotes(value, text)
    )


def in_quotes(value, text):
    return any(quote + value in text for quote in "\"'`“„‘‚«")


def hollow(value, sub, schema, text):
    """Whether a value is made of words that name something of its subcommand, or point, and of common ones, or is a noun of the schema behind a
    pointing word ("logs of this pod"). Quotes fill it."""
    if not re.fullmatch(r"[^\W\d_]+( [^\W\d_]+)*", value) or in_quotes(value, text):
        return False
    known = vocabulary(sub)
    own = [(w in POINTERS, next(iter(stems(w)), "")) for w in value.lower().split()]
    if any(points or s in known for points, s in own) and all(points or s in known | COMMON for points, s in own):
        return True
    if len(own) > 1 or not any(own[0][1] in vocabulary(other) for other in schema.by_key.values()):
        return False
    spans = [m.span() for m in re.finditer(rf"(?<!\w){re.escape(value)}(?!\w)", text, re.IGNORECASE)]
    return bool(spans) and all(is_noun(text, *span) for span in spans)


def is_noun(text, start, end):
    """Whether a word stands behind a pointing one and ends what that begins: "logs of this pod", not "of this nginx pod"."""
    after = re.match(r"\s+([^\W\d_]+)", text[end : end + 30])
    if after and not COMMON.issuperset(stems(after[1])):
        return False
    return bool(DETERMINER.search(text[max(0, start - 9) : start]))
