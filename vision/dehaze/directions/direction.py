"""What says which way clear lies.

Legend: N pictures, H height, W width, D features.
"""

from collections.abc import Iterable
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from vision.dehaze.directions.pixel_encoder import PixelEncoder


class Direction(Protocol):
    """A direction from haze to clear in the features of an encoder.

    Attributes:
        name: what it rests on, for reports.
        encoder: the encoder whose features it is measured in.
        vector: shape (D,), not of length 0.
    """

    name: str
    vector: Tensor

    @property
    def encoder(self) -> PixelEncoder: ...


@torch.no_grad()
def mean_feature(encoder: PixelEncoder, pictures: Iterable[Tensor], kind: str) -> tuple[Tensor, int]:
    """Mean of the embeddings, each scaled to length 1, and of how many.

    Args:
        encoder: gives features (1, D).
        pictures: raw pixels in [0, 1], each of shape (3, H, W).
        kind: what they are, for the error.

    Raises:
        ValueError: there is no picture.
    """
    total, count = None, 0
    for picture in pictures:
        feature = F.normalize(encoder(picture[None].to(encoder.mean.device)), dim=-1)[0]
        total = feature if total is None else total + feature
        count += 1
    if total is None:
        raise ValueError(f"a direction from pictures needs at least one {kind} picture, found none")
    return total / count, count
