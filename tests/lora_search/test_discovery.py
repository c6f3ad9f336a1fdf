"""Which layers become candidates, what they cost, and what cannot be one."""

import pytest
import torch
from diffusers.models.transformers.transformer_wan import WanTransformer3DModel
from gated_networks import EACH, TRANSFORMERS, Residual, gated, picture, wan  # pyright: ignore[reportMissingImports]
from torch import nn

from vision.lora import discover, inject


@pytest.mark.parametrize("name", TRANSFORMERS)
@pytest.mark.parametrize("preset", ["dit-block", "dit-family"])
def test_presets_find_every_block_and_the_cost_is_what_is_added(name: str, preset: str):
    network = TRANSFORMERS[name]()
    before = sum(p.numel() for p in network.parameters())
    candidates = discover(network, preset, rank=3)
    blocks = [n for n, _ in network.named_modules() if n.rpartition(".")[0].endswith("blocks")]
    found = {c.name for c in candidates}
    if preset == "dit-block":
        assert found == set(blocks)
    else:
        assert {"patch_embed", "final_layer"} <= found
        assert all(any(n.startswith(block) for n in found) for block in blocks)
    layers = [layer for c in candidates for layer in c.layers]
    assert len(set(layers)) == len(layers)
    lora = inject(network, candidates)
    after = sum(p.numel() for p in network.parameters())
    assert after - before == sum(c.cost for c in candidates) + len(candidates) == lora.cost + len(candidates)


def test_attention_and_feed_forward_of_a_block_are_its_families():
    by_name = {c.name: c.layers for c in discover(wan(), "dit-family")}
    assert by_name["blocks.1.attn2.qkv"] == tuple(f"blocks.1.attn2.to_{x}" for x in "qkv")
    assert by_name["blocks.0.fc2"] == ("blocks.0.ffn.net.2",)
    assert by_name["patch_embed"] == ("patch_embedding",)
    theirs = {c.name: c.layers for c in discover(wan(WanTransformer3DModel), "dit-family")}
    assert by_name == theirs


def test_convolutions_that_one_module_holds_are_a_candidate():
    found = {c.name: c for c in discover(picture(), "conv-block", rank=2)}
    assert {name: c.layers for name, c in found.items()} == {
        name: (f"{name}.conv1", f"{name}.conv2") for name in ("block1", "block2")
    }
    assert found["block1"].cost == 2 * 2 * (8 * 9 + 8)


def test_expressions_group_layers_by_what_they_capture():
    network = picture()
    assert [c.name for c in discover(network, r"block\d\.conv1|mix")] == [
        "block1.conv1",
        "block2.conv1",
        "mix",
    ]
    assert [c.name for c in discover(network, [r"(block\d)\..*", r"down\.0"])] == [
        "block1",
        "down.0",
        "block2",
    ]
    named = discover(network, {"first": r"block\d\.conv1", "second": r"(block\d)\.conv2"})
    assert {c.name: c.layers for c in named} == {
        "first": ("block1.conv1", "block2.conv1"),
        "block1.second": ("block1.conv2",),
        "block2.second": ("block2.conv2",),
    }


def test_a_network_that_carries_adapters_has_the_same_candidates():
    network = picture()
    before = discover(network, ".*", rank=4)
    gated(network)
    assert discover(network, ".*", rank=4) == before


@pytest.mark.parametrize("conv_form", ["peft", "loralib"])
def test_the_cost_of_each_layer_is_what_is_added(conv_form):
    network = picture(plain=True)
    spec = EACH if conv_form == "loralib" else ".*"
    lora = inject(network, discover(network, spec, rank=4, conv_form=conv_form))
    for candidate in lora.candidates:
        factors = [f for layer in lora.layers(candidate).values() for f in (layer.lora_A, layer.lora_B)]
        assert candidate.cost == sum(p.numel() for factor in factors for p in factor.parameters())


def test_the_published_adapter_and_search_space_have_their_size():
    """BiLaLoRA on DEA-Net: blocks of 32, 64 and 128 channels, three of the widest are kept (0.1106 M)."""
    with torch.device("meta"):
        blocks = nn.Sequential(*[Residual(width) for width in [32] * 4 + [64] * 4 + [128] * 8])
    found = discover(blocks, "conv-block", rank=8, conv_form="loralib")
    assert (len(found), sum(c.cost for c in found)) == (16, 405_504)
    assert sum(c.cost for c in found[-3:]) == 110_592


def test_ranks_may_differ_by_candidate():
    found = discover(picture(), r"(block\d)\..*|(mix)", rank={"block.*": 4, "mix": 1})
    assert {c.name: c.rank for c in found} == {"block1": 4, "block2": 4, "mix": 1}
    with pytest.raises(ValueError, match="no rank is given for the candidates mix"):
        discover(picture(), r"(block\d)\..*|(mix)", rank={"block.*": 4})
    with pytest.raises(ValueError, match=r"\['mlp'\] match no candidate; found block1"):
        discover(picture(), "conv-block", rank={"block.*": 4, "mlp": 2})
    with pytest.raises(ValueError, match=r"ranks must be 1 or more, found \{'block1': 0"):
        discover(picture(), "conv-block", rank=0)


@pytest.mark.parametrize("spec", ["dit-block", r"bloc\d.*", ["nothing"], {"a": "nothing"}])
def test_a_spec_that_matches_nothing_is_refused(spec):
    with pytest.raises(
        ValueError, match=r"matches no layer of the Picture; its 9 linear .* called enter, block1"
    ):
        discover(picture(), spec)


def test_an_update_that_a_layer_cannot_take_is_refused():
    with pytest.raises(
        ValueError, match="grouped is a convolution of 4 groups, among which rank 6 cannot be"
    ):
        discover(picture(), "grouped", rank=6)
    with pytest.raises(
        ValueError, match=r"grouped is a Conv2d with kernel \(3, 3\) and 4 groups; use conv_form='p"
    ):
        discover(picture(), "grouped", conv_form="loralib")
    oblong = nn.Sequential(nn.Conv2d(3, 4, (3, 5)))
    assert discover(oblong, "0", rank=2)[0].cost == 2 * (3 * 15 + 4)
    with pytest.raises(ValueError, match="square kernels"):
        discover(oblong, "0", conv_form="loralib")


def test_layers_that_torch_never_calls_are_left_out():
    network = nn.Sequential(nn.TransformerEncoderLayer(8, 2, 16))
    assert [c.name for c in discover(network, ".*", rank=2)] == ["0.linear1", "0.linear2"]


@pytest.mark.parametrize("spec", ["(", ["conv", "[a"], {"mlp": "*"}])
def test_what_is_no_expression_is_named(spec):
    with pytest.raises(ValueError, match="is no regular expression"):
        discover(nn.Sequential(nn.Linear(2, 2)), spec)
