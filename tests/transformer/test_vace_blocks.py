"""VACE's context blocks against diffusers' WanVACETransformer3DModel, files both ways, and mistakes."""

import json
from typing import Any, cast

import pytest
import torch
from diffusers.models.transformers.transformer_wan_vace import WanVACETransformer3DModel
from tiny_context import make_vace, make_vace_pair, vace_inputs
from tiny_transformers import TINY, make_inputs, make_tiny

from vision.transformer import VideoTransformer


@pytest.mark.parametrize(
    ("layers", "fields"),
    [
        ([0], {}),
        ([0, 2], {}),
        ([0, 1, 2], {"cross_attn_norm": False}),
        ([2, 0], {"num_attention_heads": 1, "in_channels": 6, "out_channels": 5}),
    ],
)
@torch.no_grad()
def test_equals_diffusers_with_equal_weights(layers, fields):
    theirs, ours = make_vace_pair(layers, **fields)
    inputs = vace_inputs()
    if "in_channels" in fields:
        inputs["hidden_states"] = torch.randn(2, 6, 3, 8, 6)
    for scale in (None, torch.rand(len(layers)), torch.zeros(len(layers))):
        expected = theirs(**inputs, control_hidden_states_scale=scale).sample
        output = ours(**inputs, control_hidden_states_scale=scale).sample
        assert expected.abs().max() > 1
        torch.testing.assert_close(output, expected, rtol=0, atol=1e-5)


def test_gradients_equal_diffusers():
    theirs, ours = make_vace_pair([0, 1])
    inputs, target = vace_inputs(), torch.randn(2, 4, 3, 8, 6)
    ours.enable_gradient_checkpointing()
    for model in (theirs, ours):
        (model.train()(**inputs).sample - target).square().mean().backward()
    mine = dict(ours.named_parameters())
    for name, parameter in theirs.named_parameters():
        torch.testing.assert_close(mine[name].grad, parameter.grad, rtol=1e-3, atol=1e-5, msg=name)


@torch.no_grad()
def test_folders_load_both_ways(tmp_path):
    theirs, _ = make_vace_pair([0, 2])
    theirs.save_pretrained(tmp_path / "theirs")
    ours = VideoTransformer.from_pretrained(tmp_path / "theirs")
    ours.save_pretrained(tmp_path / "ours")
    config = json.loads((tmp_path / "ours" / "config.json").read_text())
    assert (
        config["vace_layers"] == [0, 2] and config["vace_in_channels"] == 9 and "conditioning" not in config
    )
    again, info = WanVACETransformer3DModel.from_pretrained(tmp_path / "ours", output_loading_info=True)  # type: ignore
    assert not any(info.values())
    inputs = vace_inputs()
    assert torch.equal(again(**inputs).sample, theirs(**inputs).sample)
    assert torch.equal(
        VideoTransformer.from_pretrained(tmp_path / "ours")(**inputs).sample, ours(**inputs).sample
    )
    half = VideoTransformer.from_pretrained(tmp_path / "theirs", torch_dtype=torch.bfloat16)
    expected = WanVACETransformer3DModel.from_pretrained(tmp_path / "theirs", torch_dtype=torch.bfloat16)
    assert {n: p.dtype for n, p in half.named_parameters()} == {
        n: p.dtype for n, p in expected.named_parameters()
    }


def test_a_plain_model_has_no_field_of_them():
    assert not {"vace_layers", "vace_in_channels"} & make_tiny().config.keys()
    assert not any("vace" in name for name in make_tiny().state_dict())


@torch.no_grad()
def test_added_to_a_plain_model_they_change_no_bit_and_start_from_its_blocks():
    model, inputs = make_tiny(), vace_inputs()
    before = model(**make_inputs_of(inputs)).sample
    model.add_conditioning("vace", vace_layers=[0, 2], vace_in_channels=9)
    assert torch.equal(model(**inputs).sample, before)
    blocks, context = model.blocks, cast(Any, model.vace_blocks)
    copied = dict(blocks[2].named_parameters())
    found = {n: p for n, p in context[1].named_parameters() if not n.startswith("proj_")}
    assert found.keys() == copied.keys() and all(torch.equal(found[name], copied[name]) for name in found)
    torch.nn.init.normal_(context[1].proj_out.weight)
    assert not torch.allclose(model(**inputs).sample, before, atol=1e-2)
    assert torch.equal(model(**make_inputs_of(inputs)).sample, before)
    with pytest.raises(ValueError, match="'vace' already"):
        model.add_conditioning("vace", vace_layers=[0], vace_in_channels=9)


