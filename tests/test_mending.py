"""Values that a model tore in copying, and the words that they were meant to be."""

import time

import pytest
import schema as cli_schema
from hypothesis import given, settings
from hypothesis import strategies as st
from mending import ALIKE, closest, mended, promising, torn_values
from rows import command
from tiny import NOTES

HERE = {"notes": {"current_note": 7, "current_folder": "work"}}
GH = cli_schema.load("gh")


def answer(label="add", schema=NOTES, **args):
    return command(schema.by_label[label], args, (), 0)


@pytest.mark.parametrize(
    ("value", "text", "torn"),
    [
        ("buy milk", "add buy milk", False),
        ("buy mil", "add buy milk", True),
        ("uy milk", "add buy milk", True),
        ("buy milk", 'add "buy milk"!', False),
        ("buy bread", "add buy milk", True),
        ("@me", "add my", False),
        ("x-1", "folder feature/x-1", False),
        ("work", "add this", True),  # `text` does not come from a context
        ("bug", "open bugs", False),
        ("bu", "open bugs", True),
        ("fix-login", "列出fix-login分支的pr", False),
        ("牛乳を買う", "牛乳を買うことをメモして", False),
        ("öffne", "eröffne", True),
    ],
)
def test_a_value_is_torn_where_it_is_no_whole_words_of_the_request(value, text, torn):
    assert torn_values(answer(text=value), text, HERE, NOTES) == (["text"] if torn else [])


@pytest.mark.parametrize(("value", "torn"), [("work", False), ("wor", True), ("home", True)])
def test_a_value_that_the_context_gives_for_its_argument_is_whole(value, torn):
    assert torn_values(answer("list", folder=value), "list this folder", HERE, NOTES) == (["folder"] if torn else [])


def test_numbers_enums_and_questions_are_never_torn():
    assert torn_values(answer("list", status="open", limit=5), "nothing of it", None, NOTES) == []
    assert torn_values({"type": "clarification", "message": "?", "suggestions": []}, "x", None, NOTES) == []


@pytest.mark.parametrize(
    ("value", "text", "whole"),
    [
        ("ginx", "get the notes about nginx", "nginx"),
        ("deployment.yaml", "search deploy.yaml in the deployments of work", "deploy.yaml"),
        ("flamebit", "restart ds fluentbit", "fluentbit"),
        ("NOTIFICATIONS-6c5d", "restart notifications please", "notifications"),
        ("buy mulk", "add buy milk and bread", "buy milk"),
        ("bymilk", "add buy milk", "buy milk"),
        ("feature/x-10", "checkout (feature/x-1).", "feature/x-1"),
        ("work-2024", "drop work-2023", "work-2023"),
        ("work-2024", "drop the folder work-2023, keep work-2025", None),  # which of them?
        ("release-3", "what changed between release-1 and release-2", None),
        ("work-2024", "drop work-2023, I said work-2023", "work-2023"),
        ("template", "apply everything in k8s/", None),
        ("something", "", None),
        ("ab", "?! ...", None),
        ("./script/deploy.sh", "create a gist from ./scripts/deploy.sh", "./scripts/deploy.sh"),
        (".gitignor", "add .gitignore.", ".gitignore"),
        ("[WIP] Fix logn page", "pr titled [WIP] Fix login page", "[WIP] Fix login page"),
        ("Fix crash in lexr()", "title: Fix crash in lexer()", "Fix crash in lexer()"),
        ("Logn kaputt", "titel „Login kaputt“", "Login kaputt"),
        ("notification-api", "restart notifications-api's pods", "notifications-api"),
        ("needs-triag", "issues --label=needs-triage", "needs-triage"),
        ("marta-k", "author:marta-kw", "marta-kw"),
        (
            "login page crashes when click on big red button",
            "titled login page crashes when I click on the big red button please",
            "login page crashes when I click on the big red button",
        ),
        (
            "Login fails on Safari after the update",
            "titled Login fails on Safari 17 and 18 after the update",
            "Login fails on Safari 17 and 18 after the update",
        ),
        ("fix the logn", "pr titled something else altogether", None),
        ("x" * 101, "x" * 102, None),
    ],
)
def test_the_run_of_words_that_is_most_like_a_torn_value(value, text, whole):
    found = closest(value, text)
    assert (found and found[0]) == whole
    assert found is None or ALIKE <= found[1] < 1


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("v1.2.4", "create the next release after v1.2.3"),
        ("payments-service-v2", "create a successor repo to payments-service-v1"),
        ("release-v2.10.4-rc2", "release the one after release-v2.10.4-rc1"),
    ],
)
def test_what_differs_in_a_digit_is_never_surer_than_it_must_be(value, text):
    assert closest(value, text)[1] == ALIKE


