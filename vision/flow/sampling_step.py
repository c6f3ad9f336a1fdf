"""One step of a scheduler along the ODE, and what the last one must have ended with.

Legend: ... any shape of latents.
"""

import inspect
from typing import Any

import torch
from torch import Tensor

Generators = torch.Generator | list[torch.Generator] | None


def sampling_step(
    scheduler: Any, velocity: Tensor, timestep: Tensor, x_t: Tensor, noise: Generators
) -> Tensor:
    """The latents after ``scheduler.step``.

    Args:
        scheduler: any of diffusers' that takes velocities, its timesteps set.
        velocity: (...).
        timestep: the scheduler's own, a scalar.
        x_t: (...), as ``velocity``.
        noise: what a scheduler draws from that adds noise between the steps, so that a call with a
            generator gives the same picture again.
    """
    draws = "generator" in inspect.signature(scheduler.step).parameters
    options = {"generator": noise} if draws else {}
    return scheduler.step(velocity, timestep, x_t, return_dict=False, **options)[0]


def require_finite(x_t: Tensor) -> None:
    """ValueError where a sampler ended with NaN or infinity."""
    if not torch.isfinite(x_t).all():
        raise ValueError(
            "the sampler ended with values that are not finite; use bfloat16 or float32 instead of float16, "
            "or other weights"
        )
