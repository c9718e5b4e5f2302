"""A subcommand's description as a pattern: "Keep new pods off a node" gives "keep new pods off node-3". Imports no torch."""

import re

from lexicon import plural

from compose.arguments import head, names_of
from compose.speech import Form, Speech
from compose.words import gerund, safe

LOOKS = ("show", "list", "print", "display")
DETERMINER = (
    r"\b(?:an?|one|the|another|any|your)\s+"
    r"(?:(?:new|earlier|single|given|other|existing|local|remote|specific|running|different|certain)\s+)?"
)


class Descriptions(Speech):
    def says(self):
        """The description as a pattern: "Keep new pods off a node" -> "keep new pods off <t>"."""
        r = self.r
        text = re.split(r"[,;.(:]", r.sub.description)[0].strip()
        text = re.sub(r" (or|and) (show|list|print) one.*$", "", text)
        text = safe(text if text[1:2].isupper() else text[:1].lower() + text[1:])
        if not text or re.search(r"\b(it|its|them|their|this|these)\b", text) or r.style in ("write", "seek"):
            return
        first, _, tail = text.partition(" ")
        thing = text[:2].isupper() or first in (*self.words["nouns"], "a", "an", "the", "all") or plural(first) == first
        thing = thing or tail.startswith(("of ", "and ", "for "))  # "Use of CPU and memory"
        is_verb = first in self.lexicon.first_words or first in r.verbs or not thing
        if first in LOOKS:
            text = f"(show|show me|print|display{'|list' if first == 'list' else ''}) {tail}"
        elif not is_verb:
            text = f"(show|show me|give me|get|what is|tell me) (the|) {text}"
        if is_verb and not (r.target or r.rest or r.kind):
            if first in (*r.verbs, r.base):
                verbs = self.either([first, *(v for v in self.spoken(False) if v in r.alone)][:5])
                self.add("<v> <what it says>", f"{verbs} {tail}", extra=False)
            plain = f"{first} {tail}".strip()
            self.add("i want to <says>", f"(i want to|i need to|i'd like to|time to) {plain}")
            self.add("can you <says>", f"(can you|could you|would you|please) {plain}")
            self.add("how about <saying>", f"(mind|how about|what about) {gerund(plain)}")
            self.add("just <say>", f"(just|now|go ahead and) {plain}")
        for said, left in self.with_arguments(text, list(r.rest)):
            ways = self.rest_ways(left, literal=False)
            forms = [Form("")] if "<t>" not in said else self.given()
            if "<t>" not in said and self.must_say_kind:
                continue
            if re.fullmatch(r"(\S+|\([^)]*\)) <t>", said) and not (is_verb and first in r.alone):
                forms = [f for f in forms if f.full]  # "remove X": an image or a volume?
            near = [f for f in self.pointing() if f.full or any(not g.full for g in forms)]
            for i, form in enumerate([f for f in forms if not f.full] + self.pick([f for f in forms if f.full], 2)):
                self.add("<says>", f"{self.fill(said, form, '')} {ways[i % len(ways)]}", form.effects)
            if "<t>" in said:
                for form in self.pick(near, 2):
                    self.add("<says>", f"{self.fill(said, form, '')} {ways[0]}", form.effects, False)
                for form in self.pick([f for f in self.absent() if f.full], 1):
                    self.add("<says>", f"{self.fill(said, form, '')} {ways[0]}", form.effects, False)
                if left:
                    missing = " ".join(f"?{x.name}" for x in left)
                    form = self.pick(forms, 1)[0]
                    self.add("<says>", self.fill(said, form, ""), f"{form.effects} {missing}", False)

    def with_arguments(self, text, left):
        """(text with <t> and slots, arguments still to be said) of a description, once or twice."""
        r = self.r
        if r.target:
            nouns = [*names_of(r.target, self.words, with_source=not r.kind), *r.nouns]
            nouns += names_of(r.kind, self.words) if r.kind else []
            done = nouns and re.subn(noun_phrase(nouns), "<t>", text, count=1)
            last = re.search(r" (?:of|in|on|at|to|for|from) ((?:an?|one) [a-z]+)$", text)
            if r.style == "create":
                text += f" (called|named) {self.slot}"
            elif r.style == "value":
                text += f" to {self.slot}"
            elif done and done[1]:
                text = done[0]
            elif last and r.target.required and last[1].split()[-1] not in r.group:
                text = text[: last.start(1)] + "<t>"
            elif r.group and re.search(noun_phrase(r.group), text):
                text = re.sub(noun_phrase(r.group), lambda m: f"{m.group()} of <t>", text, count=1)
                text = re.sub(r"\b(a|an) (?=\w+ of <t>)", "the ", text)
            elif r.target.required:
                text += " of <t>" if text.startswith("(show") else " for <t>"
            elif r.nouns and re.search(rf"\b(?:of|for) {plural(r.nouns[0])}$", text):
                yield text, left
                text = re.sub(rf"{plural(r.nouns[0])}$", "<t>", text)
        for with_noun in (False, True):
            out, still = text, []
            for arg in left:
                names = names_of(arg, self.words)
                m = names and re.search(noun_phrase(names), out)
                if m and (with_noun or arg.type not in ("integer", "float")):
                    noun = f"{safe(head(arg, self.words) or names[0])} " if with_noun else ""
                    out = f"{out[: m.start()]}{noun}{{{arg.name}}}{out[m.end() :]}"
                elif m:
                    out = f"{out[: m.start()]}{safe(names[0])} {{{arg.name}}}{out[m.end() :]}"
                else:
                    still.append(arg)
            yield out, still


def noun_phrase(nouns):
    found = "|".join(sorted({re.escape(n) for n in nouns}, key=len, reverse=True))
    return rf"{DETERMINER}(?:{found})\b(?: or (?:an? )?[a-z]+)?"
