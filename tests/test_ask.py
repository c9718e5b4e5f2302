"""`just train-ask`: what is asked, the command line that an answer stands for, and that nothing is ever executed."""

import json
import shlex
import shutil

import ask
import pytest
import schema as cli_schema
import utils
from rows import answer_faults

LAB, _ = cli_schema.from_raw(
    {
        "cli_name": "lab",
        "description": "Odd shapes of arguments",
        "commands": [
            {
                "name": "mix",
                "args": [
                    {"name": "dry_run", "type": "boolean"},
                    {"name": "speed", "type": "float"},
                    {"name": "what", "type": "string", "required": True},
                    {"name": "into", "type": "path", "positional": True},
                    {"name": "how_many", "type": "integer", "required": True, "positional": False},
                ],
                "flags": [{"name": "keep_going"}, {"name": "v"}],
            },
            {"name": "shelf", "subcommands": [{"name": "list"}]},
        ],
    }
)


def line(schema, command, subcommand, args=None, flags=()):
    answer = {"command": command, "subcommand": subcommand, "args": args or {}, "flags": list(flags)}
    return ask.command_line(schema, answer)


def text_of(*words):
    return utils.parse_settings(["name=notes", *words], needs_schema=False, bare="text")["text"]


@pytest.fixture
def notes(project):
    """A project in which a file stands where the model would be, for mistakes that are found before it is read."""
    model = project.models() / "clitron-notes-q4_k_m.gguf"
    model.parent.mkdir(parents=True)
    model.write_text("not a model")
    return project


# -------------------------------------------------------------------------------------------------- the command line
def test_positional_arguments_stand_alone_and_flags_come_last():
    gh = cli_schema.load("gh")
    assert line(gh, "pr", "merge", {"number": 12}, ["delete-branch"]) == "gh pr merge 12 --delete-branch"
    assert line(gh, "pr", "merge", {}, ["squash", "auto"]) == "gh pr merge --squash --auto"
    assert line(gh, "pr", "list", {"state": "open", "limit": 5}, ["web"]) == "gh pr list --state open --limit 5 --web"
    assert line(gh, "run", "rerun", {"run_id": "123"}, ["failed"]) == "gh run rerun 123 --failed"


def test_a_command_without_subcommand():
    notes = cli_schema.load("notes")
    assert line(notes, "add", None, {"text": "buy milk", "folder": "home"}) == "notes add 'buy milk' --folder home"
    assert line(notes, "list", None) == "notes list"
    assert line(notes, "folder", "list") == "notes folder list"


def test_booleans_underscores_numbers_and_paths():
    args = {"dry_run": True, "speed": 1.5, "what": "x", "into": "a b/c", "how_many": -3}
    want = "lab mix --dry-run true --speed 1.5 x 'a b/c' --how-many -3 --keep_going --v"
    assert line(LAB, "mix", None, args, ["keep_going", "v"]) == want
    assert line(LAB, "mix", None, {"dry_run": False}) == "lab mix --dry-run false"
    assert line(LAB, "shelf", "list") == "lab shelf list"


@pytest.mark.parametrize(
    "value, quoted",
    [
        ("plain", "plain"),
        ("two words", "'two words'"),
        ("", "''"),
        ("it's", "'it'\"'\"'s'"),
        ('"quoted"', "'\"quoted\"'"),
        ("$(reboot)", "'$(reboot)'"),
        ("`reboot`; rm *", "'`reboot`; rm *'"),
        ("a\nb", "'a\nb'"),
        ("naïve 🎉", "'naïve 🎉'"),
        ("@me", "@me"),
        ("back\\slash", "'back\\slash'"),
    ],
)
def test_a_shell_reads_one_word_whatever_the_value_is(value, quoted):
    positional = line(cli_schema.load("notes"), "add", None, {"text": value})
    option = line(cli_schema.load("notes"), "list", None, {"folder": value})
    assert (positional, option) == (f"notes add {quoted}", f"notes list --folder {quoted}")
    assert shlex.split(positional) == ["notes", "add", value]


# ------------------------------------------------------------------------------------------------------ what is asked
def test_words_without_a_key_are_the_request():
    assert text_of("show my notes") == "show my notes"
    assert text_of("show", "my", "notes") == "show my notes"
    assert text_of("show", "quant=f16", "notes") == "show notes"
    assert text_of("text=show my notes") == "show my notes"
    assert text_of() is None


