# From a YAML description of a command-line tool to a small model that understands people who talk to it.
# Settings come after the recipe, in any order: just train name=gh num=500 quant=q8_0

set minimum-version := "1.40.0"
set positional-arguments
set no-exit-message
set quiet
set dotenv-load

system_python := if os() == "windows" { "python" } else { "python3" }
python := if os() == "windows" { ".venv/Scripts/python" } else { ".venv/bin/python" }

# this list
_default:
    {{ just_executable() }} --list --unsorted

# make or refresh .venv when it is missing or stale
_env:
    {{ system_python }} scripts/env.py

# the whole pipeline: data, SFT, preferences, DPO, GGUF, evaluation
[group('pipeline')]
train *settings: _env
    {{ python }} scripts/plan.py "$@"
    {{ just_executable() }} train-generate "$@"
    {{ just_executable() }} train-sft "$@"
    {{ just_executable() }} train-generate-preferences "$@"
    {{ just_executable() }} train-dpo "$@"
    {{ just_executable() }} train-quantize "$@"
    {{ just_executable() }} train-eval "$@"

# stage 1: labelled rows from the teacher (skipped when they exist)
[group('pipeline')]
train-generate *settings: _env
    {{ python }} scripts/generate.py "$@"

# stage 1, from scratch: throws away progress and replaces existing data
[group('pipeline')]
train-generate-force *settings: _env
    {{ python }} scripts/generate.py --force "$@"

# a phrasebook by Claude for a CLI that has none: the cheap road to good data
[group('pipeline')]
train-phrases *settings: _env
    {{ python }} scripts/phrases.py "$@"

# stage 2: supervised fine-tuning of the base model
[group('pipeline')]
train-sft *settings: _env
    {{ python }} scripts/sft.py "$@"

# stage 3a: pairs of a right answer and a wrong one of the SFT model
[group('pipeline')]
train-generate-preferences *settings: _env
    {{ python }} scripts/gen_prefs.py "$@"

# stage 3b: direct preference optimization, kept only if it wins
[group('pipeline')]
train-dpo *settings: _env
    {{ python }} scripts/dpo.py "$@"

# stage 4: merge, convert to GGUF, quantize (quant=q4_k_m)
[group('pipeline')]
train-quantize *settings: _env
    {{ python }} scripts/quantize.py "$@"

# stage 5: score the GGUF on held-out rows, or on any file (test=FILE out=FILE)
[group('pipeline')]
train-eval *settings: _env
    {{ python }} scripts/eval.py "$@"

# table of the schemas, their data and models
[group('inspect')]
train-list-schemas *settings: _env
    {{ python }} scripts/list_schemas.py "$@"

# every fault of a schema and its phrasebook, with line numbers
[group('inspect')]
train-check *settings: _env
    {{ python }} scripts/check.py "$@"

# what `just train` would do, how long and for how much; runs nothing
[group('inspect')]
train-plan *settings: _env
    {{ python }} scripts/plan.py "$@"

# ask a trained model: just train-ask name=gh "merge this" context='{"git": {"current_pr": 12}}'
[group('inspect')]
train-ask *settings: _env
    {{ python }} scripts/ask.py "$@"

# install everything into .venv
[group('develop')]
setup: _env

# fast tests: no network, no key, no GPU
[group('develop')]
test *arguments: _env
    {{ python }} -m pytest -q -n auto --dist loadfile -m "not slow" "$@"

# slow tests: they train for real on small work
[group('develop')]
test-slow *arguments: _env
    {{ python }} -m pytest -q -m slow "$@"

# style of Python files and of this file
[group('develop')]
lint: _env
    {{ python }} -m ruff check .
    {{ python }} -m ruff format --check .
    {{ just_executable() }} --fmt --check

# mend what lint can mend
[group('develop')]
fix: _env
    {{ python }} -m ruff check --fix .
    {{ python }} -m ruff format .
    {{ just_executable() }} --fmt

# what continuous integration runs
[group('develop')]
ci: lint test test-slow

# throw away generated data, models and caches (asks first)
[confirm("Delete training/data, training/models, training/base and caches?")]
[group('develop')]
clean:
    rm -rf training/data training/models training/base .pytest_cache .ruff_cache .hypothesis
    find scripts tests -name __pycache__ -type d -prune -exec rm -rf {} +
