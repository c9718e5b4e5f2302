"""Stage 3b, direct preference optimization, and the gate: the DPO model goes on only if it wins on held-out rows.

Reads   training/models/<name>/sft, training/data/<name>/preferences.jsonl, train_val.jsonl; training/configs/dpo_config.yaml
Writes  training/models/<name>/dpo/: adapter over the merged SFT model, log.jsonl, stage.json ("kept": true or false); dpo.partial/
Run     just train-dpo name=gh dpo.training.beta=0.2
"""

import base_model
import finetune
import prompt
import schema as cli_schema
import scores
import trainers
import utils
from rows import read as read_rows
from settings import decisive, parse_settings, stage_config
from utils import data_dir, display, models_dir, need, read_json, read_jsonl

HELD = 10  # the pairs of one request in so many are kept for the validation loss


def plan(settings, base=None):
    """(config, fingerprint) of a run with these settings."""
    name = settings["name"]
    sft = models_dir(name) / "sft"
    config = stage_config("dpo", settings, base or base_model.of_sft(settings))
    inputs = [sft, data_dir(name) / "preferences.jsonl", data_dir(name) / "train_val.jsonl"]
    return config, utils.fingerprint("dpo", {"seed": settings["seed"], **decisive(config)}, *inputs)


def encode_pairs(pairs, tokenizer, frame):
    """Pairs as the id lists that DPOTrainer's collator takes: the same tokens as in SFT, answers end in EOS."""
    out = []
    for p in pairs:
        ids = {"prompt_ids": []}
        for side in ("chosen", "rejected"):
            ids["prompt_ids"], ids[f"{side}_ids"] = prompt.encode(tokenizer, frame, {**p, "output": p[side]})
        out.append(ids)
    return out


def deciding_part(output):
    """How much of an answer must be right: a command up to its confidence, of a clarification the type."""
    return (
        output[: len('{"type": "clarification"')]
        if output.startswith('{"type": "clarification"')
        else output.rpartition(', "confidence"')[0]
    )


