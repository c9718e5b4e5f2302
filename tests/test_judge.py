"""Preferences that only a reader can decide: which pairs Claude is asked about, and what becomes of its answers."""

import json

import pytest
import schema as cli_schema
from claude import judge
from fake_claude import FakeClaude
from test_claude import exchange  # noqa: F401
from tiny import command, question

NOTES = cli_schema.load("notes")


def pair(instruction, chosen, rejected, context=None):
    return {"prompt": "...", "chosen": chosen, "rejected": rejected, "instruction": instruction, "context": context}


PAIRS = [
    pair("show 4", command("read", number=4), question("multiple", "read", "delete")),  # a reader has to decide
    pair("show 4", command("read", number=4), command("read", number=5)),  # made up: no question
    pair("show 4", command("read", number=4), "{not json"),
    pair("all of them", command("list"), command("list", status="all")),
    pair("open notes", command("list"), command("list", status="open")),
]


def test_only_answers_that_obey_every_rule_are_undecided():
    assert [judge.undecided(p, NOTES) for p in PAIRS] == [True, False, False, True, True]


@pytest.mark.parametrize(
    ("number", "ideal", "after"),
    [
        (0, "read number=4", "the label stands"),
        (0, "?", "dropped"),
        (3, "list status=all", "dropped"),
        (4, "list status=done", "the ideal is chosen"),
        (0, "read number=77", "the label stands"),  # the ideal breaks a rule: nobody said 77
    ],
)
def test_what_becomes_of_a_pair(number, ideal, after):
    answers = judge.answers(json.dumps({"rows": [{"input": 1, "answer": ideal}]}), 1, NOTES)
    found = judge.decide(PAIRS[number], answers[1], NOTES)
    if after == "dropped":
        assert found is None
    elif after == "the label stands":
        assert found is PAIRS[number]
    else:
        assert json.loads(found["chosen"])["args"] == {"status": "done"}
        assert found["rejected"] == PAIRS[number]["rejected"]


@pytest.mark.parametrize(
    "text", ["", "no", "{", '{"rows": [{"input": 9, "answer": "list"}, {"input": 1}, {"input": 1, "answer": "fly"}]}']
)
def test_what_cannot_be_read_is_left_out(text):
    assert judge.answers(text, 2, NOTES) == {}


def test_pairs_are_read_in_one_go(exchange):  # noqa: F811
    text = json.dumps({"rows": [{"input": 1, "answer": "read number=4"}, {"input": 2, "answer": "list status=all"}]})
    with FakeClaude(texts=[f"Here:\n{text}"]) as server:
        pairs, counts = judge.review(PAIRS, exchange(server), NOTES)
    assert counts == {"read": 2, "label_kept": 1, "label_replaced": 0, "dropped": 1}
    assert pairs == [p for p in PAIRS if p is not PAIRS[3]]
    (asked,) = [b["messages"][0]["content"] for b in server.bodies]
    assert '1. "show 4" (no situation)' in asked
    assert "label" not in asked  # Claude does not see either answer


def test_without_undecided_pairs_nothing_is_sent(exchange):  # noqa: F811
    with FakeClaude() as server:
        pairs, counts = judge.review(PAIRS[1:3], exchange(server), NOTES)
    assert pairs == PAIRS[1:3]
    assert counts["read"] == 0
    assert not server.bodies
