"""Captions of actions as embeddings.

Legend: N tokens of a caption, D width.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from vision.text.encode import check_max_length, encode_prompt


def encode_captions(
    tokenizer: Any, text_encoder: Any, captions: Iterable[str], max_length: int
) -> dict[str, Tensor]:
    """Embeddings of each different caption, without padding; "" is what a gap says.

    Args:
        tokenizer: transformers tokenizer of the encoder.
        text_encoder: transformers text encoder.
        captions: any number.
        max_length: tokens that a caption may have.

    Returns:
        float32 on the encoder's device, shape (N, D), by caption.

    Raises:
        ValueError: a caption has more tokens.
    """
    check_max_length(text_encoder, max_length)
    check_captions(tokenizer, captions := list(dict.fromkeys(captions)), max_length)
    return {caption: encode_prompt(tokenizer, text_encoder, caption, max_length)[0] for caption in captions}


def check_captions(tokenizer: Any, captions: Iterable[str], max_length: int) -> None:
    """Raises ValueError unless each caption has at most ``max_length`` tokens: none is ever cut."""
    for caption in captions:
        count = len(tokenizer(caption, verbose=False)["input_ids"])
        if count > max_length:
            shown = caption if len(caption) <= 60 else f"{caption[:59]}…"
            raise ValueError(
                f"the caption {shown!r} has {count} tokens, the encoder takes {max_length}; "
                "name the action in a few words"
            )


def check_caption_embeds(given: Mapping[str, Tensor], captions: Iterable[str], width: int) -> None:
    """Raises ValueError unless each caption has an embedding (N, ``width``)."""
    for caption in dict.fromkeys(captions):
        if caption not in given:
            raise ValueError(
                f"caption_embeds lack {caption!r}; give one for each action, and for '', what a gap says"
            )
        shape = tuple(given[caption].shape)
        if len(shape) != 2 or shape[0] < 1 or shape[1] != width:
            raise ValueError(f"the embedding of {caption!r} has shape {shape}; expected (tokens, {width})")
