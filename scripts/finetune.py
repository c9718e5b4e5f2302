"""What sft.py and dpo.py share: adapters, trainer settings, looks at validation rows, work folders that survive a kill."""

import json
import os
import shutil
import time

import base_model
import prompt
import scores
import utils
from utils import fail

PROBED = 16  # validation rows that are answered while training goes on
LOSS_ROWS = 100  # validation rows whose loss is computed then: 300 would take two minutes a look on a slow CPU
MOST_TOKENS = 160  # of such an answer
LOOKS = 4  # times that a training looks at validation rows


def is_main():
    """False in the helpers of a multi-process run (torchrun): only one process prints and writes."""
    return os.environ.get("RANK", "0") == "0"


def quiet():
    """No advertising and no warnings that a user can do nothing about, in this process and in its helpers."""
    import logging
    import warnings

    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    warnings.filterwarnings("ignore", category=FutureWarning)
    warnings.filterwarnings("ignore", message=".*pin_memory.*")
    for name in ("transformers", "accelerate", "trl", "datasets"):
        logging.getLogger(name).setLevel(logging.ERROR)


def lora(training):
    """LoraConfig of a `training:` section, or None for full fine-tuning (use_lora: false)."""
    from peft import LoraConfig

    if not training.get("use_lora", True):
        return None
    return LoraConfig(
        r=training["lora_r"],
        lora_alpha=training["lora_alpha"],
        lora_dropout=training["lora_dropout"],
        target_modules=training["lora_target_modules"],
        task_type="CAUSAL_LM",
    )


def weights_dtype(training):
    """What the weights are loaded in: float32 where they are trained themselves (a step of a small rate would vanish in bfloat16;
    what is multiplied in bfloat16 is cast by autocast), None, which is what is fastest, under an adapter."""
    import torch

    return None if training.get("use_lora", True) else torch.float32


def freeze_embeddings(model, training):
    """Where all weights are trained (use_lora: false), those of the tokens stay as they are: a word that no training row has would drift
    under Adam, which makes a full step of the smallest gradient."""
    if not training.get("use_lora", True):
        model.get_input_embeddings().requires_grad_(False)
        model.get_output_embeddings().requires_grad_(False)


