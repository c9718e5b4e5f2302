"""What counts as right, and the numbers drawn from it: against definitions that are spelled out here once more."""

import itertools
import json
import math
import re

import pytest
import schema as cli_schema
import scores
from hypothesis import given, settings
from hypothesis import strategies as st
from pytest import approx

GH = cli_schema.load("gh")
LAB, _ = cli_schema.from_raw(
    {
        "cli_name": "lab",
        "description": "One command without subcommands, one value of each type",
        "commands": [
            {
                "name": "mix",
                "args": [
                    {"name": "count", "type": "integer", "default": 1},
                    {"name": "speed", "type": "float", "default": 1.5},
                    {"name": "gentle", "type": "boolean", "default": False},
                    {"name": "note", "type": "string", "default": "none"},
                ],
                "flags": [{"name": "dry-run"}],
            }
        ],
    }
)


def told(command="pr", subcommand="merge", args=None, flags=("squash",), **more):
    return {
        "type": "command",
        "command": command,
        "subcommand": subcommand,
        "args": {"number": 12} if args is None else args,
        "flags": list(flags),
        "confidence": 0.95,
        **more,
    }


def mix(args=None, flags=()):
    return told("mix", None, args or {}, flags)


def asked(message="Which one?", suggestions=(), confidence=0.4):
    return {"type": "clarification", "message": message, "suggestions": list(suggestions), "confidence": confidence}


def right(answer, expected, schema=GH):
    """The measures that hold, as a set."""
    return {name for name, holds in scores.compare(answer, expected, schema).items() if holds is True}


ALL = {"exact", "exact_defaults", "type", "command", "args", "flags"}


# ------------------------------------------------------------------------------------------------------ one answer
def test_the_same_answer_is_right_in_everything_and_confidence_does_not_count():
    assert right(told(), told()) == ALL
    assert right(told(confidence=0.1), told()) == ALL
    assert right(told(reason="because"), told()) == ALL


def test_the_order_of_arguments_and_flags_does_not_count():
    a = told("pr", "list", {"state": "open", "author": "@me"}, ["web", "squash"])
    b = told("pr", "list", {"author": "@me", "state": "open"}, ["squash", "web"])
    assert right(a, b) == ALL


def test_a_wrong_part_is_wrong_in_its_own_measure_and_in_exact():
    assert right(told(args={"number": 13}), told()) == {"type", "command", "flags"}
    assert right(told(args={}), told()) == {"type", "command", "flags"}
    assert right(told(flags=[]), told()) == {"type", "command", "args"}
    assert right(told(flags=["squash", "auto"]), told()) == {"type", "command", "args"}
    assert right(told(subcommand="close"), told()) == {"type", "args", "flags"}
    assert right(told(command="issue"), told()) == {"type", "args", "flags"}
    assert right(asked(), told()) == set()
    assert right(told(), asked()) == set()


VALUES = [5, "5", 5.0, True, False, 0, 0.0, "", "0", None, "true", [5], {"a": 5}, 1, 1.0]


def test_values_of_different_types_differ():
    for (i, a), (j, b) in itertools.product(enumerate(VALUES), repeat=2):
        got = right(told(args={"number": a}), told(args={"number": b}))
        assert got == (ALL if i == j else {"type", "command", "flags"}), (a, b)


def test_text_compares_without_the_space_around_it_but_with_its_case():
    def note(text):
        return mix({"note": text})

    assert right(note(" buy milk\n"), note("buy milk"), LAB) == ALL
    assert right(note("buy milk"), note("\tbuy milk "), LAB) == ALL
    assert right(note("Buy milk"), note("buy milk"), LAB) == {"type", "command", "flags"}
    assert right(note("buy  milk"), note("buy milk"), LAB) == {"type", "command", "flags"}


def test_flags_are_a_set():
    assert right(told(flags=["squash", "squash"]), told()) == ALL
    assert right(told(flags=[" squash "]), told()) == ALL
    assert right(told(flags=["Squash"]), told()) == {"type", "command", "args"}
    assert right({k: v for k, v in told().items() if k != "flags"}, told(flags=[])) == ALL
    assert right({k: v for k, v in told().items() if k != "flags"}, told()) == {"type", "command", "args"}


@pytest.mark.parametrize("flags", ["squash", {"squash": True}, None, ["squash", 5], [["squash"]], 5])
def test_flags_of_another_shape_are_wrong(flags):
    assert right({**told(), "flags": flags}, told()) == {"type", "command", "args"}
    assert right({**told(), "flags": flags}, told(flags=[])) == {"type", "command", "args"}


