"""Random crops of hazy pictures, with or without their clear versions.

Legend: S side of a crop.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from train.data.haze_pictures import Sample
from train.data.item import Item
from vision.dehaze.crops import random_crop
from vision.flow.draws import keyed_generator


class HazeCrops:
    """Gives ``{"hazy": (3, S, S)}`` and, of pairs, ``"clear"``, float32 in [0, 1].

    Each visit of a picture draws its crop anew, by the item's position.

    Args:
        samples: the pictures; anything with a length that gives them by number.
        side: S.
        seed: the run's seed.
        turn: see :func:`vision.dehaze.crops.random_crop`.
    """

    def __init__(self, samples: Sequence[Sample], side: int, seed: int, turn: bool = True) -> None:
        self.samples, self.side, self.seed, self.turn = samples, side, seed, turn

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, item: Item) -> dict[str, Tensor]:
        sample = self.samples[item.index]
        drawn = int(keyed_generator(self.seed, "crop", item.position).integers(2**62))
        generator = torch.Generator().manual_seed(drawn)
        pictures = list(sample.values())
        if min(pictures[0].shape[1:]) < self.side:  # bytes cannot be made up at their borders
            pictures = [picture.float() for picture in pictures]
        crops = random_crop(pictures, self.side, generator, self.turn)
        return {name: crop.float() / 255 for name, crop in zip(sample, crops, strict=True)}
