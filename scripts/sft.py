"""Stage 2, supervised fine-tuning: LoRA on the base model or all of its weights (use_lora), loss on the answers only.

Reads   training/data/<name>/train.jsonl, train_val.jsonl; training/configs/sft_config.yaml and the base model's own file; the bundled
        teacher's files, for new rows instead of a second pass over the same
Writes  training/models/<name>/sft/: adapter (or weights), tokenizer, prompt.json, log.jsonl, drawn.jsonl (those rows), stage.json;
        sft.partial/ while it runs
Run     just train-sft name=gh        (several GPUs: torchrun --standalone --nproc-per-node 2 scripts/sft.py name=gh)
"""

from pathlib import Path

import base_model
import finetune
import fresh
import prompt
import schema as cli_schema
import trainers
import utils
from rows import read as read_rows
from settings import decisive, parse_settings, stage_config
from utils import data_dir, display, fail, models_dir, need


def plan(settings):
    """(base, why, config, fingerprint) of a run with these settings."""
    base, why = base_model.of_run(settings)
    config = stage_config("sft", settings, base)
    folder = data_dir(settings["name"])
    inputs = [folder / "train.jsonl", folder / "train_val.jsonl"]
    if base == base_model.GENERAL:
        inputs.append(base_model.ADAPTER)
    elif base != base_model.BUNDLED:
        inputs.append(Path(base_model.local_folder(base)))  # of a hub id nothing is read here
    told = decisive(config)
    told["data"] = {"max_seq_length": config["data"]["max_seq_length"], "drawn": draws(settings["name"], config)}
    return base, why, config, utils.fingerprint("sft", {"base": base, "seed": settings["seed"], **told}, *inputs)


def draws(name, config):
    """Whether rows are drawn beside those of the file: see passes."""
    return wants_new(config) and bool(fresh.settings_of(name))


def wants_new(config):
    return config["data"]["fresh_rows"] and config["training"]["num_train_epochs"] > 1


def passes(rows, name, schema, config):
    """(rows to draw beside these, epochs): what a training goes through instead of going through the same rows again and again, where
    there is a teacher that draws. It learns from as many rows as without."""
    epochs = config["training"]["num_train_epochs"]
    if not draws(name, config):
        return [], epochs
    wanted = round(len(rows) * (epochs - 1))
    drawn = fresh.draw(name, schema, wanted, fresh.PASSES)
    return drawn, 1 if len(drawn) == wanted else epochs * len(rows) / (len(rows) + len(drawn))


def encode_rows(rows, tokenizer, frame, longest):
    """Rows as {"input_ids", "labels"}: every prompt token is masked with -100, the answer and its EOS are not.

    Returns (dataset rows, how many were left out for being longer than `longest` tokens).
    """
    out = []
    for row in rows:
        prompt_ids, answer_ids = prompt.encode(tokenizer, frame, row)
        ids = prompt_ids + answer_ids
        if len(ids) <= longest:
            out.append({"input_ids": ids, "labels": [-100] * len(prompt_ids) + answer_ids})
    return out, len(rows) - len(out)


def make_trainer(model, tokenizer, train_rows, val_rows, config, work, seed, shared):
    """The trainer of encoded rows (see encode_rows), of which the first `shared` tokens are the same in all."""
    from datasets import Dataset
    from trl import SFTConfig

    compute = base_model.fast_dtype()
    finetune.freeze_embeddings(model, config["training"])
    trainer = trainers.of_answers()(
        model=model,
        args=SFTConfig(
            **finetune.arguments(config, work, len(train_rows), seed, compute),
            max_length=config["data"]["max_seq_length"],
            pad_to_multiple_of=finetune.padding(compute),
            train_sampling_strategy="group_by_length",
            dataset_kwargs={"skip_prepare_dataset": True},
        ),
        train_dataset=Dataset.from_list(train_rows),
        eval_dataset=Dataset.from_list(val_rows[: finetune.LOSS_ROWS]),
        processing_class=tokenizer,
        peft_config=finetune.lora(config["training"]),
    )
    trainer.shared = shared
    finetune.compute_in_bf16(trainer.model)
    return trainer


