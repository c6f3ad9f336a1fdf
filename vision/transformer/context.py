"""What every block of one forward pass sees beside the token stream."""

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor

from vision.transformer.attention import Mask


class BlockContext(NamedTuple):
    """The shared inputs of the blocks.

    Legend: B batch, L tokens, D width, E width of a head, M prompt tokens, P picture tokens, G groups of
    tokens that share a timestep (1, one a frame, or L).

    Attributes:
        encoder_hidden_states: embedded prompt tokens, shape (B, M, D).
        image_hidden_states: embedded picture tokens, shape (B, P, D), or None.
        modulation: the six modulations of a block before its own table is added, shape (B, G, 6, D).
        rotary: cosines and sines of the positions, float32, shape (L, E / 2, 2).
        grid: token counts in time, rows and columns; their product is L.
        attention_mask: of the self-attention, or None.
        backend: name of the attention backend, or None for the default.
        conditions: what conditioning modules read, by name.
    """

    encoder_hidden_states: Tensor
    image_hidden_states: Tensor | None
    modulation: Tensor
    rotary: Tensor
    grid: tuple[int, int, int]
    attention_mask: Mask | None
    backend: str | None
    conditions: Mapping[str, Tensor]
