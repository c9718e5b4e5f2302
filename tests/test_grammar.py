"""The grammar of answers, judged by llama.cpp itself: over a vocabulary of the 256 bytes it reads a text byte by byte."""

import ctypes
import itertools
import json
import math
import random

import gguf
import jsonschema
import llama_cpp
import pytest
import schema as cli_schema
import yaml
from grammar import gbnf, json_schema, lark
from hypothesis import given, settings
from hypothesis import strategies as st
from llguidance import LLMatcher, LLTokenizer
from rows import answer_faults, canonical, clarification, command, dumps, suggestion

END = 256  # the token after the last byte

LAB = yaml.safe_load(r"""
cli_name: lab
description: Odd shapes of arguments
commands:
  - name: mix
    args:
      - {name: speed, type: float}
      - {name: amount, type: integer, required: true}
      - {name: gentle, type: boolean}
      - {name: colour, type: enum, values: [red, 'deep "blue"', grün, 日本, 'a\b', 'true']}
      - {name: into, type: path, required: true}
      - {name: note, type: string}
    flags:
      - {name: dry-run}
      - {name: verbose}
      - {name: keep}
  - name: status
  - name: rinse
    flags:
      - {name: hot}
      - {name: long}
  - name: shelf
    subcommands:
      - name: list
        args:
          - {name: limit, type: integer}
          - {name: share, type: float}
      - name: clear
        args:
          - {name: last, type: boolean}
          - {name: which, type: enum, values: [top, bottom], required: true}
""")

VALUES = {
    "string": ["x", 'say "hi" \\ now', "naïve 🎉 日本\ttab\nline\x01", "null", "@me", "[1, 2] {}", "\u2028 \ufffd"],
    "path": ["src/a b.py", "C:\\temp\\", "/", "-", "ünï/…"],
    "integer": [0, 7, 10, -3, 1234567890123],
    "float": [0, 0.5, -2.75, 3, 10.0, -0.001],
    "boolean": [True, False],
}

MIX = (
    '{"type": "command", "command": "mix", "subcommand": null, "args": {"speed": 1.5, "amount": 3, "gentle": true, '
    '"colour": "red", "into": "bowl", "note": "slowly"}, "flags": ["dry-run", "verbose"], "confidence": 0.95}'
)
ASK = (
    '{"type": "clarification", "message": "Which one?", "suggestions": [{"label": "shelf list", "command": "shelf", '
    '"subcommand": "list"}, {"label": "status", "command": "status", "subcommand": null}], "confidence": 0.4}'
)


def byte_names():
    """The 256 bytes as tokens of a byte-level vocabulary: visible ones stand for themselves, the others for code points above 255."""
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [b for b in range(256) if b not in visible]
    names = {b: chr(b) for b in visible} | {b: chr(256 + i) for i, b in enumerate(hidden)}
    return [names[b] for b in range(256)]


@pytest.fixture(scope="module")
def vocab(tmp_path_factory):
    """llama.cpp's vocabulary of a file that holds nothing but the bytes and an end token."""
    path = tmp_path_factory.mktemp("vocab") / "bytes.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([*byte_names(), "<end>"])
    writer.add_token_types([gguf.TokenType.NORMAL] * 256 + [gguf.TokenType.CONTROL])
    writer.add_token_merges(["a a"])
    writer.add_eos_token_id(END)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    params = llama_cpp.llama_model_default_params()
    params.vocab_only = True
    model = llama_cpp.llama_model_load_from_file(str(path).encode(), params)
    assert model
    yield llama_cpp.llama_model_get_vocab(model)
    llama_cpp.llama_model_free(model)


@pytest.fixture(scope="module")
def readers(vocab):
    """name -> Reader of the grammars of gh, notes and lab."""
    lab, faults = cli_schema.from_raw(LAB)
    assert faults == []
    schemas = {"gh": cli_schema.load("gh"), "notes": cli_schema.load("notes"), "lab": lab}
    made = {name: Reader(vocab, schema) for name, schema in schemas.items()}
    yield made
    for reader in made.values():
        llama_cpp.llama_sampler_free(reader.grammar)


