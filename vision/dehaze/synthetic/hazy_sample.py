"""One hazy picture with what made it.

Legend: H height, W width.
"""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class HazySample:
    """A hazy picture and its truth: before gamma and noise it is ``scatter(clear, transmission, airlight)``.

    Attributes:
        hazy: in [0, 1], float32, shape (3, H, W).
        clear: the same scene without haze; at night darkened, with the lamps in it. Shape (3, H, W).
        transmission: in [0, 1], shape (1, H, W).
        airlight: in [0, 1], shape (3, 1, 1); (3, H, W) where lamps glow.
        facts: the numbers that were drawn.
    """

    hazy: Tensor
    clear: Tensor
    transmission: Tensor
    airlight: Tensor
    facts: dict[str, float | list[float]]
