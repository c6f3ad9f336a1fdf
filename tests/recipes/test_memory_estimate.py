"""The estimate of memory against what a real transformer keeps."""

from collections.abc import Callable

import pytest
import torch
from peft import LoraConfig
from saved_bytes import saved_bytes
from torch import Tensor, nn

from train.estimate import Load, NetworkSize, activation_bytes, estimate, format_dry_run
from train.recipes.cdm import CDMRecipe
from train.recipes.train import TrainRecipe
from vision.transformer import VideoTransformer

TRAIN = {"output": "runs/x", "steps": 100, "batch_size": 3, "lr": 1e-4, "save_every": 50}
LINEAR = ["to_q", "to_k", "to_v", "to_out.0", "ffn.net.0.proj", "ffn.net.2"]


def make_transformer(layers: int = 3, device: str = "cpu") -> VideoTransformer:
    with torch.device(device):
        return VideoTransformer(
            num_attention_heads=3,
            attention_head_dim=32,
            in_channels=4,
            out_channels=4,
            text_dim=64,
            freq_dim=64,
            ffn_dim=320,
            num_layers=layers,
        )


def call(load: Load) -> Callable[[nn.Module], Tensor]:
    """Calls a network with random inputs of a load."""
    side = 2 * round(load.tokens**0.5)
    latents = torch.randn(load.samples, 4, 1, side, side)
    prompt = torch.randn(load.samples, load.prompt_tokens, 64)
    timestep = torch.rand(load.samples) * 1000
    return lambda network: network(
        hidden_states=latents, timestep=timestep, encoder_hidden_states=prompt, return_dict=False
    )[0]


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("adapter", [False, True])
@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_activations_are_those_of_a_real_transformer(precision, adapter, checkpointing):
    recipe = TrainRecipe.model_validate(
        {**TRAIN, "mixed_precision": precision, "gradient_checkpointing": checkpointing}
    )
    network = make_transformer()
    if adapter:
        network.requires_grad_(False)
        network.add_adapter(LoraConfig(r=4, target_modules=LINEAR))
        if precision == "bf16":
            for parameter in network.parameters():
                if not parameter.requires_grad:
                    parameter.data = parameter.data.bfloat16()
    network.train()
    if checkpointing:
        network.enable_gradient_checkpointing()
    load = Load.of_latents(5, (4, 1, 20, 20), (1, 2, 2), 24)
    assert load.tokens == 100
    size = NetworkSize.of(network)
    expected = activation_bytes(size, load, recipe, "cpu")
    if checkpointing:  # the block that is computed again exists in the backward pass alone
        block = NetworkSize(0, size.frozen, layers=1, width=size.width, inner_width=320, heads=size.heads)
        expected -= activation_bytes(block, load, recipe, "cpu")
    assert expected == pytest.approx(saved_bytes(network, call(load), precision == "bf16"), rel=0.25)


@pytest.mark.parametrize("adapter", [False, True])
@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_activations_of_the_modules_for_actions(precision, adapter):
    recipe = TrainRecipe.model_validate({**TRAIN, "mixed_precision": precision})
    load = Load.of_latents(2, (4, 5, 8, 8), (1, 2, 2), 4)
    rows = {"sticks": torch.randn(2, 17, 4), "buttons": torch.ones(2, 17, 6)}
    sizes, kept = [], []
    for blocks in ([], [0, 2]):
        network = make_transformer()
        network.add_conditioning("action", blocks=blocks, width=64)
        if adapter:
            network.requires_grad_(False)
            network.add_adapter(LoraConfig(r=4, target_modules=LINEAR))
        call_of: dict[str, Tensor] = {
            "hidden_states": torch.randn(2, 4, 5, 8, 8),
            "timestep": torch.full((2,), 500.0),
            "encoder_hidden_states": torch.randn(2, 4, 64),
            **rows,
        }
        size = NetworkSize.of(network.train())
        sizes.append(size)
        kept.append(saved_bytes(network, lambda net, given=call_of: net(**given).sample, precision == "bf16"))
    assert [size.action_blocks for size in sizes] == [0, 2] and sizes[1].action_width == 64
    plain, acting = (activation_bytes(size, load, recipe, "cpu") for size in sizes)
    assert acting - plain == pytest.approx(kept[1] - kept[0], rel=0.3)


