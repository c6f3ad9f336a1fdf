"""Prompt embeddings of a run, by the number of the prompt.

Legend: B samples, L tokens after padding, D width.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor
from tqdm import tqdm

from train.data.tensor_table import TensorTable
from vision.processes import process_state
from vision.text import PromptCache, PromptEncoder
from vision.text.encode import pad_tokens


class Embeddings(Protocol):
    """Named tensors by prompt, as :meth:`vision.text.PromptEncoder.encode` gives them."""

    def __getitem__(self, prompt: str, /) -> Mapping[str, Tensor]: ...


class EncodedPrompts:
    """Embeddings of prompts as batches.

    Args:
        prompts: prompt ``i`` is later asked for as ``i``; repeated ones share an embedding.
        embeddings: of all of them, and of any other prompt that :meth:`of` is asked for.
        encoder: what made them; it says what is padded and how far. Not kept.
    """

    def __init__(self, prompts: Sequence[str], embeddings: Embeddings, encoder: PromptEncoder) -> None:
        self._prompts, self._embeddings = list(prompts), embeddings
        self.max_length, self._padded = encoder.max_length, encoder.padded

    def __len__(self) -> int:
        return len(self._prompts)

    def batch(self, numbers: Sequence[int]) -> dict[str, Tensor]:
        """Embeddings of prompts by number; see :meth:`of`."""
        return self.of([self._prompts[number] for number in numbers])

    def of(self, prompts: Sequence[str]) -> dict[str, Tensor]:
        """Embeddings of prompts by name, float32, batch first; padded ones (B, L, D) end in zeros."""
        rows = [self._embeddings[prompt] for prompt in prompts]
        return {name: self._joined(name, [row[name].float() for row in rows]) for name in rows[0]}

    def tokens(self, prompt: str) -> Tensor:
        """The tokens of one prompt without padding, float32, shape (N, D), N being their number."""
        (name,) = self._padded
        return self._embeddings[prompt][name].float()

    def _joined(self, name: str, rows: list[Tensor]) -> Tensor:
        return pad_tokens(rows, self.max_length) if name in self._padded else torch.stack(rows)


def encode_through_cache(prompts: Sequence[str], encoder: PromptEncoder, cache: Path | str) -> TensorTable:
    """Embeddings of prompts, each different one made once.

    Args:
        prompts: what to encode.
        encoder: asked for what the cache lacks.
        cache: folder of the :class:`vision.text.PromptCache`.
    """
    state = process_state()
    table = TensorTable()
    encoded = PromptCache(cache).encoded(encoder, prompts, state.process_index, state.num_processes)
    progress = tqdm(
        encoded,
        "prompt embeddings",
        len(set(prompts)),
        disable=not state.is_main_process,
        delay=2,
        leave=False,
    )
    for prompt, path, tensors in progress:
        table.put(prompt, tensors, path)
    return table
