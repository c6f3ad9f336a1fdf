"""One linear layer for each of several seeds, computed as one batched product.

Legend: S seeds; B samples of each seed; I, O features in and out.
"""

import torch
from torch import Tensor, nn


class SeedLinear(nn.Linear):
    """S independent linear layers; sample i goes through layer ``i % S``.

    The seed is the fastest index of the batch, so that batches joined one after the other stay sorted.

    Args:
        seeds: S.
        in_features, out_features: I and O.
        generator: of the initial values, torch's global one by default.
        fan_in: they are uniform within ``1 / sqrt(fan_in)``; I by default.
    """

    def __init__(
        self,
        seeds: int,
        in_features: int,
        out_features: int,
        generator: torch.Generator | None = None,
        fan_in: int | None = None,
    ) -> None:
        super().__init__(in_features, out_features, device="meta")
        bound = (fan_in or in_features) ** -0.5
        for name, rows in (("weight", in_features), ("bias", 1)):
            value = torch.empty(seeds, rows, out_features).uniform_(-bound, bound, generator=generator)
            setattr(self, name, nn.Parameter(value))

    def forward(self, input: Tensor) -> Tensor:
        """(B S, I) to (B S, O)."""
        by_seed = input.reshape(-1, len(self.weight), self.in_features).transpose(0, 1)  # (S, B, I)
        return torch.baddbmm(self.bias, by_seed, self.weight).transpose(0, 1).reshape(len(input), -1)
