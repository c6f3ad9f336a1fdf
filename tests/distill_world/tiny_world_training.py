"""Training and distillation of a tiny causal world through the loop. Forked children import it."""

from pathlib import Path
from typing import Any

import torch
from tiny_streams import GRID, causal_world
from tiny_training import make_recipe, weights  # pyright: ignore[reportMissingImports] - of tests/train
from torch import Tensor

from train.data.batches import Batches
from train.data.item import Item
from train.data.order import EpochOrder
from train.loop import run_training
from train.methods.cdm import CDM
from train.methods.method import Method
from train.methods.world import WorldFlow
from train.methods.world_rollouts import WorldRollouts
from train.recipes.cdm import CDMSettings
from train.run_folder import RunFolder
from vision.transformer import VideoTransformerDenoiser
from vision.world.chunk_denoiser import ChunkDenoiser

FRAMES = 4  # latent frames of a clip
PROMPT = torch.full((1, 2, 8), 0.3)


class Clips:
    """Random latents with random rows of actions."""

    def __len__(self) -> int:
        return 12

    def __getitem__(self, item: Item) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(item.index)
        rows = 4 * (FRAMES - 1) + 1
        return {
            "latents": torch.randn(4, FRAMES, 4, 4, generator=generator),
            "sticks": 2 * torch.rand(rows, 4, generator=generator) - 1,
            "buttons": (torch.rand(rows, 6, generator=generator) < 0.4).float(),
        }


def make_world_method(kind: str, **settings: Any) -> Method:
    """``flow``: training, with half of the samples under the null action. ``cdm``: distillation."""
    if kind == "flow":
        network = causal_world(1, 2).requires_grad_(True)
        denoiser = VideoTransformerDenoiser(network)
        return WorldFlow(denoiser, prompt=PROMPT, chunk=1, clean_past=True, action_dropout=0.5)
    student, fake, teacher = (ChunkDenoiser(causal_world(1, 2)) for _ in range(3))
    options = {"fixed_grid": GRID, "anchor_aware": True, "fake_on_off_trajectory": 0.5, **settings}
    return CDM(
        student,
        fake,
        teacher,
        settings=CDMSettings(**options),
        null_condition={"action_dropped": torch.ones(1, dtype=torch.bool)},
        latent_shape=(4, 1, 4, 4),
        shift=5.0,
        rollouts=WorldRollouts(student.chunks(FRAMES), PROMPT, recorded_past=0.3),
    )


def run_world(output: Path, kind: str, **settings: Any) -> dict:
    """Every weight at the end as arrays, from the main process."""
    # Adam makes a step of a gradient that is nothing but rounding, unless epsilon is larger.
    defaults = {"steps": 4, "warmup_steps": 0, "lr": 1e-3, "eps": 1e-4, "save_every": 100}
    recipe = make_recipe(output, **{**defaults, **settings})
    method = make_world_method(kind)
    with RunFolder(output) as folder:
        result = run_training(
            method,
            Batches(Clips(), EpochOrder(12), recipe.seed),
            recipe,
            resolved_recipe={"train": recipe.model_dump(mode="json")},
            run=folder,
            ema_of=[next(reversed(method.networks))],
        )
    return {name: tensor.numpy() for name, tensor in weights(result).items()}