def test_counts_need_no_memory():
    real, meta = make_transformer(), make_transformer(device="meta")
    assert NetworkSize.of(real) == NetworkSize.of(meta)
    size = NetworkSize.of(real.requires_grad_(False))
    assert size.trained == 0 and size.frozen == sum(p.numel() for p in real.parameters())
    assert (size.layers, size.width, size.inner_width, size.heads) == (3, 96, 320, 3)


def test_what_lasts_is_what_adamw_and_the_average_hold():
    network = nn.Linear(7, 5)
    recipe = TrainRecipe.model_validate({**TRAIN, "mixed_precision": "no"})
    optimizer = torch.optim.AdamW(network.parameters())
    network(torch.ones(1, 7)).sum().backward()
    optimizer.step()
    moments = [value for state in optimizer.state.values() for name, value in state.items() if name != "step"]
    found = estimate(NetworkSize.of(network), None, recipe, averaged=True)
    assert found.moments == sum(value.nbytes for value in moments)
    assert found.weights == found.average == found.gradients == sum(p.nbytes for p in network.parameters())
    assert found.activations is None


def test_fsdp2_divides_what_lasts_and_not_what_passes():
    size, load = NetworkSize.of(make_transformer(device="meta")), Load(2, 64, 8)
    recipe = TrainRecipe.model_validate({**TRAIN, "sharding": "fsdp2"})
    one, four = (estimate(size, load, recipe, averaged=True, processes=n) for n in (1, 4))
    assert four.lasting == pytest.approx(one.lasting / 4, rel=1e-3)
    assert four.gradients == pytest.approx(one.gradients / 4, rel=1e-3)
    assert four.activations == one.activations
    whole = estimate(size, load, TrainRecipe.model_validate(TRAIN), averaged=True, processes=4)
    assert whole.lasting == one.lasting


def test_switches_that_save_memory_save_it():
    size, load = NetworkSize.of(make_transformer(device="meta")), Load(2, 256, 8)
    plain = estimate(size, load, TrainRecipe.model_validate(TRAIN), averaged=True)
    for switch in ({"gradient_checkpointing": True}, {"eight_bit": True}, {"ema_decay": None}):
        saving = estimate(size, load, TrainRecipe.model_validate({**TRAIN, **switch}), averaged=True)
        assert saving.lasting + saving.passing < plain.lasting + plain.passing


def test_the_dry_run_shows_recipe_counts_and_sum():
    recipe = CDMRecipe.model_validate(
        {"recipe": "cdm", "train": TRAIN, "teacher": "checkpoints/t", "prompts": "p.txt"}
    )
    network = make_transformer(device="meta")
    trained = NetworkSize.of(network)
    frozen = NetworkSize.of(network.requires_grad_(False))
    load = Load(6, 64, 8)
    networks = {
        "student": estimate(trained, load, recipe.train, averaged=True),
        "fake": estimate(trained, load, recipe.train),
        "teacher": estimate(frozen, load, recipe.train),
    }
    text = format_dry_run(recipe, networks, processes=2)
    assert "guidance_scale: 7.0" in text
    lines = {line.split()[0]: line.split() for line in text.splitlines() if line.strip()}
    assert lines["student"][1:3] == [
        f"{trained.trained / 1e6:.2f}M" if trained.trained >= 1e6 else f"{trained.trained / 1e3:.2f}k",
        "0",
    ]
    assert lines["teacher"][1] == "0"
    assert "100 iterations of 6 samples (3 x 1 accumulated x 2 processes)" in text
    total = sum(n.lasting for n in networks.values()) + networks["student"].passing
    assert f"about {total / 2**20:.1f} MiB on each of 2 processes" in text