def test_what_cannot_be_written_is_no_copy():
    assert closest("buy m?ilk", "add buy m\udc80ilk") is None


def test_words_that_are_taken_are_no_copy():
    text = "create issue login broken on safari"
    both = mended(answer(text="login broken on safari", due="login is broken on safari"), text, None, NOTES)
    assert both == (answer(text="login broken on safari", due="login is broken on safari"), 1)


def test_the_word_for_a_thing_is_no_copy():
    made_up = answer("release create", GH, tag="release-1")
    assert mended(made_up, "create a release", None, GH) == (made_up, 1)
    assert mended(made_up, "create release-01", None, GH)[0]["args"] == {"tag": "release-01"}


def test_what_the_context_gives_may_be_what_is_meant():
    assert closest("wrk", "list this folder", "work")[0] == "work"
    assert closest("folders", "list this folder", "work")[0] == "folder"
    assert closest("worl", "list words", "work")[0] == "work"
    assert closest("wor", "list word", "work") is None


@pytest.mark.parametrize(
    ("args", "text", "want", "alike"),
    [
        ({"text": "buy mulk", "due": "friday"}, "add buy milk", {"text": "buy milk", "due": "friday"}, 7 / 8),
        ({"text": "buy milk"}, "add buy milk", {"text": "buy milk"}, 1),
        ({"text": "buy bread"}, "add 12", {"text": "buy bread"}, 1),
    ],
)
def test_each_torn_value_is_mended_by_itself(args, text, want, alike):
    whole, like = mended(answer(**args), text, None, NOTES)
    assert whole == answer(**want)
    assert like == pytest.approx(alike)


def test_only_an_argument_that_takes_from_the_context_is_mended_by_it():
    assert mended(answer("list", folder="wrk"), "list this", HERE, NOTES)[0]["args"] == {"folder": "work"}
    assert mended(answer("add", text="wrk"), "list this", HERE, NOTES)[0]["args"] == {"text": "wrk"}
    ask = {"type": "clarification", "message": "?", "suggestions": []}
    assert mended(ask, "x", HERE, NOTES) == (ask, 1)


def test_a_value_in_other_letters_is_the_same():
    assert closest("MAIN", "open main") == ("main", 1.0)


@settings(deadline=None)
@given(st.text(min_size=1, max_size=30), st.text(max_size=200))
def test_what_is_found_stands_in_the_text(value, text):
    found = closest(value, text)
    assert found is None or (found[0] in text and found[0].strip() == found[0] != "")


def test_long_texts_are_searched_at_once():
    started = time.process_time()
    for text in (
        "lorem ipsum " * 170,
        "a " * 1000,
        "x" * 2000,
        "a b " * 500,
        "the user of the app sees that it is there " * 40,
    ):
        for value in ("lorem ipzum dolor sit amet", "a c", "a b c " * 16, "x" * 100, text[: len(text) // 2], text[:99]):
            closest(value, text)
    assert time.process_time() - started < 3


START = '{"type": "command", "command": "pr", "subcommand": "list", "args": {'


@pytest.mark.parametrize(
    ("begun", "worth"),
    [
        ("", True),
        ('"author": "mar', True),
        ('"author": "arta', False),
        ('"author": "zebra', False),
        ('"author": " marta', True),
        ('"author": "@m', True),
        ('"author": "MAR', True),
        ('"author": "open  prs', True),
        ('"state": "clo', True),
        ('"head": "fix', True),
        ('"author": "zebra", "limit": 3', True),  # it does not stop in a value
        ('"author": "marta", "label": "zeb', False),
        ('"author": "marta", "label": "', True),
        ('"author": "z\\u', True),  # spelled with escapes: it cannot be told
    ],
)
def test_a_value_is_promising_where_something_begins_like_it(begun, worth):
    context = {"git": {"current_branch": "fix-1", "current_pr": 3, "files": ["a"]}}
    assert promising(START + begun, "open prs by marta", context, GH) is worth


def test_questions_and_the_words_of_a_command_are_promising():
    for written in (
        "",
        '{"type": "cl',
        '{"type": "clarification", "message": "Whi',
        '{"type": "command", "command": "x',
    ):
        assert promising(written, "", None, GH)
