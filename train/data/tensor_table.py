"""Named tensors by key, in memory where they fit and on disk where they do not."""

from collections.abc import Hashable, Mapping
from pathlib import Path

from torch import Tensor

from vision.latents.tensor_file import read_tensors

MEMORY_LIMIT = 2**30


class TensorTable:
    """The first entries stay in memory, up to a limit; the others are read when they are asked for.

    Loader processes share the memory of their parent.

    Args:
        memory_limit: bytes to keep in memory.
    """

    def __init__(self, memory_limit: int = MEMORY_LIMIT) -> None:
        self._found: dict[Hashable, Mapping[str, Tensor] | Path] = {}
        self._free = memory_limit

    def put(self, key: Hashable, tensors: Mapping[str, Tensor], path: Path) -> None:
        """Adds what the file ``path`` (:mod:`vision.latents.tensor_file`) holds."""
        size = sum(tensor.nbytes for tensor in tensors.values())
        fits = size <= self._free
        if fits:
            self._free -= size
        self._found[key] = tensors if fits else path

    def __getitem__(self, key: Hashable) -> Mapping[str, Tensor]:
        """The tensors of ``key``.

        Raises:
            ValueError: their file was damaged since they were added; the next run computes it anew.
        """
        found = self._found[key]
        return read_tensors(found)[0] if isinstance(found, Path) else found
