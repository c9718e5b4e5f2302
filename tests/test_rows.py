"""Answers in canonical form, questions back, and the rules for rows."""

import json

import pytest
import rows
import schema as cli_schema
from hypothesis import given, settings
from hypothesis import strategies as st
from rows import Seen, answer_faults, canonical, clarification, command, dumps, filled, flatten, row_faults, said, spell

GH = cli_schema.load("gh")
MERGE = GH.by_label["pr merge"]
LIST = GH.by_label["pr list"]
ISSUE = GH.by_label["issue view"]
ODD, ODD_FAULTS = cli_schema.from_raw(
    {
        "cli_name": "dial",
        "description": "Turns things",
        "context": [{"name": "dial.level", "type": "float"}, {"name": "dial.name", "type": "string"}],
        "commands": [
            {
                "name": "turn",
                "description": "Turn it",
                "args": [
                    {"name": "to", "type": "float", "required": True, "from_context": "dial.level"},
                    {"name": "loud", "type": "boolean"},
                    {"name": "label", "type": "string"},
                ],
            }
        ],
    }
)


def ask(label, args=(), flags=()):
    """A command answer as a plain dict, not yet checked."""
    name, _, sub = label.partition(" ")
    return {
        "type": "command",
        "command": name,
        "subcommand": sub or None,
        "args": dict(args),
        "flags": list(flags),
        "confidence": 0.9,
    }


def question(**changes):
    return {"type": "clarification", "message": "Which?", "suggestions": [], "confidence": 0.4, **changes}


def faults(instruction, answer, context=None, schema=GH):
    return row_faults({"instruction": instruction, "context": context, "output": json.dumps(answer)}, schema)


# --------------------------------------------------------------------------------------------------- canonical form
def test_a_command_has_keys_arguments_and_flags_in_the_order_of_the_schema():
    answer = command(LIST, {"limit": 5, "label": "ü", "state": "open"}, {"web"})
    assert dumps(answer) == (
        '{"type": "command", "command": "pr", "subcommand": "list", '
        '"args": {"state": "open", "label": "ü", "limit": 5}, "flags": ["web"], "confidence": 0.95}'
    )


def test_flags_come_once_and_in_the_order_of_the_schema():
    assert command(MERGE, {}, ["auto", "squash", "delete-branch"])["flags"] == ["squash", "delete-branch", "auto"]
    assert command(MERGE, {}, {"squash"}, 0.5)["confidence"] == 0.5


def test_a_command_keeps_nothing_that_the_schema_does_not_have():
    assert command(MERGE, {"colour": "red"}, {"loud"}) == {
        "type": "command",
        "command": "pr",
        "subcommand": "merge",
        "args": {},
        "flags": [],
        "confidence": 0.95,
    }


def test_a_command_without_subcommands_says_null():
    assert dumps(command(ODD.by_label["turn"], {"to": 1.5}, ())) == (
        '{"type": "command", "command": "turn", "subcommand": null, "args": {"to": 1.5}, "flags": [], "confidence": 0.95}'
    )
    assert ODD_FAULTS == []


@pytest.mark.parametrize(
    ("category", "labels", "arg", "message", "confidence"),
    [
        ("ambiguous_command", ["pr list", "pr view"], None, "What do you want to do with pr?", 0.4),
        ("ambiguous_command", [], None, "What do you want to do with gh?", 0.4),
        ("missing_arg", ["issue view"], "number", "Which number should 'issue view' use?", 0.4),
        ("missing_arg", [], "number", "Which number should 'gh' use?", 0.4),
        ("unclear", [], None, "What would you like to do?", 0.2),
        ("off_topic", [], None, "That is not something gh does.", 0.1),
        ("multiple", ["pr close", "issue close"], None, "Did you mean 'pr close' or 'issue close'?", 0.4),
        ("typo", ["pr close"], None, "Did you mean 'pr close'?", 0.4),
        ("pronoun", ["pr merge"], "run id", "Which run id do you mean?", 0.4),
    ],
)
def test_a_question_of_every_category(category, labels, arg, message, confidence):
    answer = clarification(GH, category, labels, arg)
    pairs = [label.split() for label in labels]
    assert dumps(answer) == json.dumps(
        {
            "type": "clarification",
            "message": message,
            "suggestions": [{"label": f"{c} {s}", "command": c, "subcommand": s} for c, s in pairs],
            "confidence": confidence,
        }
    )
    assert answer_faults(answer, GH) == []


def test_there_are_seven_categories_of_questions():
    assert set(rows.CATEGORIES) == set(rows.ASK_CONFIDENCE)
    assert len(rows.CATEGORIES) == 7


