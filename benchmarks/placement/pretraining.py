"""The networks that both parts begin with."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from safetensors.torch import load_file
from torch import nn

from benchmarks.placement.descent import descend
from benchmarks.placement.kept import keep_weights
from benchmarks.placement.pictures import Pairs

Network = TypeVar("Network", bound=nn.Module)


def pretrained(
    network: Network,
    path: Path,
    draw: Callable[[], Pairs],
    *,
    steps: int,
    rate: float,
    seed: int,
    clip: float = math.inf,
) -> Network:
    """Trains a network with L1, or reads what an earlier run left in ``path``.

    Args:
        network: fresh; trained in place.
        path: of its weights.
        draw: gives the pairs.
        steps, rate, seed, clip: see :func:`~benchmarks.placement.descent.descend`; batches of 8.
    """
    if path.is_file():
        network.load_state_dict(load_file(path))
        return network.eval()
    pairs = draw()
    descend(
        lambda numbers: pairs.loss(network, numbers),
        network.parameters(),
        len(pairs.hazy),
        steps=steps,
        batch=8,
        rate=rate,
        seed=seed,
        clip=clip,
    )
    keep_weights(network, path)
    return network.eval()
