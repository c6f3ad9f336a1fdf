"""Prompts of diffusers' pipelines, through their own encode_prompt."""

import gc
import hashlib
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from vision.processes import process_device
from vision.text import PromptEncoder

if TYPE_CHECKING:
    from vision.distill.families.stock_family import StockFamily

_BLOCK = 1 << 22


class StockPromptEncoder(PromptEncoder):
    """Loads the text encoders with the first prompt that has to be encoded, and lets go of them when closed.

    They compute in bfloat16 on an accelerator, as they are usually run, and in float32 on the CPU.

    Args:
        family: whose pipeline encodes.
        max_length: tokens of a prompt.
    """

    def __init__(self, family: "StockFamily", max_length: int) -> None:
        self.max_length = max_length
        self.padded = family.padded
        self._family = family
        self._device = process_device()
        self._dtype = torch.float32 if self._device.type == "cpu" else torch.bfloat16
        self.precision = str(self._dtype).removeprefix("torch.")
        self._pipeline: Any = None

    @cached_property
    def identity(self) -> str:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Hash of the names and content of the folders of text encoders and tokenizers; loads nothing."""
        return folders_identity(self._family.folder, self._family.text_parts)

    @torch.no_grad()
    def encode(self, prompt: str) -> tuple[dict[str, Tensor], int]:
        """See :class:`PromptEncoder`; in the encoders' precision."""
        if self._pipeline is None:
            self._pipeline = self._family.load_text_encoders(self._device, self._dtype)
        with torch.autocast(self._device.type, enabled=False):
            tensors, cut = self._family.encode(self._pipeline, prompt, self.max_length)
        kept = {name: value[0].cpu() for name, value in tensors.items()}
        return {n: _trimmed(v) if n in self.padded else v for n, v in kept.items()}, max(0, cut)

    def close(self) -> None:
        """Drops the text encoders and the memory that they took."""
        self._pipeline = None
        gc.collect()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()


def folders_identity(folder: Path, names: list[str]) -> str:
    """Hash of all files in some folders below ``folder``: their names and content."""
    digest = hashlib.blake2b(digest_size=16)
    for path in sorted(path for name in names for path in (folder / name).rglob("*") if path.is_file()):
        digest.update(f"{path.relative_to(folder).as_posix()} {path.stat().st_size}\n".encode())
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    return digest.hexdigest()


def _trimmed(tokens: Tensor) -> Tensor:
    """(L, D) without the rows of zeros at its end; one row at least."""
    filled = tokens.abs().amax(dim=1).nonzero()
    return tokens[: max(1, int(filled[-1]) + 1 if len(filled) else 1)].clone()
