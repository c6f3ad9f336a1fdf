"""The haze-to-clear loss of pictures.

Legend: B pictures, H height, W width.
"""

import torch
from torch import Tensor

from vision.dehaze.directions.direction import Direction
from vision.dehaze.haze_to_clear import haze_to_clear_loss

# Rounding of resized pictures may leave [0, 1] by so much.
_MARGIN = 0.05


class HazeToClear:
    """Encodes what went into a network and what came out, and compares the way between with a direction.

    Args:
        direction: where clear lies, with its encoder.
        floor: see :func:`haze_to_clear_loss`.
        legacy_double_norm: normalise the input twice, as the code released with the paper does by mistake;
            for comparison with it alone.
    """

    def __init__(self, direction: Direction, floor: float = 1e-3, legacy_double_norm: bool = False) -> None:
        self.direction, self.floor, self.legacy_double_norm = direction, floor, legacy_double_norm

    @property
    def name(self) -> str:
        """For reports: the loss and what its direction rests on."""
        return f"haze to clear by {self.direction.name}"

    def __call__(self, output: Tensor, hazy: Tensor) -> Tensor:
        """The loss, a scalar in [0, 2].

        Args:
            output: raw pixels as the network gave them, not clamped, shape (B, 3, H, W).
            hazy: raw pixels in [0, 1] of its input, shape (B, 3, H, W); not what was normalised for it.

        Raises:
            ValueError: ``hazy`` is not raw pixels.
        """
        encoder = self.direction.encoder
        with torch.no_grad():
            low, high = hazy.aminmax()
            if low < -_MARGIN or high > 1 + _MARGIN:
                raise ValueError(
                    f"the hazy pictures hold values from {low:.2f} to {high:.2f}; expected raw pixels in "
                    "[0, 1], since the encoder normalises them itself"
                )
            seen = (hazy - encoder.mean) / encoder.std if self.legacy_double_norm else hazy
            before = encoder(seen)
        return haze_to_clear_loss(encoder(output), before, self.direction.vector, self.floor)
