"""Stage 5: which rows it takes, what it writes, and that the GGUF is all it needs of the training."""

import json
import shutil
import subprocess
import sys

import eval as evaluation
import pytest
import scores
from conftest import ROOT
from tiny import NOTES, command, question

LIST = {"type": "command", "command": "list", "subcommand": None, "args": {}, "flags": [], "confidence": 0.95}
ASK = {"type": "clarification", "message": "Which one?", "suggestions": [], "confidence": 0.4}
GIVEN_UP = '{"type": "clarification", "message": "What would you like to do?", "suggestions": [], "confidence": 0.0}'
SHOULD = '\'expected\' should be an answer such as {"type": "command", "command": ..., "subcommand": ..., "args": {}, "flags": []}'


@pytest.fixture
def read(tmp_path):
    """read_cases() of a file with this text."""

    def make(text):
        path = tmp_path / "rows.jsonl"
        path.write_text(text, encoding="utf-8")
        return evaluation.read_cases(path)

    return make


@pytest.fixture
def refused(read, tmp_path, capsys, monkeypatch):
    """The one line with which read_cases() ends the program, without the file's name."""

    def make(text):
        monkeypatch.setattr("sys.argv", ["eval.py"])
        with pytest.raises(SystemExit) as stop:
            read(text)
        out, err = capsys.readouterr()
        assert (stop.value.code, out, err.count("\n")) == (1, "", 1)
        start = f"eval.py: {tmp_path / 'rows.jsonl'}"
        assert err.startswith(start)
        return err.removeprefix(start).removesuffix("\n")

    return make


def jsonl(*rows):
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


GOOD = jsonl({"instruction": "show all", "expected": LIST})


# ------------------------------------------------------------------------------------------------------------ rows
def test_every_spelling_of_a_row_is_read(read):
    rows = [
        {"instruction": "a", "context": None, "expected": LIST},
        {"instruction": "b", "context": {"notes": {"current_note": 1}}, "expected": json.dumps(ASK)},
        {"instruction": "c", "output": json.dumps(LIST)},
        {"instruction": ""},
        {"instruction": "e", "expected": {"type": "clarification"}, "also": [LIST, ASK]},
        {"instruction": "f", "expected": {"type": "command", "command": "list", "subcommand": None}, "more": 1},
    ]
    cases = read(jsonl(*rows))
    bare = {**rows[5]["expected"], "args": {}, "flags": []}
    assert [c.get("expected") for c in cases] == [LIST, ASK, LIST, None, rows[4]["expected"], bare]
    assert ["expected" in c for c in cases] == [True, True, True, False, True, True]
    assert [c["instruction"] for c in cases] == ["a", "b", "c", "", "e", "f"]
    assert cases[2]["output"] == json.dumps(LIST)


def test_the_last_line_may_lack_its_newline_and_lines_may_be_blank(read):
    assert len(read(GOOD + "\n  \n" + GOOD.strip())) == 2


@pytest.mark.parametrize("text", ["", "\n\n", "  \n"])
def test_an_empty_file(refused, text):
    assert refused(text) == " has no rows"


@pytest.mark.parametrize("broken", ["{", "nonsense", "[]", "null", '"text"', "5", '{"instruction": "a"}}', "\x00\x01"])
def test_a_corrupt_line_is_named_by_its_number(refused, broken):
    assert refused(GOOD + GOOD + broken + "\n" + GOOD) == ":3: not a JSON object; mend or delete that line"
    assert refused(GOOD + "\n\n" + broken) == ":4: not a JSON object; mend or delete that line"


@pytest.mark.parametrize("row", [{}, {"instruction": None}, {"instruction": 5}, {"instruction": ["a"]}, {"text": "a"}])
def test_a_row_without_a_request(refused, row):
    assert refused(GOOD + jsonl(row)) == ":2: 'instruction' is missing or no text"


@pytest.mark.parametrize("context", ["", "main", 5, [], [{}], True, False, 0])
def test_a_context_of_another_shape(refused, context):
    row = {"instruction": "a", "context": context}
    assert refused(GOOD + jsonl(row)) == ":2: 'context' is neither an object nor null"