class Reader:
    """A grammar that llama.cpp has parsed, and what it says of a text."""

    def __init__(self, vocab, schema):
        self.schema = schema
        self.grammar = llama_cpp.llama_sampler_init_grammar(vocab, gbnf(schema).encode(), b"root")
        assert self.grammar, f"llama.cpp refuses the grammar of {schema.cli}"

    def accepts(self, text):
        """Whether the grammar takes every byte of a text and may end after the last."""
        sampler = llama_cpp.llama_sampler_clone(self.grammar)
        try:
            for byte in text.encode():
                if not allowed(sampler, [byte]):
                    return False
                llama_cpp.llama_sampler_accept(sampler, byte)
            return bool(allowed(sampler, [END]))
        finally:
            llama_cpp.llama_sampler_free(sampler)

    def walk(self, rng):
        """A text that the grammar allows, of random characters (ASCII where it can be); strings are ended early, or none would be."""
        sampler, text = llama_cpp.llama_sampler_clone(self.grammar), b""
        try:
            while True:
                choices = allowed(sampler, [*range(128), END]) or allowed(sampler, range(128, 256))
                if END in choices:
                    return text.decode()
                byte = ord('"') if ord('"') in choices and rng.random() < 0.3 else rng.choice(choices)
                llama_cpp.llama_sampler_accept(sampler, byte)
                text += bytes([byte])
        finally:
            llama_cpp.llama_sampler_free(sampler)


def allowed(sampler, tokens):
    """Those of the tokens that the grammar allows next."""
    data = (llama_cpp.llama_token_data * len(tokens))(*[llama_cpp.llama_token_data(t, 1.0, 0.0) for t in tokens])
    array = llama_cpp.llama_token_data_array(data=data, size=len(tokens), selected=-1, sorted=False)
    llama_cpp.llama_sampler_apply(sampler, ctypes.byref(array))
    return [array.data[i].id for i in range(array.size) if array.data[i].logit > -math.inf]


def subsets(items):
    return itertools.chain.from_iterable(itertools.combinations(items, n) for n in range(len(items) + 1))


def answers(schema):
    """Canonical commands: each subcommand with every subset of its optional arguments and every subset of its flags; all values."""
    values = {kind: itertools.cycle(v) for kind, v in VALUES.items()}

    def args(chosen):
        return {a.name: a.values[-1] if a.type == "enum" else next(values[a.type]) for a in chosen}

    for sub in schema.subcommands:
        required = [a for a in sub.args if a.required]
        for some in subsets([a for a in sub.args if not a.required]):
            yield command(sub, args([*required, *some]), [])
        for some in subsets(sub.flags):
            yield command(sub, args(required), [f.name for f in some])
        for arg in sub.args:
            for value in arg.values or VALUES[arg.type]:
                yield command(sub, args(required) | {arg.name: value}, [f.name for f in sub.flags], 1.0)


# ------------------------------------------------------------------------------------------------- what is accepted
@pytest.mark.parametrize("name", ["gh", "notes", "lab"])
def test_every_canonical_command_is_accepted(readers, name):
    reader, seen = readers[name], set()
    for answer in answers(reader.schema):
        assert answer_faults(answer, reader.schema) == []
        assert reader.accepts(dumps(answer)), dumps(answer)
        seen.add((answer["command"], answer["subcommand"]))
    assert seen == set(reader.schema.by_key)


@pytest.mark.parametrize("name", ["gh", "notes", "lab"])
def test_every_kind_of_question_is_accepted(readers, name):
    reader = readers[name]
    labels = list(reader.schema.by_label)
    for some in [[], *([label] for label in labels), labels[:2], labels[::-1], labels]:
        question = clarification(reader.schema, "multiple" if some else "unclear", some)
        assert reader.accepts(dumps(question)), dumps(question)


@pytest.mark.parametrize("confidence", ["0", "0.0", "0.4", "0.125", "1", "1.0"])
def test_confidence_from_0_to_1_is_accepted(readers, confidence):
    assert readers["lab"].accepts(MIX.replace("0.95", confidence))


@pytest.mark.parametrize(
    "character", ["\x7f", "\x80", "\u2028", "\ufeff", "\ufffe", "\U0010ffff", "/", "\\", '"', "\x00", "\n"]
)
def test_a_string_may_hold_any_character_as_json_spells_it(readers, character):
    assert readers["lab"].accepts(MIX.replace('"slowly"', json.dumps(character, ensure_ascii=False)))


# -------------------------------------------------------------------------------------------------- what is refused
def swap(text, old, new):
    assert text.count(old) == 1, old
    return text.replace(old, new)


