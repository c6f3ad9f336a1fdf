"""How much the loss counts at each time.

Legend: ... any shape.
"""

from functools import cache

import torch
from torch import Tensor

from vision.flow.shift import shift_time

#: Times of the grid over which the mean weight is 1.
_GRID = 1000


def training_times(shift: float = 5.0) -> Tensor:
    """The times that a training step draws from, uniformly: 1000 even ones in (0, 1], shifted; float64."""
    return shift_time(torch.arange(1, _GRID + 1, dtype=torch.float64) / _GRID, shift)


def _bell(t: Tensor) -> Tensor:
    return (-2 * (t - 0.5) ** 2).exp()


@cache
def _least_and_mean(shift: float) -> tuple[float, float]:
    bell = _bell(training_times(shift))
    least = bell.min().item()
    return least, bell.mean().item() - least


def loss_weight(t: Tensor, shift: float = 5.0) -> Tensor:
    """``w(t) = (y(t) - min y) / mean(y - min y)`` with ``y = exp(-2 (t - 1/2)^2)``.

    Minimum and mean are over :func:`training_times`. With shift 5 the weight is largest, 2.08, at t = 0.5,
    and 0 at t = 1 (SCOPE's released training loss, arXiv 2605.23345).

    Args:
        t: times in [0, 1] (...).
        shift: of the times that training draws.

    Returns:
        Weights, float32 (...).
    """
    least, mean = _least_and_mean(shift)
    return ((_bell(t.double()) - least) / mean).clamp(min=0).float()
