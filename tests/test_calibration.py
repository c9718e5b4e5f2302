"""Confidence: curves fitted on made-up answers, and the measures that say how far it can be believed."""

import math
import random

import calibration
import pytest
import rerank
import schema as cli_schema
import scores
from hypothesis import given
from hypothesis import strategies as st
from rows import clarification, command
from tiny import NOTES
from words import hear


def answers(kind, n, true, seed=0):
    """n points whose raw confidence is uniform and whose right ones are drawn from true(raw)."""
    rng = random.Random(seed)
    return [(kind, raw, rng.random() < true(raw)) for raw in (rng.uniform(0.02, 0.98) for _ in range(n))]


def test_a_curve_finds_the_truth_it_was_drawn_from():
    def true(raw):
        return calibration.sigmoid(1.5 + 0.7 * calibration.logit(raw))

    curves = calibration.fit(answers("command", 3000, true))
    assert curves["command"]["shift"] == pytest.approx(1.5, abs=0.2)
    assert curves["command"]["slope"] == pytest.approx(0.7, abs=0.1)
    fresh = answers("command", 3000, true, seed=1)
    before = scores.calibration_error([(raw, right) for _, raw, right in fresh])
    after = scores.calibration_error([(calibration.apply(curves, "command", raw), right) for _, raw, right in fresh])
    assert before > 0.15
    assert after < 0.04


def test_few_answers_leave_the_curves_of_peoples_requests_as_they_are():
    assert calibration.fit(answers("command", calibration.FEWEST - 1, lambda raw: 1)) == calibration.PEOPLE
    assert calibration.fit([]) == calibration.PEOPLE


def test_without_a_curve_the_confidence_is_the_raw_one():
    for curves in (None, {}, {"clarification": {"shift": 1, "slope": 1}}):
        assert calibration.apply(curves, "command", 0.37) == 0.37


def test_a_teachers_rows_move_the_curves_a_little():
    curves = dict.fromkeys(calibration.KINDS, {"shift": 0.77, "slope": 0.76})
    points = answers("command", 100, lambda raw: 1)
    moved = calibration.fit(points, curves)["command"]
    assert 0.77 < moved["shift"] < 0.77 + 4 * calibration.NEAR["shift"]
    freely = calibration.fit(points, curves, spread={"shift": 1.0, "slope": 0.5})["command"]
    assert freely["shift"] > moved["shift"] + 0.3


def test_twenty_right_answers_do_not_make_certainty():
    curves = calibration.fit(answers("command", 20, lambda raw: 1))
    assert 0.5 < calibration.apply(curves, "command", 0.5) < 0.97


def test_kinds_have_curves_of_their_own():
    points = answers("command", 5000, lambda raw: 0.9) + answers("clarification", 5000, lambda raw: 0.2)
    curves = calibration.fit(points)
    assert calibration.apply(curves, "command", 0.5) > 0.8
    assert calibration.apply(curves, "clarification", 0.5) < 0.3


@given(st.floats(-6, 6), st.floats(0.05, 5), st.lists(st.floats(0, 1), min_size=2, max_size=9))
def test_order_and_range_stay(shift, slope, raws):
    curves = {"command": {"shift": shift, "slope": slope}}
    mapped = [calibration.apply(curves, "command", raw) for raw in sorted(raws)]
    assert all(0 <= p <= 1 for p in mapped)
    assert all(a <= b + 1e-12 for a, b in zip(mapped, mapped[1:], strict=False))


# ------------------------------------------------------------------------------------------------------ evidence
def evidence(answer, text, schema, context=None):
    (found,) = rerank.compared([answer], text, context, schema)
    return calibration.evidence(answer, found, text, schema)