COMMAND_FAULTS = [
    ('"verbose"]', '"loud"]'),
    ('"verbose"]', '"hot"]'),
    ('"verbose"]', '"Verbose"]'),
    ('"verbose"]', '"--verbose"]'),
    ('"verbose"]', '"dry-run"]'),
    ('["dry-run", "verbose"]', '["verbose", "dry-run"]'),
    ('["dry-run", "verbose"]', '["dry-run" "verbose"]'),
    ('["dry-run", "verbose"]', '["dry-run", "verbose", ]'),
    ('["dry-run", "verbose"]', '[, "verbose"]'),
    ('["dry-run", "verbose"]', '["dry-run", "verbose", "keep", "keep"]'),
    ('["dry-run", "verbose"]', '"verbose"'),
    ('["dry-run", "verbose"]', "null"),
    ('"amount": 3, ', ""),
    ('"into": "bowl", ', ""),
    ('"speed": 1.5, "amount": 3', '"amount": 3, "speed": 1.5'),
    ('"into": "bowl", "note": "slowly"', '"note": "slowly", "into": "bowl"'),
    ('"amount": 3', '"amount": 3, "amount": 3'),
    ('"amount": 3', '"amount": "3"'),
    ('"amount": 3', '"amount": 03'),
    ('"amount": 3', '"amount": -03'),
    ('"amount": 3', '"amount": +3'),
    ('"amount": 3', '"amount": 3.0'),
    ('"amount": 3', '"amount": 3e2'),
    ('"amount": 3', '"amount": -'),
    ('"amount": 3', '"amount": null'),
    ('"amount": 3', '"amount": true'),
    ('"amount": 3', '"Amount": 3'),
    ('"speed": 1.5', '"speed": "1.5"'),
    ('"speed": 1.5', '"speed": 01.5'),
    ('"speed": 1.5', '"speed": 1.'),
    ('"speed": 1.5', '"speed": .5'),
    ('"speed": 1.5', '"speed": NaN'),
    ('"speed": 1.5', '"speed": Infinity'),
    ('"speed": 1.5', '"speed": 1,5'),
    ('"gentle": true', '"gentle": "true"'),
    ('"gentle": true', '"gentle": True'),
    ('"gentle": true', '"gentle": 1'),
    ('"colour": "red"', '"colour": "green"'),
    ('"colour": "red"', '"colour": "Red"'),
    ('"colour": "red"', '"colour": "re"'),
    ('"colour": "red"', '"colour": "redder"'),
    ('"colour": "red"', '"colour": ""'),
    ('"colour": "red"', '"colour": true'),
    ('"colour": "red"', '"colour": "deep "blue""'),
    ('"colour": "red"', '"colour": "gr\\u00fcn"'),
    ('"note": "slowly"', '"note": ""'),
    ('"note": "slowly"', '"note": null'),
    ('"note": "slowly"', '"note": 5'),
    ('"note": "slowly"', '"note": slowly'),
    ('"note": "slowly"', "\"note\": 'slowly'"),
    ('"note": "slowly"', '"note": ["slowly"]'),
    ('"note": "slowly"', '"note": "slow"ly"'),
    ('"note": "slowly"', '"note": "slow\nly"'),
    ('"note": "slowly"', '"note": "slow\tly"'),
    ('"note": "slowly"', '"note": "slow\\xly"'),
    ('"note": "slowly"', '"note": "slowly\\"'),
    ('"note": "slowly"', '"note": "\\u12"'),
    ('"note": "slowly"', '"note": "slowly", "where": "here"'),
    ('"note": "slowly"', '"note": "slowly", '),
    ('"confidence": 0.95', '"confidence": 0.95, "reason": "sure"'),
    ('"confidence": 0.95', '"confidence": 1.5'),
    ('"confidence": 0.95', '"confidence": 2'),
    ('"confidence": 0.95', '"confidence": -0.5'),
    ('"confidence": 0.95', '"confidence": 0.'),
    ('"confidence": 0.95', '"confidence": 00'),
    ('"confidence": 0.95', '"confidence": "high"'),
    ('"confidence": 0.95', '"confidence": 1e-05'),
    (', "confidence": 0.95', ""),
    (', "flags": ["dry-run", "verbose"]', ""),
    ('"type": "command", ', ""),
    ('"type": "command", "command": "mix"', '"command": "mix", "type": "command"'),
    ('"subcommand": null', '"subcommand": ""'),
    ('"subcommand": null', '"subcommand": "list"'),
    ('"subcommand": null, ', ""),
    ('"command": "mix"', '"command": "stir"'),
    ('"command": "mix"', '"command": "status"'),
    ('"command": "mix"', '"command": "shelf"'),
    ('"type": "command"', '"type": "answer"'),
    ('{"type"', '{ "type"'),
    ('{"type"', ' {"type"'),
    ('"type": "command"', '"type":"command"'),
    ('"type": "command"', '"type" : "command"'),
    ('"type": "command"', '"type":  "command"'),
    ('"type": "command", ', '"type": "command",'),
    ('"type": "command", ', '"type": "command",\n'),
    ('"amount": 3, ', '"amount": 3,'),
    ('"amount": 3, ', '"amount": 3 , '),
    ('"dry-run", ', '"dry-run",'),
    ("0.95}", "0.95 }"),
    ("0.95}", "0.95} "),
    ("0.95}", "0.95}\n"),
    ("0.95}", "0.95}}"),
    ("0.95}", "0.95}{}"),
]


