"""CLIP's picture tower as an encoder.

Legend: B pictures, S side that the encoder takes, D features shared by pictures and texts.
"""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from vision.dehaze.clip_statistics import CLIP_MEAN, CLIP_STD
from vision.dehaze.directions.pixel_encoder import PixelEncoder


class ClipEncoder(PixelEncoder):
    """Projected picture features of a CLIP model of transformers.

    Args:
        model: a transformers ``CLIPModel``; frozen here.
        name: for reports.
        mean: of the channels, as its image processor says.
        std: as ``mean``.
    """

    def __init__(
        self,
        model: Any,
        name: str = "CLIP",
        mean: Sequence[float] = CLIP_MEAN,
        std: Sequence[float] = CLIP_STD,
    ) -> None:
        super().__init__(name, model.config.vision_config.image_size, mean, std)
        self.model = model.eval().requires_grad_(False)

    def embed(self, prepared: Tensor) -> Tensor:
        """Features (B, D) of normalised pixels (B, 3, S, S)."""
        seen = self.model.vision_model(pixel_values=prepared.to(self.model.dtype))
        return self.model.visual_projection(seen.pooler_output)
