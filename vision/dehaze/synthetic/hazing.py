"""Adds haze to a clear picture of known depth.

Legend: H height, W width, G points of a coarse grid, L lamps.
"""

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from vision.dehaze.synthetic.domain import HazeDomain
from vision.dehaze.synthetic.hazy_sample import HazySample
from vision.dehaze.synthetic.scattering import scatter, transmission

_LAMP_COLOURS = torch.tensor([[1.0, 0.78, 0.45], [1.0, 0.9, 0.7], [0.85, 0.95, 1.0]])


def add_haze(clear: Tensor, depth: Tensor, domain: HazeDomain, generator: Generator) -> HazySample:
    """Draws one haze of a kind and lays it over a picture.

    I = clamp((J t + A (1 - t))^gamma + noise), t = exp(-b d).

    Args:
        clear: in [0, 1], shape (3, H, W), any size from 1 x 1.
        depth: relative, 0 at the camera and 1 at the farthest point, shape (1, H, W);
            see :func:`vision.dehaze.synthetic.scene.relative_depth`.
        domain: what is drawn from.
        generator: on the CPU; the same state gives the same haze.

    Raises:
        ValueError: shapes that do not fit, or a depth outside [0, 1].
    """
    if clear.ndim != 3 or len(clear) != 3 or depth.shape != (1, *clear.shape[1:]):
        raise ValueError(
            f"expected a picture (3, H, W) and its depth (1, H, W), found {tuple(clear.shape)} and "
            f"{tuple(depth.shape)}"
        )
    if not bool(((depth >= 0) & (depth <= 1)).all()):
        raise ValueError("depth lies outside [0, 1] or is not finite; see relative_depth")
    height, width = clear.shape[1:]
    density = _between(domain.density, generator)
    brightness = _between(domain.brightness, generator)
    tint = domain.tints[_below(len(domain.tints), generator)]
    unevenness = _between(domain.unevenness, generator)
    exposure = _between(domain.exposure, generator)
    lamps = domain.lamps[0] + _below(domain.lamps[1] - domain.lamps[0] + 1, generator)
    gamma = _between(domain.gamma, generator)
    noise = _between(domain.noise, generator)

    spread = torch.exp(unevenness * smooth_field(height, width, generator)) if unevenness else 1.0
    through = transmission(depth, density * spread)
    scene, airlight = clear * exposure, brightness * torch.tensor(tint)[:, None, None]
    if lamps:
        core, glow = _lamps(height, width, lamps, generator)
        scene, airlight = (scene + core).clamp(max=1), (airlight + glow).clamp(max=1)
    hazy = scatter(scene, through, airlight) ** gamma
    if noise:
        hazy = hazy + noise * torch.randn(hazy.shape, generator=generator)
    facts: dict[str, float | list[float]] = {
        "density": density,
        "brightness": brightness,
        "tint": list(tint),
        "unevenness": unevenness,
        "exposure": exposure,
        "lamps": lamps,
        "gamma": gamma,
        "noise": noise,
    }
    return HazySample(hazy.clamp(0, 1), scene, through, airlight, facts)


def smooth_field(height: int, width: int, generator: Generator) -> Tensor:
    """A smooth random field in [-1, 1], shape (1, H, W): three grids, each finer and fainter."""
    field = torch.zeros(1, 1, height, width)
    for points, weight in ((3, 1.0), (6, 0.5), (12, 0.25)):
        grid = 2 * torch.rand((1, 1, points, points), generator=generator) - 1
        field += weight * F.interpolate(grid, (height, width), mode="bicubic", align_corners=True)
    return (field[0] / 1.75).clamp(-1, 1)


def invented_depth(height: int, width: int, generator: Generator) -> Tensor:
    """A depth for a photograph that has none: far at the top, near at the bottom, with smooth relief.

    It is no truth: for directions and augmentation alone.

    Returns:
        In [0, 1], shape (1, H, W).
    """
    ramp = torch.linspace(1, 0, height)[None, :, None].expand(1, height, width)
    depth = 0.75 * ramp + 0.25 * (smooth_field(height, width, generator) + 1) / 2
    return depth / depth.max().clamp(min=1e-6)


def invented_haze(domain: HazeDomain, generator: Generator, clear: Tensor) -> Tensor:
    """A photograph (3, H, W) in [0, 1] under a haze of a kind, over an invented depth."""
    height, width = clear.shape[1:]
    depth = invented_depth(height, width, generator)
    return add_haze(clear, depth, domain, generator).hazy


def _lamps(height: int, width: int, count: int, generator: Generator) -> tuple[Tensor, Tensor]:
    """Lamps in the upper two thirds of a picture: their discs and their glow, each (3, H, W)."""
    side = max(height, width)
    rows = torch.arange(height)[None, :, None] / side
    columns = torch.arange(width)[None, None, :] / side
    draws = torch.rand((count, 5), generator=generator)
    core, glow = torch.zeros(3, height, width), torch.zeros(3, height, width)
    for y, x, size, strength, which in draws.tolist():
        colour = _LAMP_COLOURS[int(which * len(_LAMP_COLOURS))][:, None, None]
        away = (rows - y * 0.66 * height / side) ** 2 + (columns - x * width / side) ** 2
        radius = 0.004 + 0.008 * size
        core += colour * torch.exp(-away / radius**2)
        # Light scattered once falls off as a heavy-tailed bell around its source.
        glow += colour * (0.5 + 0.4 * strength) / (1 + away / (14 * radius) ** 2) ** 1.5
    return core, glow


def _between(limits: tuple[float, float], generator: Generator) -> float:
    low, high = limits
    return low + (high - low) * float(torch.rand((), generator=generator, dtype=torch.float64))


def _below(count: int, generator: Generator) -> int:
    return int(torch.randint(count, (), generator=generator))
