"""What a score has to beat: a lookup table, the nearest neighbour, a classical intent-and-slot model, the untuned base, on the same training rows.

Each baseline is a function answer(instruction, context) -> JSON text in canonical form. What is heavy is imported where it is needed.

  lookup     the same words: its answer; otherwise a question
  nearest    the answer of the training row whose words and context are most alike (TF-IDF of character n-grams)
  classical  a linear classifier of the subcommand (or "ask"), one of each flag, and a linear tagger of the words that are values
  few_shot   the bundled base, untuned, with eight training rows in its prompt and the same grammar and grounding as our model
"""

import functools
import json
import random
import re
from collections import defaultdict

import rows
from phrasebook import convert
from rows import spell

TOKEN = re.compile(r"""[\w@~][\w@./:=~+-]*|[^\w\s]""")
NUMBERS = {spell(n): n for n in range(100)}


def plain(text):
    return " ".join(text.lower().split())


def question(schema):
    return rows.dumps(rows.clarification(schema, "unclear", []))


def lookup(train, schema):
    known = {plain(r["instruction"]): r["output"] for r in train}
    otherwise = question(schema)
    return lambda instruction, context: known.get(plain(instruction), otherwise)


def words_of(row):
    """Words and context of a row as one text."""
    context = " ".join(f"{k}:{v}" for k, v in rows.flatten(row["context"]).items())
    return f"{row['instruction']} | {context}"


def nearest(train, schema):
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5))
    matrix = vectorizer.fit_transform([words_of(r) for r in train])

    def answer(instruction, context):
        similar = matrix @ vectorizer.transform([words_of({"instruction": instruction, "context": context})]).T
        return train[int(similar.toarray().ravel().argmax())]["output"]

    return answer


# --------------------------------------------------------------------------------------------------------- classical
def label_of(answer):
    return "ask" if answer["type"] != "command" else json.dumps([answer["command"], answer["subcommand"]])


def tokens(text):
    """[(token, start, end)] of a text."""
    return [(m[0], m.start(), m.end()) for m in TOKEN.finditer(text)]


def tags(instruction, args):
    """The argument that each token of an instruction belongs to, or "" : where its value stands in the words."""
    found, out = tokens(instruction), []
    spans = []
    for name, value in args.items():
        text = str(value)
        at = instruction.find(text)
        if at < 0 and isinstance(value, int):
            word = spell(value) if 0 <= value < 100 else None
            m = re.search(rf"\b{word}\b", instruction.lower()) if word else None
            at, text = (m.start(), m[0]) if m else (-1, "")
        if at >= 0:
            spans.append((at, at + len(text), name))
    for _, start, end in found:
        out.append(next((name for a, b, name in spans if start < b and end > a), ""))
    return out


@functools.lru_cache(maxsize=100_000)  # the same words come again and again
def shape(word):
    """Letters and digits of a word in short: v1.2 is a0.0."""
    return re.sub(r"[a-z]+", "a", re.sub(r"\d+", "0", word))[:12]


def features(found, i, label):
    """What the tagger sees of a token: itself, its shape and its neighbours, for the subcommand that was chosen."""
    out = {"label": label}
    for d in (-2, -1, 0, 1, 2):
        word = found[i + d][0].lower() if 0 <= i + d < len(found) else "-"
        out[f"w{d}"], out[f"s{d}"] = word, shape(word)
        if d in (-1, 0):
            out[f"l{d}"] = label + word
    return out


def small(matrix):
    """A sparse matrix with the 32-bit indices that the solvers want."""
    matrix = matrix.tocsr()
    matrix.indices, matrix.indptr = matrix.indices.astype("int32"), matrix.indptr.astype("int32")
    return matrix


def fit(model, x, y):
    """A classifier of y, also where there is one class alone: a tool without free arguments has nothing to tag."""
    import warnings

    from sklearn.dummy import DummyClassifier
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the steps are few on purpose, to save time
        return (model if len(set(y)) > 1 else DummyClassifier(strategy="most_frequent")).fit(x, y)


