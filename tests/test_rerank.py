"""What the words of a request say for an answer, beside the model."""

import math

import pytest
import rerank
from hypothesis import given
from hypothesis import strategies as st
from rerank import WEIGHTS, features, names, places, stems, weigh
from tiny import NOTES

QUESTION = {"type": "clarification", "message": "?", "suggestions": []}


def command(name, args=None, flags=(), sub=None):
    return {"type": "command", "command": name, "subcommand": sub, "args": args or {}, "flags": list(flags)}


def found(answer, text):
    return {k: v for k, v in features(answer, text, NOTES).items() if v}


def test_endings_of_words_do_not_count():
    assert stems("Merged pull-requests, 12 closing!") == ["merg", "pull", "request", "clos"]


def test_an_option_is_named_by_its_name_its_values_and_its_synonyms_but_not_by_the_command():
    command_words, subcommand, options = names(NOTES.by_label["list"])
    assert command_words == set()
    assert "list" in subcommand
    assert {"statu", "open", "don"} <= options["status"]
    assert names(NOTES.by_label["folder create"])[0] >= {"folder"}
    assert all("folder" not in stem for stem in names(NOTES.by_label["folder create"])[2].values())


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("read note 12", ["12"]),
        ("read note twelve", ["twelve"]),
        ("read 12 of 12", ["12"]),
        ("read 120", []),
        ("buy MILK", ["MILK"]),
    ],
)
def test_a_value_stands_once_in_digits_or_in_words(text, at):
    taken = places([12, "milk"], text)
    assert "".join(text[i] for i in sorted(taken)) == "".join(at)


def test_the_longest_value_takes_its_place_first():
    assert places(["work", "work at home"], "work at home, in work") == {*range(12), *range(17, 21)}


@pytest.mark.parametrize(
    ("answer", "text", "want"),
    [
        (QUESTION, "read 12", {"asks": 1}),
        (command("list"), "list them", {"subcommand": 1}),
        (command("list", {"status": "open"}), "what is still open", {"named": 1} | {"unnamed": 0}),
        (command("list"), "list what has this status", {"subcommand": 1, "overlooked": 1}),
        (command("read", {"number": 12}), "read 12", {"subcommand": 1, "unnamed": 1}),
        (command("read", {"number": 12}), "read 12 and 13", {"subcommand": 1, "unnamed": 1, "unused": 1}),
        (command("list"), 'list "buy milk"', {"subcommand": 1, "unused": 1}),
        (command("add", {"text": "buy milk"}, ["pinned"]), "add buy milk pinned", {"subcommand": 1, "named": 1, "unnamed": 1}),
        (command("folder", {"name": "x-1"}, sub="create"), "create a folder x-1", {"command": 1, "subcommand": 1, "unnamed": 1}),
    ],
)  # fmt: skip
def test_what_is_seen_in_the_words(answer, text, want):
    seen = found(answer, text)
    if "unnamed" in want and not want["unnamed"]:  # the value is the word that names it: either way it is counted once
        assert seen.get("named", 0) + seen.get("unnamed", 0) == 1
    else:
        assert seen == want


def test_a_single_answer_keeps_the_probability_that_the_model_gives_it():
    for p in (0.0, 0.3, 1.0):
        assert weigh([p], [command("list")], "list them", NOTES) == [pytest.approx(p)]
    assert weigh([], [], "list them", NOTES) == []


def test_a_reading_with_what_was_named_overtakes_one_without():
    bare, full = command("add", {"text": "buy milk"}), command("add", {"text": "buy milk"}, ["pinned"])
    first, second = weigh([0.6, 0.3], [bare, full], "add buy milk and keep it pinned", NOTES)
    gain = WEIGHTS["named"] - WEIGHTS["overlooked"]
    assert second / first == pytest.approx(0.5 * math.exp(gain))
    assert second > first
    first, second = weigh([0.6, 0.3], [bare, full], "add buy milk", NOTES)
    assert first > second


def test_the_weights_say_what_they_are_for():
    assert WEIGHTS.keys() == features(QUESTION, "", NOTES).keys() == features(command("list"), "", NOTES).keys()
    assert WEIGHTS["named"] > WEIGHTS["unnamed"] > 0 > WEIGHTS["overlooked"] > WEIGHTS["unused"]


@given(st.text(max_size=80), st.lists(st.floats(0, 1), min_size=3, max_size=3))
def test_whatever_is_said_they_are_probabilities(text, prior):
    prior = [p / max(1, sum(prior)) for p in prior]
    answers = [command("list", {"limit": 3}), QUESTION, command("search", {"query": text or "x"})]
    weighed = weigh(prior, answers, text, NOTES)
    assert all(0 <= w <= 1 + 1e-9 for w in weighed)
    assert sum(weighed) <= 1 + 1e-9


def test_the_words_of_a_subcommand_are_read_once():
    rerank.names.cache_clear()
    for _ in range(3):
        found(command("list"), "list them")
    assert rerank.names.cache_info().misses == 1
