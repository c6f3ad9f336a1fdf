"""The way from haze to clear as two sets of photographs show it.

Legend: H height, W width, D features.
"""

from collections.abc import Iterable

from torch import Tensor

from vision.dehaze.directions.direction import mean_feature
from vision.dehaze.directions.pixel_encoder import PixelEncoder


class ExemplarDirection:
    """Mean of E(clear) less the mean of E(hazy), each embedding scaled to length 1 first.

    The pictures need not show the same scenes, but what else differs between the sets goes into the
    direction as well. It stands in for a text direction where there is no CLIP.

    Args:
        encoder: any encoder of pictures.
        clear: raw pixels in [0, 1], each of shape (3, H, W).
        hazy: as ``clear``.

    Raises:
        ValueError: a set is empty, or the encoder sees no difference.
    """

    def __init__(self, encoder: PixelEncoder, clear: Iterable[Tensor], hazy: Iterable[Tensor]) -> None:
        clear_feature, clear_count = mean_feature(encoder, clear, "clear")
        hazy_feature, hazy_count = mean_feature(encoder, hazy, "hazy")
        self.encoder = encoder
        self.vector = clear_feature - hazy_feature
        if not self.vector.norm() > 0:
            raise ValueError(f"{encoder.name} sees no difference between the clear and the hazy pictures")
        self.name = f"ExemplarDirection({encoder.name}, {clear_count} clear and {hazy_count} hazy pictures)"
