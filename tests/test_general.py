"""The general adapter: what is kept of trained weights, and what every tool's rows have in common."""

import importlib.util
import json

import base_model
import pytest
import torch
from conftest import ROOT

LAYERS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


@pytest.fixture(scope="module")
def build():
    spec = importlib.util.spec_from_file_location("build", ROOT / "training" / "general" / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def base(tiny_base, monkeypatch):
    """Makes the tiny base anew; the bundled one is the tiny one here."""
    load = base_model.load
    monkeypatch.setattr(base_model, "load", lambda base, dtype=None, train=True: load(str(tiny_base), dtype))
    return lambda: load(str(tiny_base), torch.float32)[0]


def changed(model, rank):
    """A model each of whose linear layers differs from the base by a matrix of this rank."""
    torch.manual_seed(1)
    with torch.no_grad():
        for name, layer in model.named_modules():
            if name.rsplit(".", 1)[-1] in LAYERS:
                rows, columns = layer.weight.shape
                layer.weight += torch.randn(rows, rank) @ torch.randn(rank, columns) / 100
    return model


def test_a_change_of_no_higher_rank_is_kept_whole(build, base, monkeypatch, tmp_path):
    monkeypatch.setattr(build, "RANK", 3)
    tuned = changed(base(), 3)
    adapted = build.nearest_adapter(tuned, LAYERS)
    build.save(adapted, tmp_path)
    assert {p.name for p in tmp_path.iterdir()} >= {"adapter_config.json", "adapter_model.safetensors"}
    from peft import PeftModel

    ids = torch.arange(20)[None]
    again = PeftModel.from_pretrained(base(), tmp_path).merge_and_unload()
    with torch.no_grad():
        wanted, plain, got = (m(ids).logits for m in (tuned, base(), again))
    assert (wanted - got).abs().max() < 0.01 * (wanted - plain).abs().max()


def test_of_a_change_of_higher_rank_the_nearest_is_kept(build, base, monkeypatch):
    tuned, plain = changed(base(), 8), base().state_dict()
    name = "model.layers.1.mlp.down_proj.weight"
    change = tuned.state_dict()[name] - plain[name]
    sizes = torch.linalg.svdvals(change)
    for rank in (2, 5):
        monkeypatch.setattr(build, "RANK", rank)
        kept = build.nearest_adapter(tuned, LAYERS).merge_and_unload().state_dict()[name] - plain[name]
        assert torch.linalg.matrix_rank(kept, rtol=1e-3) == rank
        assert (change - kept).norm().item() == pytest.approx(sizes[rank:].norm().item(), rel=1e-3)


def test_rows_of_all_tools_share_the_start_up_to_the_first_name(build):
    assert build.common_start([[1, 2, 3, 9], [1, 2, 4, 9], [1, 2, 3, 9]]) == 2
    assert build.common_start([[1, 2], [1, 2, 3]]) == 2
    assert build.common_start([[1], [2]]) == 0


def test_the_adapter_that_comes_with_the_project_is_what_build_makes_of_these_tools(build):
    folder = ROOT / "training" / "general" / "adapter"
    made = json.loads((folder / "made_of.json").read_text())
    config = json.loads((folder / "adapter_config.json").read_text())
    assert made["tools"] == sorted(p.stem for p in (folder.parent / "schemas").glob("*.yaml"))
    assert made["rank"] == config["r"] == config["lora_alpha"] == build.RANK
    assert sorted(config["target_modules"]) == sorted(LAYERS)
    assert not {"gh", "kubectl", "notes"} & set(made["tools"])


@pytest.mark.parametrize(
    ("base", "token", "cached", "found"),
    [
        ("auto", "", False, (base_model.GENERAL, "owner/large is not on this machine and HF_TOKEN is not set")),
        ("auto", "hf_x", False, ("owner/large", "HF_TOKEN is set")),
        ("auto", "", True, ("owner/large", "in the local hub cache")),
        ("general", "hf_x", True, (base_model.GENERAL, "asked for")),
        ("bundled", "hf_x", True, (base_model.BUNDLED, "asked for")),
    ],
)
def test_training_starts_from_it_where_no_larger_model_is_at_hand(base, token, cached, found, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", token)
    monkeypatch.setattr(base_model, "in_hub_cache", lambda model: cached)
    assert base_model.resolve(base, "owner/large") == found
