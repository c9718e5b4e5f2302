"""What people put into slots and around requests: schemas/lexicon/*.yaml as functions. Imports no torch."""

import re

from notation import leaves, parse_text
from rows import spell
from utils import SCHEMAS, load_yaml


def some_float(rng):
    return round(rng.choice((0.1, 0.25, 0.5, 1, 1.5, 2.5, 10)) * rng.randint(1, 9), 2)


class Lexicon:
    def __init__(self, values=None):
        """values: another file in place of values.yaml."""
        folder = SCHEMAS / "lexicon"
        values = load_yaml(values or folder / "values.yaml")
        self.kinds = {
            k: v if isinstance(v, dict) else [parse_text(str(t), {}) for t in v] for k, v in values["kinds"].items()
        }
        self.guesses = [(re.compile(pattern), kind) for pattern, kind in values["guess"]]
        self.shapes = [(re.compile(pattern), kind) for pattern, kind in values["shapes"]]
        self.wording = load_yaml(folder / "wording.yaml")
        self.verbs = load_yaml(folder / "verbs.yaml")
        synonyms = load_yaml(folder / "synonyms.yaml")
        self.things, self.flags, self.values = (synonyms[k] for k in ("things", "flags", "values"))
        self.nouns = set()  # singular words for things of a CLI, which are no good names: "print jobs"
        self.first_words = {phrase.split()[0] for name, line in self.verbs.items() for phrase in [name, *line]} - {
            "what",
            "where",
            "how",
            "are",
        }

    # -------------------------------------------------------------------------------------------------------- values
    def guess(self, name, kind):
        """The kind of value for an argument or field: the first pattern of `guess` that matches its name or "type name"."""
        leaf = re.sub(r"[-\s]", "_", name.rpartition(".")[2].lower())
        for pattern, found in self.guesses:
            if (
                pattern.fullmatch(f"{kind} {leaf}")
                or pattern.fullmatch(kind if kind != "string" else "-")
                or (kind in ("string", "path") and pattern.fullmatch(leaf))
            ):
                return found
        return {"integer": "count", "float": "count"}.get(kind, "word")

    def shape(self, examples):
        """The kind of value whose form all examples have (`shapes`), or None."""
        fits = (k for pattern, k in self.shapes if examples and all(pattern.fullmatch(str(e)) for e in examples))
        return next(fits, None)

    def text(self, kind, rng):
        """A text of a kind: texts of the notation, whose slots name other kinds."""
        node = rng.choice(self.kinds[kind])
        return "".join(self.text(n.value, rng) if n.kind == "slot" else n.value for n in leaves(node, rng))

    def written(self, kind, rng):
        """(what is typed, the value) of a kind; whole numbers are typed in several ways."""
        spec = self.kinds[kind]
        if not isinstance(spec, dict):
            text = self.text(kind, rng)
            return text, text
        digits = rng.choice(spec["digits"])
        n = rng.randint(10 ** (digits - 1), 10**digits - 1)
        form = rng.choice(spec["say"])
        if form == "{word}":
            n = rng.randint(1, 20) if rng.random() < 0.8 else rng.randint(21, 99)
            return spell(n), n
        return form.replace("{n}", str(n)), n

    def value(self, arg, given, rng):
        """(value, what is typed) for an argument; given: the phrasebook's list or kind for it, if any."""
        pool = given if isinstance(given, list) else list(arg.examples)
        kind = given if isinstance(given, str) and given in self.kinds else self.guess(arg.name, arg.type)
        if pool and rng.random() < (0.4 if isinstance(given, list) or len(pool) > 8 else 0.25):
            value = rng.choice(pool)
            if arg.type in ("integer", "float"):
                return value, str(value)
            return str(value), str(value)
        text, value = self.written(kind, rng)
        for _ in range(3):
            if singular(text.lower()) not in self.nouns:
                break
            text, value = self.written(kind, rng)
        if arg.type == "integer":
            return (value, text) if isinstance(value, int) else (7, "7")
        if arg.type == "float":
            value = some_float(rng)
            return value, str(value)
        return str(value) if isinstance(value, str) else text, text

    def field_value(self, name, kind, rng):
        if kind == "boolean":
            return rng.random() < 0.5
        if kind == "float":
            return some_float(rng)
        text, value = self.written(self.guess(name, kind), rng)
        if kind == "integer":
            return value if isinstance(value, int) else rng.randint(1, 3000)
        return value if isinstance(value, str) else text

    def say_enum(self, value, rng):
        """An enum value as people say it: in_progress -> "in progress", deployments -> "deployment"."""
        forms = {value, value, value.replace("_", " ").replace("-", " "), value.lower()}
        if value.endswith("s") and len(value) > 3:
            forms.add(singular(value))
        return rng.choice(sorted(forms))

    # ----------------------------------------------------------------------------------------------------- dressing
    def dressing(self, first, open_end, category, rng):
        """(before, after) from wording.yaml that suits a request which starts with the word `first`, or None."""
        choices = [("before", 2)]
        if first.lower() in self.first_words and category != "typo":
            choices.append(("imperative", 4))
        if not open_end:
            choices += [("after", 3), ("reason", 2)]
        group = rng.choices([c for c, _ in choices], [w for _, w in choices])[0]
        pattern = rng.choice(self.wording[group]).replace(
            "{mark}", rng.choice(self.wording["mark"]).replace("(", "\\(").replace(")", "\\)")
        )
        before, _, after = pattern.partition("{}")
        say = lambda t: "".join(n.value for n in leaves(parse_text(t, {}), rng))  # noqa: E731
        return say(before), say(after)

    def mistype(self, text, rng):
        """One typing error in one word of five letters or more: two swapped, one missing, one double or a neighbour's key."""
        words = list(re.finditer(r"[A-Za-z]{5,}", text))
        if not words:
            return text
        m = rng.choice(words)
        word, i = m.group(), rng.randrange(1, len(m.group()) - 1)
        kind = rng.randrange(4)
        if kind == 0:
            word = word[:i] + word[i + 1] + word[i] + word[i + 2 :]
        elif kind == 1:
            word = word[:i] + word[i + 1 :]
        elif kind == 2:
            word = word[:i] + word[i] + word[i:]
        else:
            word = word[:i] + rng.choice(NEIGHBOURS.get(word[i].lower(), word[i])) + word[i + 1 :]
        return text[: m.start()] + word + text[m.end() :]


NEIGHBOURS = {
    a: [row[i] for i in (k - 1, k + 1) if 0 <= i < len(row)]
    for row in ("qwertyuiop", "asdfghjkl", "zxcvbnm")
    for k, a in enumerate(row)
}


def singular(word):
    if len(word) < 3 or word.endswith(("ss", "us", "is")):  # ns, address, status
        return word
    if word.endswith("ies"):
        return word[:-3] + "y"
    if word.endswith(("sses", "tuses", "buses", "ruses", "xes", "ches", "shes")):
        return word[:-2]
    return word[:-1] if word.endswith("s") else word


def plural(word):
    if word.endswith(("ss", "us", "x", "ch", "sh")):
        return word + "es"
    if word.endswith("s"):
        return word
    return word[:-1] + "ies" if word.endswith("y") and word[-2:-1] not in "aeiou" else word + "s"
