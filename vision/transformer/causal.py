"""The transformer as a maker of video part by part."""

from typing import Any, cast

import torch
from torch import Tensor, nn

from vision.transformer.attention import Mask
from vision.transformer.cache import KVCache
from vision.transformer.causality import Causality
from vision.transformer.embedding import PatchEmbedding
from vision.transformer.layer_cache import LayerCache


class CausalMixin:
    """Block-causal attention: in one pass over a whole video, by masks, or chunk by chunk with a cache.

    Both give the same outputs. Frames that share a chunk see each other.

    Attributes:
        causality: which frames see which; None where all see each other.
        previous_patch_embedding: what each frame is told of the last one before its chunk; None for a model
            that knows the past by attention alone.
    """

    causality: Causality | None
    previous_patch_embedding: PatchEmbedding | None
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

    @torch.no_grad()
    def add_previous_frame(self) -> None:
        """Adds to each token an embedding of the same place in the last frame before its chunk.

        Where all frames see each other, that is the first frame, which is given, as Wan's image-to-video
        models have it in channels. Worlds on small budgets give their network the past by channels
        (DIAMOND, arXiv 2405.12399; GameNGen, arXiv 2408.14837): what stays where it was need not be found
        by attention. The embedding begins at zero, so that nothing changes. Where there is no such frame,
        zeros are embedded.
        """
        model = cast(Any, self)
        plain: PatchEmbedding = model.patch_embedding
        self.previous_patch_embedding = PatchEmbedding(
            plain.in_channels,
            plain.out_channels,
            plain.kernel_size,  # pyright: ignore[reportArgumentType]
            stride=plain.kernel_size,  # pyright: ignore[reportArgumentType]
            bias=False,
            device=plain.weight.device,
            dtype=plain.weight.dtype,
        )
        nn.init.zeros_(self.previous_patch_embedding.weight)
        model.set_field("previous_frame", True)

    def last_frames(self, latents: Tensor, cache: KVCache | None) -> Tensor:
        """What each latent frame is told of, shape of ``latents`` (B, C, F, H, W).

        It is the last frame before its chunk, or of a model that is not causal the first one of all.

        Args:
            latents: of a whole video, or with a cache those of one chunk, which leaves its last frame in it.
            cache: of a stream.
        """
        frames = latents.shape[2]
        if cache is not None:
            last = cache.last_frame
            cache.stage_frame(latents[:, :, -1:])
            return torch.zeros_like(latents) if last is None else last.to(latents).expand_as(latents)
        patch = cast(Any, self).patch_size[0]
        number = torch.arange(frames, device=latents.device)
        if self.causality is None:
            number = (number // patch).clamp(max=1) * patch - 1
        else:
            chunk = self.causality.chunk * patch
            number = number // chunk * chunk - 1
        before = latents[:, :, number.clamp(min=0)]
        return before * (number >= 0).to(before).view(-1, 1, 1)

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
