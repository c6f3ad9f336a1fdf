"""The transformer against diffusers' WanTransformer3DModel with the same weights."""

import json

import pytest
import torch
from diffusers.models.transformers.transformer_sd3 import SD3Transformer2DModel
from diffusers.models.transformers.transformer_wan import WanTransformer3DModel
from safetensors.torch import load_file, save_file
from tiny_transformers import VARIANTS, make_inputs, make_pair, make_tiny

from vision.transformer import VideoTransformer

WEIGHTS = "diffusion_pytorch_model.safetensors"
TIMESTEPS = {
    "sample": lambda: torch.tensor([3.0, 900.5]),
    "integer": lambda: torch.tensor([3, 900]),
    "token": lambda: 1000 * torch.rand(2, 36),
}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("timesteps", TIMESTEPS)
def test_equals_diffusers_in_float32(variant, timesteps):
    theirs, ours = make_pair(variant)
    inputs = {**make_inputs(variant), "timestep": TIMESTEPS[timesteps]()}
    with torch.no_grad():
        difference = theirs(**inputs).sample - ours(**inputs).sample
    assert difference.abs().max() < 1e-5


@pytest.mark.parametrize("variant", ["text", "image"])
def test_gradients_equal_diffusers(variant):
    theirs, ours = make_pair(variant)
    inputs = {**make_inputs(variant), "timestep": TIMESTEPS["token"]()}
    target = torch.randn(2, 4, 3, 8, 6)
    for model in (theirs, ours):
        (model(**inputs).sample - target).square().mean().backward()
    mine = dict(ours.named_parameters())
    for name, parameter in theirs.named_parameters():
        torch.testing.assert_close(mine[name].grad, parameter.grad, rtol=1e-3, atol=1e-5, msg=name)


def test_one_timestep_a_frame_equals_one_a_token():
    model = make_tiny()
    inputs = make_inputs()
    frames = 1000 * torch.rand(2, 3)
    with torch.no_grad():
        by_frame = model(**{**inputs, "timestep": frames}).sample
        by_token = model(**{**inputs, "timestep": frames.repeat_interleave(12, dim=1)}).sample
    torch.testing.assert_close(by_frame, by_token, rtol=0, atol=1e-5)


@pytest.mark.parametrize("mode", ["autocast", "weights"])
def test_bfloat16_is_as_close_to_float32_as_diffusers_is(mode):
    # One draw of roundings is noise: the errors are compared over several inputs.
    theirs, ours = make_pair()
    for model in (theirs, ours):
        for parameter in model.parameters():
            parameter.data.mul_(0.5)
    errors = {id(theirs): 0.0, id(ours): 0.0}
    samples = [make_inputs(batch=4, text_tokens=16) for _ in range(4)]
    with torch.no_grad():
        exact = [theirs(**inputs).sample for inputs in samples]
        for model in (theirs, ours):
            if mode == "weights":
                model.to(torch.bfloat16)  # type: ignore
            for inputs, reference in zip(samples, exact, strict=True):
                if mode == "weights":
                    inputs = {
                        name: value if name == "timestep" else value.bfloat16()
                        for name, value in inputs.items()
                    }
                with torch.autocast("cpu", torch.bfloat16, enabled=mode == "autocast"):
                    output = model(**inputs).sample
                assert output.dtype == torch.bfloat16
                errors[id(model)] += (output - reference).square().sum().item()
    assert errors[id(ours)] < 1.5 * errors[id(theirs)]


@pytest.mark.parametrize("variant", VARIANTS)
def test_folders_load_both_ways(variant, tmp_path):
    theirs, _ = make_pair(variant)
    theirs.save_pretrained(tmp_path / "theirs")
    ours = VideoTransformer.from_pretrained(tmp_path / "theirs")
    ours.save_pretrained(tmp_path / "ours")
    assert json.loads((tmp_path / "ours" / "config.json").read_text())["_class_name"] == "VideoTransformer"
    again, info = WanTransformer3DModel.from_pretrained(tmp_path / "ours", output_loading_info=True)  # type: ignore
    assert not any(info.values())
    for name, tensor in theirs.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor)
    inputs = make_inputs(variant)
    with torch.no_grad():
        assert torch.equal(theirs(**inputs).sample, again(**inputs).sample)


def test_our_config_is_diffusers_config():
    theirs, ours = make_pair("image")
    mine = {name: value for name, value in ours.config.items() if not name.startswith("_")}
    assert mine == {name: value for name, value in theirs.config.items() if not name.startswith("_")}


def test_bfloat16_loading_keeps_what_diffusers_keeps_in_float32(tmp_path):
    theirs, _ = make_pair()
    theirs.save_pretrained(tmp_path)
    theirs = WanTransformer3DModel.from_pretrained(tmp_path, torch_dtype=torch.bfloat16)
    ours = VideoTransformer.from_pretrained(tmp_path, torch_dtype=torch.bfloat16)
    assert {n: p.dtype for n, p in ours.named_parameters()} == {
        n: p.dtype for n, p in theirs.named_parameters()
    }
    with torch.no_grad():
        assert ours(**make_inputs()).sample.isfinite().all()


def test_folder_of_another_architecture_is_refused(tmp_path):
    SD3Transformer2DModel(
        num_layers=1, num_attention_heads=2, attention_head_dim=8, caption_projection_dim=16
    ).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="SD3Transformer2DModel"):
        VideoTransformer.from_pretrained(tmp_path)


@pytest.mark.parametrize("change", ["missing", "unexpected"])
def test_weights_that_do_not_match_are_refused(change, tmp_path):
    make_tiny().save_pretrained(tmp_path)
    weights = load_file(tmp_path / WEIGHTS)
    if change == "missing":
        del weights["blocks.1.attn1.to_q.weight"]
    else:
        weights["blocks.1.attn3.to_q.weight"] = torch.zeros(3)
    save_file(weights, tmp_path / WEIGHTS, metadata={"format": "pt"})
    with pytest.raises(ValueError, match=rf"{change} parameters.*blocks\.1\.attn"):
        VideoTransformer.from_pretrained(tmp_path)


def test_truncated_weights_are_refused(tmp_path):
    make_tiny().save_pretrained(tmp_path)
    whole = (tmp_path / WEIGHTS).read_bytes()
    (tmp_path / WEIGHTS).write_bytes(whole[: len(whole) // 2])
    with pytest.raises((ValueError, OSError), match="safetensors"):
        VideoTransformer.from_pretrained(tmp_path)
