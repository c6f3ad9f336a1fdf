"""What was not asked for stays as it was filmed.

Legend: B clips, T frames, H height, W width in pixels.
"""

import torch.nn.functional as F
from torch import Tensor


def repaint(made: Tensor, video: Tensor, mask: Tensor, kernel: int | None = None) -> Tensor:
    """Pastes the filmed video outside the mask, whose edge is softened.

    ``a made + (1 - a) video`` with ``a`` the mean of the mask over a square around each pixel.

    Args:
        made: in [-1, 1], shape (B, 3, T, H, W).
        video: same shape.
        mask: 1 where something was made, shape (B, 1, T, H, W).
        kernel: side of the square, odd; None for about a fiftieth of the shorter side.

    Raises:
        ValueError: a kernel that is even or below 1.
    """
    if kernel is None:
        kernel = min(made.shape[3:]) // 50 // 2 * 2 + 1
    if kernel < 1 or kernel % 2 == 0:
        raise ValueError(
            f"the kernel of repainting is {kernel} pixels wide; expected an odd number from 1 on"
        )
    frames = mask[:, 0].to(made)  # (B, T, H, W)
    soft = F.avg_pool2d(frames, kernel, 1, kernel // 2, count_include_pad=False)[:, None]
    return soft * made + (1 - soft) * video
