"""The way from haze to clear as haze that was added shows it.

Legend: H height, W width, D features.
"""

from collections.abc import Callable, Iterable

from torch import Tensor

from vision.dehaze.directions.direction import mean_feature
from vision.dehaze.directions.pixel_encoder import PixelEncoder


class SyntheticPairDirection:
    """Mean of E(clear) - E(haze(clear)) over clear pictures, each embedding scaled to length 1 first.

    It stands in for a text direction where there is no CLIP.

    Args:
        encoder: any encoder of pictures.
        clear: raw pixels in [0, 1], each of shape (3, H, W).
        haze: gives the hazy version of such a picture.

    Raises:
        ValueError: no pictures, or haze that the encoder does not see.
    """

    def __init__(
        self, encoder: PixelEncoder, clear: Iterable[Tensor], haze: Callable[[Tensor], Tensor]
    ) -> None:
        pictures = list(clear)
        clear_feature, count = mean_feature(encoder, pictures, "clear")
        hazy_feature, _ = mean_feature(encoder, map(haze, pictures), "hazy")
        self.encoder = encoder
        self.vector = clear_feature - hazy_feature
        if not self.vector.norm() > 0:
            raise ValueError(f"{encoder.name} sees no haze in the hazy pictures; check what makes them hazy")
        self.name = f"SyntheticPairDirection({encoder.name}, {count} clear pictures with added haze)"
