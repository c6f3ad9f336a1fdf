"""Distillation of a tiny try-on through the loop. Forked children import it."""

from pathlib import Path
from typing import Any

import torch
from tiny_training import make_recipe, weights  # pyright: ignore[reportMissingImports] - of tests/train
from tiny_tryon_model import CHANNELS, SIDE, tiny_tryon  # pyright: ignore[reportMissingImports] - of tests/tryon
from torch import Tensor

from train.data.batches import Batches
from train.data.item import Item
from train.data.order import EpochOrder
from train.loop import run_training
from train.methods.cdm import CDM
from train.methods.tryon_rollouts import TryOnRollouts
from train.recipes.cdm import CDMSettings
from train.run_folder import RunFolder
from vision.tryon.denoiser import ACTIONS_DROPPED, NULL, PROMPT_DROPPED, TryOnDenoiser
from vision.tryon.segments import without_captions
from vision.tryon.timing import Timing

FRAMES = 3  # latent frames of a clip
WIDTH = 16  # of the texts


class Clips:
    """Random latents and conditions, one action each, early or late."""

    def __len__(self) -> int:
        return 12

    def __getitem__(self, item: Item) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(item.index)

        def drawn(*shape: int) -> Tensor:
            return torch.randn(shape, generator=generator)

        segments = [(0, 1, ""), (1, FRAMES, "zip")] if item.index % 2 else [(0, 2, "zip"), (2, FRAMES, "")]
        tokens = {"": drawn(2, WIDTH), "zip": drawn(3, WIDTH)}
        both = [segments, without_captions(segments)]
        timed = Timing().timed_text(both, [[tokens[said] for _, _, said in clip] for clip in both])
        sample = {
            "latents": drawn(CHANNELS, 1 + FRAMES, 4, 6),
            "action_mask": torch.tensor(
                [said != "" for start, stop, said in segments for _ in range(start, stop)]
            ),
            "control_hidden_states": drawn(2 * CHANNELS + SIDE**2, 1 + FRAMES, 4, 6),
            "encoder_hidden_states": drawn(4, WIDTH),
            "guide_latents": drawn(CHANNELS, FRAMES, 4, 6),
        }
        for name, (own, null) in timed.items():
            sample |= {name: own, f"{NULL}{name}": null}
        return sample


def run_tryon(output: Path, **settings: Any) -> dict:
    """Every weight at the end as arrays, from the main process."""
    # Adam makes a step of a gradient that is nothing but rounding, unless epsilon is larger.
    defaults = {"steps": 4, "warmup_steps": 0, "lr": 1e-3, "eps": 1e-4, "save_every": 100}
    recipe = make_recipe(output, **{**defaults, **settings})
    networks = [tiny_tryon() for _ in range(3)]
    for network in networks[:2]:
        network.requires_grad_(True)
    student, fake, teacher = (TryOnDenoiser(network, torch.full((1, 4, WIDTH), 0.1)) for network in networks)
    left_out = torch.ones(1, dtype=torch.bool)
    method = CDM(
        student,
        fake,
        teacher,
        settings=CDMSettings(fixed_grid=[1.0, 0.5], anchor_aware=True, fake_on_off_trajectory=0.5),
        null_condition={PROMPT_DROPPED: left_out, ACTIONS_DROPPED: left_out},
        latent_shape=(CHANNELS, 1 + FRAMES, 4, 6),
        shift=5.0,
        rollouts=TryOnRollouts(),
    )
    with RunFolder(output) as folder:
        result = run_training(
            method,
            Batches(Clips(), EpochOrder(12), recipe.seed),
            recipe,
            resolved_recipe={"train": recipe.model_dump(mode="json")},
            run=folder,
            ema_of=["student"],
        )
    return {name: tensor.numpy() for name, tensor in weights(result).items()}
