"""What the words of a request say for an answer, beside the model."""

import math
import time

import calibration
import pytest
import rerank
import schema as cli_schema
from cli import build
from hypothesis import given, settings
from hypothesis import strategies as st
from rerank import WEIGHTS, compared, features
from tiny import NOTES
from words import names

GH = cli_schema.load("gh")
QUESTION = {"type": "clarification", "message": "?", "suggestions": []}


def command(label, args=None, flags=()):
    name, _, sub = label.partition(" ")
    return {"type": "command", "command": name, "subcommand": sub or None, "args": args or {}, "flags": list(flags)}


def found(answer, text, schema=NOTES, context=None):
    return {k: v for k, v in features(answer, text, context, schema).items() if v}


def weigh(prior, answers, text, schema, weights=WEIGHTS, context=None):
    return rerank.weigh(prior, compared(answers, text, context, schema), weights)


def chosen(text, *candidates, schema=GH, context=None):
    """The number of the answer that wins, of (the model's probability, answer)."""
    weighed = weigh([p for p, _ in candidates], [a for _, a in candidates], text, schema, context=context)
    return weighed.index(max(weighed))


# ---------------------------------------------------------------------------------------------------------- features
@pytest.mark.parametrize(
    ("answer", "text", "want"),
    [
        (QUESTION, "read 12", {"asks": 1}),
        (command("list"), "list them", {"subcommand": 1}),
        (command("list", {"status": "open"}), "what is still open", {"named": 1}),
        (command("list", {"status": "open"}), "what is done", {"unsaid": 1, "overlooked": 1}),
        (command("list", {"status": "done"}), "list done notes", {"subcommand": 1, "named": 1}),
        (command("list"), "list what has this status", {"subcommand": 1, "overlooked": 1}),
        (command("read", {"number": 12}), "read 12", {"subcommand": 1, "taken": 1}),
        (command("read", {"number": 12}), "read 12 and 13", {"subcommand": 1, "taken": 1, "unused": 1}),
        (command("read", {"number": 12}), "read this", {"subcommand": 1}),
        (command("read", {"number": 12}), "read this urgently", {"subcommand": 1, "unsaid": 1}),
        (command("list"), "list this urgently", {"subcommand": 1}),
        (command("list"), 'list "buy milk"', {"subcommand": 1, "unused": 1}),
        (command("add", {"text": "buy milk"}, ["pinned"]), "add buy milk pinned", {"subcommand": 1, "named": 1, "taken": 1}),
        (command("folder create", {"name": "x-1"}), "create a folder x-1", {"command": 1, "subcommand": 1, "taken": 1}),
    ],
)  # fmt: skip
def test_what_is_seen_in_the_words(answer, text, want):
    assert found(answer, text) == want


def test_a_hollow_value_gives_way():
    bare, hollow = command("run rerun", {}, ["failed"]), command("run rerun", {"run_id": "failed"})
    assert found(hollow, "rerun what failed", GH)["hollow"] == 1
    text, prior = "rerun what failed", [0.2, 0.7]
    first, second = weigh(prior, [bare, hollow], text, GH, WEIGHTS)
    assert first > second
    first, second = weigh(prior, [bare, hollow], text, GH, {**WEIGHTS, "hollow": 0})
    assert first < second


