"""Quantization: the list of types, which model goes on, and a GGUF that is whole, carries its contract and is replaced at once."""

import ast
import json
import re
import shutil
import signal
import time
from pathlib import Path

import base_model
import calibration
import gguf
import parity
import prompt
import pytest
import quantize
import rerank
import schema as cli_schema
import utils
from conftest import Project
from decoder import load
from grammar import gbnf, json_schema
from interpreter import contract
from settings import QUANTS, parse_settings
from utils import read_json, write_json

F16 = "clitron-notes-f16.gguf"


@pytest.fixture
def copied(trained, tmp_path):
    """A Project of its own with the models of the trained one."""
    project = Project(tmp_path)
    shutil.copytree(trained.models(), project.models())
    return project


def tensor_types(path):
    """{tensor name: type name} of a GGUF."""
    return {t.name: t.tensor_type.name for t in gguf.GGUFReader(path).tensors}


# ----------------------------------------------------------------------------------------------------- the types
def test_types_are_those_of_llama_cpp():
    import llama_cpp

    names = {n.removeprefix("LLAMA_FTYPE_") for n in dir(llama_cpp) if n.startswith("LLAMA_FTYPE_")}
    named = {n.removeprefix("MOSTLY_").removeprefix("ALL_").lower() for n in names - {"GUESSED"}}
    assert len(QUANTS) == len(set(QUANTS)) == 36
    assert set(QUANTS) == named


def test_unknown_type_is_one_line_with_the_list(project):
    every = " ".join(QUANTS)
    assert project.fails("quantize.py", "name=notes", "quant=zebra") == (
        f"quantize.py: quant=zebra is not known; one of: {every}"
    )


def test_type_is_read_in_any_case():
    assert parse_settings(["name=notes", "quant=Q8_0"])["quant"] == "q8_0"


