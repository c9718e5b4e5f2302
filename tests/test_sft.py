"""Supervised fine-tuning: what is learned (labels, loss), what is left behind (files), and what survives a kill."""

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import finetune
import prompt
import pytest
import sft
import torch
import trainers
import utils
from conftest import ROOT
from safetensors.torch import load_file
from settings import parse_settings, stage_config
from tiny import NOTES, command, question, row
from transformers import AutoModelForCausalLM, AutoTokenizer
from utils import read_json, read_jsonl, write_jsonl

ROWS = [
    row("read 5", command("read", number=5)),
    row("read this", command("read", number=3), {"notes": {"current_note": 3}}),
    row("show", question("ambiguous_command", "list", "read")),
    row(
        "pin a note to call the landlord about the taxes, in work",
        command("add", "pinned", text="call the landlord", folder="work"),
    ),
    row("folders", command("folder list")),
    row("mark 12 as done", command("done", number=12)),
    row("delete 7, don't ask", command("delete", "force", number=7)),
    row("find milk in errands", command("search", query="milk", folder="errands")),
]
FILES = {
    "adapter_config.json",
    "adapter_model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "prompt.json",
    "log.jsonl",
    "stage.json",
}


@pytest.fixture(scope="module")
def tokenizer(tiny_base):
    return AutoTokenizer.from_pretrained(tiny_base)


@pytest.fixture(scope="module")
def frame(tokenizer):
    return prompt.frame(tokenizer, NOTES)


def give_data(project, train=ROWS, val=ROWS[:2]):
    write_jsonl(project.data() / "train.jsonl", train)
    write_jsonl(project.data() / "train_val.jsonl", val)


def response_trainer(base, folder, rows, use_lora, batch=8, shared=True):
    """A ResponseTrainer on these rows, as sft.py sets it up, with its model in float32 and without dropout."""
    from datasets import Dataset
    from trl import SFTConfig

    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(base)
    settings = parse_settings(
        [
            "name=notes",
            f"sft.training.use_lora={str(use_lora).lower()}",
            "sft.training.lora_dropout=0.0",
            f"sft.training.per_device_train_batch_size={batch}",
        ]
    )
    config = stage_config("sft", settings, "tiny")
    frame = prompt.frame(tokenizer, NOTES)
    encoded, left_out = sft.encode_rows(rows, tokenizer, frame, 2048)
    assert left_out == 0
    trainer = trainers.of_answers()(
        model=model,
        args=SFTConfig(
            **finetune.arguments(config, folder, len(rows), 0, torch.float32),
            max_length=2048,
            pad_to_multiple_of=16,
            dataset_kwargs={"skip_prepare_dataset": True},
        ),
        train_dataset=Dataset.from_list(encoded),
        processing_class=tokenizer,
        peft_config=finetune.lora(config["training"]),
    )
    trainer.shared = len(prompt.hf(tokenizer)(frame["prefix"], True)) if shared else 0
    return trainer


# ------------------------------------------------------------------------------------------------------- labels
def test_prompt_is_masked_and_answer_is_not(tokenizer, frame):
    encoded, left_out = sft.encode_rows(ROWS, tokenizer, frame, 2048)
    assert (len(encoded), left_out) == (8, 0)
    for case, ids in zip(ROWS, encoded, strict=True):
        prompt_ids, answer_ids = prompt.encode(tokenizer, frame, case)
        assert ids == {"input_ids": prompt_ids + answer_ids, "labels": [-100] * len(prompt_ids) + answer_ids}
        learned = [i for i in ids["labels"] if i != -100]
        assert tokenizer.decode(learned[:-1]) == case["output"]
        assert learned[-1] == tokenizer.eos_token_id


