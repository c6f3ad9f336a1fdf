"""The length of a step as a condition, for networks that predict an average velocity (MeanFlow).

Legend: B batch, G groups of tokens that share a timestep, D width of the model.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from diffusers.models.embeddings import TimestepEmbedding
from torch import Tensor, nn

from vision.transformer.conditioning import Conditioning, Slot, register_conditioning
from vision.transformer.embedding import sinusoid

#: Name of the condition: t - r in [0, 1], shape (B,).
INTERVAL = "interval"
# Rates from 100 down to 1/100 a unit: an average velocity varies slowly with the length of its interval, and
# the rates of the timestep, up to 1000, would make its derivative large.
_RATE = 100.0


@register_conditioning(INTERVAL)
class IntervalEmbedding(Conditioning):
    """Adds an embedding of the interval t - r to that of the time t (arXiv 2505.13447, section 4.3).

    The second embedder is built as the one of the time; its last layer starts at zero.
    """

    slot: ClassVar[Slot] = "time_embedding"
    inputs: ClassVar[tuple[str, ...]] = (INTERVAL,)

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.frequencies = config.freq_dim
        self.embedder = TimestepEmbedding(
            config.freq_dim, config.num_attention_heads * config.attention_head_dim
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Fresh weights: the embedding is zero."""
        nn.init.normal_(self.embedder.linear_1.weight, std=0.02)
        nn.init.zeros_(self.embedder.linear_1.bias)
        nn.init.zeros_(self.embedder.linear_2.weight)
        nn.init.zeros_(self.embedder.linear_2.bias)

    def forward(self, embedding: Tensor, conditions: Mapping[str, Tensor]) -> Tensor:
        """(B, G, D) to (B, G, D)."""
        if INTERVAL not in conditions:
            return embedding
        features = sinusoid(_RATE * conditions[INTERVAL], self.frequencies)
        with torch.autocast(features.device.type, enabled=False):
            added = self.embedder(features.to(self.embedder.linear_1.weight.dtype))
        return embedding + added.unsqueeze(1).to(embedding.dtype)
