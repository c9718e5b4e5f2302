"""The notation of phrasebooks: texts, effects behind =>, and every fault with its line."""

import random

import notation
import phrasebook
import pytest
import schema as cli_schema
from cli import Arg
from notation import Fault, Node, parse_text
from phrasebook import parse_line
from rows import CATEGORIES
from utils import ROOT

RAW = {
    "cli_name": "desk",
    "description": "Notes on a desk",
    "context": [{"name": "desk.current_note", "type": "integer"}],
    "commands": [
        {
            "name": "note",
            "description": "Notes",
            "subcommands": [
                {
                    "name": "read",
                    "description": "Read one",
                    "args": [
                        {"name": "number", "type": "integer", "required": True, "from_context": "desk.current_note"},
                        {"name": "zoom", "type": "float"},
                        {"name": "wrap", "type": "boolean"},
                    ],
                    "flags": [{"name": "raw", "description": "Plain"}],
                },
                {
                    "name": "list",
                    "description": "Show them",
                    "args": [
                        {"name": "state", "type": "enum", "values": ["open", "done"]},
                        {"name": "limit", "type": "integer"},
                        {"name": "author", "type": "string"},
                    ],
                    "flags": [{"name": "raw", "description": "Plain"}],
                },
            ],
        },
        {"name": "sweep", "description": "Clean the desk"},
    ],
}
KNOWN = "known: note read, note list, sweep"


def desk():
    schema, faults = cli_schema.from_raw(RAW)
    assert faults == []
    return schema


def read(tmp_path, text, head="cli_name: desk\n"):
    """(Phrasebook, faults) of a file; what a test writes starts on line 2."""
    path = tmp_path / "desk.yaml"
    path.write_text(head + text, encoding="utf-8")
    return phrasebook.read(path, desk())


def faults(tmp_path, text, **kwargs):
    return read(tmp_path, text, **kwargs)[1]


def said(text, shared=None):
    """Every sentence that a text stands for; a slot is written {so} and an option [so]."""
    node = parse_text(text, shared or {})
    marks = {"text": "{}", "slot": "{{{}}}", "option": "[{}]"}
    draws = (notation.leaves(node, random.Random(seed)) for seed in range(200))
    return {"".join(marks[n.kind].format(n.value) for n in leaves) for leaves in draws}


def fault_of(text, shared=None):
    with pytest.raises(Fault) as caught:
        parse_text(text, shared or {})
    return str(caught.value)


def line(text, number=3):
    return parse_line(text, number, "frames/note read", "note read", {})


# -------------------------------------------------------------------------------------------------------- text
@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("", {""}),
        ("read it", {"read it"}),
        ("(read|show) it", {"read it", "show it"}),
        ("read (it|)", {"read it", "read "}),
        ("(|the) note", {" note", "the note"}),
        ("(|)", {""}),
        ("()", {""}),
        ("((a|b) c|d (e|(f|g)))", {"a c", "b c", "d e", "d f", "d g"}),
        ("(a)(b|c)", {"ab", "ac"}),
        ("note {number}", {"note {number}"}),
        ("{from.to:a-b_c}", {"{from.to:a-b_c}"}),
        ("list [state] [*]", {"list [state] [*]"}),
        ("(note {number}|it [raw])", {"note {number}", "it [raw]"}),
        (r"\(a\|b\) \{c\} \[d\] \$e \\", {"(a|b) {c} [d] $e \\"}),
        (r"(yes\|no|so)", {"yes|no", "so"}),
        ("it ends in \\", {"it ends in \\"}),
        ("a ] b } c", {"a ] b } c"}),
        ("$ 5, 5$", {"$ 5, 5$"}),
    ],
)
def test_a_text_stands_for_exactly_these_sentences(text, sentences):
    assert said(text) == sentences


def test_shared_words_are_put_in_and_end_where_the_name_ends():
    shared = {"it": parse_text("(this|that)", {})}
    assert said("read $it, $it!", shared) == {f"read {a}, {b}!" for a in ("this", "that") for b in ("this", "that")}


