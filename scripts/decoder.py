"""A loaded GGUF that writes answers by the grammar of a CLI: the likeliest one and its rivals. Needs llama-cpp-python, llguidance and numpy.

Four in five characters of an answer are forced by the grammar: they are fed in one batch, and the model is asked only where there
is a choice. Where a choice was close, the other way is followed too.
"""

import json
import math
import os
from dataclasses import dataclass, field
from itertools import islice

import prompt
from grammar import lark
from rows import canonical, dumps
from utils import display, fail

LONGEST = 2000  # characters of a request that are read; people type about 50
MOST_TOKENS = 400  # of an answer
BRANCHES = 3  # close choices that are followed the other way too
CLOSE = 0.15  # a second choice is close from this share of the probability of the first
LOST = 3.0  # nats behind the greedy reading, from which another is given up
END = b'"confidence": '  # the answer ends here: the number is computed, not generated
QUESTION = b'{"type": "clarification"'


@dataclass
class Hypothesis:
    """One way to read a request.

    answer: a dict in canonical form whose "confidence" is open. tokens: of its text. trail: (number of tokens, natural log of their
    probability) at the start and behind each choice: the model's own, before any mask; the words of a question count for nothing.
    rivals: (ratio to the first choice, tokens, trail) of each close choice, up to and with the other way.
    """

    answer: dict
    tokens: list
    trail: list
    rivals: list = field(default_factory=list)

    @property
    def probability(self):
        """Of all its choices; of a question that is the choice to ask."""
        return math.exp(self.trail[-1][1])


class Decoder:
    """Not thread-safe: it keeps one KV cache, of which the constant start of the prompt is reused."""

    def __init__(self, path, schema, frame, n_ctx, branch=True):
        """path: a GGUF file; schema: of its CLI; frame: the parts of its prompt (prefix, suffix, eos); branch: follow close choices."""
        import llama_cpp
        from llguidance.llamacpp import lltokenizer_from_vocab

        self.schema, self.frame, self.lib = schema, frame, llama_cpp
        try:
            self.llm = llama_cpp.Llama(str(path), n_ctx=n_ctx, n_batch=512, n_threads=threads(), verbose=False)
        except ValueError:
            fail(f"{display(path)} cannot be loaded by llama.cpp; make it again with train-quantize")
        self.ctx, self.vocab = self.llm.ctx, llama_cpp.llama_model_get_vocab(self.llm.model)
        self.n_vocab = llama_cpp.llama_vocab_n_tokens(self.vocab)
        self.eos = self.tokenize(self.frame["eos"], True)[-1]
        self.vocabulary = lltokenizer_from_vocab(self.vocab, eos_token=self.eos)
        self.matcher, self.branch = self.new_matcher(), branch
        self.cached = []

    def new_matcher(self, words=None, context=None):
        """llguidance's matcher at the start of an answer (each answer works on a copy of it); words, context: see grammar.lark()."""
        from llguidance import LLMatcher

        matcher = LLMatcher(self.vocabulary, LLMatcher.grammar_from_lark(lark(self.schema, words, context)))
        if matcher.is_error() and words is not None:
            return None  # a text that is too much for it
        if matcher.is_error():
            fail(
                f"the grammar of {self.schema.cli} cannot be read: {matcher.get_error()}; that is a bug, please report it"
            )
        return matcher

    # ------------------------------------------------------------------------------------------------------ readings
    def readings(self, start, worth=lambda tokens: True):
        """The ways to read a request (its prompt tokens): the greedy one, then others; [] when the model loses itself.

        worth: of the beginning of another reading, whether it is followed. Of another reading that is a question only the type is known:
        its words are not decoded."""
        first = self.decode(start, self.matcher, branch=self.branch)
        if first is None:
            return []
        close = list(islice((r for r in sorted(first.rivals, reverse=True) if worth(r[1])), BRANCHES))
        least = first.trail[-1][1] - LOST
        # the latest first, so that what comes before it is in the KV cache
        others = [
            self.decode(start, self.matcher, head, trail, least, wordless=True)
            for _, head, trail in sorted(close, key=lambda r: -len(r[1]))
        ]
        return [first, *filter(None, others)]

    def decode(
        self, start, matcher, head=(), trail=((0, 0.0),), least=-math.inf, branch=False, wordless=False, copying=False
    ):
        """The Hypothesis after these prompt tokens by the grammar of a matcher, taking the likeliest choice; None when the model loses itself.

        head: tokens that the answer begins with, trail: of them; a reading that falls under `least` (nats) is given up.
        branch: note close choices. wordless: a question needs no words. copying: where the likeliest token is not allowed, the probability
        is that among those which are.
        """
        matcher, tokens, trail, rivals, asks = matcher.deep_copy(), [*start, *head], list(trail), [], False
        if matcher.validate_tokens(list(head)) < len(head) or not matcher.consume_tokens(list(head)):
            return None
        written = b"".join(map(self.piece, head))  # bytes: a letter may take several tokens
        while len(tokens) - len(start) < MOST_TOKENS and trail[-1][1] >= least:
            forced = matcher.compute_ff_tokens()
            matcher.consume_tokens(forced)
            tokens += forced
            written += b"".join(map(self.piece, forced))
            asks = written.startswith(QUESTION)
            if asks and wordless:
                return Hypothesis({"type": "clarification"}, tokens[len(start) :], trail)
            if written.endswith(END):
                answer = self.close(written)
                return answer and Hypothesis(answer, tokens[len(start) :], trail, rivals)
            logits = self.feed(tokens)
            token = int(logits.argmax())
            fits = bool(matcher.validate_tokens([token]))
            if not fits:
                token = self.best_allowed(matcher, logits)
            total = 0.0 if asks else log_sum(logits if fits or not copying else logits[self.allowed(matcher)])
            chosen = (
                0.0 if asks else float(logits[token]) - total
            )  # the words of a question do not lower its probability
            if branch and chosen < -math.log1p(CLOSE):  # otherwise nothing can be close
                rival = self.best_allowed(matcher, logits, token)
                ratio = math.exp(float(logits[rival] - logits[token]))
                if rival != token and ratio >= CLOSE:
                    other = [*tokens[len(start) :], rival]
                    rivals.append((ratio, other, [*trail, (len(other), trail[-1][1] + float(logits[rival]) - total)]))
            if token == self.eos or not matcher.consume_token(token):
                break
            tokens.append(token)
            trail.append((len(tokens) - len(start), trail[-1][1] + chosen))
            written += self.piece(token)
        return None

    def copied(self, start, matcher, reading):
        """The Hypothesis that a reading becomes by a matcher which allows only copies as values, from its first token on that is none."""
        kept = matcher.validate_tokens(reading.tokens)
        trail = [mark for mark in reading.trail if mark[0] <= kept]
        return self.decode(start, matcher, reading.tokens[:kept], trail, copying=True)

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

    def best_allowed(self, matcher, logits, but=None):
        """The likeliest token that the grammar allows (`but` only where it allows no other)."""
        import numpy as np

        allowed = self.allowed(matcher)
        if but is not None and allowed.sum() > 1:
            allowed[but] = False
        return int(np.where(allowed, logits, -np.inf).argmax())

    def allowed(self, matcher):
        """Whether the grammar allows each token (numpy, n_vocab)."""
        import numpy as np

        bits = np.frombuffer(matcher.compute_bitmask(), np.uint8)
        return np.unpackbits(bits, bitorder="little")[: self.n_vocab].astype(bool)


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
