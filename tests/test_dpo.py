"""Preferences and DPO: which answers become pairs, what DPO starts from, and when its model goes on."""

import json
import re
import shutil

import base_model
import dpo
import finetune
import fresh
import gen_prefs
import prompt
import pytest
import quantize
import sft
import torch
import trainers
import utils
from conftest import Project
from parity import greedy
from rows import clarification, dumps, row_faults
from safetensors.torch import load_file
from settings import parse_settings, stage_config
from tiny import NOTES, command, overfit, question, row
from transformers import AutoTokenizer
from utils import read_json, read_jsonl, write_jsonl

FRAME = {"prefix": "<p>", "suffix": "<s>", "eos": "<e>"}
READ = row("read this", command("read", number=3), {"notes": {"current_note": 3}})
ASK = row("delete it", question("pronoun", "delete", arg="number"))


@pytest.fixture
def copied(trained, tmp_path):
    """A Project of its own with the data and the SFT model of the trained one."""
    project = Project(tmp_path)
    shutil.copytree(trained.data(), project.data())
    shutil.copytree(trained.models() / "sft", project.models() / "sft")
    return project


# ------------------------------------------------------------------------------------------------------- pairs
@pytest.mark.parametrize(
    ("case", "answer"),
    [
        (READ, READ["output"]),
        (READ, command("read", number=3, confidence=0.1)),
        (READ, '{"subcommand": null, "flags": [], "args": {"number": 3}, "command": "read", "type": "command"}'),
        (ASK, ASK["output"]),
        (ASK, question("unclear")),
    ],
)
def test_right_answer_makes_no_pair(case, answer):
    assert gen_prefs.pair_of(case, answer, FRAME, NOTES) is None


@pytest.mark.parametrize(
    ("case", "answer"),
    [
        (READ, command("read", number=4)),
        (READ, command("read", "raw", number=3)),
        (READ, command("done", number=3)),
        (READ, command("read", number=3).replace("3", '"3"')),
        (READ, ASK["output"]),
        (READ, READ["output"][:-1]),
        (READ, ""),
        (READ, "[]"),
        (ASK, command("delete", number=3)),
    ],
)
def test_wrong_answer_is_rejected_for_the_validated_one(case, answer):
    assert gen_prefs.pair_of(case, answer, FRAME, NOTES) == {
        "prompt": prompt.render(FRAME, case["instruction"], case["context"]),
        "chosen": case["output"],
        "rejected": answer,
        "instruction": case["instruction"],
        "context": case["context"],
    }


def test_preferences_are_new_requests_with_wrong_answers(trained):
    pairs = read_jsonl(trained.data() / "preferences.jsonl")
    assert len(pairs) == 20  # dpo.model.max_pairs; the tiny model is always wrong
    assert {frozenset(p) for p in pairs} == {frozenset({"prompt", "chosen", "rejected", "instruction", "context"})}
    frame = read_json(trained.models() / "sft" / "prompt.json")
    files = ("train.jsonl", "train_val.jsonl")
    known = {
        (r["instruction"].lower(), json.dumps(r["context"])) for f in files for r in read_jsonl(trained.data() / f)
    }
    for p in pairs:
        assert (p["instruction"].lower(), json.dumps(p["context"])) not in known
        case = {**{k: p[k] for k in ("instruction", "context")}, "output": p["chosen"]}
        assert row_faults(case, NOTES) == []
        assert gen_prefs.pair_of(case, p["rejected"], frame, NOTES) == p
    assert len({p["prompt"] for p in pairs}) == 20
    record = read_json(trained.data() / "preferences.json")
    assert {k: record[k] for k in ("pairs", "tried")} == {"pairs": 20, "tried": 32}
    questions = sum('"clarification"' in p["chosen"] for p in pairs)
    context = sum('"clarification"' not in p["chosen"] and bool(p["context"]) for p in pairs)
    others = 20 - questions - context
    kinds = {"questions": questions, "commands with context": context, "commands without context": others}
    assert record["kinds"] == {k: n for k, n in kinds.items() if n}
    assert record["requests"] == "new requests from the frames of the training rows"
    assert not (trained.data() / "preferences_progress.jsonl").exists()


def test_words_that_point_at_nothing_have_no_twin():
    """The teacher knows what points; where it does not say, the words alone tell."""
    merged = row("read it again, i'm new here", command("read", number=3), {"notes": {"current_note": 3}})
    assert len(gen_prefs.with_twins([merged], NOTES)) == 2
    assert len(gen_prefs.with_twins([{**merged, "points": ["number"]}], NOTES)) == 2
    assert gen_prefs.with_twins([{**merged, "points": []}], NOTES) == [{**merged, "points": []}]


