"""What shows clips to be judged: a world, or what is compared with worlds.

Legend: B clips, T frames and rows, H height, W width.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from vision.latents import decode, encode
from vision.latents.cache import to_unit_range

#: From the engine's frames, uint8 (B, T, H, W, 3), of which a world looks at the first; sticks (B, T, 4),
#: buttons (B, T, 6) and a seed of the noise for each clip: float32 frames in [0, 1], (B, T, H, W, 3).
Maker = Callable[[np.ndarray, np.ndarray, np.ndarray, Sequence[int]], np.ndarray]


def copied_first_frame(
    frames: np.ndarray, sticks: np.ndarray, buttons: np.ndarray, seeds: Sequence[int]
) -> np.ndarray:
    """The floor: the first frame, for ever."""
    return np.broadcast_to(frames[:, :1], frames.shape).astype(np.float32) / 255


def through_autoencoder(vae: Any, batch_size: int = 16) -> Maker:
    """The ceiling: the engine's own frames, encoded and decoded.

    Args:
        vae: see :func:`vision.latents.encode`.
        batch_size: clips at once.
    """

    @torch.no_grad()
    def make(frames: np.ndarray, sticks: np.ndarray, buttons: np.ndarray, seeds: Sequence[int]) -> np.ndarray:
        pixels = torch.from_numpy(frames).permute(0, 4, 1, 2, 3)  # (B, 3, T, H, W)
        made = [decode(vae, encode(vae, to_unit_range(part))) for part in pixels.split(batch_size)]
        return to_frames(torch.cat(made))

    return make


def to_frames(pixels: torch.Tensor) -> np.ndarray:
    """Pixels about [-1, 1], (B, 3, T, H, W), as float32 in [0, 1], (B, T, H, W, 3)."""
    return (pixels / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 4, 1).float().cpu().numpy()
