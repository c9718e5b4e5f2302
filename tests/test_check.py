"""What train-check and train-list-schemas print, whole, and the faults that a phrasebook can have."""

import phrasebook
import pytest
import schema as cli_schema
from conftest import ROOT

NOTES = "add, list, read, search, done, delete, folder list, folder create, folder delete"
CATEGORIES = "ambiguous_command, missing_arg, unclear, off_topic, multiple, typo, pronoun"
SMALL = """\
cli_name: tool
description: A tool
commands:
  - name: run
    description: Run it
    args:
      - name: size
        type: integer
        required: true
        description: How big
      - name: mode
        type: enum
        values: [fast, safe]
        description: In which way
"""


def write(project, file, text):
    path = project.root / "schemas" / file
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


# --------------------------------------------------------------------------------------------------------- train-check
def test_check_of_a_good_schema_is_one_line(project):
    done = project.run("check.py", "name=notes")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "schemas/notes.yaml: notes has 7 commands, 9 to run, 13 arguments, 4 flags; "
        "no phrasebook: frames are composed from the schema; 0 warnings, no faults\n"
    )


def test_check_prints_every_fault_of_a_schema_in_file_order(project):
    text = SMALL.replace("How big", "How big\n        default: many\n        from_context: here")
    write(project, "tool.yaml", text + "    flags: [{name: loud, short: l}, {name: long, short: l}]\n  - name: run\n")
    done = project.run("check.py", "name=tool")
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        "fault: schemas/tool.yaml:11: commands[0].args[0].default: default 'many' of 'size' is no integer",
        "fault: schemas/tool.yaml:12: commands[0].args[0].from_context: 'here' is no field of the context: section",
        "fault: schemas/tool.yaml:17: commands[0].flags[1].short: -l is also the short form of 'loud'",
        "fault: schemas/tool.yaml:18: commands[1].name: command 'run' is there twice",
    ]
    assert done.stderr == "check.py: 4 faults in the schema or phrasebook of tool; mend the lines above\n"


def test_one_fault_is_not_said_in_the_plural(project):
    write(project, "tool.yaml", SMALL.replace("integer", "number"))
    done = project.run("check.py", "name=tool")
    assert done.stdout.splitlines() == [
        'fault: schemas/tool.yaml:8: commands[0].args[0].type: "number" is not one of: '
        "string, integer, float, boolean, path, enum"
    ]
    assert (done.returncode, done.stderr) == (
        1,
        "check.py: 1 fault in the schema or phrasebook of tool; mend the lines above\n",
    )


def test_warnings_are_printed_and_counted_but_do_no_harm(project):
    write(project, "tool.yaml", SMALL + "  - name: go\n    aliases: [run]\n")
    done = project.run("check.py", "name=tool")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "warning: schemas/tool.yaml:15: 'go' has no description",
        "warning: schemas/tool.yaml:16: 'run' names both 'run' and 'go'",
        "schemas/tool.yaml: tool has 2 commands, 2 to run, 2 arguments, 0 flags; "
        "no phrasebook: frames are composed from the schema; 2 warnings, no faults",
    ]


def test_one_warning_is_not_said_in_the_plural(project):
    write(project, "tool.yaml", SMALL + "  - name: go\n")
    assert project.run("check.py", "name=tool").stdout.splitlines()[-1].endswith("; 1 warning, no faults")


def test_check_counts_the_frames_and_questions_of_a_phrasebook(project):
    write(project, "tool.yaml", SMALL + "  - name: stop\n    description: Stop it\n")
    frames = "frames:\n  run: |\n    run {size}\n    # not a frame\n\n    run => ?size\n  stop: |\n    stop\n"
    questions = "clarify:\n  unclear: |\n    do it\n    go on\n"
    write(project, "phrases/tool.yaml", "cli_name: tool\n" + frames + questions)
    done = project.run("check.py", "name=tool")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "schemas/tool.yaml: tool has 2 commands, 2 to run, 2 arguments, 0 flags; "
        "3 frames and 2 questions in schemas/phrases/tool.yaml; 0 warnings, no faults\n"
    )


