"""Make the general adapter: what the bundled base learns once, on many tools, before it learns yours.

    .venv/bin/python training/general/build.py [rows=240] [seed=0]        (about an hour on 2 cores; survives a kill)

Reads   schemas/*.yaml beside this file (some twenty invented tools), values.yaml (its own, larger word lists) and the project's lexicon
Writes  adapter/ beside this file (LoRA in float16), which base=general merges into the bundled base: all weights are trained, and the adapter
        is the nearest to them that is small enough to be carried about

Every row is composed from a schema, as for a CLI that has no phrasebook; no row, frame or schema of gh or of the evaluation's tools
takes part. The rows of all tools are mixed; each has its own tool's system message.
"""

import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

import base_model
import finetune
import generate
import prompt
import schema as cli_schema
import sft
import utils
from lexicon import Lexicon
from settings import stage_config
from teacher import Teacher

HERE = Path(__file__).resolve().parent
VAL = 5  # validation rows of each tool: enough to see how good the adapter is
RANK = 32  # of the adapter: 20 MB


class Memory:
    """What draw_rows needs of a progress file, kept in memory: composing all rows takes less than a minute."""

    def __init__(self):
        self.records = []

    def save(self, batch):
        self.records += batch


def compose_rows(name, rows, seed):
    """(schema, training rows, validation rows) of one tool."""
    schema, faults = cli_schema.read(HERE / "schemas" / f"{name}.yaml")
    if faults:
        utils.fail(f"{name}.yaml:{faults[0]}")
    teacher = Teacher(schema, name, seed, Lexicon(HERE / "values.yaml"))
    memory = Memory()
    generate.draw_rows(teacher, schema, rows, memory)
    sides = {s: [r["row"] for r in memory.records if r["split"] == s] for s in ("train", "val")}
    return schema, sides["train"], sides["val"][:VAL]


def common_start(prefixes):
    """How many first tokens all prefixes share."""
    return next((i for i, ids in enumerate(zip(*prefixes, strict=False)) if len(set(ids)) > 1), min(map(len, prefixes)))


def main(argv):
    given = dict(word.split("=", 1) for word in argv)
    rows, seed = int(given.get("rows", 240)), int(given.get("seed", 0))
    finetune.quiet()
    config = stage_config("sft", {"base": "bundled"}, base_model.BUNDLED)
    config["training"] |= {"num_train_epochs": 1, "use_lora": False}
    longest = config["data"]["max_seq_length"]
    model, tokenizer = base_model.load(base_model.BUNDLED, dtype=finetune.weights_dtype(config["training"]))
    names = sorted(p.stem for p in (HERE / "schemas").glob("*.yaml"))
    train, val, prefixes = [], [], []
    for name in names:
        schema, *sides = compose_rows(name, rows, seed)
        frame = prompt.frame(tokenizer, schema)
        prefixes.append(prompt.hf(tokenizer)(frame["prefix"], True))
        for encoded, side in zip((train, val), sides, strict=True):
            encoded += sft.encode_rows(side, tokenizer, frame, longest)[0]
    inputs = sorted(HERE.glob("**/*.yaml"))
    work = finetune.work_folder(
        HERE / "adapter", utils.fingerprint("general", {"rows": rows, "seed": seed, **config}, *inputs)
    )
    print(f"general: {len(names)} tools, {len(train)} + {len(val)} rows", flush=True)
    trainer = sft.make_trainer(model, tokenizer, train, val, config, work, seed, common_start(prefixes))
    minutes = round(finetune.train(trainer, "general", work)[0] / 60)
    whole = trainer.evaluate()["eval_loss"]
    adapted = nearest_adapter(trainer.model, config["training"]["lora_target_modules"])
    save(adapted, HERE / "adapter")
    trainer.model.load_state_dict(adapted.merge_and_unload().state_dict())
    loss = trainer.evaluate()["eval_loss"]
    facts = {"tools": names, "rows": len(train), "seed": seed, "minutes": minutes}
    facts |= {"rank": RANK, "validation_loss_of_all_weights": whole, "validation_loss": loss}
    utils.write_json(HERE / "adapter" / "made_of.json", facts)
    shutil.rmtree(work)
    base_model.with_general()
    print(
        f"general: validation loss {whole:.4f} after {minutes} min, {loss:.4f} as an adapter of rank {RANK}, "
        f"in {utils.display(HERE / 'adapter')}; next: base=general"
    )


def nearest_adapter(tuned, layers):
    """The bundled base under the adapter of rank RANK that is nearest to a tuned model: the greatest singular vectors of what was learned
    in each of the linear `layers`. What was learned elsewhere (norms) is left out."""
    import torch
    from peft import LoraConfig, get_peft_model
    from peft.tuners.lora import LoraLayer

    base, _ = base_model.load(base_model.BUNDLED, torch.float32)
    model = get_peft_model(base, LoraConfig(r=RANK, lora_alpha=RANK, target_modules=layers, task_type="CAUSAL_LM"))
    learned = tuned.state_dict()
    with torch.no_grad():
        for name, layer in model.named_modules():
            if isinstance(layer, LoraLayer):
                change = learned[f"{name.removeprefix('base_model.model.')}.weight"] - layer.base_layer.weight
                left, size, right = torch.linalg.svd(change, full_matrices=False)
                share = size[:RANK].sqrt()
                layer.lora_A["default"].weight.copy_(share[:, None] * right[:RANK])
                layer.lora_B["default"].weight.copy_(left[:, :RANK] * share)
    return model


def save(model, folder):
    """The adapter in float16: half the size, and its products are rounded to less when they are merged."""
    from peft import get_peft_model_state_dict
    from safetensors.torch import save_file

    folder.mkdir(exist_ok=True)
    weights = {k: v.detach().half().contiguous() for k, v in get_peft_model_state_dict(model).items()}
    save_file(weights, str(folder / "adapter_model.safetensors"), metadata={"format": "pt"})
    plain = model.peft_config["default"]
    plain.base_model_name_or_path, plain.inference_mode = base_model.BUNDLED, True
    plain.save_pretrained(folder)


if __name__ == "__main__":
    utils.run(main)