@pytest.mark.parametrize(
    ("label", "args", "text", "alone"),
    [
        ("pr close", {"number": 12}, "close 12", True),
        ("pr close", {"number": 12}, "close number twelve, please", True),
        ("issue close", {"number": 12}, "close pr 12", True),  # its own noun is not named
        ("pr close", {"number": 12}, "close pr 12", False),
        ("pr close", {"number": 12}, "close the pull requests 12", False),
        ("issue close", {"number": 12}, "close isue 12", False),  # a slip of typing
        ("repo view", {"repository": "12"}, "show the report 12", False),  # nothing that is told apart by numbers
        ("issue view", {"number": 12}, "show the report 12", True),
        (
            "issue close",
            {"number": 12},
            'close 12 with the comment "not an issue"',
            True,
        ),  # a noun in quotes names nothing
        ("issue close", {"number": 12}, "close 12, not the issue", True),  # nor does one behind a "not"
        ("run view", {"run_id": "12"}, "show 12 and its reactions", True),  # no slip for "actions"
        ("run view", {"run_id": "12"}, "show the log of 12", False),  # nothing else has a log
        ("issue view", {"number": 12}, "show 12 with the comments", True),  # pull requests have comments too
        ("pr close", {"number": 12}, "close this", False),  # from the context
        ("pr merge", {"number": 12}, "merge 12", False),  # nothing else can be merged
        ("run view", {"run_id": "12"}, "view 12", True),
        ("pr list", {"limit": 12}, "list 12", False),  # a number of things, not of one
        ("repo clone", {"repository": "a/b"}, "clone a/b", False),
    ],
)
def test_a_number_that_several_things_may_have(label, args, text, alone):
    assert found(command(label, args), text, GH).get("ambiguous", 0) == alone


@pytest.mark.parametrize(
    ("text", "context", "points"),
    [
        ("merge this", {"git": {"current_pr": 12}}, 1),
        ("merge the current one", {"git": {"current_pr": 12}}, 1),
        ("merge this", {"git": {"current_pr": 13}}, 0),
        ("merge this", None, 0),
        ("merge 12, this is fine", {"git": {"current_pr": 12}}, 0),  # the words give it
        ("merge my pr", {"git": {"current_pr": 12}}, 0),
        ("merge the one that is ready", {"git": {"current_pr": 12}}, 0),
        ("merge that", {"git": {"current_pr": 12}}, 1),
    ],
)
def test_a_value_of_the_context_that_the_words_point_at(text, context, points):
    merge = command("pr merge", {"number": 12}, ["delete-branch"])
    assert found(merge, text, GH, context).get("pointed", 0) == points


def test_what_the_context_answers_is_not_asked():
    """The question was a little ahead, and "merge", destructive, speaks for nothing."""
    merge, context = command("pr merge", {"number": 12}), {"git": {"current_pr": 12}}
    assert chosen("merge this", (0.5, merge), (0.4, QUESTION), context=context) == 0
    assert chosen("merge this", (0.5, merge), (0.4, QUESTION)) == 1


def test_a_command_without_subcommands_has_its_number_for_itself():
    assert "ambiguous" not in found(command("read", {"number": 12}), "12")


TASKS = build(
    {
        "cli_name": "todo",
        "description": "Tasks",
        "commands": [
            {
                "name": "task",
                "description": "Tasks",
                "subcommands": [
                    {"name": "close", "description": "End it", "args": [{"name": "id", "type": "integer", "required": True}]},
                    {
                        "name": "start",
                        "description": "Run it",
                        "args": [
                            {"name": "id", "type": "integer", "required": True},
                            {"name": "port", "type": "integer"},
                        ],
                    },
                ],
            },
            {
                "name": "project",
                "description": "Projects",
                "subcommands": [
                    {"name": "close", "description": "End it", "args": [{"name": "name", "type": "string", "required": True}]},
                    {
                        "name": "start",
                        "description": "Run it",
                        "args": [
                            {"name": "name", "type": "string", "required": True},
                            {"name": "port", "type": "integer", "required": True},
                        ],
                    },
                ],
            },
            {
                "name": "server",
                "description": "Servers",
                "subcommands": [
                    {"name": "start", "description": "Run it", "args": [{"name": "port", "type": "integer", "required": True}]}
                ],
            },
        ],
    }
)  # fmt: skip


@pytest.mark.parametrize(
    ("label", "args", "text"),
    [
        ("task close", {"id": 12}, "close 12"),  # projects have names
        ("server start", {"port": 8080}, "start on port 8080"),  # the words say which number it is
        ("project start", {"name": "web", "port": 80}, "start web 80"),  # it has a name too
    ],
)
def test_numbers_that_nothing_else_could_have(label, args, text):
    assert "ambiguous" not in found(command(label, args), text, TASKS)


