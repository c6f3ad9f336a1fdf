"""What every block of one forward pass sees beside the token stream."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from torch import Tensor

from vision.transformer.attention import Mask
from vision.transformer.guide_cache import GuideCache
from vision.transformer.layer_cache import LayerCache


class ContextHints(NamedTuple):
    """What a guider adds to the context blocks, and beside them (B batch, L tokens, D width).

    Attributes:
        to_context: gives what is added to the context stream after a context block, (B, L, D), by its number.
        to_blocks: what is added to the token stream, (B, L, D), by the number of the block before.
    """

    to_context: Callable[[int], Tensor]
    to_blocks: dict[int, Tensor]


class BlockContext(NamedTuple):
    """The shared inputs of the blocks.

    Legend: B batch, L tokens, D width, E width of a head, F frames of tokens, M prompt tokens, P picture
    tokens, G groups of tokens that share a timestep (1, one a frame, or L).

    Attributes:
        encoder_hidden_states: embedded prompt tokens, shape (B, M, D).
        image_hidden_states: embedded picture tokens, shape (B, P, D), or None.
        modulation: the six modulations of a block before its own table is added, shape (B, G, 6, D).
        rotary: cosines and sines of the positions, float32, shape (L, E / 2, 2).
        grid: token counts in time, rows and columns; their product is L.
        attention_mask: of the self-attention, or None.
        backend: name of the attention backend, or None for the default.
        conditions: what conditioning modules read, by name.
        frame_mask: boolean (F, F), true where the frame of a query sees that of a key, for modules that
            attend over frames; None lets every frame see every frame.
        cache: what this block remembers of earlier frames, or None.
        context_hints: what is added after each context block.
        guide_cache: keeps what a guider made of its conditions, or None.
    """

    encoder_hidden_states: Tensor
    image_hidden_states: Tensor | None
    modulation: Tensor
    rotary: Tensor
    grid: tuple[int, int, int]
    attention_mask: Mask | None
    backend: str | None
    conditions: Mapping[str, Tensor]
    frame_mask: Tensor | None = None
    cache: LayerCache | None = None
    context_hints: tuple[Callable[[int], Tensor], ...] = ()
    guide_cache: GuideCache | None = None
