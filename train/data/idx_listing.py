"""Pictures of IDX files as files of their own, where an autoencoder or another size is wanted."""

from collections.abc import Sequence
from io import BytesIO

import numpy as np
import torch

from train.data.captioned_picture import CaptionedPicture, PictureListing
from train.data.idx import IdxPictures
from vision.media import to_image


def idx_listing(pictures: IdxPictures, name: str, class_names: Sequence[str]) -> PictureListing:
    """Lists the pictures as PNG files that are made when asked for; the caption is the class name."""
    listed = [
        CaptionedPicture(f"{name}[{number}]", class_names[int(label)], _Content(pixels))
        for number, (pixels, label) in enumerate(zip(pictures.pixels, pictures.labels, strict=True))
    ]
    return PictureListing(listed, [])


class _Content:
    def __init__(self, pixels: np.ndarray) -> None:
        self.pixels = pixels

    def __call__(self) -> bytes:
        buffer = BytesIO()
        to_image(torch.from_numpy(self.pixels)).save(buffer, "PNG", compress_level=1)
        return buffer.getvalue()
