"""One text encoder whose last hidden states are the embedding.

Legend: N tokens of a prompt, D width.
"""

from functools import cached_property
from typing import Any

from torch import Tensor

from vision.text.encode import check_max_length, encode_prompt
from vision.text.identity import text_encoder_identity
from vision.text.prompt_encoder import PromptEncoder


class TokenEncoder(PromptEncoder):
    """:func:`vision.text.encode_prompt` as a prompt encoder: ``{"encoder_hidden_states": (N, D)}``.

    Args:
        tokenizer, text_encoder, max_length: as for :func:`vision.text.encode_prompts`.

    Raises:
        ValueError: the encoder has fewer than ``max_length`` positions.
    """

    padded = frozenset({"encoder_hidden_states"})

    def __init__(self, tokenizer: Any, text_encoder: Any, max_length: int) -> None:
        check_max_length(text_encoder, max_length)
        self.max_length = max_length
        self._tokenizer, self._text_encoder = tokenizer, text_encoder

    @cached_property
    def identity(self) -> str:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Hash of the tokenizer's and the encoder's content."""
        return text_encoder_identity(self._tokenizer, self._text_encoder)

    def encode(self, prompt: str) -> tuple[dict[str, Tensor], int]:
        """See :class:`PromptEncoder`; float32."""
        tokens, cut = encode_prompt(self._tokenizer, self._text_encoder, prompt, self.max_length)
        return {"encoder_hidden_states": tokens.cpu()}, cut
