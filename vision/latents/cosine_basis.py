"""The lowest frequencies of small blocks of video: where an autoencoder's linear path begins.

Legend: G frames, C channels, s the side of a block in pixels, c latent channels.
"""

import itertools
import math

import torch
from torch import Tensor

#: How much sooner than in space a frequency over frames is left out, and what a difference of colours costs.
_TIME_COST, _COLOUR_COST = 1.5, 1.7


def cosine_basis(count: int, frames: int, channels: int, side: int) -> Tensor:
    """Orthonormal rows of the discrete cosine transform over frames, channels, rows and columns.

    The lowest frequencies come first, since those of videos are strongest; the two of colours count alike.

    Args:
        count: c, at most G C s s.
        frames, channels, side: G, C and s.

    Returns:
        float32 of shape (c, G C s s), columns in the order (frame, channel, row, column).
    """
    sizes = (frames, channels, side, side)
    if count > math.prod(sizes):
        raise ValueError(
            f"{count} latent channels for blocks of {math.prod(sizes)} numbers; give fewer latent channels"
        )
    ranked = sorted(
        itertools.product(*map(range, sizes)),
        key=lambda k: (_TIME_COST * k[0]) ** 2 + _COLOUR_COST**2 * (k[1] > 0) + k[2] ** 2 + k[3] ** 2,
    )
    axes = [_cosines(size) for size in sizes]
    rows = []
    for frequencies in ranked[:count]:
        row = torch.ones(1)
        for axis, frequency in zip(axes, frequencies, strict=True):
            row = torch.outer(row, axis[frequency]).flatten()
        rows.append(row)
    return torch.stack(rows)


def _cosines(size: int) -> Tensor:
    """The orthonormal cosine transform (DCT-II) of so many numbers, one frequency a row."""
    place, frequency = torch.arange(size), torch.arange(size)[:, None]
    values = torch.cos(math.pi / size * (place + 0.5) * frequency) * math.sqrt(2 / size)
    values[0] /= math.sqrt(2)
    return values
