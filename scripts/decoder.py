"""A loaded GGUF that writes answers by the grammar of a CLI: the likeliest one and its rivals. Needs llama-cpp-python, llguidance and numpy.

Four in five characters of an answer are forced by the grammar: they are fed in one batch, and the model is asked only where there
is a choice. Where a choice was close, the other way is followed too.
"""

import ctypes
import json
import math
import os
from dataclasses import dataclass, field
from pathlib import Path

import prompt
from grammar import lark
from rows import canonical, dumps
from utils import display, fail

LONGEST = 2000  # characters of a request that are read; people type about 50
MOST_TOKENS = 400  # of an answer
BRANCHES = 2  # close choices that are followed the other way too, beside that between command and question
CLOSE = 0.15  # a second choice is close from this share of the probability of the first
LOST = 3.0  # nats behind the greedy reading, from which another is given up
END = b'"confidence": '  # the answer ends here: the number is computed, not generated
QUESTION = b'{"type": "clarification"'
EITHER = '{"type": "c'  # of a command, too


@dataclass
class Hypothesis:
    """One way to read a request.

    answer: a dict in canonical form whose "confidence" is open. probability: the model's own of the choices that make it, before any
    mask; of a question that is the choice to ask, whatever its words. head: its tokens up to where it has left the greedy reading, that
    choice included. rivals: (ratio to the first choice, head, natural log of the probability up to there) of each close choice.
    """

    answer: dict
    probability: float
    head: list
    rivals: list = field(default_factory=list)


def load(path, n_ctx):
    """(llama_cpp.Llama, {key: text} of its clitron.* metadata) of a GGUF file, or one line where it is none or a part of one."""
    import llama_cpp

    if not Path(path).exists():
        raise FileNotFoundError(path)
    try:
        llm = llama_cpp.Llama(str(path), n_ctx=n_ctx, n_batch=512, n_threads=threads(), verbose=False)
    except ValueError:
        fail(
            f"{display(path)} cannot be loaded by llama.cpp: it is no GGUF file, or a part of one, or memory is short; "
            "make it again with train-quantize"
        )

    def text(key):  # llm.metadata loses the last letter of some values
        size = llama_cpp.llama_model_meta_val_str(llm.model, key.encode(), ctypes.create_string_buffer(1), 1) + 1
        buffer = ctypes.create_string_buffer(size)
        llama_cpp.llama_model_meta_val_str(llm.model, key.encode(), buffer, size)
        return buffer.value.decode()

    return llm, {key.removeprefix("clitron."): text(key) for key in llm.metadata if key.startswith("clitron.")}


