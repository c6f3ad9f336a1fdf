"""Whether a cleared picture still shows what the hazy one shows.

Legend: B pictures, H height, W width, n windows.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

#: A haze thicker than this in a window is not believed: there the guard holds the output to the input.
LEAST_TRANSMISSION = 0.1


def rehazing_residual(clear: Tensor, hazy: Tensor, window: int = 15) -> Tensor:
    """What of the hazy picture no haze over the clear one explains.

    In a window of one depth the scattering model says ``I = J t + A (1 - t)``, one t for the three channels.
    The residual is that of the best such fit, by least squares over t and a constant for each channel:

        mean over windows of  sum_c [var I_c - 2 t cov(I_c, J_c) + t^2 var J_c],
        t = sum_c cov(I_c, J_c) / sum_c var J_c,  held within [0.1, 1].

    It is 0 for every picture that is the other one under a haze of one t a window, whatever its airlight, and
    for the input itself. Structures of the output that the input lacks make it grow. It knows no colours:
    the constants take up any cast.

    Args:
        clear: what a network made, shape (B, 3, H, W).
        hazy: its input, in [0, 1], same shape.
        window: side of the windows in pixels, which overlap by two thirds.

    Returns:
        A scalar, float32, at least 0.

    Raises:
        ValueError: other shapes.
    """
    if clear.shape != hazy.shape or clear.ndim != 4:
        raise ValueError(
            f"expected two batches (B, 3, H, W), found {tuple(clear.shape)} and {tuple(hazy.shape)}"
        )
    with torch.autocast(clear.device.type, enabled=False):
        # A constant changes no variance, and squares of small numbers lose less to rounding.
        clear, hazy = (x - x.mean((2, 3), keepdim=True) for x in (clear.float(), hazy.float()))
        side = min(window, *clear.shape[-2:])

        def mean(values: Tensor) -> Tensor:
            return F.avg_pool2d(values, side, max(1, side // 3))

        mean_clear, mean_hazy = mean(clear), mean(hazy)
        # (B, n, n): the channels share a transmission. Rounding may leave a variance below 0.
        spread = (mean(clear.square()) - mean_clear.square()).sum(1).clamp(min=0)
        given = (mean(hazy.square()) - mean_hazy.square()).sum(1).clamp(min=0)
        common = (mean(clear * hazy) - mean_clear * mean_hazy).sum(1)
        t = (common / spread.clamp(min=1e-6)).clamp(LEAST_TRANSMISSION, 1).detach()
        return (given - 2 * t * common + t.square() * spread).clamp(min=0).mean()
