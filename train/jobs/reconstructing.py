"""Clips through an autoencoder and back: previews, PSNR, and the statistics of its latents.

Legend: C channels, T frames, H, W height and width of the pixels; c, F, h, w the same of the latents.
"""

from collections.abc import Sequence
from statistics import fmean

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from train.data.clip_windows import channels_first
from train.previews import Pictures, Preview
from vision.latents import decode, encode
from vision.latents.cache import to_unit_range
from vision.media import to_image
from vision.metrics import psnr


def reconstruction_preview(clips: Sequence[np.ndarray], columns: int, name: str) -> Preview:
    """A row of each clip's frames above a row of what the network called ``name`` gives back.

    Their mean PSNR is logged as ``held_out/psnr``.

    Args:
        clips: uint8 (T, H, W, 3) each, all of one size.
        columns: frames shown of each, evenly spaced.
        name: of the network.
    """

    def draw(step: int, networks: dict[str, nn.Module]) -> Pictures:
        images: list[Image.Image] = []
        found = []
        count = min(columns, *(len(clip) for clip in clips))
        for clip in clips:
            pixels, back = reconstructed(networks[name], clip)
            found.append(clip_psnr(pixels, back))
            shown = np.linspace(0, len(clip) - 1, count).round().astype(int)
            images += [to_image(row[0, :, frame]) for row in (pixels, back) for frame in shown]
        return Pictures(images, count, {"held_out/psnr": fmean(found)})

    return Preview(draw)


@torch.no_grad()
def reconstructed(network: nn.Module, clip: np.ndarray) -> tuple[Tensor, Tensor]:
    """A clip's pixels and what comes back: float32 in [-1, 1], shape (1, C, T, H, W), on the CPU."""
    pixels = to_unit_range(channels_first(clip))[None]
    return pixels, decode(network, encode(network, pixels)).clamp(-1, 1).cpu()


def clip_psnr(pixels: Tensor, back: Tensor) -> float:
    """PSNR of one clip in dB."""
    return float(psnr(pixels, back)[0])


@torch.no_grad()
def latent_statistics(network: nn.Module, clips: Sequence[np.ndarray]) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel of the latents of clips, as the network now scales them."""
    count = 0
    total = square = torch.zeros((), dtype=torch.float64)
    for clip in clips:
        latents = encode(network, to_unit_range(channels_first(clip))[None]).double().cpu()
        values = latents[0].flatten(1)  # (c, F h w)
        count += values.shape[1]
        total = total + values.sum(1)
        square = square + values.square().sum(1)
    mean = total / count
    std = (square / count - mean.square()).clamp(min=0).sqrt()
    return mean.tolist(), std.tolist()
