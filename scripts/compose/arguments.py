"""What a schema says of an argument: the noun in its description, whether it is the thing acted on or says the kind of it, and how its
values are said. Imports no torch.
"""

import re

from lexicon import plural, singular

from compose.words import leaf, safe, spaced

STOPS = set(  # words that end the noun phrase a description begins with
    "to that in of on for it is are was with each there when the a an which who what where from into as at by gets must shall "
    "while one all be can will has have every only this these if and or not than between inside".split()
)
LEADING = re.compile(
    r"(?:optional |required |the |its |their |your |a |an )*(?:(?:name|names|number|id|ids|key|title|path|address|address|slug|kind|type"
    r"|sort|list|value)s? of (?:the |a |an |your |one )?|(?:which|what) )?"
)


def head(arg, words):
    """The noun of an argument's description: "Name of the pod" -> pod, "Program to run" -> program; None when there is none."""
    clause = re.split(r"[,;.(:]", arg.description.lower())[0].strip()
    found = []
    for word in re.findall(r"[a-z]+", clause[LEADING.match(clause).end() :]):
        if word in STOPS or word in ("how", "only", "also"):
            break
        found.append(word)
    while found and singular(found[-1]) in {*words["generic"], "address", "which"}:
        found.pop()
    if not found or len(found) > 3:
        return None
    return singular(" ".join(found[-2:] if found[-2:] == ["pull", "request"] else found[-1:]))


def names_of(arg, words, with_source=True):
    """Singular nouns that may stand for an argument in a text."""
    out = [singular(spaced(arg.name))] if arg.name not in (*words["generic"], *words["roles"]) else []
    out += [h for h in [head(arg, words)] if h]
    if with_source and arg.from_context:
        out.append(leaf(arg.from_context))
    return list(dict.fromkeys(out))


def find_kind(sub, words):
    """The enum argument whose values are kinds of things (pods, services), or None."""
    for i, arg in enumerate(sub.args):
        said = re.match(r"(the |which |what )?(kind|type|sort)s? of|what to|which kind", arg.description.lower())
        plain = all(isinstance(v, str) and re.fullmatch(r"[a-z][a-z -]+", v) for v in arg.values)
        first = not any(a.required for a in sub.args[:i])
        if arg.type == "enum" and plain and first and (said or arg.name in words["kinds"]) and (i == 0 or arg.required):
            return arg
    return None


def find_target(sub, group, words):
    """The argument that says which one: a required one, or an optional one that is a name or is called like the group."""
    free = [a for a in sub.args if a.type not in ("enum", "boolean")]
    required = [a for a in free if a.required]
    if required:  # "how many to keep" is no target
        named = [a for a in required if not re.match(r"how (many|much)\b", a.description.lower())]
        return named[0] if named else None
    lists = {"list", "ls"} & set(spaced(sub.name or sub.command).split())
    for arg in free:
        if lists and arg.name not in words["generic"]:
            continue
        if arg.name in words["content"] or arg.type == "float":
            continue
        if arg.positional or arg.name in words["generic"] or {spaced(arg.name), *names_of(arg, words)} & set(group):
            return arg
    return None


def short_forms(value, arg, lexicon):
    """Short and spoken forms of an enum value: those of the lexicon, and those that the argument's description lists."""
    word = singular(spaced(value))
    forms = [*lexicon.things.get(word, lexicon.things.get(word.replace(" ", "-"), []))]
    m = re.search(r"(?:such as|short for|like|e\.g\.|abbreviat\w+:?|short names?:?) ([\w, ]+)", arg.description)
    listed = re.findall(r"[a-z]+", m.group(1).replace(" or ", " ").replace(" and ", " ")) if m else []
    known = {f: w for w, fs in lexicon.things.items() for f in fs}
    for form in listed:
        begins = [v for v in arg.values if spaced(v).startswith(form)]
        if known.get(form) == word or (form not in known and begins == [value]):
            forms.append(form)
    others = {singular(spaced(v)) for v in arg.values if v != value}
    return [f for f in dict.fromkeys(forms) if f not in others and (len(f) > 2 or f in listed or not listed)], word


def kind_text(arg, lexicon, many):
    """How each value of a kind is said, as {value: text of the notation}; the plural where one may ask for all of them. Twice whole for
    once in each short form."""
    out = {}
    for value in arg.values:
        forms, word = short_forms(value, arg, lexicon)
        full = [plural(word), word] if many else [word, word]
        forms = [f for f in forms if f not in ("no", "in", "is", "as")]  # typed only: see Frames.typed
        out[value] = "(" + "|".join(map(safe, [*full, *forms])) + ")"
    return out