def test_data_by_hand_lends_its_training_rows(monkeypatch):
    monkeypatch.setattr(fresh, "settings_of", lambda name: None)
    rows = [row(f"read {n}", command("read", number=n)) for n in range(50)]
    found, origin = gen_prefs.requests("notes", NOTES, rows, 10, 0)
    assert origin == "training rows"
    assert len(found) == 10
    assert all(r in rows for r in found)
    assert (
        found
        == gen_prefs.requests("notes", NOTES, rows, 10, 0)[0]
        != gen_prefs.requests("notes", NOTES, rows, 10, 1)[0]
    )


def test_a_request_that_points_into_its_context_is_asked_without_it_too():
    this = row("read this", command("read", number=3), {"notes": {"current_note": 3}})
    bare = row("read", command("read", number=3), {"notes": {"current_note": 3}})
    named = row("read 3", command("read", number=3), {"notes": {"current_note": 3}})
    found = gen_prefs.with_twins([this, named, this, bare], NOTES)
    twin = {
        "instruction": "read this",
        "context": None,
        "output": dumps(clarification(NOTES, "pronoun", ["read"], "number")),
    }
    assert found[:4] == [this, twin, named, this]
    assert found[4:] == [bare, {**twin, "instruction": "read"}]  # a number that the command needs


def test_of_several_answers_the_nearest_miss_is_taken():
    near, far, broken = command("read", "raw", number=3), command("delete", number=9), '{"type"'
    assert gen_prefs.nearest_miss(READ, [broken, far, READ["output"], near], NOTES) == near
    assert gen_prefs.nearest_miss(READ, [broken, ASK["output"], far], NOTES) == far  # of the right type
    assert gen_prefs.nearest_miss(READ, [broken, READ["output"]], NOTES) == broken
    assert gen_prefs.nearest_miss(READ, [READ["output"]] * 3, NOTES) is None


def test_preferences_load_as_a_data_set(trained, tmp_path):
    from datasets import load_dataset

    path = trained.data() / "preferences.jsonl"
    loaded = load_dataset("json", data_files=str(path), split="train", cache_dir=str(tmp_path))
    assert set(loaded.column_names) == {"prompt", "chosen", "rejected", "instruction", "context"}
    for column in ("prompt", "chosen", "rejected"):
        assert list(loaded[column]) == [p[column] for p in read_jsonl(path)]


def test_mixed_contexts_load_as_a_data_set(tmp_path):
    """Rows of one file may carry no context, or other fields than the rows before them."""
    from datasets import load_dataset

    contexts = [
        None,
        {"notes": {"current_note": 3}},
        {"notes": {"current_folder": "home"}},
        {"a": 1},
        {"b": {"c": [1]}},
    ]
    pairs = [gen_prefs.pair_of({**READ, "context": c}, "no", FRAME, NOTES) for c in contexts]
    write_jsonl(tmp_path / "preferences.jsonl", pairs)
    files = str(tmp_path / "preferences.jsonl")
    loaded = load_dataset("json", data_files=files, split="train", cache_dir=str(tmp_path / "cache"))
    assert list(loaded["prompt"]) == [p["prompt"] for p in pairs]


def test_second_run_makes_no_new_preferences(trained):
    done = trained.run("gen_prefs.py", *trained.words)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "gen_prefs: training/data/notes/preferences.jsonl is up to date\n"


def test_preferences_without_an_sft_model(project):
    assert project.fails("gen_prefs.py", "name=notes") == (
        "gen_prefs.py: no training/models/notes/sft/stage.json; run: just train-sft name=notes"
    )


# ----------------------------------------------------------------------------------------------------- the stage
def test_few_pairs_skip_dpo_and_the_sft_model_goes_on(copied, monkeypatch):
    pairs = read_jsonl(copied.data() / "preferences.jsonl")
    write_jsonl(copied.data() / "preferences.jsonl", pairs[:3])
    done = copied.run("dpo.py", "name=notes")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "dpo: skipped: the SFT model was wrong on only 3 requests (dpo.model.min_pairs=16); the SFT model goes on\n"
    )
    folder = copied.models() / "dpo"
    assert [p.name for p in folder.iterdir()] == ["stage.json"]
    facts = read_json(folder / "stage.json")
    assert (facts["kept"], facts["skipped"]) == (False, 3)
    assert not (copied.models() / "dpo.partial").exists()
    monkeypatch.setattr(utils, "ROOT", copied.root)
    assert quantize.chosen("notes") == copied.models() / "sft"
    again = copied.run("dpo.py", "name=notes")
    assert again.stdout == "dpo: training/models/notes/dpo is up to date\n"


