"""The losses of a search on crops of pictures.

Legend: B batch, S side of the crops.
"""

import math
from collections.abc import Callable, Sequence

from torch import Tensor

from train.data.batches import stack
from train.data.haze_crops import HazeCrops
from train.data.item import Item
from train.data.order import EpochOrder
from vision.processes import process_device

#: Loss of a batch ``{"hazy": (B, 3, S, S), ...}`` in a step of the search.
BatchLoss = Callable[[dict[str, Tensor], int], Tensor]


class HalfOfCrops:
    """A loss by number of the step, on crops of some of the pictures; each once before any comes again.

    Args:
        loss: of a batch on the run's device.
        crops: all pictures.
        numbers: of those of this half.
        batch_size: crops a step.
        seed: the run's seed.

    Attributes:
        batches: of one pass.
    """

    def __init__(
        self, loss: BatchLoss, crops: HazeCrops, numbers: Sequence[int], batch_size: int, seed: int
    ) -> None:
        self._loss, self._crops, self._numbers = loss, crops, numbers
        self._order, self._batch_size, self._seed = EpochOrder(len(numbers)), batch_size, seed
        self.batches = math.ceil(len(numbers) / batch_size)

    def __call__(self, step: int) -> Tensor:
        items = self._order.items(self._seed, step, self._batch_size)
        batch = stack([self._crops[Item(self._numbers[item.index], item.position)] for item in items])
        return self._loss({name: value.to(process_device()) for name, value in batch.items()}, step)
