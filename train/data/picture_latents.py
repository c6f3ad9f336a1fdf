"""Latents of pictures through the cache, with a report of those that cannot be used.

Legend: C channels, H height, W width.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor
from tqdm import tqdm

from train.data.bad_samples import report_bad
from train.data.captioned_picture import CaptionedPicture, PictureListing
from train.data.latent_rows import CachedRows
from train.data.tensor_table import TensorTable
from vision.latents import LatentCache
from vision.media import UnreadableImageError, decode_image, image_size, resize_and_crop, to_tensor
from vision.processes import process_state


@dataclass(frozen=True)
class PictureLatents:
    """What training needs of a listing's good pictures, in its order.

    Attributes:
        rows: latents.
        captions: one each.
        sizes: (H, W) in pixels of each.
    """

    rows: CachedRows
    captions: list[str]
    sizes: list[tuple[int, int]]


def prepare_latents(
    listing: PictureListing,
    cache: LatentCache,
    channels: int,
    size_of: Callable[[int, int], tuple[int, int]],
    max_bad_share: float,
) -> PictureLatents:
    """Makes or finds the latents of every picture; one that cannot be read is left out and reported.

    Args:
        listing: the pictures.
        cache: makes and keeps the latents.
        channels: 1 or 3, what the autoencoder (in pixel space the network) takes.
        size_of: from height and width of a picture, the size at which it is used.
        max_bad_share: largest share of bad pictures.

    Raises:
        ValueError: more are bad, or none is good; the message names them.
    """
    state = process_state()
    total = len(listing.pictures)
    # Each process begins at its own place, and finds most of the others' share done when it gets there.
    start = state.process_index * total // state.num_processes
    table = TensorTable()
    sizes: dict[int, tuple[int, int]] = {}
    bad: dict[int, str] = {}
    order = [*range(start, total), *range(start)]
    for number in tqdm(order, "latents", disable=not state.is_main_process, delay=2, leave=False):
        picture = listing.pictures[number]
        try:
            content = picture.content()
        except OSError as error:
            bad[number] = f"{picture.name}: {error.strerror}"
            continue
        try:
            size = size_of(*image_size(content, picture.name))
            path = cache.path(hashlib.blake2b(content, digest_size=16).hexdigest(), channels, *size)
            latents = cache.encoded(path, _Pixels(picture, content, channels, size))
        except UnreadableImageError as error:
            bad[number] = str(error)
            continue
        table.put(number, {"latents": latents}, path)
        sizes[number] = size
    report_bad(
        "pictures", [*listing.bad, *(bad[number] for number in sorted(bad))], len(sizes), max_bad_share
    )
    kept = sorted(sizes)
    captions = [listing.pictures[number].caption for number in kept]
    return PictureLatents(CachedRows(table, kept), captions, [sizes[number] for number in kept])


@dataclass(frozen=True)
class _Pixels:
    picture: CaptionedPicture
    content: bytes
    channels: int
    size: tuple[int, int]

    def __call__(self) -> Tensor:
        image = decode_image(self.content, self.picture.name, self.channels)
        return to_tensor(resize_and_crop(image, *self.size))[:, None]  # (C, 1, H, W)
