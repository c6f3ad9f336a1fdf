"""Cross-attention to texts that hold at certain times.

Legend: B batch, F frames of tokens, S tokens of a frame, L = F S tokens, M tokens of all texts, H heads,
E width of a head, D width of the model.
"""

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vision.transformer.attention import attention
from vision.transformer.attention_layer import Attention
from vision.transformer.conditioning import Conditioning, Slot, register_conditioning
from vision.transformer.context import BlockContext
from vision.transformer.embedding import sinusoid
from vision.transformer.initialization import reset_layers, zero
from vision.transformer.normalization import LayerNorm
from vision.transformer.rotary import rotate_1d

#: Name under which the module is registered.
TIMED_TEXT = "timed_text"
#: Name of the texts as the model has embedded them.
TIMED_TEXT_TOKENS = "timed_text_tokens"
#: What a caller passes; see :class:`TimedTextAttention`.
TIMED_TEXT_INPUTS = ("timed_text", "timed_text_mask", "frame_positions", "text_positions", "text_spans")


@register_conditioning(TIMED_TEXT)
class TimedTextAttention(Conditioning):
    """``x += CrossAttention(LN(x), texts)`` where a frame can tell the texts of its own time from others.

    All texts are keys of one softmax. What ties them to time is up to the caller; each may be left out:

    - ``frame_positions`` (B, F) and ``text_positions`` (B, M): queries and keys, not values, are rotated
      along one axis (:func:`~vision.transformer.rotary.rotate_1d`), as in iTryOn's A-RoPE (arXiv 2605.21431),
      EchoShot's TaRoPE (arXiv 2506.15838) and MinT's ReRoPE (arXiv 2412.05263);
    - ``timed_text_mask`` (B, F, M) boolean: true where a frame sees a token. The tokens of a frame that sees
      none get nothing;
    - ``text_spans`` (B, M, 2), first and end frame of each token's text, whose embedding is added to it.

    The texts themselves are ``timed_text`` (B, M, text_dim), prompt embeddings one after another, which the
    model embeds as it embeds its prompt. Without them nothing happens.

    Args:
        config: of the model.
        spans: whether the module reads ``text_spans``.
    """

    slot: ClassVar[Slot] = "after_cross_attention"
    inputs: ClassVar[tuple[str, ...]] = TIMED_TEXT_INPUTS

    def __init__(self, config: Any, spans: bool = False) -> None:
        super().__init__()
        width = config.num_attention_heads * config.attention_head_dim
        self.frequencies = config.freq_dim
        self.norm = LayerNorm(width, config.eps)
        self.attn = Attention(width, config.num_attention_heads, config.eps)
        self.span_in = nn.Linear(2 * config.freq_dim, width) if spans else None
        self.span_out = nn.Linear(width, width) if spans else None
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Fresh weights: linear layers Xavier uniform, what is added zero."""
        reset_layers(self)
        zero(self.output)
        if self.span_out is not None:
            zero(self.span_out)

    @property
    def output(self) -> nn.Linear:
        """The projection of what is added."""
        return self.attn.to_out[0]  # type: ignore[reportReturnType]

    def forward(self, hidden_states: Tensor, context: BlockContext) -> Tensor:
        """(B, L, D) to (B, L, D).

        Raises:
            ValueError: conditions of other shapes, or that this module does not read.
        """
        if TIMED_TEXT_TOKENS not in context.conditions:
            return hidden_states
        query, key, value, mask = self._prepare(hidden_states, context)
        if mask is None:
            return hidden_states + self.output(attention(query, key, value).flatten(2))
        reached = mask.any(-1)  # (B, L)
        # A softmax over nothing is not a number: such a query sees everything, and what it sees is dropped.
        seen = (mask | ~reached.unsqueeze(-1)).unsqueeze(1)  # (B, 1, L, M)
        update = self.output(attention(query, key, value, mask=seen).flatten(2))
        return hidden_states + update.masked_fill(~reached.unsqueeze(-1), 0)

    def weights(self, hidden_states: Tensor, context: BlockContext) -> Tensor:
        """The softmax that each head takes, shape (B, H, L, M); zero where nothing is seen. For analyses.

        Args:
            hidden_states: shape (B, L, D).
            context: of the pass, with the embedded texts.
        """
        query, key, _, mask = self._prepare(hidden_states, context)
        scores = torch.einsum("blhe,bmhe->bhlm", query, key).float() * query.shape[-1] ** -0.5
        if mask is not None:
            scores = scores.masked_fill(~mask.unsqueeze(1), float("-inf"))
        return scores.softmax(-1).nan_to_num(0)

    def _prepare(
        self, hidden_states: Tensor, context: BlockContext
    ) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Queries (B, L, H, E), keys and values (B, M, H, E), and a mask (B, L, M) or None."""
        text, given = context.conditions[TIMED_TEXT_TOKENS], context.conditions
        batch, tokens, _ = hidden_states.shape
        shapes = {
            "timed_text_mask": (batch, context.grid[0], text.shape[1]),
            "frame_positions": (batch, context.grid[0]),
            "text_positions": (batch, text.shape[1]),
            "text_spans": (batch, text.shape[1], 2),
        }
        for name, expected in shapes.items():
            if name in given and tuple(given[name].shape) != expected:
                raise ValueError(f"{name} has shape {tuple(given[name].shape)}; expected {expected}")
        if text.shape[0] != batch:
            raise ValueError(f"timed_text has {text.shape[0]} samples; expected {batch}")
        if ("frame_positions" in given) != ("text_positions" in given):
            raise ValueError("frame_positions and text_positions belong together; pass both or neither")
        text = self._with_spans(text, given.get("text_spans"))
        heads, size = self.attn.heads, tokens // context.grid[0]
        query = self.attn.norm_q(self.attn.to_q(self.norm(hidden_states)), heads)
        key = self.attn.norm_k(self.attn.to_k(text), heads)
        if "frame_positions" in given:
            positions = given["frame_positions"].repeat_interleave(size, dim=1)  # (B, L)
            query, key = rotate_1d(query, positions), rotate_1d(key, given["text_positions"])
        mask = given.get("timed_text_mask")
        if mask is not None:
            mask = mask.to(query.device).repeat_interleave(size, dim=1)
        return query, key, self.attn.split_heads(self.attn.to_v(text)), mask

    def _with_spans(self, text: Tensor, spans: Tensor | None) -> Tensor:
        if spans is None:
            return text
        if self.span_in is None or self.span_out is None:
            raise ValueError("text_spans were given to a module without them; make it with spans=True")
        features = sinusoid(spans, self.frequencies).flatten(-2).to(text)  # (B, M, 2 freq_dim)
        return text + self.span_out(F.silu(self.span_in(features)))
