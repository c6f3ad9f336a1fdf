"""One block of a guider.

Legend: B batch, L tokens, D width.
"""

from typing import Any, cast

import torch
from torch import Tensor, nn

from vision.transformer.attention_layer import CrossAttention, SelfAttention
from vision.transformer.block import TransformerBlock
from vision.transformer.context import BlockContext
from vision.transformer.feed_forward import FeedForward
from vision.transformer.initialization import copy_weights, reset_layers
from vision.transformer.normalization import LayerNorm
from vision.transformer.timed_text import TIMED_TEXT, TimedTextAttention


class GuiderBlock(nn.Module):
    """A block without a time (iTryOn, arXiv 2605.21431, the architecture's figure).

    ``g += SelfAttention(LN(g))``, ``g += CrossAttention(LN(g), prompt)``,
    ``g += CrossAttention(LN(g), timed texts)``, ``g += FeedForward(LN(g))``.

    Args:
        config: of the model.
        spans: of :class:`~vision.transformer.timed_text.TimedTextAttention`.

    Attributes:
        conditioning: the module in the slot after cross-attention, by name.
    """

    def __init__(self, config: Any, spans: bool) -> None:
        super().__init__()
        heads, eps = config.num_attention_heads, config.eps
        width = heads * config.attention_head_dim
        self.norm1 = LayerNorm(width, eps)
        self.attn1 = SelfAttention(width, heads, eps)
        self.norm2 = LayerNorm(width, eps)
        self.attn2 = CrossAttention(width, heads, eps)
        self.conditioning = nn.ModuleDict({TIMED_TEXT: TimedTextAttention(config, spans)})
        self.norm3 = LayerNorm(width, eps)
        self.ffn = FeedForward(width, config.ffn_dim)

    @property
    def timed_text(self) -> TimedTextAttention:
        """The attention to timed texts."""
        return cast(TimedTextAttention, self.conditioning[TIMED_TEXT])

    def reset_parameters(self) -> None:
        """Fresh weights. The timed texts are heard from the start: a guider as a whole is fresh anyway."""
        reset_layers(self)
        self.timed_text.reset_parameters()
        nn.init.xavier_uniform_(self.timed_text.output.weight)

    @torch.no_grad()
    def start_from(self, block: TransformerBlock) -> None:
        """Takes over what a block of the model can; its cross-attention serves both texts."""
        for name in ("attn1", "ffn"):
            copy_weights(getattr(self, name), getattr(block, name))
        for target in (self.attn2, self.timed_text.attn):
            copy_weights(target, block.attn2)
        if isinstance(block.norm2, LayerNorm):
            for target in (self.norm2, self.timed_text.norm):
                copy_weights(target, block.norm2)

    def forward(self, hidden_states: Tensor, context: BlockContext) -> Tensor:
        """(B, L, D) to (B, L, D)."""
        hidden_states = hidden_states + self.attn1(self.norm1(hidden_states), context)
        hidden_states = hidden_states + self.attn2(self.norm2(hidden_states), context)
        for module in self.conditioning.values():
            hidden_states = module(hidden_states, context)
        return hidden_states + self.ffn(self.norm3(hidden_states))