@pytest.mark.parametrize("args", [None, [], "number=12", 12, [["number", 12]]])
def test_arguments_of_another_shape_are_wrong(args):
    assert right({**told(), "args": args}, told()) == {"type", "command", "flags"}
    assert right({**told(), "args": args}, told(args={})) == {"type", "command", "flags"}


def test_missing_arguments_are_no_arguments():
    bare = {k: v for k, v in told().items() if k != "args"}
    assert right(bare, told(args={})) == ALL
    assert right(bare, told()) == {"type", "command", "flags"}


def test_a_missing_subcommand_is_not_null():
    answer = mix()
    assert right(answer, mix(), LAB) == ALL
    without = {k: v for k, v in answer.items() if k != "subcommand"}
    assert right(without, mix(), LAB) == {"type", "args", "flags"}
    assert right({**answer, "subcommand": ""}, mix(), LAB) == {"type", "args", "flags"}
    assert right({**answer, "command": ["mix"]}, mix(), LAB) == {"type", "args", "flags"}


def test_of_a_question_only_the_type_counts():
    want = asked("Which pr?", [{"label": "pr list", "command": "pr", "subcommand": "list"}])
    assert right(asked("Something else", [], 0.9), want) == {"exact", "exact_defaults", "type"}
    assert right({"type": "clarification"}, want) == {"exact", "exact_defaults", "type"}
    assert right({"type": "Clarification"}, want) == set()


@pytest.mark.parametrize("spelled", [{"count": 1}, {"speed": 1.5}, {"gentle": False}, {"note": " none "}])
def test_a_default_that_is_spelled_out_counts_only_in_the_measure_that_says_so(spelled):
    assert right(mix(spelled), mix(), LAB) == {"exact_defaults", "type", "command", "flags"}
    assert right(mix(), mix(spelled), LAB) == {"exact_defaults", "type", "command", "flags"}
    assert right(mix(spelled), mix(spelled), LAB) == ALL


@pytest.mark.parametrize(
    "other", [{"count": 2}, {"count": 1.0}, {"count": True}, {"speed": 1}, {"gentle": 0}, {"x": 1}]
)
def test_what_is_not_exactly_the_default_is_wrong_in_both_measures(other):
    assert right(mix(other), mix(), LAB) == {"type", "command", "flags"}


def test_defaults_of_an_unknown_command_are_none():
    a, b = told("pr", "vanish", {"limit": 30}), told("pr", "vanish", {})
    assert right(a, b) == {"type", "command", "flags"}


def test_no_answer_is_wrong_in_everything():
    assert right(None, told()) == set()
    assert right({}, told()) == set()
    assert right({"type": None}, told()) == set()


# --------------------------------------------------------------------------------------------------- the text of one
BROKEN = [
    "",
    " ",
    "null",
    "[]",
    "5",
    '"pr list"',
    "pr list",
    '{"type": "command"',
    "{'type': 'command'}",
    "{} {}",
    None,
]


@pytest.mark.parametrize("output", BROKEN)
def test_what_is_no_object_is_no_answer(output):
    assert scores.parse(output) is None
    judged = scores.judge({"expected": told()}, output, GH)
    assert {name: judged[name] for name in ALL} == dict.fromkeys(ALL, False)
    assert (judged["answer"], judged["fits"]) == (None, False)


def test_an_object_is_parsed_whatever_its_spacing():
    assert scores.parse(' {"type" :\n"command"} ') == {"type": "command"}


def test_judge_tells_whether_an_answer_fits_the_schema_apart_from_whether_it_is_right():
    def fits(answer):
        return scores.judge({"expected": told()}, json.dumps(answer), GH)["fits"]

    assert fits(told())
    assert fits(asked())
    assert fits(told(subcommand="close", flags=[]))
    assert fits({k: v for k, v in told().items() if k != "confidence"})
    assert not fits(told(confidence=1.5))
    assert not fits(told(args={"number": "12"}))
    assert not fits(told(args={"pr": 12}))
    assert not fits(told(flags=["draft"]))
    assert not fits(told("issue", "close", {}))
    assert not fits(told(subcommand="vanish"))
    assert not fits(asked(message=""))
    assert not fits({})


def test_the_nearest_accepted_answer_counts():
    case = {"expected": told(), "also": [told(flags=[]), asked()]}
    for answer in (told(), told(flags=[]), asked("?")):
        judged = scores.judge(case, json.dumps(answer), GH)
        assert judged["exact"] is True
        assert judged["want"]["type"] == answer["type"]
        assert judged["want"].get("flags") == answer.get("flags")
    near = scores.judge(case, json.dumps(told(args={}, flags=[])), GH)
    assert (near["exact"], near["flags"], near["want"]) == (False, True, told(flags=[]))
    assert scores.judge({"expected": told()}, json.dumps(asked()), GH)["exact"] is False