def test_no_pairs_at_all_skip_dpo(copied):
    write_jsonl(copied.data() / "preferences.jsonl", [])
    done = copied.run("dpo.py", "name=notes", "dpo.model.min_pairs=1")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "dpo: skipped: the SFT model was wrong on only 0 requests (dpo.model.min_pairs=1); the SFT model goes on\n"
    )


def test_dpo_without_preferences(copied):
    (copied.data() / "preferences.jsonl").unlink()
    assert copied.fails("dpo.py", "name=notes") == (
        "dpo.py: no training/data/notes/preferences.jsonl; run: just train-generate-preferences name=notes"
    )


def test_files_of_the_stage(trained):
    folder = trained.models() / "dpo"
    assert {p.name for p in folder.iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "chat_template.jinja",
        "log.jsonl",
        "stage.json",
    }
    assert {p.name for p in trained.models().glob("dpo*")} == {"dpo"}
    facts = read_json(folder / "stage.json")
    assert {k: facts[k] for k in ("base", "kept", "sft", "dpo", "p", "n")} == {
        "base": "sft",
        "kept": False,
        "sft": 0,
        "dpo": 0,
        "p": 1.0,
        "n": 6,
    }
    said = [line for line in trained.log.splitlines() if line.startswith("dpo: ")]
    learned = len(dpo.split(read_jsonl(trained.data() / "preferences.jsonl"))[0])
    assert len(said) == 2
    assert re.fullmatch(
        rf"dpo: {learned} pairs in \d+\.\d min; held-out rows right 0 -> 0 of 6 \(p = 1\.00\): "
        r"not better beyond chance: the SFT model goes on; next: just train-quantize name=notes",
        said[1],
    )


def test_second_run_has_nothing_to_do(trained):
    done = trained.run("dpo.py", *trained.words)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "dpo: training/models/notes/dpo is up to date\n"


def test_first_loss_is_that_of_a_policy_equal_to_its_reference(trained):
    """-ln(1/2): before the first step, policy and reference give every answer the same probability."""
    losses = [line["train_loss"] for line in read_jsonl(trained.models() / "dpo" / "log.jsonl") if "train_loss" in line]
    assert losses == [pytest.approx(0.6931, abs=2e-3)]