def test_rows_that_are_too_long_are_left_out_and_counted(tokenizer, frame):
    every, _ = sft.encode_rows(ROWS, tokenizer, frame, 2048)
    lengths = [len(r["input_ids"]) for r in every]
    longest = max(lengths)
    assert lengths.count(longest) == 1
    assert sft.encode_rows(ROWS, tokenizer, frame, longest) == (every, 0)
    assert sft.encode_rows(ROWS, tokenizer, frame, longest - 1) == (
        [r for r in every if len(r["input_ids"]) < longest],
        1,
    )
    assert sft.encode_rows(ROWS, tokenizer, frame, 3) == ([], 8)


# --------------------------------------------------------------------------------------------------------- loss
@pytest.mark.parametrize("shared", [False, True], ids=["every token", "shared start"])
@pytest.mark.parametrize("use_lora", [False, True])
@pytest.mark.parametrize("rows", [ROWS[:1], ROWS], ids=["one row", "padded rows"])
def test_loss_and_its_gradient_equal_those_of_transformers(tiny_base, tmp_path, rows, use_lora, shared):
    trainer = response_trainer(tiny_base, tmp_path, rows, use_lora, shared=shared)
    assert (trainer.shared > 0) == shared
    batch = trainer._prepare_inputs(next(iter(trainer.get_train_dataloader())))
    labels = int((batch["labels"] != -100).sum())
    assert batch["input_ids"].shape[0] == len(rows)
    assert ((batch["attention_mask"] == 0).any()).item() == (len(rows) > 1 or batch["input_ids"].shape[1] % 16 == 0)

    plain = AutoModelForCausalLM.from_pretrained(tiny_base, dtype=torch.float32).to(trainer.model.device)
    theirs = plain(**batch).loss
    ours = trainer.compute_loss(trainer.model.eval(), dict(batch))
    assert ours.item() == pytest.approx(theirs.item(), abs=1e-4)
    part = trainer.compute_loss(trainer.model, dict(batch), num_items_in_batch=torch.tensor(2 * labels))
    assert part.item() == pytest.approx(theirs.item() / 2, abs=1e-4)
    if use_lora:
        return
    theirs.backward()
    ours.backward()
    wanted = dict(plain.named_parameters())
    for name, parameter in trainer.model.named_parameters():
        assert torch.allclose(parameter.grad, wanted[name].grad, atol=1e-5), name


def test_shared_start_is_computed_once_a_batch(tiny_base, tmp_path):
    trainer = response_trainer(tiny_base, tmp_path, ROWS, use_lora=True)
    batch = trainer._prepare_inputs(next(iter(trainer.get_train_dataloader())))
    shapes = []
    embed = trainer.model.get_base_model().get_input_embeddings()
    embed.register_forward_hook(lambda module, args, out: shapes.append(tuple(out.shape[:2])))
    trainer.compute_loss(trainer.model, dict(batch))
    rows, length = batch["input_ids"].shape
    assert shapes == [(1, trainer.shared), (rows, length - trainer.shared)]


def test_models_with_sliding_windows_compute_every_token(tiny_base, tmp_path):
    """Their caches forget: what is shared cannot be kept in them."""
    trainer = response_trainer(tiny_base, tmp_path, ROWS, use_lora=False)
    batch = trainer._prepare_inputs(next(iter(trainer.get_train_dataloader())))
    model = trainer.model
    wanted = trainer.compute_loss(model.eval(), dict(batch)).item()
    model.config.sliding_window, model.config.layer_types = 4096, ["sliding_attention"] * model.config.num_hidden_layers
    shapes = []
    model.get_input_embeddings().register_forward_hook(lambda module, args, out: shapes.append(tuple(out.shape[:2])))
    assert trainer.compute_loss(model, dict(batch)).item() == pytest.approx(wanted, abs=1e-5)
    assert shapes == [tuple(batch["input_ids"].shape)]


