"""Flow matching and CDM of a tiny VideoTransformer through the loop. Forked children import it too."""

from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig
from tiny_training import make_recipe, weights

from train.data.batches import Batches
from train.data.item import Item
from train.data.order import EpochOrder
from train.loop import run_training
from train.methods.cdm import CDM
from train.methods.flow_matching import FlowMatching
from train.methods.method import Method
from train.recipes.cdm import CDMSettings
from train.run_folder import RunFolder
from vision.transformer import VideoTransformer, VideoTransformerDenoiser

SHAPE = (2, 1, 4, 4)  # C, F, H, W
TEXT = (3, 8)  # L, D


class Samples:
    """Fixed random latents and prompts."""

    def __len__(self) -> int:
        return 24

    def __getitem__(self, item: Item) -> dict[str, torch.Tensor]:
        generator = torch.Generator().manual_seed(item.index)
        return {
            "latents": torch.randn(SHAPE, generator=generator),
            "encoder_hidden_states": torch.randn(TEXT, generator=generator),
        }


def make_denoiser(seed: int, lora: bool = False) -> VideoTransformerDenoiser:
    torch.manual_seed(seed)
    network = VideoTransformer(
        num_attention_heads=2,
        attention_head_dim=12,
        in_channels=SHAPE[0],
        out_channels=SHAPE[0],
        text_dim=TEXT[1],
        freq_dim=16,
        ffn_dim=32,
        num_layers=2,
    )
    # Not zero where fresh weights are, so that every part has a gradient.
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.15)
    if lora:
        network.requires_grad_(False)
        network.add_adapter(LoraConfig(r=2, target_modules=["to_q", "to_v"], init_lora_weights="gaussian"))
    return VideoTransformerDenoiser(network)


def make_method(kind: str, lora: bool = False, **settings: Any) -> Method:
    null = {"encoder_hidden_states": torch.zeros(1, *TEXT)}
    if kind == "flow":
        return FlowMatching(make_denoiser(0, lora), null_condition=null)
    return CDM(
        make_denoiser(0, lora),
        make_denoiser(1, lora),
        make_denoiser(2),
        settings=CDMSettings(max_rollout_steps=4, **settings),
        null_condition=null,
        latent_shape=SHAPE,
        shift=3.0,
    )


def run(output: Path, kind: str, *, lora: bool = False, method: dict | None = None, **settings: Any) -> dict:
    """Every weight at the end as arrays, from the main process."""
    recipe = make_recipe(output, **{"steps": 4, "warmup_steps": 0, "lr": 1e-3, "save_every": 100, **settings})
    made = make_method(kind, lora, **(method or {}))
    with RunFolder(output) as folder:
        result = run_training(
            made,
            Batches(Samples(), EpochOrder(24), recipe.seed),
            recipe,
            resolved_recipe={"train": recipe.model_dump(mode="json")},
            run=folder,
            ema_of=[next(reversed(made.networks))],
        )
    return {name: tensor.numpy() for name, tensor in weights(result).items()}
