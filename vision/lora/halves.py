"""Two disjoint halves of a data set, and a loss on each."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

Item = TypeVar("Item")


def split_halves(count: int, seed: int = 0) -> tuple[list[int], list[int]]:
    """Numbers 0 to ``count - 1`` in two random halves that share none; the second is the longer one.

    Args:
        count: size N of the data; the halves have N // 2 and N - N // 2.
        seed: of the draw.

    Raises:
        ValueError: fewer than two.
    """
    if count < 2:
        raise ValueError(f"a search needs two halves of the data, found {count} in all; give 2 or more")
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed)).tolist()
    return order[: count // 2], order[count // 2 :]


class HalfLoss:
    """A loss by number of the step, on batches of some items; each item once before any comes again.

    A batch depends on the seed and its number alone. The last one of a pass may be shorter.

    Args:
        loss: scalar loss of a list of items.
        items: of this half.
        batch_size: items a batch.
        seed: of their order.

    Attributes:
        batches: of one pass; ``select(batches=upper.batches)`` scores on all of the half.
    """

    def __init__(
        self, loss: Callable[[list[Any]], Tensor], items: Sequence[Any], batch_size: int, seed: int
    ) -> None:
        if batch_size < 1 or not items:
            raise ValueError(
                f"found {len(items)} items and a batch of {batch_size}; expected 1 or more of both"
            )
        self._loss, self._items, self._batch_size, self._seed = loss, items, batch_size, seed
        self.batches = -(-len(items) // batch_size)

    def __call__(self, step: int) -> Tensor:
        """The loss of one batch."""
        turn, number = divmod(step, self.batches)
        order = torch.randperm(
            len(self._items), generator=torch.Generator().manual_seed(1_000_003 * self._seed + turn)
        ).tolist()
        chosen = order[number * self._batch_size : (number + 1) * self._batch_size]
        return self._loss([self._items[i] for i in chosen])

    def shared_with(self, other: "HalfLoss") -> int:
        """How many objects are items of both."""
        return len({id(item) for item in self._items} & {id(item) for item in other._items})


def on_halves(
    loss: Callable[[list[Item]], Tensor], items: Sequence[Item], batch_size: int, seed: int = 0
) -> tuple[HalfLoss, HalfLoss]:
    """Lower and upper loss of a search: one loss on two halves of the data that share no item.

    Args:
        loss: scalar loss of a list of items.
        items: the data, 2 or more.
        batch_size: items a batch.
        seed: of the halves and the order in them.
    """
    first, second = split_halves(len(items), seed)
    halves = ([items[i] for i in half] for half in (first, second))
    lower, upper = (HalfLoss(loss, half, batch_size, 2 * seed + n) for n, half in enumerate(halves))
    return lower, upper