PHRASES = """\
cli_name: note
shared:
  n: (note|memo
  it: (it|this)
values:
  colour: [red]
  status:
    opened: (open|not done)
options:
  add.pin: |
    on top => +pinnned
    on top => +pinned
  burn.x: |
    hot => +x
frames:
  add: |
    write {text}
    # a remark

    write {text} => ~due
    write {text} => +pinned => +pinned
  list: |
    show them => limit=many
    show them => limit=5 status=shut
    show them => status
    show a|b
    show (a|b))
  read: |
    read $m {number}
    read $it => @number
    (read {number}
    read {number} => number=5
    print it
    show {nummer} => ?number
    show {number} [colours]
    show {number
  paint: |
    paint it
clarify:
  unclear: |
    do [it]
  typo: |
    lst => list, lits
  other: |
    x
extra: 1
"""

PHRASE_FAULTS = [
    "1: cli_name is 'note', the schema says 'notes'",
    "3: shared n: '(' is not closed",
    "6: values colour: no such argument",
    "7: values status: 'opened' is not one of all, done, open",
    "11: 'add' has no flag 'pinnned'",
    "13: options burn.x: no subcommand 'burn'",
    "20: ~due: 'due' has no from_context in the schema",
    "21: '=>' is there twice",
    "23: limit=many does not fit its type",
    "24: status=shut does not fit its type",
    "25: cannot read 'status'; after => come +flag, arg=value, @arg, ~arg, ?arg",
    "26: '|' outside of parentheses; write (a|b), or \\| for the character",
    "27: ')' without '(' at ')'",
    "29: no shared word 'm'",
    "31: '(' is not closed",
    "32: 'number' is both in the text and after =>",
    "33: 'read' needs number; put {number} into the text, or @number, ~number or ?number after =>",
    "34: 'read' has no argument 'nummer'",
    "35: no option list 'colours' for 'read'",
    "36: a slot {name} is not closed or not a name at '{number'",
    f"37: frames paint: no such subcommand; known: {NOTES}",
    "41: a question has no options",
    "43: no subcommand 'lits'",
    f"44: clarify other: no such category; known: {CATEGORIES}",
    "46: unknown key 'extra'; known: cli_name shared values options frames clarify",
]


def test_check_prints_every_fault_of_a_phrasebook_in_file_order(project):
    write(project, "phrases/notes.yaml", PHRASES)
    done = project.run("check.py", "name=notes")
    at = "schemas/phrases/notes.yaml"
    silent = ["search", "done", "delete", "folder list", "folder create", "folder delete"]
    assert done.stdout.splitlines() == [
        *["warning: schemas/phrases/notes.yaml: no frames for 'list'"],
        *[f"warning: {at}: no frames for '{label}'" for label in silent],
        *[f"fault: {at}:{fault}" for fault in PHRASE_FAULTS],
    ]
    assert done.stderr == "check.py: 25 faults in the schema or phrasebook of notes; mend the lines above\n"
    assert done.returncode == 1


def test_what_a_phrasebook_says_is_not_read_while_the_schema_has_faults(project):
    write(project, "tool.yaml", SMALL.replace("A tool", '""'))
    write(project, "phrases/tool.yaml", "cli_name: other\n")
    done = project.run("check.py", "name=tool")
    assert done.stdout == "fault: schemas/tool.yaml:2: description: '' should be non-empty\n"
    assert done.stderr == "check.py: 1 fault in the schema or phrasebook of tool; mend the lines above\n"


# ------------------------------------------------------------------------------- phrasebooks, read without a process
@pytest.fixture
def read(tmp_path):
    """(Phrasebook or None, faults) of a text, for the schema SMALL."""
    (tmp_path / "tool.yaml").write_text(SMALL)
    schema, faults = cli_schema.read(tmp_path / "tool.yaml")
    assert faults == []

    def read_text(text):
        path = tmp_path / "phrases.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return phrasebook.read(path, schema)

    return read_text


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("frames:\n  run: [a]\n", "3: frames run: write 'run: |' and one line a frame below it"),
        ("clarify:\n  unclear:\n", "3: clarify unclear: write 'unclear: |' and one line a frame below it"),
        ("shared:\n  it:\n", "3: shared it: neither text nor a list"),
        ("values:\n  mode: {fast: [a]}\n", "3: values mode: 'fast' is no text"),
    ],
)
def test_a_part_of_the_wrong_kind_is_a_fault(read, text, fault):
    assert read("cli_name: tool\n" + text)[1] == [fault]


