"""The data report and the check of the split: counts against hand-made rows, and what generate does with them."""

import json
import re
import shutil
from pathlib import Path

import data_report
import pytest
import split_check
import utils
from conftest import Project
from pytest import approx
from report import data_page
from teacher import ASK_SHARES
from tiny import NOTES, command, question, row

WORDS = ["name=notes", "num=60"]
EVIL = "</title><script>alert('&\"')</script><img src=x>"


def written(folder, train, val, frames=()):
    """Rows as files in a folder, and the frames of the first of them: pairs of category and frame in the order of the rows."""
    utils.write_jsonl(folder / "train.jsonl", train)
    utils.write_jsonl(folder / "train_val.jsonl", val)
    known = [
        {"category": c, "frame": f, "row": split_check.row_id(r)}
        for (c, f), r in zip(frames, [*train, *val], strict=False)
    ]
    utils.write_jsonl(folder / "frames.jsonl", known)
    return split_check.load(folder)


TRAIN = [
    row("read note 7", command("read", number=7)),
    row("open this one", command("read", number=3), {"notes": {"current_note": 3, "current_folder": "work"}}),
    row("open note 4", command("read", number=4), {"notes": {"current_note": 4}}),
    row("drop it", question("pronoun", "delete", arg="number")),
]
VAL = [row("trash 8 for good", command("delete", "force", number=8)), row("hm", question("unclear"), {"notes": {}})]
FRAMES = [("noctx", "a"), ("ctx", "b"), ("ctx", "c"), ("pronoun", "d"), ("noctx", "e"), ("unclear", "f")]


def facts(rows, stage=None):
    return data_report.facts("notes", NOTES, rows, stage or {}, split_check.vectors([r["instruction"] for r in rows]))


@pytest.fixture
def rows(tmp_path):
    return written(tmp_path, TRAIN, VAL, FRAMES)


def refused(capsys, rows):
    """The line with which check_split ends the program; None when it does not."""
    try:
        split_check.check_split(rows, "notes")
    except SystemExit:
        return capsys.readouterr().err.strip().split(": ", 1)[1]


# ------------------------------------------------------------------------------------------------------ where from
def test_rows_know_their_place_and_their_frame(rows, tmp_path):
    assert [r["frame"] for r in rows] == list("abcdef")
    assert [r["split"] for r in rows] == ["train"] * 4 + ["val"] * 2
    assert rows[4]["at"] == f"{tmp_path}/train_val.jsonl:1"
    assert rows[1]["context"] == {"notes.current_note": 3, "notes.current_folder": "work"}


@pytest.mark.parametrize(
    "edit",
    [{"instruction": "read note  7"}, {"context": {"notes": {"current_note": 1}}}, {"output": command("list")}],
)
def test_a_row_that_was_edited_has_no_frame_any_more(tmp_path, edit):
    written(tmp_path, TRAIN, VAL, FRAMES)
    utils.write_jsonl(tmp_path / "train.jsonl", [{**TRAIN[0], **edit}, *TRAIN[1:]])
    rows = split_check.load(tmp_path)
    assert [r["frame"] for r in rows] == [None, *"bcdef"]
    assert rows[0]["category"] is None


def test_a_row_keeps_its_frame_when_it_is_moved_or_spelled_otherwise(tmp_path):
    written(tmp_path, TRAIN, VAL, FRAMES)
    other = {**dict(reversed(TRAIN[1].items())), "context": {"notes": {"current_folder": "work", "current_note": 3}}}
    (tmp_path / "train.jsonl").write_text("\n" + json.dumps(other) + "\n")
    assert [(r["frame"], r["at"][-2:]) for r in split_check.load(tmp_path)][:1] == [("b", ":2")]


def test_data_without_frames_is_all_by_hand(tmp_path):
    written(tmp_path, TRAIN, VAL, FRAMES)
    (tmp_path / "frames.jsonl").unlink()
    assert facts(split_check.load(tmp_path))["by_hand"] == 6


