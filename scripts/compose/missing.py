"""Requests that leave required arguments out: a question back, or what the context holds. Imports no torch."""

import itertools
from dataclasses import replace

from compose.speech import Form, Speech
from compose.words import a, safe


class Missing(Speech):
    def missing(self):
        """Some of the required arguments left out; what the context may hold is implied."""
        r = self.r
        required = [x for x in (r.kind, r.target, *r.rest) if x and x.required]
        verbs = [v for v in self.spoken(False) if v in r.alone]
        attrs = [x for x in r.attrs[:4] if x in r.alone]
        heads = [*verbs[:5], *attrs, r.words]
        if r.style == "create" and r.nouns:
            heads = [
                *(f"{v} {n}" for v, n in zip(self.spoken(True)[:4], itertools.cycle(r.nouns), strict=False)),
                r.words,
            ]
        implied = r.target if r.target and r.target.required and r.target.from_context else None
        for left in (c for n in range(1, len(required) + 1) for c in itertools.combinations(required, n)):
            said = [x for x in r.rest if x not in left]
            effects = " ".join(f"{'~' if x is implied else '?'}{x.name}" for x in left)
            forms = [Form("", effects)]
            if r.target and r.target not in left:
                forms = [replace(f, effects=f"{f.effects} {effects}") for f in self.given()]
                if r.kind in left:
                    forms = [Form(self.slot, effects, full=False)]
            elif r.kind and r.kind.required and r.kind not in left:
                continue  # "describe a pod" is said by acting()
            if implied in left and r.kind is not None and r.kind in left:
                forms = [replace(f, effects=effects.replace("~", "?")) for f in forms]
            ways = self.rest_ways(said, literal=implied not in left)  # "mount /mnt": the target, or what is mounted?
            for i, (verb, way) in enumerate(zip(heads, itertools.cycle(ways), strict=False)):
                if r.style == "create" and r.target not in left and not r.kind:
                    forms = [Form(f"{d} {self.slot}".strip(), effects) for d in ("", "called", "named")]
                form = forms[i % len(forms)]
                self.add(f"missing {effects}: {i % 2}", f"{safe(verb)} {form.text} {way}", form.effects, False)
        if implied and not r.rest and not self.must_say_kind:
            effects = f"~{implied.name}"
            for attr in attrs:
                self.add("the <a>", f"(show|show me|give me|get|print|check|let me see) (the|) {safe(attr)}", effects)
                self.add("<a>", f"{safe(attr)}", effects)
                self.add("i need the <a>", f"(i want to see|i need|let me see|gimme) the {safe(attr)}", effects, False)
            for verb in verbs[:5]:
                self.add("<v>", safe(verb), effects)
        if r.style in ("create", "write") and r.target and r.target.required:
            left = " ".join(f"?{x.name}" for x in required)
            for noun in map(safe, r.nouns[:3]):
                for verb in self.pick(self.spoken(True), 3):
                    self.add("<v> <an>", f"{safe(verb)} {a(noun)}", left, False)
                    self.add("<v> a new <n>", f"(i want to|let's|can you) {safe(verb)} a new {noun}", left, False)
                self.add("i need <an>", f"(i need|i want|give me|new) {a(noun)}", left, False)
