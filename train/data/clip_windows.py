"""Windows of clips, cut at drawn places.

Legend: T frames of a clip, F of a window, H height, W width.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from train.data.item import Item
from vision.flow.draws import keyed_generator


class ClipWindows:
    """Gives ``{"frames": (3, F, H, W)}``, uint8, a window of each clip.

    Each visit of a clip draws its window anew, by the item's position.

    Args:
        clips: uint8 of shape (T, H, W, 3) each, T at least F.
        window: F.
        seed: the run's seed.
    """

    def __init__(self, clips: Sequence[np.ndarray], window: int, seed: int) -> None:
        assert all(len(clip) >= window for clip in clips)
        self.clips, self.window, self.seed = clips, window, seed

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, item: Item) -> dict[str, Tensor]:
        clip = self.clips[item.index]
        random = keyed_generator(self.seed, "window", item.position)
        first = int(random.integers(len(clip) - self.window + 1))
        return {"frames": channels_first(clip[first : first + self.window])}


def channels_first(clip: np.ndarray) -> Tensor:
    """A copy of frames (F, H, W, 3) as (3, F, H, W)."""
    return torch.from_numpy(clip.transpose(3, 0, 1, 2).copy())
