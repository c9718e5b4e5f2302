"""Data generation as a process: files, settings, kills, foreign data, and failures that lose nothing."""

import json
import os
import random
import re
import shutil
import time
from pathlib import Path

import pytest
from conftest import Project

WORDS = ["name=notes", "num=60"]
LONG = ["name=notes", "num=3000"]
ROWS = {"train.jsonl", "train_val.jsonl", "frames.jsonl"}
FILES = ROWS | {"stage.json", "report.html", "report.json"}
UP_TO_DATE = "generate: training/data/notes is up to date; train-generate-force makes it afresh\n"
CHANGED = "generate: settings or inputs have changed since the data was made; making it again"
needs_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")


def generated(tmp_path_factory, *words):
    project = Project(tmp_path_factory.mktemp("generated"))
    done = project.run("generate.py", *words)
    assert done.returncode == 0, done.stderr
    project.log = done.stdout
    return project


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """60 rows of notes; tests copy them and leave this folder alone."""
    return generated(tmp_path_factory, *WORDS)


@pytest.fixture(scope="module")
def older(tmp_path_factory):
    """70 rows of notes: older data of other settings."""
    return generated(tmp_path_factory, "name=notes", "num=70")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """3000 rows of notes, made without an interruption."""
    return generated(tmp_path_factory, *LONG)


@pytest.fixture(scope="module")
def halfway(tmp_path_factory):
    """The progress file of a run for 3000 rows that was killed."""
    project = Project(tmp_path_factory.mktemp("halfway"))
    kill_after(project, 60_000)
    content = progress_of(project).read_bytes()
    content = content[: content.rindex(b"\n") + 1]
    assert content.count(b"\n") >= 101
    return content


def progress_of(project):
    return project.data() / "train_progress.jsonl"


def contents(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir()}


def rows_of(project, name):
    return [json.loads(line) for line in (project.data() / name).read_text(encoding="utf-8").splitlines()]


def take(project, source):
    """Put a copy of another project's data into this one; returns its contents."""
    shutil.copytree(source.data(), project.data())
    return contents(project.data())


