"""What is counted about acting and asking, and about what a wrong act would do."""

import json

import decisions
import pytest
import schema as cli_schema
import scores
from rows import clarification
from tiny import NOTES, command, question

GH = cli_schema.load("gh")


def judged(*triples, schema=NOTES):
    """(case, verdict) pairs of (case, answer text)."""
    return [(case, scores.judge(case, output, schema)) for case, output in triples]


def case(expected, instruction="x", context=None, **more):
    return {"instruction": instruction, "context": context, "expected": json.loads(expected), **more}


READ = command("read", number=3)
DELETE = command("delete", number=3)
ASK = question("unclear")


def advice(answer):
    """What an interpreter would say: nothing that loses something is run without a yes."""
    return ("confirm", "") if decisions.destructive(answer, NOTES) else ("run", "")


def test_confusion_by_why_it_must_be_asked():
    some = judged(
        (case(READ), READ),
        (case(READ), ASK),
        (case(ASK, cat="typo"), READ),
        (case(ASK, cat="typo"), ASK),
        (case(ASK), ASK),
    )
    assert decisions.confusion(some) == {
        "command": {"command": 1, "clarification": 1},
        "question": {"command": 0, "clarification": 1},
        "typo": {"command": 1, "clarification": 1},
    }
    assert next(iter(decisions.confusion(some))) == "command"


@pytest.mark.parametrize(
    ("words", "expected", "also"),
    [
        ("read this", READ, []),  # a required argument: only a question is right
        ("read", READ, []),
        ("show it", command("list", folder="work"), []),  # optional, but the words point
        ("list", command("list", folder="work"), [command("list")]),
        ("list the notes", command("list", folder="work"), [command("list")]),
    ],
)
def test_the_twin_of_a_case_that_takes_a_value_from_the_context(words, expected, also):
    context = {"notes": {"current_note": 3, "current_folder": "work"}}
    found = decisions.twin(case(expected, words, context), NOTES)
    assert found["context"] is None
    assert found["instruction"] == words
    meant, name = json.loads(expected), "number" if expected == READ else "folder"
    assert found["expected"] == clarification(NOTES, "pronoun", [meant["command"]], name)
    for answer in (ASK, question("pronoun", "read")):
        assert scores.judge(found, answer, NOTES)["exact"]
    for answer in also:
        assert scores.judge(found, answer, NOTES)["exact"]
    assert not scores.judge(found, expected, NOTES)["exact"]


@pytest.mark.parametrize(
    ("words", "expected", "context"),
    [
        ("read 3", READ, {"notes": {"current_note": 3}}),  # the words say it
        ("read this", READ, None),
        ("read this", ASK, {"notes": {"current_folder": "work"}}),
        ("list all", command("list", status="all"), {"notes": {"current_note": 3}}),
        ("read this", READ, {"notes": {"current_note": 4}}),
    ],
)
def test_other_cases_have_no_twin(words, expected, context):
    assert decisions.twin(case(expected, words, context), NOTES) is None


def test_suggestions_count_where_a_command_was_meant_and_a_question_was_asked():
    some = judged(
        (case(question("typo", "read", "delete")), question("typo", "read")),  # a hit
        (case(question("typo", "read", "delete")), question("typo", "list")),  # a miss
        (case(ASK), question("typo", "list")),  # nothing was meant
        (case(question("typo", "read")), READ),  # no question
        (case(READ), question("typo", "read")),  # none was due
        (case(ASK, suggest=[["read", None]]), question("typo", "list", "read")),  # an evaluation's own pairs
    )
    found = decisions.suggestions(some)
    assert (found["hits"], found["n"]) == (2, 3)


def test_harm_is_a_wrong_command_that_loses_something():
    sure = json.dumps({**json.loads(DELETE), "confidence": 0.99})
    some = judged(
        (case(READ), sure), (case(DELETE), DELETE), (case(READ), command("read", number=4)), (case(ASK), DELETE)
    )
    found = decisions.harm(some, NOTES, advice)
    assert found["wrong_destructive"]["hits"] == 2
    assert found["wrong_destructive"]["n"] == 4
    assert (found["run"], found["sure"]) == (0, 2)
    assert decisions.harm(some, NOTES, lambda a: ("run", ""))["run"] == 2


def test_a_destructive_flag_is_enough():
    merge = GH.by_label["pr merge"]
    flags = [f.name for f in merge.flags if f.destructive]
    assert flags
    answer = {"command": "pr", "subcommand": "merge", "args": {"number": 1}, "flags": flags[:1]}
    assert decisions.destructive(answer, GH)


def test_inventions_and_omissions():
    some = judged(
        (case(READ, "read 3"), READ),
        (case(READ, "read 3"), command("read", "raw", number=3)),
        (case(command("read", "raw", number=3), "read 3 raw"), READ),
        (case(READ, "read 3"), command("read", number=8)),
        (case(READ, "read 3"), DELETE),
        (case(READ, "read 3"), ASK),
    )
    found = decisions.inventions(some, NOTES)
    assert [(r["hits"], r["n"]) for r in found.values()] == [(1, 5), (1, 4), (1, 4)]


def test_subcommands_with_most_mistakes_come_first():
    some = judged(
        (case(DELETE), DELETE), (case(READ), ASK), (case(READ), DELETE), (case(READ), READ), (case(ASK), READ)
    )
    found = decisions.by_subcommand(some)
    assert list(found) == ["read", "delete"]
    assert found["read"] == {"n": 3, "right": 1, "taken_for": {"a question": 1, "delete": 1}}


def test_curves_of_risk_and_reliability():
    points = [(0.9, True), (0.8, False), (0.99, True), (0.1, False)]
    assert decisions.risk_coverage(points) == [
        [0.25, 0, 0.99],
        [0.5, 0, 0.9],
        [0.75, pytest.approx(1 / 3), 0.8],
        [1, 0.5, 0.1],
    ]
    bins = scores.reliability(points, 2)
    assert [b["n"] for b in bins] == [2, 2]
    assert [b["right"] for b in bins] == [0, 1]
    assert scores.calibration_error(points, 2) == pytest.approx((2 * 0.45 + 2 * (1 - 0.945)) / 4)
    assert scores.reliability([]) == decisions.risk_coverage([]) == []


def test_what_would_run_by_its_confidence():
    found = decisions.at_threshold([(0.95, True), (0.9, False), (0.89, True), (0.2, False)])
    assert (found["coverage"]["hits"], found["coverage"]["n"]) == (2, 4)
    assert (found["wrong"]["hits"], found["wrong"]["n"]) == (1, 2)
    assert decisions.at_threshold([])["wrong"]["share"] is None


def test_all_facts_are_json():
    some = judged((case(READ, "read 3"), READ), (case(ASK, cat="typo"), DELETE))
    assert json.loads(json.dumps(decisions.facts(some, NOTES, advice)))["confusion"]["typo"]["command"] == 1
    assert json.loads(json.dumps(decisions.belief(some)))["n"] == 2
    assert decisions.belief([])["error"] is None
