"""How much of a LoRA is let through."""

import math

import torch
from torch import Tensor, nn


class Gate(nn.Module):
    """``sigmoid(alpha)`` in (0, 1), one for all layers of a candidate.

    Args:
        alpha: where it begins; infinity for exactly 1.
        trainable: whether alpha is a parameter; a buffer otherwise.

    Attributes:
        alpha: shape ().
    """

    alpha: Tensor

    def __init__(self, alpha: float = 0.0, trainable: bool = True) -> None:
        super().__init__()
        start = torch.tensor(float(alpha))
        if trainable:
            if not math.isfinite(alpha):
                raise ValueError(f"a gate that is trained must begin at a finite alpha, found {alpha}")
            self.alpha = nn.Parameter(start)
        else:
            self.register_buffer("alpha", start)

    def forward(self) -> Tensor:
        """The factor of the update, shape ()."""
        return self.alpha.sigmoid()