def test_gradient_checkpointing_computes_every_token(tiny_base, tmp_path):
    """It throws the cache away in which the shared start is kept: rows would train without their system prompt, and nobody would see it."""
    trainer = response_trainer(tiny_base, tmp_path, ROWS, use_lora=False)
    batch = trainer._prepare_inputs(next(iter(trainer.get_train_dataloader())))
    wanted = trainer.compute_loss(trainer.model.train(), dict(batch)).item()
    trainer.model.gradient_checkpointing_enable()
    shapes = []
    embed = trainer.model.get_input_embeddings()
    embed.register_forward_hook(lambda module, args, out: shapes.append(tuple(out.shape[:2])))
    assert trainer.compute_loss(trainer.model, dict(batch)).item() == pytest.approx(wanted, abs=1e-5)
    assert shapes == [tuple(batch["input_ids"].shape)]


@pytest.mark.parametrize("key", ["logit_scale", "output_router_logits"])
def test_models_that_do_more_than_multiply_with_their_head_train_as_trl_has_it(tiny_base, tmp_path, key):
    base = shutil.copytree(tiny_base, tmp_path / "base")
    utils.write_json(
        base / "config.json", {**read_json(base / "config.json"), key: 0.5 if key == "logit_scale" else True}
    )
    trainer = response_trainer(base, tmp_path, ROWS, use_lora=False)
    assert not trainer.patched
    batch = trainer._prepare_inputs(next(iter(trainer.get_train_dataloader())))
    if key == "logit_scale":
        ours = trainer.compute_loss(trainer.model.eval(), dict(batch)).item()
        with torch.no_grad():
            logits = 0.5 * trainer.model(batch["input_ids"], attention_mask=batch["attention_mask"]).logits[:, :-1]
        theirs = torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch["labels"][:, 1:].flatten())
        assert ours == pytest.approx(theirs.item(), abs=1e-4)


