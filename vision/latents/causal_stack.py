"""Residual convolutions that look back one frame each, of which a causal video autoencoder is made.

Legend: B batch, F latent frames, C channels, h, w height and width in the stack.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

#: What a stack must remember between calls: the norm of each block's last frame, shape (B, C, h, w).
Memory = tuple[Tensor, ...]
_EPS = 1e-6


class ChannelNorm(nn.RMSNorm):
    """Root-mean-square norm over the channels of each place of (B, C, h, w)."""

    def forward(self, x: Tensor) -> Tensor:
        channels_last = x.movedim(1, -1)
        return F.rms_norm(channels_last, self.normalized_shape, self.weight.to(x.dtype), self.eps).movedim(
            -1, 1
        )


class CausalBlock(nn.Module):
    """``x_f + W_2 silu(W_1 [n(x_(f-1)), n(x_f)])``, 3x3 convolutions and a norm n; frame -1 is zero.

    A fresh block is the identity, so that depth costs nothing at the beginning.

    Args:
        width: C.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = ChannelNorm(width, eps=_EPS)
        self.enter = nn.Conv2d(2 * width, width, 3, padding=1)
        self.leave = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)  # pyright: ignore[reportArgumentType] - a convolution with a bias

    def forward(self, x: Tensor, batch_size: int, before: Tensor | None) -> tuple[Tensor, Tensor]:
        """
        Args:
            x: shape (B F, C, h, w).
            batch_size: B.
            before: what it returned of the frame before the first one; None where there is none.

        Returns:
            Its value, of the shape of ``x``, and the last frame of ``n(x)``, shape (B, C, h, w).
        """
        normed = self.norm(x)
        frames = normed.unflatten(0, (batch_size, -1))  # (B, F, C, h, w)
        first = torch.zeros_like(frames[:, 0]) if before is None else before
        previous = torch.cat([first[:, None], frames[:, :-1]], 1).flatten(0, 1)
        inner = F.silu(self.enter(torch.cat([previous, normed], 1)))
        return x + self.leave(inner), frames[:, -1]


class CausalStack(nn.Module):
    """A convolution, blocks and changes of resolution between them, and a convolution.

    Args:
        in_channels, out_channels: of its input and output.
        widths: channels at each resolution, in the order of the computation.
        num_blocks: blocks at each resolution.
        upwards: each next resolution is twice the one before; otherwise half of it.
    """

    def __init__(
        self, in_channels: int, out_channels: int, widths: Sequence[int], num_blocks: int, upwards: bool
    ) -> None:
        super().__init__()
        self.upwards = upwards
        self.enter = nn.Conv2d(in_channels, widths[0], 3, padding=1)
        self.stages = nn.ModuleList(
            nn.ModuleList(CausalBlock(width) for _ in range(num_blocks)) for width in widths
        )
        self.resize = nn.ModuleList(
            nn.Conv2d(a, 4 * b, 1) if upwards else nn.Conv2d(4 * a, b, 1) for a, b in pairwise(widths)
        )
        self.norm = ChannelNorm(widths[-1], eps=_EPS)
        self.leave = nn.Conv2d(widths[-1], out_channels, 3, padding=1)

    def forward(self, x: Tensor, batch_size: int, memory: Memory | None = None) -> tuple[Tensor, Memory]:
        """
        Args:
            x: shape (B F, C, h, w).
            batch_size: B.
            memory: of the frames before; None at the beginning.

        Returns:
            Its value, and the memory for the frames that follow.
        """
        x = self.enter(x.contiguous(memory_format=torch.channels_last))
        known = iter(memory or ())
        kept = []
        for number, stage in enumerate(self.stages):
            if number:
                x = self._resized(x, self.resize[number - 1])
            for block in stage:  # pyright: ignore[reportGeneralTypeIssues] - a ModuleList
                x, last = block(x, batch_size, next(known, None))
                kept.append(last)
        return self.leave(self.norm(x)), tuple(kept)

    def _resized(self, x: Tensor, convolution: nn.Module) -> Tensor:
        if self.upwards:
            return F.pixel_shuffle(convolution(x), 2)
        return convolution(F.pixel_unshuffle(x, 2))