def arguments(config, folder, rows, seed, dtype):
    """Arguments that SFTConfig and DPOConfig have in common. rows: number of training rows, for the warm-up; dtype: what is computed in."""
    import torch

    t = config["training"]
    world = int(os.environ.get("WORLD_SIZE", "1"))
    batch = t["per_device_train_batch_size"] * t["gradient_accumulation_steps"] * world
    steps = max(1, round(-(-rows // batch) * t["num_train_epochs"]))
    return {
        "output_dir": str(folder),
        "num_train_epochs": t["num_train_epochs"],
        "per_device_train_batch_size": t["per_device_train_batch_size"],
        "per_device_eval_batch_size": t["per_device_train_batch_size"],
        "gradient_accumulation_steps": t["gradient_accumulation_steps"],
        "learning_rate": t["learning_rate"],
        "warmup_steps": round(t.get("warmup_ratio", 0) * steps),
        "lr_scheduler_type": t.get("lr_scheduler_type", "linear"),
        "gradient_checkpointing": t.get("gradient_checkpointing", False),
        "use_cpu": not torch.cuda.is_available() and not torch.backends.mps.is_available(),
        "bf16": dtype == torch.bfloat16,
        "report_to": config["logging"]["report_to"],
        "logging_steps": config["logging"]["logging_steps"],
        "save_strategy": "steps",
        "save_steps": max(10, min(100, steps // 4)),
        "save_total_limit": 2,
        "seed": seed,
        "dataloader_pin_memory": torch.cuda.is_available(),
        "ddp_find_unused_parameters": False if world > 1 else None,
    }


def padding(dtype):
    """Rows are padded to a multiple of this: on a CPU every new shape costs a new bfloat16 kernel and the memory that it keeps."""
    import torch

    return 16 if dtype == torch.bfloat16 else None


def compute_in_bf16(model):
    """LoRA layers keep their weights in float32 and multiply in bfloat16 under autocast: 1.4 times the speed of PEFT's
    default on a CPU, which casts every activation to float32 first."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    for module in model.modules():
        if isinstance(module, BaseTunerLayer):
            module.cast_input_dtype_enabled = False


# ------------------------------------------------------------------------------------------------ while it trains
def watch(trainer, rows, frame, tokenizer, schema):
    """Look at validation rows LOOKS times, the last time at the end: validation loss and perplexity where the trainer has such rows,
    and what the model answers to PROBED of them. All of it goes to the log, and to whatever report_to names."""
    import torch
    from transformers import TrainerCallback

    class Watch(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            if state.global_step not in {-(-k * state.max_steps // LOOKS) for k in range(1, LOOKS + 1)}:
                return
            control.should_evaluate = trainer.eval_dataset is not None
            if not is_main():
                return
            logging, training = control.should_log, trainer.model.training  # log() would take this step's own line away
            trainer.model.eval()
            with torch.autocast(args.device.type, torch.bfloat16, enabled=args.bf16):
                found = probe(trainer.model, tokenizer, frame, rows[:PROBED], schema)
            trainer.log(found)
            trainer.model.train(training)
            control.should_log = logging

    trainer.add_callback(Watch())


def probe(model, tokenizer, frame, rows, schema):
    """{"eval_exact_match", "eval_json_valid", "eval_seconds_per_answer"} of greedy answers of a model in eval mode, without a grammar."""
    started = time.perf_counter()
    ids = [prompt.encode(tokenizer, frame, r)[0] for r in rows]
    texts = base_model.answers(model, tokenizer, ids, frame["eos"], MOST_TOKENS)
    judged = [
        scores.judge({"expected": scores.parse(r["output"])}, t, schema) for r, t in zip(rows, texts, strict=True)
    ]
    return {
        "eval_exact_match": sum(j["exact"] for j in judged) / len(rows),
        "eval_json_valid": sum(j["answer"] is not None for j in judged) / len(rows),
        "eval_seconds_per_answer": (time.perf_counter() - started) / len(rows),
    }


def check_reporting(config, stage):
    """Ends the program where `report_to` names something that is not installed."""
    from transformers.integrations import get_available_reporting_integrations as available

    wanted = config["logging"]["report_to"]
    for name in [wanted] if isinstance(wanted, str) else wanted:
        if name not in ("none", "all", *available()):
            fail(
                f"{stage}.logging.report_to={name} is not installed; run: python3 -m pip --python .venv/bin/python install {name}"
            )


# ---------------------------------------------------------------------------------------------------- work folders
def work_folder(folder, fingerprint):
    """<folder>.partial, where a stage trains until it is done. Checkpoints of another fingerprint in it are thrown away."""
    work = folder.with_name(folder.name + ".partial")
    mark = work / "fingerprint.json"
    if is_main() and utils.read_json(mark) != fingerprint:
        shutil.rmtree(work, ignore_errors=True)
        utils.write_json(mark, fingerprint)
    return work


def last_checkpoint(work):
    """The newest checkpoint that was written to its end (trainer_state.json comes last), or None."""
    found = [p for p in work.glob("checkpoint-*") if utils.read_json(p / "trainer_state.json")]
    return max(found, key=lambda p: int(p.name.split("-")[1]), default=None)


def train(trainer, stage, work):
    """Train, from the last checkpoint where there is one. Returns seconds, of interrupted runs too, and the trainer's log."""
    checkpoint = last_checkpoint(work)
    if checkpoint and is_main():
        print(f"{stage}: continuing from step {checkpoint.name.split('-')[1]}", flush=True)
    clock = work / "seconds.json"  # of all runs up to the last checkpoint
    before = utils.read_json(clock) if checkpoint else None
    started = time.time() - (before or {"seconds": 0})["seconds"]
    trainer.add_callback(noting(clock, started))
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    clock.unlink(missing_ok=True)
    return time.time() - started, trainer.state.log_history


def noting(clock, started):
    """A callback that writes the seconds since `started` to a file whenever a checkpoint is written."""
    from transformers import TrainerCallback

    class Noting(TrainerCallback):
        def on_save(self, *args, **kwargs):
            if is_main():
                utils.write_json(clock, {"seconds": time.time() - started})

    return Noting()


def promote(work, folder):
    """Make a finished work folder the stage's output: checkpoints go, then the old output is replaced."""
    for path in work.glob("checkpoint-*"):
        shutil.rmtree(path)
    for name in ("fingerprint.json", "README.md", "training_args.bin"):
        (work / name).unlink(missing_ok=True)
    old = folder.with_name(folder.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    work.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def save_log(folder, history):
    """The trainer's log (losses, rates) as JSON Lines: one object a logging step or evaluation."""
    utils.write_text(folder / "log.jsonl", "".join(json.dumps(line) + "\n" for line in history))
