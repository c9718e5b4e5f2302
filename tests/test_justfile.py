"""The recipes: their list, that settings and errors pass through them unchanged, and that the README speaks of real ones."""

import json
import re
import shlex
import shutil
import subprocess

import pytest
from conftest import ROOT
from settings import DEFAULTS, config_keys

JUST = shutil.which("just")
RECIPES = set(
    "train train-generate train-generate-force train-sft train-generate-preferences train-dpo train-quantize train-eval "
    "train-list-schemas train-phrases train-plan train-check train-ask setup test test-slow lint fix ci clean".split()
)
needs_just = pytest.mark.skipif(JUST is None, reason="just is not installed")
needs_venv = pytest.mark.skipif(not (ROOT / ".venv" / "stamp").exists(), reason="no .venv; run: just setup")


def just(*words, env=None):
    return subprocess.run([JUST, *words], cwd=ROOT, env=env, capture_output=True, text=True, timeout=300)


def recipe(project, *words):
    """(exit status, stdout, stderr) of a recipe that works on a project of its own."""
    done = just(*words, env=project.env)
    return done.returncode, done.stdout, done.stderr


# ------------------------------------------------------------------------------------------------------------- recipes
@needs_just
def test_the_list_names_exactly_these_recipes_each_with_a_line_of_help():
    done = just("--list", "--color", "never")
    assert (done.returncode, done.stderr) == (0, "")
    first, *lines = [line for line in done.stdout.splitlines() if line.strip() and not line.strip().startswith("[")]
    assert first == "Available recipes:"
    helped = {line.split()[0]: line.partition(" # ")[2].strip() for line in lines}
    assert (set(helped), len(lines)) == (RECIPES, len(RECIPES))
    assert [name for name, text in helped.items() if len(text) < 15] == []


@needs_just
def test_just_alone_prints_the_list():
    assert just().stdout == just("--list", "--unsorted").stdout != ""


@needs_just
def test_the_justfile_is_formatted():
    done = just("--fmt", "--check")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@needs_just
def test_only_what_cannot_be_undone_asks_first():
    recipes = json.loads(just("--dump", "--dump-format", "json").stdout)["recipes"]
    asking = {name for name, r in recipes.items() if any("confirm" in a for a in r["attributes"])}
    assert asking == {"clean"}
    assert {name for name, r in recipes.items() if not r["private"]} == RECIPES


# ------------------------------------------------------------------------------------------------------ settings pass
@needs_just
@needs_venv
def test_settings_in_any_order_reach_the_script(project):
    status, out, err = recipe(project, "train-generate", "seed=3", "num=50", "name=notes")
    assert status == 0, err
    stage = json.loads((project.data() / "stage.json").read_text())
    assert stage["fingerprint"]["settings"] == {"num": 50, "seed": 3}
    rows = [(project.data() / file).read_bytes() for file in ("train.jsonl", "train_val.jsonl")]
    assert (rows[0].count(b"\n"), rows[1].count(b"\n")) == (45, 5)
    shutil.rmtree(project.data())
    assert recipe(project, "train-generate", "name=notes", "seed=3", "num=50")[0] == 0
    assert [(project.data() / file).read_bytes() for file in ("train.jsonl", "train_val.jsonl")] == rows


@needs_just
@needs_venv
def test_the_plan_tells_back_the_settings_it_was_given(project):
    words = ["quant=q8_0", "seed=7", "sft.training.num_train_epochs=5", "num=60", "base=bundled", "name=notes"]
    status, out, err = recipe(project, "train-plan", *words)
    assert (status, err) == (0, "")
    first, *stages, last = out.splitlines()
    assert (
        first
        == "plan: notes, 9 subcommands, teacher phrasebook (frames composed from the schema; ANTHROPIC_API_KEY is not set), seed 7"
    )
    assert [line.split()[0] for line in stages] == ["generate", "sft", "gen_prefs", "dpo", "quantize", "eval"]
    assert [line.split()[1] for line in stages] == ["run"] * 6
    assert stages[0].endswith("   60 rows")
    assert re.fullmatch(r".* base SmolLM2-135M-Instruct \(asked for\), (cpu|mps|cuda), 5 epochs", stages[1])
    assert stages[4].endswith("   training/models/notes/clitron-notes-q8_0.gguf")
    assert stages[5].endswith("   6 validation rows")
    assert last.endswith(f", $0.00; nothing was run; to run it: just train {' '.join(words)}")
    assert not (project.root / "training" / "data").exists()


def test_the_plan_knows_rows_that_somebody_wrote_and_those_of_test(project, tmp_path):
    answer = {"type": "command", "command": "list", "subcommand": None, "args": {}, "flags": [], "confidence": 0.95}
    row = {"context": None, "output": json.dumps(answer)}
    project.data().mkdir(parents=True)
    for file, n in (("train.jsonl", 5), ("train_val.jsonl", 2)):
        rows = [{**row, "instruction": f"show all, {file} {i}"} for i in range(n)]
        (project.data() / file).write_text("".join(json.dumps(r) + "\n" for r in rows))
    done = project.run("plan.py", "name=notes", "base=bundled")
    assert (done.returncode, done.stderr) == (0, "")
    first, *stages, _ = done.stdout.splitlines()
    assert first == "plan: notes, 9 subcommands, teacher somebody by hand, seed 0"
    assert stages[0].split("   ")[-1].strip() == "7 rows"
    assert stages[5].endswith("   2 validation rows")
    gone = tmp_path / "gone.jsonl"
    assert project.fails("plan.py", "name=notes", f"test={gone}") == f"plan.py: test={gone}: no such file"
    assert not (project.root / "training" / "models").exists()


