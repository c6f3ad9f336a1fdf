"""One block of the transformer.

Legend: B batch, L tokens, D width, G groups of tokens that share a timestep.
"""

import torch
from torch import Tensor, nn

from vision.transformer.attention_layer import CrossAttention, SelfAttention
from vision.transformer.conditioning import Conditioning, Slot
from vision.transformer.context import BlockContext
from vision.transformer.feed_forward import FeedForward
from vision.transformer.normalization import LayerNorm, add_gated, modulate


class TransformerBlock(nn.Module):
    """Self-attention and feed-forward modulated by the time, cross-attention between them.

    Wan 2.1 (arXiv 2503.20314, section 4.2): with shift, scale and gate ``b, s, g`` of each branch,
    ``x += g1 SelfAttention((1 + s1) LN(x) + b1)``, ``x += CrossAttention(LN(x), prompt)``,
    ``x += g2 FeedForward((1 + s2) LN(x) + b2)``.

    Attributes:
        conditioning: the modules in this block's slots, by name.
    """

    def __init__(
        self,
        width: int,
        ffn_dim: int,
        heads: int,
        cross_attn_norm: bool = True,
        eps: float = 1e-6,
        added_kv_proj_dim: int | None = None,
    ) -> None:
        super().__init__()
        self.norm1 = LayerNorm(width, eps, elementwise_affine=False)
        self.attn1 = SelfAttention(width, heads, eps)
        self.norm2 = LayerNorm(width, eps) if cross_attn_norm else nn.Identity()
        self.attn2 = CrossAttention(width, heads, eps, added_kv_proj_dim)
        self.norm3 = LayerNorm(width, eps, elementwise_affine=False)
        self.ffn = FeedForward(width, ffn_dim)
        self.scale_shift_table = nn.Parameter(torch.randn(1, 6, width) / width**0.5)
        self.conditioning = nn.ModuleDict()

    def in_slot(self, slot: Slot) -> list[Conditioning]:
        """The conditioning modules of one slot, in the order in which they were added."""
        return [module for module in self.conditioning.values() if module.slot == slot]  # type: ignore

    def forward(self, hidden_states: Tensor, context: BlockContext) -> Tensor:
        """The token stream (B, L, D) after this block."""
        modulation = context.modulation + self.scale_shift_table.float()  # (B, G, 6, D), float32
        shift1, scale1, gate1, shift2, scale2, gate2 = modulation.unbind(2)
        scale1, scale2 = 1 + scale1, 1 + scale2
        dtype = hidden_states.dtype
        shift1, scale1, gate1 = shift1.to(dtype), scale1.to(dtype), gate1.to(dtype)
        shift2, scale2, gate2 = shift2.to(dtype), scale2.to(dtype), gate2.to(dtype)

        update = self.attn1(modulate(self.norm1(hidden_states), scale1, shift1), context)
        hidden_states = add_gated(hidden_states, update, gate1)
        for module in self.in_slot("after_self_attention"):
            hidden_states = module(hidden_states, context)

        update = self.attn2(self.norm2(hidden_states), context, self.in_slot("in_cross_attention"))
        hidden_states = hidden_states + update
        for module in self.in_slot("after_cross_attention"):
            hidden_states = module(hidden_states, context)

        update = self.ffn(modulate(self.norm3(hidden_states), scale2, shift2))
        return add_gated(hidden_states, update, gate2)
