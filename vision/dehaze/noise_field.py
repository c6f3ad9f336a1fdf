"""Noise without end, of which any rectangle can be had.

Legend: C channels, h height, w width of a rectangle.
"""

import numpy as np
import torch
from torch import Tensor

_BLOCK = 64


class NoiseField:
    """Standard normal noise over the plane: tiles of one picture see parts of the same noise.

    It is made in blocks, each from the seed and its own position, so that nothing of the size of the picture
    is held. The same on every device.

    Args:
        seed: 0 or more.
        channels: C.
    """

    def __init__(self, seed: int, channels: int) -> None:
        self.seed, self.channels = seed, channels

    def rectangle(self, top: int, left: int, height: int, width: int) -> Tensor:
        """Noise of (C, h, w), float32, on the CPU; ``top`` and ``left`` are 0 or more."""
        first_row, first_column = top // _BLOCK, left // _BLOCK
        whole = torch.cat(
            [
                torch.cat(
                    [
                        self._block(row, column)
                        for column in range(first_column, (left + width - 1) // _BLOCK + 1)
                    ],
                    2,
                )
                for row in range(first_row, (top + height - 1) // _BLOCK + 1)
            ],
            1,
        )
        top, left = top - first_row * _BLOCK, left - first_column * _BLOCK
        return whole[:, top : top + height, left : left + width]

    def _block(self, row: int, column: int) -> Tensor:
        seed = np.random.SeedSequence([self.seed, row, column]).generate_state(1, np.uint64)[0]
        generator = torch.Generator("cpu").manual_seed(int(seed) >> 1)
        return torch.randn(self.channels, _BLOCK, _BLOCK, generator=generator)
