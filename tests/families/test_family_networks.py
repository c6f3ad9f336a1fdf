"""The denoisers of diffusers' networks: what reaches the network, gradients, anchors, shards."""

from pathlib import Path
from typing import Any

import pytest
import torch
from forked import run_forked  # pyright: ignore[reportMissingImports] - of tests/train
from tiny_families import FRAMES, HEIGHT, MAKE, WIDTH
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule

from train.placement import cast_weights
from train.sharding import make_mesh, shard_network
from vision.distill.anchor import ANCHOR_SIGMA, AnchorAwareDenoiser
from vision.distill.families import Family, find_family
from vision.flow.denoiser import Denoiser
from vision.lora.adapters import PRESETS, add_lora
from vision.transformer.blocks import repeated_blocks

SCALE = {"sd3": 1000, "longcat_image": 1, "wan": 1000}


def condition(name: str, size: int) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(1)
    made: dict[str, tuple[int, ...]] = {
        "encoder_hidden_states" if name == "wan" else "prompt_embeds": (size, 7, 32)
    }
    if name == "sd3":
        made["pooled_prompt_embeds"] = (size, 32)
    return {key: torch.randn(shape, generator=draw) for key, shape in made.items()}


def case(name: str, folder: Path, size: int = 2) -> tuple[Family, Tensor, Tensor, dict[str, Tensor]]:
    family = find_family(folder)
    shape = family.latent_shape(HEIGHT, WIDTH, FRAMES if name == "wan" else None)
    noise = torch.randn(size, *shape, generator=torch.Generator().manual_seed(2))
    return family, noise, torch.tensor([0.7499, 0.1234])[:size], condition(name, size)


def times_that_arrive(network: nn.Module) -> list[Tensor]:
    found: list[Tensor] = []

    def note(module: nn.Module, arguments: Any, named: dict[str, Any]) -> None:
        found.append(named["timestep"].detach().clone())

    network.register_forward_pre_hook(note, with_kwargs=True)
    return found


def check_times(name: str, found: list[Tensor], t: Tensor) -> None:
    (time,) = found
    assert time.dtype == torch.float32
    assert torch.equal(time, SCALE[name] * t)
    assert abs(float(time[0]) - SCALE[name] * 0.7499) < 1e-4 * SCALE[name]


@pytest.mark.parametrize("frozen", [False, True], ids=["float32", "bf16"])
@pytest.mark.parametrize("name", MAKE)
def test_the_time_arrives_in_full_precision(name: str, frozen: bool, teachers: dict[str, Path]):
    family, x, t, prompt = case(name, teachers[name])
    network = family.network().requires_grad_(not frozen)
    cast_weights(network, bf16=True)
    found = times_that_arrive(network)
    with torch.autocast("cpu", torch.bfloat16):
        velocity = family.denoiser(network).velocity(x, t, prompt)
    assert velocity.dtype == torch.float32 and velocity.shape == x.shape and velocity.isfinite().all()
    check_times(name, found, t)


def sharded(folders: dict[str, Path]) -> None:
    """One process with a group of its own: shards of each network answer as the whole one does."""
    mesh = make_mesh(torch.device("cpu"))
    for name, folder in folders.items():
        family, x, t, prompt = case(name, folder)
        for bf16, adapter in ((False, False), (True, False), (True, True)):
            network: Any = family.network()
            if adapter:
                add_lora(network, 2, 4.0)
            cast_weights(network, bf16)
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                whole = family.denoiser(network).velocity(x, t, prompt)
            blocks = repeated_blocks(network)
            shard_network(network, mesh, bf16)
            assert blocks and all(isinstance(block, FSDPModule) for block in blocks)
            network.enable_gradient_checkpointing()
            found = times_that_arrive(network)
            with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                velocity = family.denoiser(network).velocity(x, t, prompt)
            check_times(name, found, t)
            torch.testing.assert_close(velocity, whole, atol=0.1 if bf16 else 1e-5, rtol=0)
            velocity.square().mean().backward()
            assert all(p.grad is not None for p in network.parameters() if p.requires_grad)


