"""Fixtures: a project in a temporary folder, its scripts as real processes, and a tiny model that every stage can work on."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """What needs a model that went through every stage is slow: `just test` stays under two minutes."""
    for item in items:
        if "trained" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)


class Project:
    """A copy of schemas/ and training/configs/ in a folder of its own, and the scripts run on it as processes."""

    def __init__(self, root):
        self.root = root
        shutil.copytree(ROOT / "schemas", root / "schemas")
        shutil.copytree(ROOT / "training" / "configs", root / "training" / "configs")

    @property
    def env(self):
        ours = (
            "HF_TOKEN",
            "RANK",
            "LOCAL_RANK",
            "WORLD_SIZE",
            "ANTHROPIC_API_KEY",
            "ANTHROPIC_AUTH_TOKEN",
            "ANTHROPIC_BASE_URL",
        )
        clean = {k: v for k, v in os.environ.items() if k not in ours}
        return {**clean, "CLITRON_ROOT": str(self.root), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "2"}

    def run(self, script, *words, **kwargs):
        """CompletedProcess of scripts/<script> with these words; stdout and stderr as text."""
        command = [sys.executable, str(ROOT / "scripts" / script), *words]
        return subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=600, **kwargs)

    def stages(self, *names, words):
        """Several stages in one process: importing torch and trl takes seconds each time."""
        code = f"import sys; sys.path.insert(0, {str(ROOT / 'scripts')!r})\n"
        code += "".join(f"import {name}; {name}.main(sys.argv[1:])\n" for name in names)
        command = [sys.executable, "-c", code, *words]
        return subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=600)

    def start(self, script, *words):
        """The same as a Popen, for tests that kill it."""
        command = [sys.executable, str(ROOT / "scripts" / script), *words]
        return subprocess.Popen(command, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def fails(self, script, *words):
        """The one line on stderr of a run that must exit with 1 and print no traceback."""
        done = self.run(script, *words)
        assert done.returncode == 1, done.stdout + done.stderr
        lines = done.stderr.strip().splitlines()
        assert len(lines) == 1, done.stderr
        return lines[0]

    def data(self, name="notes"):
        return self.root / "training" / "data" / name

    def models(self, name="notes"):
        return self.root / "training" / "models" / name


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory):
    """A folder with a random 2-layer Llama (32 wide) and the bundled model's tokenizer: quick, and llama.cpp knows it."""
    import base_model
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("tiny-base")
    tokenizer = AutoTokenizer.from_pretrained(base_model.unpacked())
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def trained(tmp_path_factory, tiny_base):
    """A Project in which every stage has run on the tiny base for `notes`: data, sft, preferences, dpo, f16 GGUF."""
    project = Project(tmp_path_factory.mktemp("trained"))
    words = [
        "name=notes",
        "num=60",
        "quant=f16",
        f"base={tiny_base}",
        "sft.training.num_train_epochs=1",
        "dpo.model.max_pairs=20",
    ]
    done = project.stages("generate", "sft", "gen_prefs", "dpo", "quantize", words=words)
    assert done.returncode == 0, done.stdout + done.stderr
    project.words, project.log = words, done.stdout
    return project


@pytest.fixture
def width_in_browser(tmp_path):
    """width_in_browser(html, pixels): how wide headless Chromium needs a page where a window has so many; skipped where there is none."""
    names = ("chromium", "chromium-browser", "google-chrome")
    browser = next(filter(None, map(shutil.which, names)), None) or pytest.skip("no Chromium")

    def measure(html, pixels):
        (tmp_path / "page.html").write_text(html, encoding="utf-8")
        script = "frame.onload = () => { document.title = frame.contentDocument.documentElement.scrollWidth }"
        frame = f'<iframe id="frame" src="page.html" style="width: {pixels}px; height: 900px; border: 0"></iframe><script>{script}</script>'
        (tmp_path / "frame.html").write_text(frame)
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files", "--dump-dom"]
        options += [f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=3000"]
        command = [browser, *options, (tmp_path / "frame.html").as_uri()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        return int(re.search(r"<title>(\d+)</title>", done.stdout)[1])

    return measure