def run(project, *words):
    """stdout of a run that must succeed."""
    done = project.run("generate.py", *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def kill_after(project, grown, delay=0.0):
    """Start a long run, kill it once the progress file has grown by so many bytes and a moment has passed."""
    path = progress_of(project)
    size = path.stat().st_size if path.exists() else 0
    process = project.start("generate.py", *LONG)
    until = time.monotonic() + 120
    while process.poll() is None and not (path.exists() and path.stat().st_size >= size + grown):
        assert time.monotonic() < until, "the progress file does not grow"
        time.sleep(0.002)
    time.sleep(delay)
    process.kill()
    process.communicate()
    assert process.returncode != 0, "the run was over before it could be killed"


# ------------------------------------------------------------------------------------------------------------ files
def test_a_run_writes_rows_frames_and_its_settings(made):
    assert set(contents(made.data())) == FILES
    train, val, frames = (rows_of(made, name) for name in ("train.jsonl", "train_val.jsonl", "frames.jsonl"))
    assert (len(train), len(val)) == (54, 6)
    assert {tuple(row) for row in train + val} == {("instruction", "context", "output")}
    assert {type(row["instruction"]) for row in train + val} == {str}
    assert {type(row["context"]) for row in train + val} == {dict, type(None)}
    assert {json.loads(row["output"])["type"] for row in val} == {"command", "clarification"}
    assert [f["split"] for f in frames] == ["train"] * 54 + ["val"] * 6
    assert {tuple(f) for f in frames} == {("split", "category", "label", "frame", "row")}
    for row, frame in zip(train + val, frames, strict=True):
        kind = "command" if frame["category"] in ("use", "ctx", "noctx") else "clarification"
        assert json.loads(row["output"])["type"] == kind


def test_stage_json_says_what_was_made_of_what(made):
    stage = json.loads((made.data() / "stage.json").read_text())
    assert list(stage) == ["fingerprint", "written", "rows", "teacher", "rejected"]
    assert stage["rows"] == {"train": 54, "val": 6}
    assert stage["teacher"] == "frames composed from the schema"
    assert stage["fingerprint"]["settings"] == {"num": 60, "seed": 0}
    assert set(stage["fingerprint"]["inputs"]) == {
        "schemas/notes.yaml",
        *(f"schemas/lexicon/{name}.yaml" for name in ("asides", "composing", "synonyms", "values", "verbs", "wording")),
    }
    assert set(stage["written"]) == {"train.jsonl", "train_val.jsonl"}


def test_a_run_says_what_it_does_and_what_comes_next(made):
    lines = made.log.splitlines()
    assert re.fullmatch(
        r"generate: name notes, num 60, teacher phrasebook \(frames composed from the schema; ANTHROPIC_API_KEY is not set\), "
        r"frames \d+ \+ \d+ held out, seed 0",
        lines[0],
    )
    shares = [re.fullmatch(r"    .*?  +\d+ +\d+ +(\d+) % +(\d+) %", line).groups() for line in lines[3:6]]
    assert [int(wanted) for _, wanted in shares] == [60, 20, 20]
    assert [abs(int(n) - int(wanted)) <= 3 for n, wanted in shares] == [True] * 3
    assert lines[-1] == (
        "generate: 54 training and 6 validation rows in training/data/notes; next: just train-sft name=notes"
    )


def test_nothing_is_written_outside_of_the_data_folder(made):
    assert {p.name for p in made.root.iterdir()} == {"schemas", "training"}
    assert {p.name for p in (made.root / "training").iterdir()} == {"configs", "data"}
    assert [p.name for p in (made.root / "training" / "data").iterdir()] == ["notes"]


@pytest.mark.slow
def test_rows_are_the_same_in_every_process(project, monkeypatch):
    """Text hashes differ from process to process; a run that continues must not notice."""
    seen = []
    for value in ("1", "2"):
        monkeypatch.setenv("PYTHONHASHSEED", value)
        run(project, "name=notes", "num=200", "--force")
        seen.append((project.data() / "train.jsonl").read_bytes())
    assert seen[0] == seen[1]


# --------------------------------------------------------------------------------------------- again, changed, force
def test_data_that_is_up_to_date_is_left_alone(project, made):
    before = take(project, made)
    assert run(project, *WORDS) == UP_TO_DATE
    assert run(project, *WORDS, "quant=q8_0") == UP_TO_DATE
    assert contents(project.data()) == before


@pytest.mark.slow
def test_other_settings_make_it_again(project, made):
    before = take(project, made)
    out = run(project, "name=notes", "num=80", "seed=5")
    assert out.splitlines()[1] == CHANGED
    assert len(rows_of(project, "train.jsonl")) == 72
    assert len(rows_of(project, "train_val.jsonl")) == 8
    assert (project.data() / "train.jsonl").read_bytes()[:500] != before["train.jsonl"][:500]
    assert set(contents(project.data())) == FILES


@pytest.mark.slow
@pytest.mark.parametrize("name", ["notes.yaml", "lexicon/wording.yaml"])
def test_a_changed_input_makes_it_again(project, made, name):
    take(project, made)
    with open(project.root / "schemas" / name, "a") as f:
        f.write("# a remark\n")
    assert run(project, *WORDS).splitlines()[1] == CHANGED
    assert run(project, *WORDS) == UP_TO_DATE


@pytest.mark.slow
def test_a_new_phrasebook_makes_it_again(project, made):
    take(project, made)
    frames = "".join(f"    ({word}|{word} up) {{number}} [*]\n" for word in "open show print recite peek scan".split())
    (project.root / "schemas" / "phrases" / "notes.yaml").write_text(f"cli_name: notes\nframes:\n  read: |\n{frames}")
    out = run(project, *WORDS).splitlines()
    assert out[0].startswith(
        "generate: name notes, num 60, teacher phrasebook (phrasebook notes.yaml; ANTHROPIC_API_KEY is not set), frames 5 + 1 held"
    )
    assert out[1] == CHANGED
    labels = {json.loads(row["output"])["command"] for row in rows_of(project, "train.jsonl")}
    assert labels == {"read"}


def test_force_makes_the_same_data_again(project, made):
    before = take(project, made)
    for name in ROWS:
        (project.data() / name).write_text("")
    out = run(project, "--force", *WORDS)
    assert out.splitlines()[0].startswith("generate: name notes, num 60, ")
    assert contents(project.data()) == before


@pytest.mark.slow
def test_force_throws_progress_away(project, halfway):
    project.data().mkdir(parents=True)
    progress_of(project).write_bytes(halfway)
    out = run(project, "--force", *LONG)
    assert "continuing" not in out
    assert not progress_of(project).exists()


# ------------------------------------------------------------------------------------------------------------ kills
@pytest.mark.slow
def test_a_run_that_is_killed_again_and_again_ends_with_the_same_files(project, whole):
    rng = random.Random(time.time_ns())
    for _ in range(4):
        kill_after(project, rng.choice((1, 1, 30_000, 90_000)), rng.uniform(0, 0.06))
        assert not (project.data() / "train.jsonl").exists()
    saved = progress_of(project).read_bytes().count(b"\n") - 1
    assert 0 < saved < 3000
    out = run(project, *LONG)
    assert f"generate: continuing after {saved} rows of training/data/notes/train_progress.jsonl" in out.splitlines()
    made, wanted = contents(project.data()), contents(whole.data())
    assert set(made) == FILES
    for name in ROWS:
        assert made[name] == wanted[name], name
    assert run(project, *LONG) == UP_TO_DATE


def test_a_kill_before_the_first_row_leaves_nothing_behind_that_disturbs(project, made):
    process = project.start("generate.py", *WORDS)
    time.sleep(0.05)
    process.kill()
    process.communicate()
    run(project, *WORDS)
    assert contents(project.data())["train.jsonl"] == contents(made.data())["train.jsonl"]


@pytest.mark.slow
def test_a_half_written_last_line_is_dropped(project, halfway, whole):
    project.data().mkdir(parents=True)
    progress_of(project).write_bytes(halfway[:-25])
    saved = halfway.count(b"\n") - 2
    out = run(project, *LONG)
    assert f"generate: continuing after {saved} rows of training/data/notes/train_progress.jsonl" in out.splitlines()
    assert contents(project.data())["train.jsonl"] == contents(whole.data())["train.jsonl"]


def test_a_half_written_first_line_starts_afresh(project, halfway, made):
    project.data().mkdir(parents=True)
    progress_of(project).write_bytes(halfway[:30])
    assert "continuing" not in run(project, *WORDS)
    assert contents(project.data())["train.jsonl"] == contents(made.data())["train.jsonl"]


@pytest.mark.slow
def test_progress_of_other_settings_starts_afresh(project, halfway, made):
    project.data().mkdir(parents=True)
    progress_of(project).write_bytes(halfway)
    assert "continuing" not in run(project, *WORDS)
    assert contents(project.data())["train.jsonl"] == contents(made.data())["train.jsonl"]


@pytest.mark.parametrize("damage", [b'{"row": {"instr', b"\xff\xfe", b"17", b"[]"])
def test_a_damaged_line_in_the_middle_of_progress_is_one_line(project, halfway, damage):
    project.data().mkdir(parents=True)
    lines = halfway.split(b"\n")
    lines[5] = damage
    progress_of(project).write_bytes(b"\n".join(lines))
    assert project.fails("generate.py", *LONG) == (
        "generate.py: training/data/notes/train_progress.jsonl:6: not a JSON object; "
        "delete the file, or run train-generate-force"
    )
    assert progress_of(project).read_bytes() == b"\n".join(lines)


# ------------------------------------------------------------------------------------------------------ foreign data
def answer(command, args):
    return json.dumps(
        {"type": "command", "command": command, "subcommand": None, "args": args, "flags": [], "confidence": 0.9}
    )


def write_row(project, name, before="", **row):
    with open(project.data() / name, "a", encoding="utf-8") as f:
        f.write(before + json.dumps(row) + "\n")


def test_data_that_was_edited_by_hand_is_checked_and_kept(project, made):
    take(project, made)
    write_row(project, "train.jsonl", instruction="get rid of note 7 at last", output=answer("delete", {"number": 7}))
    before = contents(project.data())
    assert run(project, "name=notes", "num=500").splitlines()[0] == (
        "generate: training/data/notes was written or edited by hand: 55 + 6 rows checked and kept; "
        "train-generate-force replaces them"
    )
    now = contents(project.data())
    assert {name for name in FILES if now[name] != before[name]} == {"report.html", "report.json"}


def test_data_from_elsewhere_is_checked_and_kept(project):
    project.data().mkdir(parents=True)
    write_row(project, "train.jsonl", instruction="tick off 7", context=None, output=answer("done", {"number": 7}))
    write_row(project, "train_val.jsonl", instruction="trash 8", context={}, output=answer("delete", {"number": 8}))
    assert run(project, *WORDS).splitlines()[0] == (
        "generate: training/data/notes was written or edited by hand: 1 + 1 rows checked and kept; "
        "train-generate-force replaces them"
    )
    assert set(contents(project.data())) == {"train.jsonl", "train_val.jsonl", "report.html", "report.json"}


def test_force_replaces_data_that_was_edited_by_hand(project, made):
    before = take(project, made)
    write_row(project, "train.jsonl", instruction="broken")
    run(project, "--force", *WORDS)
    assert contents(project.data())["train.jsonl"] == before["train.jsonl"]


MEND = "mend the row, or run train-generate-force for fresh data"


@pytest.mark.parametrize(
    ("name", "row", "fault"),
    [
        (
            "train.jsonl",
            {"instruction": "trash it", "output": answer("delete", {})},
            "required: 'delete' needs 'number'",
        ),
        (
            "train.jsonl",
            {"instruction": "trash 7", "output": answer("delete", {"number": 8})},
            "grounding: number=8 is neither in the words nor in the context",
        ),
        ("train_val.jsonl", {"instruction": "trash 7"}, "json: output is not valid JSON"),
        ("train_val.jsonl", {"output": "{}"}, "instruction: empty or no text"),
    ],
)
def test_a_bad_row_is_named_with_its_file_and_line(project, made, name, row, fault):
    take(project, made)
    write_row(project, name, **row)
    before = contents(project.data())
    number = 55 if name == "train.jsonl" else 7
    assert project.fails("generate.py", *WORDS) == f"generate.py: training/data/notes/{name}:{number}: {fault}; {MEND}"
    assert contents(project.data()) == before


def test_the_line_of_a_bad_row_counts_empty_lines(project, made):
    take(project, made)
    write_row(project, "train.jsonl", before="\n\n", instruction="trash it", output=answer("delete", {}))
    assert project.fails("generate.py", *WORDS) == (
        f"generate.py: training/data/notes/train.jsonl:57: required: 'delete' needs 'number'; {MEND}"
    )


def test_a_row_on_both_sides_of_the_split_is_refused(project, made):
    take(project, made)
    row = {"instruction": "trash 7", "context": None, "output": answer("delete", {"number": 7})}
    write_row(project, "train.jsonl", **row)
    write_row(project, "train_val.jsonl", **{**row, "context": {"notes": {"current_note": 3}}})
    assert project.fails("generate.py", *WORDS) == (
        "generate.py: training/data/notes/train_val.jsonl:7: "
        f"diversity: the instruction stands on the other side of the split; {MEND}"
    )


def test_a_line_that_is_no_object_is_named(project, made):
    take(project, made)
    with open(project.data() / "train.jsonl", "a") as f:
        f.write('{"instruction": \n')
    assert project.fails("generate.py", *WORDS) == (
        "generate.py: training/data/notes/train.jsonl:55: not a JSON object; mend or delete that line"
    )


def test_an_empty_file_is_no_data(project, made):
    take(project, made)
    (project.data() / "train_val.jsonl").write_text("")
    assert project.fails("generate.py", *WORDS) == (
        "generate.py: training/data/notes: train.jsonl or train_val.jsonl has no rows; "
        "run: just train-generate-force name=notes"
    )


@pytest.mark.parametrize("gone", ["train.jsonl", "train_val.jsonl"])
def test_half_a_data_set_by_hand_is_not_replaced(project, made, gone):
    (project.data()).mkdir(parents=True)
    (other,) = {"train.jsonl", "train_val.jsonl"} - {gone}
    shutil.copy(made.data() / other, project.data())
    before = (project.data() / other).read_bytes()
    assert project.fails("generate.py", *WORDS) == (
        f"generate.py: training/data/notes has rows written by hand, but no {gone}; "
        "write it too, or move the rows away to have new ones made"
    )
    assert (project.data() / other).read_bytes() == before


def test_half_a_data_set_of_the_teacher_is_made_whole(project, made):
    shutil.copytree(made.data(), project.data())
    (project.data() / "train_val.jsonl").unlink()
    done = project.run("generate.py", *WORDS)
    assert done.returncode == 0, done.stderr
    assert all((project.data() / f).read_bytes() == (made.data() / f).read_bytes() for f in ROWS)


@pytest.mark.parametrize("content", ["{", "[1]", "{}"])
def test_a_broken_stage_json_makes_the_data_foreign(project, made, content):
    take(project, made)
    (project.data() / "stage.json").write_text(content)
    assert run(project, *WORDS).splitlines()[0] == (
        "generate: training/data/notes was written or edited by hand: 54 + 6 rows checked and kept; "
        "train-generate-force replaces them"
    )


# --------------------------------------------------------------------------------------------------------- mistakes
def test_a_number_of_rows_that_is_too_small_is_refused(project):
    assert project.fails("generate.py", "name=notes", "num=49") == (
        "generate.py: num=49 is out of range; at least 50, at most 1000000"
    )
    assert not project.data().exists()


def few(project, frames):
    """A CLI with one command and so many frames for it, and no questions."""
    (project.root / "schemas" / "ping.yaml").write_text(
        "cli_name: ping\ndescription: Pings\ncommands:\n  - name: ping\n    description: Ping\n"
    )
    lines = "".join(f"    ping {word}\n" for word in "a b c d e f".split()[:frames])
    (project.root / "schemas" / "phrases" / "ping.yaml").write_text(f"cli_name: ping\nframes:\n  ping: |\n{lines}")


def test_a_cli_with_too_few_frames_says_how_many_rows_it_can_make(project):
    few(project, 6)
    line = project.fails("generate.py", "name=ping", "num=20000")
    found = re.fullmatch(
        r"generate\.py: only (\d+) different rows can be made for ping; ask for a smaller num=, or write more frames",
        line,
    )
    assert found, line
    assert set(contents(project.data("ping"))) == {"train_progress.jsonl"}
    saved = (project.data("ping") / "train_progress.jsonl").read_bytes().count(b"\n") - 1
    assert saved == int(found[1])
    assert 50 <= saved < 20000
    assert project.fails("generate.py", "name=ping", "num=20000") == line


@pytest.mark.parametrize("frames", [0, 4])
def test_a_cli_without_frames_for_validation_is_one_line(project, frames):
    few(project, frames)
    n = 9 if frames else 0
    expected = (
        f"generate.py: only {n} different rows can be made for ping; ask for a smaller num=, or write more frames"
    )
    if not frames:
        (project.root / "schemas" / "phrases" / "ping.yaml").write_text("cli_name: ping\n")
    assert project.fails("generate.py", "name=ping", "num=50") == expected


def test_a_broken_schema_is_one_line_and_older_data_stays(project, older):
    before = take(project, older)
    path = project.root / "schemas" / "notes.yaml"
    path.write_text(path.read_text().replace("from_context: notes.current_note", "from_context: notes.open_note", 1))
    number = next(n for n, text in enumerate(path.read_text().splitlines(), 1) if "notes.open_note" in text)
    assert project.fails("generate.py", *WORDS) == (
        f"generate.py: schemas/notes.yaml:{number}: commands[2].args[0].from_context: "
        "'notes.open_note' is no field of the context: section"
    )
    path.write_text("cli_name: [\n")
    assert project.fails("generate.py", *WORDS, "--force") == (
        "generate.py: schemas/notes.yaml:2: not valid YAML: expected the node content, but found '<stream end>'"
    )
    assert contents(project.data()) == before


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("frames:\n  delete: |\n    bin {number} => +hard\n", "4: 'delete' has no flag 'hard' (1 in all; "),
        ("frames:\n  delete: |\n    bin (x\n    toss\n  burn: |\n    x\n", "4: '(' is not closed (3 in all; "),
        ("frames: [\n", "3: not valid YAML: expected the node content, but found '<stream end>' (1 in all; "),
    ],
)
def test_a_fault_of_the_phrasebook_is_one_line_and_older_data_stays(project, older, text, fault):
    before = take(project, older)
    (project.root / "schemas" / "phrases" / "notes.yaml").write_text(f"cli_name: notes\n{text}")
    assert project.fails("generate.py", *WORDS, "--force") == (
        f"generate.py: schemas/phrases/notes.yaml:{fault}run: just train-check name=notes)"
    )
    assert contents(project.data()) == before


