"""Prompt embeddings.

Legend: B prompts, N tokens of a prompt, L tokens after padding, D width.
"""

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def encode_prompts(tokenizer: Any, text_encoder: Any, prompts: Sequence[str], max_length: int) -> Tensor:
    """Last hidden states of prompts, zero after the end of each.

    Each prompt goes through the encoder alone and without padding, so its embedding does not depend on
    the prompts beside it, and short prompts cost little.

    Args:
        tokenizer: transformers tokenizer of the encoder.
        text_encoder: transformers text encoder (BERT, T5, UMT5, CLIP, ...). Dropout is off meanwhile.
        prompts: at least one; "" is a prompt.
        max_length: L. Longer prompts are cut; one warning says which, and how many tokens were lost.

    Returns:
        float32 on the encoder's device, shape (B, L, D).

    Raises:
        ValueError: there are no prompts, or the encoder has fewer than ``max_length`` positions.
    """
    if isinstance(prompts, str) or len(prompts) == 0:
        raise ValueError(f"expected a list of at least one prompt, found {prompts!r}")
    check_max_length(text_encoder, max_length)
    encoded: dict[str, tuple[Tensor, int]] = {}
    for prompt in prompts:
        if prompt not in encoded:
            encoded[prompt] = encode_prompt(tokenizer, text_encoder, prompt, max_length)
    warn_of_cuts({prompt: cut for prompt, (_, cut) in encoded.items()}, max_length)
    return pad_tokens([encoded[prompt][0] for prompt in prompts], max_length)


@torch.no_grad()
def encode_prompt(tokenizer: Any, text_encoder: Any, prompt: str, max_length: int) -> tuple[Tensor, int]:
    """Last hidden states of one prompt without padding, and how many of its tokens were cut.

    Returns:
        float32 of shape (N, D) with 1 <= N <= ``max_length``, and the number of tokens that did not fit.
    """
    ids = tokenizer(prompt, verbose=False)["input_ids"]
    cut = max(0, len(ids) - max_length)
    if cut:
        ids = tokenizer(prompt, truncation=True, max_length=max_length)["input_ids"]
    tokens = torch.tensor([ids], device=text_encoder.device)  # (1, N)
    was_training = text_encoder.training
    text_encoder.eval()
    try:
        # The encoder computes in the type of its own weights, also inside a mixed-precision step.
        with torch.autocast(tokens.device.type, enabled=False):
            states = text_encoder(input_ids=tokens, attention_mask=torch.ones_like(tokens)).last_hidden_state
    finally:
        text_encoder.train(was_training)
    return states[0].float(), cut


def pad_tokens(tokens: Sequence[Tensor], max_length: int) -> Tensor:
    """Puts prompts of shapes (N_i, D) into one tensor of shape (B, L, D), with zeros after the end."""
    padded = tokens[0].new_zeros(len(tokens), max_length, tokens[0].shape[-1])
    for row, prompt in zip(padded, tokens, strict=True):
        row[: len(prompt)] = prompt
    return padded


def check_max_length(text_encoder: Any, max_length: int) -> None:
    """Raises ``ValueError`` unless the encoder has ``max_length`` positions."""
    positions = getattr(text_encoder.config, "max_position_embeddings", None)
    if max_length < 1 or (positions is not None and max_length > positions):
        raise ValueError(
            f"prompts of {max_length} tokens do not fit {type(text_encoder).__name__}, which takes from 1 to "
            f"{positions or 'any number of'}; change max_prompt_tokens"
        )


def warn_of_cuts(cuts: dict[str, int], max_length: int) -> None:
    """One warning that names the prompts (the first three) whose tokens were cut, and how many were."""
    cut = {prompt: count for prompt, count in cuts.items() if count}
    if not cut:
        return
    named = ", ".join(
        f"{prompt if len(prompt) <= 60 else prompt[:59] + '…'!r} lost {count} of {count + max_length}"
        for prompt, count in list(cut.items())[:3]
    )
    more = f", and {len(cut) - 3} more" if len(cut) > 3 else ""
    warnings.warn(
        f"{len(cut)} of {len(cuts)} prompts are longer than {max_length} tokens and were cut: {named}{more}",
        stacklevel=3,
    )
