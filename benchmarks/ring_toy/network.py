"""The velocity network of the ring, for several seeds at once.

Legend: S seeds; B samples of each seed; D width.
"""

import torch
from torch import Tensor, nn

from benchmarks.ring_toy.seed_linear import SeedLinear
from vision.transformer.embedding import sinusoid

FREQUENCIES = 24


class RingNetwork(nn.Module):
    """S perceptrons of three hidden layers of [x, t, sinusoids of 1000 t]; sample i is of seed ``i % S``.

    The time embedding decides what the ring shows. With the house's sinusoid of 1000 t a student that only
    ever saw four times is bad between them. With a smooth embedding it is not, nor with as many rates
    spaced from 1 to 1000 radians over the unit interval: there a fixed grid does as well as CDM.

    Args:
        seeds: S.
        generator: of the initial weights.
        width: D.
    """

    def __init__(self, seeds: int, generator: torch.Generator | None = None, width: int = 128) -> None:
        super().__init__()
        self.seeds = seeds
        time = 1 + 2 * FREQUENCIES
        # Two maps that are the first layer of the joined input, the time's apart for an anchor's embedding.
        self.time = SeedLinear(seeds, time, width, generator, fan_in=time + 2)
        self.inner = SeedLinear(seeds, 2, width, generator, fan_in=time + 2)
        self.layers = nn.ModuleList(SeedLinear(seeds, width, width, generator) for _ in range(2))
        self.outer = SeedLinear(seeds, width, 2, generator)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Velocity of shape (B S, 2) at points of that shape and times (B S,)."""
        features = torch.cat([t[:, None], sinusoid(1000 * t, 2 * FREQUENCIES)], 1)
        hidden = self.inner(x) + self.time(features)
        for layer in self.layers:
            hidden = layer(nn.functional.silu(hidden))
        return self.outer(nn.functional.silu(hidden))