def test_masked_positions_weigh_nothing(tiny_base, tmp_path):
    trainer = response_trainer(tiny_base, tmp_path, ROWS[:1], use_lora=False)
    batch = trainer._prepare_inputs(next(iter(trainer.get_train_dataloader())))
    first = trainer.compute_loss(trainer.model.eval(), dict(batch)).item()
    only_last = batch["labels"].clone()
    where = (only_last != -100).nonzero()[:-1]
    only_last[where[:, 0], where[:, 1]] = -100
    with torch.no_grad():
        logits = trainer.model.full_forward(batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    at = int((only_last != -100).nonzero()[0, 1])
    eos = -torch.log_softmax(logits[0, at - 1].float(), -1)[batch["input_ids"][0, at]].item()
    assert trainer.compute_loss(trainer.model, {**batch, "labels": only_last}).item() == pytest.approx(eos, abs=1e-4)
    assert first != pytest.approx(eos, abs=1e-3)


# ------------------------------------------------------------------------------------------------ what is written
def test_every_adapter_is_trained(trained):
    weights = load_file(trained.models() / "sft" / "adapter_model.safetensors")
    pairs = {name.removesuffix(".lora_A.weight") for name in weights if name.endswith(".lora_A.weight")}
    layers = {f"base_model.model.model.layers.{n}.self_attn.{m}_proj" for n in (0, 1) for m in "qkvo"}
    assert pairs == layers
    assert set(weights) == {f"{p}.lora_{side}.weight" for p in pairs for side in "AB"}
    untouched = {name for name, w in weights.items() if not w.abs().max() > 0}
    assert untouched == set()
    assert all(w.isfinite().all() for w in weights.values())


def test_adapters_are_kept_in_float32(trained):
    weights = load_file(trained.models() / "sft" / "adapter_model.safetensors")
    assert {w.dtype for w in weights.values()} == {torch.float32}


def test_files_of_the_stage(trained, tiny_base):
    folder = trained.models() / "sft"
    assert {p.name for p in folder.iterdir()} == FILES
    assert {p.name for p in trained.models().glob("sft*")} == {"sft"}
    facts = read_json(folder / "stage.json")
    assert set(facts) == {"fingerprint", "base", "seconds", "tokens", "validation_loss"}
    assert facts["base"] == str(tiny_base)
    assert set(facts["fingerprint"]["inputs"]) == {
        str(tiny_base),
        "training/data/notes/train.jsonl",
        "training/data/notes/train_val.jsonl",
    }
    *_, loss = facts["validation_loss"]
    assert 5 < loss < 12  # a random model on a vocabulary of 49152: ln 49152 = 10.8
    evaluations = [line["eval_loss"] for line in read_jsonl(folder / "log.jsonl") if "eval_loss" in line]
    assert evaluations == facts["validation_loss"]


def test_validation_loss_is_that_of_the_saved_model(trained):
    import base_model

    folder = trained.models() / "sft"
    model, tokenizer = base_model.load_tuned(folder, torch.float32)
    rows = read_jsonl(trained.data() / "train_val.jsonl")
    encoded, _ = sft.encode_rows(rows, tokenizer, read_json(folder / "prompt.json"), 2048)
    total = count = 0
    for r in encoded:
        labels = torch.tensor([r["labels"]], device=model.device)
        with torch.no_grad():
            loss = model(input_ids=torch.tensor([r["input_ids"]], device=model.device), labels=labels).loss.item()
        total, count = total + loss * int((labels != -100).sum()), count + int((labels != -100).sum())
    *_, said = read_json(folder / "stage.json")["validation_loss"]
    assert said == pytest.approx(total / count, abs=0.02)


def test_header_and_summary_are_said(trained):
    lines = [line for line in trained.log.splitlines() if line.startswith("sft: ")]
    assert len(lines) == 2
    assert re.fullmatch(
        r"sft: name notes, base \S+ \(asked for\), device \w+, dtype \w+, trains an adapter, rows 54 \+ 6, epochs 1, rate 2e-05, batch 32",
        lines[0],
    )
    assert re.fullmatch(
        r"sft: 54 rows in \d+\.\d min \(\d+ tokens/s\), validation loss \d+\.\d{4} -> \d+\.\d{4}, in training/models/notes/sft; "
        r"next: just train-generate-preferences name=notes",
        lines[1],
    )


# ------------------------------------------------------------------------------------------- again, and mistakes
def test_second_run_has_nothing_to_do(trained):
    done = trained.run("sft.py", *trained.words)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "sft: training/models/notes/sft is up to date\n"


def test_other_settings_are_another_run(trained, monkeypatch):
    monkeypatch.setattr(utils, "ROOT", trained.root)
    folder = trained.models() / "sft"
    assert utils.is_current(folder, sft.plan(parse_settings(trained.words))[3])
    for word in ("seed=1", "sft.training.learning_rate=1e-3", "sft.data.max_seq_length=100"):
        changed = sft.plan(parse_settings([*trained.words, word]))[3]
        assert not utils.is_current(folder, changed), word
    for word in ("dpo.training.beta=0.5", "out=x.jsonl"):
        same = sft.plan(parse_settings([*trained.words, word]))[3]
        assert utils.is_current(folder, same), word


def test_without_data(project):
    assert project.fails("sft.py", "name=notes") == (
        "sft.py: no training/data/notes/train.jsonl; run: just train-generate name=notes"
    )


def test_without_validation_rows(project):
    give_data(project)
    (project.data() / "train_val.jsonl").unlink()
    assert project.fails("sft.py", "name=notes") == (
        "sft.py: no training/data/notes/train_val.jsonl; run: just train-generate name=notes"
    )


def test_empty_data(project):
    give_data(project, val=[])
    assert project.fails("sft.py", "name=notes", "base=bundled") == (
        "sft.py: training/data/notes has no rows; run: just train-generate-force name=notes"
    )


def test_base_folder_that_is_not_there(project):
    give_data(project)
    assert project.fails("sft.py", "name=notes", "base=./nowhere") == (
        "sft.py: base=./nowhere is no folder; give a folder, a hub id such as meta-llama/Llama-3.2-1B-Instruct, "
        "or base=bundled"
    )


def test_base_folder_without_a_model(tmp_path, capsys):
    import base_model

    with pytest.raises(SystemExit) as stop:
        base_model.load(tmp_path)
    assert stop.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    _, _, message = line.partition(": ")
    assert message.startswith(f"base={tmp_path} cannot be loaded: ")
    assert message.endswith("; try base=bundled, which needs no network")


def test_no_row_short_enough_is_one_line(project, tiny_base, monkeypatch, capsys):
    give_data(project)
    monkeypatch.setattr(utils, "ROOT", project.root)
    with pytest.raises(SystemExit) as stop:
        sft.main(["name=notes", f"base={tiny_base}", "sft.data.max_seq_length=5"])
    assert stop.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "sft.data.max_seq_length=5 " in line


# ---------------------------------------------------------------------------------------------- kill and continue
@pytest.mark.slow
def test_killed_run_continues_and_ends_where_an_undisturbed_one_does(project, tiny_base, monkeypatch, capsys):
    give_data(project, train=ROWS * 4)
    words = [
        "name=notes",
        f"base={tiny_base}",
        "sft.training.num_train_epochs=2",
        "sft.training.per_device_train_batch_size=1",
        "sft.training.gradient_accumulation_steps=1",
        "sft.training.learning_rate=1e-3",
    ]
    work, folder = project.models() / "sft.partial", project.models() / "sft"
    running = project.start("sft.py", *words)
    until = time.monotonic() + 300
    while finetune.last_checkpoint(work) is None and running.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    running.send_signal(signal.SIGKILL)
    out, err = running.communicate()
    assert running.returncode == -signal.SIGKILL, out + err
    step = int(finetune.last_checkpoint(work).name.split("-")[1])
    assert step in (16, 32, 48)
    assert not folder.exists()

    monkeypatch.setattr(utils, "ROOT", project.root)
    sft.main(words)
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("sft: ")]
    assert len(said) == 3
    assert said[1] == f"sft: continuing from step {step}"
    assert not work.exists()
    assert {p.name for p in folder.iterdir()} == FILES
    continued = load_file(folder / "adapter_model.safetensors")

    folder.rename(project.models() / "continued")
    sft.main(words)
    assert "continuing" not in capsys.readouterr().out
    undisturbed = load_file(folder / "adapter_model.safetensors")
    assert set(continued) == set(undisturbed)
    for name, weight in undisturbed.items():
        assert torch.allclose(weight, continued[name], atol=1e-4), name


