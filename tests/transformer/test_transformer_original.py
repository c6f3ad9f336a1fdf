"""The naming of the original Wan releases, there and back."""

import json
import re

import pytest
import torch
from diffusers.loaders.single_file_utils import convert_wan_transformer_to_diffusers
from safetensors.torch import save_file
from tiny_transformers import VARIANTS, make_inputs, make_tiny

from vision.transformer import VideoTransformer

# What wan/modules/model.py registers, one name a kind of parameter; "blocks.*" stands for each block.
TEXT_NAMES = [
    "patch_embedding.weight",
    "text_embedding.0.weight",
    "text_embedding.2.bias",
    "time_embedding.0.weight",
    "time_embedding.2.weight",
    "time_projection.1.weight",
    "blocks.*.modulation",
    *(f"blocks.*.{kind}_attn.{layer}.weight" for kind in ("self", "cross") for layer in "qkvo"),
    *(f"blocks.*.{kind}_attn.{layer}.bias" for kind in ("self", "cross") for layer in "qkvo"),
    *(f"blocks.*.{kind}_attn.norm_{layer}.weight" for kind in ("self", "cross") for layer in "qk"),
    "blocks.*.norm3.weight",
    "blocks.*.ffn.0.weight",
    "blocks.*.ffn.2.weight",
    "head.modulation",
    "head.head.weight",
]
IMAGE_NAMES = [
    "img_emb.proj.0.weight",
    "img_emb.proj.1.weight",
    "img_emb.proj.3.bias",
    "img_emb.proj.4.weight",
    "blocks.*.cross_attn.k_img.weight",
    "blocks.*.cross_attn.v_img.bias",
    "blocks.*.cross_attn.norm_k_img.weight",
]


def same(first: VideoTransformer, second: VideoTransformer) -> bool:
    left, right = first.state_dict(), second.state_dict()
    return left.keys() == right.keys() and all(
        left[name].dtype == right[name].dtype and torch.equal(left[name], right[name]) for name in left
    )


def fields(model: VideoTransformer) -> dict:
    return {name: value for name, value in model.config.items() if not name.startswith("_")}


@pytest.mark.parametrize("variant", VARIANTS)
def test_round_trip_is_exact(variant):
    model = make_tiny(variant)
    again = VideoTransformer.from_original(model.to_original(), num_attention_heads=2)
    assert same(model, again)
    assert fields(again) == fields(model)
    inputs = make_inputs(variant)
    with torch.no_grad():
        assert torch.equal(model(**inputs).sample, again(**inputs).sample)


def test_image_to_video_channels_are_read_from_the_shapes():
    # Image-to-video models see 36 channels and predict 16; Wan 2.2 TI2V has 48 of each.
    model = VideoTransformer(
        num_attention_heads=1,
        attention_head_dim=128,
        in_channels=36,
        out_channels=16,
        text_dim=8,
        ffn_dim=16,
        num_layers=2,
        freq_dim=16,
    )
    again = VideoTransformer.from_original(model.to_original())
    assert same(model, again)
    assert fields(again) == fields(model)


# The converter does not know the positions of first- and last-frame models.
@pytest.mark.parametrize("variant", ["text", "plain_cross", "image"])
def test_names_agree_with_diffusers_converter(variant):
    model = make_tiny(variant)
    converted = convert_wan_transformer_to_diffusers(dict(model.to_original()))
    assert converted.keys() == model.state_dict().keys()
    for name, tensor in model.state_dict().items():
        assert torch.equal(converted[name], tensor)


def test_names_are_those_of_the_release():
    names = {re.sub(r"^blocks\.\d+", "blocks.*", name) for name in make_tiny("image").to_original()}
    assert names.issuperset(TEXT_NAMES + IMAGE_NAMES)
    text = {re.sub(r"^blocks\.\d+", "blocks.*", name) for name in make_tiny().to_original()}
    assert text.issuperset(TEXT_NAMES) and not text.intersection(IMAGE_NAMES)


def test_mixed_types_are_kept():
    state = make_tiny().to_original()
    state = {name: value.bfloat16() if "modulation" not in name else value for name, value in state.items()}
    model = VideoTransformer.from_original(state, num_attention_heads=2)
    assert model.scale_shift_table.dtype == torch.float32
    assert model.proj_out.weight.dtype == torch.bfloat16
    assert all(torch.equal(value, state[name]) for name, value in model.to_original().items())
    with torch.no_grad():
        assert model(**make_inputs()).sample.isfinite().all()


def test_files_are_read(tmp_path):
    model = make_tiny()
    state = model.to_original()
    names = sorted(state)
    (tmp_path / "one").mkdir()
    (tmp_path / "sharded").mkdir()
    save_file(state, tmp_path / "one" / "model.safetensors")
    save_file(
        {f"model.diffusion_model.{name}": state[name] for name in names}, tmp_path / "prefixed.safetensors"
    )
    shards = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for shard, part in shards.items():
        save_file({name: state[name] for name in part}, tmp_path / "sharded" / shard)
    index = {"weight_map": {name: shard for shard, part in shards.items() for name in part}}
    (tmp_path / "sharded" / "model.safetensors.index.json").write_text(json.dumps(index))
    for source in ("one", "one/model.safetensors", "prefixed.safetensors", "sharded"):
        assert same(model, VideoTransformer.from_original(tmp_path / source, num_attention_heads=2))
    (tmp_path / "sharded" / "b.safetensors").unlink()
    with pytest.raises(ValueError, match=r"lists b\.safetensors"):
        VideoTransformer.from_original(tmp_path / "sharded", num_attention_heads=2)


def test_unreadable_sources_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no file or folder"):
        VideoTransformer.from_original(tmp_path / "nothing")
    with pytest.raises(ValueError, match=r"0 \.safetensors files"):
        VideoTransformer.from_original(tmp_path)
    (tmp_path / "model.pth").write_bytes(b"pickle")
    with pytest.raises(ValueError, match="pickles are never read"):
        VideoTransformer.from_original(tmp_path / "model.pth")
    save_file(make_tiny().to_original(), tmp_path / "model.safetensors")
    whole = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(whole[:-100])
    with pytest.raises(ValueError, match="damaged"):
        VideoTransformer.from_original(tmp_path / "model.safetensors")


def test_weights_that_do_not_fit_are_refused():
    state = make_tiny().to_original()

    def load(**changes):
        changed = {**state, **{name.replace("__", "."): value for name, value in changes.items()}}
        return VideoTransformer.from_original(
            {name: value for name, value in changed.items() if value is not None}, num_attention_heads=2
        )

    with pytest.raises(ValueError, match=r"missing blocks\.2\.attn1\.to_q\.weight"):
        load(blocks__2__self_attn__q__weight=None)
    with pytest.raises(ValueError, match=r"unexpected vace_blocks\.0\.proj_out\.bias"):
        load(vace_blocks__0__after_proj__bias=torch.zeros(2))
    with pytest.raises(ValueError, match=r"no name in this format: blocks\.0\.after_ffn\.bias"):
        load(blocks__0__after_ffn__bias=torch.zeros(2))
    with pytest.raises(ValueError, match=r"blocks\.1\.ffn\.net\.0\.proj\.bias is \(63,\)"):
        load(blocks__1__ffn__0__bias=torch.zeros(63))
    with pytest.raises(ValueError, match="no patch_embedding"):
        load(patch_embedding__weight=None)
    with pytest.raises(ValueError, match="pass num_attention_heads"):
        VideoTransformer.from_original(state)
    with pytest.raises(ValueError, match="does not split"):
        VideoTransformer.from_original(state, num_attention_heads=7)
