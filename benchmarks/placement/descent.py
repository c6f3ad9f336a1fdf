"""The optimizer's loop of both parts of the benchmark."""

import math
import time
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn


def descend(
    loss: Callable[[list[int]], Tensor],
    parameters: Iterable[Tensor],
    count: int,
    *,
    steps: int,
    batch: int,
    rate: float,
    seed: int,
    clip: float = math.inf,
) -> float:
    """Adam along a learning rate that falls as a cosine to zero.

    Args:
        loss: scalar loss of some items by their numbers.
        parameters: to be trained.
        count: of items; each step draws its own, with repetition.
        steps: of the optimizer.
        batch: items a step.
        rate: learning rate at the beginning.
        seed: of the draws.
        clip: greatest norm of a gradient.

    Returns:
        Processor time in seconds. Other programs on the machine disturb it less than the time of a clock.
    """
    trained = list(parameters)
    draw = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(trained, lr=rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: 0.5 + 0.5 * math.cos(math.pi * step / steps)
    )
    start = time.process_time()
    for _ in range(steps):
        optimizer.zero_grad()
        loss(torch.randint(count, (batch,), generator=draw).tolist()).backward()
        nn.utils.clip_grad_norm_(trained, clip)
        optimizer.step()
        schedule.step()
    return time.process_time() - start
