"""Normalisation and modulation of the token stream.

Legend: B batch, L tokens, D width, G groups of tokens that share a timestep (1, one a frame, or L).
"""

import torch.nn.functional as F
from torch import Tensor, nn

from vision.transformer.fused import add_scaled, norm_rotate


class HeadNorm(nn.RMSNorm):
    """Root-mean-square norm of queries or keys over all heads together, with their rotary positions."""

    def forward(self, x: Tensor, heads: int, table: Tensor | None = None) -> Tensor:
        """(B, L, D) to (B, L, heads, D / heads); ``table`` as in :func:`norm_rotate`."""
        assert self.eps is not None
        return norm_rotate(x, self.weight, self.eps, heads, table)


class LayerNorm(nn.LayerNorm):
    """Layer norm whose weights, if any, follow the input's type; statistics are float32."""

    def forward(self, input: Tensor) -> Tensor:
        weight, bias = self.weight, self.bias
        if weight is not None:
            weight, bias = weight.to(input.dtype), bias.to(input.dtype)
        return F.layer_norm(input, self.normalized_shape, weight, bias, self.eps)


def modulate(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """``x scale + shift`` with one scale and shift a group of tokens.

    Args:
        x: shape (B, L, D).
        scale: the whole factor (1 already added), shape (B, G, D); G divides L.
        shift: shape (B, G, D).
    """
    grouped = x.unflatten(1, (scale.shape[1], -1))  # (B, G, L / G, D)
    return add_scaled(shift.unsqueeze(2), grouped, scale.unsqueeze(2)).flatten(1, 2)


def add_gated(x: Tensor, update: Tensor, gate: Tensor) -> Tensor:
    """``x + update gate`` with one gate a group of tokens.

    Args:
        x: shape (B, L, D).
        update: shape (B, L, D).
        gate: shape (B, G, D); G divides L.
    """
    groups = (gate.shape[1], -1)
    return add_scaled(x.unflatten(1, groups), update.unflatten(1, groups), gate.unsqueeze(2)).flatten(1, 2)