@pytest.mark.parametrize(
    ("label", "args", "flags", "text", "want"),
    [
        ("add", {"text": "buy milk"}, [], "add buy milk", {"options": 1}),
        ("add", {"text": "buy milk"}, ["pinned"], "add buy milk pinned", {"options": 2}),
        ("add", {"text": "buy milk"}, [], "buy milk", {"options": 1}),
        ("add", {"text": "buy milk"}, [], "add buy milk pinned", {"options": 1, "left": 1}),
        ("add", {"text": "buy milk"}, [], "add buy milk at 10:30", {"options": 1, "left": 1}),
        ("add", {"text": "buy milk"}, [], "good morning, add buy milk", {"options": 1, "unexplained": 2}),
        ("delete", {"number": 7}, [], "delete 7", {"options": 1}),
        (
            "add",
            {"text": "x"},
            [],
            "add x " + "and pigs can fly over the moon tonight again",
            {"options": 1, "unexplained": 6},
        ),
    ],
)
def test_evidence_of_a_command(label, args, flags, text, want):
    answer = command(NOTES.by_label[label], args, flags)
    found = evidence(answer, text, NOTES)
    assert found.keys() == calibration.EVIDENCE.keys()
    assert {k: v for k, v in found.items() if v} == want


@pytest.mark.parametrize(
    ("flags", "text", "want"),
    [
        (["squash", "delete-branch"], "squash pr 12 and delete the branch", {"options": 2}),
        (["squash", "auto"], "squash pr 12", {"options": 2}),
        ([], "don't merge pr 12", {"options": 1, "left": 2}),
        (["squash"], "squash pr 12 and delete the branch", {"options": 2, "left": 1}),
        (["squash"], "squash pr 12", {"options": 2}),
        (["squash"], "squash pr 12, do not delete anything", {"options": 2}),
    ],
)
def test_a_deletion_makes_no_answer_surer_and_one_that_is_not_heeded_makes_it_less_sure(flags, text, want):
    gh = cli_schema.load("gh")
    found = evidence(command(gh.by_label["pr merge"], {"number": 12}, flags), text, gh)
    assert {k: found[k] for k in ("options", "left") if found[k]} == want


@pytest.mark.parametrize(
    ("label", "args", "flags", "text", "against"),
    [
        ("issue reopen", {"number": 12}, [], "don't reopen issue 12", 2),
        ("issue reopen", {"number": 12}, [], "reopen issue 12", 0),
        ("pr create", {"title": "Typos"}, ["draft"], "create a pr titled Typos, not a draft", 1),
        ("pr create", {"title": "Typos"}, [], "create a pr titled Typos, not a draft", 0),
        ("issue reopen", {"number": 12}, [], "don’t reopen issue 12", 2),
        ("issue close", {"number": 12}, [], "don't forget to close issue 12", 0),
        ("issue close", {"number": 12}, [], "close issue 12, don't wait for bob", 0),
        ("issue list", {"author": "bob"}, [], "issues not by bob", 1),
        ("issue list", {"author": "bob"}, [], "issues by bob, not by al", 0),
        ("issue list", {"state": "closed"}, [], "list issues that are not closed", 1),
        ("release list", {}, ["exclude-drafts"], "releases without drafts", 0),
        ("pr merge", {"number": 12}, [], "merge pr 12 and delete the branch", 1),
        ("pr merge", {"number": 12}, [], "merge pr 12 into the release branch", 0),
        ("pr merge", {"number": 12}, ["delete-branch"], "merge pr 12 and delete the branch", 0),
    ],
)
def test_what_a_command_has_against_the_words(label, args, flags, text, against):
    sub = cli_schema.load("gh").by_label[label]
    answer = command(sub, args, flags)
    assert calibration.unheeded(answer, sub, hear(args, text)) == against


def test_what_the_context_gives_is_evidence_where_the_words_point_at_it():
    read = command(NOTES.by_label["read"], {"number": 7}, [])
    context = {"notes": {"current_note": 7}}
    assert evidence(read, "read this", NOTES, context)["options"] == 1
    assert evidence(read, "read this", NOTES)["options"] == 0