def test_canonical_sorts_and_drops_what_does_not_belong():
    loose = {
        "mood": "fine",
        "flags": ["auto", "squash"],
        "args": {"number": 12},
        "confidence": 0.7,
        "subcommand": "merge",
        "command": "pr",
        "type": "command",
    }
    assert dumps(canonical(loose, GH)) == (
        '{"type": "command", "command": "pr", "subcommand": "merge", "args": {"number": 12}, '
        '"flags": ["squash", "auto"], "confidence": 0.7}'
    )
    loose = {
        "confidence": 0.3,
        "suggestions": [{"subcommand": "list", "note": 1, "label": "pr list", "command": "pr"}],
        "message": "né?",
        "type": "clarification",
    }
    assert dumps(canonical(loose, GH)) == (
        '{"type": "clarification", "message": "né?", '
        '"suggestions": [{"label": "pr list", "command": "pr", "subcommand": "list"}], "confidence": 0.3}'
    )


def test_canonical_fills_in_a_missing_confidence():
    answer, asked = ask("pr merge"), question()
    del answer["confidence"], asked["confidence"]
    assert canonical(answer, GH)["confidence"] == 0.95
    assert canonical(asked, GH)["confidence"] == 0.4


@pytest.mark.parametrize("answer", [None, {}, ask("pr burn"), ask("issue view"), question(message="")])
def test_canonical_of_a_wrong_answer_is_none(answer):
    assert canonical(answer, GH) is None


VALUES = {
    "integer": st.integers(),
    "float": st.floats(allow_nan=False, allow_infinity=False),
    "boolean": st.booleans(),
    "string": st.text(),
    "path": st.text(),
}
CONFIDENCE = st.fixed_dictionaries({}, optional={"confidence": st.floats(0, 1) | st.sampled_from([0, 1])})


@st.composite
def answers(draw):
    """A valid answer for gh with its keys in any order."""
    if draw(st.booleans()):
        subs = draw(st.lists(st.sampled_from(GH.subcommands), max_size=3))
        message = draw(st.text().filter(str.strip))
        answer = question(message=message, suggestions=[rows.suggestion(s) for s in subs])
    else:
        sub = draw(st.sampled_from(GH.subcommands))
        kinds = {a.name: st.sampled_from(a.values) if a.type == "enum" else VALUES[a.type] for a in sub.args}
        needed = {a.name for a in sub.args if a.required}
        must = {n: s for n, s in kinds.items() if n in needed}
        may = {n: s for n, s in kinds.items() if n not in needed}
        args = draw(st.fixed_dictionaries(must, optional=may))
        args = dict(draw(st.permutations(list(args.items()))))
        names = [f.name for f in sub.flags]
        flags = draw(st.lists(st.sampled_from(names), unique=True)) if names else []
        answer = ask(sub.label, args, flags)
    del answer["confidence"]
    answer |= draw(CONFIDENCE)
    return dict(draw(st.permutations(list(answer.items()))))


@settings(max_examples=80, deadline=None)
@given(answers())
def test_the_canonical_form_is_a_fixed_point(answer):
    assert answer_faults(answer, GH) == []
    once = canonical(answer, GH)
    again = canonical(json.loads(dumps(once)), GH)
    assert dumps(again) == dumps(once)
    assert {k: answer[k] for k in answer if k != "flags"} == {k: once[k] for k in answer if k != "flags"}
    assert sorted(once.get("flags", [])) == sorted(answer.get("flags", []))


# ----------------------------------------------------------------------------------------------------- rules 1 to 4
@pytest.mark.parametrize("instruction", ["", "  \n", None, 7])
def test_a_row_needs_an_instruction(instruction):
    assert faults(instruction, ask("pr list")) == ["instruction: empty or no text"]


def test_a_row_without_the_keys_of_a_row_is_refused():
    assert row_faults({}, GH) == ["instruction: empty or no text"]
    assert row_faults({"instruction": "list prs"}, GH) == ["json: output is not valid JSON"]


@pytest.mark.parametrize("context", [[], "main", 3, False])
def test_a_context_is_an_object_or_null(context):
    assert faults("list prs", ask("pr list"), context) == ["context: neither an object nor null"]


@pytest.mark.parametrize("output", [None, "", "{", "pr list", {"type": "command"}, '{"type": "command"} done'])
def test_rule_1_the_output_is_json_text(output):
    row = {"instruction": "list prs", "context": None, "output": output}
    assert row_faults(row, GH) == ["json: output is not valid JSON"]


