"""Euler's method along the probability-flow ODE dx/dt = v(x, t), from noise to data.

Legend: B batch; ``...`` the latent's further dimensions.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

#: Maps latents (B, ...) and times (B,) to velocities (B, ...).
VelocityFunction = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class EulerStep:
    """What a callback sees of one step.

    Attributes:
        index: number of the step, from 0.
        time: the time of ``x_t``; a 0-dimensional tensor.
        next_time: the time of ``x_next``.
        x_t: latents before the step.
        velocity: the network's answer at ``x_t``.
        x_next: latents after it, ``x_t + (next_time - time) velocity``.
    """

    index: int
    time: Tensor
    next_time: Tensor
    x_t: Tensor
    velocity: Tensor
    x_next: Tensor


def euler_solve(
    velocity: VelocityFunction,
    noise: Tensor,
    times: Sequence[float],
    *,
    callback: Callable[[EulerStep], None] | None = None,
    num_steps: int | None = None,
) -> Tensor:
    """Walks ``x <- x + (t_{i+1} - t_i) v(x, t_i)`` along ``times``.

    The last step to 0 gives ``x - t v``: the x_0 that the network predicts there.

    Args:
        velocity: the network, as a function of latents and times.
        noise: latents at ``times[0]``, float32 or float64.
        times: N + 1 falling times.
        callback: called after each step.
        num_steps: stops after this many of the N steps.

    Returns:
        Latents at ``times[num_steps]``.
    """
    total = len(times) - 1
    num_steps = total if num_steps is None else num_steps
    if not 0 <= num_steps <= total:
        raise ValueError(f"{num_steps} steps along a schedule of {total}")
    grid = torch.tensor(times, dtype=noise.dtype, device=noise.device)
    x_t = noise
    for i in range(num_steps):
        v = velocity(x_t, grid[i].expand(x_t.shape[0]))
        x_next = x_t + (grid[i + 1] - grid[i]) * v
        if callback is not None:
            callback(EulerStep(i, grid[i], grid[i + 1], x_t, v, x_next))
        x_t = x_next
    return x_t