def test_a_day_that_does_not_exist_is_a_fault(read):
    book, faults = read("cli_name: tool\nvalues:\n  size: [2026-13-45]\n")
    assert book is None
    assert [f[:41] for f in faults] == ["1: not valid YAML: month must be in 1..12"]  # newer Pythons add the number


def test_a_block_given_twice_is_a_fault_because_the_first_would_be_lost(read):
    frames = "frames:\n  run: |\n    run {size}\n  run: |\n    start {size}\n"
    assert read("cli_name: tool\n" + frames)[1] == ["5: frames: run is given twice"]


@pytest.mark.parametrize(
    ("block", "line"),
    [
        ("run {size} => +fast\n", 3),
        ("|\n    run {size} => +fast", 4),  # no line break at the end of the file
        ("|-\n    run {size} => +fast\n", 4),
        ("|  # remark\n\n    run {size} => +fast\n", 5),
    ],
)
def test_a_fault_is_on_its_line_however_the_block_is_written(read, block, line):
    assert read(f"cli_name: tool\nframes:\n  run: {block}")[1] == [f"{line}: 'run' has no flag 'fast'"]


def test_lines_without_fault_are_kept(read):
    book, faults = read("cli_name: tool\nframes:\n  run: |\n    run {size}\n    run\n    run => ?size\n")
    assert faults == ["5: 'run' needs size; put {size} into the text, or @size, ~size or ?size after =>"]
    assert [f.line for f in book.frames["run"]] == [4, 6]


# -------------------------------------------------------------------------------------------------- train-list-schemas
def test_the_table_shows_data_models_and_broken_schemas(project):
    (project.root / "schemas" / "gh.yaml").unlink()
    write(project, "tool.yaml", SMALL)
    write(project, "broken.yaml", SMALL.replace("integer", "number").replace("enum", "choice"))
    for file, rows in (("train.jsonl", 9), ("train_val.jsonl", 3), ("preferences.jsonl", 5)):
        project.data().mkdir(parents=True, exist_ok=True)
        (project.data() / file).write_text("{}\n" * rows)
    project.data("broken").mkdir(parents=True)
    (project.data("broken") / "train.jsonl").write_text("{}\n" * 1000)
    for stage in ("sft", "dpo"):
        (project.models() / stage).mkdir(parents=True)
    (project.models() / "sft" / "stage.json").write_text("{}")
    for quant in ("q8_0", "f16"):
        (project.models() / f"clitron-notes-{quant}.gguf").write_text("")
    done = project.run("list_schemas.py")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "NAME    CLI    COMMANDS  SUBCOMMANDS  ROWS  MODELS\n"
        "broken  -      -         -            1000  2 faults in the schema: just train-check name=broken\n"
        "notes   notes  7         9            12    sft f16 q8_0\n"
        "tool    tool   1         1            0     none\n"
    )


def test_one_fault_in_the_table_is_not_said_in_the_plural(project):
    write(project, "broken.yaml", SMALL.replace("integer", "number"))
    (project.root / "schemas" / "folder.yaml").mkdir()  # no schema, and no reason to stop
    lines = project.run("list_schemas.py").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["NAME", "broken", "gh", "notes"]
    assert lines[1].endswith("  1 fault in the schema: just train-check name=broken")


def test_a_project_without_schemas_says_what_to_write(project):
    for path in (project.root / "schemas").glob("*.yaml"):
        path.unlink()
    line = "list_schemas.py: no schema in schemas/; write schemas/mycli.yaml (see the README)"
    assert project.fails("list_schemas.py") == line


def test_the_table_takes_no_bare_words(project):
    line = "list_schemas.py: 'notes' is not a setting; settings are key=value, such as name=gh"
    assert project.fails("list_schemas.py", "notes") == line


def test_the_phrases_readme_gives_the_file_that_the_program_reads():
    text = (ROOT / "schemas" / "phrases" / "README.md").read_text(encoding="utf-8")
    sections = [
        line.partition(":")[0] for line in text.split("```yaml\n")[1].split("```")[0].splitlines() if line[:1].isalpha()
    ]
    assert sections == ["cli_name", "shared", "values", "options", "frames", "clarify"]
