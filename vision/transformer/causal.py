"""The transformer as a maker of video part by part."""

from typing import Any, cast

import torch
from torch import Tensor

from vision.transformer.attention import Mask
from vision.transformer.cache import KVCache
from vision.transformer.causality import Causality
from vision.transformer.layer_cache import LayerCache


class CausalMixin:
    """Block-causal attention: in one pass over a whole video, by masks, or chunk by chunk with a cache.

    Both give the same outputs. Frames that share a chunk see each other.

    Attributes:
        causality: which frames see which; None where all see each other.
    """

    causality: Causality | None
    # Of the last whole pass: what they were made for, of the tokens, of the frames.
    _masks: tuple[tuple[Any, ...], Mask, Tensor] | None

    def set_causal(self, chunk: int = 3, window: int | None = None) -> None:
        """Lets a frame see only its own chunk of frames and those before it. No parameter changes.

        Args:
            chunk: latent frames that see each other.
            window: frames that a chunk sees, its own among them; None for all.

        Raises:
            ValueError: a chunk below 1, a window shorter than a chunk.
        """
        self.causality, self._masks = Causality(chunk, window), None
        cast(Any, self).set_field("causal", {"chunk": chunk, "window": window})

    def unset_causal(self) -> None:
        """Lets all frames see each other again."""
        self.causality, self._masks = None, None
        cast(Any, self).set_field("causal", None)

    def open_cache(
        self, cache: KVCache | None, batch: int, grid: tuple[int, int, int]
    ) -> list[LayerCache] | None:
        """What each block reads and leaves in a pass with a cache.

        Raises:
            ValueError: a cache for a model that is not causal, or more frames than a chunk.
        """
        if cache is None:
            return None
        if self.causality is None:
            raise ValueError("a cache was given to a model whose frames all see each other; call set_causal")
        if grid[0] > self.causality.chunk:
            raise ValueError(
                f"{grid[0]} latent frames were given with a cache to a model with chunks of "
                f"{self.causality.chunk}; pass one chunk at a time"
            )
        return cache.begin(len(cast(Any, self).blocks), batch, grid, self.causality.window)

    def causal_masks(
        self,
        grid: tuple[int, int, int],
        device: torch.device,
        given: Mask | None,
        cache: KVCache | None,
        with_past: bool,
    ) -> tuple[Mask | None, Tensor | None]:
        """Masks of the tokens and of the frames; none for a chunk, which sees all that the cache keeps.

        Raises:
            ValueError: a mask was given to a causal model, a past to one that is not, or a past beside a
                cache, which holds it already.
        """
        if with_past and (self.causality is None or cache is not None):
            other = "whose frames all see each other; call set_causal" if cache is None else "beside a cache"
            raise ValueError(f"a past was given to a model {other}")
        if self.causality is None:
            return given, None
        if given is not None:
            raise ValueError("attention_mask was given to a causal model, which makes its own")
        if cache is not None:
            return None, None
        key = (grid, device, cast(Any, self).attention_backend, with_past)
        if self._masks is None or self._masks[0] != key:
            with torch.inference_mode(False):  # a mask made in inference mode could not be used for training
                tokens = self.causality.token_mask(*key)
                self._masks = (key, tokens, self.causality.frame_mask(grid[0], device, with_past))
        return self._masks[1:]
