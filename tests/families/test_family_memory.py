"""The estimate of memory against what the networks of diffusers keep, and the figures of the recipes."""

import io
import re
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.models.transformers.transformer_longcat_image import LongCatImageTransformer2DModel
from diffusers.models.transformers.transformer_sd3 import SD3Transformer2DModel
from diffusers.models.transformers.transformer_wan import WanTransformer3DModel
from saved_bytes import saved_bytes
from torch import Tensor, nn

from train import cdm
from train.estimate import Load, NetworkSize, activation_bytes
from train.placement import cast_weights
from train.recipes.train import TrainRecipe
from vision.distill.families import LongCatImageDenoiser, SD3Denoiser, WanDenoiser, find_family
from vision.lora.adapters import add_lora

ROOT = Path(__file__).parents[2]
TRAIN = {"output": "runs/x", "steps": 100, "batch_size": 3, "lr": 1e-4, "save_every": 50}
HEADS: dict[str, Any] = {"num_attention_heads": 4, "attention_head_dim": 32}
WIDTH, TEXT, SIDE = 128, 64, 20
#: Parameters of the released transformers, in billions.
SIZES = {"sd3_medium": 2.03, "longcat_image": 6.27, "wan21_1_3b": 1.42}


def network(name: str) -> Any:
    if name == "sd3":
        joint: dict[str, Any] = {
            "joint_attention_dim": TEXT,
            "caption_projection_dim": WIDTH,
            "pooled_projection_dim": 32,
        }
        return SD3Transformer2DModel(
            sample_size=SIDE,
            in_channels=4,
            out_channels=4,
            num_layers=3,
            pos_embed_max_size=16,
            **joint,
            **HEADS,
        )
    if name == "longcat_image":
        joint: dict[str, Any] = {
            "joint_attention_dim": TEXT,
            "pooled_projection_dim": TEXT,
            "axes_dims_rope": [8, 12, 12],
        }
        return LongCatImageTransformer2DModel(
            in_channels=16, num_layers=1, num_single_layers=2, **joint, **HEADS
        )
    return WanTransformer3DModel(
        in_channels=4, out_channels=4, text_dim=TEXT, freq_dim=64, ffn_dim=700, num_layers=3, **HEADS
    )


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("adapter", [False, True])
@pytest.mark.parametrize("precision", ["no", "bf16"])
@pytest.mark.parametrize("name", ["sd3", "longcat_image", "wan"])
def test_activations_are_those_of_the_real_networks(
    name: str, precision: str, adapter: bool, checkpointing: bool
):
    recipe = TrainRecipe.model_validate(
        {**TRAIN, "mixed_precision": precision, "gradient_checkpointing": checkpointing}
    )
    made = network(name)
    if adapter:
        add_lora(made, 4, 4.0)
    cast_weights(made, precision == "bf16")
    made.train()
    if checkpointing:
        made.enable_gradient_checkpointing()
    load = Load(3, (SIDE // 2) ** 2, 24)
    kind = {"sd3": SD3Denoiser, "longcat_image": LongCatImageDenoiser, "wan": WanDenoiser}[name]
    prompt = torch.randn(3, 24, TEXT)
    condition = {"prompt_embeds": prompt, "encoder_hidden_states": prompt}
    condition["pooled_prompt_embeds"] = torch.randn(3, 32)

    def call(called: nn.Module) -> Tensor:
        return kind(called).velocity(torch.randn(3, 4, 1, SIDE, SIDE), torch.rand(3), condition)

    size = NetworkSize.of(made)
    assert size.joint == (name != "wan") and size.layers == 3
    expected = activation_bytes(size, load, recipe)
    if checkpointing:  # the block that is computed again exists in the backward pass alone
        one = NetworkSize(
            0, size.frozen, layers=1, width=WIDTH, inner_width=size.inner_width, heads=4, joint=size.joint
        )
        expected -= activation_bytes(one, load, recipe)
    tolerance = 0.45 if checkpointing else 0.3
    assert expected == pytest.approx(saved_bytes(made, call, precision == "bf16"), rel=tolerance)


@pytest.mark.parametrize("name", SIZES)
def test_a_recipe_states_what_the_dry_run_says(name: str):
    """Without weights and without the hub: from the configurations that lie beside the recipes."""
    recipe = ROOT / "configs" / "cdm" / f"{name}.yaml"
    text = recipe.read_text()
    # "#   4 GPUs  about 38 GiB with --train.accumulation 2", where a line may hold two and may be continued.
    claims = re.sub(r"\n#\s{10,}", " ", text[: text.index("\nrecipe: cdm")])
    found = 0
    for gpus, rest in re.findall(r"#\s+(\d) GPUs?\s+(.*)", claims):
        for gib, words in re.findall(r"about (\d+) GiB ((?:(?!about).)*)", rest):
            options = re.sub(r"\(.*?\)|[,;]", " ", words)
            found += 1
            assert dry_run(recipe, int(gpus), re.findall(r"--\S+ \S+", options)) == pytest.approx(
                int(gib), abs=1
            )
    assert found >= 3
    network = find_family(ROOT / "configs" / "architectures" / name).empty_network()
    assert sum(p.numel() for p in network.parameters()) / 1e9 == pytest.approx(SIZES[name], abs=0.01)


@pytest.mark.parametrize(
    ("name", "shape", "tokens"),
    [
        ("sd3_medium", (16, 1, 128, 128), 4096),
        ("longcat_image", (16, 1, 128, 128), 4096),
        ("wan21_1_3b", (16, 21, 60, 104), 21 * 30 * 52),
    ],
)
def test_sizes_that_no_recipe_names_are_the_models_own(name: str, shape: tuple[int, ...], tokens: int):
    family = find_family(ROOT / "configs" / "architectures" / name)
    assert family.latent_shape(None, None, None) == shape
    assert family.sequence_length(shape) == tokens  # pyright: ignore[reportArgumentType]


def dry_run(recipe: Path, gpus: int, options: list[str]) -> float:
    words = [word for option in options for word in option.split()]
    architecture = ["--architecture", str(ROOT / "configs" / "architectures" / recipe.stem)]
    shown = io.StringIO()
    with redirect_stdout(shown):
        assert cdm.main([str(recipe), "--dry-run", "--gpus", str(gpus), *architecture, *words]) == 0
    (sum_line,) = re.findall(r"about ([\d.]+) GiB on", shown.getvalue())
    return float(sum_line)