@pytest.mark.parametrize(
    "expected",
    [
        None,
        5,
        "",
        "list",
        "{",
        "[]",
        [],
        {},
        [LIST],
        {"type": "answer"},
        {"type": "command"},
        {"type": "command", "command": "list"},
        {"type": "command", "subcommand": None},
        {k: v for k, v in LIST.items() if k != "type"},
    ],
)
def test_an_expected_answer_of_another_shape(refused, expected):
    assert refused(GOOD + jsonl({"instruction": "a", "expected": expected})) == f":2: {SHOULD}"
    assert (
        refused(GOOD + jsonl({"instruction": "a", "expected": LIST, "also": [ASK, expected]}))
        == f":2: {SHOULD.replace('expected', 'also')}"
    )


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"args": ["12"]}, "needs args as an object and flags as a list of names"),
        ({"flags": "all"}, "needs args as an object and flags as a list of names"),
        ({"flags": [5]}, "needs args as an object and flags as a list of names"),
        ({"command": 5}, "needs the names of a command and a subcommand (null where there is none)"),
        ({"subcommand": ["x"]}, "needs the names of a command and a subcommand (null where there is none)"),
    ],
)
def test_a_part_of_an_expected_answer_of_another_shape(refused, change, fault):
    row = {"instruction": "a", "expected": {**LIST, **change}}
    assert refused(GOOD + jsonl(row)) == f":2: 'expected' {fault}"


def test_suggestions_that_are_no_commands(refused):
    row = {"instruction": "a", "expected": LIST, "also": [{**ASK, "suggestions": ["list"]}]}
    assert refused(GOOD + jsonl(row)) == ":2: 'also' has suggestions that are no objects with command and subcommand"


def test_null_is_nothing(read):
    (case,) = read(jsonl({"instruction": "a", "expected": {**LIST, "args": None, "flags": None}}))
    assert case["expected"] == LIST


def test_a_byte_order_mark_and_windows_lines_are_read(read, tmp_path):
    assert len(read("\ufeff" + GOOD.replace("\n", "\r\n") * 2)) == 2


def test_rows_that_are_not_utf8(tmp_path, monkeypatch, capsys):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(GOOD.encode() + '{"instruction": "caf\u00e9"}\n'.encode("latin-1"))
    monkeypatch.setattr(sys, "argv", ["eval.py"])
    with pytest.raises(SystemExit):
        evaluation.read_cases(path)
    assert capsys.readouterr().err == f"eval.py: {path}:2: not UTF-8; save the file as UTF-8\n"


def test_answers_that_could_not_be_written_are_refused_before_they_are_computed(project, tmp_path):
    model = project.models() / "clitron-notes-q4_k_m.gguf"
    model.parent.mkdir(parents=True)
    model.write_text("not a model")
    rows = tmp_path / "rows.jsonl"
    rows.write_text(GOOD)
    words = ["name=notes", f"test={rows}"]
    assert project.fails("eval.py", *words, f"out={rows}") == (
        f"eval.py: out={rows} is the file with the rows, which would be lost; name another file"
    )
    assert rows.read_text() == GOOD
    folder = tmp_path / "answers"
    folder.mkdir()
    assert project.fails("eval.py", *words, f"out={folder}") == (
        f"eval.py: out={folder} is a folder; name a file in it, such as out={folder / 'answers.jsonl'}"
    )


@pytest.mark.parametrize("output", ["", "list", "[]", None, 5, {"type": "command"}])
def test_an_output_that_is_no_answer(refused, output):
    assert refused(jsonl({"instruction": "a", "output": output})) == f":1: {SHOULD}"


@pytest.mark.parametrize("also", [None, 5, True])
def test_other_accepted_answers_that_are_no_list(refused, also):
    row = {"instruction": "a", "expected": LIST, "also": also}
    assert refused(GOOD + jsonl(row)) == ":2: 'also' should be a list of answers"


def test_the_number_is_the_line_in_the_file_even_after_blank_lines(refused):
    assert refused(GOOD + "\n\n" + jsonl({"instruction": 5})) == ":4: 'instruction' is missing or no text"


