"""The garment as a frame before the video.

Legend: B clips, C channels, F latent frames, H height, W width of the latents.
"""

import torch
from torch import Tensor

#: What the network sees of the video at the garment's place: its latent, noised like the rest, or zeros.
PADDINGS = ("noised", "zeros")


def with_reference(latents: Tensor, reference: Tensor) -> Tensor:
    """Puts the garment's latent (B, C, 1, H, W) before those of the video: (B, C, 1 + F, H, W)."""
    return torch.cat([reference.to(latents), latents], dim=2)


def without_reference(latents: Tensor) -> Tensor:
    """Drops the garment's place, from what is decoded and from what is in a loss: (B, C, F, H, W)."""
    return latents[:, :, 1:]


def pad_reference(noisy: Tensor, padding: str) -> Tensor:
    """What the network is given at the garment's place (iTryOn draws "padding tokens" without saying which).

    Args:
        noisy: noisy latents with a garment's place, shape (B, C, 1 + F, H, W).
        padding: "noised" leaves them, as VACE does; "zeros" clears the place.

    Raises:
        ValueError: another padding.
    """
    if padding not in PADDINGS:
        raise ValueError(f"padding is {padding!r}; expected one of {PADDINGS}")
    if padding == "noised":
        return noisy
    return torch.cat([torch.zeros_like(noisy[:, :, :1]), noisy[:, :, 1:]], dim=2)