def test_without_any_match_the_expected_answer_is_the_one_reported():
    judged = scores.judge({"expected": told(), "also": [asked()]}, "nonsense", GH)
    assert judged["want"] == told()


# --------------------------------------------------------------------------------------------------------- the table
def table_of(*pairs, threshold=0.9):
    return scores.table([scores.judge({"expected": e}, json.dumps(a), GH) for a, e in pairs], threshold)


def test_each_share_has_its_own_rows():
    shares = table_of(
        (told(), told()),  # right
        (told(flags=[]), told()),  # flags wrong
        (told(args={"number": 1}, confidence=0.5), told()),  # args wrong, unsure
        (told(subcommand="close"), told()),  # command wrong, which has no such flag
        (told("pr", "list", {"limit": 30}, []), told("pr", "list", {}, [])),  # a default spelled out
        (told(flags=["draft"]), told()),  # a flag that the subcommand lacks
        (asked(), told()),  # asks instead of acting
        (asked(), asked()),  # rightly asks
        (told(), asked()),  # acts instead of asking
        ([], told()),  # no answer
    )
    assert {name: (s["hits"], s["n"]) for name, s in shares.items()} == {
        "exact_match": (2, 10),
        "exact_match_ignoring_stated_defaults": (3, 10),
        "type_accuracy": (7, 10),
        "command_subcommand_accuracy": (5, 8),
        "args_accuracy": (4, 8),
        "flags_accuracy": (4, 8),
        "exact_match_commands": (1, 8),
        "clarification_precision": (1, 2),
        "clarification_recall": (1, 2),
        "json_valid": (9, 10),
        "schema_valid": (7, 10),
        "right_at_threshold": (1, 6),
    }
    assert shares["exact_match"]["share"] == 0.2
    assert shares["exact_match"]["ci95"] == scores.wilson(2, 10)


def test_the_threshold_is_inclusive_and_takes_numbers_only():
    rows = [(told(confidence=c), told()) for c in (0.7, 0.69, True, "0.99", None, 1)]
    assert table_of(*rows, threshold=0.7)["right_at_threshold"]["n"] == 2
    assert table_of(*rows, threshold=1)["right_at_threshold"]["n"] == 1


def test_without_rows_there_is_no_share_and_no_line():
    shares = scores.table([])
    assert len(shares) == 12
    assert all(s == {"share": None, "hits": 0, "n": 0, "ci95": None} for s in shares.values())
    assert scores.lines(shares) == []


def test_the_lines_for_the_terminal():
    shares = {
        "exact_match": {"share": 0.5, "hits": 5, "n": 10, "ci95": (0.2366, 0.7634)},
        "args_accuracy": {"share": None, "hits": 0, "n": 0, "ci95": None},
        "json_valid": {"share": 1.0, "hits": 10, "n": 10, "ci95": (0.7225, 1.0)},
    }
    assert scores.lines(shares) == [
        "  exact match                             50.0 %   [23.7, 76.3]   5/10",
        "  json valid                             100.0 %   [72.2, 100.0]   10/10",
    ]


# ------------------------------------------------------------------------------------------------------- statistics
def wilson_by_search(hits, n, z=1.96):
    """The shares p at which the observed one is z standard errors away, found by halving."""

    def excess(p):
        return abs(hits / n - p) - z * math.sqrt(p * (1 - p) / n)

    def edge(outside, inside):
        for _ in range(200):
            middle = (outside + inside) / 2
            outside, inside = (middle, inside) if excess(middle) > 0 else (outside, middle)
        return inside

    share = hits / n
    return (edge(0.0, share) if hits else 0.0), (edge(1.0, share) if hits < n else 1.0)


@pytest.mark.parametrize(
    "hits, n", [(0, 1), (1, 1), (0, 10), (1, 10), (5, 10), (10, 10), (37, 50), (999, 1000), (250, 300)]
)
def test_wilson_is_where_the_observed_share_is_two_standard_errors_away(hits, n):
    assert scores.wilson(hits, n) == approx(wilson_by_search(hits, n), abs=1e-9)


def test_wilson_at_numbers_of_a_textbook():
    assert scores.wilson(0, 10) == approx((0.0, 0.2775), abs=1e-4)
    assert scores.wilson(5, 10) == approx((0.2366, 0.7634), abs=1e-4)
    assert scores.wilson(0, 0) is None


