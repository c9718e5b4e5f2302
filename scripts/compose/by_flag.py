"""Sentences in which a flag is the verb, or stands before it. Imports no torch."""

from lexicon import plural

from compose.speech import Speech
from compose.words import gerund, safe


class ByFlag(Speech):
    """The frames of a subcommand that say a flag by its own name, and what a list may name."""

    def by_flag(self):
        """A flag that is said as the verb, where the subcommand reads something ("follow the logs of web", "watch the pods"), or before the
        verb ("force delete web"). Never a verb that is another subcommand's own."""
        r = self.r
        for name, said in r.flag_words.items():
            verbs = [
                v for w in said if w in self.words["reads_on"] for v in (w, f"keep {gerund(w)}") if w not in r.others
            ]
            if verbs and r.style == "many" and not r.rest:
                self.read_many(self.either(verbs), f"+{name}")
            elif verbs and r.attrs:
                self.read_on(self.either(verbs), f"+{name}")
            for word in [w for w in said if w in self.words["adverbs"]]:
                for verb in (
                    self.pick([v for v in self.spoken(True) if v.count(" ") < 2], 3) if r.style == "act" else []
                ):
                    clear = [[f for f in fs if f.full or verb in r.alone] for fs in (self.given(), self.pointing())]
                    for form in self.pick(clear[0], 3) + self.pick(clear[1], 1):
                        text = self.fill(f"{safe(word)} {safe(verb)} <t> <r>", form, self.rest())
                        self.add("<flag> <v> <t>", text, f"{form.effects} +{name}".strip(), form.open)

    def read_on(self, verb, effects):
        """Frames of a verb that says to read and to go on reading: of something."""
        r = self.r
        for attr in [x for x in r.attrs if " " not in x or not r.verbs][:3]:
            a, alone = safe(attr), attr in r.alone
            given = [f for f in self.given() if "{" in f.text and (f.full or alone)]
            near = [f for f in self.pointing() if f.full or alone]
            for text in (
                f"{verb} (the|) {a} (of|for|from) <t> <r>",
                f"{verb} <t> {a} <r>",
                f"(can|could) you {verb} the {a} of <t> <r>",
            ):
                for form in self.pick(given, 2) + self.pick(near if "of" in text else [], 1):
                    effect = f"{form.effects} {effects}".strip()
                    self.add("<flag> the <a> of <t>", self.fill(text, form, self.rest()), effect, form.open)
            if alone and r.thing and not r.rest and not self.must_say_kind and (r.value_of_thing or not r.kind):
                kind = f"{r.kind.name}={r.value_of_thing} " if r.kind else ""
                self.add("<flag> the <a>", f"{verb} (the|) {a}", f"{kind}~{r.target.name} {effects}")

    def read_many(self, verb, effects):
        """The same of a list."""
        every = "" if self.all_is_a_value else "all|"
        for noun in self.listed():
            self.add("<flag> <ns>", f"{verb} (the|{every}my|) {noun}", effects)
            self.add("<flag> <ns>", f"(i want|i need|i'd like) to {verb} (the|my) {noun}", effects)

    def listed(self):
        """What is listed by this subcommand and no other, as a slot of its kind or nouns in the plural."""
        r = self.r
        if r.kind:
            return [f"{{{r.kind.name}}}"] if r.lists.issuperset(r.kind_words) else []
        return [plural(safe(n)) for n in r.nouns[:3] if n in r.lists][:2]
