"""The grid of sigmas that a call samples on, and how the scheduler is told."""

import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vision.flow.schedules import linear_schedule, shifted_schedule
from vision.flow.shift import mu_of_sequence_length


def checked_grid(sigmas: Sequence[float]) -> list[float]:
    """The sigmas as floats; ValueError unless they fall and lie in (0, 1]."""
    return shifted_schedule(sigmas)[:-1]


def sampling_grid(
    num_inference_steps: int | None,
    sigmas: Sequence[float] | None,
    default_sigmas: Sequence[float] | None,
    default_steps: int,
) -> list[float]:
    """The sigmas, before the shift, that a call uses.

    Given sigmas win; then the model's own few-step grid, where the call asks for no other number of
    steps; then the linear grid 1, (n-1)/n, ..., 1/n.

    Args:
        num_inference_steps: what the call asks for, or None.
        sigmas: what the call asks for, or None.
        default_sigmas: the grid that the model was distilled for, or None.
        default_steps: number of steps where the call and the model name none.
    """
    if sigmas is not None:
        if num_inference_steps not in (None, len(sigmas)):
            raise ValueError(
                f"num_inference_steps is {num_inference_steps} but there are {len(sigmas)} sigmas; "
                "give one of them"
            )
        return checked_grid(sigmas)
    if default_sigmas is not None and num_inference_steps in (None, len(default_sigmas)):
        return checked_grid(default_sigmas)
    return linear_schedule(default_steps if num_inference_steps is None else num_inference_steps)[:-1]


def set_grid(scheduler: Any, grid: Sequence[float], tokens: int, device: torch.device) -> Tensor:
    """Gives the scheduler its grid.

    Args:
        scheduler: a flow-matching scheduler of diffusers.
        grid: sigmas before the shift.
        tokens: length of the transformer's sequence, for a dynamic shift.
        device: where the timesteps are wanted.

    Returns:
        The timesteps, 0 to 1000, float32.

    Raises:
        ValueError: the scheduler takes no grid, and this one is not its own.
    """
    accepted = inspect.signature(scheduler.set_timesteps).parameters
    # diffusers' multistep schedulers calculate with it as an array.
    arguments: dict[str, Any] = {"sigmas": np.array(grid, np.float64)}
    if "sigmas" not in accepted:
        if list(grid) != linear_schedule(len(grid))[:-1]:
            raise ValueError(
                f"{type(scheduler).__name__} cannot be given the sigmas {list(grid)}; give another number "
                "of steps, or use FlowMatchEulerDiscreteScheduler"
            )
        arguments = {"num_inference_steps": len(grid)}
    config = scheduler.config
    if config.get("use_dynamic_shifting"):
        arguments["mu"] = mu_of_sequence_length(
            tokens, config.base_image_seq_len, config.max_image_seq_len, config.base_shift, config.max_shift
        )
    scheduler.set_timesteps(device=device, **arguments)
    scheduler.set_begin_index(0)
    return scheduler.timesteps