@pytest.mark.parametrize("old, new", COMMAND_FAULTS)
def test_a_command_with_one_fault_is_refused(readers, old, new):
    reader = readers["lab"]
    assert reader.accepts(MIX)
    assert not reader.accepts(swap(MIX, old, new))


QUESTION_FAULTS = [
    ('"Which one?"', '""'),
    ('"Which one?"', "null"),
    ('"message": "Which one?", ', ""),
    ('"label": "shelf list"', '"label": "shelf clear"'),
    ('"label": "shelf list"', '"label": "list"'),
    ('"command": "shelf"', '"command": "status"'),
    ('"subcommand": "list"', '"subcommand": "add"'),
    ('"subcommand": "list"', '"subcommand": null'),
    ('"subcommand": "list"}', '"subcommand": "list", "args": {}}'),
    ('"label": "status", ', ""),
    ('}, {"label"', '} {"label"'),
    ("null}]", "null}, ]"),
    ('"type": "clarification"', '"type": "command"'),
    (', "confidence": 0.4', ', "flags": [], "confidence": 0.4'),
    (', "confidence": 0.4', ""),
    ("0.4}", "4}"),
]


@pytest.mark.parametrize("old, new", QUESTION_FAULTS)
def test_a_question_with_one_fault_is_refused(readers, old, new):
    reader = readers["lab"]
    assert reader.accepts(ASK)
    assert not reader.accepts(swap(ASK, old, new))


@pytest.mark.parametrize("whole", [MIX, ASK])
def test_an_answer_that_is_cut_off_is_refused(readers, whole):
    reader = readers["lab"]
    assert [n for n in range(len(whole) + 1) if reader.accepts(whole[:n])] == [len(whole)]


@pytest.mark.parametrize("text", ["", "null", "{}", "[]", "status", "Sure! " + MIX, f"```json\n{MIX}\n```", f"[{MIX}]"])
def test_what_is_no_answer_is_refused(readers, text):
    assert not readers["lab"].accepts(text)


def test_each_subcommand_has_enums_flags_and_arguments_of_its_own(readers):
    gh = readers["gh"]
    merged = '{"type": "command", "command": "pr", "subcommand": "list", "args": {"state": "merged"}, "flags": [], "confidence": 1}'
    drafted = (
        '{"type": "command", "command": "pr", "subcommand": "create", "args": {}, "flags": ["draft"], "confidence": 1}'
    )
    assert gh.accepts(merged)
    assert not gh.accepts(swap(merged, '"pr"', '"issue"'))
    assert gh.accepts(drafted)
    assert not gh.accepts(swap(drafted, '"pr"', '"issue"'))
    assert not readers["notes"].accepts(merged)


def test_a_command_without_arguments_or_flags_has_one_spelling(readers):
    bare = '{"type": "command", "command": "status", "subcommand": null, "args": {}, "flags": [], "confidence": 1}'
    lab = readers["lab"]
    assert lab.accepts(bare)
    assert not lab.accepts(swap(bare, "{}", '{"amount": 3}'))
    assert not lab.accepts(swap(bare, "{}", "{ }"))
    assert not lab.accepts(swap(bare, "{}", "null"))
    assert not lab.accepts(swap(bare, "[]", '["keep"]'))
    assert not lab.accepts(swap(bare, "[]", "[ ]"))


# ------------------------------------------------------------------------------------------------------- properties
GH = cli_schema.load("gh")
WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x7f"), min_size=1, max_size=30)
STRATEGIES = {"string": WORDS, "integer": st.integers()}
CONFIDENCES = st.integers(0, 1000).map(lambda n: n / 1000) | st.sampled_from([0, 1])


@st.composite
def valid_answers(draw):
    """Any answer that the schema of gh allows, in canonical form."""
    if draw(st.integers(0, 4)) == 0:
        subs = draw(st.lists(st.sampled_from(GH.subcommands), max_size=4))
        return {
            "type": "clarification",
            "message": draw(WORDS),
            "suggestions": [suggestion(s) for s in subs],
            "confidence": draw(CONFIDENCES),
        }
    sub = draw(st.sampled_from(GH.subcommands))
    chosen = [a for a in sub.args if a.required or draw(st.booleans())]
    args = {a.name: draw(st.sampled_from(a.values) if a.type == "enum" else STRATEGIES[a.type]) for a in chosen}
    return command(sub, args, [f.name for f in sub.flags if draw(st.booleans())], draw(CONFIDENCES))


