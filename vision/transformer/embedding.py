"""What enters the transformer: patches, time, text and picture embeddings.

Legend: B batch, C channels, F frames, H height, W width, L tokens, D width of the model, G groups of
tokens that share a timestep, M context tokens.
"""

import math
from collections.abc import Iterable, Mapping

import torch
import torch.nn.functional as F
from diffusers.models.attention import FeedForward
from diffusers.models.embeddings import PixArtAlphaTextProjection, TimestepEmbedding
from torch import Tensor, nn

from vision.transformer.conditioning import Conditioning
from vision.transformer.normalization import LayerNorm


class PatchEmbedding(nn.Conv3d):
    """The convolution whose stride is its kernel, computed as one matrix product over patches."""

    def forward(self, input: Tensor) -> Tensor:
        """(B, C, F, H, W) to (B, D, F', H', W'), the channels last in memory."""
        f, h, w = self.kernel_size
        patches = input.unflatten(4, (-1, w)).unflatten(3, (-1, h)).unflatten(2, (-1, f))
        patches = patches.permute(0, 2, 4, 6, 1, 3, 5, 7).flatten(4)  # (B, F', H', W', C f h w)
        return F.linear(patches, self.weight.flatten(1), self.bias).permute(0, 4, 1, 2, 3)


def sinusoid(timestep: Tensor, dim: int) -> Tensor:
    """Cosines, then sines, of the timestep at ``dim / 2`` rates from 1 down to 1/10000, float32.

    Args:
        timestep: any shape, in [0, 1000].
        dim: even width.

    Returns:
        Shape (*timestep.shape, dim).
    """
    half = dim // 2
    exponent = -math.log(10000) * torch.arange(half, dtype=torch.float32, device=timestep.device) / half
    angle = timestep.float().unsqueeze(-1) * exponent.exp()
    return torch.cat([angle.cos(), angle.sin()], dim=-1)


class ImageEmbedder(nn.Module):
    """Projects the features of a picture encoder to context tokens."""

    def __init__(self, image_dim: int, width: int, pos_embed_seq_len: int | None) -> None:
        super().__init__()
        self.norm1 = LayerNorm(image_dim)
        self.ff = FeedForward(image_dim, width, mult=1, activation_fn="gelu")
        self.norm2 = LayerNorm(width)
        self.pos_embed = None
        if pos_embed_seq_len is not None:
            self.pos_embed = nn.Parameter(torch.zeros(1, pos_embed_seq_len, image_dim))

    def forward(self, features: Tensor) -> Tensor:
        """(B, M, image_dim) to (B, M, D); with positions, two pictures a sample: from (2 B, M, ...)."""
        features = features.to(self.ff.net[2].weight.dtype)  # type: ignore[reportCallIssue, reportArgumentType]
        if self.pos_embed is not None:
            features = features.reshape(-1, 2 * features.shape[1], features.shape[2])
            features = features + self.pos_embed.to(features.dtype)
        return self.norm2(self.ff(self.norm1(features)))


class ConditionEmbedder(nn.Module):
    """Embeds the timestep, the prompt and, for image-conditioned models, picture features."""

    def __init__(
        self, width: int, freq_dim: int, text_dim: int, image_dim: int | None, pos_embed_seq_len: int | None
    ) -> None:
        super().__init__()
        if freq_dim % 2:
            raise ValueError(f"freq_dim is {freq_dim}; the embedding of the time needs an even one")
        self.freq_dim = freq_dim
        self.time_embedder = TimestepEmbedding(freq_dim, width)
        self.time_proj = nn.Linear(width, 6 * width)
        self.text_embedder = PixArtAlphaTextProjection(text_dim, width, act_fn="gelu_tanh")
        self.image_embedder = None
        if image_dim is not None:
            self.image_embedder = ImageEmbedder(image_dim, width, pos_embed_seq_len)

    def embed_time(
        self, timestep: Tensor, further: Iterable[Conditioning], conditions: Mapping[str, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """The embedding of the time (B, G, D), and the six modulations of a block (B, G, 6, D).

        Args:
            timestep: in [0, 1000], shape (B,) for G = 1, or (B, G).
            further: modules of the slot ``time_embedding``.
            conditions: what they read.
        """
        # Rounding a timestep near 1000 to bfloat16 would move it by up to 2.
        with torch.autocast(timestep.device.type, enabled=False):
            frequencies = sinusoid(timestep, self.freq_dim)
            embedding = self.time_embedder(frequencies.to(self.time_embedder.linear_1.weight.dtype))
            embedding = embedding.unsqueeze(1) if timestep.ndim == 1 else embedding
            for module in further:
                embedding = module(embedding, conditions)
        projected = self.time_proj(F.silu(embedding).to(self.time_proj.weight.dtype))
        return embedding, projected.unflatten(-1, (6, -1))

    def embed_text(self, encoder_hidden_states: Tensor) -> Tensor:
        """Prompt embeddings (B, M, text_dim) to context tokens (B, M, D)."""
        return self.text_embedder(encoder_hidden_states.to(self.text_embedder.linear_1.weight.dtype))
