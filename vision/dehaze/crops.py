"""Random crops for training.

Legend: H height, W width, S side of a crop.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Generator, Tensor


def random_crop(
    pictures: Sequence[Tensor], size: int, generator: Generator, turn: bool = True
) -> list[Tensor]:
    """The same crop of several pictures of one scene, mirrored or not and turned by quarters.

    A side shorter than the crop is made up by repeating its last pixels.

    Args:
        pictures: of one height and width, each of shape (..., H, W), any size from 1 x 1.
        size: S, at least 1.
        generator: on the CPU.
        turn: False leaves them upright and unmirrored.

    Returns:
        As many, each of shape (..., S, S).

    Raises:
        ValueError: pictures of several sizes, or none.
    """
    sizes = {tuple(picture.shape[-2:]) for picture in pictures}
    if len(sizes) != 1 or size < 1:
        raise ValueError(f"a crop of {size} pixels needs pictures of one size, found {sorted(sizes)}")
    height, width = sizes.pop()
    missing = (0, max(0, size - width), 0, max(0, size - height))
    top = int(torch.randint(max(0, height - size) + 1, (), generator=generator))
    left = int(torch.randint(max(0, width - size) + 1, (), generator=generator))
    mirrored = turn and bool(torch.randint(2, (), generator=generator))
    quarters = int(torch.randint(4, (), generator=generator)) if turn else 0
    cropped = []
    for picture in pictures:
        cut = picture[..., top : top + size, left : left + size]
        if any(missing):
            cut = F.pad(cut.reshape(1, -1, *cut.shape[-2:]), missing, mode="replicate").reshape(
                *cut.shape[:-2], size, size
            )
        if mirrored:
            cut = cut.flip(-1)
        cropped.append(torch.rot90(cut, quarters, (-2, -1)).contiguous())
    return cropped
