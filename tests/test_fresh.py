"""New rows of the bundled teacher: none that is known, none from a frame of the other side, and only for data that it made."""

import json
import shutil

import fresh
import pytest
import sft
import teacher
import utils
from conftest import Project
from rows import row_faults
from settings import parse_settings
from tiny import NOTES


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    """Data of the bundled teacher for notes; tests copy it and leave this folder alone."""
    project = Project(tmp_path_factory.mktemp("generated"))
    assert project.run("generate.py", "name=notes", "num=100").returncode == 0
    return project.data()


@pytest.fixture
def made(project, generated, monkeypatch):
    """The same data in a project of the test's own."""
    shutil.copytree(generated, project.data())
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
    assert not fresh.outdated("notes")
    path.write_text(path.read_text() + "# more\n", encoding="utf-8")
    assert fresh.settings_of("notes") is None
    assert fresh.outdated("notes")
    data = made.data() / "train.jsonl"
    data.write_text(data.read_text() + "\n", encoding="utf-8")  # rows of somebody's own are not outdated
    assert not fresh.outdated("notes")


def test_no_data_no_rows(project, monkeypatch):
    monkeypatch.setattr(utils, "ROOT", project.root)
    assert fresh.settings_of("notes") is None


def config(epochs, fresh_rows=True):
    return {"data": {"fresh_rows": fresh_rows}, "training": {"num_train_epochs": epochs}}


def test_every_pass_of_a_training_has_rows_of_its_own(made):
    told = utils.read_jsonl(made.data() / "train.jsonl")
    drawn, epochs = sft.passes(told, "notes", NOTES, config(2))
    assert (len(drawn), epochs) == (len(told), 1)
    assert not {key(r) for r in drawn} & {key(r) for r in known(made)}
    assert [len(r) if i == 0 else r for i, r in enumerate(sft.passes(told, "notes", NOTES, config(1.5)))] == [45, 1]
    for unchanged in (config(1), config(0.5), config(2, fresh_rows=False)):
        assert sft.passes(told, "notes", NOTES, unchanged) == ([], unchanged["training"]["num_train_epochs"])


def test_where_few_rows_can_be_drawn_all_are_gone_through_more_often(made, monkeypatch):
    told = utils.read_jsonl(made.data() / "train.jsonl")
    draw = fresh.draw
    monkeypatch.setattr(fresh, "draw", lambda *a: draw(*a)[:10])
    drawn, epochs = sft.passes(told, "notes", NOTES, config(3))
    assert len(drawn) == 10
    assert epochs == pytest.approx(270 / 100)


def test_what_a_model_was_trained_on_is_not_new(made):
    drawn = fresh.draw("notes", NOTES, 40, fresh.PASSES)
    told = fresh.draw("notes", NOTES, 40, fresh.PREFERENCES)
    utils.write_jsonl(
        made.models() / "sft" / fresh.DRAWN, [{k: v for k, v in r.items() if k != "points"} for r in told]
    )
    again = fresh.draw("notes", NOTES, 40, fresh.PREFERENCES)
    assert not {key(r) for r in again} & {key(r) for r in told}
    assert fresh.draw("notes", NOTES, 40, fresh.PASSES) == drawn  # a killed training finds the same rows


def test_no_seed_of_one_purpose_is_anothers(made):
    starts = [{key(r) for r in fresh.draw("notes", NOTES, 15, p, seed)} for p in (1, 2, 3) for seed in (0, 1, 100)]
    assert all(len(a & b) < 5 for i, a in enumerate(starts) for b in starts[:i])


def test_rows_of_others_are_gone_through_as_often_as_they_were(made):
    path = made.data() / "train.jsonl"
    told = utils.read_jsonl(path)[1:]
    path.write_text("".join(json.dumps(r) + "\n" for r in told), encoding="utf-8")
    before = sft.plan(parse_settings(["name=notes", "base=bundled"]))[3]
    assert sft.passes(told, "notes", NOTES, config(2)) == ([], 2)
    assert before["settings"]["data"]["drawn"] is False


@pytest.mark.slow
def test_a_training_of_two_passes_keeps_the_rows_it_drew_and_is_then_up_to_date(project, tiny_base):
    words = ["name=notes", "num=60", f"base={tiny_base}", "sft.training.num_train_epochs=2"]
    done = project.stages("generate", "sft", words=words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "sft: 108 rows, 54 of them new, in " in done.stdout
    drawn = utils.read_jsonl(project.models() / "sft" / fresh.DRAWN)
    assert len(drawn) == 54
    assert all(row_faults(r, NOTES) == [] for r in drawn)
    again = project.run("sft.py", *words)
    assert again.stdout.strip() == "sft: training/models/notes/sft is up to date"
    words_file = project.root / "schemas" / "lexicon" / "wording.yaml"
    words_file.write_text(words_file.read_text() + "# more\n", encoding="utf-8")
    repeated = project.run("sft.py", *words)
    assert "have changed since the rows were made, so the same rows are gone through again" in repeated.stdout
    assert "sft: 54 rows in " in repeated.stdout