def test_shared_words_may_use_the_ones_above_them(tmp_path):
    book, found = read(
        tmp_path,
        "shared:\n  one: (a|b)\n  two: $one c\n  three: [x, $two]\n"
        "frames:\n  sweep: |\n    $three now\nclarify:\n  unclear: |\n    $two\n",
    )
    assert found == []
    node = book.frames["sweep"][0].node
    texts = {"".join(n.value for n in notation.leaves(node, random.Random(s))) for s in range(100)}
    assert texts == {"x now", "a c now", "b c now"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("(read|show", "'(' is not closed"),
        ("(a (b|c)", "'(' is not closed"),
        ("(a", "'(' is not closed"),
        ("read) it", "')' without '(' at ') it'"),
        ("a))" + "b" * 40, "')' without '(' at '))bbbbbbbbbbbbbbbbbb'"),
        ("read|show", r"'|' outside of parentheses; write (a|b), or \| for the character"),
        ("(a) | b", r"'|' outside of parentheses; write (a|b), or \| for the character"),
        ("note {number", "a slot {name} is not closed or not a name at '{number'"),
        ("note {}", "a slot {name} is not closed or not a name at '{}'"),
        ("note {two words}", "a slot {name} is not closed or not a name at '{two words}'"),
        ("note [raw", "an option [name] is not closed or not a name at '[raw'"),
        ("note []", "an option [name] is not closed or not a name at '[]'"),
        ("note [**]", "an option [name] is not closed or not a name at '[**]'"),
        ("read $this", "no shared word 'this'"),
        ("costs $5", "no shared word '5'"),
    ],
)
def test_a_text_that_cannot_be_read_says_why(text, message):
    assert fault_of(text) == message


def test_names_are_all_slots_and_options_and_sure_are_those_of_every_choice():
    node = parse_text("{a} ({b} {c}|{b} [x]|(|{c}) {b}) [*]", {})
    assert notation.names(node, "slot") == {"a", "b", "c"}
    assert notation.names(node, "slot", sure=True) == {"a", "b"}
    assert notation.names(node, "option") == {"x", "*"}
    assert notation.names(node, "option", sure=True) == {"*"}


def test_names_in_an_empty_text_are_none():
    assert notation.names(parse_text("(|)", {}), "slot") == set()
    assert notation.names(parse_text("plain (a|b)", {}), "slot", sure=True) == set()


def test_the_order_of_leaves_is_the_order_of_the_text():
    node = parse_text("read {number} [raw] (now)", {})
    assert list(notation.leaves(node, random.Random(0))) == [
        Node("text", "read "),
        Node("slot", "number"),
        Node("text", " "),
        Node("option", "raw"),
        Node("text", " "),
        Node("text", "now"),
    ]


# ----------------------------------------------------------------------------------------------------- effects
def test_a_line_without_effects_has_none():
    frame = line("read {number}", 12)
    assert (frame.id, frame.line, frame.label) == ("frames/note read: read {number}", 12, "note read")
    assert (frame.args, frame.flags, frame.points, frame.implies, frame.missing) == ({}, (), (), (), ())
    assert (frame.targets, frame.template) == ((), "")


def test_every_effect_is_read_in_any_order():
    frame = line("do => +raw @number limit=5 ~folder ?title +dry-run author=@me @a.b state=open")
    assert frame.flags == ("raw", "dry-run")
    assert frame.points == ("number", "a.b")
    assert frame.implies == ("folder",)
    assert frame.missing == ("title",)
    assert frame.args == {"limit": "5", "author": "@me", "state": "open"}
    assert frame.id == "frames/note read: do"


def test_a_value_may_be_quoted():
    assert line('do => title="two words" +raw body=""').args == {"title": "two words", "body": ""}


def test_an_arrow_with_nothing_behind_it_changes_nothing():
    assert line("read it =>").flags == ()
    assert line("read it =>").id == "frames/note read: read it"