# ------------------------------------------------------------------------------------------------------------ split
def test_rows_of_different_frames_pass_without_a_look_at_their_words(rows, capsys, monkeypatch):
    monkeypatch.setattr(split_check, "vectors", None)
    assert refused(capsys, rows) is None


def test_a_frame_on_both_sides_of_the_split_is_refused(tmp_path, capsys):
    rows = written(tmp_path, TRAIN, VAL, [*FRAMES[:4], ("noctx", "c"), ("unclear", "f")])
    assert refused(capsys, rows) == (
        f"{tmp_path}/train_val.jsonl:1 and {tmp_path}/train.jsonl:3 come from the same frame 'c', so validation would flatter "
        "the model; delete one of the two, or run: just train-generate-force name=notes"
    )


def test_the_number_of_leaks_is_told(tmp_path, capsys):
    rows = written(tmp_path, TRAIN, VAL, [*FRAMES[:4], ("noctx", "c"), ("unclear", "a")])
    assert " come from the same frame 'c' (2 such rows), so validation " in refused(capsys, rows)


TWINS = [row("please read note number 7", command("read", number=7)), row("list it all", command("list"))]
TWIN = row("Please read note number 7!", command("read", number=7))


@pytest.mark.parametrize("frames", [[], [("noctx", "a"), ("noctx", "b")], [(None, None), (None, None), ("noctx", "c")]])
def test_a_near_duplicate_of_a_row_by_hand_is_refused(tmp_path, capsys, frames):
    """One of the two has no frame: neither, only the training row, only the validation row."""
    rows = written(tmp_path, TWINS, [TWIN], frames)
    assert refused(capsys, rows) == (
        f"{tmp_path}/train_val.jsonl:1 and {tmp_path}/train.jsonl:1 read the same (similarity 1.00, the limit is 0.95), "
        "so validation would flatter the model; delete one of the two, or run: just train-generate-force name=notes"
    )


def test_rows_of_two_frames_may_read_alike(tmp_path, capsys):
    rows = written(tmp_path, TWINS, [TWIN], [("noctx", "a"), ("noctx", "b"), ("noctx", "c")])
    assert refused(capsys, rows) is None


def test_another_wording_by_hand_passes(tmp_path, capsys):
    assert refused(capsys, written(tmp_path, TWINS, VAL)) is None


def test_words_of_marks_alone_are_compared_as_they_are(tmp_path, capsys):
    asked = [row(text, question("unclear")) for text in ("???", "!!!")]
    assert refused(capsys, written(tmp_path, asked[:1], asked[1:])) is None
    assert "read the same (similarity 1.00" in refused(capsys, written(tmp_path, asked[:1], asked[:1]))


# ------------------------------------------------------------------------------------------------------- similarity
@pytest.mark.parametrize("block", [0, 7, 10**6])
def test_the_nearest_row_is_never_the_row_itself(monkeypatch, block):
    monkeypatch.setattr(split_check, "BLOCK", block)
    texts = ["read note seven", "read note eleven", "list folders", "Read note seven!"]
    matrix = split_check.vectors(texts)
    assert [(i, j) for _, i, j in split_check.nearest(matrix, [3, 1], [2, 1, 0])] == [(3, 0), (1, 0)]
    found = split_check.nearest(matrix, [0, 1, 2], [0, 1, 2, 3])
    assert [(i, j) for _, i, j in found[:2]] == [(0, 3), (1, 0)]
    assert found[0][0] == approx(1)
    assert 0.1 < found[1][0] < 0.9
    assert found[2][0] == approx(0)


def test_a_row_alone_has_no_nearest():
    matrix = split_check.vectors(["read note seven", "list"])
    assert split_check.nearest(matrix, [0], [0]) == []
    assert split_check.nearest(matrix, [0], []) == []


