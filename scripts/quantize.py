"""Stage 4, quantization: merge the adapters, convert to GGUF with llama.cpp's own converter, quantize, write the contract into the file.

On validation rows it checks that the file is still the model that was trained, and calibrates its confidence.

Reads   training/models/<name>/sft, and dpo/ when it was kept; schemas/<name>.yaml; training/data/<name>/train_val.jsonl
Writes  training/models/<name>/clitron-<name>-<quant>.gguf; Modelfile (for Ollama)
Run     just train-quantize name=gh quant=q8_0
"""

import errno
import functools
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import base_model
import calibration
import finetune
import fresh
import parity
import prompt
import rerank
import schema as cli_schema
import scores
import utils
from grammar import gbnf, json_schema
from rows import read as read_rows
from settings import parse_settings
from utils import ISOLATED, data_dir, display, fail, gguf_path, models_dir, need, read_json

# code that a confidence is fitted to
JUDGING = ("calibration", "decoder", "interpreter", "mending", "parity", "rerank", "rows", "words")


def chosen(name):
    """The stage whose model goes on: dpo where its gate kept it for the current SFT model, otherwise sft."""
    sft = need(models_dir(name) / "sft" / "stage.json", "train-sft", name).parent
    dpo = models_dir(name) / "dpo"
    facts = read_json(dpo / "stage.json") or {}
    current = facts.get("fingerprint", {}).get("inputs", {}).get(display(sft)) == utils.digest(sft)
    return dpo if facts.get("kept") and current else sft


def plan(settings):
    """(model folder, fingerprint) of a run with these settings."""
    source = chosen(settings["name"])
    schema = utils.SCHEMAS / f"{settings['name']}.yaml"
    judging = {part: utils.digest(Path(__file__).with_name(f"{part}.py")) for part in JUDGING}
    return source, utils.fingerprint("quantize", {"quant": settings["quant"], **judging}, source, schema)


def merge(source, folder):
    """Write the model of a stage as one plain Hugging Face folder in float16, adapters merged in."""
    import torch

    model, tokenizer = base_model.load_tuned(source, torch.float16)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def need_space(folder, size):
    """Full disks are met before the converter and the quantizer meet them, which cannot say so."""
    if shutil.disk_usage(folder).free < size:
        raise OSError(errno.ENOSPC, "", str(folder))


def convert(folder, out):
    """Hugging Face folder to GGUF (float16). The converter's own `gguf` package must not meet ours: it gets a process of its own."""
    command = [
        sys.executable,
        str(ISOLATED / "convert_hf_to_gguf.py"),
        str(folder),
        "--outfile",
        str(out),
        "--outtype",
        "f16",
    ]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ISOLATED)}, capture_output=True, text=True)
    if done.returncode or not out.exists():
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        fail(f"llama.cpp's converter failed: {last}")


def write_contract(plain, out, facts):
    """Copy a GGUF, adding `clitron.*` metadata: dicts as JSON text, whole numbers and text as they are."""
    import logging

    import gguf
    from gguf.scripts.gguf_new_metadata import MetadataDetails, copy_with_new_metadata

    logging.getLogger("gguf-new-metadata").setLevel(logging.ERROR)
    kinds = {int: gguf.GGUFValueType.UINT32, str: gguf.GGUFValueType.STRING}
    details = {}
    for key, value in facts.items():
        value = json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else value
        details[f"clitron.{key}"] = MetadataDetails(kinds[type(value)], value)
    reader = gguf.GGUFReader(plain)
    writer = gguf.GGUFWriter(out, reader.get_field("general.architecture").contents())
    with open(os.devnull, "w") as null:  # the copy draws a progress bar of its own
        stderr, sys.stderr = sys.stderr, null
        try:
            copy_with_new_metadata(reader, writer, details, [])
        finally:
            sys.stderr = stderr


def code_version():
    """Version of this code and the digest of its files: 0.1.0+5e1f00d2c0ffee42."""
    here = Path(__file__).parent
    files = sorted(here.rglob("*.py"))
    return (
        f"{utils.VERSION}+{utils.digest_text(json.dumps([[str(p.relative_to(here)), utils.digest(p)] for p in files]))}"
    )


def modelfile(gguf, frame):
    """Ollama's Modelfile for a GGUF that lies beside it. The prompt is the request, with context as `field: value` lines before it."""
    for mark in ('"""', "{{"):
        if mark in frame["prefix"] + frame["suffix"]:
            fail(f"the chat template of this base holds {mark}, which a Modelfile cannot say")
    return (
        f"# ollama create mycli -f Modelfile; ask with the JSON Schema of the file's metadata (clitron.json_schema) as `format`\n"
        f"FROM ./{gguf}\n"
        f'TEMPLATE """{frame["prefix"]}{{{{ .Prompt }}}}{frame["suffix"]}"""\n'
        f"PARAMETER temperature 0\nPARAMETER num_ctx 2048\nPARAMETER stop {json.dumps(frame['eos'])}\n"
    )


