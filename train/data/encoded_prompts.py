"""Prompt embeddings of a run, by the number of the prompt.

Legend: B samples, L tokens after padding, D width.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor
from tqdm import tqdm

from train.data.tensor_table import TensorTable
from vision.processes import process_state
from vision.text import PromptCache
from vision.text.encode import pad_tokens


class EncodedPrompts:
    """Embeddings of prompts, each different one kept once, made through the cache.

    Args:
        prompts: prompt ``i`` is later asked for as ``i``; repeated ones share an embedding.
        tokenizer, text_encoder: as for :func:`vision.text.encode_prompts`; not kept.
        max_length: L.
        cache: folder of the :class:`vision.text.PromptCache`.
    """

    def __init__(
        self, prompts: Sequence[str], tokenizer: Any, text_encoder: Any, max_length: int, cache: Path | str
    ) -> None:
        state = process_state()
        encoded = PromptCache(cache).encoded(
            tokenizer, text_encoder, prompts, max_length, state.process_index, state.num_processes
        )
        self._table = TensorTable()
        progress = tqdm(
            encoded,
            "prompt embeddings",
            len(set(prompts)),
            disable=not state.is_main_process,
            delay=2,
            leave=False,
        )
        for prompt, path, tokens in progress:
            self._table.put(prompt, tokens, path)
        self._prompts = list(prompts)
        self.max_length = max_length

    def __len__(self) -> int:
        return len(self._prompts)

    def batch(self, numbers: Sequence[int]) -> Tensor:
        """Embeddings of prompts by number, float32, shape (B, L, D), zeros after the end of each."""
        return pad_tokens([self._table[self._prompts[number]] for number in numbers], self.max_length)
