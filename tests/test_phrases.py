"""A phrasebook by Claude: prompts, reading replies, mending exactly the faulty lines; then the stage against a local server."""

import re
import subprocess
import sys

import phrasebook
import pytest
import schema as cli_schema
from claude import book
from conftest import ROOT
from fake_claude import KEY, FakeClaude
from settings import parse_settings

NOTES, GH = cli_schema.load("notes"), cli_schema.load("gh")


def reply_for(labels, extra=()):
    """What Claude might write for some subcommands: right lines, and those of extra."""
    out = ["Here it is:", "```yaml", "options:", "  list.limit: |", "    only {limit}", "frames:"]
    for label in labels:
        sub = NOTES.by_label[label]
        required = [f"{{{a.name}}}" for a in sub.args if a.required]
        out += [
            f"  {label}: |",
            f"    {label} {' '.join(required)}".rstrip(),
            f"    please {label} {' '.join(required)} now".rstrip(),
        ]
        out += [f"    {line}" for found, line in extra if found == label]
    return "\n".join([*out, "```", "Tell me if you want more."])


ASKS = """clarify:
  multiple: |
    (show|open) {ref} => read, list
  unclear: |
    (do|fix) (it|something)
    you know what
"""


def test_parts_cover_every_subcommand_once():
    made = book.parts(GH, 12)
    assert [number for number, _, _ in made] == ["frames-1", "frames-2", "frames-3", "frames-4", "clarify"]
    named = [re.search(r"each of these subcommands: (.*)\.\n", text)[1].split(", ") for _, text, _ in made[:-1]]
    assert [label for some in named for label in some] == list(GH.by_label)
    assert "- multiple: " in made[-1][1]
    assert "- pronoun: " not in made[-1][1]  # @arg frames give those


@pytest.mark.parametrize("cut", [None, -40])
def test_reading_a_reply_with_fences_and_chatter_even_cut_off(cut):
    found = book.read(reply_for(["list", "add"])[:cut])
    assert found["options", "list.limit"] == ["only {limit}"]
    assert found["frames", "list"] == ["list", "please list  now"]
    assert found["frames", "add"][0] == "add {text}"


def test_reading_ignores_sections_that_are_none_of_ours():
    assert book.read("thoughts:\n  a: |\n    b\nframes:\n  list: |\n    # a comment\n    - show all\n") == {
        ("frames", "list"): ["show all"]
    }


def test_faults_are_found_line_by_line(tmp_path):
    lines = book.read(reply_for(["list", "add"], [("add", "write it down"), ("list", "(show|list all")]))
    lines["frames", "no such"] = ["a line"]
    faulty = book.lint(tmp_path / "draft.yaml", NOTES, lines)
    assert {(key, line) for _, key, line, _ in faulty} == {("add", "write it down"), ("list", "(show|list all")}
    assert ("frames", "no such") not in lines
    prompt = book.repair(faulty)
    assert "'(' is not closed" in prompt
    assert "needs text" in prompt
    new = book.mended(
        "1. (show|list) all\n2. [add] write {text} down\n9. x",
        [("frames", "list", "(show|list all", ""), ("frames", "add", "write it down", "")],
    )
    assert new == {
        ("frames", "list", "(show|list all"): "(show|list) all",
        ("frames", "add", "write it down"): "write {text} down",
    }


def test_the_page_is_a_phrasebook_without_faults(tmp_path):
    path = tmp_path / "notes.yaml"
    lines = book.read(reply_for(NOTES.by_label)) | book.read(ASKS)
    assert book.lint(path, NOTES, lines) == []
    found, faults = phrasebook.read(path, NOTES)
    assert faults == []
    assert set(found.frames) == set(NOTES.by_label)
    assert set(found.clarify) == {"multiple", "unclear"}


# ------------------------------------------------------------------------------------------------------- the stage
def parts():
    """The labels of each part of the phrasebook of notes."""
    labels = list(NOTES.by_label)
    return [labels[i : i + book.PART] for i in range(0, len(labels), book.PART)]


def run(project, server, *words):
    command = [
        sys.executable,
        str(ROOT / "scripts" / "phrases.py"),
        "name=notes",
        "generate.claude.retry_seconds=0",
        *words,
    ]
    env = {**project.env, **(server.env if server else {})}
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)


def texts(first_extra=()):
    return [reply_for(some, first_extra if not i else ()) for i, some in enumerate(parts())] + [ASKS]


def path_of(project):
    path = project.root / "schemas" / "phrases" / "notes.yaml"
    path.unlink(missing_ok=True)
    return path


@pytest.mark.slow
def test_a_phrasebook_is_written_and_the_teacher_uses_it(project):
    path = path_of(project)
    with FakeClaude(texts=texts()) as server:
        done = run(project, server)
    assert done.returncode == 0, done.stderr
    assert phrasebook.read(path, NOTES)[1] == []
    assert "the bill" in done.stdout
    assert (
        "frames and 3 questions in schemas/phrases/notes.yaml; read it; next: just train name=notes teacher=phrasebook"
        in done.stdout
    )
    assert not (project.data() / "phrases_progress.jsonl").exists()
    assert KEY not in done.stdout + done.stderr + path.read_text()
    made = project.run("generate.py", "name=notes", "num=50", "teacher=phrasebook")
    assert "teacher phrasebook (phrasebook notes.yaml; as set)" in made.stdout