@functools.cache  # llama.cpp keeps the address: a callback that Python has freed would crash the process later
def silence():
    import llama_cpp

    return llama_cpp.llama_log_callback(lambda *_: None)


def quantize(plain, out, quant):
    """float16 GGUF to the wanted type, with llama.cpp's quantizer."""
    import llama_cpp

    prefix = "LLAMA_FTYPE_ALL_" if quant == "f32" else "LLAMA_FTYPE_MOSTLY_"
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype = getattr(llama_cpp, prefix + quant.upper())
    params.nthread = os.cpu_count() or 1
    llama_cpp.llama_log_set(silence(), None)
    if llama_cpp.llama_model_quantize(str(plain).encode(), str(out).encode(), params):
        out.unlink(missing_ok=True)
        fail(
            f"llama.cpp cannot make quant={quant} of this model (some types need an importance matrix or wider rows); try q4_k_m or q8_0"
        )


def main(argv):
    settings = parse_settings(argv)
    name, quant = settings["name"], settings["quant"]
    schema = cli_schema.load(name)
    source, fingerprint = plan(settings)
    final = gguf_path(name, quant)
    record = final.with_suffix(".json")
    if final.exists() and (read_json(record) or {}).get("fingerprint") == fingerprint:
        print(f"quantize: {display(final)} is up to date")
        return
    finetune.quiet()
    facts = read_json(source / "stage.json")
    frame = read_json(models_dir(name) / "sft" / "prompt.json")
    utils.header("quantize", name=name, model=source.name, quant=quant)
    started = time.time()
    work = models_dir(name) / "gguf.partial"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    merge(source, work / "merged")
    need_space(work, 3 * sum(p.stat().st_size for p in (work / "merged").iterdir()))
    convert(work / "merged", work / "plain.gguf")
    learned = read_json(models_dir(name) / "sft" / "stage.json")
    given, drawn = data_dir(name) / "train.jsonl", models_dir(name) / "sft" / fresh.DRAWN
    contract = {
        "format": utils.FORMAT,
        "name": name,
        "schema": schema.raw,
        "prompt": frame,
        "system": prompt.system_message(schema),
        "context": prompt.RENDERING,
        "grammar": gbnf(schema),
        "json_schema": json_schema(schema),
        "rerank": rerank.WEIGHTS,
        "evidence": calibration.EVIDENCE,
        "base": learned["base"],
        "stage": source.name,
        "model": utils.digest(source),
        "code": code_version(),
        "data": learned["fingerprint"]["inputs"].get(display(given), "unknown"),
        "drawn": utils.digest(drawn) if drawn.exists() else "none",
    }
    write_contract(work / "plain.gguf", work / "f16.gguf", contract)
    if quant != "f16":
        quantize(work / "f16.gguf", work / "quantized.gguf", quant)
    ready = work / ("f16.gguf" if quant == "f16" else "quantized.gguf")
    gate = {}
    path = data_dir(name) / "train_val.jsonl"
    if path.exists():
        rows = parity.rows_for(read_rows(path, schema), settings["seed"])
        familiar = parity.familiar_rows(name, schema, settings["seed"])
        small = None if quant == "f16" else ready
        gate, points = parity.check(work / "merged", work / "f16.gguf", small, rows, familiar, frame)
        print(parity.words(gate, quant), flush=True)
        headline = {"rows": "validation", "exact_match": scores.rate(gate["right"], gate["rows"])}
        found = {"calibration": calibration.fit(points), "scores": headline}
    else:
        print(f"quantize: no {display(path)}: parity is not checked, and the confidence is that of other tools' models")
        found = {"calibration": calibration.PEOPLE}
    write_contract(ready, work / "ready.gguf", found)
    os.replace(work / "ready.gguf", final)
    shutil.rmtree(work)
    utils.write_text(models_dir(name) / "Modelfile", modelfile(final.name, frame))
    utils.write_json(
        record,
        {
            "fingerprint": fingerprint,
            "seconds": round(time.time() - started),
            "stage": source.name,
            "parity": gate,
            "sft_seconds": facts.get("seconds"),
        },
    )
    print(
        f"quantize: {final.stat().st_size / 1e6:.0f} MB in {time.time() - started:.0f} s, {display(final)}; next: just train-eval name={name}"
    )


if __name__ == "__main__":
    utils.run(main)