# ----------------------------------------------------------------------------------------------------------- twins
def test_twins_are_right_together_and_only_what_is_open_is_asked():
    def case(words, number, **context):
        return {"instruction": words, "context": context, "expected": json.loads(command("read", number=number))}

    class Asked(list):
        schema = NOTES

        def complete(self, text, context):
            self.append((text, context))
            return command("read", number=7) if text == "open this" else question("pronoun", "read")

    here = {"current_note": 7}
    cases = [case(words, 7, notes=here) for words in ("read this", "open this", "show this")]
    plain = {"instruction": "all", "context": {"notes": here}, "expected": LIST}
    asked = Asked()
    found = evaluation.twins(asked, [(c, {"exact": c is not cases[2]}) for c in [*cases, plain]])
    assert asked == [("read this", None), ("open this", None)]
    assert (found["hits"], found["n"]) == (1, 3)


# -------------------------------------------------------------------------------------------------------- mistakes
def test_the_model_is_missing(project):
    want = "eval.py: no training/models/notes/clitron-notes-{}.gguf; run: just train-quantize name=notes{}"
    assert project.fails("eval.py", "name=notes") == want.format("q4_k_m", "")
    assert project.fails("eval.py", "name=notes", "quant=q8_0") == want.format("q8_0", " quant=q8_0")


def test_the_rows_are_missing(project, tmp_path):
    model = project.models() / "clitron-notes-q4_k_m.gguf"
    model.parent.mkdir(parents=True)
    model.write_text("not a model")
    want = "eval.py: no training/data/notes/train_val.jsonl; run: just train-generate name=notes"
    assert project.fails("eval.py", "name=notes") == want
    gone = tmp_path / "gone.jsonl"
    assert project.fails("eval.py", "name=notes", f"test={gone}") == f"eval.py: test={gone}: no such file"
    assert project.fails("eval.py", "name=notes", f"test={tmp_path}") == f"eval.py: test={tmp_path}: no such file"