def test_rule_1_holds_for_json_that_is_nested_without_end():
    row = {"instruction": "list prs", "context": None, "output": "[" * 100_000}
    assert row_faults(row, GH) == ["json: output is not valid JSON"]


def test_rules_2_3_and_4_in_a_row():
    assert faults("x", ask("pr burn")) == ["schema: no command 'pr' 'burn'"]
    assert faults("view issue 12", ask("issue view", {"number": "12"})) == ["types: number='12' is no integer"]
    assert faults("view issue", ask("issue view")) == ["required: 'issue view' needs 'number'"]
    assert faults("view issue 12", ask("issue view", {"number": 12})) == []


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ([], ["json: output is not an object"]),
        (None, ["json: output is not an object"]),
        (3, ["json: output is not an object"]),
        ("pr list", ["json: output is not an object"]),
        ({}, ["json: type None is neither command nor clarification"]),
        ({"type": "shell"}, ["json: type 'shell' is neither command nor clarification"]),
        ({"type": ["command"]}, ["json: type ['command'] is neither command nor clarification"]),
        *[
            ({**ask("pr list"), "confidence": c}, ["json: confidence is not a number from 0 to 1"])
            for c in ("high", True, None, 1.01, -0.1, float("nan"), [0.5])
        ],
        ({"type": "clarification"}, ["json: clarification without a message"]),
        (question(message=" "), ["json: clarification without a message"]),
        (question(message=["Which?"]), ["json: clarification without a message"]),
        (question(suggestions=None), ["json: suggestions is not a list"]),
        (question(suggestions={}), ["json: suggestions is not a list"]),
        (question(suggestions=["pr list"]), ['schema: suggestion "pr list" is no command of the schema']),
        (
            question(suggestions=[{"command": "pr", "subcommand": "list"}]),
            ['schema: suggestion {"command": "pr", "subcommand": "list"} is no command of the schema'],
        ),
        (
            question(suggestions=[{"label": "pr", "command": "pr"}]),
            ['schema: suggestion {"label": "pr", "command": "pr"} is no command of the schema'],
        ),
        (
            question(suggestions=[{"label": "x", "command": ["pr"], "subcommand": {}}]),
            ['schema: suggestion {"label": "x", "command": ["pr"], "subcommand": {}} is no command of the schema'],
        ),
        ({"type": "command"}, ["schema: no command None None"]),
        ({"type": "command", "command": "pr"}, ["schema: no command 'pr' None"]),
        ({"type": "command", "command": ["pr"], "subcommand": "list"}, ["schema: no command ['pr'] 'list'"]),
        ({"type": "command", "command": "pr", "subcommand": {}}, ["schema: no command 'pr' {}"]),
        ({**ask("pr list"), "args": []}, ["json: args is not an object or flags is not a list"]),
        ({**ask("pr list"), "args": None}, ["json: args is not an object or flags is not a list"]),
        ({**ask("pr list"), "flags": {}}, ["json: args is not an object or flags is not a list"]),
        ({**ask("pr list"), "flags": "web"}, ["json: args is not an object or flags is not a list"]),
        (
            {"type": "command", "command": "pr", "subcommand": "list"},
            ["json: args is not an object or flags is not a list"],
        ),
        (ask("pr list", {"colour": "red"}), ["schema: 'pr list' has no argument 'colour'"]),
        (ask("pr merge", {}, ["loud"]), ["schema: 'pr merge' has no flag 'loud'"]),
        (ask("pr merge", {}, [["squash"]]), ["schema: 'pr merge' has no flag ['squash']"]),
        (ask("pr merge", {}, [None]), ["schema: 'pr merge' has no flag None"]),
        (ask("pr merge", {}, ["squash", "squash"]), ["schema: a flag is there twice"]),
        (ask("pr merge", {"number": True}), ["types: number=True is no integer"]),
        (ask("pr merge", {"number": 12.0}), ["types: number=12.0 is no integer"]),
        (ask("pr merge", {"number": None}), ["types: number=None is no integer"]),
        (ask("pr list", {"state": "shut"}), ["types: state='shut' is no enum"]),
        (ask("pr list", {"state": ["open"]}), ["types: state=['open'] is no enum"]),
        (ask("pr list", {"author": 7}), ["types: author=7 is no string"]),
        (
            ask("issue view", {"state": "open", "num": 1}, ["web", "loud", "web"]),
            [
                "schema: 'issue view' has no argument 'state'",
                "schema: 'issue view' has no argument 'num'",
                "schema: 'issue view' has no flag 'loud'",
                "schema: a flag is there twice",
                "required: 'issue view' needs 'number'",
            ],
        ),
    ],
)
def test_every_malformed_answer_has_its_fault(answer, found):
    assert answer_faults(answer, GH) == found