def test_the_closest_pairs_come_first(tmp_path):
    val = [row("zzz yyy", question("unclear")), row("kindly read note number 7", command("read", number=7))]
    found = facts(written(tmp_path, TWINS, val))
    assert [(p["val"]["instruction"], p["train"]["instruction"]) for p in found["closest"]][0] == (
        "kindly read note number 7",
        "please read note number 7",
    )
    assert [p["similarity"] for p in found["closest"]] == sorted(
        (p["similarity"] for p in found["closest"]), reverse=True
    )
    assert found["similarity"]["validation to training"]["quantiles"]["max"] == found["closest"][0]["similarity"] < 0.95


def test_of_many_rows_some_are_looked_up(tmp_path, monkeypatch):
    monkeypatch.setattr(data_report, "SAMPLED", 5)
    many = [row(f"read note {n}", command("read", number=n)) for n in range(20)]
    found = facts(written(tmp_path, many[:12], many[12:]))["similarity"]
    assert [sum(n for _, n in of["histogram"]) for of in found.values()] == [5, 5]


# ----------------------------------------------------------------------------------------------------------- counts
def test_shares_of_kinds_categories_and_context(rows):
    tables = data_report.shares(rows, NOTES)
    numbers = {
        title: [
            (r["what"], r["train"], r["val"], round(r["share"], 2), r["target"]) for r in table if r["train"] + r["val"]
        ]
        for title, table in tables.items()
    }
    assert numbers == {
        "Rows": [
            ("command, with context", 2, 0, 0.33, 0.6),
            ("command, without", 1, 1, 0.33, 0.2),
            ("question back", 1, 1, 0.33, 0.2),
        ],
        "Questions back": [
            ("pronoun", 1, 0, 0.5, ASK_SHARES["pronoun"]),
            ("unclear", 0, 1, 0.5, ASK_SHARES["unclear"]),
        ],
        "Context of all rows": [
            ("all fields", 1, 0, 0.17, None),
            ("some fields", 1, 0, 0.17, None),
            ("none", 2, 2, 0.67, None),
        ],
        "Commands with context": [
            ("the answer takes a value from it", 1, 0, 0.5, 0.27),
            ("irrelevant to the answer", 1, 0, 0.5, 0.73),
        ],
    }
    assert len(tables["Questions back"]) == 7


def test_questions_by_hand_have_a_line_of_their_own(tmp_path):
    table = data_report.shares(written(tmp_path, TRAIN, VAL), NOTES)["Questions back"]
    assert [(r["what"], r["train"], r["val"]) for r in table if r["train"] + r["val"]] == [("by hand", 1, 1)]


def test_coverage_counts_what_the_answers_hold_and_lists_what_none_holds(rows):
    found = data_report.coverage(rows, NOTES)
    assert {part: len(table) for part, table in found.items()} == {
        "subcommands": len(NOTES.subcommands),
        "arguments": sum(len(s.args) for s in NOTES.subcommands),
        "flags": sum(len(s.flags) for s in NOTES.subcommands),
        "enum values": sum(len(a.values) for s in NOTES.subcommands for a in s.args),
    }
    held = {part: [tuple(r.values()) for r in t if r["train"] + r["val"]] for part, t in found.items()}
    assert held == {
        "subcommands": [("delete", 0, 1), ("read", 3, 0)],
        "arguments": [("delete number", 0, 1), ("read number", 3, 0)],
        "flags": [("delete --force", 0, 1)],
        "enum values": [],
    }
    for table in found.values():
        assert [r["train"] for r in table] == sorted(r["train"] for r in table)


def test_enum_values_are_counted(tmp_path):
    sub, arg = next((s, a) for s in NOTES.subcommands for a in s.args if a.type == "enum")
    rows = written(tmp_path, [row("x", command(sub.label, **{arg.name: arg.values[1]}))], VAL)
    counted = {r["what"]: r["train"] for r in data_report.coverage(rows, NOTES)["enum values"]}
    assert counted[f"{sub.label} {arg.name}={arg.values[1]}"] == 1
    assert sum(counted.values()) == 1


