"""What a try-on pipeline reads: the prompts of a video, and the captions of its actions.

Legend: M prompt tokens, N tokens of a caption.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from vision.text import encode_prompts
from vision.tryon.captions import check_caption_embeds, encode_captions
from vision.tryon.clip import TryOnClip
from vision.tryon.parts import has_guider


class TryOnTextMixin:
    """Embeddings of texts, for a pipeline with a transformer; text encoder and tokenizer may be missing."""

    transformer: Any
    text_encoder: Any
    tokenizer: Any
    config: Any

    def encode_prompt(
        self,
        prompt: str,
        negative_prompt: str | None = None,
        guided: bool = True,
        prompt_embeds: Tensor | None = None,
        negative_prompt_embeds: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """Embeddings (1, M, text_dim) of the prompt and, where guidance needs it, of the negative one.

        Raises:
            ValueError: no text encoder and no embeddings, or embeddings of another shape.
        """
        negative = self.config["default_negative_prompt"] if negative_prompt is None else negative_prompt
        wanted = [(prompt, prompt_embeds)] + [(negative, negative_prompt_embeds)] * guided
        width = self.transformer.config.text_dim
        found = []
        for text, embeds in wanted:
            if embeds is None:
                self._require_text_encoder("prompt_embeds and negative_prompt_embeds")
                embeds = encode_prompts(
                    self.tokenizer, self.text_encoder, [text], self.config["max_prompt_tokens"]
                )
            if embeds.ndim != 3 or embeds.shape[0] != 1 or embeds.shape[2] != width:
                raise ValueError(
                    f"prompt embeddings have shape {tuple(embeds.shape)}, expected (1, tokens, {width})"
                )
            found.append(embeds)
        return found[0], found[1] if guided else None

    @torch.no_grad()
    def caption_embeds(
        self, clip: TryOnClip, given: Mapping[str, Tensor] | None = None
    ) -> Mapping[str, Tensor]:
        """Embeddings (N, text_dim) of all captions of a clip and of the empty one, for :meth:`guided`.

        Args:
            clip: with its actions.
            given: instead of encoding; checked.

        Raises:
            ValueError: some are missing or have another width; no text encoder and none given.
        """
        if not has_guider(self.transformer):
            return {}
        captions = ["", *(caption for _, _, caption in clip.actions)]
        if given is not None:
            check_caption_embeds(given, captions, self.transformer.config.text_dim)
            return given
        self._require_text_encoder("caption_embeds")
        return encode_captions(self.tokenizer, self.text_encoder, captions, self.config["max_prompt_tokens"])

    def _require_text_encoder(self, instead: str) -> None:
        if self.text_encoder is None or self.tokenizer is None:
            raise ValueError(f"this pipeline has no text encoder; pass {instead}, or load it with one")