def test_targets_of_a_question_are_labels_between_commas():
    frame = parse_line("open {ref} => note read,  note list ,", 1, "clarify/multiple", "", {})
    assert frame.targets == ("note read", "note list")
    assert (frame.args, frame.points) == ({}, ())
    assert parse_line("hello", 1, "clarify/unclear", "", {}).targets == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a => +raw => @number", "'=>' is there twice"),
        ("a => raw", "cannot read 'raw'; after => come +flag, arg=value, @arg, ~arg, ?arg"),
        ("a => +raw + dry", "cannot read '+ dry'; after => come +flag, arg=value, @arg, ~arg, ?arg"),
        ("a => limit= 5", "cannot read 'limit= 5'; after => come +flag, arg=value, @arg, ~arg, ?arg"),
        ('a => t="two"words', None),
        ('a => t="two words"x', "cannot read 'words\"x'; after => come +flag, arg=value, @arg, ~arg, ?arg"),
        ("(a => +raw", "'(' is not closed"),
    ],
)
def test_effects_that_cannot_be_read_say_why(text, message):
    if message is None:  # a word with quotes inside is a word
        assert line(text).args == {"t": 'two"words'}
        return
    with pytest.raises(Fault) as caught:
        line(text)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("integer", "5", 5),
        ("integer", "five", "five"),
        ("float", "0.5", 0.5),
        ("float", "half", "half"),
        ("boolean", "true", True),
        ("boolean", "false", False),
        ("boolean", "yes", "yes"),
        ("string", "5", "5"),
        ("enum", "open", "open"),
    ],
)
def test_a_value_becomes_the_type_of_its_argument(kind, text, value):
    converted = phrasebook.convert(Arg("x", kind), text)
    assert (converted, type(converted)) == (value, type(value))


# ------------------------------------------------------------------------------------------------- whole files
WHOLE = """
shared:
  it: (this|that)
values:
  state:
    open: (open|unfinished)
    done: (done|$it)
  number: ref
  note list.author: [alice, 12]
  current_note: count
options:
  raw: |
    without colours => +raw
  note list.state: |
    only {state}
    , the open ones => state=open
frames:
  note read: |
    # a remark, not a frame
    read {number} [raw]
    #12 is a note {number}

    read $it => @number
    read => ~number
    read a note => ?number
  note list: |
    list [state] [*]
  sweep: |
    sweep
clarify:
  multiple: |
    open {ref} => note read, note list
  unclear: |
    hm
"""


def test_a_whole_file_is_read(tmp_path):
    book, found = read(tmp_path, WHOLE)
    assert found == []
    assert {k: [f.line for f in frames] for k, frames in book.frames.items()} == {
        "note read": [21, 22, 24, 25, 26],
        "note list": [28],
        "sweep": [30],
    }
    assert {k: [(f.line, f.targets) for f in frames] for k, frames in book.clarify.items()} == {
        "multiple": [(33, ("note read", "note list"))],
        "unclear": [(35, ())],
    }
    assert {k: [f.line for f in phrases] for k, phrases in book.options.items()} == {
        ("", "raw"): [14],
        ("note list", "state"): [16, 17],
    }
    assert book.frames["note read"][1].id == "frames/note read: #12 is a note {number}"
    assert book.values["number"] == "ref"
    assert book.values["note list.author"] == ["alice", "12"]
    assert book.values["current_note"] == "count"
    assert set(book.values["state"]) == {"open", "done"}


def test_the_phrasebook_of_gh_has_no_fault_and_frames_for_everything():
    schema = cli_schema.load("gh")
    book, found = phrasebook.read(ROOT / "schemas" / "phrases" / "gh.yaml", schema)
    assert found == []
    assert set(book.frames) == set(schema.by_label)
    assert min(map(len, book.frames.values())) >= 10
    assert set(book.clarify) == {"multiple", "ambiguous_command", "off_topic", "unclear", "typo"}
    assert set(book.clarify) | {"missing_arg", "pronoun"} == set(CATEGORIES)


def test_path_of_names_the_file():
    assert phrasebook.path_of("gh") == ROOT / "schemas" / "phrases" / "gh.yaml"


@pytest.mark.parametrize("content", ["", "# only a remark\n", "just words\n", "- a list\n"])
def test_a_file_without_keys_is_called_empty(tmp_path, content):
    book, found = read(tmp_path, content, head="")
    assert (book, found) == (None, ["1: the file is empty; see schemas/phrases/README.md"])