def test_a_reading_that_ignores_the_number_is_no_better():
    close, other = command("pr close", {"number": 12}), command("pr close", {"number": 7})
    for text in ("close 12", "close pr 12"):
        assert chosen(text, (0.5, close), (0.2, other), (0.2, command("pr close"))) != 1
    assert chosen("close 12", (0.5, close), (0.15, other), (0.15, QUESTION)) == 2
    limit, view = command("pr list", {"limit": 12}), command("pr view", {"number": 12})
    assert chosen("show 12", (0.5, view), (0.15, limit), (0.2, QUESTION)) == 2
    assert chosen("newest 12 gists", (0.6, command("gist list", {"limit": 12})), (0.1, view), (0.15, QUESTION)) == 0


def test_where_several_things_have_numbers_a_bare_number_is_asked_about():
    close = command("pr close", {"number": 12})
    assert chosen("close 12", (0.6, close), (0.2, QUESTION)) == 1
    assert chosen("close pr 12", (0.6, close), (0.2, QUESTION)) == 0
    assert chosen("close 12", (0.95, close), (0.01, QUESTION)) == 0  # the model may know better


def test_a_destructive_flag_explains_words_that_no_other_option_may_claim():
    text = "squash 12 and nuke the leftovers"
    flags = [["squash", "auto"], ["squash", "delete-branch"], ["squash", "delete-branch", "auto"]]
    seen = [found(command("pr merge", {"number": 12}, f), text, GH).get("unsaid", 0) for f in flags]
    assert seen == [1, 0, 0]
    more = text + " whenever everything becomes green"
    assert found(command("pr merge", {"number": 12}, flags[2]), more, GH)["unsaid"] == 1


def test_a_destructive_flag_that_is_named_explains_its_own_words_alone():
    for drop in ("delete the branch", "get rid of the branch"):  # its name, and a phrase of its natural_language
        text = f"merge 12 as a single lump and {drop}"
        both, one = (command("pr merge", {"number": 12}, f) for f in (["squash", "delete-branch"], ["squash"]))
        assert found(both, text, GH)["unsaid"] == found(one, text, GH)["unsaid"] == 1
        assert chosen(text, (0.3, one), (0.4, both)) == 1


def test_what_the_context_gave_is_never_hollow():
    assert "hollow" not in found(command("list", {"folder": "open"}), "list this folder")


def test_the_weights_say_what_they_are_for():
    assert (
        WEIGHTS.keys()
        == features(QUESTION, "", None, NOTES).keys()
        == features(command("list"), "", None, NOTES).keys()
    )
    assert WEIGHTS["named"] > WEIGHTS["unsaid"] > WEIGHTS["overlooked"]
    assert WEIGHTS["taken"] > 0 > WEIGHTS["unused"]
    assert max(WEIGHTS["hollow"], WEIGHTS["ambiguous"]) < 0


# ------------------------------------------------------------------------------------------------------ probabilities
def test_a_single_answer_keeps_the_probability_that_the_model_gives_it():
    for p in (0.0, 0.3, 1.0):
        assert weigh([p], [command("list")], "list them", NOTES, WEIGHTS) == [pytest.approx(p)]
    assert weigh([], [], "list them", NOTES, WEIGHTS) == []


def test_without_weights_the_model_decides_alone():
    answers = [command("list"), command("list", {"status": "open"})]
    assert weigh([0.6, 0.3], answers, "list open ones", NOTES, {}) == pytest.approx([0.6, 0.3])


def test_a_reading_with_what_was_named_overtakes_one_without():
    bare, full = command("add", {"text": "buy milk"}), command("add", {"text": "buy milk"}, ["pinned"])
    first, second = weigh([0.6, 0.3], [bare, full], "add buy milk and keep it, pinned", NOTES, WEIGHTS)
    gain = WEIGHTS["named"] - WEIGHTS["overlooked"]
    assert second / first == pytest.approx(0.5 * math.exp(gain))
    assert second > first
    assert chosen("add buy milk", (0.6, bare), (0.3, full), schema=NOTES) == 0