def test_type_that_llama_cpp_refuses_is_one_line(trained, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        quantize.quantize(trained.models() / F16, tmp_path / "out.gguf", "q1_0")
    assert stop.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.partition(": ")[2] == (
        "llama.cpp cannot make quant=q1_0 of this model (some types need an importance matrix or wider rows); "
        "try q4_k_m or q8_0"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("quant", "kind"), [("f32", "F32"), ("q4_0", "Q4_0")])
def test_matrices_get_the_type(trained, tmp_path, quant, kind):
    quantize.quantize(trained.models() / F16, tmp_path / "out.gguf", quant)
    types = tensor_types(tmp_path / "out.gguf")
    assert {types[f"blk.{n}.attn_{m}.weight"] for n in (0, 1) for m in ("q", "k", "v", "output")} == {kind}
    assert {types[f"blk.{n}.attn_norm.weight"] for n in (0, 1)} == {"F32"}


# ---------------------------------------------------------------------------------------------- which model goes on
def stages(root, dpo=None):
    """The stage files of an SFT model, and of a DPO model with these facts; returns the models folder."""
    models = root / "training" / "models" / "notes"
    write_json(models / "sft" / "stage.json", {"base": "tiny"})
    if dpo is not None:
        facts = {"fingerprint": {"inputs": {"training/models/notes/sft": utils.digest(models / "sft")}}, **dpo}
        write_json(models / "dpo" / "stage.json", facts)
    return models


@pytest.mark.parametrize(
    ("dpo", "goes_on"),
    [
        (None, "sft"),
        ({"kept": True}, "dpo"),
        ({"kept": False}, "sft"),
        ({"kept": False, "skipped": 3}, "sft"),
        ({}, "sft"),
    ],
)
def test_dpo_goes_on_only_when_it_was_kept(tmp_path, monkeypatch, dpo, goes_on):
    monkeypatch.setattr(utils, "ROOT", tmp_path)
    models = stages(tmp_path, dpo)
    assert quantize.chosen("notes") == models / goes_on


def test_dpo_of_an_older_sft_model_does_not_go_on(tmp_path, monkeypatch):
    monkeypatch.setattr(utils, "ROOT", tmp_path)
    models = stages(tmp_path, {"kept": True})
    write_json(models / "sft" / "stage.json", {"base": "another"})
    assert quantize.chosen("notes") == models / "sft"


def test_broken_record_of_dpo_does_not_go_on(tmp_path, monkeypatch):
    monkeypatch.setattr(utils, "ROOT", tmp_path)
    models = stages(tmp_path, {"kept": True})
    (models / "dpo" / "stage.json").write_text('{"kept": tr', encoding="utf-8")
    assert quantize.chosen("notes") == models / "sft"


def test_code_that_a_confidence_is_fitted_to_is_all_in_the_fingerprint():
    folder = Path(quantize.__file__).parent
    for part in ("calibration", "mending", "rerank", "words"):
        nodes = ast.walk(ast.parse((folder / f"{part}.py").read_text(encoding="utf-8")))
        used = {
            n.module if isinstance(n, ast.ImportFrom) else a.name
            for n in nodes
            if isinstance(n, ast.Import | ast.ImportFrom)
            for a in n.names
        }
        assert {m for m in used if (folder / f"{m}.py").exists()} <= set(quantize.JUDGING)


def test_without_an_sft_model(project):
    assert project.fails("quantize.py", "name=notes") == (
        "quantize.py: no training/models/notes/sft/stage.json; run: just train-sft name=notes"
    )


# ------------------------------------------------------------------------------------------------------ the file
def test_contract_of_the_file(trained, tiny_base):
    found = contract(load(trained.models() / F16, 512)[1], F16)
    schema = cli_schema.load("notes")
    curves, headline = json.loads(found.pop("calibration")), json.loads(found.pop("scores"))
    assert re.fullmatch(rf"{re.escape(utils.VERSION)}\+[0-9a-f]{{16}}", found["code"])
    gate = read_json(trained.models() / "clitron-notes-f16.json")["parity"]
    share = {k: headline["exact_match"][k] for k in ("hits", "n")}
    assert (headline["rows"], share) == ("validation", {"hits": gate["right"], "n": gate["rows"]})
    assert found == {
        "format": utils.FORMAT,
        "name": "notes",
        "schema": utils.load_yaml(trained.root / "schemas" / "notes.yaml"),
        "prompt": read_json(trained.models() / "sft" / "prompt.json"),
        "system": prompt.system_message(schema),
        "context": prompt.RENDERING,
        "grammar": gbnf(schema),
        "json_schema": json.dumps(json_schema(schema)),
        "rerank": json.dumps(rerank.WEIGHTS),
        "evidence": json.dumps(calibration.EVIDENCE),
        "base": str(tiny_base),
        "stage": "sft",
        "model": utils.digest(trained.models() / "sft"),
        "code": quantize.code_version(),
        "data": utils.digest(trained.data() / "train.jsonl"),
        "drawn": "none",  # one epoch
    }
    assert curves.keys() == calibration.PEOPLE.keys()
    for kind, curve in curves.items():
        for part, spread in calibration.NEAR.items():
            assert abs(curve[part] - calibration.PEOPLE[kind][part]) < 6 * spread


def test_the_gate_says_what_it_found(trained):
    gate = read_json(trained.models() / "clitron-notes-f16.json")["parity"]
    assert gate["rows"] == sum(not parity.kept_apart(r) for r in utils.read_jsonl(trained.data() / "train_val.jsonl"))
    assert gate["greedy_equal"] >= gate["greedy_rows"] - 1  # rounding may turn one
    assert re.search(
        rf"^quantize: prompt ids equal on {gate['rows']} rows; {gate['greedy_equal']} of ", trained.log, re.M
    )


def test_what_quantization_changes_is_counted_in_pairs(trained, project):
    from interpreter import Interpreter

    shutil.copytree(trained.data(), project.data())
    shutil.copytree(trained.models() / "sft", project.models() / "sft")
    done = project.run("quantize.py", *(w.replace("quant=f16", "quant=q8_0") for w in trained.words))
    assert done.returncode == 0, done.stdout + done.stderr
    gate = read_json(project.models() / "clitron-notes-q8_0.json")["parity"]
    half = read_json(trained.models() / "clitron-notes-f16.json")["parity"]
    assert (gate["greedy_equal"], gate["greedy_rows"]) == (half["greedy_equal"], half["greedy_rows"])
    some = parity.rows_for(utils.read_jsonl(trained.data() / "train_val.jsonl"), 0)[: parity.GREEDY]
    files = trained.models() / F16, project.models() / "clitron-notes-q8_0.gguf"
    plain, small = (parity.written(Interpreter(path), some) for path in files)
    assert gate["quant_equal"] == sum(a == b for a, b in zip(plain, small, strict=True))
    assert gate["paired_rows"] == min(gate["rows"], parity.PAIRED)
    assert gate["difference"] == pytest.approx((gate["exact"] - gate["f16_exact"]) / gate["paired_rows"])
    assert gate["ci95"][0] <= gate["difference"] <= gate["ci95"][1]
    assert (
        f"q8_0 against float16: {gate['quant_equal']} of {gate['greedy_rows']} greedy answers the same; " in done.stdout
    )


def test_a_prompt_that_is_read_otherwise_fails_the_stage(trained, tiny_base, monkeypatch, capsys):
    from interpreter import Interpreter

    interpreter = Interpreter(trained.models() / F16)
    rows = utils.read_jsonl(trained.data() / "train_val.jsonl")[:3]
    parity.same_ids(tiny_base, interpreter, rows)
    monkeypatch.setattr(
        interpreter, "tokenize", lambda text, special: [5, *Interpreter.tokenize(interpreter, text, special)]
    )
    with pytest.raises(SystemExit):
        parity.same_ids(tiny_base, interpreter, rows)
    assert "as other tokens than the model was trained on, from token 0" in capsys.readouterr().err


def test_a_modelfile_lies_beside_the_file(trained):
    frame = read_json(trained.models() / "sft" / "prompt.json")
    text = (trained.models() / "Modelfile").read_text()
    assert f"FROM ./{F16}\n" in text
    assert f'TEMPLATE """{frame["prefix"]}{{{{ .Prompt }}}}{frame["suffix"]}"""' in text
    assert f"PARAMETER stop {json.dumps(frame['eos'])}" in text


def test_weights_of_the_file_are_the_merged_ones(trained):
    import numpy as np
    import torch

    weights = base_model.load_tuned(trained.models() / "sft", torch.float32)[0].cpu().state_dict()
    tensors = {t.name: t.data for t in gguf.GGUFReader(trained.models() / F16).tensors}
    names = {f"blk.{n}.attn_v.weight": f"model.layers.{n}.self_attn.v_proj.weight" for n in (0, 1)}
    names |= {f"blk.{n}.attn_output.weight": f"model.layers.{n}.self_attn.o_proj.weight" for n in (0, 1)}
    names |= {"token_embd.weight": "model.embed_tokens.weight"}
    for theirs, ours in names.items():
        assert np.array_equal(tensors[theirs], weights[ours].to(torch.float16).numpy()), theirs


def test_models_folder_holds_no_leftovers(trained):
    assert {p.name for p in trained.models().iterdir()} == {"sft", "dpo", F16, "clitron-notes-f16.json", "Modelfile"}


def test_second_run_has_nothing_to_do(trained):
    done = trained.run("quantize.py", *trained.words)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"quantize: training/models/notes/{F16} is up to date\n"


@pytest.mark.slow
def test_killed_run_leaves_the_old_file_and_the_next_one_works(copied, monkeypatch, capsys):
    """The old file is out of date; a run for f16 is killed at work, then one for q8_0 succeeds."""
    facts = read_json(copied.models() / "sft" / "stage.json")
    write_json(copied.models() / "sft" / "stage.json", {**facts, "seconds": facts["seconds"] + 1})
    old, work = copied.models() / F16, copied.models() / "gguf.partial"
    before = old.read_bytes()

    running = copied.start("quantize.py", "name=notes", "quant=f16")
    until = time.monotonic() + 300
    while not (work / "merged").exists() and running.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    running.send_signal(signal.SIGKILL)
    out, err = running.communicate()
    assert running.returncode == -signal.SIGKILL, out + err
    assert work.exists()
    assert old.read_bytes() == before

    monkeypatch.setattr(utils, "ROOT", copied.root)
    quantize.main(["name=notes", "quant=q8_0"])
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "quantize: name notes, model sft, quant q8_0"
    assert re.fullmatch(
        r"quantize: \d+ MB in \d+ s, training/models/notes/clitron-notes-q8_0\.gguf; next: just train-eval name=notes",
        said[-1],
    )
    assert {p.name for p in copied.models().iterdir()} == {
        "sft",
        "dpo",
        F16,
        "clitron-notes-f16.json",
        "clitron-notes-q8_0.gguf",
        "clitron-notes-q8_0.json",
        "Modelfile",
    }
    assert set(tensor_types(copied.models() / "clitron-notes-q8_0.gguf").values()) == {"Q8_0", "F32"}
    assert old.read_bytes() == before
