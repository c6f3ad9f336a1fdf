"""Aspect buckets: sizes of about one area, so that pictures keep their shape.

Legend: H height, W width in pixels.
"""

import math
from collections.abc import Sequence

import numpy as np

from train.data.item import Item
from train.data.order import ShuffledStream
from vision.flow.draws import keyed_generator

MAX_ASPECT = 2.0


def bucket_sizes(height: int, width: int, multiple: int) -> list[tuple[int, int]]:
    """Sizes (H, W) whose sides ``multiple`` divides, of at most the area of ``height`` x ``width``.

    There is one for each width with an aspect from 1:2 to 2:1, as high as the area allows, and
    ``height`` x ``width`` itself.

    Raises:
        ValueError: ``multiple`` does not divide ``height`` and ``width``.
    """
    if height % multiple or width % multiple:
        raise ValueError(
            f"pictures of {height} x {width} do not fit a network that takes multiples of {multiple}; change "
            "data.height and data.width"
        )
    area = height * width
    sizes = {(height, width)}
    for w in range(multiple, math.isqrt(int(area * MAX_ASPECT)) + 1, multiple):
        h = area // w // multiple * multiple
        if h and max(h / w, w / h) <= MAX_ASPECT:
            sizes.add((h, w))
    return sorted(sizes)


def nearest_size(height: int, width: int, sizes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """The size whose aspect is nearest to that of a picture; the larger one of equals.

    A picture is then scaled to cover that size and cut at its centre
    (:func:`vision.media.resize_and_crop`). One that is longer than 2:1 gets the longest size.
    """
    aspect = math.log(height / width)
    return min(sizes, key=lambda size: (abs(math.log(size[0] / size[1]) - aspect), -size[0] * size[1]))


class BucketOrder:
    """Each global batch comes from one bucket, and each sample is read equally often.

    A bucket of n samples is an endless row of its permutations. In epoch e it gives
    ``floor((e + 1) n / G) - floor(e n / G)`` global batches of size G: what does not fill a batch is carried
    into the next epoch, not dropped, and a bucket of less than G samples has its turn every few epochs.
    The batches of an epoch are shuffled.

    Args:
        buckets: for each sample, which bucket it is in (any hashable value that can be sorted).
    """

    def __init__(self, buckets: Sequence[tuple[int, int]]) -> None:
        if not buckets:
            raise ValueError("an order needs at least one sample; check the data's path and filters")
        members: dict[tuple[int, int], list[int]] = {}
        for number, bucket in enumerate(buckets):
            members.setdefault(bucket, []).append(number)
        self._streams = [ShuffledStream(members[bucket], str(bucket)) for bucket in sorted(members)]
        self._counts = np.array([len(members[bucket]) for bucket in sorted(members)], np.int64)

    def items(self, seed: int, step: int, global_batch_size: int) -> list[Item]:
        """The global batch of ``step``; see :class:`train.data.order.Order`."""
        epoch = self._epoch(step, global_batch_size)
        before = self._batches(epoch, global_batch_size)
        turns = np.repeat(np.arange(len(before)), self._batches(epoch + 1, global_batch_size) - before)
        turns = keyed_generator(seed, "bucket order", epoch).permutation(turns)
        place = step - int(before.sum())
        bucket = turns[place]
        start = (int(before[bucket]) + int((turns[:place] == bucket).sum())) * global_batch_size
        indices = self._streams[bucket].between(seed, start, start + global_batch_size)
        first = step * global_batch_size
        return [Item(index, first + i) for i, index in enumerate(indices.tolist())]

    def _batches(self, epoch: int, global_batch_size: int) -> np.ndarray:
        """Global batches that each bucket has given before ``epoch``."""
        return epoch * self._counts // global_batch_size

    def _epoch(self, step: int, global_batch_size: int) -> int:
        """The epoch of ``step``: the last one before which at most ``step`` batches were given."""
        low, high = 0, 1
        while self._batches(high, global_batch_size).sum() <= step:
            low, high = high, 2 * high
        while high - low > 1:
            middle = (low + high) // 2
            if self._batches(middle, global_batch_size).sum() <= step:
                low = middle
            else:
                high = middle
        return low
