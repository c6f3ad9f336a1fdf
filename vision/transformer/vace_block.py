"""One context block of VACE.

Legend: B batch, L tokens, D width.
"""

from torch import Tensor, nn

from vision.transformer.block import TransformerBlock
from vision.transformer.context import BlockContext


class VaceBlock(TransformerBlock):
    """A block of the context stream, with a projection to a hint (VACE, arXiv 2503.07598, section 3).

    Args:
        width: D.
        ffn_dim: inner width of the feed-forward network.
        heads: attention heads.
        cross_attn_norm: whether a layer norm precedes cross-attention.
        eps: of all norms.
        added_kv_proj_dim: width of the picture tokens in cross-attention; None without them.
        first: whether it begins the stream, with a projection of the control tokens.
    """

    def __init__(
        self,
        width: int,
        ffn_dim: int,
        heads: int,
        cross_attn_norm: bool,
        eps: float,
        added_kv_proj_dim: int | None,
        first: bool,
    ) -> None:
        super().__init__(width, ffn_dim, heads, cross_attn_norm, eps, added_kv_proj_dim)
        self.proj_in = nn.Linear(width, width) if first else None
        self.proj_out = nn.Linear(width, width)

    def projections(self) -> list[nn.Linear]:
        """The projections before and after the block."""
        return [self.proj_out] if self.proj_in is None else [self.proj_in, self.proj_out]

    def forward(  # type: ignore[reportIncompatibleMethodOverride]
        self, control: Tensor, hidden_states: Tensor, context: BlockContext, number: int
    ) -> tuple[Tensor, Tensor]:
        """The hint and the context stream after this block.

        Args:
            control: context stream, or control tokens for the first block, shape (B, L, D).
            hidden_states: tokens before the first block of the model, shape (B, L, D).
            context: of the pass; its ``context_hints`` are added after this block.
            number: of this block among the context blocks.
        """
        if self.proj_in is not None:
            control = self.proj_in(control) + hidden_states
        control = super().forward(control, context)
        for hint in context.context_hints:
            control = control + hint(number)
        return self.proj_out(control), control
