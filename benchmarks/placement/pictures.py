"""Hazy and clear crops of photographs that scikit-image carries.

Legend: N crops, H height, W width.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from skimage import data
from torch import Tensor

from vision.dehaze.synthetic.domain import domain
from vision.dehaze.synthetic.hazing import invented_haze

#: Sides of a crop.
SIDE = 64


@dataclass(frozen=True)
class Pairs:
    """Crops (N, 3, H, W) in [0, 1]."""

    hazy: Tensor
    clear: Tensor

    def loss(self, network: torch.nn.Module, numbers: list[int]) -> Tensor:
        """Mean absolute error on some of the crops."""
        return (network(self.hazy[numbers]) - self.clear[numbers]).abs().mean()

    @torch.no_grad()
    def psnr(self, network: torch.nn.Module) -> float:
        """Mean over crops of the peak signal-to-noise ratio in decibels, peak 1."""
        error = (network(self.hazy).clamp(0, 1) - self.clear).square().mean((1, 2, 3))
        return (-10 * error.log10()).mean().item()


def photographs() -> list[Tensor]:
    """Colour photographs (3, H, W) in [0, 1], at half their size."""
    pictures = [data.astronaut(), data.chelsea(), data.coffee(), data.rocket(), *data.stereo_motorcycle()[:2]]
    return [
        F.avg_pool2d(torch.from_numpy(np.ascontiguousarray(p)).permute(2, 0, 1).float() / 255, 2)
        for p in pictures
    ]


def draw_crops(count: int, draw: torch.Generator, held_out: bool) -> Tensor:
    """Random crops (N, 3, H, W) of the photographs, in [0, 1], some of them mirrored.

    Args:
        count: N.
        draw: what is drawn from.
        held_out: whether of the part for tests, the right quarter of each photograph; else of the rest.
    """
    pictures = photographs()
    clear = []
    for number in range(count):
        picture = pictures[number % len(pictures)]
        height, width = picture.shape[1:]
        border = width - max(width // 4, SIDE)
        low, high = (border, width - SIDE) if held_out else (0, border - SIDE)
        top = int(torch.randint(height - SIDE + 1, (), generator=draw))
        left = low + int(torch.randint(high - low + 1, (), generator=draw))
        crop = picture[:, top : top + SIDE, left : left + SIDE]
        clear.append(crop.flip(2) if torch.rand((), generator=draw) < 0.5 else crop)
    return torch.stack(clear)


def draw_pairs(count: int, seed: int, held_out: bool) -> Pairs:
    """Random crops with haze ``I = J t + A (1 - t)``, ``t = exp(-beta d)``.

    Grey airlight A in [.8, 1], beta in [.6, 1.4], depth d a smooth random surface in [0, 1] that tends to
    grow upwards.

    Args:
        count: N.
        seed: of crops and haze.
        held_out: see :func:`draw_crops`.
    """
    draw = torch.Generator().manual_seed(2 * seed + held_out)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(shape, generator=draw)

    whole = draw_crops(count, draw, held_out)
    rough = F.interpolate(uniform(0, 0.6, count, 1, 4, 4), size=SIDE, mode="bicubic", align_corners=True)
    slope = torch.linspace(0.4, 0, SIDE).view(1, 1, SIDE, 1) * uniform(0, 1, count, 1, 1, 1)
    transmission = torch.exp(-uniform(0.6, 1.4, count, 1, 1, 1) * (rough + slope).clamp(0, 1))
    airlight = uniform(0.8, 1.0, count, 1, 1, 1)
    return Pairs(whole * transmission + airlight * (1 - transmission), whole)


@cache
def hazed_pairs(count: int, kind: str, seed: int, held_out: bool) -> Pairs:
    """Random crops under a haze of :data:`vision.dehaze.synthetic.domain.DOMAINS`, over invented depth.

    Args:
        count: N.
        kind: of haze, for instance "shifted".
        seed: of crops and haze.
        held_out: see :func:`draw_crops`.
    """
    draw = torch.Generator().manual_seed(2 * seed + held_out)
    clear = draw_crops(count, draw, held_out)
    hazy = [invented_haze(domain(kind), draw, crop) for crop in clear]
    return Pairs(torch.stack(hazy), clear)
