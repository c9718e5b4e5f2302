"""What the words of a request say, by a schema alone."""

from types import SimpleNamespace

import pytest
import schema as cli_schema
from cli import Flag, build
from tiny import NOTES
from words import (
    hear,
    hollow,
    is_pointing,
    names,
    negative,
    nouns,
    places,
    pointing_at,
    points,
    silenced,
    slip,
    stems,
    unsaid,
)

GH = cli_schema.load("gh")


def test_endings_of_words_do_not_count():
    assert stems("Merged pull-requests, 12 closing!") == ["merg", "pull", "request", "clos"]


def test_an_option_is_named_by_its_name_its_values_and_its_synonyms_but_not_by_the_command():
    command_words, subcommand, options = names(GH.by_label["pr list"])
    assert {"pr", "pull", "request"} <= command_words
    assert "list" in subcommand
    known = {o.name: (stem, values) for o, stem, values in options}
    assert known["state"][1]["merged"] == {"merg"}
    assert "stat" in known["state"][0]
    assert all(not stem & {"pr", "list"} for stem, _ in known.values())
    assert names(NOTES.by_label["list"])[0] == set()


@pytest.mark.parametrize(
    ("label", "field", "text", "points"),
    [
        ("pr list", "git.current_branch", "PRs for this branch", True),
        ("pr list", "git.current_branch", "prs of the branch i'm on", True),
        ("pr list", "git.current_branch", "prs for the checked-out branch.", True),
        ("pr list", "git.current_branch", "prs from my branch", True),
        ("pr list", "git.current_branch", "prs from my branches", False),
        ("pr list", "git.current_branch", "prs for this branching", False),
        ("pr list", "git.current_branch", "prs for branch x", False),
        ("pr list", "git.current_branch", "this pr is on a branch", False),
        ("pr merge", "git.current_pr", "merge this pull request", True),
        ("pr merge", "git.current_pr", "merge the current PR", True),
        ("pr merge", "git.current_pr", "merge this", False),
        ("repo list", "git.repo_owner", "more by this owner", True),
        ("repo view", "git.repo_name", "open this repo", True),
    ],
)
def test_a_thing_is_pointed_at_by_its_noun(label, field, text, points):
    assert bool(pointing_at(GH.by_label[label], field).search(text)) is points


def test_words_that_every_request_has_name_nothing():
    for sub in GH.by_label.values():
        command_words, subcommand, options = names(sub)
        for stem in (command_words, subcommand, *(s for _, s, _ in options)):
            assert not stem & {"to", "for", "my", "all", "thi", "hav", "get"}, sub.label


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("read note 12", "12"),
        ("read note twelve", "twelve"),
        ("read 12 of 12", "12"),
        ("read 120", ""),
        ("read after 12s", "12"),
        ("buy MILK", "MILK"),
        ("İ buy milk", "milk"),
    ],
)
def test_a_value_stands_once_in_digits_or_in_words(text, at):
    taken = set().union(*places({"number": 12, "text": "milk"}, text).values())
    assert "".join(text[i] for i in sorted(taken)) == at


def test_the_longest_value_takes_its_place_first():
    found = places({"folder": "work", "text": "work at home"}, "work at home, in work")
    assert found == {"text": {*range(12)}, "folder": {*range(17, 21)}}


@pytest.mark.parametrize(
    ("value", "examples", "text", "points"),
    [
        ("this org", (), "repos of this org", True),
        ("this org", ("acme", 12), "repos of this org", True),
        ("this org", ("acme", "acme labs"), "repos of this org", False),
        ("This Org", (), "repos of This Org", False),
        ("this org", (), "repos of This Org", False),
        ("cap it", (), "repos, cap it at 9", False),
        ("this", (), "repos of this", False),
        ("this is it", (), "play this is it", False),
        ("this org", (), 'repos of "this org"', False),
        ("this org", (), "repos of «this org»", False),
        ("thisbe org", (), "repos of thisbe org", False),
    ],
)
def test_a_value_of_two_words_may_be_a_pointing_one(value, examples, text, points):
    assert is_pointing(value, SimpleNamespace(examples=examples), text) is points


def test_what_is_said_of_other_things_is_blank():
    text = 'a PR titled "this branch" for fix/menu, 12 of them'
    assert unsaid({"head": "fix/menu"}, text) == text.replace('"this branch"', " " * 13).replace("fix/menu", " " * 8)
    assert unsaid({}, "12 PRs") == "12 PRs"


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ('add "buy milk" now', 1),
        ("don't show what's closed", 0),
        ("close #12, 13 and v1.2", 3),
        ("src/main.py a@b.de snake_case", 3),
        ("hmm... list them!", 0),
        ("merge it --squash", 0),
        ("look at github.com", 1),
    ],
)
def test_what_looks_like_a_value(text, values):
    assert len(hear({}, text).loose) == values


