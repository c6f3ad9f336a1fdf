"""Time shift: spends more of a schedule near the noise, as large pictures and videos need.

All forms are one curve from 0 to 0 and from 1 to 1,

    shifted(t) = a t / (a t + 1 - t),

with a = shift (static, Stable Diffusion 3: Esser et al. 2024, section 5.3.2), a = e^mu (dynamic,
exponential) or a = mu (dynamic, linear). They equal those of diffusers'
``FlowMatchEulerDiscreteScheduler``.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar

from torch import Tensor

Times = TypeVar("Times", float, Tensor)

#: A map of times in [0, 1] onto themselves.
TimeShift = Callable[[float], float]

#: Grids that are bent after the shift, which a shift of single times cannot express.
_BENT_GRIDS = (
    "shift_terminal",
    "use_karras_sigmas",
    "use_exponential_sigmas",
    "use_beta_sigmas",
    "invert_sigmas",
)


def shift_time(t: Times, shift: float) -> Times:
    """Static shift ``shift t / (shift t + 1 - t)``; 1 is the identity, 3 is Stable Diffusion 3's."""
    if shift <= 0:
        raise ValueError(f"the time shift is {shift}; expected a number above 0 (1 shifts nothing)")
    kept = shift * t
    return kept / (kept + (1 - t))  # in this form exactly 0 and 1 at the ends


def unshift_time(t: Times, shift: float) -> Times:
    """Inverse of :func:`shift_time`."""
    return shift_time(t, 1 / shift)


def shift_time_dynamic(t: Times, mu: float, kind: Literal["exponential", "linear"] = "exponential") -> Times:
    """Dynamic shift, whose strength ``mu`` follows the sequence length.

    Args:
        t: times in [0, 1].
        mu: strength; see :func:`mu_of_sequence_length`.
        kind: a = e^mu or a = mu.
    """
    return shift_time(t, math.exp(mu) if kind == "exponential" else mu)


def mu_of_sequence_length(
    sequence_length: int,
    base_sequence_length: int = 256,
    max_sequence_length: int = 4096,
    base_shift: float = 0.5,
    max_shift: float = 1.15,
) -> float:
    """``mu``, linear in the number of tokens: ``base_shift`` at 256 of them, ``max_shift`` at 4,096."""
    slope = (max_shift - base_shift) / (max_sequence_length - base_sequence_length)
    return base_shift + slope * (sequence_length - base_sequence_length)


def shift_of_scheduler(config: Mapping[str, Any], sequence_length: int) -> TimeShift:
    """The shift that a diffusers flow-matching scheduler applies to the times it is given.

    Args:
        config: the scheduler's configuration, as in its ``scheduler_config.json``.
        sequence_length: tokens of the latents, for a dynamic shift.

    Raises:
        ValueError: for a scheduler that bends the whole grid after the shift.
    """
    bent = [name for name in _BENT_GRIDS if config.get(name)]
    if bent:
        raise ValueError(
            f"the scheduler sets {', '.join(bent)}, which moves each time by all the others; "
            "expected a static or dynamic shift alone. Name a shift in the recipe instead"
        )
    if not config.get("use_dynamic_shifting", False):
        shift = float(config.get("shift", 1.0))
        return lambda t: shift_time(t, shift)
    mu = mu_of_sequence_length(
        sequence_length,
        config.get("base_image_seq_len", 256),
        config.get("max_image_seq_len", 4096),
        config.get("base_shift", 0.5),
        config.get("max_shift", 1.15),
    )
    kind = config.get("time_shift_type", "exponential")
    return lambda t: shift_time_dynamic(t, mu, kind)