def test_types_of_floats_and_booleans():
    assert answer_faults(ask("turn", {"to": 1, "loud": False}), ODD) == []
    assert answer_faults(ask("turn", {"to": True}), ODD) == ["types: to=True is no float"]
    assert answer_faults(ask("turn", {"to": 1, "loud": 1}), ODD) == ["types: loud=1 is no boolean"]


# ------------------------------------------------------------------------------------------------------- grounding
@pytest.mark.parametrize(
    ("value", "words"),
    [
        (12, "merge 12"),
        (12, "merge #12, please"),
        (12, "merge no. 12"),
        (12, "PR12 no, 12!"),
        (12, "merge twelve"),
        (12, "Twelve it is"),
        (42, "forty-two"),
        (42, "forty two"),
        (30, "give it 30s"),
        (5, "5sec grace"),
        (3, "the 3rd one"),
        (0, "limit zero"),
        (0.5, "turn to 0.5"),
        (-3, "turn to -3"),
        ("main", "into main"),
        ("fix the bug", 'titled "fix the bug"'),
        ("@me", "assigned to me"),
        ("@me", "My prs"),
        ("@me", "what did I open"),
        ("@me", "prs of @me"),
        ("@me", "the ones i've opened"),
    ],
)
def test_words_that_say_a_value(value, words):
    assert said(value, words) is True


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (12, "merge 112"),
        (12, "merge 123"),
        (12, "merge v12"),
        (12, "release 1.12"),
        (12, "merge thirteen"),
        (5, "5m"),
        (64, "64kb"),
        (30, "30sx"),
        (10, "often"),
        (100, "one hundred"),
        (-1, "merge one"),
        (0.5, "half"),
        (5, "turn to 0.5"),
        ("main", "into Main"),
        ("main", "into master"),
        ("", "anything"),
        ("@me", "merge some"),
        ("@me", "the bike in time"),
    ],
)
def test_words_that_do_not_say_a_value(value, words):
    assert said(value, words) is False


@pytest.mark.parametrize(("value", "words"), [(12, "release 12.5"), (40, "merge forty-two"), (2, "merge forty-two")])
def test_a_part_of_a_number_is_not_that_number(value, words):
    assert said(value, words) is False


def test_numbers_in_words_reach_to_99():
    assert [spell(n) for n in (0, 9, 12, 19, 20, 21, 40, 99)] == [
        "zero",
        "nine",
        "twelve",
        "nineteen",
        "twenty",
        "twenty-one",
        "forty",
        "ninety-nine",
    ]
    assert spell(100) is None
    assert len({spell(n) for n in range(100)}) == 100


HERE = {"git": {"current_pr": 12, "current_branch": "dev", "repo_owner": "ann"}}


@pytest.mark.parametrize(
    ("instruction", "answer", "context", "found"),
    [
        ("merge 12", ask("pr merge", {"number": 12}), None, []),
        ("merge this", ask("pr merge", {"number": 12}), HERE, []),
        ("merge this", ask("pr merge"), HERE, []),
        (
            "merge this",
            ask("pr merge", {"number": 12}),
            None,
            ["grounding: number=12 is neither in the words nor in the context"],
        ),
        (
            "merge this",
            ask("pr merge", {"number": 13}),
            HERE,
            ["grounding: number=13 is neither in the words nor in the context"],
        ),
        (
            "merge this",
            ask("pr merge", {"number": 12}),
            {"git": {"current_pr": None, "pr": 12}, "current_pr": 12},
            ["grounding: number=12 is neither in the words nor in the context"],
        ),
        (
            "view this",  # issue view has no from_context, so the context's number is not its own
            ask("issue view", {"number": 12}),
            HERE,
            ["grounding: number=12 is neither in the words nor in the context"],
        ),
        ("prs from my branch", ask("pr list", {"head": "dev", "base": "dev"}), HERE, []),
        (
            "prs by them",
            ask("pr list", {"author": "ann", "label": "dev"}),
            HERE,
            [
                "grounding: author='ann' is neither in the words nor in the context",
                "grounding: label='dev' is neither in the words nor in the context",
            ],
        ),
        ("list them", ask("pr list", {"state": "merged"}), None, []),
        ("list them", ask("pr list", {"limit": 30}), None, []),
        (
            "list them",
            ask("pr list", {"limit": 31}),
            None,
            ["grounding: limit=31 is neither in the words nor in the context"],
        ),
        ("my prs", ask("pr list", {"author": "@me"}), None, []),
        (
            "all prs",
            ask("pr list", {"author": "@me"}),
            None,
            ["grounding: author='@me' is neither in the words nor in the context"],
        ),
        (
            "prs for this branch",
            ask("pr list", {"head": "this"}),
            {"git": {"current_branch": "dev"}},
            ["grounding: head='this' is neither in the words nor in the context"],
        ),
        ("prs for this branch", ask("pr list", {"head": "current"}), {"git": {"current_branch": "current"}}, []),
        ("prs about this", ask("pr list", {"label": "this"}), None, []),
        ("hm", question(), None, []),
    ],
)
def test_values_come_from_the_words_the_context_or_the_schema(instruction, answer, context, found):
    assert faults(instruction, answer, context) == found