def test_only_the_lines_that_failed_are_asked_for_again(project):
    path = path_of(project)
    bad = [("add", "write it down"), ("add", "jot {txt}")]
    with FakeClaude(texts=[*texts(bad), "1. write {text} down\n2. still {wrong}\n", "1. jot {text} down"]) as server:
        done = run(project, server, "generate.claude.concurrency=1")
        assert done.returncode == 0, done.stderr
        asked = [b["messages"][0]["content"] for b in server.bodies if "have faults" in b["messages"][0]["content"]]
    assert len(asked) == 2
    assert asked[0].count("fault:") == 2
    assert asked[1].count("fault:") == 1
    assert "still {wrong}" in asked[1]
    frames = [f.id for f in phrasebook.read(path, NOTES)[0].frames["add"]]
    assert "frames/add: write {text} down" in frames
    assert "frames/add: jot {text} down" in frames


@pytest.mark.slow
def test_lines_that_stay_faulty_are_left_out_and_counted(project):
    path = path_of(project)
    with FakeClaude(texts=[*texts([("add", "jot {txt}")]), "sorry", "1. {nope}"]) as server:
        done = run(project, server, "generate.claude.concurrency=1")
    assert done.returncode == 0, done.stderr
    assert "1 faulty lines left out" in done.stdout
    assert phrasebook.read(path, NOTES)[1] == []


@pytest.mark.slow
def test_what_was_paid_for_is_not_asked_again(project):
    path = path_of(project)
    some = texts()
    with FakeClaude(texts=some, faults=["", "credit"]) as server:
        done = run(project, server, "generate.claude.concurrency=1")
        assert done.returncode == 1
        assert not path.exists()
        done = run(project, server, "generate.claude.concurrency=1")
        assert done.returncode == 0, done.stderr
    assert set(server.paid.values()) == {1}


def test_replies_stay_where_a_schema_changes_without_another_word_to_claude(project):
    path, some = path_of(project), texts()
    with FakeClaude(texts=some, faults=["", "credit"]) as server:
        assert run(project, server, "generate.claude.concurrency=1").returncode == 1
        with open(project.root / "schemas" / "notes.yaml", "a") as f:
            f.write("# mended later\n")
        done = run(project, server, "generate.claude.concurrency=1")
        assert done.returncode == 0, done.stderr
    assert set(server.paid.values()) == {1}
    assert path.exists()


def test_a_phrasebook_that_is_there_is_left_alone(project):
    (project.root / "schemas" / "phrases").mkdir(exist_ok=True)
    (project.root / "schemas" / "phrases" / "notes.yaml").write_text("cli_name: notes\n")
    line = project.fails("phrases.py", "name=notes", "teacher=manual")
    assert line.startswith("phrases.py: schemas/phrases/notes.yaml is there already; move it away")


@pytest.mark.slow
def test_by_hand(project):
    path = path_of(project)
    line = project.fails("phrases.py", "name=notes", "teacher=manual")
    folder = project.data() / "manual-phrases"

    def prompt_of(number):
        """Its name holds what it says, so that a reply to another prompt is never taken for one to this."""
        (found,) = folder.glob(f"{number}-*.prompt.txt")
        return found

    def reply(number, text, ending):
        (folder / prompt_of(number).name.replace(".prompt.txt", f".reply.{ending}")).write_text(text)

    assert f"paste training/data/notes/manual-phrases/{prompt_of('frames-1').name} into a conversation" in line
    for number, text in zip(
        [f"frames-{i + 1}" for i in range(len(parts()))] + ["clarify"], texts([("add", "jot {txt}")]), strict=True
    ):
        reply(number, text, "md")
    line = project.fails("phrases.py", "name=notes", "teacher=manual")
    assert f"manual-phrases/{prompt_of('repair-1').name}" in line
    reply("repair-1", "1. jot {text} down", "txt")
    done = run(project, None, "teacher=manual")
    assert done.returncode == 0, done.stderr
    assert "jot {text} down" in path.read_text()


def test_the_budget_is_held(project):
    path_of(project)
    with FakeClaude(texts=texts()) as server:
        done = run(project, server, "budget=0.01")
    assert done.returncode == 1
    assert "is more than budget=0.01; nothing was sent" in done.stderr
    assert not server.bodies


def test_without_a_key(project):
    path_of(project)
    assert "teacher=claude needs a key; set ANTHROPIC_API_KEY" in project.fails("phrases.py", "name=notes")


def test_the_estimate_for_gh_keeps_what_was_promised():
    import phrases

    settings = parse_settings(["name=gh"])
    assert phrases.estimate(settings, GH) < 0.60