def classical(train, schema):
    from sklearn.feature_extraction import DictVectorizer
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import SGDClassifier
    from sklearn.pipeline import FeatureUnion

    answers = [json.loads(r["output"]) for r in train]
    labels = [label_of(a) for a in answers]
    union = FeatureUnion(
        [
            ("words", TfidfVectorizer(ngram_range=(1, 3), token_pattern=r"[\w'-]+", sublinear_tf=True)),
            ("letters", TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True)),
        ]
    )

    def masked(row):  # which context fields there are decides whether "this" can be resolved; their values do not
        return (
            plain(row["instruction"])
            + " "
            + " ".join(f"has_{k.replace('.', '_')}" for k in rows.flatten(row["context"]))
        )

    x = small(union.fit_transform([masked(r) for r in train]))
    several = {"random_state": 0, "n_jobs": -1}  # a classifier for each class, in threads: the same result, sooner
    intent = fit(SGDClassifier(loss="modified_huber", alpha=1e-5, max_iter=40, **several), x, labels)
    yes_no = {}  # (label, flag, or an argument that comes from the context or is a fixed value)
    by_label = defaultdict(list)
    for i, label in enumerate(labels):
        by_label[label].append(i)
    for label, some in by_label.items():
        if label == "ask":
            continue
        marks, none = {}, [False] * len(some)
        for n, i in enumerate(some):
            a = answers[i]
            for f in a["flags"]:
                marks.setdefault(("flag", f, None), [*none])[n] = True
            said = set(tags(train[i]["instruction"], a["args"]))
            sub = schema.by_key[a["command"], a["subcommand"]]
            for name, value in a["args"].items():
                if sub.arg[name].type in ("enum", "boolean") or value == "@me":
                    marks.setdefault(("fixed", name, value), [*none])[n] = True
                elif name not in said:
                    marks.setdefault(("context", name, None), [*none])[n] = True
        for key, y in marks.items():
            if 0 < sum(y) < len(y):
                yes_no[label, *key] = SGDClassifier(loss="log_loss", alpha=1e-4, random_state=0).fit(x[some], y)
            elif all(y):
                yes_no[label, *key] = None
    seen, wanted = [], []
    for r, a, label in zip(train, answers, labels, strict=True):
        if label != "ask":
            found = tokens(r["instruction"])
            seen += [features(found, i, label) for i in range(len(found))]
            wanted += tags(r["instruction"], a["args"])
    encoder = DictVectorizer()
    if seen:
        linear = SGDClassifier(loss="log_loss", alpha=1e-6, max_iter=20, **several)
        tagger = fit(linear, small(encoder.fit_transform(seen)), wanted)

    def answer(instruction, context):
        one = small(union.transform([masked({"instruction": instruction, "context": context})]))
        label = intent.predict(one)[0]
        if label == "ask":
            return question(schema)
        sub = schema.by_key[tuple(json.loads(label))]
        args, flags, known = values(instruction, sub, label), set(), rows.flatten(context)
        for (of, kind, name, value), model in yes_no.items():
            if of != label or not (model is None or model.predict(one)[0]):
                continue
            if kind == "flag":
                flags.add(name)
            elif kind == "fixed":
                args.setdefault(name, value)
            elif sub.arg[name].from_context in known:
                args.setdefault(name, known[sub.arg[name].from_context])
        if any(a.required and a.name not in args for a in sub.args):
            return question(schema)
        return rows.dumps(rows.command(sub, args, flags))

    def values(instruction, sub, label):
        found = tokens(instruction)
        if not found:
            return {}
        marked = tagger.predict(small(encoder.transform([features(found, i, label) for i in range(len(found))])))
        out = {}
        for name, arg in sub.arg.items():
            places = [i for i, m in enumerate(marked) if m == name]
            if not places or arg.type in ("enum", "boolean"):
                continue
            last = places[0]
            while last + 1 in places:
                last += 1
            text = instruction[found[places[0]][1] : found[last][2]].strip("\"'`#")
            value = NUMBERS.get(text.lower(), text) if arg.type == "integer" else text
            value = convert(arg, value) if isinstance(value, str) else value
            if arg.type in ("integer", "float") and isinstance(value, str):
                continue
            if value != "":
                out[name] = value
        return out

    return answer


# --------------------------------------------------------------------------------------------------------- few shots
def shots(train, number=8):
    """Training rows to show: short ones, a quarter of them questions, no two of one subcommand, with and without context."""
    ordered = sorted(train, key=lambda r: len(r["output"]) + len(words_of(r)))
    answers = {"ask": [], True: [], False: []}
    seen = set()
    for r in ordered[len(ordered) // 4 :]:  # the shortest show too little
        answer = json.loads(r["output"])
        label = label_of(answer) if answer["type"] == "command" else answer["message"]
        if label not in seen:
            seen.add(label)
            answers["ask" if answer["type"] != "command" else bool(r["context"])].append(r)
    asks = number // 4
    some = answers["ask"][:asks] + answers[True][: (number - asks) // 2]
    return some + answers[False][: number - len(some)]


class Template:
    """The chat template of a GGUF, called as prompt.frame() calls that of a tokenizer: importing transformers takes seconds."""

    def __init__(self, llm):
        from llama_cpp.llama_chat_format import Jinja2ChatFormatter

        self.eos_token = llm.detokenize([llm.token_eos()], special=True).decode()
        self.render = Jinja2ChatFormatter(llm.metadata["tokenizer.chat_template"], self.eos_token, "")

    def apply_chat_template(self, messages, tokenize, add_generation_prompt):
        return self.render(messages=messages).prompt


def few_shot(train, schema):
    import base_model
    import decoder
    import prompt
    from interpreter import Interpreter

    llm, _ = decoder.load(base_model.BUNDLED_GGUF, 2048)
    template, some = Template(llm), shots(train)
    frame = prompt.frame(template, schema, some)
    while some and len(llm.tokenize(frame["prefix"].encode(), special=True)) > MOST_SHOWN:
        some.pop()
        frame = prompt.frame(template, schema, some)
    model = Interpreter(base_model.BUNDLED_GGUF, facts={"schema": schema.raw, "prompt": frame})
    longest = max((r["output"] for r in train), key=len)
    model.most = len(model.tokenize(longest, False))  # it often comes to no end, which counts as a question
    return model.complete


ALL = {"lookup table": lookup, "nearest neighbour": nearest, "intent and slots": classical}
SLOW = {"untuned SmolLM2-135M, 8 shots": few_shot}  # as slow as the model itself
SLOW_CASES = 30  # enough for a baseline that is far behind
MOST_SHOWN = 1200  # tokens of the shots: the request and the answer need room too


def predictions(train, schema, cases):
    """(name, [case numbers], [answer text]) of every baseline; a slow one answers a random sample of SLOW_CASES."""
    every = range(len(cases))
    some = sorted(random.Random(0).sample(every, min(SLOW_CASES, len(cases))))
    for name, make in {**ALL, **SLOW}.items():
        answer, chosen = make(train, schema), some if name in SLOW else every
        yield name, list(chosen), [answer(cases[i]["instruction"], cases[i].get("context")) for i in chosen]
