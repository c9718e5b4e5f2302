"""Forms of words that composed frames are made of. Imports no torch."""

import re

SPECIAL = re.compile(r"([\\(){}\[\]|$])")  # what the notation of phrasebooks gives a meaning


def spaced(name):
    return re.sub(r"[-_.]+", " ", str(name)).lower()


def safe(text):
    """A text in which nothing means anything to the notation; an arrow has no other spelling there."""
    text = text.replace("=>", "->")
    return SPECIAL.sub(r"\\\1", text)


def leaf(source):
    """git.current_pr -> pr"""
    return re.sub(
        r"^(current|active|selected|open|this|last|latest|newest|default) ", "", spaced(source.rpartition(".")[2])
    ).removesuffix(" name")


def a(noun):
    return f"{'an' if noun[:1] in 'aeio' or noun[:3] in ('upd', 'unk') else 'a'} {noun}"


def gerund(phrase):
    """ "roll back" -> "rolling back" """
    first, _, rest = phrase.partition(" ")
    if first.endswith("ie"):
        first = first[:-2] + "y"
    elif first.endswith("e") and not first.endswith(("ee", "ye", "oe")):
        first = first[:-1]
    elif first.endswith("ic"):
        first += "k"
    elif re.fullmatch(r"[^aeiou]*[aeiou][bdglmnprt]", first) or first in ("submit", "unpin", "commit", "rerun"):
        first += first[-1]
    return f"{first}ing {rest}".strip()


def unsaid(text, words):
    """A text of the notation without the alternatives that have one of these words; "" where a word stands outside of them, or in all."""
    if not words:
        return text
    has = re.compile(rf"(?<![\w{{'’-])(?:{'|'.join(map(re.escape, words))})(?![\w}}'’-])", re.IGNORECASE)

    def kept(group):
        ways = re.split(r"(?<!\\)\|", group[1])
        left = [w for w in ways if not has.search(w)]
        return group[0] if not left or left == ways else f"({'|'.join(left)})"

    text = re.sub(r"(?<!\\)\(([^()]*)\)", kept, text)
    return "" if has.search(text) else text