def test_a_model_that_was_cut_off(project, trained, tmp_path):
    whole = (trained.models() / "clitron-notes-f16.gguf").read_bytes()
    model = project.models() / "clitron-notes-f16.gguf"
    model.parent.mkdir(parents=True)
    model.write_bytes(whole[: len(whole) // 2])
    rows = tmp_path / "rows.jsonl"
    rows.write_text(GOOD)
    want = (
        "eval.py: training/models/notes/clitron-notes-f16.gguf cannot be loaded by llama.cpp: it is no GGUF file, or a part of one, "
        "or memory is short; make it again with train-quantize"
    )
    assert project.fails("eval.py", "name=notes", "quant=f16", f"test={rows}") == want
    assert not (project.models() / "evaluation-rows.json").exists()


# ------------------------------------------------------------------------------------------------------- evaluation
def test_the_gguf_is_all_that_an_evaluation_needs(project, trained, tmp_path):
    """Neither schema, phrasebook nor data of the CLI: three rows, one without an answer, one with several."""
    shutil.rmtree(project.root / "schemas" / "phrases")
    (project.root / "schemas" / "notes.yaml").unlink()
    project.models().mkdir(parents=True)
    shutil.copy(trained.models() / "clitron-notes-f16.gguf", project.models())
    rows = [
        {"instruction": "show my notes", "context": None, "output": json.dumps(LIST)},
        {"instruction": "what else is there"},
        {"instruction": "hm", "context": {"notes": {"current_note": 4}}, "expected": LIST, "also": [ASK]},
    ]
    test, out = tmp_path / "my rows.jsonl", tmp_path / "deep" / "answers.jsonl"
    test.write_text(jsonl(*rows))

    done = evaluate(project, "name=notes", "quant=f16", f"test={test}", f"out={out}")

    assert (done.returncode, done.stderr) == (0, "")
    assert out.read_text() == jsonl({"output": GIVEN_UP}) * 3
    report = json.loads((project.models() / "evaluation-my rows.f16.json").read_text())
    check_report(report, rows)
    check_terminal(done.stdout.splitlines(), report, test, out)
    files = ["README.md", "clitron-notes-f16.gguf", "evaluation-my rows.f16.json", "report.html"]
    assert sorted(p.name for p in project.models().iterdir()) == files
    assert "50 % of 2 requests are answered exactly right" in (project.models() / "report.html").read_text()
    assert not project.data().exists()


def test_a_model_of_other_rows_is_not_scored_on_these(project, trained):
    shutil.copytree(trained.models(), project.models())
    shutil.copytree(trained.data(), project.data())
    with open(project.data() / "train.jsonl", "a") as f:
        f.write(GOOD)
    assert project.fails("eval.py", "name=notes", "quant=f16") == (
        "eval.py: training/models/notes/clitron-notes-f16.gguf has learned from other rows than training/data/notes holds now, "
        "perhaps from these; run: just train name=notes (or give test=)"
    )


def evaluate(project, *words):
    """The stage as a process of its own in which every answer is given up: a random model would take its time."""
    code = f"import sys; sys.path.insert(0, {str(ROOT / 'scripts')!r}); import decoder; decoder.MOST_TOKENS = 4; "
    code += "import eval; eval.main(sys.argv[1:])"
    command = [sys.executable, "-c", code, *words]
    return subprocess.run(command, env=project.env, capture_output=True, text=True, timeout=600)


def check_report(report, rows):
    """The first row is answered wrongly, the second has no answer, of the third the other answer is given."""
    shares = {name: (s["hits"], s["n"]) for name, s in report["scores"].items()}
    assert shares == {
        "exact_match": (1, 2),
        "exact_match_ignoring_stated_defaults": (1, 2),
        "type_accuracy": (1, 2),
        "command_subcommand_accuracy": (0, 1),
        "args_accuracy": (0, 1),
        "flags_accuracy": (0, 1),
        "exact_match_commands": (0, 1),
        "clarification_precision": (1, 2),
        "clarification_recall": (1, 1),
        "json_valid": (2, 2),
        "schema_valid": (2, 2),
        "right_at_threshold": (0, 0),
    }
    first = rows[0]
    wrong = {"instruction": first["instruction"], "context": None, "expected": LIST, "answer": json.loads(GIVEN_UP)}
    assert report["mistakes"] == [wrong]
    assert report["model"] == "training/models/notes/clitron-notes-f16.gguf"
    assert report["rows"] == "my rows.jsonl"
    assert report["n"] == 2
    assert report["latency_seconds"]["n"] == 3
    assert 0 < report["latency_seconds"]["p50"] <= report["latency_seconds"]["p99"]
    assert report["perplexity"] > 1000  # the model is random


def check_terminal(lines, report, test, out):
    """The test file lies in the project's folder, so it goes by its name."""
    shares = scores.lines(report["scores"])
    assert lines[0] == f"eval: name notes, quant f16, rows 3 of {test.name}"
    assert lines[1] == f"eval: 3 answers in {out}"
    assert lines[2 : 2 + len(shares)] == shares
    assert [line.strip().split("  ")[0] for line in shares][:2] == [
        "exact match",
        "exact match ignoring stated defaults",
    ]
    few, perplexity, latency, verdict, more, last = lines[-6:]
    assert few == "  2 rows are few: read the intervals in brackets (95 %), not the shares alone"
    assert perplexity == f"  perplexity of the expected answers        {report['perplexity']:.3f}"
    assert latency == "  latency p50 {p50:.2f} s, p99 {p99:.2f} s".format(**report["latency_seconds"])
    assert verdict.startswith("  50 % of 2 requests are answered exactly right (95 %: 9 to 91): not ready: ")
    assert more == "  more: training/models/notes/report.html"
    assert last == 'eval: training/models/notes/evaluation-my rows.f16.json; next: just train-ask name=notes "..."'


def test_rows_without_expected_answers_are_only_answered(read):
    cases = read(jsonl({"instruction": "a"}, {"instruction": "b", "context": {}}))
    assert evaluation.perplexity(None, cases) is None