def make_inputs_of(inputs):
    return {name: value for name, value in inputs.items() if name != "control_hidden_states"}


@torch.no_grad()
def test_weights_from_scratch_give_no_hint_and_learn_one():
    model = make_vace([0, 1])
    model.init_weights()
    model.proj_out.weight.normal_()
    inputs = vace_inputs()
    assert torch.equal(model(**inputs).sample, model(**make_inputs_of(inputs)).sample)
    with torch.enable_grad():
        model(**inputs).sample.square().mean().backward()
    assert model.get_parameter("vace_blocks.1.proj_out.weight").grad.abs().max() > 0  # type: ignore


@torch.no_grad()
def test_the_original_naming_there_and_back():
    model = make_vace([0, 2], num_layers=4)
    original = model.to_original()
    assert {"vace_patch_embedding.weight", "vace_blocks.0.before_proj.weight"} < original.keys()
    assert {"vace_blocks.1.after_proj.bias", "vace_blocks.1.self_attn.q.weight"} < original.keys()
    again = VideoTransformer.from_original(original, num_attention_heads=2)
    assert again.config["vace_layers"] == [0, 2] and again.config["vace_in_channels"] == 9
    inputs = vace_inputs()
    assert torch.equal(again(**inputs).sample, model(**inputs).sample)
    uneven = make_vace([0, 1], num_layers=4)
    told = VideoTransformer.from_original(uneven.to_original(), num_attention_heads=2, vace_layers=[0, 1])
    assert torch.equal(told(**inputs).sample, uneven(**inputs).sample)
    with pytest.raises(ValueError, match="do not make a whole model"):
        VideoTransformer.from_original(original, num_attention_heads=2, vace_layers=[0])


def test_sizes_of_the_release():
    with torch.device("meta"):
        model = VideoTransformer(
            num_attention_heads=12,
            ffn_dim=8960,
            num_layers=30,
            vace_layers=list(range(0, 30, 2)),
            conditioning={"guider": {}},
        )
    sizes = {name: sum(p.numel() for p in part.parameters()) for name, part in model.named_children()}
    context = sizes["vace_blocks"] + sizes["vace_patch_embedding"]
    assert round(sum(sizes.values()) / 1e9, 3) == round((1.419 + 0.735) + sizes["guides"] / 1e9, 3)
    assert round(context / 1e9, 3) == 0.735
    block = sum(p.numel() for p in model.guides["guider"].blocks.parameters())  # type: ignore
    assert round(block / 1e9, 3) == 0.056


@pytest.mark.parametrize("layers", [[1, 2], [0, 3], [0, 0], [-1, 0]])
def test_layers_that_cannot_be(layers):
    with pytest.raises(ValueError, match="expected different blocks from 0 to 2, 0 among them"):
        VideoTransformer(**TINY, vace_layers=layers)


@torch.no_grad()
def test_inputs_that_do_not_fit():
    model = make_vace([0, 1])
    with pytest.raises(ValueError, match=r"shape \(2, 8, 3, 8, 6\); expected \(2, 9, 3, 8, 6\)"):
        model(**vace_inputs(control_hidden_states=torch.randn(2, 8, 3, 8, 6)))
    with pytest.raises(ValueError, match=r"scale has shape \(3,\); expected \(2,\)"):
        model(**vace_inputs(), control_hidden_states_scale=torch.ones(3))
    with pytest.raises(ValueError, match="scale was given without control_hidden_states"):
        model(**make_inputs(text_tokens=5), control_hidden_states_scale=torch.ones(2))
    with pytest.raises(ValueError, match="it takes vace_layers, vace_in_channels"):
        make_tiny().add_conditioning("vace", vace_layers=[0])
