"""Adapters in files: written, read by peft and diffusers, refused on another base."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.models.transformers.transformer_wan import WanTransformer3DModel
from gated_networks import (  # pyright: ignore[reportMissingImports]
    EACH,
    TRANSFORMERS,
    Picture,
    gated,
    picture,
    run,
    sd3,
    shake,
    wan,
)
from peft import PeftModel
from safetensors import safe_open
from torch import nn

from vision.lora import GatedLora, SearchReport, load_gated, load_lora, set_adapters
from vision.lora.base_hash import BASE_HASH_KEY, base_hash
from vision.lora.gated_variant import gated_update


def with_gates(lora: GatedLora) -> GatedLora:
    for number, alpha in enumerate(lora.alphas.values()):
        alpha.data.fill_((-1) ** number * (0.3 + number / 4))
    return lora


def header(path: Path) -> dict[str, str]:
    with safe_open(path, framework="pt") as file:
        return file.metadata()


def close(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * max(1.0, expected.abs().max().item()))


@pytest.mark.parametrize("form", ["peft", "loralib"])
@pytest.mark.parametrize("policy", ["keep", "freeze", "one"])
def test_its_own_file_gives_the_same_bits(tmp_path: Path, form: str, policy):
    network = picture()
    lora = with_gates(gated(network, EACH, conv_form=form, rank={"block.*": 3, ".*": 2}))
    report = SearchReport(lora, [{"step": 0, "gate/mix": 0.5}], lambda step: run(network).square().mean())
    kept = lora.keep(report.select(3, batches=1), policy)
    path = kept.save(tmp_path / "day.safetensors")
    fresh = picture()
    loaded = load_gated(fresh, path, adapter_name="day")
    assert torch.equal(run(fresh), run(network))
    assert loaded.candidates == kept.candidates
    assert loaded.record == kept.record == json.loads(header(path)["gated_lora_record"])
    assert set(loaded.record["selection"]["names"]) == {c.name for c in kept.candidates}
    assert loaded.record["search_log"] == [{"step": 0, "gate/mix": 0.5}]
    assert set(loaded.alphas) == set(kept.alphas)
    with safe_open(path, framework="pt") as file:
        layers = [layer for c in kept.candidates for layer in c.layers]
        assert len(list(file.keys())) == 2 * len(layers) + len(kept.candidates)
    again = loaded.save(tmp_path / "again.safetensors")
    assert header(again) == header(path)


@pytest.mark.parametrize("form", ["peft", "loralib"])
def test_peft_reads_its_folder(tmp_path: Path, form: str):
    """Convolutions of both forms, linear layers and groups, one rank a candidate."""
    network = picture(plain=True)
    spec, ranks = (EACH, {}) if form == "loralib" else (".*", {"grouped": 4})
    lora = with_gates(gated(network, spec, conv_form=form, rank={**ranks, "block.*": 3, ".*": 2}))
    path = lora.save(tmp_path / "adapter", format="peft")
    assert {file.name for file in path.parent.iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
    }
    assert header(path)[BASE_HASH_KEY] == base_hash(picture(plain=True))
    theirs: Any = PeftModel.from_pretrained(picture(plain=True), str(path.parent))  # pyright: ignore
    expected = run(network)
    close(theirs(inputs()), expected)
    assert not torch.equal(expected, run(picture(plain=True)))
    if form == "peft":
        return
    # In loralib's form a convolution's update has rank r k k, and nothing is lost.
    assert theirs.base_model.model.enter.r["default"] == 2 * 9
    merged = theirs.merge_and_unload()
    close(merged(inputs()), expected)


def test_a_linear_layer_s_factors_hold_gate_and_scale(tmp_path: Path):
    """``B A`` of the file is the gated update: peft adds it as it is."""
    network = TRANSFORMERS["ours"]()
    lora = with_gates(gated(network, "dit-family", rank=3))
    path = lora.save(tmp_path, format="diffusers")
    with safe_open(path, framework="pt") as file:
        for name, layer in lora.layers().items():
            if not isinstance(layer.get_base_layer(), torch.nn.Linear):
                continue
            a, b = (file.get_tensor(f"transformer.{name}.lora_{x}.weight") for x in "AB")
            update = gated_update(layer, "default")
            assert update.abs().max() > 0
            torch.testing.assert_close(b @ a, update, rtol=0, atol=1e-6 * update.abs().max().item())


def test_our_own_loader_reads_convolutions_of_any_kind(tmp_path: Path):
    network = picture(plain=True)
    lora = with_gates(gated(network, ".*", rank={"grouped": 4, ".*": 2}))
    lora.save(tmp_path, format="diffusers")
    fresh = picture(plain=True)
    load_lora(fresh, tmp_path)
    close(run(fresh), run(network))


def inputs() -> torch.Tensor:
    return torch.randn(2, 3, 12, 10, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", TRANSFORMERS)
@pytest.mark.parametrize("with_settings", [True, False])
def test_diffusers_transformers_read_the_file(tmp_path: Path, name: str, with_settings: bool):
    """With the settings in its header, and without them as from a tool that dropped them."""
    network = TRANSFORMERS[name]()
    base = run(network)
    ranks = {r".*\.qkv": 3, ".*": 2}
    lora = with_gates(gated(network, "dit-family", rank=ranks))
    path = lora.save(tmp_path, format="diffusers")
    assert path == tmp_path / "pytorch_lora_weights.safetensors"
    fresh = TRANSFORMERS[name]()
    source = str(tmp_path)
    if not with_settings:
        with safe_open(path, framework="pt") as file:
            source = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    named = {"weight_name": path.name, "use_safetensors": True, "adapter_name": "day"}
    fresh.load_lora_adapter(source, prefix="transformer", **named)  # pyright: ignore
    expected = run(network)
    close(run(fresh), expected)
    assert not torch.allclose(expected, base, atol=1e-3)
    fresh.set_adapters(["day"], [0.0])  # pyright: ignore
    assert torch.equal(run(fresh), base)


def test_a_pipeline_reads_the_file(tmp_path: Path):
    from diffusers.pipelines.stable_diffusion_3.pipeline_stable_diffusion_3 import StableDiffusion3Pipeline
    from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler

    network = sd3()
    for name in ("day", "night"):
        lora = with_gates(gated(sd3(), "dit-block", seed=len(name)))
        lora.save(tmp_path / f"{name}.safetensors", format="diffusers")
    absent = [
        "vae",
        "text_encoder",
        "tokenizer",
        "text_encoder_2",
        "tokenizer_2",
        "text_encoder_3",
        "tokenizer_3",
    ]
    parts: Any = {"transformer": network, **dict.fromkeys(absent)}
    pipeline = StableDiffusion3Pipeline(scheduler=FlowMatchEulerDiscreteScheduler(), **parts)
    base = run(network)
    for name in ("day", "night"):
        pipeline.load_lora_weights(str(tmp_path), weight_name=f"{name}.safetensors", adapter_name=name)
    for name in ("day", "night"):
        pipeline.set_adapters([name])
        lora = with_gates(gated(sd3(), "dit-block", seed=len(name)))
        close(run(network), run(lora.network))
    pipeline.unload_lora_weights()
    assert torch.equal(run(network), base)


def test_another_base_is_refused_by_its_hash(tmp_path: Path):
    lora = with_gates(gated(wan(), "dit-block"))
    native, loose = lora.save(tmp_path / "a.safetensors"), lora.save(tmp_path / "b", format="diffusers")
    other = wan()
    with torch.no_grad():
        other.get_parameter("blocks.0.norm2.weight")[0] += 0.1
    for load, path in ((load_gated, native), (load_lora, loose)):
        with pytest.raises(ValueError, match="was made for a network with other weights"):
            load(other, path)
        assert not hasattr(other, "peft_config")
    fresh = wan(WanTransformer3DModel)
    fresh.load_state_dict(wan().state_dict())
    load_lora(fresh, loose, adapter_name="plain")
    load_gated(fresh, native, adapter_name="gated")
    set_adapters(fresh, "plain")
    close(run(fresh), run(lora.network))
    set_adapters(fresh, "gated")
    close(run(fresh), run(lora.network))


def test_the_hash_is_of_the_base_alone_in_float32_or_bfloat16():
    plain = picture()
    expected = base_hash(plain)
    gated(plain)
    assert base_hash(plain) == expected
    assert base_hash(picture().bfloat16()) == expected
    renamed = nn.ModuleDict({"network": picture()})
    assert len({expected, base_hash(renamed), base_hash(shake(picture()))}) == 3


def test_a_base_in_float16_is_not_judged(tmp_path: Path):
    gated(picture()).save(tmp_path / "a.safetensors")
    with pytest.warns(UserWarning, match="a network in float16 does not have, so whether this is the base"):
        load_gated(picture().half(), tmp_path / "a.safetensors")


def test_files_that_do_not_fit_are_refused(tmp_path: Path):
    lora = gated(picture())
    for format, name, message in (
        ("native", "folder", r"a native adapter is one file; end its name in \.safetensors"),
        ("peft", "a.safetensors", r"a peft adapter is a folder with adapter_config\.json"),
        ("onnx", "a.safetensors", "format 'onnx' does not exist; use one of native, peft, diffusers"),
    ):
        with pytest.raises(ValueError, match=message):
            lora.save(tmp_path / name, format)  # pyright: ignore[reportArgumentType]
    dilated, reflecting = gated(picture(), "wide"), gated(picture(), r"block2\..*")
    for odd, layer in ((dilated, "wide"), (reflecting, r"block2\.conv1")):
        with pytest.raises(ValueError, match=f"{layer} is a convolution with dilation or with padding"):
            odd.save(tmp_path, format="peft")
    assert not list(tmp_path.iterdir())
    path = lora.save(tmp_path / "whole.safetensors")
    (tmp_path / "cut.safetensors").write_bytes(path.read_bytes()[:-8])
    with pytest.raises(ValueError, match="not a whole safetensors file"):
        load_gated(picture(), tmp_path / "cut.safetensors")
    plain = gated(picture(plain=True)).save(tmp_path / "plain", format="peft")
    with pytest.raises(ValueError, match="is no native adapter; load it with peft or diffusers"):
        load_gated(picture(plain=True), plain)
    with pytest.raises(ValueError, match="already has an adapter 'default'"):
        load_gated(lora.network, path)
    assert isinstance(lora.network, Picture)