def test_distinct_n_counts_lower_cased_words():
    assert data_report.wording(["Read the note", "read the list", "read the note"]) == {
        "rows": 3,
        "distinct": 2,
        "distinct-1": approx(4 / 9, abs=1e-3),
        "distinct-2": approx(3 / 6, abs=1e-3),
        "distinct-3": approx(2 / 3, abs=1e-3),
        "words": {"min": 3, "5 %": 3, "median": 3, "95 %": 3, "max": 3},
    }
    assert data_report.wording([])["distinct-1"] == 0


def test_histograms_have_no_holes():
    assert data_report.histogram([1, 4, 4, 2]) == [["1", 1], ["2", 1], ["3", 0], ["4", 2]]
    assert data_report.histogram([1, 5, 6], 3) == [["0", 1], ["3", 1], ["6", 1]]
    assert data_report.histogram([0.15, 0.3, 0.349, 0.2], 0.05) == [["0.15", 1], ["0.20", 1], ["0.25", 0], ["0.30", 2]]
    assert data_report.histogram([]) == []


def test_quantiles():
    assert data_report.quantiles(range(101)) == {"min": 0, "5 %": 5, "median": 50, "95 %": 95, "max": 100}
    assert data_report.quantiles([]) == {}


# ------------------------------------------------------------------------------------------------ terminal and page
STAGE = {
    "fingerprint": {"settings": {"num": 60, "seed": 5}},
    "teacher": "phrasebook notes.yaml",
    "rejected": {"diversity": 3, "draw": 20},
}


def test_facts_are_json_and_the_page_can_be_made_of_them_again(rows):
    found = facts(rows, STAGE)
    again = json.loads(json.dumps(found))
    assert again == found
    assert data_page.page(again) == data_page.page(found)


def test_samples_say_the_answer_as_a_command_line_or_a_question(rows):
    said = {s["instruction"]: s["answer"] for s in facts(rows)["samples"]}
    assert len(said) == 6
    assert said["trash 8 for good"] == "notes delete --force 8"
    assert said["drop it"] == "Which number do you mean? | delete"


def test_samples_depend_on_the_seed_alone(tmp_path):
    many = [row(f"read note {n}", command("read", number=n)) for n in range(100)]
    rows = written(tmp_path, many, VAL)
    drawn = [facts(rows, {"fingerprint": {"settings": {"seed": s}}})["samples"] for s in (1, 1, 2)]
    assert len(drawn[0]) == 20
    assert drawn[0] == drawn[1] != drawn[2]


def test_the_terminal_gets_lines_that_fit(rows):
    lines = data_report.terminal(facts(rows, STAGE))
    assert lines[0] == "data report: 4 training and 2 validation rows; teacher phrasebook notes.yaml, seed 5"
    assert [line for line in lines if len(line) > 100 or line != line.rstrip()] == []
    assert "    command, with context                   2      0   33 %    60 %" in lines
    flags = sum(len(s.flags) for s in NOTES.subcommands)
    assert any(line.startswith(f"    flags               {flags:6} {flags:6}      0   ") for line in lines)
    assert "  turned away: 20 draw, 3 diversity" in lines
    assert "  split check passed: none of 2 validation rows shares its frame with a training row" in lines


def test_rows_by_hand_are_told(tmp_path):
    found = facts(written(tmp_path, TRAIN, VAL, FRAMES[:5]), STAGE)
    lines = data_report.terminal(found)
    assert lines[0].endswith(", seed 5, 1 by hand")
    assert (
        "  split check passed: none of 1 validation rows shares its frame with a training row, "
        "none of 1 without a frame is as similar as 0.95 to a training row"
    ) in lines
    assert "1 of the rows were written or edited by hand" in data_page.page(found)


