"""How one says a subcommand, in parts: its verbs, its other required arguments, and its target given, pointed at or left out.
Imports no torch."""

import random
import re
from dataclasses import dataclass

from lexicon import plural, singular

from compose import options
from compose.reading import PREPOSITIONS
from compose.words import a, safe, spaced

ENDED = "that's it)"  # of a pattern behind which nothing follows


@dataclass(frozen=True)
class Form:
    """A way to name the target: its text, what comes after =>, whether it has a noun (full) or stands by itself, and whether options may
    follow ("that" and "namespace web" would become "that namespace")."""

    text: str
    effects: str = ""
    full: bool = True
    open: bool = True


class Speech:
    """The frames of one subcommand, collected in `out` as (template, text), and the parts that they are made of."""

    def __init__(self, r, schema, lexicon, words):
        self.r, self.schema, self.lexicon, self.words, self.out = r, schema, lexicon, words, []
        self.patterns = words["patterns"]
        self.chance, self.at = random.Random(r.sub.label), 0
        self.slot = f"{{{r.target.name}}}" if r.target else ""
        self.must_say_kind = bool(r.kind and r.kind.required)
        self.ways = self.rest_ways(r.rest)
        name = spaced(r.sub.name or r.sub.command)
        self.all_is_a_value = any("all" in x.values for x in r.sub.args) or "all" in r.sub.flag
        self.clear = bool({name, r.base, *r.verbs[:1], *r.attrs} & r.alone)  # a name alone tells what is meant

    # ------------------------------------------------------------------------------------------------ small parts
    def add(self, template, text, effects="", extra=True):
        """One frame; extra: it may carry options behind it."""
        text = self.r.honest(text, effects)
        if not text or "<" in re.sub(r"<(?=\s|$)", "", text):
            return
        extra = extra and not text.rstrip().endswith((ENDED, "?"))
        self.out.append((template, f"{text}{' [*]' if extra else ''}" + (f" => {effects}" if effects else "")))

    def verbs(self, full):
        """Verbs for a sentence with a noun, or (not full) those that are clear without one."""
        found = [*self.r.verbs, *self.r.object_verbs, *self.r.synonyms]
        found += [v for v in self.lexicon.verbs.get(self.r.base, []) if v in self.r.alone and v not in found]
        open_ended = () if self.r.target or self.r.kind else PREPOSITIONS  # "carry on with" wants an object
        return [v for v in dict.fromkeys(found) if (full or v in self.r.alone) and v.split()[-1] not in open_ended]

    def either(self, texts):
        texts = [safe(t) for t in dict.fromkeys(texts)]
        return f"({'|'.join(texts)})" if len(texts) > 1 else "".join(texts)

    def spoken(self, full):
        """Verbs that make a sentence; "rm" and "done" are typed only."""
        found = [v for v in self.verbs(full) if v not in self.words["terse"]]
        found = [v for v in found if not (self.r.rest and v.split()[-1] in ("in", "on"))]
        if self.runs():
            found = [v for v in found if v not in self.words["object_is_rest"]]
        return [v for v in found if v.split()[0] not in self.words["splits"] or v.split()[-1] in ("as", v.split()[0])][
            :6
        ]

    def runs(self):
        """Whether a program is to be given: "run {cmd} in X", not "run X"."""
        ways = self.words["rest_first"].get(self.r.rest[0].name, [""]) if self.r.rest else [""]
        return ways[0].startswith("<v> {} ")

    def rest_ways(self, rest, literal=True):
        """Ways to say required arguments: "{replicas}", "to {replicas}", "with replicas {replicas}"."""
        if not rest:
            return [""]
        said = []
        for arg in rest:
            slot, name = f"{{{arg.name}}}", safe(spaced(arg.name))
            known = options.prepositions(arg, self.words)
            if arg.name in self.words["places"]:
                wanted = [w for verbs, w in self.words["verb_prepositions"].items() if self.r.base in verbs.split()]
                known = [p.replace("<n>", name) for p in wanted[0]] if wanted else known
            forms = [p.replace("{}", slot) for p in known] or [f"with {name} {slot}", f"{name} {slot}"]
            said.append([f for f in forms if not f.startswith("-")] + [f for f in forms if f.startswith("-")][:1])
        ways = [" ".join(f[k % len(f)] for f in said) for k in range(max(map(len, said)))]
        if len(said) > 1:
            ways.append(" ".join(f[0] for f in reversed(said)))
        direct = [" ".join(f"{{{arg.name}}}" for arg in rest)] if literal else []
        return list(dict.fromkeys([*direct, *ways]))

    def rest(self, literal=False):
        ways = self.ways if literal or len(self.ways) == 1 else self.ways[1:]
        return self.chance.choice(ways)

    def pick(self, items, n):
        """n of the items, others at every call."""
        items = list(items)
        n = min(n, len(items))
        self.at += n
        return [items[(self.at + i) % len(items)] for i in range(n)]

    def kinds(self, n, but=()):
        return self.pick([v for v in self.r.kind.values if v not in but], n)

    # ----------------------------------------------------------------------------------------------- target forms
    def given(self):
        """Forms that give the target's value."""
        r, x = self.r, self.slot
        if not r.target:
            return [Form("" if not r.kind else f"{{{r.kind.name}}}")]
        string = r.target.type == "string" and r.target.name not in self.words["content"]
        out = [] if self.must_say_kind else [Form(x, full=False)]
        if "all" in r.target.description.split() and r.style == "act" and not r.kind:
            out += [Form(f"{d}{plural(safe(n))}") for n in r.nouns[:1] for d in ("", "the ", "all ")]
        if r.kind:
            k = f"{{{r.kind.name}}}"
            if r.style == "many":
                for value in self.kinds(2):
                    n = safe(singular(spaced(value)))
                    out.append(Form(f"the {x} {n}", f"{r.kind.name}={value}"))
                return [*out, Form(f"{k} {x}")]
            out += [Form(f"{k} {x}"), Form(f"the {x} {k}"), Form(f"the {k} {x}")]
        for noun in map(safe, r.nouns[:3] if r.target.name not in self.words["content"] else []):
            out += [Form(f"{noun} {x}"), *([Form(f"the {x} {noun}")] if string else []), Form(f"the {noun} {x}")]
        return out

    def pointing(self):
        """Forms that point at it: by its context field, by the kind that this field holds, or (a question) by nothing."""
        r = self.r
        if not r.target or r.style in ("write", "seek", "create", "value"):
            return []
        at, near = f"@{r.target.name}", ["this", "that"]
        alone = [Form(t, at, full=False, open=False) for t in ("it", "this", "this one", "that one", "that")]
        if r.thing and r.kind:
            if not r.value_of_thing:
                return []
            alone = [] if self.must_say_kind else alone
            at = f"{r.kind.name}={r.value_of_thing} {at}"
        if r.thing:
            thing = safe(r.thing)
            return [
                *(Form(f"{n} {thing}", at) for n in ("this", "that", "the current")),
                Form(f"the {thing}", at, open=False),  # "the pod" and "called web" would give it
                Form(f"the {thing} i'm (looking at|on)", at),
                *alone,
            ]
        nouns = [f"{{{r.kind.name}}}"] if r.kind else [safe(n) for n in r.nouns[:3]]
        return [*(Form(f"{d} {n}", at) for n in nouns for d in near), *([] if self.must_say_kind else alone)]

    def absent(self):
        """Forms that name a target without saying which."""
        r = self.r
        if not r.target or not r.target.required:
            return []
        ask = f"?{r.target.name}"
        if r.kind:
            found = [(safe(singular(spaced(v))), f"{r.kind.name}={v} {ask}") for v in self.kinds(3, [r.value_of_thing])]
        else:
            found = [(safe(n), ask) for n in r.nouns[:3]]
        out = []
        for i, (noun, effects) in enumerate(found):
            out += [Form(f"{a(noun)}", effects), Form(f"{('some', 'another', 'a certain')[i]} {noun}", effects)]
            out.append(Form(f"one of (the|my|our) {plural(noun)}", effects))
            if not r.thing and not r.kind:
                out.append(Form(f"the {noun}", effects))
        if not self.must_say_kind:
            out += [Form("something", ask, full=False), Form("one of them", ask, full=False)]
        return out

    def fill(self, text, form, rest):
        return text.replace("<t>", form.text).replace("<r>", rest)
