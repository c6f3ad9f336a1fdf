"""Pictures with the number of their class."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from train.data.item import Item
from train.data.latent_rows import LatentRows


class LabelledPixels:
    """Gives ``{"latents": (C, 1, H, W) pixels in [-1, 1], "label": () int64}`` for each picture.

    Args:
        pixels: one row a picture.
        labels: int64, shape (N,).
    """

    def __init__(self, pixels: LatentRows, labels: np.ndarray) -> None:
        assert len(labels) == len(pixels)
        self.pixels, self.labels = pixels, torch.from_numpy(labels)

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, item: Item) -> dict[str, Tensor]:
        return {name: value[0] for name, value in self.batch([item]).items()}

    def batch(self, items: Sequence[Item]) -> dict[str, Tensor]:
        """The samples of several items, batch first."""
        numbers = [item.index for item in items]
        return {"latents": self.pixels.batch(numbers), "label": self.labels[torch.tensor(numbers)]}
