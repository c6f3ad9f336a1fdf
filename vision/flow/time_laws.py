"""How the times of a training step are drawn.

Each law maps a uniform draw of the sample to a time, so that any law can be stratified over the global
batch and is repeated exactly by a resumed run.
"""

from typing import Literal

import torch
from torch import Tensor

from vision.flow.draws import Draws

#: uniform: U. uniform_capped: U times a cap, one a sample. logit_normal: sigmoid(mean + std N(0, 1)).
TimeLaw = Literal["uniform", "uniform_capped", "logit_normal"]


def draw_times(
    law: TimeLaw,
    draws: Draws,
    purpose: str,
    batch_size: int,
    *,
    cap: Tensor | None = None,
    low: float = 0.0,
    high: float = 1.0,
    mean: float = 0.0,
    std: float = 1.0,
    stratified: bool = False,
) -> Tensor:
    """Times of a batch, clamped to [low, high].

    The clamp leaves point masses at the ends: a uniform law clamped to [.02, .98] has 2 % at each.

    Args:
        law: name of the law.
        draws: the random numbers of this micro-batch.
        purpose: what the times are for; equal purposes of a step give equal times.
        batch_size: B.
        cap: for ``uniform_capped``, what the uniform draw is multiplied by, shape (B,). A time below
            the cap is cleaner than a sample of that time. Other laws ignore it.
        low, high: ends of the clamp, in [0, 1].
        mean, std: of the normal below ``logit_normal`` (Esser et al. 2024, section 3.1).
        stratified: one draw in each of as many equal bins as the global batch has samples.

    Returns:
        Times, float32, shape (B,), on the CPU or, capped, on the cap's device.
    """
    u = draws.uniform(purpose, batch_size, stratified)
    if law == "uniform":
        times = u
    elif law == "uniform_capped":
        if cap is None:
            raise ValueError(f"the time law 'uniform_capped' of {purpose!r} has no cap; use 'uniform' there")
        times = u.to(cap.device) * cap
    elif law == "logit_normal":
        times = torch.sigmoid(mean + std * torch.special.ndtri(u.double())).float()
    else:
        raise ValueError(f"time law {law!r}; expected uniform, uniform_capped or logit_normal")
    return times.clamp(low, high)