@pytest.mark.parametrize(
    ("text", "silent"),
    [
        ("not as a draft", {"draft"}),
        ("keep the branch", {"branch"}),
        ("don't delete the branch, squash", {"delet", "branch"}),
        ("draft", set()),
        ("no, draft", set()),
    ],
)
def test_behind_a_no_words_name_nothing(text, silent):
    _, words, _, refused, _ = hear({}, text)
    assert silent == {"branch", "delet", "draft"} & refused
    assert not words & refused
    assert ("squash" in words) == ("squash" in text)


POD = {"name": "pod", "type": "string", "positional": True}
KUBE = build(
    {
        "cli_name": "kube",
        "description": "Containers",
        "commands": [
            {"name": "logs", "description": "Show them", "args": [POD]},
            {
                "name": "restart",
                "description": "Again",
                "args": [{"name": "deployment", "type": "string", "required": True}],
            },
        ],
    }
)


@pytest.mark.parametrize(
    ("label", "value", "text", "empty"),
    [
        ("run rerun", "failed", "rerun what failed", True),
        ("pr list", "this", "prs against this branch", True),
        ("pr list", "this branch", 'prs against "this branch"', False),
        ("pr list", "main", "prs against main", False),
        ("pr close", "me too", "comment: me too", False),
        ("pr list", "branch-3", "prs against branch-3", False),
        ("issue create", "crash", "file a bug, call it crash", False),
        ("pr list", "her", "by her", False),  # no "here"
        ("pr list", "ing", "prs by ing", False),  # nothing is left of it without its ending
        ("logs", "deployment", "logs of this deployment", True),
        ("logs", "deployment", "logs of that deployment, then of this deployment please", True),
        ("logs", "deployment", "logs of this deployment, the name is deployment", False),
        ("logs", "deployment", "logs of this 'deployment'", False),
        ("logs", "big deployment", "logs of this big deployment", False),
        ("logs", "deployment", "logs of a deployment", False),
        ("restart", "nginx", "restart that nginx deployment", False),
        ("restart", "nginx", "restart that nginx  for me", False),
        ("restart", "pod", "restart this pod server", False),
    ],
)
def test_a_value_that_only_names_or_points_is_hollow(label, value, text, empty):
    schema = KUBE if label in KUBE.by_label else GH
    assert hollow(value, schema.by_label[label], schema, text) is empty


@pytest.mark.parametrize(
    ("typed", "so"),
    [
        ("isue", True),
        ("issuue", True),
        ("sisue", True),
        ("issue", False),
        ("tissues", False),
        ("list", False),
        ("", False),
    ],
)
def test_a_slip_is_two_letters_swapped_or_one_too_many_or_too_few(typed, so):
    assert slip(typed, "issue") is so


def test_what_is_all_ending_is_no_stem():
    assert stems("let's see what Ed's doing") == ["let", "se", "what", "do"]


def test_only_long_nouns_are_looked_for_in_slips():
    assert nouns(GH.by_label["issue view"]) >= {"issu"}
    assert "gist" not in nouns(GH.by_label["gist view"])
    assert nouns(NOTES.by_label["read"]) == frozenset()


@pytest.mark.parametrize(
    ("text", "behind"),
    [
        ("do not close the old issue please", "close the old"),
        ("don’t close it, then list", "close it,"),
        ("close it", ""),
        ("don't forget to close it", ""),
        ("without drafts or prereleases and notes", "drafts or prereleases"),
    ],
)
def test_what_stands_behind_a_not(text, behind):
    assert "".join(text[i] for i in sorted(silenced(text))) == behind.replace(" ", "")


def test_options_that_say_no_themselves():
    assert negative(Flag("no-headers"))
    assert negative(Flag("bare", natural_language=("without headers",)))
    assert not negative(Flag("notes", natural_language=("nothing else",)))


@pytest.mark.parametrize(
    "text", ["merge this", "is it done?", "close that one", "PRs on the current branch", "here, please"]
)
def test_a_request_that_points(text):
    assert points(text)


@pytest.mark.parametrize(
    "text", ["merge 12", "close 12, that's all", "title 'fix this now'", "PRs that are open", "That is it.", ""]
)
def test_a_request_that_does_not_point(text):
    assert not points(text)