def greedy_hits(model, tokenizer, frame, rows, batch=16):
    """Per row: whether greedy decoding would give the expected answer. One forward pass a row tells: every token of the
    deciding part must be the likeliest one after the (right) tokens before it."""
    import torch
    from torch.nn.utils.rnn import pad_sequence

    model, start, hits = trainers.inner(model), trainers.shared_tokens(tokenizer, frame), []
    for first in range(0, len(rows), batch):
        ids, labels = [], []
        for row in rows[first : first + batch]:
            prompt_ids, answer_ids = prompt.encode(tokenizer, frame, row)
            part = len(deciding_part(row["output"]))
            ends = next(k for k in range(len(answer_ids) + 1) if len(tokenizer.decode(answer_ids[:k])) >= part)
            ids.append(torch.tensor(prompt_ids + answer_ids))
            labels.append(torch.tensor([-100] * len(prompt_ids) + answer_ids[:ends] + [-100] * len(answer_ids[ends:])))
        padded = pad_sequence(ids, batch_first=True, padding_value=tokenizer.pad_token_id).to(model.device)
        mask = pad_sequence([torch.ones_like(i) for i in ids], batch_first=True).to(model.device)
        labels = pad_sequence(labels, batch_first=True, padding_value=-100).to(model.device)
        with torch.inference_mode():
            logits, targets, where = trainers.labelled(model, labels, start, input_ids=padded, attention_mask=mask)
        wrong = where[(logits.argmax(-1) != targets) & (targets != -100)]
        missed = set((wrong // (padded.shape[1] - start - 1)).tolist())  # rows
        hits += [k not in missed for k in range(len(ids))]
    return hits


def split(pairs):
    """(pairs to train on, pairs for the validation loss: none of fewer than HELD requests). Both have words of their own, for twins share theirs."""
    words = list(dict.fromkeys(p["instruction"] for p in pairs))
    kept = set(words[HELD - 1 :: HELD])
    return [p for p in pairs if p["instruction"] not in kept], [p for p in pairs if p["instruction"] in kept]


def losses(training):
    """The losses of DPOConfig: the one of a `training:` section, and with sft_weight the loss on the chosen answer beside it (RPO, Pang 2024)."""
    kind, weight = training["loss_type"], training["sft_weight"]
    return {"loss_type": [kind, "sft"], "loss_weights": [1.0, weight]} if weight else {"loss_type": [kind]}


def verdict(before, after):
    """{"kept", "sft", "dpo", "p", "n"}: kept only if DPO answers more held-out rows right and McNemar's exact test agrees."""
    p = scores.mcnemar(before, after)
    return {
        "kept": sum(after) > sum(before) and p < scores.SIGNIFICANT,
        "sft": sum(before),
        "dpo": sum(after),
        "p": p,
        "n": len(before),
    }


def main(argv):
    settings = parse_settings(argv)
    name = settings["name"]
    schema = cli_schema.load(name)
    sft = need(models_dir(name) / "sft" / "stage.json", "train-sft", name).parent
    pairs = read_jsonl(need(data_dir(name) / "preferences.jsonl", "train-generate-preferences", name))
    val = read_rows(need(data_dir(name) / "train_val.jsonl", "train-generate", name), schema)
    config, fingerprint = plan(settings)
    folder = models_dir(name) / "dpo"
    if utils.is_current(folder, fingerprint):
        print(f"dpo: {display(folder)} is up to date")
        return
    if len(pairs) < config["model"]["min_pairs"]:
        work = finetune.work_folder(folder, fingerprint)
        utils.finish(work, fingerprint, kept=False, skipped=len(pairs))
        finetune.promote(work, folder)
        print(
            f"dpo: skipped: the SFT model was wrong on only {len(pairs)} requests (dpo.model.min_pairs={config['model']['min_pairs']}); the SFT model goes on"
        )
        return

    finetune.quiet()
    finetune.check_reporting(config, "dpo")
    from datasets import Dataset
    from trl import DPOConfig

    frame = read_json(sft / "prompt.json")
    model, tokenizer = base_model.load_tuned(sft, train=True)
    learned, held = (Dataset.from_list(encode_pairs(some, tokenizer, frame)) for some in split(pairs))
    t = config["training"]
    if finetune.is_main():
        utils.header(
            "dpo",
            name=name,
            reference=f"{display(sft)} (merged)",
            device=base_model.device_name(),
            pairs=f"{len(learned)} and {len(held)} for the validation loss",
            epochs=t["num_train_epochs"],
            rate=t["learning_rate"],
            beta=t["beta"],
        )
    work = finetune.work_folder(folder, fingerprint)
    before = greedy_hits(model.eval(), tokenizer, frame, val)
    trainer = trainers.of_pairs()(
        model=model,
        args=DPOConfig(
            **finetune.arguments(config, work, len(learned), settings["seed"], model.dtype),
            beta=t["beta"],
            **losses(t),
            pad_to_multiple_of=finetune.padding(model.dtype),
        ),
        train_dataset=learned,
        eval_dataset=held if len(held) else None,
        processing_class=tokenizer,
        peft_config=finetune.lora(t),
    )
    trainer.shared = trainers.shared_tokens(tokenizer, frame)
    finetune.compute_in_bf16(trainer.model)
    finetune.watch(trainer, val, frame, tokenizer, schema)
    seconds, history = finetune.train(trainer, "dpo", work)
    trainer.save_model(str(work))
    if not finetune.is_main():
        return
    tokenizer.save_pretrained(work)
    finetune.save_log(work, history)
    merged, _ = base_model.load_tuned(sft, train=True)
    from peft import PeftModel

    after = greedy_hits(PeftModel.from_pretrained(merged, work).eval(), tokenizer, frame, val)
    gate = verdict(before, after)
    utils.finish(work, fingerprint, base="sft", seconds=round(seconds), **gate)
    finetune.promote(work, folder)
    goes_on = "the DPO model goes on" if gate["kept"] else "not better beyond chance: the SFT model goes on"
    print(
        f"dpo: {len(learned)} pairs in {seconds / 60:.1f} min; "
        f"held-out rows right {gate['sft']} -> {gate['dpo']} of {gate['n']} (p = {gate['p']:.2f}): {goes_on}; next: just train-quantize name={name}"
    )


if __name__ == "__main__":
    utils.run(main)
