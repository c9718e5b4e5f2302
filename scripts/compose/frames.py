"""The sentences of one subcommand, from the patterns of composing.yaml. Imports no torch."""

import itertools
import re

from lexicon import plural, singular

from compose import options
from compose.arguments import short_forms
from compose.by_flag import ByFlag
from compose.descriptions import Descriptions
from compose.missing import Missing
from compose.speech import Form
from compose.words import a, gerund, safe, spaced

VERBS = 7  # of a subcommand in its plainest pattern, one frame or more each


class Frames(Descriptions, Missing, ByFlag):
    """The frames of one subcommand."""

    def all(self):
        r = self.r
        if r.style in ("create", "write", "seek", "value"):
            self.content()
        elif r.target or r.rest or r.kind:
            self.acting()
        else:
            self.without_target()
        if r.style == "many" or (r.target and not r.target.required and not self.r.kind and r.style == "attr"):
            self.many()
        self.by_flag()
        self.says()
        self.typed()
        self.missing()
        self.questions()
        return self.out

    def acting(self):
        """A verb or something to read, and its target."""
        r = self.r
        near = self.pointing()
        # one thing is shown, not listed
        verbs = [v for v in self.verbs(full=True) if r.style != "many" or v not in ("list", "ls", "list all")]
        for verb in verbs[:VERBS]:
            given, absent = self.given(), self.absent()
            forms = [f for f in given if f.full or verb in r.alone]
            short = [f for f in forms if not f.full] + self.pick([f for f in forms if f.full], 2)
            for text in self.orders(verb):
                name = f"<v> <t> <r>: {verb}"
                for form in short:
                    self.add(name, self.fill(text, form, self.rest(literal=True)), form.effects)
                for form in self.pick([f for f in near if f.full or verb in r.alone], 2 if r.thing else 1):
                    rest = self.rest(literal=not form.full)  # "expose the pod web" would name a pod
                    self.add(name, self.fill(text, form, rest), form.effects, form.open)
                for form in self.pick([f for f in absent if f.full or verb in r.alone], 1):
                    self.add(name, self.fill(text, form, self.rest()), form.effects, False)
        spoken = {full: [v for v in self.spoken(full) if v in verbs] for full in (True, False)}
        texts = [(p, p) for p in self.patterns["act"]] if spoken[True] else []
        texts += self.reading_texts()
        texts += [(p, p) for p in self.sayings()]
        for arg in r.rest:
            slot = f"{{{arg.name}}}"
            if len(r.rest) == 1:
                texts += [(p, p.replace("{}", slot)) for p in self.words["rest_first"].get(arg.name, [])]
        for template, text in texts:
            self.spread(template, text, spoken, self.given(), near, self.absent())
        apart = {full: [v for v in vs if v.split()[-1] not in self.words["particles"]] for full, vs in spoken.items()}
        for text in self.patterns["once"] if apart[True] else []:
            given = self.given()
            self.spread(text, text, apart, [f for f in given if f.full] or given, [], [])
        for arg in self.places():
            for p in options.prepositions(arg, self.words)[:1]:
                front = p.replace("{}", f"{{{arg.name}}}")
                self.spread("in front", f"{front}(,|) <v> <t> <r>", spoken, self.given(), near[:1], [])

    def orders(self, verb):
        """A verb and its target, also apart: "mark X as done", "roll X back"."""
        first, _, last = verb.rpartition(" ")
        splits = verb.split()[0] in self.words["splits"] and re.fullmatch(r"\S+ (as )?\S+", verb)
        if splits and last not in self.words["particles"]:
            start, _, tail = verb.partition(" ")
            return [f"{start} <t> {safe(tail)} <r>"]
        if self.runs() and (verb in self.words["object_is_rest"] or last in ("in", "on", "inside")):
            start, place = (first, last) if first and last in ("in", "on", "inside") else (verb, "(in|inside|on)")
            return [f"{safe(start)} {self.ways[0]} {place} <t>"]
        apart = first and last in self.words["particles"] and not self.r.rest and self.r.style == "act"
        return [f"{safe(verb)} <t> <r>", *([f"{safe(first)} <t> {last} <r>"] if apart else [])]

    def spread(self, template, text, spoken, given, near, absent):
        """Frames of one text: two given targets, one that is pointed at, one that is missing."""
        short = "<v>" in text or "<ving>" in text

        def put(form, extra):
            verbs = spoken[form.full]
            if short and not verbs:
                return
            filled = self.fill(text, form, self.rest()).replace("<v>", self.either(verbs[:4]))
            self.add(template, filled.replace("<ving>", self.either(map(gerund, verbs[:3]))), form.effects, extra)

        # "usage of": of pods or of nodes?
        named = not self.clear or any(x in text for x in self.r.attrs if x not in self.r.alone)
        if not short and not re.search("(of|for|from)[)]? <t>", text):
            given = [f for f in given if "{" in f.text]  # "how busy is {name}" but not "is all nodes"
        simple = [f for f in given if not f.full and (spoken[False] if short else not named)]
        for form in [*self.pick(simple, 1), *self.pick([f for f in given if f.full], 1)]:
            put(form, True)
        usable = [f for f in near if f.full or (spoken[False] if short else not named)]
        for form in self.pick(usable, 1):
            put(form, form.open)
        for form in self.pick([f for f in absent if f.full], 0 if template.startswith("<a> <t>") else 1):
            put(form, False)

    def reading_texts(self):
        """(template, text) for what is read: "logs of <t>", "show me the logs of <t>"."""
        out = []
        for attr in self.r.attrs[:5]:
            short = safe(attr)
            out += [(f"<a> <t>: {attr}", f"{short} <t> <r>"), (f"<a> of <t>: {attr}", f"{short} (of|for|from) <t> <r>")]
        names = [x for x in self.r.attrs if " " not in x or not self.r.verbs]
        names = [x for x in names if x.split()[0] not in ("my", "our", "all", "the", "now")][:4]
        if names:
            many = names[0].endswith("s") and not names[0].endswith(("ss", "us"))
            same = [n for n in names if n.endswith("s") == names[0].endswith("s")]
            texts = self.patterns["attrs" if many else "attr"]
            out += [(p, p.replace("<a>", self.either(same))) for p in texts]
        return out

    def sayings(self):
        for names, texts in self.words["sayings"].items():
            if {self.r.base, *self.r.attrs, spaced(self.r.sub.name or self.r.sub.command)} & set(names.split()):
                yield from (f"{text} <r>" for text in texts)

    def places(self):
        r = self.r
        return [x for x in r.sub.args if not x.required and x.name in self.words["places"] and x is not r.target][:1]

    def content(self):
        """Something new with a name, or free text that is written down or looked for."""
        r, verbs = self.r, self.spoken(True)
        nouns = [safe(n) for n in r.nouns[:3]]
        said = self.slot and [p.replace("{}", self.slot) for p in options.prepositions(r.target, self.words)]
        for verb in self.verbs(full=r.style == "create")[:VERBS]:
            if r.style == "value":
                break
            for text in self.orders(verb):
                if r.style != "create" or not nouns:
                    for way in self.ways[:2]:
                        self.add(f"<v> {{t}}: {verb}", self.fill(text, Form(self.slot), way))
                elif self.slot:
                    for noun, way in zip(nouns, itertools.cycle(self.ways), strict=False):
                        self.add(f"<v> <n> {{t}}: {verb}", self.fill(text, Form(f"{noun} {self.slot}"), way))
                else:
                    self.add(f"<v> <n>: {verb}", self.fill(text, Form(self.either(nouns)), self.rest()))
                    self.add(f"<v> a <n>: {verb}", self.fill(text, Form(f"a new {nouns[0]}"), self.rest()))
        if not nouns:
            return
        for text in self.patterns[r.style]:
            if "{t}" in text and not self.slot:
                text = text.replace("(called|named|) {t}", "").replace("{t}", "")
                if "called" in text or not text.strip():
                    continue
            for verb in self.pick(verbs, 2) if "<v" in text else [""]:
                for noun in self.pick(nouns, 1):
                    filled = text.replace("<v>", safe(verb)).replace("<ving>", gerund(safe(verb)))
                    filled = filled.replace("<an>", a(noun)).replace("<ns>", plural(noun)).replace("<n>", noun)
                    filled = filled.replace("<said>", self.pick(said, 1)[0] if said else self.slot).replace(
                        "{t}", self.slot
                    )
                    self.add(text, filled.replace("<r>", self.rest()))

    def without_target(self):
        """An action or something to read that needs nothing: "prune", "show the current context"."""
        r = self.r
        names = [x for x in r.attrs if x.split()[0] not in ("my", "our", "all", "the", "now")][:4]
        for text in self.patterns["attr_alone"] if names else []:
            self.add(text, text.replace("<a>", self.either(names)))
        if r.attrs:
            for attr in r.attrs[:4]:
                self.add(f"<a>: {attr}", safe(attr))
        if r.sub.name in ("on", "off"):
            for noun in map(safe, r.group):
                self.add("turn <n> on", f"(turn|switch) (the|my|) {noun} {r.sub.name}")
                self.add("turn on <n>", f"(turn|switch|i want to turn) {r.sub.name} (the|my) {noun}")
        if r.style != "many":
            for verb in self.verbs(full=True)[:VERBS]:
                if verb in r.alone or " " in verb:
                    self.add(f"<v>: {verb}", safe(verb))
                for noun in self.pick([n for n in r.nouns if n not in verb and (r.group or r.object_verbs)][:3], 2):
                    for d in ("", "the ", "my "):
                        self.add(f"<v> {d}<ns>: {verb}", f"{safe(verb)} {d}{plural(safe(noun))}")
            spoken = [v for v in self.spoken(False) if v in r.alone]
            for text in self.patterns["alone"][1:] if spoken else []:
                verbs = self.either(spoken[:4])
                self.add(text, text.replace("<v>", verbs).replace("<ving>", self.either(map(gerund, spoken[:3]))))

    def many(self):
        """Lists: all of them, by a noun or by the kind's values."""
        r = self.r
        if r.kind:
            found = [(safe(singular(spaced(v))), f"{r.kind.name}={v}") for v in r.kind.values]
            for verb in self.verbs(full=True)[:VERBS]:
                self.add(f"<v> <k>: {verb}", f"{safe(verb)} {{{r.kind.name}}}", extra=False)
                self.add(f"<v> <k>: {verb}", f"{safe(verb)} {{{r.kind.name}}}")
        else:
            found = [(safe(n), "") for n in r.nouns[:3]]
        if not found:
            return
        verbs = [v for v in self.spoken(True) if not (self.all_is_a_value and "all" in v.split())] or [
            "show",
            "show me",
            "list",
        ]
        for text in self.patterns["many"]:
            template = text
            if r.style == "attr":
                text = text.replace("<ns>", f"<ns> {self.either(r.attrs[:2])}") if text.startswith("<v>") else ""
            if self.all_is_a_value:
                text = re.sub(r"\((?=[^()]*\ball\b)([^()]*)\)", without_all, text)
            if not text or (self.all_is_a_value and re.search(r"\ball\b", text)):
                continue
            for noun, effects in self.pick(found, 3 if r.kind else 1):
                if "<v>" not in text and noun not in r.lists:
                    continue
                filled = text.replace("<v>", self.either(verbs[:5])).replace("<ns>", plural(noun)).replace("<n>", noun)
                self.add(template, filled, effects)
        # "pods here", where "pods" alone says too little
        said = options.phrases(r, self.schema, self.lexicon, self.words)
        for noun in self.listed() if r.style == "many" and not r.rest else []:
            for phrases in said.values():
                for phrase in self.pick(phrases, 3):
                    text, _, effects = phrase.partition(" => ")
                    self.add("<ns> <option>", f"{noun} {text}", effects)
        for noun, effects in self.pick(found, 4):
            for attr in r.attrs[:3] if r.style != "many" or r.target else []:
                self.add("<a> of <ns>", f"{safe(attr)} of (the|all|my|all the) {plural(noun)}", effects)
                self.add("<n> <a>", f"{noun} {safe(attr)}", effects)
            for arg in r.sub.args:
                if arg.name in self.words["adjectives"] and arg.type == "enum":
                    x = f"{{{arg.name}}}"
                    self.add("<v> <adjective> <ns>", f"{self.either(verbs[:5])} {x} {plural(noun)}", effects)
                    self.add(
                        "which <adjective> <ns>", f"(which|what) {x} {plural(noun)} (are there|do i have)", effects
                    )
            for arg in self.places():
                for p in options.prepositions(arg, self.words)[:2]:
                    where = p.replace("{}", f"{{{arg.name}}}")
                    self.add("<ns> in <place>", f"{plural(noun)} {where}", effects)
                    self.add(
                        "what <ns> in <place>", f"(what|which) {plural(noun)} (are|run|do we have) {where}", effects
                    )

    def typed(self):
        """As one types it: "rollout restart web", "kubectl get pods"."""
        given, group = self.given(), safe(self.r.words)
        if self.r.style == "create" or not self.r.target:
            given = [Form(self.slot)]
        if self.r.kind and not self.r.target:
            given = [Form(f"{{{self.r.kind.name}}}")]
        if self.r.style == "many" and self.r.kind:
            given = [Form(f"{{{self.r.kind.name}}}"), Form(f"{{{self.r.kind.name}}} {self.slot}")]
        said = {*self.r.words.split(), "the", "all"}
        simple = [f for f in given if not f.text or singular(f.text.split()[0]) not in said][:2]
        if self.r.kind and self.r.style == "many":
            for value in self.r.kind.values:
                for form in short_forms(value, self.r.kind, self.lexicon)[0]:
                    self.add(f"<words> {len(form)}", f"{group} {form}", f"{self.r.kind.name}={value}")
        for text in self.patterns["typed"]:
            for form in simple:
                typed = text.replace("<words>", group).replace("<cli>", safe(self.schema.cli))
                self.add(text, self.fill(typed, form, self.ways[0]), form.effects)

    def questions(self):
        """Questions that the schema's author gave as aliases: "which context"."""
        for ask in self.r.asks:
            if not self.r.target:
                noun = ask.split()[-1]
                for text in (
                    "",
                    " is it",
                    " am i (in|on|using|working with)",
                    " is (active|current|in use)",
                    " are we (on|in)",
                ):
                    self.add(f"<ask>{text}", safe(ask) + text, extra=False)
                self.add("what <n> is this", f"(what|which) {safe(noun)} is (this|that|it now)", extra=False)


def without_all(match):
    """A group of alternatives without those that say "all"."""
    kept = [b for b in match.group(1).split("|") if not re.search(r"\ball\b", b)]
    return f"({'|'.join(kept)})" if kept else "all"