@pytest.mark.slow  # imports take seconds
def test_a_look_at_validation_rows_multiplies_in_what_is_trained_in(tiny_base, tokenizer, frame):
    """On CUDA nothing casts but a wrapper around forward(), past which generate() goes: adapters in float32 would meet bfloat16."""
    from contextlib import nullcontext

    from peft import get_peft_model

    config = stage_config("sft", parse_settings(["name=notes"]), "a base")["training"]
    bare = AutoModelForCausalLM.from_pretrained(tiny_base, dtype=torch.bfloat16)
    model = get_peft_model(bare, finetune.lora(config))
    assert {p.dtype for p in model.parameters() if p.requires_grad} == {torch.float32}
    finetune.compute_in_bf16(model)
    logged, watching = [], []
    trainer = SimpleNamespace(
        model=model,
        eval_dataset=None,
        log=logged.append,
        add_callback=watching.append,
        compute_loss_context_manager=nullcontext,
    )
    finetune.watch(trainer, ROWS, frame, tokenizer, NOTES)
    arguments = SimpleNamespace(device=torch.device("cpu"), bf16=True)
    watching[0].on_step_end(arguments, SimpleNamespace(global_step=4, max_steps=4), SimpleNamespace(should_log=False))
    assert [set(found) for found in logged] == [{"eval_exact_match", "eval_json_valid", "eval_seconds_per_answer"}]


