"""The part that a host tool needs: load a GGUF that `just train-quantize` wrote, turn words and context into an answer.

    interpreter = Interpreter("clitron-gh-q4_k_m.gguf")
    answer = interpreter.interpret("merge this", {"git": {"current_pr": 12}})

The file carries its own contract (`clitron.*` metadata): CLI schema, prompt and format. Needs llama-cpp-python, llguidance and numpy.

Decoding follows a grammar of the schema. Four in five characters of an answer are forced by it: they are fed in one batch, and the
model is asked only where there is a choice.
"""

import json
import math
import re
from difflib import SequenceMatcher
from pathlib import Path

import calibration
import prompt
import schema as cli_schema
from grammar import lark
from rows import canonical, clarification, dumps, ungrounded
from utils import FORMAT, display, fail

LONGEST = 2000  # characters of a request that are read; people type about 50
MOST_TOKENS = 400  # of an answer
RUN, CONFIRM, CLARIFY = (
    0.9,
    0.7,
    0.5,
)  # confidence from which a host runs, asks for a yes, offers suggestions; below: asks
ALIKE = 0.6  # similarity from which a copy is what a torn value was meant to be; below, the model made it up
END = b'"confidence": '  # the answer ends here: the number is computed, not generated


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


class Interpreter:
    """A loaded model. Not thread-safe: it keeps one KV cache, of which the constant start of the prompt is reused."""

    def __init__(self, path, n_ctx=2048, facts=None):
        """facts: a contract in place of the file's own, for a GGUF that carries none."""
        import llama_cpp
        from llguidance.llamacpp import lltokenizer_from_vocab

        facts = facts or contract(path)
        self.schema = cli_schema.build(facts["schema"])  # it was checked when the file was made
        self.frame, self.facts = facts["prompt"], facts
        self.curves = json.loads(facts.get("calibration", "{}"))
        self.lib = llama_cpp
        try:
            self.llm = llama_cpp.Llama(str(path), n_ctx=n_ctx, n_batch=512, verbose=False)
        except ValueError:
            fail(f"{display(Path(path))} cannot be loaded by llama.cpp; make it again with train-quantize")
        self.ctx, self.vocab = self.llm.ctx, llama_cpp.llama_model_get_vocab(self.llm.model)
        self.n_vocab = llama_cpp.llama_vocab_n_tokens(self.vocab)
        self.eos = self.tokenize(self.frame["eos"], True)[-1]
        self.vocabulary = lltokenizer_from_vocab(self.vocab, eos_token=self.eos)
        self.matcher = self.new_matcher()
        self.cached = []

    def new_matcher(self, source=None):
        """llguidance's matcher at the start of an answer (each answer works on a copy of it); source: see grammar.lark()."""
        from llguidance import LLMatcher

        matcher = LLMatcher(self.vocabulary, LLMatcher.grammar_from_lark(lark(self.schema, source)))
        if matcher.is_error() and source is not None:
            return None  # a text that is too much for it
        if matcher.is_error():
            fail(
                f"the grammar of {self.schema.cli} cannot be read: {matcher.get_error()}; that is a bug, please report it"
            )
        return matcher

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
        answer = self.decode(start, self.matcher)
        if answer is None:
            return self.give_up()
        source = prompt.user_text(text, context)
        torn = torn_values(answer, source, self.schema)
        if torn:
            copying = self.new_matcher(source)
            mended = copying and self.decode(start, copying)
            if mended and mends(mended, answer, torn):
                answer = mended
        answer = self.grounded(answer, text, context)
        sure = calibration.apply(self.curves, answer["type"], answer["confidence"])
        return dumps({**answer, "confidence": sure if raw else round(sure, 3)})

    def decode(self, start, matcher):
        """The answer (dict, canonical) after these prompt tokens, by the grammar of a matcher; None when the model loses itself."""
        matcher, tokens = matcher.deep_copy(), list(start)
        written, sure, deciding = b"", 0.0, True  # bytes: a letter may take several tokens
        while len(tokens) - len(start) < MOST_TOKENS:
            forced = matcher.compute_ff_tokens()
            matcher.consume_tokens(forced)
            tokens += forced
            written += b"".join(map(self.piece, forced))
            deciding = deciding and not written.startswith(b'{"type": "clarification"')
            if written.endswith(END):
                return self.close(written, math.exp(sure))
            logits = self.feed(tokens)
            token = int(logits.argmax())
            probability = float(logits[token]) - log_sum(logits) if deciding else 0.0
            if not matcher.validate_tokens([token]):
                token = self.best_allowed(matcher, logits)
                probability = float(logits[token]) - log_sum(logits) if deciding else 0.0
            if token == self.eos or not matcher.consume_token(token):
                break
            sure += probability
            tokens.append(token)
            written += self.piece(token)
        return None

    def free(self, start, most=None):
        """What the model says after these tokens, without a grammar: at most so many tokens."""
        tokens, written = list(start), b""
        while len(tokens) - len(start) < (most or MOST_TOKENS):
            token = int(self.feed(tokens).argmax())
            if token == self.eos or self.lib.llama_vocab_is_eog(self.vocab, token):
                break
            tokens.append(token)
            written += self.piece(token)
        return written.decode("utf-8", "replace")

    def close(self, written, probability):
        """The canonical answer of a text, with the model's own probability of it as confidence; None where the text is none."""
        try:
            answer = json.loads((written + b"0}").decode())
            dumps(answer).encode()
        except ValueError:  # half a character, as bytes or as \u escapes, which the grammar cannot rule out
            return None
        answer["confidence"] = probability
        if answer["type"] == "clarification":
            answer["suggestions"] = [
                s for i, s in enumerate(answer["suggestions"]) if s not in answer["suggestions"][:i]
            ]
        return canonical(answer, self.schema)

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
                question = clarification(self.schema, category, [sub.label], name.replace("_", " "))
                return {**question, "confidence": 1 - answer["confidence"]}
        return {**answer, "args": {n: v for n, v in answer["args"].items() if n not in made_up}}

    def give_up(self):
        """The answer to a request in which the model loses itself: a question, which is always valid."""
        return dumps({**clarification(self.schema, "unclear", []), "confidence": 0.0})

    # -------------------------------------------------------------------------------------------------------- tokens
    def prompt_tokens(self, text, context):
        """Token ids of the prompt; of one that is too long, the constant start and the end (the request itself) are kept."""
        start = self.tokenize(self.frame["prefix"], True)
        tokens = prompt.prompt_ids(self.tokenize, self.frame, text[:LONGEST], context)
        room = self.llm.n_ctx() - MOST_TOKENS - 1
        return tokens if len(tokens) <= room else start + tokens[len(start) - room :]

    def tokenize(self, text, special):
        return self.llm.tokenize(text.encode("utf-8", "replace"), add_bos=False, special=special)

    def feed(self, tokens):
        """Logits (numpy, n_vocab, valid until the next call) after these tokens; what is in the KV cache already is not computed again."""
        import numpy as np

        same = 0
        for a, b in zip(self.cached, tokens, strict=False):
            if a != b:
                break
            same += 1
        same = min(same, len(tokens) - 1)
        self.llm.n_tokens = same
        self.llm.eval(tokens[same:])
        self.cached = list(tokens)
        pointer = self.lib.llama_get_logits_ith(self.ctx, -1)
        return np.ctypeslib.as_array(pointer, shape=(self.n_vocab,))

    def log_likelihoods(self, text, context, answer):
        """Natural log of the probability of each token of an answer (with EOS), given the request."""
        start = self.prompt_tokens(text, context)
        wanted = [*self.tokenize(answer, False), self.eos]
        out = []
        logits = self.feed(start)
        for i, token in enumerate(wanted):
            out.append(float(logits[token]) - log_sum(logits))
            if i + 1 < len(wanted):
                logits = self.feed(start + wanted[: i + 1])
        return out

    def piece(self, token):
        return self.llm.detokenize([token], special=False)

    def best_allowed(self, matcher, logits):
        """The likeliest token that the grammar allows."""
        import numpy as np

        allowed = np.unpackbits(np.frombuffer(matcher.compute_bitmask(), np.uint8), bitorder="little")[: self.n_vocab]
        return int(np.where(allowed, logits, -np.inf).argmax())


def torn_values(answer, source, schema):
    """Names of the string arguments whose value is not made of whole words of the prompt: letters were lost or added in copying, or it
    was made up. "@me" and a value of the schema are none."""
    if answer["type"] != "command":
        return []
    sub = schema.by_key[answer["command"], answer["subcommand"]]
    return [
        name
        for name, value in answer["args"].items()
        if sub.arg[name].type in ("string", "path")
        and value not in ("@me", sub.arg[name].default)
        and not re.search(rf"(?<!\w){re.escape(value)}(?!\w)", source)
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


def log_sum(logits):
    """log of the sum of exp, in float64: the normaliser of the model's own distribution, before any mask."""
    import numpy as np

    top = float(logits.max())
    return top + math.log(float(np.exp(logits.astype(np.float64) - top).sum()))