def main(argv):
    settings = parse_settings(argv)
    name = settings["name"]
    schema = cli_schema.load(name)
    files = [need(data_dir(name) / f, "train-generate", name) for f in ("train.jsonl", "train_val.jsonl")]
    base, why, config, fingerprint = plan(settings)
    folder = models_dir(name) / "sft"
    if utils.is_current(folder, fingerprint):
        print(f"sft: {display(folder)} is up to date")
        return
    given, val = (read_rows(f, schema) for f in files)
    if not given or not val:
        fail(f"{display(files[0].parent)} has no rows; run: just train-generate-force name={name}")

    finetune.quiet()
    finetune.check_reporting(config, "sft")
    model, tokenizer = base_model.load(base, dtype=finetune.weights_dtype(config["training"]))
    frame = prompt.frame(tokenizer, schema)
    longest = config["data"]["max_seq_length"]
    drawn, epochs = passes(given, name, schema, config)
    (train_rows, cut), (val_rows, _) = (encode_rows(r, tokenizer, frame, longest) for r in (given + drawn, val))
    if not train_rows or not val_rows:
        fail(f"every row is longer than sft.data.max_seq_length={longest} tokens; raise it")
    if finetune.is_main():
        t = config["training"]
        utils.header(
            "sft",
            name=name,
            base=f"{base} ({why})",
            device=base_model.device_name(),
            dtype=str(base_model.fast_dtype()).removeprefix("torch."),
            trains="an adapter" if t.get("use_lora", True) else "all weights",
            rows=f"{len(train_rows)} + {len(val_rows)}",
            epochs=f"1 ({len(drawn)} of the rows are new ones)" if drawn and epochs == 1 else round(epochs, 2),
            rate=t["learning_rate"],
            batch=t["per_device_train_batch_size"] * t["gradient_accumulation_steps"],
        )
        if wants_new(config) and fresh.outdated(name):
            print(
                "sft: the schema, its phrases or the words in schemas/lexicon/ have changed since the rows were made, so the same "
                f"rows are gone through again instead of new ones; for new ones run: just train-generate name={name}"
            )
        if cut:
            print(f"sft: {cut} rows are longer than max_seq_length={longest} tokens and are left out")
    config = {**config, "training": {**config["training"], "num_train_epochs": epochs}}
    work = finetune.work_folder(folder, fingerprint)
    shared = trainers.shared_tokens(tokenizer, frame)
    trainer = make_trainer(model, tokenizer, train_rows, val_rows, config, work, settings["seed"], shared)
    finetune.watch(trainer, val, frame, tokenizer, schema)
    seconds, history = finetune.train(trainer, "sft", work)
    trainer.save_model(str(work))
    if not finetune.is_main():
        return
    tokenizer.save_pretrained(work)
    utils.write_json(work / "prompt.json", frame)
    finetune.save_log(work, history)
    if drawn:
        utils.write_jsonl(work / fresh.DRAWN, [{k: r[k] for k in ("instruction", "context", "output")} for r in drawn])
    tokens = sum(len(r["input_ids"]) for r in train_rows) * config["training"]["num_train_epochs"]
    losses = [h["eval_loss"] for h in history if "eval_loss" in h]
    utils.finish(work, fingerprint, base=base, seconds=round(seconds), tokens=round(tokens), validation_loss=losses)
    finetune.promote(work, folder)
    curve = " -> ".join(f"{x:.4f}" for x in losses)
    print(
        f"sft: {len(train_rows)} rows{f', {len(drawn)} of them new,' if drawn else ''} in {seconds / 60:.1f} min ({tokens / seconds:.0f} tokens/s), "
        f"validation loss {curve}, in {display(folder)}; next: just train-generate-preferences name={name}"
    )


if __name__ == "__main__":
    utils.run(main)
