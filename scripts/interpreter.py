"""The part that a host tool needs: load a GGUF that `just train-quantize` wrote, turn words and context into an answer.

    interpreter = Interpreter("clitron-gh-q4_k_m.gguf")
    answer = interpreter.interpret("merge this", {"git": {"current_pr": 12}})

The file carries its own contract (`clitron.*` metadata): CLI schema, prompt and format. Needs llama-cpp-python and numpy.
"""

import ctypes
import json
import math
from pathlib import Path

import prompt
import schema as cli_schema
from grammar import gbnf
from rows import canonical, clarification, dumps, ungrounded
from utils import FORMAT, display, fail

LONGEST = 2000  # characters of a request that are read; people type about 50
MOST_TOKENS = 400  # of an answer
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

    def __init__(self, path, n_ctx=2048):
        import llama_cpp

        facts = contract(path)
        self.schema, _ = cli_schema.from_raw(facts["schema"])
        self.frame, self.facts = facts["prompt"], facts
        self.lib = llama_cpp
        try:
            self.llm = llama_cpp.Llama(str(path), n_ctx=n_ctx, n_batch=512, verbose=False)
        except ValueError:
            fail(f"{display(Path(path))} cannot be loaded by llama.cpp; make it again with train-quantize")
        self.ctx, self.vocab = self.llm.ctx, llama_cpp.llama_model_get_vocab(self.llm.model)
        self.n_vocab = llama_cpp.llama_vocab_n_tokens(self.vocab)
        self.eos = self.tokenize(self.frame["eos"], True)[-1]
        self.grammar = llama_cpp.llama_sampler_init_grammar(self.vocab, gbnf(self.schema).encode(), b"root")
        if not self.grammar:
            fail(f"llama.cpp cannot read the grammar of {self.schema.cli}; that is a bug, please report it")
        self.cached = []

    # ------------------------------------------------------------------------------------------------------- answers
    def interpret(self, text, context=None):
        """A valid answer as a dict, in canonical form, for words (str) and context (dict or None)."""
        return json.loads(self.complete(text, context))

    def complete(self, text, context=None, constrained=True):
        """The JSON text of the answer. Without constraint it is what the model says, valid or not."""
        logits = self.feed(self.prompt_tokens(text, context))
        sampler = self.lib.llama_sampler_clone(self.grammar) if constrained else None
        written, sure, deciding = b"", 0.0, True  # bytes: a letter may take several tokens
        try:
            for _ in range(MOST_TOKENS):
                token = int(logits.argmax())
                if sampler and not self.allows(sampler, token):
                    token = self.best_allowed(sampler, logits)
                if token == self.eos or self.lib.llama_vocab_is_eog(self.vocab, token):
                    break
                if deciding:
                    sure += float(logits[token]) - log_sum(logits)
                if sampler:
                    self.lib.llama_sampler_accept(sampler, token)
                written += self.piece(token)
                deciding = deciding and not written.startswith(b'{"type": "clarification"')
                if constrained and written.endswith(END):
                    return self.close(written, math.exp(sure), text[:LONGEST], context)
                logits = self.feed([*self.cached, token])
        finally:
            if sampler:
                self.lib.llama_sampler_free(sampler)
        if not constrained:
            return written.decode("utf-8", "replace")
        return self.give_up()

    def close(self, written, probability, text, context):
        """The canonical text of an answer whose confidence is still open; values that nobody said go."""
        try:
            answer = json.loads((written + b"0}").decode())
            dumps(answer).encode()
        except ValueError:  # half a character, as bytes or as \u escapes, which the grammar cannot rule out
            return self.give_up()
        answer["confidence"] = round(probability, 3)
        if answer["type"] == "clarification":
            answer["suggestions"] = [
                s for i, s in enumerate(answer["suggestions"]) if s not in answer["suggestions"][:i]
            ]
        fit = canonical(answer, self.schema)
        return dumps(self.grounded(fit, text, context)) if fit else self.give_up()

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
                return {**question, "confidence": round(1 - answer["confidence"], 3)}
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

    def allows(self, sampler, token):
        data = (self.lib.llama_token_data * 1)(self.lib.llama_token_data(token, 1.0, 0.0))
        array = self.lib.llama_token_data_array(data=data, size=1, selected=-1, sorted=False)
        self.lib.llama_sampler_apply(sampler, ctypes.byref(array))
        return array.data[0].logit > -math.inf

    def best_allowed(self, sampler, logits):
        """The likeliest token that the grammar allows: the hundred likeliest are tried before a mask over all is paid for."""
        import numpy as np

        likely = np.argpartition(logits, -100)[-100:]
        for token in likely[np.argsort(-logits[likely])]:
            if self.allows(sampler, int(token)):
                return int(token)
        every = np.zeros(self.n_vocab, dtype=[("id", "i4"), ("logit", "f4"), ("p", "f4")])  # llama_token_data
        every["id"], every["logit"] = np.arange(self.n_vocab), logits
        data = every.ctypes.data_as(ctypes.POINTER(self.lib.llama_token_data))
        array = self.lib.llama_token_data_array(data=data, size=self.n_vocab, selected=-1, sorted=False)
        self.lib.llama_sampler_apply(sampler, ctypes.byref(array))
        return int(every["id"][every["logit"].argmax()])


def log_sum(logits):
    """log of the sum of exp, in float64: the normaliser of the model's own distribution, before any mask."""
    import numpy as np

    top = float(logits.max())
    return top + math.log(float(np.exp(logits.astype(np.float64) - top).sum()))