def test_an_equals_sign_in_the_request_is_part_of_it():
    assert text_of("note that a=b") == "note that a=b"
    assert text_of("a=b is the rule, note that") == "a=b is the rule, note that"
    assert text_of("text=a=b") == "a=b"
    assert text_of("remember: x=5") == "remember: x=5"
    assert text_of("E=mc2 is to be remembered") == "E=mc2 is to be remembered"


def test_the_context_is_an_object_or_nothing():
    assert ask.read_context('{"notes": {"current_note": 12}}') == {"notes": {"current_note": 12}}
    assert ask.read_context("{}") == {}
    assert ask.read_context("") is None
    assert ask.read_context(None) is None
    assert ask.read_context("null") is None


@pytest.mark.parametrize("context", ["[1]", "5", "note", "{'a': 1}", '{"a": 1', '"text"', "true", "0", "false"])
def test_a_context_of_another_shape(capsys, monkeypatch, context):
    monkeypatch.setattr("sys.argv", ["ask.py"])
    with pytest.raises(SystemExit) as stop:
        ask.read_context(context)
    want = 'ask.py: context= should be a JSON object, such as context=\'{"git": {"current_pr": 12}}\'\n'
    assert (stop.value.code, capsys.readouterr().err) == (1, want)


# ----------------------------------------------------------------------------------------------------------- mistakes
ASKED = 'ask.py: what should be asked? such as: just train-ask name=notes "list open things"'


def test_nothing_is_asked(notes):
    assert notes.fails("ask.py", "name=notes") == ASKED
    assert notes.fails("ask.py", "name=notes", "  ") == ASKED
    assert notes.fails("ask.py", "name=notes", "text=") == ASKED


def test_a_request_and_text_are_both_given(notes):
    want = "ask.py: text= and a bare request are both given; leave one out"
    assert notes.fails("ask.py", "name=notes", "text=show", "show") == want


def test_a_bad_context_is_one_line(notes):
    want = 'ask.py: context= should be a JSON object, such as context=\'{"git": {"current_pr": 12}}\''
    assert notes.fails("ask.py", "name=notes", "show", "context={git: 1}") == want


def test_a_misspelled_setting_is_no_request(notes):
    want = "ask.py: unknown setting 'contxt='; did you mean context=?"
    assert notes.fails("ask.py", "name=notes", "show", "contxt={}") == want


def test_the_model_is_missing(project):
    missing = "ask.py: no training/models/notes/clitron-notes-{}.gguf; run: just train-quantize name=notes{}"
    assert project.fails("ask.py", "name=notes", "show") == missing.format("q4_k_m", "")
    assert project.fails("ask.py", "name=notes", "show", "quant=q8_0") == missing.format("q8_0", " quant=q8_0")


def test_the_model_is_broken(notes):
    name = "training/models/notes/clitron-notes-q4_k_m.gguf"
    want = f"ask.py: {name} is not a complete GGUF file; make it again with train-quantize"
    assert notes.fails("ask.py", "name=notes", "show") == want


# ---------------------------------------------------------------------------------------------------------- the answer
def test_the_answer_is_printed_and_nothing_is_executed(project, trained, tmp_path, monkeypatch):
    """The only file there is of the training is the GGUF; the CLI that it speaks for is on the path and must not run."""
    shutil.rmtree(project.root / "schemas" / "phrases")
    (project.root / "schemas" / "notes.yaml").unlink()
    project.models().mkdir(parents=True)
    shutil.copy(trained.models() / "clitron-notes-f16.gguf", project.models())
    trap, ran = tmp_path / "bin", tmp_path / "ran"
    trap.mkdir()
    (trap / "notes").write_text(f"#!/bin/sh\ntouch {shlex.quote(str(ran))}\n")
    (trap / "notes").chmod(0o755)
    monkeypatch.setenv("PATH", str(trap), prepend=":")
    before = sorted(p for p in project.root.rglob("*") if p.is_file())

    request = f"delete note 12; $(touch {ran})"
    done = project.run("ask.py", "name=notes", "quant=f16", request, 'context={"notes": {"current_note": 12}}')

    assert (done.returncode, done.stderr) == (0, "")
    first, *rest = done.stdout.splitlines()
    answer, notes = json.loads(first), cli_schema.load("notes")
    assert answer_faults(answer, notes) == []
    if answer["type"] == "command":
        assert "\n".join(rest) == ask.command_line(notes, answer)
    else:
        assert rest[0] == answer["message"]
        assert [r.split("  ")[1] for r in rest[1:]] == [f"notes {s['label']}" for s in answer["suggestions"]]
    assert not ran.exists()
    assert sorted(p for p in project.root.rglob("*") if p.is_file()) == before