class Decoder:
    """Not thread-safe: it keeps one KV cache, of which the constant start of the prompt is reused."""

    most = None  # tokens of an answer by the grammar, where that is not MOST_TOKENS

    def __init__(self, llm, schema, frame, branch=True):
        """llm: of load(); schema: of its CLI; frame: the parts of its prompt (prefix, suffix, eos); branch: follow close choices."""
        import llama_cpp
        from llguidance.llamacpp import lltokenizer_from_vocab

        self.llm, self.schema, self.frame, self.lib = llm, schema, frame, llama_cpp
        self.ctx, self.vocab = self.llm.ctx, llama_cpp.llama_model_get_vocab(self.llm.model)
        self.n_vocab = llama_cpp.llama_vocab_n_tokens(self.vocab)
        self.eos = self.tokenize(self.frame["eos"], True)[-1]
        self.vocabulary = lltokenizer_from_vocab(self.vocab, eos_token=self.eos)
        self.matcher, self.branch = self.new_matcher(), branch
        self.cached = []

    def new_matcher(self):
        """llguidance's matcher at the start of an answer (each answer works on a copy of it)."""
        from llguidance import LLMatcher

        matcher = LLMatcher(self.vocabulary, LLMatcher.grammar_from_lark(lark(self.schema)))
        if matcher.is_error():
            fail(
                f"the grammar of {self.schema.cli} cannot be read: {matcher.get_error()}; that is a bug, please report it"
            )
        return matcher

    # ------------------------------------------------------------------------------------------------------ readings
    def readings(self, start, worth=lambda written: True):
        """The ways to read a request (its prompt tokens): the greedy one, then others, none twice; [] when the model loses itself.

        worth: of the text that another reading begins with, whether it is followed. Of another reading that is a question only the type is
        known: its words are not decoded."""
        first = self.decode(start, self.matcher, branch=self.branch)
        if first is None:
            return []
        found, asking, close = [first], [], []
        for rival in sorted(first.rivals, reverse=True):
            written = self.written(rival[1])
            if len(written) > len(EITHER) and QUESTION.startswith(written.encode()):
                asking.append(rival)  # costs no time
            elif len(close) < BRANCHES and worth(written):
                close.append(rival)
        least = math.log(max(first.probability, 1e-300)) - LOST
        # the latest first, so that what comes before it is in the KV cache
        for _, head, log in sorted(asking + close, key=lambda r: -len(r[1])):
            other = self.decode(start, self.matcher, head, log, least, wordless=True)
            same = other and next((r for r in found if decided(r.answer) == decided(other.answer)), None)
            if same:  # other tokens for the same text, say
                same.probability += other.probability
            elif other:
                found.append(other)
        return found

    def decode(self, start, matcher, head=(), log=0.0, least=-math.inf, branch=False, wordless=False):
        """The Hypothesis after these prompt tokens by the grammar of a matcher, taking the likeliest choice; None when the model loses itself.

        head: tokens that the answer begins with, log: natural log of their probability; a reading that falls under `least` is given up.
        branch: note close choices. wordless: a question needs no words.
        """
        matcher, tokens, sure, rivals, asks = matcher.deep_copy(), [*start, *head], log, [], False
        if matcher.validate_tokens(list(head)) < len(head) or not matcher.consume_tokens(list(head)):
            return None
        written = b"".join(map(self.piece, head))  # bytes: a letter may take several tokens
        while len(tokens) - len(start) < (self.most or MOST_TOKENS) and sure >= least:
            forced = matcher.compute_ff_tokens()
            matcher.consume_tokens(forced)
            tokens += forced
            written += b"".join(map(self.piece, forced))
            asks = written.startswith(QUESTION)
            if asks and wordless:
                return Hypothesis({"type": "clarification"}, math.exp(sure), list(head))
            if written.endswith(END):
                answer = self.close(written)
                return answer and Hypothesis(answer, math.exp(sure), list(head), rivals)
            logits = self.feed(tokens)
            token = int(logits.argmax())
            if not matcher.validate_tokens([token]):
                token = self.best_allowed(matcher, logits)
            total = 0.0 if asks else log_sum(logits)  # the words of a question do not lower its probability
            chosen = 0.0 if asks else float(logits[token]) - total
            if branch and chosen < -math.log1p(CLOSE):  # otherwise nothing can be close
                rival = self.best_allowed(matcher, logits, token)
                ratio = math.exp(float(logits[rival] - logits[token]))
                if rival != token and ratio >= CLOSE:
                    rivals.append((ratio, [*tokens[len(start) :], rival], sure + float(logits[rival]) - total))
            if token == self.eos or not matcher.consume_token(token):
                break
            sure += chosen
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

    def close(self, written):
        """The canonical answer of a text that ends where its confidence would stand; None where it is no text."""
        try:
            answer = json.loads((written + b"0}").decode())
            dumps(answer).encode()
        except ValueError:  # half a character, as bytes or as \u escapes, which the grammar cannot rule out
            return None
        if answer["type"] == "clarification":
            answer["suggestions"] = [
                s for i, s in enumerate(answer["suggestions"]) if s not in answer["suggestions"][:i]
            ]
        return canonical(answer, self.schema)

    # -------------------------------------------------------------------------------------------------------- tokens
    def prompt_tokens(self, text, context):
        """Token ids of the prompt; of one that is too long, the constant start and the end (the request itself) are kept."""
        start = self.tokenize(self.frame["prefix"], True)
        tokens = prompt.prompt_ids(self.tokenize, self.frame, text[:LONGEST], context)
        return tokens if len(tokens) <= self.room() else start + tokens[len(start) - self.room() :]

    def room(self):
        """How many tokens of a prompt there is room for."""
        return self.llm.n_ctx() - MOST_TOKENS - 1

    def fits(self, text, context):
        """Whether a request is read whole."""
        return len(text) <= LONGEST and len(prompt.prompt_ids(self.tokenize, self.frame, text, context)) <= self.room()

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
        rows = [self.feed(start).copy(), *self.feed_each(start, wanted[:-1])]
        return [float(logits[token]) - log_sum(logits) for logits, token in zip(rows, wanted, strict=True)]

    def feed_each(self, start, tokens):
        """Logits after each of these tokens, computed together, behind a start that was fed just now."""
        import numpy as np

        out = []
        for at in range(0, len(tokens), self.llm.n_batch):
            some = tokens[at : at + self.llm.n_batch]
            batch = self.lib.llama_batch_init(len(some), 0, 1)
            try:
                batch.n_tokens = len(some)
                for i, token in enumerate(some):
                    batch.token[i], batch.pos[i], batch.logits[i] = token, len(start) + at + i, 1
                    batch.n_seq_id[i], batch.seq_id[i][0] = 1, 0
                if self.lib.llama_decode(self.ctx, batch):
                    raise RuntimeError("llama.cpp has no room for the answer")
                found = (self.lib.llama_get_logits_ith(self.ctx, i) for i in range(len(some)))
                out += [np.ctypeslib.as_array(row, shape=(self.n_vocab,)).copy() for row in found]
            finally:
                self.lib.llama_batch_free(batch)
        self.llm.n_tokens = len(start) + len(tokens)
        self.cached = [*start, *tokens]
        return out

    def written(self, tokens):
        """Their text; half a letter at the end is left out."""
        return b"".join(map(self.piece, tokens)).decode("utf-8", "ignore")

    def piece(self, token):
        return self.llm.detokenize([token], special=False)

    def best_allowed(self, matcher, logits, but=None):
        """The likeliest token that the grammar allows (`but` only where it allows no other)."""
        import numpy as np

        allowed = np.unpackbits(np.frombuffer(matcher.compute_bitmask(), np.uint8), bitorder="little")[: self.n_vocab]
        if but is not None and allowed.sum() > 1:
            allowed[but] = 0
        return int(np.where(allowed, logits, -np.inf).argmax())


def threads():
    """Threads for one token at a time: half of the logical cores, as llama-cpp-python has it, but both of two, and no more than four."""
    cores = os.cpu_count() or 1
    return min(cores, 4, max(2, cores // 2))


def decided(answer):
    """What an answer comes to: all questions count as one."""
    return None if answer["type"] == "clarification" else {k: v for k, v in answer.items() if k != "confidence"}


def log_sum(logits):
    """log of the sum of exp, in float64: the normaliser of the model's own distribution, before any mask."""
    import numpy as np

    top = float(logits.max())
    return top + math.log(float(np.exp(logits.astype(np.float64) - top).sum()))
