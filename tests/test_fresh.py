"""New rows of the bundled teacher: none that is known, none from a frame of the other side, and only for data that it made."""

import json

import fresh
import pytest
import teacher
import utils
from rows import row_faults
from tiny import NOTES


@pytest.fixture
def made(project, monkeypatch):
    """Data of the bundled teacher for notes, in a folder of its own."""
    assert project.run("generate.py", "name=notes", "num=100").returncode == 0
    monkeypatch.setattr(utils, "ROOT", project.root)
    monkeypatch.setattr(teacher, "SCHEMAS", project.root / "schemas")
    return project


def known(made):
    return [r for f in ("train.jsonl", "train_val.jsonl") for r in utils.read_jsonl(made.data() / f)]


def key(row):
    return row["instruction"].lower(), json.dumps(row["context"])


def test_new_rows_obey_the_rules_and_are_not_known(made):
    rows = fresh.draw("notes", NOTES, 60, 1)
    assert len(rows) == 60
    assert all(row_faults(r, NOTES) == [] for r in rows)
    assert not {key(r) for r in rows} & {key(r) for r in known(made)}
    assert len({key(r) for r in rows}) == 60
    assert {bool(r["points"]) for r in rows} == {True, False}  # preferences need to know
    assert rows == fresh.draw("notes", NOTES, 60, 1)
    assert not {key(r) for r in rows} & {key(r) for r in fresh.draw("notes", NOTES, 60, 2)}


@pytest.mark.parametrize("file", ["train.jsonl", "stage.json"])
def test_data_that_somebody_edited_is_not_the_teachers(made, file):
    path = made.data() / file
    path.write_text(path.read_text().replace("notes", "Notes", 1) + "\n", encoding="utf-8")
    if file == "stage.json":
        path.write_text("{}", encoding="utf-8")
    assert fresh.settings_of("notes") is None
    assert fresh.draw("notes", NOTES, 5, 1) is None


def test_a_schema_that_changed_since_has_other_frames(made):
    path = made.root / "schemas" / "notes.yaml"
    assert fresh.settings_of("notes") == {"num": 100, "seed": 0}
    path.write_text(path.read_text() + "# more\n", encoding="utf-8")
    assert fresh.settings_of("notes") is None


def test_no_data_no_rows(project, monkeypatch):
    monkeypatch.setattr(utils, "ROOT", project.root)
    assert fresh.settings_of("notes") is None
