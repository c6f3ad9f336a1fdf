"""A run stops before a non-finite number reaches its weights."""

import math
from collections.abc import Mapping
from pathlib import Path


class NonFiniteError(ValueError):
    """A loss or a gradient is infinite or not a number."""


def check_finite(noted: Mapping[str, float], name: str, step: int, checkpoints: Path) -> None:
    """Raises unless the loss and the gradient norm of a network are finite.

    Args:
        noted: ``loss/<name>``, ``grad_norm/<name>`` and parts of the loss.
        name: the network.
        step: the iteration, from 1, as checkpoints count.
        checkpoints: the run's folder of checkpoints.
    """
    if math.isfinite(noted[f"loss/{name}"]) and math.isfinite(noted[f"grad_norm/{name}"]):
        return
    broken = ", ".join(f"{key} = {value}" for key, value in noted.items() if not math.isfinite(value))
    saved = sorted(checkpoints.glob("step-*"))
    raise NonFiniteError(
        f"step {step} is not finite ({broken}); it did not change the weights of {name!r}. The last good "
        f"checkpoint is {saved[-1] if saved else 'none'}. Lower train.lr or train.clip_grad_norm, lengthen "
        f"train.warmup_steps, or compare with train.mixed_precision: no"
    )