def test_a_tenth_of_the_pairs_is_kept_for_the_validation_loss(trained):
    pairs = [{"instruction": str(n // 2), "chosen": n} for n in range(80)]  # twins have the same words
    assert dpo.split(pairs[:18]) == (pairs[:18], [])
    learned, held = dpo.split(pairs)
    assert [p["chosen"] for p in held] == [18, 19, 38, 39, 58, 59, 78, 79]
    assert learned == [p for p in pairs if p not in held]
    log = read_jsonl(trained.models() / "dpo" / "log.jsonl")
    losses = [line["eval_loss"] for line in log if "eval_loss" in line]
    assert len(losses) == len([line for line in log if "eval_exact_match" in line]) >= 1
    assert losses[0] == pytest.approx(0.6931, abs=0.05)


# ---------------------------------------------------------------------------------------------------- the models
def scaled_products(folder):
    """{weight name in the base: (alpha / r) B A} of an adapter."""
    config, weights = read_json(folder / "adapter_config.json"), load_file(folder / "adapter_model.safetensors")
    scale = config["lora_alpha"] / config["r"]
    return {
        name.removeprefix("base_model.model.").replace("lora_A.", ""): scale
        * weights[name.replace("lora_A", "lora_B")]
        @ a
        for name, a in weights.items()
        if "lora_A" in name
    }


def check_merged(below, above, products):
    """above = below + products, where there are any."""
    assert len(products) == 8
    assert set(products) <= set(below)
    assert set(below) == set(above)
    for name, weight in below.items():
        wanted = weight + products[name] if name in products else weight
        assert torch.allclose(above[name], wanted, atol=1e-7), name
        assert torch.equal(above[name], weight) == (name not in products), name


def test_reference_of_dpo_is_the_base_with_the_sft_adapter_merged(trained, tiny_base):
    folder = trained.models() / "sft"
    base = base_model.load(tiny_base, torch.float32)[0].cpu().state_dict()
    tuned = base_model.load_tuned(folder, torch.float32)[0].cpu().state_dict()
    check_merged(base, tuned, scaled_products(folder))


def test_dpo_model_is_the_merged_sft_model_with_its_own_adapter(trained):
    reference = base_model.load_tuned(trained.models() / "sft", torch.float32)[0].cpu().state_dict()
    tuned = base_model.load_tuned(trained.models() / "dpo", torch.float32)[0].cpu().state_dict()
    check_merged(reference, tuned, scaled_products(trained.models() / "dpo"))


def test_pairs_have_the_tokens_that_sft_learned(trained, tiny_base):
    tokenizer = AutoTokenizer.from_pretrained(tiny_base)
    frame = read_json(trained.models() / "sft" / "prompt.json")
    pairs = read_jsonl(trained.data() / "preferences.jsonl")
    encoded = dpo.encode_pairs(pairs, tokenizer, frame)
    assert len(encoded) == len(pairs) == 20
    for pair, ids in zip(pairs, encoded, strict=True):
        assert set(ids) == {"prompt_ids", "chosen_ids", "rejected_ids"}
        ((learned,), _) = sft.encode_rows([{**pair, "output": pair["chosen"]}], tokenizer, frame, 2048)
        assert ids["prompt_ids"] + ids["chosen_ids"] == learned["input_ids"]
        assert [-100] * len(ids["prompt_ids"]) + ids["chosen_ids"] == learned["labels"]
        assert tokenizer.decode(ids["prompt_ids"]) == pair["prompt"]
        assert ids["rejected_ids"][-1] == ids["chosen_ids"][-1] == tokenizer.eos_token_id


# ------------------------------------------------------------------------------------------------------ the gate
@pytest.mark.parametrize(
    ("won", "lost", "kept", "p"),
    [
        (6, 0, True, 2 / 64),
        (5, 0, False, 2 / 32),
        (0, 6, False, 2 / 64),
        (0, 0, False, 1.0),
        (3, 2, False, 1.0),
        (10, 1, True, 24 / 2048),
    ],
)
def test_dpo_goes_on_only_when_it_wins_beyond_chance(won, lost, kept, p):
    before = [False] * won + [True] * lost + [True] * 4 + [False] * 3
    after = [True] * won + [False] * lost + [True] * 4 + [False] * 3
    assert dpo.verdict(before, after) == {
        "kept": kept,
        "sft": lost + 4,
        "dpo": won + 4,
        "p": pytest.approx(p),
        "n": won + lost + 7,
    }


@pytest.mark.parametrize(
    ("output", "part"),
    [
        (
            command("read", "raw", number=5),
            '{"type": "command", "command": "read", "subcommand": null, "args": {"number": 5}, "flags": ["raw"]',
        ),
        (
            command("add", text='say ", "confidence": 1'),
            '{"type": "command", "command": "add", "subcommand": null, '
            '"args": {"text": "say \\", \\"confidence\\": 1"}, "flags": []',
        ),
        (question("pronoun", "delete", arg="number"), '{"type": "clarification"'),
        (question("unclear"), '{"type": "clarification"'),
    ],
)
def test_deciding_part(output, part):
    assert dpo.deciding_part(output) == part
    assert output.startswith(part)


@pytest.mark.slow
def test_hits_agree_with_real_greedy_decoding(tiny_base):
    """A model that knows three rows by heart is asked for these and for near misses of every field."""
    raw = row("read 5 raw", command("read", "raw", number=5))
    plain = row("read 5", command("read", number=5))
    known = [raw, plain, ASK]
    cases = [
        (raw, True),
        (plain, True),
        (ASK, True),
        ({**plain, "output": command("read", number=5, confidence=0.5)}, True),
        ({**ASK, "output": question("unclear")}, True),
        ({**raw, "output": plain["output"]}, False),
        ({**plain, "output": raw["output"]}, False),
        ({**plain, "output": command("read", number=6)}, False),
        ({**plain, "output": command("done", number=5)}, False),
        ({**plain, "output": ASK["output"]}, False),
        ({**ASK, "output": plain["output"]}, False),
    ]
    model, tokenizer, frame = overfit(tiny_base, known)
    wanted = [hit for _, hit in cases]
    said = {case["instruction"]: greedy(model, tokenizer, frame, case, most=160) for case in known}
    assert said == {case["instruction"]: case["output"] for case in known}
    written = [said[case["instruction"]] for case, _ in cases]
    assert [w.startswith(dpo.deciding_part(c["output"])) for w, (c, _) in zip(written, cases, strict=True)] == wanted
    hits = dpo.greedy_hits(model, tokenizer, frame, [case for case, _ in cases], batch=4)
    assert [(c["output"], hit) for (c, _), hit in zip(cases, hits, strict=True)] == [(c["output"], w) for c, w in cases]


def test_an_sft_model_of_another_general_adapter_is_refused(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["quantize.py"])
    folder = tmp_path / "training" / "models" / "notes" / "sft"
    inputs = {base_model.display(base_model.ADAPTER): "0" * 16}
    utils.write_json(folder / "stage.json", {"base": base_model.GENERAL, "fingerprint": {"inputs": inputs}})
    with pytest.raises(SystemExit):
        base_model.load_tuned(folder)
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert line.endswith("another general adapter than the one that is here now; run: just train-sft name=notes\n")


def test_an_sft_term_stands_beside_the_loss_only_where_it_has_a_weight():
    from trl import DPOConfig

    assert dpo.losses({"loss_type": "ipo", "sft_weight": 0.0}) == {"loss_type": ["ipo"]}
    both = dpo.losses({"loss_type": "sigmoid", "sft_weight": 0.5})
    config = DPOConfig(use_cpu=True, report_to="none", **both)
    assert (config.loss_type, config.loss_weights) == (["sigmoid", "sft"], [1.0, 0.5])


# ------------------------------------------------------------------------------------------------------- the trainer
def pair_trainer(cls, base, folder):
    """(a trainer of three pairs on the tiny model, whose adapter has left the reference already; tokens that prompts start with)."""
    from datasets import Dataset
    from trl import DPOConfig

    words = ["name=notes", "dpo.training.lora_dropout=0.0"]
    words += ["dpo.training.per_device_train_batch_size=3", "dpo.training.sft_weight=0.5"]
    config = stage_config("dpo", parse_settings(words), "tiny")
    model, tokenizer = base_model.load(base, torch.float32)
    frame = prompt.frame(tokenizer, NOTES)
    told = [(READ, command("read", number=4)), (ASK, command("delete", number=3)), (READ, question("unclear"))]
    pairs = [{**case, "chosen": case["output"], "rejected": wrong} for case, wrong in told]
    trainer = cls(
        model=model,
        args=DPOConfig(
            **finetune.arguments(config, folder, 3, 0, torch.float32),
            **dpo.losses(config["training"]),
            beta=0.5,
            pad_to_multiple_of=16,
        ),
        train_dataset=Dataset.from_list(dpo.encode_pairs(pairs, tokenizer, frame)),
        processing_class=tokenizer,
        peft_config=finetune.lora(config["training"]),
    )
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in (p for p in trainer.model.parameters() if p.requires_grad):
            weight += 0.02 * torch.randn_like(weight)
    return trainer, trainers.shared_tokens(tokenizer, frame)


@pytest.mark.parametrize("start", [False, True], ids=["every token", "shared start"])
def test_loss_of_pairs_its_gradient_and_what_is_logged_equal_those_of_trl(tiny_base, tmp_path, start):
    from trl import DPOTrainer

    ours, shared = pair_trainer(trainers.of_pairs(), tiny_base, tmp_path / "ours")

    class Theirs(DPOTrainer):
        _prepare_dataset = trainers.of_pairs()._prepare_dataset

    theirs, _ = pair_trainer(Theirs, tiny_base, tmp_path / "theirs")
    ours.shared = shared if start else 0
    told = []
    for trainer in (ours, theirs):
        batch = trainer._prepare_inputs(next(iter(trainer.get_train_dataloader())))
        trainer.model.train()
        loss = trainer.compute_loss(trainer.model, batch)
        loss.backward()
        grads = {n: p.grad for n, p in trainer.model.named_parameters() if p.requires_grad}
        told.append((loss.item(), grads, {k: v[-1] for k, v in trainer._metrics["train"].items()}))
    (loss, grads, logged), (wanted, wanted_grads, wanted_logged) = told
    assert loss == pytest.approx(wanted, abs=1e-5)
    assert logged == pytest.approx(wanted_logged, abs=1e-4)
    assert logged["rewards/margins"] != pytest.approx(0, abs=1e-3)
    assert len(grads) == len(wanted_grads) == 16
    for name, grad in grads.items():
        assert torch.allclose(grad, wanted_grads[name], atol=1e-5), name
        assert grad.abs().max() > 0, name


def test_model_and_reference_read_the_start_of_the_prompts_once_a_batch(tiny_base, tmp_path):
    trainer, shared = pair_trainer(trainers.of_pairs(), tiny_base, tmp_path)
    trainer.shared = shared
    batch = trainer._prepare_inputs(next(iter(trainer.get_train_dataloader())))
    shapes = []
    embed = trainer.model.get_base_model().get_input_embeddings()
    embed.register_forward_hook(lambda module, args, out: shapes.append(tuple(out.shape[:2])))
    trainer.compute_loss(trainer.model, batch)
    rows, length = batch["input_ids"].shape
    assert rows == 6
    assert shapes == [(1, trainer.shared), (rows, length - trainer.shared)] * 2
