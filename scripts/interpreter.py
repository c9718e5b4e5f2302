"""The part that a host tool needs: load a GGUF that `just train-quantize` wrote, turn words and context into an answer.

    interpreter = Interpreter("clitron-gh-q4_k_m.gguf")
    answer = interpreter.interpret("merge this", {"git": {"current_pr": 12}})

The file carries its own contract (`clitron.*` metadata): CLI schema, prompt and format. Needs llama-cpp-python, llguidance and numpy.
"""

import json

import calibration
import prompt
import rerank
from cli import build
from decoder import LONGEST, Decoder, decided, load
from mending import mended, promising
from rows import clarification, dumps, filled, flatten, ungrounded
from utils import FORMAT, display, fail
from words import hollow, is_pointing, mentions, pointing_at, points, thing, unsaid

RUN, CONFIRM, CLARIFY = (
    0.9,
    0.7,
    0.5,
)  # confidence from which a host runs, asks for a yes, offers suggestions; below: asks
MADE_UP = {"integer": 4821, "float": 48.21, "boolean": True, "string": "zeta-lane"}  # of a context field, by its type
# types of arguments in which a made-up value can be told from one that was meant
TAKEN = ("string", "path", "integer", "float")
ARGS = '"args":'
CUT = 0.4  # at most the confidence of an answer to a request that was not read whole: a host asks


def contract(found, path):
    """The contract of a GGUF as a dict: its clitron.* metadata (see decoder.load), read; or one line when it is not ours."""
    if not {"schema", "prompt", "format"} <= set(found):
        fail(f"{display(path)} carries no clitron.* metadata; only files that train-quantize wrote can be used")
    if found["format"] != str(FORMAT):
        fail(
            f"{display(path)} has format {found['format']}, this code reads format {FORMAT}; make it again with train-quantize"
        )
    return {**found, "format": FORMAT, "schema": json.loads(found["schema"]), "prompt": json.loads(found["prompt"])}


