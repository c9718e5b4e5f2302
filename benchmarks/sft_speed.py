"""How fast SFT is here, against TRL's plain SFTTrainer, in one run: same base, same rows, same number of steps.

    .venv/bin/python benchmarks/sft_speed.py name=gh        (some 10 minutes on 2 cores; needs train-generate to have run)

Prints tokens a second (padding not counted, first two steps left out) and the loss on 100 held-out rows after the same steps for
  trl-fp32   float32, gradient checkpointing: TRL's settings without mixed precision
  trl        TRL's defaults as they are: gradient checkpointing, bfloat16 autocast (only where the machine multiplies bfloat16)
  ours       what scripts/sft.py does, with the same adapters
"""

import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))

import base_model
import finetune
import prompt
import schema as cli_schema
import sft
import trainers
import utils
from settings import parse_settings, stage_config

STEPS, BATCH, RATE = 6, 16, 1e-3


def measure(label, rows, val, schema, config):
    """(tokens a second, held-out loss) after STEPS steps of one configuration."""
    import torch
    from datasets import Dataset
    from transformers import TrainerCallback
    from trl import SFTConfig, SFTTrainer

    ours = label == "ours"
    model, tokenizer = base_model.load(base_model.BUNDLED, dtype=None if ours else torch.float32)
    if not ours:
        model.set_attn_implementation("sdpa")
    frame = prompt.frame(tokenizer, schema)
    (train, _), (held, _) = (sft.encode_rows(r, tokenizer, frame, 512) for r in (rows, val))

    class Clock(TrainerCallback):
        times: list = []

        def on_step_end(self, *args, **kwargs):
            self.times.append(time.perf_counter())

    clock = Clock()
    clock.times = []
    with tempfile.TemporaryDirectory() as folder:
        common = {
            "output_dir": folder,
            "max_steps": STEPS,
            "per_device_train_batch_size": BATCH,
            "per_device_eval_batch_size": BATCH,
            "learning_rate": RATE,
            "lr_scheduler_type": "constant",
            "save_strategy": "no",
            "report_to": "none",
            "logging_steps": STEPS,
            "seed": 0,
            "use_cpu": base_model.device_name() == "cpu",
            "dataloader_pin_memory": False,
            "dataset_kwargs": {"skip_prepare_dataset": True},
            "disable_tqdm": True,
        }
        if ours:
            common |= {"gradient_checkpointing": False, "bf16": model.dtype == torch.bfloat16}
            common |= {"pad_to_multiple_of": finetune.padding(model.dtype)}
            common |= {"train_sampling_strategy": "group_by_length"}
        elif label == "trl-fp32":
            common |= {"bf16": False}
        trainer = (trainers.of_answers() if ours else SFTTrainer)(
            model=model,
            args=SFTConfig(**common),
            train_dataset=Dataset.from_list(train),
            eval_dataset=Dataset.from_list(held),
            processing_class=tokenizer,
            peft_config=finetune.lora(config["training"]),
            callbacks=[clock],
        )
        if ours:
            trainer.shared = trainers.shared_tokens(tokenizer, frame)
            finetune.compute_in_bf16(trainer.model)
        counts = []
        collate = trainer.data_collator

        def counting(examples):
            counts.append(sum(len(e["input_ids"]) for e in examples))
            return collate(examples)

        trainer.data_collator = counting
        trainer.train()
        speed = sum(counts[2:STEPS]) / (clock.times[STEPS - 1] - clock.times[1])
        return speed, trainer.evaluate()["eval_loss"]


def main(argv):
    settings = parse_settings(argv)
    name = settings["name"]
    finetune.quiet()
    folder = utils.data_dir(name)
    rows = utils.read_jsonl(utils.need(folder / "train.jsonl", "train-generate", name))
    val = utils.read_jsonl(folder / "train_val.jsonl")[:100]
    config = stage_config("sft", settings, base_model.BUNDLED)
    config["training"]["use_lora"] = True  # TRL and we train the same adapters here
    results = {}
    native = str(base_model.fast_dtype()).endswith("bfloat16")
    for label in ("trl-fp32", "trl", "ours") if native else ("trl-fp32", "ours"):
        results[label] = measure(label, rows, val, cli_schema.load(name), config)
        speed, loss = results[label]
        print(
            f"{label:9} {speed:6.0f} tokens/s   {speed / results['trl-fp32'][0]:.2f} x   held-out loss {loss:.4f} after {STEPS} steps of {BATCH}",
            flush=True,
        )


if __name__ == "__main__":
    utils.run(main)
