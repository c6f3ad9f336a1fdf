"""Tiny causal worlds and clips to distil them on.

Legend: B clips, F latent frames.
"""

from typing import Any

import torch
from tiny_world import pipeline_of, tiny_batch, tiny_world  # pyright: ignore[reportMissingImports] - of tests/world
from torch import Tensor

from vision import WorldPipeline
from vision.transformer import VideoTransformer

#: Before the shift, and after that of :func:`tiny_world.pipeline_of`'s scheduler.
GRID = [1.0, 0.5]
SIGMAS = [1.0, 5 / 6, 0.0]


def causal_world(
    chunk: int, window: int | None = None, conditioning: dict[str, Any] | None = None
) -> VideoTransformer:
    """Two blocks with all weights drawn."""
    transformer = tiny_world(conditioning, num_layers=2)
    transformer.set_causal(chunk, window)
    return transformer


def causal_pipeline(chunk: int, window: int | None = None, **options: Any) -> WorldPipeline:
    """A pipeline of :func:`causal_world`."""
    return pipeline_of(causal_world(chunk, window), **options)


def clip_condition(clips: int, frames: int, drop: bool = False) -> dict[str, Tensor]:
    """A condition of :class:`vision.world.chunk_denoiser.ChunkDenoiser`."""
    batch = tiny_batch(clips, frames)
    generator = torch.Generator().manual_seed(8)
    dropped = torch.arange(clips) % 2 == 1 if drop else torch.zeros(clips, dtype=torch.bool)
    return {
        "past": batch["latents"],
        "sticks": batch["sticks"],
        "buttons": batch["buttons"],
        "action_dropped": dropped,
        "encoder_hidden_states": torch.randn(clips, 3, 8, generator=generator),
    }
