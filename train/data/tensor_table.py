"""Tensors by key, in memory where they fit and on disk where they do not."""

from collections.abc import Hashable
from pathlib import Path

from torch import Tensor

from vision.latents.tensor_file import read_tensors

MEMORY_LIMIT = 2**30


class TensorTable:
    """The first tensors stay in memory, up to a limit; the others are read when they are asked for.

    Loader processes share the memory of their parent.

    Args:
        memory_limit: bytes to keep in memory.
    """

    def __init__(self, memory_limit: int = MEMORY_LIMIT) -> None:
        self._found: dict[Hashable, Tensor | Path] = {}
        self._free = memory_limit

    def put(self, key: Hashable, tensor: Tensor, path: Path) -> None:
        """Adds ``tensor``, the only one in the file ``path`` (:mod:`vision.latents.tensor_file`)."""
        fits = tensor.nbytes <= self._free
        if fits:
            self._free -= tensor.nbytes
        self._found[key] = tensor if fits else path

    def __getitem__(self, key: Hashable) -> Tensor:
        """The tensor of ``key``.

        Raises:
            ValueError: its file was damaged since it was added; the next run computes it anew.
        """
        found = self._found[key]
        if isinstance(found, Tensor):
            return found
        (tensor,) = read_tensors(found)[0].values()
        return tensor
