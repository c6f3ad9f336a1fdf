"""Self-attention and cross-attention of a block.

Legend: B batch, L tokens, M context tokens, D width, H heads, E width of a head.
"""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vision.transformer.attention import attention
from vision.transformer.conditioning import Conditioning
from vision.transformer.context import BlockContext
from vision.transformer.layer_cache import KeyValue
from vision.transformer.normalization import HeadNorm


def project_together(x: Tensor, *linears: nn.Module) -> tuple[Tensor, ...]:
    """Several linear layers of the same input as one product; gradients reach each layer's weights."""
    weight = torch.cat([linear.weight for linear in linears])  # type: ignore[reportArgumentType]
    bias = torch.cat([linear.bias for linear in linears])  # type: ignore[reportArgumentType]
    return F.linear(x, weight, bias).chunk(len(linears), dim=-1)


class Attention(nn.Module):
    """Multi-head attention with root-mean-square norm of queries and keys over the whole width.

    Attributes:
        fused: whether the projections of one input are computed as one product.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        eps: float,
        image_width: int | None = None,
        out_width: int | None = None,
    ) -> None:
        super().__init__()
        self.heads = heads
        self.fused = False
        self.to_q = nn.Linear(width, width)
        self.to_k = nn.Linear(width, width)
        self.to_v = nn.Linear(width, width)
        self.to_out = nn.ModuleList([nn.Linear(width, out_width or width)])
        self.norm_q = HeadNorm(width, eps=eps)
        self.norm_k = HeadNorm(width, eps=eps)
        self.add_k_proj = self.add_v_proj = None
        if image_width is not None:
            self.add_k_proj = nn.Linear(image_width, width)
            self.add_v_proj = nn.Linear(image_width, width)
            self.norm_added_k = HeadNorm(width, eps=eps)

    def split_heads(self, x: Tensor) -> Tensor:
        """(B, L, D) to (B, L, H, E)."""
        return x.unflatten(-1, (self.heads, -1))

    def project(self, x: Tensor, rotary: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Query, key and value (B, L, H, E) of tokens (B, L, D) that attend to each other."""
        if self.fused:
            query, key, value = project_together(x, self.to_q, self.to_k, self.to_v)
        else:
            query, key, value = self.to_q(x), self.to_k(x), self.to_v(x)
        query = self.norm_q(query, self.heads, rotary)
        return query, self.norm_k(key, self.heads, rotary), self.split_heads(value)

    def check_plain(self) -> None:
        """Checks that the projections can be computed together.

        Raises:
            ValueError: a projection is wrapped (by a LoRA, say).
        """
        for name, layer in self.named_children():
            if name.startswith(("to_q", "to_k", "to_v", "add_")) and type(layer) is not nn.Linear:
                raise ValueError(
                    f"the projection {name} is a {type(layer).__name__}, not a plain linear layer; "
                    "merge or remove adapters before fusing projections"
                )


class SelfAttention(Attention):
    """Attention of the tokens to each other, with rotary positions."""

    def forward(self, x: Tensor, context: BlockContext) -> Tensor:
        """(B, L, D) to (B, L, D)."""
        query, key, value = self.project(x, context.rotary)
        if context.cache is not None:
            key, value = context.cache.extend("self", key, value)
        attended = attention(query, key, value, mask=context.attention_mask, backend=context.backend)
        return self.to_out[0](attended.flatten(2))


class CrossAttention(Attention):
    """Attention of the tokens to the prompt and, beside it, to a picture."""

    def forward(self, x: Tensor, context: BlockContext, conditioning: Iterable[Conditioning] = ()) -> Tensor:
        """(B, L, D) to (B, L, D); ``conditioning`` works on the attended values."""
        query = self.norm_q(self.to_q(x), self.heads)
        keys_values = self._keys_values if context.cache is None else self._remembered_keys_values
        attended = None
        for key, value in keys_values(context):
            update = attention(query, key, value, backend=context.backend)
            attended = update if attended is None else attended + update
        assert attended is not None
        for module in conditioning:
            attended = module(attended, query, context)
        return self.to_out[0](attended.flatten(2))

    def _remembered_keys_values(self, context: BlockContext) -> list[KeyValue]:
        assert context.cache is not None
        return context.cache.once("cross", lambda: self._keys_values(context))

    def _keys_values(self, context: BlockContext) -> list[KeyValue]:
        """Keys and values (B, M, H, E) of the prompt and, if there is one, of the picture."""
        text, image = context.encoder_hidden_states, context.image_hidden_states
        key, value = self._project_context(text, self.to_k, self.to_v)
        found = [(self.norm_k(key, self.heads), self.split_heads(value))]
        if image is not None and self.add_k_proj is not None and self.add_v_proj is not None:
            key, value = self._project_context(image, self.add_k_proj, self.add_v_proj)
            found.append((self.norm_added_k(key, self.heads), self.split_heads(value)))
        return found

    def _project_context(self, x: Tensor, to_key: nn.Module, to_value: nn.Module) -> tuple[Tensor, ...]:
        return project_together(x, to_key, to_value) if self.fused else (to_key(x), to_value(x))