def test_the_seconds_of_an_interrupted_run_count(tmp_path, capsys):
    checkpoint, clock, watching = tmp_path / "checkpoint-10", tmp_path / "seconds.json", []
    checkpoint.mkdir()
    utils.write_json(checkpoint / "trainer_state.json", {"global_step": 10})
    utils.write_json(clock, {"seconds": 100.0})

    def work(resume_from_checkpoint):
        assert resume_from_checkpoint == str(checkpoint)
        watching[0].on_save()
        assert 100 <= read_json(clock)["seconds"] < 160

    trainer = SimpleNamespace(add_callback=watching.append, train=work, state=SimpleNamespace(log_history=["log"]))
    seconds, log = finetune.train(trainer, "sft", tmp_path)
    assert 100 <= seconds < 160 and log == ["log"] and not clock.exists()
    checkpoint.rename(tmp_path / "other")
    utils.write_json(clock, {"seconds": 100.0})  # of a run that left no checkpoint
    trainer.train = lambda resume_from_checkpoint: None
    assert finetune.train(trainer, "sft", tmp_path)[0] < 60


def test_checkpoint_that_was_cut_is_not_used(tmp_path):
    for step, state in ((10, "{}"), (20, '{"global_step": 20}'), (30, '{"global_st'), (9, '{"global_step": 9}')):
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}" / "trainer_state.json").write_text(state, encoding="utf-8")
    (tmp_path / "checkpoint-40").mkdir()
    assert finetune.last_checkpoint(tmp_path) == tmp_path / "checkpoint-20"


def test_checkpoints_of_other_settings_are_thrown_away(tmp_path):
    work = finetune.work_folder(tmp_path / "sft", {"rate": 1})
    (work / "checkpoint-10").mkdir()
    assert finetune.work_folder(tmp_path / "sft", {"rate": 1}) == tmp_path / "sft.partial"
    assert (work / "checkpoint-10").exists()
    finetune.work_folder(tmp_path / "sft", {"rate": 2})
    assert [p.name for p in work.iterdir()] == ["fingerprint.json"]


# --------------------------------------------------------------------------------------------- several processes
@pytest.mark.slow
def test_two_processes_train_one_adapter_with_the_same_loss(project, tiny_base):
    def first_loss(batch, *launcher):
        words = [
            "name=notes",
            f"base={tiny_base}",
            "sft.training.num_train_epochs=2",
            f"sft.training.per_device_train_batch_size={batch}",
            "sft.training.gradient_accumulation_steps=1",
            "sft.training.learning_rate=1e-3",
            "sft.training.lora_dropout=0.0",
            "sft.logging.logging_steps=1",
        ]
        env = {**project.env, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        done = subprocess.run(
            [sys.executable, *launcher, str(ROOT / "scripts" / "sft.py"), *words],
            env=env,
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert len(re.findall(r"^sft: 8 rows in ", done.stdout, re.MULTILINE)) == 1
        assert {p.name for p in project.models().iterdir()} == {"sft"}
        folder = project.models() / "sft"
        assert {p.name for p in folder.iterdir()} == FILES
        log = [json.loads(line) for line in (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()]
        losses = [line["loss"] for line in log if "loss" in line]
        assert len(losses) == 2
        return losses[0], load_file(folder / "adapter_model.safetensors")

    give_data(project)
    one, adapter = first_loss(8)
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    two, same = first_loss(4, *launcher)
    assert two == pytest.approx(one, abs=1e-2)
    assert set(same) == set(adapter)
    for name, weight in adapter.items():
        assert torch.allclose(weight, same[name], atol=1e-3), name


@pytest.mark.slow  # imports take seconds
def test_reporting_to_what_is_not_installed(project, tiny_base):
    give_data(project)
    line = project.fails("sft.py", "name=notes", f"base={tiny_base}", "sft.logging.report_to=nosuch")
    assert line == (
        "sft.py: sft.logging.report_to=nosuch is not installed; run: python3 -m pip --python .venv/bin/python install nosuch"
    )