def test_a_file_that_is_no_yaml_names_the_line(tmp_path):
    book, found = read(tmp_path, "frames:\n  sweep: [a, b\nclarify: x\n")
    assert (book, found) == (None, ["4: not valid YAML: expected ',' or ']', but got ':'"])


def test_a_file_that_is_no_utf8_is_one_fault(tmp_path):
    path = tmp_path / "desk.yaml"
    path.write_bytes(b"cli_name: d\xffsk\n")
    book, found = phrasebook.read(path, desk())
    assert book is None
    assert found == ["1: not UTF-8 text"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("frame:\n  sweep: |\n    a\n", "2: unknown key 'frame'; known: cli_name shared values options frames clarify"),
        ("shared:\n  a: x\n  b: (x\n", "4: shared b: '(' is not closed"),
        ("shared:\n  a: $b\n  b: x\n", "3: shared a: no shared word 'b'"),
        ("shared:\n  a: x|y\n", r"3: shared a: '|' outside of parentheses; write (a|b), or \| for the character"),
        ("values:\n  colour: [red]\n", "3: values colour: no such argument"),
        ("values:\n  sweep.limit: [1]\n", "3: values sweep.limit: no such argument"),
        ("values:\n  state:\n    shut: x\n", "3: values state: 'shut' is not one of done, open"),
        ("values:\n  state:\n    open: (x\n", "3: '(' is not closed"),
        ("options:\n  note burn.raw: |\n    x => +raw\n", "3: options note burn.raw: no subcommand 'note burn'"),
        (
            "options:\n  raw: |\n    x => raw\n",
            "4: cannot read 'raw'; after => come +flag, arg=value, @arg, ~arg, ?arg",
        ),
        ("options:\n  note list.raw: |\n    x\n    y => +rwa\n", "5: 'note list' has no flag 'rwa'"),
        ("frames:\n  note burn: |\n    x\n", f"3: frames note burn: no such subcommand; {KNOWN}"),
        ("frames:\n  note: |\n    x\n", f"3: frames note: no such subcommand; {KNOWN}"),
        ("frames:\n  sweep: [a]\n", "3: frames sweep: write 'sweep: |' and one line a frame below it"),
        ("frames:\n  sweep:\n", "3: frames sweep: write 'sweep: |' and one line a frame below it"),
        (
            "clarify:\n  huh: |\n    x\n",
            "3: clarify huh: no such category; known: ambiguous_command, missing_arg, unclear, off_topic, multiple, "
            "typo, pronoun",
        ),
        ("clarify:\n  multiple: |\n    x => note read, note burn\n", "4: no subcommand 'note burn'"),
        ("clarify:\n  unclear: |\n    x [raw]\n", "4: a question has no options"),
    ],
)
def test_a_fault_of_the_file_is_named_with_its_line(tmp_path, text, found):
    assert faults(tmp_path, text) == [found]


def test_another_or_no_cli_name_is_a_fault(tmp_path):
    assert faults(tmp_path, "", head="# x\ncli_name: disk\n") == ["2: cli_name is 'disk', the schema says 'desk'"]
    assert faults(tmp_path, "shared:\n  a: b\n", head="") == ["1: cli_name is None, the schema says 'desk'"]


NEEDS = "'note read' needs number; put {number} into the text, or @number, ~number or ?number after =>"


