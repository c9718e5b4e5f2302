"""`just train-ask`: what is asked, the command line that an answer stands for, and that nothing is ever executed."""

import json
import os
import pty
import re
import shlex
import shutil
import subprocess
import sys
from types import SimpleNamespace

import ask
import pytest
import schema as cli_schema
from conftest import ROOT
from interpreter import Interpreter
from rows import answer_faults
from rows import command as command_answer
from settings import parse_settings

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
    return parse_settings(["name=notes", *words], needs_schema=False, bare="text")["text"]


@pytest.fixture
def notes(project):
    """A project in which a file stands where the model would be, for mistakes that are found before it is read."""
    model = project.models() / "clitron-notes-q4_k_m.gguf"
    model.parent.mkdir(parents=True)
    model.write_text("not a model")
    return project


# -------------------------------------------------------------------------------------------------- the command line
def test_positional_arguments_stand_alone_behind_all_options():
    """Behind the image of `docker run` an option is no longer docker's."""
    gh = cli_schema.load("gh")
    assert line(gh, "pr", "merge", {"number": 12}, ["delete-branch"]) == "gh pr merge --delete-branch 12"
    assert line(gh, "pr", "merge", {}, ["squash", "auto"]) == "gh pr merge --squash --auto"
    assert line(gh, "pr", "list", {"state": "open", "limit": 5}, ["web"]) == "gh pr list --state open --limit 5 --web"
    assert line(gh, "run", "rerun", {"run_id": "123"}, ["failed"]) == "gh run rerun --failed 123"


def test_a_command_without_subcommand():
    notes = cli_schema.load("notes")
    assert line(notes, "add", None, {"text": "buy milk", "folder": "home"}) == "notes add --folder home 'buy milk'"
    assert line(notes, "list", None) == "notes list"
    assert line(notes, "folder", "list") == "notes folder list"


def test_booleans_underscores_numbers_and_paths():
    args = {"dry_run": True, "speed": 1.5, "what": "x", "into": "a b/c", "how_many": -3}
    want = "lab mix --dry-run true --speed 1.5 --how-many -3 --keep_going --v x 'a b/c'"
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


def test_a_positional_value_that_looks_like_an_option_is_kept_from_being_one():
    notes = cli_schema.load("notes")
    assert (
        line(notes, "add", None, {"text": "-5 degrees", "folder": "home"}) == "notes add --folder home -- '-5 degrees'"
    )
    assert line(notes, "list", None, {"folder": "-5"}) == "notes list --folder -5"


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
    want = f"ask.py: {name} cannot be loaded by llama.cpp: it is no GGUF file, or a part of one, or memory is short; make it again with train-quantize"
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
        assert rest[0].endswith(ask.command_line(notes, answer))
    else:
        assert rest[0] == answer["message"]
        assert [r.split("  ")[1] for r in rest[1:-1]] == [f"notes {s['label']}" for s in answer["suggestions"]]
    assert re.match("-> (run|confirm|clarify|ask): ", rest[-1])
    assert not ran.exists()
    assert sorted(p for p in project.root.rglob("*") if p.is_file()) == before


# ------------------------------------------------------------------------------------------------- what a host should do
DO_NOT = cli_schema.from_raw(
    {
        "cli_name": "x",
        "description": "x",
        "commands": [
            {"name": "list"},
            {"name": "wipe", "destructive": True},
            {"name": "push", "flags": [{"name": "force", "destructive": True}, {"name": "all"}]},
        ],
    }
)[0]


@pytest.mark.parametrize(
    ("label", "flags", "confidence", "action", "why"),
    [
        ("list", [], 0.9, "run", "confidence 0.9"),
        ("list", [], 0.899, "confirm", "confidence 0.899 is under 0.9"),
        ("list", [], 0.7, "confirm", "confidence 0.7 is under 0.9"),
        ("list", [], 0.69, "clarify", "confidence 0.69 is under 0.7"),
        ("list", [], 0.5, "clarify", "confidence 0.5 is under 0.7"),
        ("list", [], 0.49, "ask", "confidence 0.49 is under 0.5"),
        ("wipe", [], 1.0, "confirm", "wipe is marked destructive"),
        ("wipe", [], 0.6, "clarify", "confidence 0.6 is under 0.7"),
        ("push", ["all"], 0.95, "run", "confidence 0.95"),
        ("push", ["force", "all"], 0.95, "confirm", "--force is marked destructive"),
    ],
)
def test_the_thresholds_of_the_specification_and_destructive_commands(label, flags, confidence, action, why):
    answer = command_answer(DO_NOT.by_label[label], {}, flags, confidence)
    assert Interpreter.action(SimpleNamespace(schema=DO_NOT), answer) == (action, why)


def test_questions_offer_what_they_have():
    answer = {"type": "clarification", "message": "?", "suggestions": [], "confidence": 0.99}
    host = SimpleNamespace(schema=DO_NOT)
    assert Interpreter.action(host, answer)[0] == "ask"
    answer["suggestions"] = [{"label": "list", "command": "list", "subcommand": None}]
    assert Interpreter.action(host, answer)[0] == "clarify"


def at_terminal(trained, lines, *words):
    """What the prompt shows where these lines are typed at a terminal."""
    mine, theirs = pty.openpty()
    command = [sys.executable, str(ROOT / "scripts" / "ask.py"), "name=notes", "quant=f16", *words]
    running = subprocess.Popen(
        command, env=trained.env, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    os.write(mine, "".join(f"{line}\n" for line in lines).encode())
    out, err = running.communicate(timeout=120)
    os.close(mine)
    os.close(theirs)
    assert running.returncode == 0, err
    assert "Traceback" not in err
    return out.split("Nothing is ever run.\n", 1)[1]


def test_the_prompt_loop(trained):
    """At a terminal without a request: context set and shown, JSON, help, an empty line, and the end."""
    lines = [
        "",
        ":context",
        ':context {"notes": {"current_note": 3}}',
        ":context [1]",
        ":what",
        "read this",
        ":json",
        ":quit",
    ]
    shown = at_terminal(trained, lines)
    assert "no context\n" in shown
    assert '{"notes": {"current_note": 3}}\n' in shown
    assert "a context is a JSON object" in shown
    assert re.search(r"^-> (run|confirm|clarify|ask): ", shown, re.M)
    assert answer_faults(json.loads(re.search(r'\{"type".*\}', shown)[0]), cli_schema.load("notes")) == []


def test_the_prompt_loop_as_json(trained):
    shown = at_terminal(trained, ["read this", ":quit"], "format=json")
    assert json.loads(re.search(r'\{"type".*\}', shown)[0])["type"] in ("command", "clarification")
    assert "->" not in shown


@pytest.mark.parametrize("format", ["json", "human"])
def test_one_format_alone(trained, format):
    done = trained.run("ask.py", "name=notes", "quant=f16", f"format={format}", "read note 3")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("{") == (format == "json")
    assert (len(done.stdout.splitlines()) == 1) == (format == "json")
