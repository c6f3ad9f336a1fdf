"""Rows of tensors, in memory where they fit and on disk where they do not."""

from pathlib import Path

from torch import Tensor

from vision.latents.tensor_file import read_tensors

MEMORY_LIMIT = 2**30


class TensorTable:
    """Tensors by number. The first ones stay in memory, up to a limit; the others are read when asked for.

    Loader processes share the memory of their parent.

    Args:
        memory_limit: bytes to keep in memory.
    """

    def __init__(self, memory_limit: int = MEMORY_LIMIT) -> None:
        self._rows: list[Tensor | Path] = []
        self._free = memory_limit

    def append(self, tensor: Tensor, path: Path) -> None:
        """Adds ``tensor``, the only one in the file ``path`` (:mod:`vision.latents.tensor_file`)."""
        if tensor.nbytes <= self._free:
            self._free -= tensor.nbytes
            self._rows.append(tensor)
        else:
            self._rows.append(path)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, row: int) -> Tensor:
        """The tensor of a row.

        Raises:
            ValueError: its file was damaged since it was added; the next run computes it anew.
        """
        found = self._rows[row]
        if isinstance(found, Tensor):
            return found
        (tensor,) = read_tensors(found)[0].values()
        return tensor
