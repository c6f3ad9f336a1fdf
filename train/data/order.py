"""In which order samples are read: a function of (seed, step, global batch size), with nothing to save."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from train.data.item import Item
from vision.flow.draws import keyed_generator


class Order(Protocol):
    """What :class:`train.data.batches.Batches` asks of an order."""

    def items(self, seed: int, step: int, global_batch_size: int) -> list[Item]:
        """The global batch of ``step``: ``global_batch_size`` items, the same whenever it is asked for."""
        ...


class ShuffledStream:
    """An endless row of samples: one permutation of them after the other, each keyed by (seed, epoch)."""

    def __init__(self, indices: Sequence[int] | np.ndarray, name: str) -> None:
        self.indices = np.asarray(indices, np.int64)
        self.name = name
        self._shuffled: dict[tuple[int, int], np.ndarray] = {}

    def between(self, seed: int, start: int, stop: int) -> np.ndarray:
        """Sample indices at places ``start`` to ``stop - 1`` of the row."""
        length = len(self.indices)
        parts = []
        while start < stop:
            epoch, offset = divmod(start, length)
            count = min(length - offset, stop - start)
            parts.append(self._epoch(seed, epoch)[offset : offset + count])
            start += count
        return np.concatenate(parts)

    def _epoch(self, seed: int, epoch: int) -> np.ndarray:
        if (seed, epoch) not in self._shuffled:
            # A batch touches at most neighbouring epochs, unless it is larger than the data.
            while len(self._shuffled) >= 2:
                del self._shuffled[next(iter(self._shuffled))]
            shuffled = keyed_generator(seed, "data order", self.name, epoch).permutation(self.indices)
            self._shuffled[seed, epoch] = shuffled
        return self._shuffled[seed, epoch]


class EpochOrder:
    """Every sample once an epoch, in a new order each epoch.

    Epochs run on across steps: the last samples of an epoch share a batch with the first of the next, so
    none is dropped and every batch is full, whatever the batch size.

    Args:
        count: number of samples, at least 1.
    """

    def __init__(self, count: int) -> None:
        if count < 1:
            raise ValueError(
                f"an order needs at least one sample, found {count}; check the data's path and filters"
            )
        self._stream = ShuffledStream(np.arange(count), "all")

    def items(self, seed: int, step: int, global_batch_size: int) -> list[Item]:
        """The global batch of ``step``; see :class:`Order`."""
        first = step * global_batch_size
        indices = self._stream.between(seed, first, first + global_batch_size)
        return [Item(index, first + i) for i, index in enumerate(indices.tolist())]
