"""How a pixel reads the buttons: attention to one key a latent frame, or one a button.

Legend: B batch, S pixels (tokens of a frame), F latent frames, N keys a latent frame, D width of the model,
W inner width, H heads, E width of a head.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vision.transformer.action_input import WINDOW, windows
from vision.transformer.actions import BUTTONS
from vision.transformer.attention import attention
from vision.transformer.context import BlockContext
from vision.transformer.normalization import HeadNorm
from vision.transformer.rotary import rotate


class ButtonAttention(nn.Module):
    """The discrete path of SCOPE's action module (arXiv 2605.23345, released code).

    Each row is embedded, the 16 rows of a latent frame together make one key and one value, the same for all
    pixels; each pixel queries them over time, with rotary positions in time.

    The weights of that softmax add up to one, so buttons that do not change move every pixel alike. The
    null key, learned, whose value is zero, lets a pixel take less. It turns with the position of the query,
    so that only differences of positions matter.

    Attributes:
        null_key: shape (W,), or None.
        button_names: what tells the keys of the buttons apart, shape (6, W), or None for one key for all.
    """

    def __init__(
        self, width: int, inner: int, heads: int, eps: float, null_key: bool, one_token_a_button: bool
    ) -> None:
        super().__init__()
        self.heads = heads
        lanes = inner // WINDOW
        self.embed_in = nn.Linear(len(BUTTONS), lanes)
        self.embed_out = nn.Linear(lanes, lanes)
        self.to_q = nn.Linear(width, inner, bias=False)
        self.to_kv = nn.Linear(inner, 2 * inner, bias=False)
        self.to_out = nn.Linear(inner, width, bias=False)
        self.norm_q = HeadNorm(inner, eps=eps)
        self.norm_k = HeadNorm(inner, eps=eps)
        self.null_key = nn.Parameter(torch.empty(inner)) if null_key else None
        self.button_names = nn.Parameter(torch.empty(len(BUTTONS), inner)) if one_token_a_button else None

    def reset_parameters(self) -> None:
        """Fresh weights: the residual is zero."""
        for layer in (self.embed_in, self.embed_out, self.to_q, self.to_kv):
            nn.init.xavier_uniform_(layer.weight)
        for layer in (self.embed_in, self.embed_out):
            nn.init.zeros_(layer.bias)
        for norm in (self.norm_q, self.norm_k):
            norm.reset_parameters()
        nn.init.zeros_(self.to_out.weight)
        if self.null_key is not None:
            nn.init.zeros_(self.null_key)
        if self.button_names is not None:
            nn.init.normal_(self.button_names, std=0.02)

    def forward(self, x: Tensor, rows: Tensor, context: BlockContext) -> Tensor:
        """The residual (B, S, F, D) of tokens (B, S, F, D) and rows of the buttons (B, 4 F + 12, 6)."""
        pixels, frames = x.shape[1:3]
        rotary, mask = context.conditions["frame_rotary"], context.frame_mask
        query = self.norm_q(self.to_q(x).flatten(1, 2), self.heads, rotary.repeat(pixels, 1, 1))
        key, value = self._keys_values(rows.to(x.dtype), rotary)
        if mask is not None:
            mask = mask.repeat_interleave(key.shape[1] // frames, 1)  # (F, N F)
        if context.cache is not None:
            key, value = context.cache.extend("buttons", key, value)
        if self.null_key is not None:
            own = torch.eye(frames, dtype=torch.bool, device=key.device)
            seen = own.new_ones(frames, key.shape[1]) if mask is None else mask
            mask = torch.cat([seen, own], dim=1)
            null = self.null_key.to(key.dtype).view(1, 1, self.heads, -1).expand(key.shape[0], frames, -1, -1)
            key = torch.cat([key, rotate(null, rotary)], dim=1)
            value = F.pad(value, (0, 0, 0, 0, 0, frames))
        if mask is not None:
            mask = mask.repeat(pixels, 1)  # (S F, keys)
        attended = attention(query, key, value, mask=mask)  # (B, S F, H, E)
        return self.to_out(attended.flatten(2)).unflatten(1, (pixels, frames))

    def _keys_values(self, rows: Tensor, rotary: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values (B, F N, H, E) of rows (B, 4 F + 12, 6), the keys of a frame side by side."""
        rows = rows.unsqueeze(2) if self.button_names is None else torch.diag_embed(rows)  # each button alone
        embedded = windows(self.embed_out(F.silu(self.embed_in(rows))), rotary)  # (B, F, N, W)
        if self.button_names is not None:
            embedded = embedded + self.button_names.to(embedded.dtype)
        each = embedded.shape[2]
        key, value = self.to_kv(embedded.flatten(1, 2)).chunk(2, dim=-1)
        key = self.norm_k(key, self.heads, rotary.repeat_interleave(each, 0))
        return key, value.unflatten(-1, (self.heads, -1))