def test_shards_get_the_time_in_full_precision_and_answer_the_same(teachers: dict[str, Path]):
    run_forked(sharded, teachers)


def gradients(denoiser: Denoiser, x: Tensor, t: Tensor, prompt: dict[str, Tensor]) -> dict[str, Tensor]:
    denoiser.network.zero_grad()
    denoiser.velocity(x, t, prompt).square().mean().backward()
    named = denoiser.network.named_parameters()
    return {n: p.grad.clone() for n, p in named if p.requires_grad and p.grad is not None}


@pytest.mark.parametrize("adapter", [False, True], ids=["full", "lora"])
@pytest.mark.parametrize("name", MAKE)
def test_gradients_flow_also_when_blocks_are_computed_again(
    name: str, adapter: bool, teachers: dict[str, Path]
):
    family, x, t, prompt = case(name, teachers[name])
    network: Any = family.network()
    if adapter:
        add_lora(network, 2, 4.0)
        for parameter in network.parameters():
            if parameter.requires_grad:
                parameter.data = 0.1 * torch.randn(parameter.shape)
    network.train()
    trained = [n for n, p in network.named_parameters() if p.requires_grad]
    assert trained and all((".lora_" in n) == adapter for n in trained)
    plain = gradients(family.denoiser(network), x, t, prompt)
    assert sorted(plain) == sorted(trained)
    assert sum(float(g.abs().max()) > 0 for g in plain.values()) > 0.9 * len(plain)
    network.enable_gradient_checkpointing()
    again = gradients(family.denoiser(network), x, t, prompt)
    assert all(torch.allclose(again[key], plain[key], atol=1e-6) for key in plain)


@pytest.mark.parametrize("name", MAKE)
def test_an_anchor_is_heard_once_it_is_trained(name: str, teachers: dict[str, Path]):
    family, x, t, prompt = case(name, teachers[name])
    network: Any = family.network()
    before = family.denoiser(network).velocity(x, t, prompt)
    aware = AnchorAwareDenoiser(family.denoiser(network))
    told = {**prompt, ANCHOR_SIGMA: torch.tensor([0.9, 0.5])}
    assert torch.equal(aware.velocity(x, t, told), before)
    network.anchor_embedding.linear.weight.data.normal_()
    heard = aware.velocity(x, t, told)
    assert (heard - before).abs().amax(dim=(1, 2, 3, 4)).min() > 1e-4
    assert torch.equal(aware.velocity(x, t, prompt), before)
    other = aware.velocity(x, t, {**prompt, ANCHOR_SIGMA: torch.tensor([0.9, 0.1])})
    assert torch.allclose(other[0], heard[0]) and not torch.allclose(other[1], heard[1])


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        # Eight projections of a joint attention and two feed-forwards of two layers, less the last block's.
        ("sd3", {"attention": 8 + 7, "feed-forward": 4 + 2}),
        # One double block, and two single ones with three projections, proj_mlp and proj_out.
        ("longcat_image", {"attention": 8 + 2 * 3, "feed-forward": 4 + 2 * 2}),
        ("wan", {"attention": 2 * 2 * 4, "feed-forward": 2 * 2}),
    ],
)
def test_presets_match_the_layers_of_every_block(
    name: str, layers: dict[str, int], teachers: dict[str, Path]
):
    for preset in PRESETS:
        network = find_family(teachers[name]).empty_network()
        add_lora(network, 2, 2.0, preset)
        adapted = {n.split(".lora_")[0] for n, _ in network.named_parameters() if ".lora_" in n}
        assert len(adapted) == (sum(layers.values()) if preset == "attention+ffn" else layers[preset])
        blocks = {id(module) for block in repeated_blocks(network) for module in block.modules()}
        assert all(id(network.get_submodule(layer)) in blocks for layer in adapted)


def test_blocks_are_found_in_every_network(teachers: dict[str, Path]):
    count = {"sd3": 2, "longcat_image": 1 + 2, "wan": 2}
    for name, teacher in teachers.items():
        family = find_family(teacher)
        assert len(repeated_blocks(family.empty_network())) == count[name]
    assert repeated_blocks(nn.Sequential(nn.Linear(2, 2))) == []