@pytest.mark.parametrize("pixels", [1280, 400])
def test_the_page_fits_its_window(rows, width_in_browser, pixels):
    assert width_in_browser(data_page.page(facts(rows, STAGE)), pixels) <= pixels


def test_the_page_says_what_was_turned_away_and_why(rows):
    text = data_page.page(facts(rows, STAGE))
    assert "<td>draw: parts of the sentence contradict each other</td><td>20</td>" in text
    assert text.index("<td>draw: ") < text.index("<td>diversity: ")
    assert "num 60, seed 5" in text
    assert "<p>None.</p>" in data_page.page(facts(rows))


def test_rare_things_are_marked_and_the_target_is_said(tmp_path):
    many = [row(f"read note {n}", command("read", number=n)) for n in range(25)]
    many += [row(f"trash note {n}", command("delete", number=n)) for n in range(19)]
    text = data_page.page(facts(written(tmp_path, many, VAL)))
    kinds = dict(re.findall(r'<tr class="(\w*)"><td><span class="word">(?:(read|delete|list)</span>)', text)[::-1])
    lines = {label: kind for kind, label in kinds.items()}
    assert lines["read"] == ""
    assert lines["delete"] == "few"
    assert lines["list"] == "none"
    count = len(NOTES.subcommands)
    assert f"{count} in the schema; target 20 training rows (the line): 1 have fewer, {count - 2} have none." in text


def test_every_text_is_escaped(tmp_path):
    train = [
        row(f"read note 7 {EVIL}", command("read", number=7), {"notes": {"current_folder": EVIL}}),
        row(EVIL, command("search", query=EVIL)),
    ]
    val = [row(f"note {EVIL}", json.dumps({**json.loads(question("unclear")), "message": EVIL}))]
    found = facts(written(tmp_path, train, val, [("ctx", EVIL)]), {"teacher": EVIL, "rejected": {EVIL: 1}})
    found["name"] = EVIL
    found["settings"] = {EVIL: EVIL}
    for table in (*found["shares"].values(), *found["coverage"].values()):
        table[0]["what"] = EVIL
    text = data_page.page(found)
    assert "<script" not in text
    assert "<img" not in text
    assert text.count("</title>") == 1
    assert text.count("&lt;script&gt;") >= 10
    assert EVIL in json.dumps(found["samples"], ensure_ascii=False).replace('\\"', '"')


def test_the_page_needs_nothing_from_elsewhere(rows):
    text = data_page.page(facts(rows, STAGE))
    assert text.startswith("<!doctype html>")
    assert re.findall(r"https?:|//|<link|<script|<img|src=|href=|@import|url\(", text) == []


def test_tags_are_closed(rows):
    from html.parser import HTMLParser

    opened = []

    class Parser(HTMLParser):
        def handle_starttag(self, tag, attrs):
            if tag != "meta":
                opened.append(tag)

        def handle_endtag(self, tag):
            assert opened.pop() == tag

    Parser().feed(data_page.page(facts(rows, STAGE)))
    assert opened == []


# --------------------------------------------------------------------------------------------------------- generate
@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """60 rows of notes with their report; tests copy them and leave this folder alone."""
    project = Project(tmp_path_factory.mktemp("made"))
    project.log = out(project)
    return project


@pytest.fixture
def copied(project, made):
    shutil.copytree(made.data(), project.data())
    return project