# ----------------------------------------------------------------------------------------------- full and closed disks
def little_memory():
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))


@needs_full
def test_a_full_disk_while_rows_are_drawn_is_one_line_and_older_data_stays(project, older):
    before = take(project, older)
    progress_of(project).symlink_to("/dev/full")
    done = project.run("generate.py", *WORDS, preexec_fn=little_memory)
    assert (done.returncode, done.stderr) == (
        1,
        "generate.py: cannot write training/data/notes/train_progress.jsonl: no space left on device; "
        "free some space and run the same command again\n",
    )
    progress_of(project).unlink()
    assert contents(project.data()) == before


@pytest.mark.slow
@needs_full
@pytest.mark.parametrize(
    ("name", "with_older"),
    [
        ("train_val.jsonl", False),
        ("stage.json", False),
        ("train.jsonl", True),
        ("train_val.jsonl", True),
        ("frames.jsonl", True),
    ],
)
def test_after_a_full_disk_the_same_command_finishes(project, made, older, name, with_older):
    """Whichever file did not fit any more: the rows are saved as progress, and the next run ends with the right data."""
    if with_older:
        take(project, older)
    else:
        project.data().mkdir(parents=True)
    (project.data() / f"{name}.new").symlink_to("/dev/full")
    assert project.fails("generate.py", *WORDS) == (
        f"generate.py: cannot write training/data/notes/{name}: no space left on device; "
        "free some space and run the same command again"
    )
    if with_older and name == "train.jsonl":
        assert {n: contents(project.data())[n] for n in ROWS} == {n: contents(older.data())[n] for n in ROWS}
    out = run(project, *WORDS)
    assert "generate: continuing after 60 rows of training/data/notes/train_progress.jsonl" in out.splitlines()
    now, wanted = contents(project.data()), contents(made.data())
    assert set(now) == FILES
    for file in ROWS:
        assert now[file] == wanted[file], file


@pytest.mark.parametrize(
    ("parts", "why"), [(["training", "data"], "not a directory"), (["training", "data", "notes"], "file exists")]
)
def test_a_file_that_stands_where_a_folder_should_be_is_one_line(project, parts, why):
    path = project.root.joinpath(*parts)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("mine")
    assert project.fails("generate.py", *WORDS) == (
        f"generate.py: cannot write training/data/notes: {why}; move the file that stands where a folder should be"
    )
    assert path.read_text() == "mine"


def test_a_folder_that_cannot_be_written_is_one_line_and_older_data_stays(project, older):
    before = take(project, older)
    project.data().chmod(0o500)
    if os.access(project.data(), os.W_OK):
        pytest.skip("this user may write everywhere")
    try:
        assert project.fails("generate.py", *WORDS) == (
            "generate.py: cannot write training/data/notes/train_progress.jsonl: permission denied; "
            "make it writable and run the same command again"
        )
    finally:
        project.data().chmod(0o700)
    assert contents(project.data()) == before