@given(st.integers(1, 2000), st.data())
def test_wilson_holds_the_share_and_stays_between_0_and_1(n, data):
    hits = data.draw(st.integers(0, n))
    low, high = scores.wilson(hits, n)
    assert 0 <= low <= hits / n + 1e-12
    assert hits / n - 1e-12 <= high <= 1
    assert high - low < 4 / math.sqrt(n)


def mcnemar_by_counting(only_a, only_b):
    """The share of all ways in which the disagreements could have fallen that are at least as one-sided as this one."""
    n, lean = only_a + only_b, abs(only_a - only_b)
    ways = [sum(way) for way in itertools.product((0, 1), repeat=n)]
    return sum(abs(n - 2 * heads) >= lean for heads in ways) / len(ways)


@pytest.mark.parametrize("only_a, only_b", [(a, b) for a in range(6) for b in range(6)] + [(0, 12), (1, 11), (9, 3)])
def test_mcnemar_counts_the_ways(only_a, only_b):
    a = [True] * only_a + [False] * only_b + [True, True, False]
    b = [False] * only_a + [True] * only_b + [True, True, False]
    assert scores.mcnemar(a, b) == approx(mcnemar_by_counting(only_a, only_b))
    assert scores.mcnemar(b, a) == scores.mcnemar(a, b)


def test_mcnemar_without_a_difference_is_1():
    assert scores.mcnemar([], []) == 1.0
    assert scores.mcnemar([True, False], [True, False]) == 1.0


def test_mcnemar_refuses_lists_of_different_lengths():
    with pytest.raises(ValueError):
        scores.mcnemar([True], [True, False])


@pytest.mark.parametrize("n", [1, 2, 3, 10, 99, 100, 101])
def test_percentile_is_the_least_value_that_enough_values_do_not_exceed(n):
    values = [(7 * i) % n if n % 7 else i for i in range(n)]
    for q in range(1, 101):
        enough = [v for v in sorted(values) if 100 * sum(w <= v for w in values) >= q * n]
        assert scores.percentile(values, q) == enough[0], q


def test_percentile_of_nothing_is_nothing():
    assert scores.percentile([], 50) is None
    assert scores.percentile([3.5], 99) == 3.5
    assert scores.percentile([4, 1, 3, 2], 0) == 1


# --------------------------------------------------------------------------------------------------------- property
NAMES = st.sampled_from(["pr", "issue", "list", "merge", None, "", 5])
SCALARS = st.sampled_from([1, 30, "30", 30.0, True, " open", "open", "closed", None])
ANSWERS = st.fixed_dictionaries(
    {"type": st.sampled_from(["command", "command", "command", "clarification", "other"])},
    optional={
        "command": NAMES,
        "subcommand": NAMES,
        "args": st.dictionaries(st.sampled_from(["state", "limit", "number"]), SCALARS, max_size=2) | SCALARS,
        "flags": st.lists(st.sampled_from(["web", " web", "squash", 5]), max_size=2) | SCALARS,
        "confidence": SCALARS,
    },
)
EXPECTED = st.one_of(
    st.just(asked()),
    st.builds(
        told,
        command=st.sampled_from(["pr", "issue"]),
        subcommand=st.sampled_from(["list", "merge"]),
        args=st.dictionaries(st.sampled_from(["state", "limit", "number"]), SCALARS, max_size=2),
        flags=st.lists(st.sampled_from(["web", "squash"]), max_size=2, unique=True),
    ),
)


@settings(max_examples=400, deadline=None, database=None)
@given(expected=EXPECTED, answer=ANSWERS, keep=st.sets(st.sampled_from(["command", "subcommand", "args", "flags"])))
def test_exact_implies_all_other_measures(expected, answer, keep):
    answer = {**answer, **{k: expected[k] for k in keep if k in expected}}
    got = right(answer, expected)
    if "exact" in got:
        assert got == (ALL if expected["type"] == "command" else {"exact", "exact_defaults", "type"})
    if got:
        assert "type" in got
    if expected["type"] == "command":
        assert ("exact" in got) == ({"command", "args", "flags"} <= got)
        assert "exact_defaults" not in got or {"type", "command", "flags"} <= got
    assert right(expected, expected) >= {"exact", "exact_defaults", "type"}


def test_a_change_in_words():
    before, after = [True] * 5 + [False] * 15, [True] * 15 + [False] * 5
    words = scores.change(before, after)
    assert re.fullmatch(r"\+50\.0 points \[\+\d+\.\d, \+\d+\.\d\], p = 0\.002", words)
    assert scores.change(after, before).startswith("-50.0 points [-")
    assert scores.change(before, before) == "+0.0 points [+0.0, +0.0], p = 1"
