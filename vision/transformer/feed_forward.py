"""The feed-forward network of a block."""

from torch import Tensor, nn

from vision.transformer.fused import tanh_gelu


class TanhGeluProjection(nn.Module):
    """A linear layer and GELU in its tanh form."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.proj = nn.Linear(width, inner)

    def forward(self, x: Tensor) -> Tensor:
        """(..., width) to (..., inner)."""
        return tanh_gelu(self.proj(x))


class FeedForward(nn.Module):
    """Two linear layers with a GELU between; ``net.1`` stays empty to keep diffusers' parameter names."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.net = nn.Sequential(TanhGeluProjection(width, inner), nn.Identity(), nn.Linear(inner, width))

    def forward(self, x: Tensor) -> Tensor:
        """(..., width) to (..., width)."""
        return self.net(x)
