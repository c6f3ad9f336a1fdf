"""EfficientNet-Lite0 as an encoder of pictures.

Legend: B pictures, S side (224 or as chosen), D = 1280 features.
"""

from torch import Tensor

from vision.dehaze.directions.pixel_encoder import PixelEncoder
from vision.metrics.efficientnet_lite import MEAN, NAME, SIDE, STD, efficientnet_lite


class EfficientNetEncoder(PixelEncoder):
    """Averages of the last 1,280 feature maps.

    A network that has seen no texts: it stands in where there is no CLIP.

    Args:
        size: S; its ImageNet training saw 224. Small pictures are seen as well, and faster, at a smaller one.

    Raises:
        ValueError: the packages of the extra ``features`` are not installed, or carry other weights.
    """

    def __init__(self, size: int = SIDE) -> None:
        name = NAME if size == SIDE else f"{NAME}, pictures of {size} x {size}"
        super().__init__(name, size, [MEAN] * 3, [STD] * 3)
        self.network = efficientnet_lite()

    def embed(self, prepared: Tensor) -> Tensor:
        """Features (B, D) of normalised pixels (B, 3, S, S)."""
        return self.network.extract_features(prepared).mean((2, 3))  # type: ignore[operator]