def test_the_value_of_an_enum_that_was_said_beats_one_that_was_not():
    closed, opened = command("issue list", {"state": "closed"}), command("issue list", {"state": "open"})
    assert chosen("show the closed issues", (0.45, opened), (0.4, closed)) == 1
    assert chosen("show the closed issues", (0.7, closed), (0.25, opened)) == 0


@pytest.mark.parametrize(
    "text", ["merge pr 12 but keep the branch", "merge pr 12, do not delete the branch", "please get rid of 12's branch, merge"]
)  # fmt: skip
def test_words_never_speak_for_a_destructive_flag(text):
    plain, losing = command("pr merge", {"number": 12}), command("pr merge", {"number": 12}, ["delete-branch"])
    first, second = weigh([0.5, 0.4], [plain, losing], text, GH, WEIGHTS)
    assert second / first == pytest.approx(0.8)


def test_the_name_of_a_destructive_subcommand_is_not_counted():
    assert GH.by_label["pr merge"].destructive
    assert not GH.by_label["pr view"].destructive
    assert found(command("pr merge"), "merge the pr", GH) == {"command": 1}
    assert found(command("pr view"), "view the pr", GH) == {"command": 1, "subcommand": 1}


def test_options_that_were_said_not_to_be_wanted_stay_away():
    bare, both = command("pr create"), command("pr create", flags=["draft", "web"])
    assert chosen("create a pull request, not as a draft and not on the web", (0.7, bare), (0.2, both)) == 0


def test_no_reading_is_surer_than_what_the_model_followed():
    """The readings that nobody followed may fit the words as well as the best."""
    bare, full = command("pr create"), command("pr create", flags=["draft", "web"])
    _, second = weigh([0.5, 0.2], [bare, full], "draft pull request on the web", GH, WEIGHTS)
    assert second <= 0.2 / (0.2 + 0.3)


def test_a_request_of_thousands_of_letters_is_read_at_once():
    started = time.process_time()
    for text in (
        "1 " * 1000,
        "a" * 2000,
        "'" * 2000,
        "a-" * 1000,
        '"a ' * 600,
        "close 12 " + " ".join(f"is{a}u{b}e" for a in "abcdefghijklmnopqrst" for b in "abcdefghijklmnopqrst")[:1900],
        "this a " * 280,
    ):
        answers = [command("pr close", {"number": 12}), command("pr list", {"author": "a"}), QUESTION]
        weighed = weigh([0.6, 0.2, 0.1], answers, text, GH, WEIGHTS)
        assert sum(weighed) <= 1
        assert [calibration.evidence(a, features(a, text, None, GH), text, GH).keys() for a in answers[:2]] == [
            calibration.EVIDENCE.keys()
        ] * 2
    assert time.process_time() - started < 1


@settings(deadline=None)
@given(st.text(max_size=200), st.lists(st.floats(0, 1), min_size=3, max_size=3))
def test_whatever_is_said_they_are_probabilities(text, prior):
    prior = [p / max(1, sum(prior)) for p in prior]
    notes = [command("list", {"limit": 3}), QUESTION, command("search", {"query": text or "x"})]
    gh = [
        command("pr close", {"number": 3}),
        command("issue close", {"number": 3}),
        command("pr list", {"author": text or "x"}),
    ]
    for answers, schema, words in ((notes, NOTES, text), (gh, GH, f"close 3 {text}")):
        weighed = weigh(prior, answers, words, schema, WEIGHTS)
        assert all(0 <= w <= 1 + 1e-9 for w in weighed)
        assert sum(weighed) <= 1 + 1e-9
        for raw, answer in zip(weighed, answers, strict=True):
            seen = calibration.evidence(answer, features(answer, words, None, schema), words, schema)
            assert all(0 <= n < 50 for n in seen.values())
            assert 0 <= calibration.weighed(raw, sum(weighed), seen, calibration.EVIDENCE) <= 1 + 1e-9


def test_the_words_of_a_subcommand_are_read_once():
    names.cache_clear()
    for _ in range(3):
        found(command("list"), "list them")
    assert names.cache_info().misses == 1
