"""A world that shows clips to be judged.

Legend: B clips, T frames and rows, H height, W width.
"""

from collections.abc import Sequence

import numpy as np
import torch

from vision.latents import decode
from vision.latents.cache import to_unit_range
from vision.transformer import Actions
from vision.world.evaluation.maker import to_frames
from vision.world.pipeline import WorldPipeline


class WorldMaker:
    """A :data:`vision.world.evaluation.maker.Maker`: whole clips, or a stream where the world is causal.

    A clip depends on its own first frame, rows and seed alone, not on its batch: both clips of a pair are
    given the same seed, and with it the same noise.

    Args:
        pipeline: the world.
        batch_size: clips at once.
        scale: of action guidance; None takes the pipeline's.
    """

    def __init__(self, pipeline: WorldPipeline, batch_size: int = 16, scale: float | None = None) -> None:
        self._pipeline, self._batch_size, self._scale = pipeline, batch_size, scale
        pipeline.set_progress_bar_config(disable=True)

    @torch.no_grad()
    def __call__(
        self, frames: np.ndarray, sticks: np.ndarray, buttons: np.ndarray, seeds: Sequence[int]
    ) -> np.ndarray:
        """See :data:`vision.world.evaluation.maker.Maker`."""
        first = to_unit_range(torch.from_numpy(frames[:, 0])).permute(0, 3, 1, 2)
        actions = Actions(torch.from_numpy(sticks), torch.from_numpy(buttons))
        made = []
        for start in range(0, len(frames), self._batch_size):
            part = slice(start, start + self._batch_size)
            latents = self._pipeline.clip_latents(
                first[part],
                Actions(actions.sticks[part], actions.buttons[part]),
                action_guidance_scale=self._scale,
                generator=[torch.Generator().manual_seed(seed) for seed in seeds[part]],
            )
            made.append(to_frames(decode(self._pipeline.vae, latents)))
        return np.concatenate(made)
