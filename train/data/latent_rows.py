"""Latents of a run by the number of the sample, from memory or from the cache.

Legend: N samples, B samples of a batch, C channels, F frames, H height, W width.
"""

from collections.abc import Hashable, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from train.data.tensor_table import TensorTable
from vision.latents.cache import to_unit_range


class LatentRows(Protocol):
    """Latents by number."""

    def __len__(self) -> int: ...

    def batch(self, numbers: Sequence[int]) -> Tensor:
        """float32 of shape (B, C, F, H, W); all of one size."""
        ...


class PixelRows:
    """Pictures of one size in memory, as uint8, for training in pixel space.

    Args:
        pixels: uint8, shape (N, C, H, W).
    """

    def __init__(self, pixels: np.ndarray) -> None:
        self._pixels = torch.from_numpy(pixels)

    def __len__(self) -> int:
        return len(self._pixels)

    def batch(self, numbers: Sequence[int]) -> Tensor:
        """Pixels in [-1, 1]; see :class:`LatentRows`."""
        return to_unit_range(self._pixels[torch.tensor(numbers)])[:, :, None]  # (B, C, 1, H, W)


class CachedRows:
    """Latents that :class:`vision.latents.LatentCache` made.

    Args:
        table: ``{"latents": ...}`` each, float32 of shape (C, F, H, W), or pixels in uint8.
        keys: key in ``table`` of each sample.
    """

    def __init__(self, table: TensorTable, keys: Sequence[Hashable]) -> None:
        self._table, self._keys = table, keys

    def __len__(self) -> int:
        return len(self._keys)

    def batch(self, numbers: Sequence[int]) -> Tensor:
        """See :class:`LatentRows`."""
        rows = torch.stack([self._table[self._keys[number]]["latents"] for number in numbers])
        return to_unit_range(rows) if rows.dtype == torch.uint8 else rows