@pytest.mark.parametrize(
    ("label", "frame", "found"),
    [
        ("note read", "read {number} in {colour}", ["'note read' has no argument 'colour'"]),
        ("note read", "read {number} => colour=red", ["'note read' has no argument 'colour'"]),
        ("note read", "read {number} => @colour", ["'note read' has no argument 'colour'"]),
        ("note read", "read {number} => ~colour", ["'note read' has no argument 'colour'"]),
        ("note read", "read {number} => ?colour", ["'note read' has no argument 'colour'"]),
        ("note read", "read {number} => +loud", ["'note read' has no flag 'loud'"]),
        ("note read", "read {number} [size]", ["no option list 'size' for 'note read'"]),
        ("note read", "read", [NEEDS]),
        ("note read", "read => +raw", [NEEDS]),
        ("note read", "read {number} => @number", ["'number' is both in the text and after =>"]),
        ("note read", "read {number} => number=3", ["'number' is both in the text and after =>"]),
        ("note list", "by {author} => ~author", None),
        ("note list", "list => ~author", ["~author: 'author' has no from_context in the schema"]),
        ("note list", "list => state=shut", ["state=shut does not fit its type"]),
        ("note list", "list => limit=few", ["limit=few does not fit its type"]),
        ("note read", "read {number} => zoom=big", ["zoom=big does not fit its type"]),
        ("note read", "read {number} => wrap=yes", ["wrap=yes does not fit its type"]),
        ("sweep", "sweep {all} => +dry", ["'sweep' has no argument 'all'", "'sweep' has no flag 'dry'"]),
        ("sweep", "sweep (it", ["'(' is not closed"]),
        ("note read", "read => number=3", []),
        ("note read", "read => @number zoom=2 wrap=true", []),
        ("note read", "read => ?number", []),
        ("note list", "list => @author limit=5", []),
    ],
)
def test_a_frame_that_does_not_fit_the_schema_is_named_with_its_line(tmp_path, label, frame, found):
    if found is None:
        found = ["'author' is both in the text and after =>", "~author: 'author' has no from_context in the schema"]
    text = f"frames:\n  {label}: |\n    # remark\n\n    {frame}\n"
    assert faults(tmp_path, text) == [f"6: {f}" for f in found]


def test_all_faults_are_reported_in_the_order_of_lines_and_the_good_lines_stay(tmp_path):
    book, found = read(
        tmp_path,
        "frames:\n  note read: |\n    read\n    read {number}\n    (x\n    peek {number} => +loud\n"
        "  sweep: |\n    sweep\nclarify:\n  unclear: |\n    hm => nothing\n    eh\n",
    )
    assert found == [
        f"4: {NEEDS}",
        "6: '(' is not closed",
        "7: 'note read' has no flag 'loud'",
        "12: no subcommand 'nothing'",
    ]
    assert [f.line for f in book.frames["note read"]] == [5]
    assert [f.line for f in book.frames["sweep"]] == [9]
    assert [f.line for f in book.clarify["unclear"]] == [13]


# ----------------------------------------------------------------------- mistakes that must be faults, not accidents
@pytest.mark.parametrize("section", ["shared", "values", "options", "frames", "clarify"])
@pytest.mark.parametrize("content", ["[sweep]", "sweep"])
def test_a_section_that_is_no_mapping_is_a_fault(tmp_path, section, content):
    assert faults(tmp_path, f"{section}: {content}\n") == [f"2: {section} is no mapping; see schemas/phrases/README.md"]


def test_values_without_anything_are_a_fault(tmp_path):
    assert faults(tmp_path, "values:\n  limit:\n") == ["3: values limit: neither a list, a kind nor a mapping"]


def test_a_kind_that_the_lexicon_does_not_have_is_a_fault(tmp_path):
    """A misspelt kind would otherwise be guessed silently, and in a question it would stop the teacher."""
    assert faults(tmp_path, "values:\n  limit: cuont\n") == [
        "3: values limit: no kind 'cuont' in schemas/lexicon/values.yaml"
    ]
    assert faults(tmp_path, "clarify:\n  unclear: |\n    hm {cuont}\n") == [
        "4: no kind 'cuont' in schemas/lexicon/values.yaml"
    ]


def test_an_option_inside_an_option_is_a_fault(tmp_path):
    text = "options:\n  raw: |\n    plainly [state] => +raw\nframes:\n  sweep: |\n    sweep\n"
    assert faults(tmp_path, text) == ["4: an option has no options"]


def test_a_general_option_that_fits_no_subcommand_is_a_fault(tmp_path):
    text = "options:\n  raw: |\n    plainly => +rwa\n    with {colour}\n"
    assert faults(tmp_path, text) == ["4: no subcommand has a flag 'rwa'", "5: no subcommand has an argument 'colour'"]