class Interpreter(Decoder):
    """A loaded model that answers. Not thread-safe: it keeps one KV cache, of which the constant start of the prompt is reused."""

    def __init__(self, path, n_ctx=2048, facts=None):
        """facts: a contract in place of the file's own, for a GGUF that carries none."""
        llm, found = load(path, n_ctx)
        facts = facts or contract(found, path)
        self.facts = facts
        self.curves, self.weights, self.evidence = (
            json.loads(facts.get(key, "{}")) for key in ("calibration", "rerank", "evidence")
        )
        # the schema was checked when the file was made; a file without weights is from before them, or of an untuned model
        super().__init__(llm, build(facts["schema"]), facts["prompt"], bool(self.weights))

    # ------------------------------------------------------------------------------------------------------- answers
    def interpret(self, text, context=None):
        """A valid answer as a dict, in canonical form, for words (str) and context (dict or None)."""
        return json.loads(self.complete(text, context))

    def action(self, answer):
        """(action, why): what a host should do with an answer: "run", "confirm", "clarify" (offer suggestions) or "ask".

        The thresholds of the specification. A command that the schema marks as destructive, by itself or by a flag, is never run
        without a yes.
        """
        sure = answer["confidence"]
        if answer["type"] != "command":
            return ("clarify", "one of these") if answer["suggestions"] else ("ask", "nothing to suggest")
        sub = self.schema.by_key[answer["command"], answer["subcommand"]]
        flags = [f"--{f}" for f in answer["flags"] if sub.flag[f].destructive]
        if sure < CLARIFY:
            return "ask", f"confidence {sure:.3g} is under {CLARIFY}"
        if sure < CONFIRM:
            return "clarify", f"confidence {sure:.3g} is under {CONFIRM}"
        if sub.destructive or flags:
            return "confirm", f"{flags[0] if flags and not sub.destructive else sub.label} is marked destructive"
        if sure < RUN:
            return "confirm", f"confidence {sure:.3g} is under {RUN}"
        return "run", f"confidence {sure:.3g}"

    def complete(self, text, context=None, constrained=True, raw=False):
        """The JSON text of the answer. Without constraint it is what the model says, valid or not. raw: the confidence is not rounded."""
        start = self.prompt_tokens(text, context)
        if not constrained:
            return self.free(start)
        answer = self.choose(start, text[:LONGEST], context)
        sure = calibration.apply(self.curves, answer["type"], answer["confidence"])
        sure = sure if self.fits(text, context) else min(sure, CUT)
        return dumps({**answer, "confidence": sure if raw else round(sure, 3)})

    def candidates(self, start, text, context):
        """[(model's probability, Hypothesis, its answer)] of a request and its prompt tokens, the greedy one first. Values that were torn in
        copying are mended, made-up ones are gone; readings that come to the same are one."""
        out = []
        for reading in self.readings(start, lambda written: promising(written, text, context, self.schema)):
            answer, like = mended(reading.answer, text, context, self.schema)
            sure, answer = like * reading.probability, self.grounded(answer, text, context)
            same = next((i for i, (_, _, known) in enumerate(out) if decided(known) == decided(answer)), None)
            if same is None:
                out.append((sure, reading, answer))
            else:
                out[same] = (out[same][0] + sure, *out[same][1:])
        return out

    def choose(self, start, text, context):
        """The answer that is most probably meant, in the light of the words (see rerank); as confidence that probability, weighed (see calibration)."""
        candidates = self.candidates(start, text, context)
        prior, answers = [c[0] for c in candidates], [c[2] for c in candidates]
        found = rerank.compared(answers, text, context, self.schema)
        probabilities = rerank.weigh(prior, found, self.weights)
        ranked = sorted(zip(probabilities, candidates, found, strict=True), key=lambda c: -c[0])
        for sure, (_, reading, answer), seen in ranked:
            if answer["type"] == "clarification" and "message" not in answer:
                reading = self.decode(start, self.matcher, reading.head)  # a question has no words before it is chosen
                answer = reading and reading.answer
            if answer:
                answer = self.asked_back(answer, text, context)
                shown = calibration.evidence(answer, seen, text, self.schema)
                return {**answer, "confidence": calibration.weighed(sure, sum(probabilities), shown, self.evidence)}
        return {**clarification(self.schema, "unclear", []), "confidence": 0.0}  # the model lost itself

    def grounded(self, answer, text, context):
        """The answer without values that are neither in the words nor in the context: the rule that holds for training rows.

        A model that has nothing to put where the grammar wants a value invents one. Where the command needs it, or a pointing word
        stands for it, that becomes a question; an optional value is left out. "PRs for this branch" is a question too where no branch is known.
        Words that say the value of another argument say no second one.
        """
        if answer["type"] != "command":
            return answer
        words = f"{text}\n{prompt.user_text(text, None)}"  # as typed, and as the model reads it
        sub, args = self.schema.by_key[answer["command"], answer["subcommand"]], answer["args"]
        made_up = ungrounded(answer, words, context, self.schema)
        borrowed = self.borrowed(sub, args, text, context) if points(text) else []
        pointed = self.pointed_at(sub, args, text, context)
        for name in [*made_up, *borrowed, *pointed]:
            arg = sub.arg[name]
            if arg.required or arg.from_context:
                category = "pronoun" if arg.from_context else "missing_arg"
                asked = thing(arg.from_context) if name in pointed else name.replace("_", " ")
                return clarification(self.schema, category, [sub.label], asked)
        return {**answer, "args": {n: v for n, v in args.items() if n not in made_up}} if made_up else answer

    def borrowed(self, sub, args, text, context):
        """Names of the arguments that have the words of another one, while the context could give them a value, and does not: --head "main" in
        "a PR from here into main"."""
        plain = [v for n, v in args.items() if not sub.arg[n].from_context]
        named = [(a.name, args.get(a.name)) for a in unfilled(sub, context)]
        return [n for n, v in named if v in plain and len(list(mentions(v, text))) == 1]

    def asked_back(self, answer, text, context):
        """The answer; or a question, where the words point at something that nobody knows: "squash this in" without a pull request.

        What words point at is what the model takes from a context that has it. So where they point, a command that lacks an argument which
        context could give, and does not, is read once more beside a context with made-up values: if the model takes one up, they asked for it.
        """
        if answer["type"] != "command" or not self.branch or not points(text):
            return answer
        sub = self.schema.by_key[answer["command"], answer["subcommand"]]
        open_ = [a for a in unfilled(sub, context) if a.name not in answer["args"] and a.type in TAKEN]
        if not open_:
            return answer
        made_up = {field: MADE_UP.get(kind, MADE_UP["string"]) for field, kind in self.schema.context.items()}
        head = self.tokenize(dumps(answer).partition(ARGS)[0] + ARGS, False)
        other = self.decode(self.prompt_tokens(text, filled(context, made_up)), self.matcher, head)
        args = other.answer["args"] if other else {}
        taken = next((a for a in open_ if str(args.get(a.name)) == str(made_up[a.from_context])), None)
        return clarification(self.schema, "pronoun", [sub.label], thing(taken.from_context)) if taken else answer

    def pointed_at(self, sub, args, text, context):
        """Names of the arguments that the words point at, and for which neither the context nor the words have anything.

        They point by the noun of what the context would hold ("PRs for this branch"), or the value itself does ("this org").
        """
        return [arg.name for arg in unfilled(sub, context) if self.stands_open(arg, args, sub, text)]

    def stands_open(self, arg, args, sub, text):
        """Whether the words point at what an argument stands for, and its value is none, or made of the words that point."""
        value = args.get(arg.name)
        if value is not None and not isinstance(value, str):
            return False
        if value and is_pointing(value, arg, text):
            return True
        others = {n: v for n, v in args.items() if n != arg.name}
        found = [set(range(*m.span())) for m in pointing_at(sub, arg.from_context).finditer(unsaid(others, text))]
        if not found or value is None or hollow(value, sub, self.schema, text):
            return bool(found)
        places = list(mentions(value, text))
        return bool(places) and all(any(place <= pointing for pointing in found) for place in places)


def unfilled(sub, context):
    """The arguments of a subcommand that a context could give, and this one (dict or None) does not."""
    known = flatten(context)
    return [a for a in sub.args if a.from_context and a.from_context not in known]