def test_booleans_are_free_and_floats_are_not():
    assert faults("turn to 0.5", ask("turn", {"to": 0.5, "loud": True}), schema=ODD) == []
    assert faults("turn it", ask("turn", {"to": 0.5}), {"dial": {"level": 0.5}}, ODD) == []
    assert faults("turn it", ask("turn", {"to": 0.5}), schema=ODD) == [
        "grounding: to=0.5 is neither in the words nor in the context"
    ]


# --------------------------------------------------------------------------------------------- context and diversity
def test_flatten_names_every_field_with_a_value():
    assert flatten(None) == {}
    assert flatten({}) == {}
    assert flatten({"git": {"current_pr": 1, "deep": {"er": "x"}, "gone": None, "empty": {}}, "top": False}) == {
        "git.current_pr": 1,
        "git.deep.er": "x",
        "top": False,
    }


def row(instruction, output="a", context=None):
    return {"instruction": instruction, "context": context, "output": output}


def test_seen_refuses_the_same_input_again():
    seen = Seen()
    assert seen.fault(row("Merge  this"), "train") is None
    assert seen.fault(row("merge this "), "train") == "diversity: the same input again"
    assert seen.fault(row("merge this", "b"), "train") == "diversity: the same input with another answer"


def test_seen_takes_the_same_words_with_another_context_on_the_same_side():
    seen = Seen()
    assert seen.fault(row("merge this"), "train") is None
    assert seen.fault(row("merge this", "b", {"git": {"current_pr": 1}}), "train") is None
    assert seen.fault(row("merge this", "c", {"git": {"current_pr": 2}}), "val") == (
        "diversity: the instruction stands on the other side of the split"
    )
    assert seen.fault(row("merge that", "c"), "val") is None
    assert seen.fault(row("MERGE THAT", "c", {"a": 1}), "train") == (
        "diversity: the instruction stands on the other side of the split"
    )


def test_seen_does_not_mind_the_order_of_context_keys_and_forgets_what_it_refused():
    seen = Seen()
    assert seen.fault(row("x", "a", {"a": 1, "b": 2}), "train") is None
    assert seen.fault(row("x", "a", {"b": 2, "a": 1}), "train") == "diversity: the same input again"
    assert seen.fault(row("x", "a", {"c": 3}), "val") is not None
    assert seen.fault(row("x", "a", {"c": 3}), "train") is None


def test_rows_by_hand_are_read_in_the_one_spelling(tmp_path, capsys):
    path = tmp_path / "notes" / "train.jsonl"
    path.parent.mkdir()
    loose = {"flags": [], "args": {"number": 12}, "subcommand": "merge", "command": "pr", "type": "command"}
    path.write_text("\n" + json.dumps({"instruction": "merge 12", "output": json.dumps(loose, indent=1)}) + "\n")
    want = dumps(command(MERGE, {"number": 12}, []))
    assert rows.read(path, GH) == [{"instruction": "merge 12", "context": None, "output": want}]
    path.write_text(json.dumps({"instruction": "merge it", "output": json.dumps(loose)}))
    with pytest.raises(SystemExit):
        rows.read(path, GH)
    said_so = capsys.readouterr().err
    assert f"{path}:1: grounding" in said_so and said_so.endswith(
        "mend the row, or run train-generate-force for fresh data\n"
    )


def test_a_context_is_filled_where_it_has_no_value_and_room():
    fields = {"git.current_pr": 1, "git.repo.name": "x", "top": True}
    assert filled(None, fields) == {"git": {"current_pr": 1, "repo": {"name": "x"}}, "top": True}
    some = {"git": {"current_pr": None, "repo": "acme"}, "top": 0, "other": [1]}
    assert filled(some, fields) == {"git": {"current_pr": 1, "repo": "acme"}, "top": 0, "other": [1]}
    assert some["git"]["current_pr"] is None
    assert filled({"git.current_pr": 12}, {"git.current_pr": 1}) == {"git.current_pr": 12}
