"""What turns pictures into the features that directions are measured in.

Legend: B pictures, H height, W width, S side that the encoder takes, D features.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class PixelEncoder(nn.Module):
    """A frozen encoder that is given raw pixels and prepares them itself, once.

    A subclass implements :meth:`embed`. It stays frozen and in evaluation mode; gradients go through it to
    the pixels.

    Args:
        name: for reports.
        size: S; pictures are resized to S x S whatever their aspect.
        mean: of the three channels, in [0, 1]: (x - mean) / std is what the network was trained on.
        std: as ``mean``.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, name: str, size: int, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.name, self.size = name, size
        self.register_buffer("mean", torch.tensor(mean)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(std)[:, None, None], persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """Embeddings of pictures, as the network gives them (not scaled to length 1).

        Args:
            pixels: raw, black 0 and white 1, shape (B, 3, H, W); values outside are passed on as they are.

        Returns:
            float32 of shape (B, D).
        """
        return self.embed(self.prepared(pixels)).float()

    def prepared(self, pixels: Tensor) -> Tensor:
        """Pixels resized (bicubic, antialiased, as Pillow does) and normalised, shape (B, 3, S, S)."""
        if pixels.ndim != 4 or pixels.shape[1] != 3 or not pixels.numel():
            raise ValueError(f"encoders take pictures (B, 3, H, W), found shape {tuple(pixels.shape)}")
        pixels = pixels.float()
        if pixels.shape[-2:] != (self.size, self.size):
            pixels = F.interpolate(pixels, (self.size, self.size), mode="bicubic", antialias=True)
        return (pixels - self.mean) / self.std

    def embed(self, prepared: Tensor) -> Tensor:
        """Features (B, D) of what :meth:`prepared` gave."""
        raise NotImplementedError

    def train(self, mode: bool = True) -> "PixelEncoder":
        """Stays in evaluation mode, also where a network that holds it is trained."""
        return super().train(False)
