"""How a pixel follows the sticks: attention over its own time.

Legend: B batch, S pixels (tokens of a frame), F latent frames, D width of the model, W inner width.
"""

import torch
from torch import Tensor, nn

from vision.transformer.action_input import WINDOW, windows
from vision.transformer.actions import STICKS
from vision.transformer.attention import attention
from vision.transformer.attention_layer import Attention
from vision.transformer.context import BlockContext
from vision.transformer.fused import tanh_gelu
from vision.transformer.normalization import LayerNorm


class StickAttention(Attention):
    """The continuous path of SCOPE's action module (arXiv 2605.23345, released code).

    ``u = LN(W2 GELU(W1 [x, g]))`` with the window ``g`` of 16 rows of the frame; the residual is
    self-attention of ``u`` over the frames of one pixel, with rotary positions in time.
    """

    def __init__(self, width: int, inner: int, heads: int, eps: float) -> None:
        super().__init__(inner, heads, eps, out_width=width)
        self.mlp_in = nn.Linear(width + WINDOW * len(STICKS), inner)
        self.mlp_out = nn.Linear(inner, inner)
        self.norm = LayerNorm(inner)

    def reset_parameters(self) -> None:
        """Fresh weights: the residual is zero."""
        for layer in (self.mlp_in, self.mlp_out, self.to_q, self.to_k, self.to_v):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
        for norm in (self.norm, self.norm_q, self.norm_k):
            norm.reset_parameters()
        for parameter in self.to_out.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor, rows: Tensor, context: BlockContext) -> Tensor:
        """The residual (B, S, F, D) of tokens (B, S, F, D) and rows of the sticks (B, 4 F + 12, 4)."""
        rotary = context.conditions["frame_rotary"]
        seen = windows(rows, rotary).unsqueeze(1).expand(-1, x.shape[1], -1, -1).to(x.dtype)
        fused = self.norm(self.mlp_out(tanh_gelu(self.mlp_in(torch.cat([x, seen], dim=-1)))))
        query, key, value = self.project(fused.flatten(0, 1), rotary)
        if context.cache is not None:
            key, value = context.cache.extend("sticks", key, value)
        attended = attention(query, key, value, mask=context.frame_mask)
        return self.to_out[0](attended.flatten(2)).unflatten(0, x.shape[:2])