def test_a_reading_that_ignores_an_ambiguous_number_leaves_something_over():
    gh = cli_schema.load("gh")
    both = [
        command(gh.by_label[label], args, [])
        for label, args in (("pr view", {"number": 12}), ("pr list", {"limit": 12}))
    ]
    found = rerank.compared(both, "show 12", None, gh)
    assert [calibration.evidence(a, f, "show 12", gh)["left"] for a, f in zip(both, found, strict=True)] == [1, 1]


def test_a_question_has_no_evidence():
    assert evidence(clarification(NOTES, "unclear", []), "add buy milk at 10:30", NOTES) == {}


def weigh(raw, known=None, **found):
    return calibration.weighed(raw, raw if known is None else known, found, calibration.EVIDENCE)


def test_what_says_more_is_surer_and_what_is_left_over_is_not():
    signs = {k: math.copysign(1, w) for k, w in calibration.EVIDENCE.items()}
    assert signs == {"options": 1, "left": -1, "unexplained": -1}
    for k, sign in signs.items():
        assert (weigh(0.6, **{k: 2}) - weigh(0.6, **{k: 1})) * sign > 0


def sure(raw, known=None, kind="command", **found):
    return calibration.apply(calibration.PEOPLE, kind, weigh(raw, known, **found))


BEST = {"options": calibration.MOST_OPTIONS}


def test_what_the_model_hardly_believes_never_becomes_sure():
    assert sure(0.3, **BEST) < 0.9
    assert sure(0.01, **BEST) < 0.5


def test_of_two_readings_that_are_as_probable_none_is_sure():
    """However much the words say for both: evidence speaks against readings that nobody followed."""
    assert weigh(0.5, 1.0, **BEST) == pytest.approx(0.5)
    for raw, known in ((0.5, 0.95), (0.49, 0.98), (0.6, 0.95)):
        assert weigh(raw, known, **BEST) <= raw / known + 1e-9
        assert sure(raw, known, **BEST) < 0.9
    assert sure(0.6, **BEST) > sure(0.6, 0.95, **BEST)


def test_a_lonely_answer_is_as_sure_as_the_odds_and_the_evidence_say():
    odds = calibration.logit(weigh(0.6, options=1)) - calibration.logit(0.6)
    assert odds == pytest.approx(calibration.EVIDENCE["options"])


def test_without_evidence_or_weights_nothing_is_weighed():
    assert weigh(0.37) == weigh(0.37, 0.9) == pytest.approx(0.37)
    assert calibration.weighed(0.37, 0.9, {"left": 1}, {}) == pytest.approx(0.37)
    assert calibration.weighed(0.0, 0.0, {"options": 2}, calibration.EVIDENCE) == 0


def test_calibration_error_by_hand():
    assert scores.calibration_error([]) is None
    assert scores.calibration_error([(1.0, True), (1.0, False)], bins=1) == pytest.approx(0.5)
    assert scores.calibration_error([(0.25, False), (0.25, True), (0.75, True), (0.75, True)], bins=2) == pytest.approx(
        0.25
    )
    assert scores.brier([(1.0, True), (0.5, False)]) == pytest.approx(0.125)
    assert scores.brier([]) is None


def test_on_few_answers_an_honest_confidence_has_an_error_too():
    few = [(raw, right) for _, raw, right in answers("command", 120, lambda raw: raw)]
    many = [(raw, right) for _, raw, right in answers("command", 6000, lambda raw: raw)]
    assert scores.honest_error(few) == pytest.approx(scores.calibration_error(few), abs=0.04)
    assert scores.honest_error(many, trials=20) < 0.03 < 0.06 < scores.honest_error(few)
    assert scores.honest_error([(1.0, False)] * 30) == 0  # what is certain leaves nothing to chance
    assert scores.honest_error([]) is None


def test_a_paired_difference_and_its_interval():
    a, b = [True] * 50 + [False] * 50, [True] * 60 + [False] * 40
    difference, low, high = scores.paired_difference(a, b)
    assert difference == pytest.approx(0.1)
    assert 0.03 < low < 0.1 < high < 0.18
    assert scores.paired_difference(a, a) == (0, 0, 0)