@settings(max_examples=200, deadline=None, database=None)
@given(answer=valid_answers())
def test_any_valid_answer_of_gh_is_accepted_in_canonical_form_only(readers, answer):
    gh = readers["gh"]
    assert gh.accepts(dumps(answer))
    assert not gh.accepts(json.dumps(answer, ensure_ascii=False, separators=(",", ":")))
    assert not gh.accepts(json.dumps(answer, ensure_ascii=False, indent=1))
    assert not gh.accepts(dumps(dict(reversed(answer.items()))))
    for key in ("args", "flags", "suggestions"):
        if len(answer.get(key, ())) > 1 and key != "suggestions":
            turned = dict(reversed(answer[key].items())) if key == "args" else answer[key][::-1]
            assert not gh.accepts(dumps({**answer, key: turned}))


@pytest.mark.parametrize("name", ["gh", "notes", "lab"])
def test_whatever_the_grammar_allows_fits_the_schema(readers, name):
    reader, rng = readers[name], random.Random(1)
    kinds = set()
    for _ in range(40):
        answer = json.loads(reader.walk(rng))
        assert answer_faults(answer, reader.schema) == [], answer
        assert canonical(answer, reader.schema) == answer
        assert json.dumps(canonical(answer, reader.schema)) == json.dumps(answer)
        kinds.add(answer["type"])
    assert kinds == {"command", "clarification"}


# ------------------------------------------------------------------------------------------- the same in other words
OPEN = '"confidence": '  # where llguidance's grammar ends: the number is computed


@pytest.fixture(scope="module")
def larks(readers):
    """name -> llguidance's matcher of gh, notes and lab, over bytes."""
    tokenizer = LLTokenizer("byte")
    made = {n: LLMatcher(tokenizer, LLMatcher.grammar_from_lark(lark(r.schema))) for n, r in readers.items()}
    assert not any(m.is_error() for m in made.values())
    return made


def takes(matcher, text):
    matcher, data = matcher.deep_copy(), list(text.encode())
    return matcher.try_consume_tokens(data) == len(data) and matcher.is_accepting()


@pytest.mark.parametrize("name", ["gh", "notes", "lab"])
def test_llguidance_takes_every_canonical_answer_up_to_its_confidence(readers, larks, name):
    schema = readers[name].schema
    questions = [clarification(schema, "multiple", labels) for labels in ([], list(schema.by_label)[:3])]
    for answer in [*itertools.islice(answers(schema), 0, None, 3), *questions]:
        text = dumps(answer)
        assert takes(larks[name], text[: text.rindex(OPEN) + len(OPEN)]), text


@pytest.mark.parametrize(
    ("whole", "old", "new"),
    [(MIX, *f) for f in COMMAND_FAULTS if OPEN not in f[0] and "0.95" not in f[0]]
    + [(ASK, *f) for f in QUESTION_FAULTS if OPEN not in f[0] and not f[0].startswith("0.4")],
)
def test_llguidance_refuses_what_llama_cpp_refuses(larks, whole, old, new):
    def head(text):
        return text[: text.rindex(OPEN) + len(OPEN)]

    assert takes(larks["lab"], head(whole))
    assert not takes(larks["lab"], head(swap(whole, old, new)))


@pytest.mark.parametrize("name", ["gh", "notes", "lab"])
def test_the_json_schema_takes_every_canonical_answer(readers, name):
    schema = readers[name].schema
    validator = jsonschema.Draft202012Validator(json_schema(schema))
    for answer in [*itertools.islice(answers(schema), 0, None, 5), clarification(schema, "unclear", [])]:
        assert validator.is_valid(answer), answer


@pytest.mark.parametrize(
    "change",
    [
        {"command": "stir"},
        {"subcommand": "list"},
        {"flags": ["hot"]},
        {"flags": ["keep", "keep"]},
        {"args": {"amount": 3}},
        {"args": {"amount": "3", "into": "x"}},
        {"args": {"amount": 3, "into": "x", "colour": "mauve"}},
        {"args": {"amount": 3, "into": "x", "where": "here"}},
        {"confidence": 2},
        {"type": "answer"},
        {"reason": "sure"},
    ],
)
def test_the_json_schema_refuses_one_fault(change):
    lab, _ = cli_schema.from_raw(LAB)
    validator = jsonschema.Draft202012Validator(json_schema(lab))
    assert validator.is_valid(json.loads(MIX))
    assert not validator.is_valid({**json.loads(MIX), **change})