def out(project, *words):
    done = project.run("generate.py", *WORDS, *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_generate_writes_and_prints_the_report(made):
    lines = made.log.splitlines()
    assert lines[1] == (
        "data report: 54 training and 6 validation rows; teacher frames composed from the schema, seed 0"
    )
    assert lines[-2] == "  more: training/data/notes/report.html"
    found = json.loads((made.data() / "report.json").read_text())
    assert (found["rows"], found["by_hand"], len(found["samples"])) == ({"train": 54, "val": 6}, 0, 20)
    assert found["split"] == {"by frame": 6, "by text": 0, "limit": 0.95}
    stage = json.loads((made.data() / "stage.json").read_text())
    assert found["rejected"] == stage["rejected"]
    assert (made.data() / "report.html").read_text() == data_page.page(found)


@pytest.mark.parametrize("name", ["report.html", "report.json"])
def test_a_report_that_is_missing_is_made_again(copied, made, name):
    (copied.data() / name).unlink()
    assert [line.split(":")[0] for line in out(copied).splitlines()[:2]] == ["generate", "data report"]
    assert (copied.data() / name).read_bytes() == (made.data() / name).read_bytes()
    assert len(out(copied).splitlines()) == 1


@pytest.mark.slow
def test_rows_that_were_edited_get_a_new_report(copied):
    with open(copied.data() / "train.jsonl", "a") as f:
        f.write(json.dumps(row("erase the seventh, I mean note 7", command("delete", number=7))) + "\n")
    assert out(copied).splitlines()[1].endswith("seed 0, 1 by hand")
    assert json.loads((copied.data() / "report.json").read_text())["rows"] == {"train": 55, "val": 6}
    assert len(out(copied).splitlines()) == 1


def test_data_that_is_up_to_date_is_checked_too(copied):
    path = copied.data() / "frames.jsonl"
    frames = utils.read_jsonl(path)
    frames[57]["frame"] = frames[2]["frame"] = "{number} twice"
    utils.write_jsonl(path, frames)
    assert copied.fails("generate.py", *WORDS) == (
        "generate.py: training/data/notes/train_val.jsonl:4 and training/data/notes/train.jsonl:3 come from the same frame "
        "'{number} twice', so validation would flatter the model; delete one of the two, or run: "
        "just train-generate-force name=notes"
    )
    out(copied, "--force")
    assert len(out(copied).splitlines()) == 1


def test_a_validation_row_that_is_moved_to_the_other_side_takes_its_frame_along(copied):
    """Two validation rows of one frame are right; half of such a pair among the training rows is not."""
    frames = utils.read_jsonl(copied.data() / "frames.jsonl")
    frames[54]["frame"] = frames[55]["frame"]
    utils.write_jsonl(copied.data() / "frames.jsonl", frames)
    assert len(out(copied).splitlines()) == 1
    train, val = (utils.read_jsonl(copied.data() / name) for name in ("train.jsonl", "train_val.jsonl"))
    utils.write_jsonl(copied.data() / "train.jsonl", [*train, val[0]])
    utils.write_jsonl(copied.data() / "train_val.jsonl", val[1:])
    assert copied.fails("generate.py", *WORDS).startswith(
        "generate.py: training/data/notes/train_val.jsonl:1 and training/data/notes/train.jsonl:55 come from the same frame "
    )


@pytest.mark.slow
def test_near_duplicates_by_hand_are_refused_each_time(project):
    project.data().mkdir(parents=True)
    utils.write_jsonl(project.data() / "train.jsonl", TWINS)
    utils.write_jsonl(project.data() / "train_val.jsonl", [TWIN])
    for _ in range(2):
        assert project.fails("generate.py", *WORDS) == (
            "generate.py: training/data/notes/train_val.jsonl:1 and training/data/notes/train.jsonl:1 read the same "
            "(similarity 1.00, the limit is 0.95), so validation would flatter the model; delete one of the two, or run: "
            "just train-generate-force name=notes"
        )
    assert not (project.data() / "report.html").exists()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
@pytest.mark.parametrize("name", ["report.html", "report.json"])
def test_after_a_full_disk_the_same_command_makes_the_report(copied, made, name):
    (copied.data() / "report.json").unlink()
    (copied.data() / f"{name}.new").symlink_to("/dev/full")
    assert copied.fails("generate.py", *WORDS) == (
        f"generate.py: cannot write training/data/notes/{name}: no space left on device; "
        "free some space and run the same command again"
    )
    out(copied)
    assert (copied.data() / "report.json").read_bytes() == (made.data() / "report.json").read_bytes()
