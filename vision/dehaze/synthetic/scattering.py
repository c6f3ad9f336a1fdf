"""The scattering model of haze: I = J t + A (1 - t), t = exp(-b d).

I is the hazy picture, J the clear one, t the transmission, A the airlight, b the density and d the depth
(Koschmieder 1924; McCartney 1976).

Legend: H height, W width.
"""

import torch
from torch import Tensor


def transmission(depth: Tensor, density: Tensor | float) -> Tensor:
    """t = exp(-b d), in [0, 1].

    Args:
        depth: at least 0, shape (1, H, W).
        density: b, at least 0, in one over the unit of ``depth``; a number or shape (1, H, W).
    """
    return torch.exp(-density * depth)


def scatter(clear: Tensor, transmission: Tensor, airlight: Tensor) -> Tensor:
    """I = J t + A (1 - t).

    Args:
        clear: J, in [0, 1], shape (3, H, W).
        transmission: t, in [0, 1], shape (1, H, W).
        airlight: A, in [0, 1], shape (3, 1, 1), or (3, H, W) where it differs from place to place.

    Returns:
        In [0, 1], shape (3, H, W).
    """
    return clear * transmission + airlight * (1 - transmission)


def unscatter(hazy: Tensor, transmission: Tensor, airlight: Tensor, floor: float = 0.1) -> Tensor:
    """J = (I - A) / max(t, floor) + A, which undoes :func:`scatter` wherever t is at least ``floor``.

    Args:
        hazy: I, in [0, 1], shape (3, H, W).
        transmission: as for :func:`scatter`.
        airlight: as for :func:`scatter`.
        floor: above 0; what t is taken for below it, since noise would be divided by it.

    Returns:
        Shape (3, H, W), not clamped.
    """
    return (hazy - airlight) / transmission.clamp(min=floor) + airlight
