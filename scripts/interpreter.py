"""The part that a host tool needs: load a GGUF that `just train-quantize` wrote, turn words and context into an answer.

    interpreter = Interpreter("clitron-gh-q4_k_m.gguf")
    answer = interpreter.interpret("merge this", {"git": {"current_pr": 12}})

The file carries its own contract (`clitron.*` metadata): CLI schema, prompt and format. Needs llama-cpp-python, llguidance and numpy.
"""

import functools
import json
import re
from difflib import SequenceMatcher
from pathlib import Path

import calibration
import prompt
import rerank
from cli import build
from decoder import LONGEST, Decoder, decided
from rows import clarification, dumps, flatten, ungrounded
from utils import FORMAT, display, fail

RUN, CONFIRM, CLARIFY = (
    0.9,
    0.7,
    0.5,
)  # confidence from which a host runs, asks for a yes, offers suggestions; below: asks
ALIKE = 0.6  # similarity from which a copy is what a torn value was meant to be; below, the model made it up


def contract(path):
    """clitron.* metadata of a GGUF as a dict, or one line when the file is broken or not ours. Reads no weights."""
    from gguf import GGUFReader

    path = Path(path)
    try:
        reader = GGUFReader(path)
        found = {k.removeprefix("clitron."): f.contents() for k, f in reader.fields.items() if k.startswith("clitron.")}
        end = max(t.data_offset + t.n_bytes for t in reader.tensors)
    except FileNotFoundError:
        raise
    except Exception:  # a cut or foreign file fails in many ways inside the reader
        found, end = None, 0
    if found is None or end > path.stat().st_size:
        fail(f"{display(path)} is not a complete GGUF file; make it again with train-quantize")
    if not {"schema", "prompt", "format"} <= set(found):
        fail(f"{display(path)} carries no clitron.* metadata; only files that train-quantize wrote can be used")
    if found["format"] != FORMAT:
        fail(
            f"{display(path)} has format {found['format']}, this code reads format {FORMAT}; make it again with train-quantize"
        )
    return {**found, "schema": json.loads(found["schema"]), "prompt": json.loads(found["prompt"])}


class Interpreter(Decoder):
    """A loaded model that answers. Not thread-safe: it keeps one KV cache, of which the constant start of the prompt is reused."""

    def __init__(self, path, n_ctx=2048, facts=None):
        """facts: a contract in place of the file's own, for a GGUF that carries none."""
        facts = facts or contract(path)
        self.facts = facts
        self.curves, self.weights = (json.loads(facts.get(key, "{}")) for key in ("calibration", "rerank"))
        # the schema was checked when the file was made; a file without weights is from before them, or of an untuned model
        super().__init__(Path(path), build(facts["schema"]), facts["prompt"], n_ctx, bool(self.weights))

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
        text = text[:LONGEST]
        answer = self.choose(start, text, context)
        sure = calibration.apply(self.curves, answer["type"], answer["confidence"])
        return dumps({**answer, "confidence": sure if raw else round(sure, 3)})

    def candidates(self, start, text, context):
        """[(model's probability, Hypothesis, its answer)] of a request and its prompt tokens, the greedy one first. Values that were torn in
        copying are mended, made-up ones are gone; readings that come to the same are one."""
        words = prompt.user_text(text, None)  # as the model reads it
        copying = functools.cache(lambda: self.new_matcher(words, flatten(context)))

        def worth(tokens):  # a value that begins as no copy can is not worth another reading
            return copying() is None or copying().validate_tokens(tokens) == len(tokens)

        out = []
        for reading in self.readings(start, worth):
            reading, torn = self.mended(reading, start, copying, words, context)
            answer = self.grounded(reading.answer, text, context)
            same = next((i for i, (_, _, known) in enumerate(out) if decided(known) == decided(answer)), None)
            if same is None:
                out.append((reading.probability, reading, answer))
            else:  # a mended reading counts all copies that it could have made
                before = out[same][0]
                sure = max(before, reading.probability) if torn else before + reading.probability
                out[same] = (sure, *out[same][1:])
        return out

    def choose(self, start, text, context):
        """The answer that is most probably meant, in the light of the words (see rerank), with that probability as confidence."""
        candidates = self.candidates(start, text, context)
        prior, answers = [c[0] for c in candidates], [c[2] for c in candidates]
        found = rerank.weigh(prior, answers, text, self.schema, self.weights)
        for sure, (_, reading, answer) in sorted(zip(found, candidates, strict=True), key=lambda pair: -pair[0]):
            if answer["type"] == "clarification" and "message" not in answer:
                reading = self.decode(
                    start, self.matcher, reading.tokens
                )  # a question has no words before it is chosen
                answer = reading and reading.answer
            if answer:
                return {**answer, "confidence": sure}
        return {**clarification(self.schema, "unclear", []), "confidence": 0.0}  # the model lost itself

    def mended(self, reading, start, copying, words, context):
        """(reading, whether it was torn): values that were torn in copying are copied once more, by a grammar that knows what to copy."""
        torn = torn_values(reading.answer, words, context, self.schema)
        mended = torn and copying() and self.copied(start, copying(), reading)
        return (mended, True) if mended and mends(mended.answer, reading.answer, torn) else (reading, False)

    def grounded(self, answer, text, context):
        """The answer without values that are neither in the words nor in the context: the rule that holds for training rows.

        A model that has nothing to put where the grammar wants a value invents one. Where the command needs it, or a pointing word
        stands for it, that becomes a question; an optional value is left out.
        """
        words = f"{text}\n{prompt.user_text(text, None)}"  # as typed, and as the model reads it
        made_up = ungrounded(answer, words, context, self.schema)
        if not made_up:
            return answer
        sub = self.schema.by_key[answer["command"], answer["subcommand"]]
        for name in made_up:
            arg = sub.arg[name]
            if arg.required or arg.from_context:
                category = "pronoun" if arg.from_context else "missing_arg"
                return clarification(self.schema, category, [sub.label], name.replace("_", " "))
        return {**answer, "args": {n: v for n, v in answer["args"].items() if n not in made_up}}


def torn_values(answer, words, context, schema):
    """Names of the string arguments whose value is not made of whole words of the request: letters were lost or added in copying, or it
    was made up. "@me", a value of the schema and what the context gives for that argument are none."""
    if answer["type"] != "command":
        return []
    sub = schema.by_key[answer["command"], answer["subcommand"]]
    known = flatten(context)
    return [
        name
        for name, value in answer["args"].items()
        if sub.arg[name].type in ("string", "path")
        and value not in ("@me", sub.arg[name].default)
        and not (sub.arg[name].from_context and known.get(sub.arg[name].from_context) == value)
        and not re.search(rf"(?<!\w){re.escape(value)}(?!\w)", words)
    ]


def mends(mended, answer, torn):
    """Whether an answer that copies is the same command with torn values made whole, and no other one."""
    if mended["type"] != "command" or any(mended[k] != answer[k] for k in ("command", "subcommand", "flags")):
        return False
    if mended["args"].keys() != answer["args"].keys():
        return False
    return all(
        SequenceMatcher(None, str(value), str(answer["args"][name]), autojunk=False).ratio() >= ALIKE
        if name in torn
        else value == answer["args"][name]
        for name, value in mended["args"].items()
    )
