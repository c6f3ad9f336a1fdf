"""Pictures of any size for networks that take only some.

Legend: B batch, C channels, H height, W width.
"""

import torch.nn.functional as F
from torch import Tensor


def padded(pixels: Tensor, multiple: int, minimum: int = 1) -> Tensor:
    """Extends pictures at the bottom and the right until a network can take them.

    By their mirror image; where the picture is smaller than what is missing, by its last row or column.

    Args:
        pixels: shape (B, C, H, W).
        multiple: divides the sides of the result.
        minimum: least side of the result.
    """
    height, width = pixels.shape[-2:]
    for missing, side, sides in (
        (_missing(width, multiple, minimum), width, (1, 0)),
        (_missing(height, multiple, minimum), height, (0, 1)),
    ):
        if missing:
            mode = "reflect" if missing < side else "replicate"
            pixels = F.pad(pixels, (0, missing * sides[0], 0, missing * sides[1]), mode)
    return pixels


def _missing(side: int, multiple: int, minimum: int) -> int:
    return -(-max(side, minimum) // multiple) * multiple - side
