"""Scenes as bright as photographs are: a game's frames are darker.

Legend: H height, W width.
"""

from dataclasses import replace

import torch
from torch import Tensor

from vision.dehaze.synthetic.scene import Scene
from vision.latents.identity import named_generator

#: Exponents that are tried; beyond these little of a picture is left.
_EXPONENTS = (0.2, 5.0)
_HALVINGS = 30


def with_brightness(scene: Scene, limits: tuple[float, float], seed: int) -> Scene:
    """A scene whose mean brightness is drawn from ``limits``, the same for the same seed and name.

    Args:
        scene: any.
        limits: least and greatest mean, in (0, 1).
        seed: of the draw.
    """
    drawn = named_generator("brightness", seed, scene.name)
    low, high = limits
    mean = low + (high - low) * float(torch.rand((), generator=drawn, dtype=torch.float64))
    return replace(scene, clear=to_mean_brightness(scene.clear, mean))


def to_mean_brightness(clear: Tensor, mean: float) -> Tensor:
    """``clear ** g`` with the g for which its mean is ``mean``, as near as g in [0.2, 5] brings it.

    Black and white stay what they are, so that nothing is clipped.

    Args:
        clear: in [0, 1], shape (3, H, W).
        mean: in (0, 1).
    """
    low, high = _EXPONENTS
    for _ in range(_HALVINGS):  # the mean falls as g grows
        middle = (low * high) ** 0.5
        if (clear**middle).mean() > mean:
            low = middle
        else:
            high = middle
    return clear ** (low * high) ** 0.5
