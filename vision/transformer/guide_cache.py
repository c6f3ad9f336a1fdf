"""What a guider made of a clip, kept for all steps of sampling."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


class GuideCache:
    """Keeps the output of a guider, which depends on neither the noise nor its level.

    Pass the same cache and the very same tensors in every step of a clip; a pass with another tensor, another
    size or with gradients computes anew. It belongs to one model with fixed weights, and to one branch of
    guidance.
    """

    def __init__(self) -> None:
        self._grid: tuple[int, int, int] | None = None
        self._sources: tuple[Tensor | None, ...] = ()
        self._guide: Tensor | None = None

    def begin(self, grid: tuple[int, int, int], sources: Sequence[Tensor | None]) -> None:
        """Starts a pass over a grid of tokens; what was made of other tensors is dropped."""
        same = grid == self._grid and len(sources) == len(self._sources)
        if not same or any(a is not b for a, b in zip(sources, self._sources, strict=True)):
            self._grid, self._sources, self._guide = grid, tuple(sources), None

    def once(self, make: Callable[[], Tensor]) -> Tensor:
        """The output of this pass, kept or made."""
        if torch.is_grad_enabled():
            return make()
        if self._guide is None:
            self._guide = make()
        return self._guide