@needs_just
@needs_venv
def test_a_setting_with_spaces_and_quotes_stays_one_word(project):
    name = 'two  words\' "$HOME" *'
    line = f"check.py: name={name} is not a name; use small letters, digits, '-' and '_' (schemas: gh notes)\n"
    assert recipe(project, "train-check", f"name={name}") == (1, "", line)


@needs_just
@needs_venv
@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["train-check", "name=note"], "check.py: no schemas/note.yaml; did you mean name=notes?"),
        (["train-check"], "check.py: name= is missing; say name=gh (schemas: gh notes)"),
        (["train-generate", "num=6", "name=gh"], "generate.py: num=6 is out of range; at least 50, at most 1000000"),
        (["train", "name=notes", "nmu=60"], "plan.py: unknown setting 'nmu='; did you mean num=?"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_the_error_of_a_recipe_is_the_one_line_of_its_script(project, words, line):
    assert recipe(project, *words) == (1, "", line + "\n")
    assert not (project.root / "training" / "data").exists()


@needs_just
@needs_venv
def test_the_shipped_schemas_pass_the_check(project):
    for name in ("gh", "notes"):
        status, out, err = recipe(project, "train-check", f"name={name}")
        *warned, last = out.splitlines()
        assert (status, err) == (0, "")
        assert [line for line in warned if not line.startswith(f"warning: schemas/{name}.yaml:")] == []
        assert last.startswith(f"schemas/{name}.yaml: {name} has ")
        assert last.endswith(f"; {len(warned)} warnings, no faults")


# -------------------------------------------------------------------------------------------------------------- README
def code_of(text):
    """The lines of all ```-blocks and all inline code of a Markdown text."""
    blocks = re.findall(r"^```[^\n]*\n(.*?)^```", text, flags=re.M | re.S)
    rest = re.sub(r"^```[^\n]*\n.*?^```", "", text, flags=re.M | re.S)
    return [line for block in blocks for line in block.splitlines()] + re.findall(r"`([^`\n]+)`", rest)


def calls_of(code):
    """(recipe, words) of every call of just in a line of code; remarks and what follows && ; | are left out."""
    for part in re.split(r"(?<![\w./-])just(?![\w-])", code)[1:]:
        part = re.split(r"&&|;| \| |\s#", part)[0].strip().rstrip(",")
        try:
            words = shlex.split(part)
        except ValueError:
            words = part.split()
        if words and not words[0].isupper():  # `just RECIPE key=value` stands for any
            yield words[0].rstrip(","), words[1:]


def test_calls_are_found_in_code():
    text = (
        "a `just train name=x num=5` b\n```bash\npip install just-x && just test  # all\njust RECIPE a=b\n```\n`just`\n"
    )
    calls = [call for code in code_of(text) for call in calls_of(code)]
    assert calls == [("test", []), ("train", ["name=x", "num=5"])]
    assert list(calls_of("x/  just test, just test-slow")) == [("test", []), ("test-slow", [])]
    assert list(calls_of('just train-ask "a; b"')) == [("train-ask", ['"a'])]


def documents():
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "schemas" / "phrases" / "README.md"]


@pytest.mark.parametrize("path", documents(), ids=lambda p: str(p.relative_to(ROOT)))
def test_every_call_in_a_document_names_a_real_recipe_and_known_settings(path):
    calls = [call for code in code_of(path.read_text(encoding="utf-8")) for call in calls_of(code)]
    assert calls
    assert [name for name, _ in calls if name not in RECIPES] == []
    keys = [word.partition("=")[0] for _, words in calls for word in words if re.match(r"[\w.]+=", word)]
    assert [key for key in keys if key not in {*DEFAULTS, *config_keys()}] == []


def test_the_readme_shows_the_way_from_nothing_to_an_answer():
    calls = [call for code in code_of((ROOT / "README.md").read_text(encoding="utf-8")) for call in calls_of(code)]
    assert {"train", "train-ask", "train-check", "train-plan", "test"} <= {name for name, _ in calls}
    assert any(name == "train" and "name=gh" in words for name, words in calls)


def test_every_stage_setting_in_the_readme_is_a_key_of_the_configuration():
    code = " ".join(code_of((ROOT / "README.md").read_text(encoding="utf-8")))
    keys = re.findall(r"\b((?:sft|dpo)\.[a-z_]+\.[a-z_]+)=", code)
    assert keys
    assert [key for key in keys if key not in config_keys()] == []


def test_the_table_of_settings_in_the_readme_is_whole():
    table = re.findall(
        r"^\| ((?:`\w+`(?:, )?)+) \|.*\|.*\|$", (ROOT / "README.md").read_text(encoding="utf-8"), flags=re.M
    )
    assert {key for cell in table for key in re.findall(r"\w+", cell)} == set(DEFAULTS)
